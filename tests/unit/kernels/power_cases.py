"""Random trees and changes for the electrical tree, played by the reference and by the kernels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from operator import itemgetter

import numpy as np
from hypothesis import strategies as st

from sim.catalog.types import Loss
from sim.engine.power_meter import PowerMeter
from sim.kernels import power as kernels
from sim.kernels.power_state import (
    NodeMeters,
    PowerState,
    node_meters,
    power_state,
)
from sim.site.types import PowerNode, PowerTree, Site
from tests.engine_world import GPU, NODE, site

#: Most that the GPUs of a test server draw.
MOST_MW = round(NODE.gpus * GPU.tdp_w * 1000)


@dataclass(frozen=True)
class Step:
    """Something at ``time_s``: "change" (server, mW more), "open" or "close" (of the window)."""

    kind: str
    time_s: float
    server: int = 0
    delta_mw: int = 0


@dataclass(frozen=True)
class Case:
    """A tree, what its servers draw at the start, and what happens until ``end_s``."""

    site: Site
    tree: PowerTree
    start_mw: tuple[int, ...]
    steps: tuple[Step, ...]
    end_s: float


@dataclass(frozen=True)
class Found:
    """What came out: [n] rows as (node, time, out, in); minutes by (node, minute); spans above the
    limit as (node, start, end, peak, limit)."""

    rows: list[tuple[int, float, int, int]]
    minutes: dict[tuple[int, int], tuple[float, float, float]]  # W: lowest, mean, highest
    meters: NodeMeters
    spans: list[tuple[int, float, float, int, int]]


# ---- random cases --------------------------------------------------------------------------------

#: One takes in half a milliwatt more than a whole number: a tie, as is one base load.
LOSSES = st.sampled_from([None, None, Loss(1000.0, 2.5e-6, 0.0, 0.0)]) | st.builds(
    Loss, st.floats(5e3, 5e5), st.floats(0, 0.05), st.floats(0, 0.05), st.floats(0, 0.05)
)
BASES_W = st.sampled_from([0.0, 1500.0, 1500.0005])
FANS_W = st.sampled_from([0.0, 900.0])
#: Some are just what a server without fans draws.
LIMITS_W = st.none() | st.sampled_from([960.0, 5600.0]) | st.floats(500.0, 40_000.0)


@st.composite
def power_trees(draw: st.DrawFn) -> tuple[Site, PowerTree]:
    """2 to 6 levels; a node hangs from one, two or three nodes of the levels above."""
    levels = [[0]]
    nodes = [PowerNode("0", "utility", draw(LIMITS_W), draw(LIMITS_W), draw(LOSSES))]
    edges: list[tuple[int, int, int]] = []
    for last in [False] * draw(st.integers(0, 4)) + [True]:
        level: list[int] = []
        for _ in range(draw(st.integers(1, 4 if last else 3))):
            index = len(nodes)
            kind = "server" if last else draw(st.sampled_from(["ups", "pdu", "rack"]))
            nodes.append(PowerNode(str(index), kind, draw(LIMITS_W), draw(LIMITS_W), draw(LOSSES)))
            above = levels[-1] if draw(st.integers(0, 4)) else [n for one in levels for n in one]
            parents = draw(st.lists(st.sampled_from(above), min_size=1, max_size=3, unique=True))
            cuts = sorted(draw(st.integers(0, 256)) for _ in parents[1:])
            bounds = [0, *cuts, 256]
            edges += [(index, p, bounds[k + 1] - bounds[k]) for k, p in enumerate(parents)]
            level.append(index)
        levels.append(level)
    servers = np.array(levels[-1])
    types = [replace(NODE, base_w=draw(BASES_W), fan_w=draw(FANS_W)) for _ in servers]
    where = replace(site(len(servers)), node_types=tuple(types))
    return where, PowerTree(tuple(nodes), tuple(edges), servers, None, True)


EDGE, BEFORE_EDGE = -1.0, -2.0
#: From one step to the next: the same instant, the next minute edge, the float before it, minutes.
PAUSES_S = st.sampled_from(
    [0.0, 0.0, EDGE, BEFORE_EDGE, 0.25, 1 / 3, 7.1, 31.7, 60.0, 200.3, 17_000.0]
)
DRAWS_MW = st.sampled_from([0, 960_000, 5_600_000]) | st.integers(0, MOST_MW)


def later(time_s: float, pause_s: float) -> float:
    """The time after a pause."""
    edge_s = (math.floor(time_s / 60.0) + 1) * 60.0
    at_edge_s = {EDGE: edge_s, BEFORE_EDGE: math.nextafter(edge_s, 0.0)}
    return at_edge_s.get(pause_s, time_s + pause_s)


#: Where between its neighbours an end of the window lies: with the one before, the one after.
SHARES = st.sampled_from([0.0, 0.3, 1.0])


def insert(steps: list[Step], at: int, kind: str, share: float) -> None:
    """Put an end of the window before ``steps[at]``."""
    before_s = steps[at - 1].time_s if at else 0.0
    after_s = steps[at].time_s if at < len(steps) else before_s + 100.0
    time_s = min(before_s + share * (after_s - before_s), after_s)  # rounding must not pass it
    steps.insert(at, Step(kind, time_s))


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """A tree and up to 40 changes, some undone at once, with a window in the middle."""
    where, over = draw(power_trees())
    servers = len(where.node_names)
    start = [draw(DRAWS_MW) for _ in range(servers)]
    now_mw, time_s = list(start), 0.0
    steps: list[Step] = []
    change = st.tuples(st.integers(0, servers - 1), st.none() | DRAWS_MW, PAUSES_S)
    for server, to_mw, pause_s in draw(st.lists(change, max_size=40)):
        time_s = later(time_s, pause_s)
        to_mw = now_mw[server] if to_mw is None else to_mw
        steps.append(Step("change", time_s, server, to_mw - now_mw[server]))
        now_mw[server] = to_mw
    opens = draw(st.integers(0, len(steps)))
    insert(steps, opens, "open", draw(SHARES))
    insert(steps, draw(st.integers(opens + 1, len(steps))), "close", draw(SHARES))
    end_s = later(steps[-1].time_s, draw(PAUSES_S))
    return Case(where, over, tuple(start), tuple(steps), end_s)


# ---- both engines --------------------------------------------------------------------------------


def reference(case: Case) -> Found:
    """What the reference's meters find."""
    rows: list[tuple[int, float, int, int]] = []
    spans: list[tuple[int, float, float, int, int]] = []
    meter = PowerMeter(
        case.site, case.tree, lambda *row: rows.append(row), lambda *span: spans.append(span)
    )
    meter.start(case.start_mw)
    for step in case.steps:
        if step.kind == "change":
            meter.change(step.server, step.delta_mw, step.time_s)
        elif step.kind == "open":
            meter.open_window(step.time_s)
        else:
            meter.close_window(step.time_s)
    meter.finish(case.end_s)
    meters = NodeMeters(
        np.array([node.energy.window for node in meter.nodes]),
        np.array([node.mean.window for node in meter.nodes]),
        np.array([node.window_peak_mw for node in meter.nodes]),
        np.array([node.over.window for node in meter.nodes]),
        np.array([node.energy.total for node in meter.nodes]),
    )
    return Found(rows, minutes_of(rows, case), meters, spans)


