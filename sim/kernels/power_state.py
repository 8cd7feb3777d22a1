"""The electrical tree as arrays for ``sim.kernels.power``: layouts, building, reading."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sim.catalog.protection import Battery, Breaker, Electronic, Overload, Thermal
from sim.kernels.layout import BATTERY, BRANCH, ELECTRONIC, OVERLOAD, THERMAL
from sim.kernels.rows import MINUTE_ROW, OVER_ROW, POWER_ROW
from sim.site.guards import AT_FIRST, Guard, guards_of
from sim.site.load import WHOLE_SHARE, intake, server_load
from sim.site.power import children_first, depths
from sim.site.types import ON_INTAKE

if TYPE_CHECKING:
    from sim.site.types import PowerNode, PowerTree, Site

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Records = NDArray[np.void]

#: What a node without a limit is compared with, and the lowest draw before any was seen.
NO_LIMIT_MW = NO_LOW_MW = np.inf
MINUTE_S = 60.0
#: Below every draw: while a node is above its limit, ``gather`` looks at all that it draws.
OVER_MW = -1.0

#: A tree node, as far as every change of its load touches it: 120 bytes. Milliwatts are whole.
NODE = np.dtype(
    [
        ("out_mw", np.float64),  # delivered, and taken in, since its last visit
        ("in_mw", np.float64),
        ("next_out_mw", np.float64),  # what it delivers from the instant being worked on
        ("since_s", np.float64),  # until when it is metered
        ("energy_mj", np.float64),  # intake since the last turn (see sim.kernels.power)
        ("judged_mj", np.float64),  # what is compared with the limit, likewise
        ("over_s", np.float64),  # time above the limit, likewise
        ("low_mw", np.float64),  # of what is judged, likewise
        ("high_mw", np.float64),
        ("turn_s", np.float64),  # end of the minute being counted; inf = minutes are not kept
        ("alert_mw", np.float64),  # above it ``gather`` looks closer: its limit, or OVER_MW
        ("constant_mw", np.float64),  # its sim.site.load.Intake
        ("linear", np.float64),
        ("square_per_mw", np.float64),
        ("extra_mw", np.float64),  # taken in beside what it delivers: a battery that charges
        ("first_edge", np.uint32),
        ("first_guard", np.int32),
        ("guards", np.int16),
        ("feeds", np.int16),  # number of its edges
        ("lossless", np.bool_),
        ("on_intake", np.bool_),  # the intake is judged (the utility), not the delivery
        ("fed", np.bool_),  # it takes in what it needs; else nothing: dead, or on battery
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
        ("limit_mw", np.float64),
        ("over_since_s", np.float64),  # while it is above the limit: since when, and the highest
        ("over_high_mw", np.float64),
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
        ("off", np.bool_),
    ],
    align=True,
)

#: One feed of a node. The edges of a node are neighbours, in the order of the tree's edges; the
#: last one takes what the others, floor(in·share) each, leave.
EDGE = np.dtype([("share", np.float64), ("parent", np.uint32), ("last", np.uint32)], align=True)

#: A guard of a node (``sim.kernels.guards``); loads are what the node delivers.
GUARD = np.dtype(
    [
        ("gathered", np.float64),  # heat, energy, used-up share or spent charge, up to since_s
        ("out_mw", np.float64),
        ("since_s", np.float64),
        ("due_s", np.float64),  # when it gives up, if all stays as it is
        ("per_mw", np.float64),  # 1/rating
        ("per_tau", np.float64),
        ("trip_mw", np.float64),
        ("limit", np.float64),
        ("edge_mw", np.float64),  # rating·√limit
        ("magnetic_mw", np.float64),
        ("rating_mw", np.float64),
        ("pickup", np.float64),  # overload: what is carried for ever; battery: Peukert's exponent
        ("span_s", np.float64),  # energy; beyond the last step; ride-through
        ("recovery_s", np.float64),  # cooling; recovery; recharge
        ("first_step", np.int32),
        ("steps", np.int32),
        ("node", np.uint32),
        ("kind", np.int8),
        ("on", np.bool_),
        ("charging", np.bool_),  # a battery that is not on
    ],
    align=True,
)

#: A step of a table of overloads.
STEP = np.dtype([("load", np.float64), ("seconds", np.float64)], align=True)

#: How many rows wait, up to how many another event surely finds room, and which rows are kept.
COUNT = np.dtype(
    [
        ("power_rows", np.int64),
        ("minute_rows", np.int64),
        ("over_rows", np.int64),
        ("power_full", np.int64),
        ("minute_full", np.int64),
        ("over_full", np.int64),
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
    edge: Records  # [edges and standby] EDGE
    guard: Records  # [guards] GUARD, by node
    step: Records  # STEP
    due: Records  # a winner tree over when each guard gives up
    order: NDArray[np.uint32]  # [nodes] children before parents
    count: Any  # [1] COUNT; of no stated type because tuples have a method of this name
    power_row: Records  # POWER_ROW: the first ``count[0].power_rows`` are waiting
    minute_row: Records  # MINUTE_ROW: likewise
    over_row: Records  # OVER_ROW: likewise


def power_rows_at_once(nodes: int) -> int:
    """The most POWER_ROWs that one instant, or ``finish``, makes of a tree of ``nodes``."""
    return nodes


def over_rows_at_once(nodes: int) -> int:
    """The most OVER_ROWs that one instant, or ``finish``, makes of a tree of ``nodes``."""
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
    above = [[parent for parent, _ in parents] for parents in feeds]
    for child, parent in tree.standby:
        above[child].append(parent)
    node = np.array([_node(plan, minutes) for plan in tree.nodes], dtype=NODE)
    room = np.array([len(parents) for parents in above])
    node["first_edge"] = np.cumsum(room) - room
    edge = np.zeros(int(room.sum()), EDGE)
    for at, parents in enumerate(feeds):
        set_feeds(node, edge, at, parents)
    ledger = np.zeros(nodes, LEDGER)
    ledger["limit_mw"] = node["alert_mw"]
    depth = depths(above)
    server, path = _servers(site, tree, above, depth)
    guards = guards_of(tree)
    guard, step = _guards(guards)
    at_node = np.array([one.node for one in guards], np.int64)
    node["guards"] = np.bincount(at_node, minlength=nodes)
    node["first_guard"] = np.cumsum(node["guards"]) - node["guards"]
    order = np.array(children_first(tree), np.uint32)
    power_row = _buffer(power_rows_at_once(nodes), POWER_ROW)
    minute_row = _buffer(minute_rows_at_once(nodes), MINUTE_ROW)
    over_row = _buffer(over_rows_at_once(nodes), OVER_ROW)
    count = np.zeros(1, COUNT)
    count["over_full"] = len(over_row) - 2 * over_rows_at_once(nodes)
    count["power_full"] = len(power_row) - 2 * power_rows_at_once(nodes)
    count["minute_full"] = len(minute_row) - 2 * minute_rows_at_once(nodes)
    count["changes"], count["minutes"] = changes, minutes
    return PowerState(
        node, ledger, server, path, edge, guard, step, _due(len(guards)), order, count,
        power_row, minute_row, over_row,
    )  # fmt: skip


def _due(guards: int) -> Records:
    """A winner tree (``sim.kernels.tree``) in which nobody ever gives up."""
    leaves = 1 << max(guards - 1, 0).bit_length()
    due = np.zeros(2 * leaves, BRANCH)
    due["key"] = np.array(np.inf).view(np.int64)
    due["id"][leaves:] = np.arange(leaves)
    return due


def set_feeds(node: Records, edge: Records, index: int, feeds: Sequence[tuple[int, int]]) -> None:
    """A node hangs from these (parent, share in 1/256) from now on, of those it ever can."""
    first = int(node[index]["first_edge"])
    node[index]["feeds"] = len(feeds)
    for place, (parent, share) in enumerate(feeds):
        edge[first + place] = (share / WHOLE_SHARE, parent, place == len(feeds) - 1)


def _guards(guards: Sequence[Guard]) -> tuple[Records, Records]:
    """The guards, and the steps of their tables."""
    found = np.zeros(len(guards), GUARD)
    steps: list[tuple[float, float]] = []
    for record, guard in zip(found, guards, strict=True):
        rating_mw = float(guard.rating_mw)
        record["node"], record["on"] = guard.node, guard.kind in AT_FIRST
        record["rating_mw"], record["per_mw"] = rating_mw, 1.0 / rating_mw
        record["limit"], record["trip_mw"] = guard.limit, guard.trip_mw
        record["edge_mw"] = rating_mw * np.sqrt(guard.limit)
        record["magnetic_mw"], record["due_s"] = guard.magnetic_mw, np.inf
        match guard.device:
            case Breaker(element=Thermal() as element):
                record["kind"], record["per_tau"] = THERMAL, 1.0 / element.tau_s
            case Breaker(element=Electronic() as element):
                record["kind"], record["pickup"] = ELECTRONIC, element.pickup
                record["span_s"], record["recovery_s"] = element.energy_s, element.cooling_s
            case Overload() as table:
                record["kind"], record["pickup"] = OVERLOAD, table.continuous
                record["span_s"], record["recovery_s"] = table.beyond_s, table.recovery_s
                record["first_step"], record["steps"] = len(steps), len(table.steps)
                steps += table.steps
            case Battery() as battery:
                record["kind"], record["pickup"] = BATTERY, battery.exponent
                record["span_s"], record["recovery_s"] = battery.ride_through_s, battery.recharge_s
    return found, np.array(steps, dtype=STEP)


def _buffer(at_once: int, row: np.dtype[Any]) -> Records:
    return np.zeros(max(_ROWS, 4 * at_once), row)


def _node(plan: PowerNode, minutes: bool) -> tuple[float, ...]:
    """A NODE without load from time 0 on; its edges are yet to be filled in."""
    limit_w = plan.rating_w if plan.budget_w is None else plan.budget_w
    limit_mw = NO_LIMIT_MW if limit_w is None else round(limit_w * 1000)
    turn_s = MINUTE_S if minutes else np.inf
    return (
        0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, NO_LOW_MW, 0.0, turn_s, limit_mw,
        *astuple(intake(plan.loss)), 0.0, 0, 0, 0, 0, plan.loss is None,
        plan.kind in ON_INTAKE, True,
    )  # fmt: skip


def _servers(
    site: Site, tree: PowerTree, parents: Sequence[Sequence[int]], depth: Sequence[int]
) -> tuple[Records, NDArray[np.uint32]]:
    """Every server, and the paths above them; servers with the same parents share one."""
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
        server[index] = (0, load.base_mw, load.fan_per_mw2, node, *spans[fed_by], False)
    return server, np.array(path, dtype=np.uint32)


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
