"""The immutable world as arrays: where every GPU stands, and the electrical graph above it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim.catalog.protection import Battery, Breaker, UpsProduct
from sim.catalog.types import Gpu, Loss, NodeType, RackType

IntArray = NDArray[np.int64]

#: Kinds of nodes that are judged by what they take in; all others by what they deliver.
ON_INTAKE = ("utility", "cooling")


@dataclass(frozen=True)
class Site:
    """Halls, rows, racks, nodes and GPUs, each an index into the level above (site order).

    Names are unique within a site: a rack is ``row-1-rack-2``, a node ``row-1-rack-2-node-3``, a
    GPU its node's name and ``-gpu-5``; numbers count from 1.
    """

    hall_names: tuple[str, ...]
    row_names: tuple[str, ...]
    row_hall: IntArray
    rack_names: tuple[str, ...]
    rack_row: IntArray
    rack_types: tuple[RackType, ...]  # one per rack
    node_names: tuple[str, ...]
    node_rack: IntArray
    node_types: tuple[NodeType, ...]  # one per node
    gpu_node: IntArray  # [G]
    gpu_domain: IntArray  # [G] NVLink domain id; GPUs of one domain share NVLink
    gpu_types: tuple[Gpu, ...]  # one per node: the type of all its GPUs

    @property
    def gpus(self) -> int:
        """The number of GPUs of the site."""
        return len(self.gpu_node)


@dataclass(frozen=True)
class RatedBreaker:
    """A breaker of a rating; None of it means that nothing opens."""

    breaker: Breaker
    rating_w: float


@dataclass(frozen=True)
class Modules:
    """A UPS as a bank of equal modules that share its load evenly.

    ``needed`` of them deliver the bank's rating, so each is rated rating/needed; with one more
    (N+1) the loss of one leaves the rating whole. Limits and losses are each module's.
    """

    count: int
    needed: int

    def rating(self, rating_w: float, alive: int) -> float:
        """What ``alive`` modules deliver at their ratings, of a bank rated ``rating_w``."""
        return rating_w * alive / self.needed


@dataclass(frozen=True)
class UpsGear:
    """What makes a UPS one.

    ``product`` None: what it carries beyond its rating is not modelled; ``battery`` None: it has
    none; ``modules`` None: it is one piece.
    """

    product: UpsProduct | None = None
    battery: Battery | None = None
    modules: Modules | None = None


@dataclass(frozen=True)
class PowerNode:
    """One node of the electrical graph. Ratings and budgets are watts of what it delivers.

    For the utility the budget is compared with what the site takes from the grid. ``None`` = no
    limit was stated.
    """

    name: str
    kind: str  # "utility", "generator", "msb", "ups", "cooling", "pdu", "rack", "server"
    rating_w: float | None
    budget_w: float | None
    loss: Loss | None
    breaker: RatedBreaker | None = None  # in its feed; carries what it delivers
    ups: UpsGear | None = None
    start_s: float | None = None  # of a generator: from the loss of mains to carrying load


@dataclass(frozen=True)
class PowerTree:
    """The electrical graph: ``edges`` are (child, parent, share in 1/256), children after parents.

    A rack with two feeds has two edges whose shares sum to 256, so the tree is a graph. The
    servers are the leaves, in the order of ``Site.node_names``. ``standby`` are feeds (child,
    parent) that carry nothing until every other feed of the child is dead: a generator behind a
    switchboard, the reserve of a UPS's loads.
    """

    nodes: tuple[PowerNode, ...]
    edges: tuple[tuple[int, int, int], ...]
    server_index: IntArray  # [nodes of the site] → index in ``nodes``
    provisioned_w: float | None  # utility budget, else the sum of the top ratings, else unknown
    stated: bool  # False: the scenario has no `power`, so nothing limits it
    standby: tuple[tuple[int, int], ...] = ()
    restart_s: float = 300.0  # from the return of a server's power to its replicas serving again


@dataclass(frozen=True)
class UpsPlan:
    """One UPS of the scenario's ``power`` section.

    ``fed_by``: its switchboard; None = the next in turn. ``reserve``: the UPS that takes over its
    loads when it fails.
    """

    name: str
    rating_w: float
    budget_w: float | None
    fed_by: str | None = None
    reserve: str | None = None
    breaker: RatedBreaker | None = None
    gear: UpsGear = UpsGear()


@dataclass(frozen=True)
class MsbPlan:
    """A main switchboard and its transformer."""

    name: str
    rating_w: float
    budget_w: float | None = None
    breaker: RatedBreaker | None = None


@dataclass(frozen=True)
class GeneratorPlan:
    """A generator behind switchboards (all of them where none is named)."""

    name: str
    rating_w: float
    start_s: float
    feeds: tuple[str, ...] = ()
    breaker: RatedBreaker | None = None


@dataclass(frozen=True)
class PowerPlan:
    """The ``power`` section, checked. ``redundancy`` is "N" (one feed per rack) or "2N" (two)."""

    utility_budget_w: float | None
    utility_rating_w: float | None
    ups: tuple[UpsPlan, ...]
    pdus_per_row: int
    pdu_rating_w: float | None
    pdu_budget_w: float | None
    redundancy: str
    msbs: tuple[MsbPlan, ...] = ()
    generators: tuple[GeneratorPlan, ...] = ()
    utility_breaker: RatedBreaker | None = None
    pdu_breaker: RatedBreaker | None = None
    rack_breaker: RatedBreaker | None = None  # before each rack, on the sum of its feeds
    restart_s: float = 300.0
    cooling_fed_by: str | None = None  # None: the plant is no load of the tree


@dataclass(frozen=True)
class RowPlan:
    """A row: its name and (rack type name, count) in order."""

    name: str
    racks: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class HallPlan:
    """A hall: its name and rows in order."""

    name: str
    rows: tuple[RowPlan, ...]