def held(
    rows: Sequence[tuple[int, float, int, int]], case: Case, node: int
) -> list[tuple[float, float, int]]:
    """(start, end, what is judged) of each state of a node that lasted."""
    mine = [row for row in rows if row[0] == node]
    ends = [*(row[1] for row in mine), case.end_s][1:]
    on_intake = case.tree.nodes[node].kind == "utility"
    return [
        (start_s, end_s, in_mw if on_intake else out_mw)
        for (_, start_s, out_mw, in_mw), end_s in zip(mine, ends, strict=True)
        if end_s > start_s
    ]


def spans_of(
    rows: Sequence[tuple[int, float, int, int]], case: Case
) -> list[tuple[int, float, float, int, int]]:
    """Every longest span above a node's limit, from its rows, by definition."""
    found = []
    for node, plan in enumerate(case.tree.nodes):
        limit_w = plan.rating_w if plan.budget_w is None else plan.budget_w
        if limit_w is None:
            continue
        limit_mw = round(limit_w * 1000)
        states = [(mw > limit_mw, start, end, mw) for start, end, mw in held(rows, case, node)]
        for above, some in groupby(states, itemgetter(0)):
            if above:
                every = list(some)
                peak_mw = max(mw for *_, mw in every)
                found.append((node, every[0][1], every[-1][2], peak_mw, limit_mw))
    return found


