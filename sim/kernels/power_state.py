"""The electrical tree as arrays for ``sim.kernels.power``: layouts, building, reading."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sim.kernels.rows import MINUTE_ROW, POWER_ROW
from sim.site.load import WHOLE_SHARE, intake, server_load

if TYPE_CHECKING:
    from sim.site.types import PowerNode, PowerTree, Site

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Records = NDArray[np.void]

#: What a node without a limit is compared with, and the lowest draw before any was seen.
NO_LIMIT_MW = NO_LOW_MW = np.inf

#: A tree node, as far as every change of its load touches it: 120 bytes. Milliwatts are whole.
NODE = np.dtype(
    [
        ("out_mw", np.float64),  # delivered, and taken in, since its last visit
        ("in_mw", np.float64),
        ("next_out_mw", np.float64),  # what it delivers from the instant being worked on
        ("since_s", np.float64),  # until when it is metered; NaN = never loaded
        ("energy_mj", np.float64),  # intake since the last turn (see sim.kernels.power)
        ("judged_mj", np.float64),  # what is compared with the limit, likewise
        ("over_s", np.float64),  # time above the limit, likewise
        ("low_mw", np.float64),  # of what is judged, likewise
        ("high_mw", np.float64),
        ("turn_s", np.float64),  # end of the minute being counted; inf = minutes are not kept
        ("limit_mw", np.float64),
        ("constant_mw", np.float64),  # its sim.site.load.Intake
        ("linear", np.float64),
        ("square_per_mw", np.float64),
        ("first_edge", np.uint32),
        ("feeds", np.int16),  # number of its edges
        ("lossless", np.bool_),
        ("on_intake", np.bool_),  # the intake is judged (the utility), not the delivery
    ],
    align=True,
)

#: A tree node, the rest: touched at turns, at the ends of the window, and where rows are kept.
LEDGER = np.dtype(
    [
        ("row_since_s", np.float64),  # since when the state lasts that no row holds; NaN = none
        ("minute_since_s", np.float64),  # where its part of the minute being counted begins
        ("minute_high_mw", np.float64),  # of the minute being counted, before the window opened
        ("energy_mj", np.float64),  # up to the last turn
        ("judged_mj", np.float64),
        ("over_s", np.float64),
        ("peak_mw", np.float64),  # since the window opened, up to the last turn
        ("opened_energy_mj", np.float64),  # totals where the window opened
        ("opened_judged_mj", np.float64),
        ("opened_over_s", np.float64),
        ("window_energy_mj", np.float64),
        ("window_judged_mj", np.float64),
        ("window_over_s", np.float64),
        ("window_peak_mw", np.float64),
    ],
    align=True,
)

#: A server: what its GPUs draw, what it draws besides, and the nodes above its own,
#: ``path[first:end]``.
SERVER = np.dtype(
    [
        ("gpu_mw", np.int64),
        ("base_mw", np.float64),
        ("fan_per_mw2", np.float64),
        ("node", np.uint32),
        ("first", np.uint32),
        ("end", np.uint32),
    ],
    align=True,
)

#: One feed of a node. The edges of a node are neighbours, in the order of the tree's edges; the
#: last one takes what the others, floor(in·share) each, leave.
EDGE = np.dtype([("share", np.float64), ("parent", np.uint32), ("last", np.uint32)], align=True)

#: How many rows wait, up to how many another event surely finds room, and which rows are kept.
COUNT = np.dtype(
    [
        ("power_rows", np.int64),
        ("minute_rows", np.int64),
        ("power_full", np.int64),
        ("minute_full", np.int64),
        ("changes", np.bool_),
        ("minutes", np.bool_),
    ],
    align=True,
)

#: Rows in a buffer, or four times what one instant can make of a large tree. Memory that no row
#: was ever written to costs nothing.
_ROWS = 16_384


class PowerState(NamedTuple):
    """All that the power kernels work on; nothing is allocated after it is built."""

    node: Records  # [nodes] NODE
    ledger: Records  # [nodes] LEDGER
    server: Records  # [servers] SERVER
    path: NDArray[np.uint32]  # for every set of parents, them and all above, children first
    edge: Records  # [edges] EDGE
    count: Any  # [1] COUNT; of no stated type because tuples have a method of this name
    power_row: Records  # POWER_ROW: the first ``count[0].power_rows`` are waiting
    minute_row: Records  # MINUTE_ROW: likewise


def power_rows_at_once(nodes: int) -> int:
    """The most POWER_ROWs that one instant, or ``finish``, makes of a tree of ``nodes``."""
    return nodes


def minute_rows_at_once(nodes: int) -> int:
    """The most MINUTE_ROWs that one instant, or ``finish``, makes of a tree of ``nodes``.

    Three a node: the minute that was being counted, the ones held since, and at the end of the run
    the one begun.
    """
    return 3 * nodes


def power_state(site: Site, tree: PowerTree, minutes: bool, changes: bool) -> PowerState:
    """The electrical tree before anything draws; ``sim.kernels.power.start`` loads it at time 0.

    A buffer counts as full where twice the rows of one instant still fit: those of an event, and
    those of both ends of the window, which may follow it.

    Args:
        minutes: keep MINUTE_ROWs.
        changes: keep POWER_ROWs.
    """
    nodes = len(tree.nodes)
    feeds: list[list[tuple[int, int]]] = [[] for _ in range(nodes)]
    for child, parent, share in tree.edges:
        feeds[child].append((parent, share))
    node = np.array([_node(plan, minutes) for plan in tree.nodes], dtype=NODE)
    counts = np.array([len(parents) for parents in feeds])
    node["feeds"] = counts
    node["first_edge"] = np.cumsum(counts) - counts
    ledger = np.zeros(nodes, LEDGER)
    ledger["row_since_s"] = np.nan
    server, path = _servers(site, tree, [[parent for parent, _ in parents] for parents in feeds])
    edge = np.array(
        [
            (share / WHOLE_SHARE, parent, place == len(parents))
            for parents in feeds
            for place, (parent, share) in enumerate(parents, start=1)
        ],
        dtype=EDGE,
    )
    power_row = _buffer(power_rows_at_once(nodes), POWER_ROW)
    minute_row = _buffer(minute_rows_at_once(nodes), MINUTE_ROW)
    count = np.zeros(1, COUNT)
    count["power_full"] = len(power_row) - 2 * power_rows_at_once(nodes)
    count["minute_full"] = len(minute_row) - 2 * minute_rows_at_once(nodes)
    count["changes"], count["minutes"] = changes, minutes
    return PowerState(node, ledger, server, path, edge, count, power_row, minute_row)


def _buffer(at_once: int, row: np.dtype[Any]) -> Records:
    return np.zeros(max(_ROWS, 4 * at_once), row)


def _node(plan: PowerNode, minutes: bool) -> tuple[float, ...]:
    """A NODE that was never loaded; its edges are yet to be filled in."""
    limit_w = plan.rating_w if plan.budget_w is None else plan.budget_w
    limit_mw = NO_LIMIT_MW if limit_w is None else round(limit_w * 1000)
    turn_s = 0.0 if minutes else np.inf
    return (
        0.0, 0.0, 0.0, np.nan, 0.0, 0.0, 0.0, NO_LOW_MW, 0.0, turn_s, limit_mw,
        *astuple(intake(plan.loss)), 0, 0, plan.loss is None, plan.kind == "utility",
    )  # fmt: skip


def _servers(
    site: Site, tree: PowerTree, parents: Sequence[Sequence[int]]
) -> tuple[Records, NDArray[np.uint32]]:
    """Every server, and the paths above them; servers with the same parents share one."""
    depth = _depths(parents)
    server = np.zeros(len(site.node_types), SERVER)
    path: list[int] = []
    spans: dict[tuple[int, ...], tuple[int, int]] = {}
    for index, (node_type, node) in enumerate(
        zip(site.node_types, tree.server_index.tolist(), strict=True)
    ):
        fed_by = tuple(parents[node])
        if fed_by not in spans:
            above = sorted(_with_ancestors(fed_by, parents), key=lambda one: (-depth[one], one))
            spans[fed_by] = (len(path), len(path) + len(above))
            path += above
        load = server_load(node_type)
        server[index] = (0, load.base_mw, load.fan_per_mw2, node, *spans[fed_by])
    return server, np.array(path, dtype=np.uint32)


def _depths(parents: Sequence[Sequence[int]]) -> list[int]:
    """[nodes] longest way up to a top; a node is deeper than every parent."""
    depth = [-1] * len(parents)

    def fill(node: int) -> int:
        if depth[node] < 0:
            depth[node] = 1 + max((fill(parent) for parent in parents[node]), default=-1)
        return depth[node]

    for node in range(len(parents)):
        fill(node)
    return depth


def _with_ancestors(nodes: Sequence[int], parents: Sequence[Sequence[int]]) -> set[int]:
    """``nodes`` and all that feeds them."""
    found: set[int] = set()
    rest = list(nodes)
    while rest:
        node = rest.pop()
        if node not in found:
            found.add(node)
            rest += parents[node]
    return found


class NodeMeters(NamedTuple):
    """What the nodes' meters show after the run, each [nodes of the tree]."""

    energy_mj: FloatArray  # intake in the window
    judged_mj: FloatArray  # what is compared with the limit, in the window
    peak_mw: IntArray  # its peak in the window
    over_s: FloatArray  # above the limit in the window; 0 for a node without one
    energy_total_mj: FloatArray  # intake of the whole run


def node_meters(power: PowerState) -> NodeMeters:
    """Copies of the meters, after ``sim.kernels.power.finish``."""
    ledger = power.ledger
    return NodeMeters(
        energy_mj=ledger["window_energy_mj"].copy(),
        judged_mj=ledger["window_judged_mj"].copy(),
        peak_mw=ledger["window_peak_mw"].astype(np.int64),
        over_s=ledger["window_over_s"].copy(),
        energy_total_mj=ledger["energy_mj"] + power.node["energy_mj"],
    )
