"""The immutable world as arrays: where every GPU stands, and the electrical graph above it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim.catalog.types import Gpu, Loss, NodeType, RackType

IntArray = NDArray[np.int64]


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
class PowerNode:
    """One node of the electrical graph. Ratings and budgets are watts of what it delivers.

    For the utility the budget is compared with what the site takes from the grid. ``None`` = no
    limit was stated.
    """

    name: str
    kind: str  # "utility", "ups", "pdu", "rack", "server"
    rating_w: float | None
    budget_w: float | None
    loss: Loss | None


@dataclass(frozen=True)
class PowerTree:
    """The electrical graph: ``edges`` are (child, parent, share in 1/256), children after parents.

    A rack with two feeds has two edges whose shares sum to 256, so the tree is a graph. The
    servers are the leaves, in the order of ``Site.node_names``.
    """

    nodes: tuple[PowerNode, ...]
    edges: tuple[tuple[int, int, int], ...]
    server_index: IntArray  # [nodes of the site] → index in ``nodes``
    provisioned_w: float | None  # utility budget, else the sum of the top ratings, else unknown
    stated: bool  # False: the scenario has no `power`, so nothing limits it


@dataclass(frozen=True)
class UpsPlan:
    """One UPS of the scenario's ``power`` section."""

    name: str
    rating_w: float
    budget_w: float | None


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
