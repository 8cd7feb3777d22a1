"""The compiled electrical tree against the reference: random trees, changes, windows, minutes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.kernels import power as kernels
from sim.kernels.power_state import (
    PowerState,
    minute_rows_at_once,
    node_meters,
    power_rows_at_once,
    power_state,
)
from sim.site.load import server_out_mw
from tests.engine_world import NODE, site, tree
from tests.unit.kernels.power_cases import (
    Case,
    Found,
    cases,
    compiled,
    reference,
    spans_of,
)


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