def minutes_of(
    rows: Sequence[tuple[int, float, int, int]], case: Case
) -> dict[tuple[int, int], tuple[float, float, float]]:
    """Every node's minutes, from its rows, by definition."""
    parts: dict[tuple[int, int], list[tuple[float, int]]] = {}
    for node, plan in enumerate(case.tree.nodes):
        mine = [row for row in rows if row[0] == node]
        ends = [*(row[1] for row in mine), case.end_s][1:]
        for (_, start_s, out_mw, in_mw), end_s in zip(mine, ends, strict=True):
            while start_s < end_s:
                minute = math.floor(start_s / 60.0)
                edge_s = min(end_s, (minute + 1) * 60.0)
                judged_mw = in_mw if plan.kind == "utility" else out_mw
                parts.setdefault((node, minute), []).append((edge_s - start_s, judged_mw))
                start_s = edge_s
    return {
        key: (
            min(mw for _, mw in held) / 1000.0,
            sum(s * mw for s, mw in held) / 1000.0 / sum(s for s, _ in held),
            max(mw for _, mw in held) / 1000.0,
        )
        for key, held in parts.items()
    }


class Drained:
    """The rows of a state, taken out whenever it is full and at the end."""

    def __init__(self, power: PowerState) -> None:
        self.power = power
        self.rows: list[tuple[int, float, int, int]] = []
        self.minutes: dict[tuple[int, int], tuple[float, float, float]] = {}
        self.spans: list[tuple[int, float, float, int, int]] = []
        self.drains = 0

    def drain(self) -> None:
        """Take the waiting rows."""
        count = self.power.count[0]
        for row in self.power.power_row[: count["power_rows"]].tolist():
            time_s, out_mw, in_mw, node = row
            self.rows.append((node, time_s, out_mw, in_mw))
        for row in self.power.minute_row[: count["minute_rows"]].tolist():
            energy_mj, seconds, low_mw, high_mw, node, first, minutes = row
            assert 0.0 < seconds <= 60.0
            for minute in range(first, first + minutes):
                assert (node, minute) not in self.minutes
                mean_w = energy_mj / 1000.0 / seconds
                self.minutes[node, minute] = (low_mw / 1000.0, mean_w, high_mw / 1000.0)
        for row in self.power.over_row[: count["over_rows"]].tolist():
            start_s, end_s, peak_mw, limit_mw, node = row
            self.spans.append((node, start_s, end_s, peak_mw, limit_mw))
        count["power_rows"] = count["minute_rows"] = count["over_rows"] = 0
        self.drains += 1

    def change(self, steps: Sequence[Step]) -> None:
        """Make changes, emptying the buffers whenever they are full."""
        servers = np.array([step.server for step in steps], dtype=np.int64)
        deltas_mw = np.array([step.delta_mw for step in steps], dtype=np.int64)
        times_s = np.array([step.time_s for step in steps], dtype=np.float64)
        done = 0
        while done < len(steps):
            done += kernels.changes(self.power, servers[done:], deltas_mw[done:], times_s[done:])
            if done < len(steps):
                self.drain()


def compiled(case: Case, minutes: bool, changes: bool, room: bool = True) -> Found:
    """What the kernels find; without ``room`` the buffers hold one event at a time."""
    power = power_state(case.site, case.tree, minutes, changes)
    out = Drained(power)
    kernels.start(power, np.array(case.start_mw, dtype=np.int64))
    if not room:
        for rows in ("power_full", "minute_full", "over_full"):
            power.count[rows] = 0
    waiting: list[Step] = []
    for step in case.steps:
        if step.kind == "change":
            waiting.append(step)
            continue
        out.change(waiting)
        waiting = []
        end_of_window = kernels.open_window if step.kind == "open" else kernels.close_window
        end_of_window(power, step.time_s)
    out.change(waiting)
    kernels.finish(power, case.end_s)
    out.drain()
    return Found(out.rows, out.minutes, node_meters(power), out.spans)
