"""The compiled electrical tree against the reference: random trees, changes, windows, minutes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from operator import itemgetter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.catalog.types import Loss
from sim.engine.power_meter import PowerMeter
from sim.kernels import power as kernels
from sim.kernels.power_state import (
    NodeMeters,
    PowerState,
    minute_rows_at_once,
    node_meters,
    power_rows_at_once,
    power_state,
)
from sim.site.load import server_out_mw
from sim.site.types import PowerNode, PowerTree, Site
from tests.engine_world import GPU, NODE, site, tree

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


def by_node(rows: Sequence[tuple[int, float, int, int]]) -> list[tuple[int, float, int, int]]:
    """Rows sorted by node, each node's in the order in which they came."""
    return sorted(rows, key=lambda row: row[0])


def check_equal(case: Case, found: Found, minutes: bool, changes: bool) -> None:
    """Rows and peaks exactly, integrals to 1e-12 of the run's."""
    expected = reference(case)
    assert by_node(found.rows) == (by_node(expected.rows) if changes else [])
    assert sorted(found.spans) == sorted(expected.spans) == sorted(spans_of(expected.rows, case))
    assert sorted(found.minutes) == (sorted(expected.minutes) if minutes else [])
    for key, (low_w, mean_w, high_w) in found.minutes.items():
        expected_low_w, expected_mean_w, expected_high_w = expected.minutes[key]
        assert (low_w, high_w) == (expected_low_w, expected_high_w)
        assert mean_w == pytest.approx(expected_mean_w, rel=1e-12, abs=0)
    right, mine = expected.meters, found.meters
    assert mine.peak_mw.tolist() == right.peak_mw.tolist()
    np.testing.assert_allclose(mine.energy_total_mj, right.energy_total_mj, rtol=1e-12)
    margin_mj = 1e-12 * right.energy_total_mj
    assert (abs(mine.energy_mj - right.energy_mj) <= margin_mj).all()
    assert (abs(mine.judged_mj - right.judged_mj) <= margin_mj).all()
    assert (abs(mine.over_s - right.over_s) <= 1e-12 * case.end_s).all()


@settings(max_examples=250, deadline=None)
@given(cases(), st.sampled_from([(True, True), (True, True), (True, False), (False, True)]))
def test_equal_to_the_reference(case: Case, kept: tuple[bool, bool]) -> None:
    check_equal(case, compiled(case, *kept), *kept)


@pytest.mark.deep
@settings(max_examples=8000, deadline=None)
@given(cases(), st.booleans(), st.booleans(), st.booleans())
def test_equal_to_the_reference_at_length(
    case: Case, minutes: bool, changes: bool, room: bool
) -> None:
    check_equal(case, compiled(case, minutes, changes, room), minutes, changes)


# ---- one thing at a time -------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(cases())
def test_full_buffers_lose_nothing(case: Case) -> None:
    whole, piecewise = compiled(case, True, True), compiled(case, True, True, room=False)
    assert piecewise.rows == whole.rows
    assert piecewise.minutes == whole.minutes
    assert piecewise.spans == whole.spans
    for one, other in zip(piecewise.meters, whole.meters, strict=True):
        assert one.tolist() == other.tolist()


def loaded(minutes: bool = True) -> PowerState:
    """Two servers under a dual-fed rack, loaded at time 0."""
    power = power_state(site(2), tree(2, 9000.0), minutes, True)
    kernels.start(power, np.array([1_000_000, 2_000_000]))
    return power


def change(power: PowerState, server: int, delta_mw: int, time_s: float) -> None:
    done = kernels.changes(
        power, np.array([server]), np.array([delta_mw]), np.array([time_s], dtype=float)
    )
    assert done == 1


def test_a_hold_of_ten_million_minutes_is_two_rows_a_node() -> None:
    power = loaded()
    nodes, count = len(power.node), power.count[0]
    change(power, 0, 500_000, 90.0)
    count["minute_rows"] = 0
    end_s = 60.0 * 10_000_000 + 30.0
    change(power, 0, 250_000, end_s)
    # All but the server that did not change: what was left of minute 1, and the minutes since.
    assert count["minute_rows"] == 2 * (nodes - 1)
    rows = power.minute_row[: count["minute_rows"]]
    assert sorted(rows["minute"].tolist()) == [1] * (nodes - 1) + [2] * (nodes - 1)
    held = rows[rows["minute"] == 2]
    assert set(held["minutes"].tolist()) == {10_000_000 - 2}
    assert (held["low_mw"] == held["high_mw"]).all()
    assert held["energy_mj"] == pytest.approx(held["low_mw"] * 60.0, rel=1e-15)
    assert held["seconds"].tolist() == [60.0] * len(held)
    begun = rows[rows["minute"] == 1]
    assert begun["seconds"].tolist() == [60.0] * len(begun)
    assert (begun["low_mw"] < begun["high_mw"]).all()
    assert begun["energy_mj"] == pytest.approx(
        (begun["low_mw"] + begun["high_mw"]) * 30.0, rel=1e-15
    )


def test_one_instant_makes_no_more_rows_than_stated() -> None:
    power = loaded()
    nodes, count = len(power.node), power.count[0]
    assert (count["power_rows"], count["minute_rows"]) == (0, 0)
    change(power, 0, 1, 7000.0)
    change(power, 1, 1, 7000.0)
    change(power, 1, -1, 7000.0)
    assert count["power_rows"] == power_rows_at_once(nodes)
    assert count["minute_rows"] == 2 * nodes
    count["power_rows"] = count["minute_rows"] = 0
    kernels.finish(power, 14_001.0)
    assert count["power_rows"] == power_rows_at_once(nodes)
    assert count["minute_rows"] == minute_rows_at_once(nodes)


def test_a_minute_ends_at_its_edge_and_not_a_float_before() -> None:
    minute, full_mw = 1009, server_out_mw(NODE, 1_000_000)
    edge_s = 60.0 * minute
    for time_s, dips in ((math.nextafter(edge_s, 0.0), [True]), (edge_s, [])):
        power = loaded()
        change(power, 0, -1_000_000, time_s)
        change(power, 0, 1_000_000, edge_s)
        kernels.finish(power, edge_s + 60.0)
        rows = power.minute_row[: power.count[0]["minute_rows"]]
        server = rows[rows["node"] == power.server["node"][0]]
        # The draw that lasted a float's width, or not at all, is none of the next minute's.
        last = server[server["minute"] == minute]
        assert last["low_mw"].tolist() == last["high_mw"].tolist() == [full_mw]
        assert (server[server["minute"] == minute - 1]["low_mw"] < full_mw).tolist() == dips


def test_no_minutes_and_no_rows_where_none_are_kept() -> None:
    power = power_state(site(2), tree(2, 9000.0), False, False)
    kernels.start(power, np.array([0, 0]))
    change(power, 0, 1_000_000, 1e6)
    kernels.finish(power, 2e6)
    assert (power.count[0]["power_rows"], power.count[0]["minute_rows"]) == (0, 0)
    assert (node_meters(power).energy_total_mj > 0).all()


def test_servers_with_the_same_feeds_share_a_path() -> None:
    power = power_state(site(3), tree(3), True, True)
    assert power.path.tolist() == [5, 3, 4, 1, 2, 0]
    assert power.server[["first", "end"]].tolist() == [(0, 6)] * 3
