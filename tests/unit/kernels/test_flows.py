"""Flows at max-min fair rates: recorded runs, random networks, what is refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sim.kernels.flow_reference import worst_violation
from sim.kernels.flow_state import new_flows
from sim.kernels.flows import complete_checked, complete_flows
from tests.unit.kernels.flow_cases import Case, Watched, cases, csr, simply, violation

RECORDED = (
    "fat_tree_1024_1000_load0.3",
    "fat_tree_1024_10000_load0.3",
    "storm_a2a64",
    "storm_weights",
)
NAMES = ("start_s", "size_bytes", "link_ptr", "link_idx", "capacity_bytes_per_s")


def recording(shared_data: Path, name: str) -> Any:
    """A run that SimGrid simulated."""
    file = shared_data / "network" / f"{name}.npz"
    if not file.is_file():
        pytest.skip(f"needs {file.name} in ../shared/data/network, which is missing here")
    return np.load(file)


@pytest.mark.parametrize("name", RECORDED)
def test_completions_are_those_that_simgrid_recorded(shared_data: Path, name: str) -> None:
    run = recording(shared_data, name)
    finish = complete_flows(*(run[each] for each in NAMES))
    duration = run["finish_s"] - run["start_s"]
    assert np.abs(finish / run["finish_s"] - 1.0).max() < 1e-12
    assert np.abs((finish - run["finish_s"]) / duration).max() < 1e-11


@pytest.mark.parametrize("name", ["fat_tree_1024_1000_load0.3", "storm_weights"])
def test_every_solve_of_a_recording_is_certified(shared_data: Path, name: str) -> None:
    run = recording(shared_data, name)
    ptr, idx = run["link_ptr"], run["link_idx"].tolist()
    watched = Watched(np.full(int(run["n_links"]), float(run["capacity_bytes_per_s"])))
    ids = {}
    for i in np.argsort(run["start_s"], kind="stable")[:400]:
        watched.advance(float(run["start_s"][i]))
        ids[watched.add(float(run["size_bytes"][i]), tuple(idx[ptr[i] : ptr[i + 1]]))] = i
    watched.advance(np.inf)
    assert len(watched.finish_s) == 400
    for flow, i in ids.items():
        assert watched.sent[flow] == pytest.approx(run["size_bytes"][i], rel=1e-9)


def test_two_flows_on_one_link_by_hand() -> None:
    # Together 5 B/s each until 2 s, when the first has sent 10; the second has 10 left at 10 B/s.
    finish = complete_flows([0.0, 0.0], [10.0, 20.0], [0, 1, 2], [0, 0], 10.0)
    assert finish.tolist() == [2.0, 3.0]


def test_what_one_flow_cannot_take_the_others_share() -> None:
    # Link 0 holds its three flows to 1 B/s; the fourth gets the 9 that are left of link 1.
    case = Case(
        np.zeros(4), np.array([2.0, 2.0, 2.0, 9.0]), ((0,), (0,), (0, 1), (1,)),
        np.array([3.0, 10.0]),
    )  # fmt: skip
    assert complete_flows(*case.arguments).tolist() == [2.0, 2.0, 2.0, 1.0]


def test_nothing_to_send_takes_no_time() -> None:
    finish = complete_flows([3.0, 1.0, 2.0], [0.0, 5.0, 5.0], [0, 1, 1, 2], [0, 0], [5.0])
    assert finish.tolist() == [3.0, 1.0, 3.0]
    assert complete_flows([], [], [0], [], 1.0).tolist() == []
    assert complete_flows([1.0], [7.0], [0, 0], [], 1.0).tolist() == [1.0]


def test_what_no_float_can_date_is_never_complete() -> None:
    finish = complete_flows([1.0, 1.0], [1e300, 1.0], [0, 1, 2], [0, 1], [1e-10, 1.0])
    assert finish.tolist() == [np.inf, 2.0]


def test_more_flows_than_can_be_told_apart_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^268435456 flows with 7 hops or less are too many"):
        new_flows(np.ones(1), 1 << 28, 7, 0, capped=True)


@settings(deadline=None, max_examples=300)
@given(cases())
@example(Case(np.zeros(3), np.ones(3), ((0, 1), (1, 2), (2, 0)), np.ones(3)))
def test_the_sweep_equals_the_reference(case: Case) -> None:
    simple = simply(case)
    np.testing.assert_allclose(complete_flows(*case.arguments), simple, rtol=1e-11)
    afresh = complete_checked(*case.arguments, afresh=True)
    np.testing.assert_allclose(afresh, simple, rtol=1e-11)


@settings(deadline=None, max_examples=200)
@given(cases())
def test_every_solve_has_the_certificate_and_no_byte_is_lost(case: Case) -> None:
    watched = Watched(case.capacity)
    ids = {}
    for i in np.argsort(case.start_s, kind="stable").tolist():
        watched.advance(float(case.start_s[i]))
        ids[watched.add(float(case.size_bytes[i]), case.paths[i])] = i
    watched.advance(np.inf)
    finish = complete_flows(*case.arguments)
    for flow, i in ids.items():
        assert watched.finish_s[flow] == pytest.approx(finish[i], rel=1e-12)
        size = case.size_bytes[i] if case.paths[i] else 0.0
        # Rates times durations: as exact as differences of times are.
        slack = 1e-12 * case.capacity.max() * max(1.0, finish.max())
        assert watched.sent[flow] == pytest.approx(size, rel=1e-9, abs=slack)
    assert watched.events <= len(case.paths)


@settings(deadline=None, max_examples=100)
@given(cases(), st.randoms(use_true_random=False))
def test_the_order_of_flows_does_not_matter(case: Case, random: Any) -> None:
    order = list(range(len(case.paths)))
    random.shuffle(order)
    np.testing.assert_allclose(
        complete_flows(*case.reordered(order).arguments),
        complete_flows(*case.arguments)[order],
        rtol=1e-12,
    )


def test_flows_that_end_together_are_one_event() -> None:
    # 300 flows of three sizes over symmetric paths: thirds of a capacity are not exact in binary.
    watched = Watched(np.full(9, 1.0))
    for i in range(300):
        watched.add(1.0 + i % 3, (i % 3, 3 + i // 3 % 3, 6 + i // 9 % 3))
    watched.advance(np.inf)
    assert len(watched.finish_s) == 300
    assert watched.events == len({round(t, 9) for t in watched.finish_s.values()}) < 10


def test_a_large_random_network_equals_the_reference() -> None:
    rng = np.random.default_rng(5)
    paths = tuple(tuple(rng.choice(40, rng.integers(1, 7), replace=False)) for _ in range(1500))
    case = Case(rng.uniform(0, 20, 1500), rng.exponential(1.0, 1500), paths, np.full(40, 10.0))
    np.testing.assert_allclose(complete_flows(*case.arguments), simply(case), rtol=1e-11)


def test_numbers_of_links_may_be_far_apart() -> None:
    far = [7, 1 << 40, 1 << 40]
    finish = complete_flows([0.0, 0.0], [10.0, 20.0], [0, 2, 3], far, 10.0)
    assert finish.tolist() == [2.0, 3.0]
    with pytest.raises(ValueError, match=r"^flow 1 crosses link 1099511627776 twice$"):
        complete_flows([0.0, 0.0], [1.0, 1.0], [0, 1, 3], far, 10.0)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("start_s", [[0.0], [1.0, 2.0]], "start_s is no array of numbers: "),
        ("size_bytes", np.ma.array([1.0, 2.0], mask=[0, 1]), "size_bytes has masked values; "),
        ("link_idx", np.array([0, 1 << 63], np.uint64), "link_idx[1] is 9223372036854775808; "),
        ("capacity_bytes_per_s", [], "link_idx[0] is 0, of flow 0; there are no links"),
    ],
)
def test_what_numpy_takes_and_is_no_list_of_flows(name: str, value: Any, says: str) -> None:
    given = dict(zip(NAMES, ([0.0, 0.0], [1.0, 1.0], [0, 1, 2], [0, 0], 1.0), strict=True))
    with pytest.raises(ValueError, match="^" + re.escape(says)):
        complete_flows(**{**given, name: value})


# ---- the certificate ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rates", "off"),
    [
        ([1.0, 1.0, 9.0], 0.0),
        ([1.0, 1.0, 8.0], 0.1),  # room on its link
        ([1.0, 1.0, 9.5], 0.05),  # more than the link carries
        ([0.5, 1.5, 8.5], 0.5),  # the first could take from the second
    ],
)
def test_the_certificate_measures_what_is_wrong(rates: list[float], off: float) -> None:
    assert violation(rates, [(0,), (0, 1), (1,)], np.array([2.0, 10.0])) == pytest.approx(off)


def test_a_flow_over_a_link_that_is_down_is_certified_at_rest() -> None:
    ptr, idx = csr([(0, 1)])
    work = np.zeros((2, 2))
    assert worst_violation(np.zeros(1), ptr, idx, np.array([0.0, 1.0]), work) == 0.0
    assert worst_violation(np.ones(1), ptr, idx, np.array([0.0, 1.0]), work) == np.inf


# ---- what is refused ----------------------------------------------------------------------

GOOD: dict[str, Any] = {
    "start_s": [0.0, 1.0],
    "size_bytes": [1.0, 2.0],
    "link_ptr": [0, 2, 3],
    "link_idx": [0, 1, 1],
    "capacity_bytes_per_s": [1.0, 1.0],
}


@pytest.mark.parametrize(
    ("array", "value", "message"),
    [
        ("size_bytes", [1.0], "has 1 values for 2 flows in start_s"),
        ("size_bytes", [1.0, -2.0], "[1] is -2.0; sizes are 0 or more"),
        ("size_bytes", [1.0, np.nan], "[1] is nan; it takes finite numbers"),
        ("size_bytes", ["a", "b"], " holds <U1; it takes numbers"),
        ("start_s", [np.inf, 0.0], "[0] is inf; it takes finite numbers"),
        ("start_s", [[0.0, 1.0]], " has shape (1, 2); it takes one axis, a value for each flow"),
        ("link_ptr", [0, 3], " has 2 values; 2 flows take 3"),
        ("link_ptr", [0, 2, 2], " goes from 0 to 2; it takes 0 to 3, the length of link_idx"),
        ("link_ptr", [0, 4, 3], " falls from 4 to 3 at flow 1"),
        ("link_ptr", [0.0, 2.0, 3.0], " holds float64; it takes integers"),
        ("link_ptr", [[0, 2, 3]], " has shape (1, 3); it takes one axis"),
        ("link_idx", [0, 1, 2], "[2] is 2, of flow 1; links are 0 to 1"),
        ("link_idx", [-1, 1, 1], "[0] is -1, of flow 0; links are 0 to 1"),
        ("link_idx", [1, 1, 1], "flow 0 crosses link 1 twice"),
        ("capacity_bytes_per_s", [1.0, 0.0], "[1] is 0.0; capacities are above 0"),
        ("capacity_bytes_per_s", -1.0, " is -1.0; capacities are above 0"),
        ("capacity_bytes_per_s", np.nan, " is nan; it takes finite numbers"),
        ("capacity_bytes_per_s", [1.0, np.inf], "[1] is inf; it takes finite numbers"),
        ("capacity_bytes_per_s", [[1.0]],
         " has shape (1, 1); it takes one axis, a value for each link"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_by_name(array: str, value: Any, message: str) -> None:
    complete_flows(**GOOD)
    with pytest.raises(ValueError, match=re.escape(message) + "$") as refused:
        complete_flows(**{**GOOD, array: value})
    assert str(refused.value).startswith((array, "flow "))


def test_a_link_below_zero_is_refused_with_one_capacity_for_all() -> None:
    with pytest.raises(ValueError, match=r"^link_idx\[0\] is -1, of flow 0; links are 0 to 1$"):
        complete_flows(**{**GOOD, "link_idx": [-1, 1, 1], "capacity_bytes_per_s": 1.0})
