"""The flow solver step by step: caps, standing flows, changes of links, room, refusals."""

from __future__ import annotations

import math
import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.kernels.flow_network import FlowNetwork
from sim.kernels.flows import complete_flows
from tests.unit.kernels.flow_cases import CAPACITIES, Watched


def test_a_cap_leaves_the_rest_to_others() -> None:
    network = FlowNetwork([10.0])
    slow = network.add(0.0, 4.0, [0], cap_bytes_per_s=2.0)
    fast = network.add(0.0, 32.0, [0])
    assert (network.rate(slow), network.rate(fast), network.load(0)) == (2.0, 8.0, 10.0)
    network.set_cap(1.0, slow, 7.0)  # more than its fair share
    assert (network.rate(slow), network.rate(fast)) == (5.0, 5.0)
    assert network.next_completion_s() == 1.4
    assert network.pop(1.4) == [(slow, 1.4)]
    assert network.rate(fast) == 10.0
    assert network.left_bytes(1.4, fast) == pytest.approx(22.0)
    assert network.pop(3.6) == [(fast, pytest.approx(3.6))]


def test_a_capped_flow_without_links_takes_its_time() -> None:
    network = FlowNetwork([1.0])
    flow = network.add(1.0, 6.0, [], cap_bytes_per_s=3.0)
    assert network.next_completion_s() == 3.0
    assert network.pop(3.0) == [(flow, 3.0)]


def test_a_standing_flow_takes_its_demand_and_never_ends() -> None:
    network = FlowNetwork([10.0])
    standing = network.stand(0.0, [0], 4.0)
    assert network.next_completion_s() == math.inf
    flow = network.add(0.0, 12.0, [0])
    assert (network.rate(standing), network.rate(flow)) == (4.0, 6.0)
    network.set_cap(1.0, standing, 9.0)
    assert (network.rate(standing), network.rate(flow)) == (5.0, 5.0)
    assert network.remove(1.4, standing) == math.inf
    end_s = network.next_completion_s()
    assert end_s == pytest.approx(1.8)
    network.set_cap(end_s, network.stand(end_s, [0], 3.0), 0.0)
    assert network.pop(end_s) == [(flow, end_s)]


def test_flows_stand_still_while_their_link_is_down() -> None:
    network = FlowNetwork([10.0, 10.0])
    flow = network.add(0.0, 20.0, [0, 1])
    network.set_capacity(1.0, 1, 0.0)
    assert (network.rate(flow), network.next_completion_s()) == (0.0, math.inf)
    late = network.add(2.0, 1.0, [1])
    assert (network.rate(late), network.left_bytes(4.0, flow)) == (0.0, 10.0)
    network.set_capacity(5.0, 1, 4.0)
    assert (network.rate(late), network.rate(flow)) == (2.0, 2.0)
    assert network.remove(5.5, late) == 0.0
    assert network.next_completion_s() == 7.75


def test_a_rate_is_right_where_the_capacity_was_far_higher() -> None:
    network = FlowNetwork([1e7])
    flow = network.add(0.0, 5e6, [0])
    network.set_capacity(0.25, 0, 0.1)
    assert network.rate(flow) == 0.1


@pytest.mark.parametrize("capacity", [0.0, 1e-12, 1e-3])
def test_nothing_is_left_of_the_rates_under_a_higher_capacity(capacity: float) -> None:
    # 10 / 3 three times is not 10: what is left of it must be no rate on a link that is down.
    network = FlowNetwork([10.0, 7.0])
    one, two, three = (network.add(0.0, 2.5, path) for path in ([0], [0, 1], [0]))
    network.set_capacity(0.25, 0, capacity)
    network.remove(0.25, one)
    assert network.rate(two) == network.rate(three) == capacity / 2.0
    network.remove(0.25, two)
    assert network.rate(three) == network.load(0) == capacity
    assert (network.next_completion_s() == math.inf) == (capacity == 0.0)


def test_flows_that_take_no_time_are_complete_at_once() -> None:
    network = FlowNetwork([0.0])
    ids = [network.add(2.0, 0.0, [0]), network.add(2.0, 5.0, [])]
    assert network.next_completion_s() == 2.0
    assert sorted(network.pop(2.0)) == [(i, 2.0) for i in sorted(ids)]
    assert network.next_completion_s() == math.inf


def test_a_late_pop_takes_each_event_at_its_time() -> None:
    network = FlowNetwork([1.0])
    one, two = network.add(0.0, 1.0, [0]), network.add(0.0, 2.0, [0])
    assert network.pop(9.0) == [(one, 2.0), (two, 3.0)]


def test_ids_are_used_once() -> None:
    network = FlowNetwork([1.0])
    ids = []
    for i in range(5):
        ids.append(network.add(float(i), 1.0, [0]))
        network.pop(i + 1.0)
    assert len(set(ids)) == 5
    with pytest.raises(KeyError, match=f"no flow {ids[0]} is in flight"):
        network.rate(ids[0])


def test_the_network_makes_room() -> None:
    rng = np.random.default_rng(8)
    paths = [tuple(rng.choice(30, rng.integers(1, 20), replace=False)) for _ in range(2000)]
    size = rng.exponential(1.0, 2000)
    network = FlowNetwork(np.full(30, 10.0))
    ids = [network.add(0.0, *flow) for flow in zip(size, paths, strict=True)]
    finish = {}
    while (next_s := network.next_completion_s()) < math.inf:
        finish.update(network.pop(next_s))
    ptr = np.cumsum([0, *map(len, paths)])
    expected = complete_flows(np.zeros(2000), size, ptr, np.concatenate(paths), np.full(30, 10.0))
    np.testing.assert_allclose([finish[i] for i in ids], expected, rtol=1e-11)


# ---- anything in any order, certified ------------------------------------------------------

KINDS = ("add", "add", "capped", "stand", "remove", "capacity", "cap", "wait", "next")


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_whatever_happens_rates_are_fair_and_bytes_are_kept(data: st.DataObject) -> None:
    links = data.draw(st.integers(1, 6))
    capacity = data.draw(st.sampled_from(CAPACITIES))
    watched = Watched(np.array(data.draw(st.lists(capacity, min_size=links, max_size=links))))
    network, unit = watched.network, float(watched.capacity.max())
    fastest = unit
    sizes: dict[int, float] = {}
    paths = st.lists(st.integers(0, links - 1), min_size=1, max_size=links, unique=True).map(tuple)
    parts = st.sampled_from([0.25, 0.5, 1.0]) | st.floats(0.01, 3.0)
    for kind in data.draw(st.lists(st.sampled_from(KINDS), max_size=40)):
        live = [i for i in sizes if i not in watched.finish_s]
        if kind in ("add", "capped"):
            size = unit * data.draw(parts)
            cap = unit * data.draw(parts) if kind == "capped" else math.inf
            sizes[watched.add(size, data.draw(paths), cap)] = size
        elif kind == "stand":
            flow = watched.add(math.inf, data.draw(paths), unit * data.draw(parts))
            sizes[flow] = math.inf
        elif kind == "remove" and live:
            flow = data.draw(st.sampled_from(live))
            left = network.remove(watched.now_s, flow)
            if left < math.inf:
                slack = 1e-11 * fastest * max(1.0, watched.now_s)
                assert left + watched.sent[flow] == pytest.approx(sizes[flow], abs=slack)
            del sizes[flow]
        elif kind == "capacity":
            link = data.draw(st.integers(0, links - 1))
            watched.capacity[link] = data.draw(st.just(0.0) | capacity)
            fastest = max(fastest, watched.capacity[link])
            network.set_capacity(watched.now_s, link, watched.capacity[link])
        elif kind == "cap" and any(watched.cap[i] < math.inf for i in live):
            flow = data.draw(st.sampled_from([i for i in live if watched.cap[i] < math.inf]))
            watched.cap[flow] = unit * data.draw(st.just(0.0) | parts)
            network.set_cap(watched.now_s, flow, watched.cap[flow])
        elif kind == "wait":
            watched.advance(watched.now_s + data.draw(parts))
        elif kind == "next" and (next_s := network.next_completion_s()) < math.inf:
            watched.advance(next_s)
        if data.draw(st.booleans()):
            watched.certify()
    watched.advance(math.inf)
    for flow in watched.finish_s:
        slack = 1e-10 * fastest * max(1.0, watched.now_s)
        assert watched.sent[flow] == pytest.approx(sizes[flow], rel=1e-9, abs=slack)


# ---- refusals ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda n: n.add(1.0, -1.0, [0]), "a flow has -1.0 bytes; it takes 0 or more"),
        (lambda n: n.add(1.0, math.nan, [0]), "a flow has nan bytes; it takes 0 or more"),
        (lambda n: n.add(math.nan, 1.0, [0]), "the time is nan s; it takes a finite number"),
        (lambda n: n.add(1.0, 1.0, [2]), "there is no link 2; links are 0 to 1"),
        (lambda n: n.add(1.0, 1.0, [0, -1]), "there is no link -1; links are 0 to 1"),
        (lambda n: n.add(1.0, 1.0, [1, 0, 1]), "a path has a link twice: [1, 0, 1]"),
        (lambda n: n.add(1.0, 1.0, [0.5]), "a path is a list of numbers of links, not [0.5]"),
        (lambda n: n.add(1.0, 1.0, [0], -2.0), "a cap is -2.0 bytes/s; it takes 0 or more"),
        (lambda n: n.add(1.0, math.inf, []), "a standing flow takes links or a cap"),
        (lambda n: n.add(0.5, 1.0, [0]), "0.5 s is before the last change, at 1.0 s"),
        (lambda n: n.add(9.0, 1.0, [0]),
         "9.0 s is after the completion at 3.0 s: pop it before"),
        (lambda n: n.stand(1.0, [0], math.inf), "a demand is inf bytes/s; it takes 0 or more"),
        (lambda n: n.set_capacity(1.0, 2, 1.0), "there is no link 2; links are 0 to 1"),
        (lambda n: n.set_capacity(1.0, 1, -1.0),
         "the capacity of link 1 is -1.0 bytes/s; it takes a finite number from 0 on"),
        (lambda n: n.set_cap(1.0, (1 << 32), 1.0),
         f"flow {1 << 32} was added without a cap; add it with one to change it"),
        (lambda n: n.load(-1), "there is no link -1; links are 0 to 1"),
        (lambda n: FlowNetwork([1.0, math.nan]),
         "the capacity of link 1 is nan bytes/s; it takes a finite number from 0 on"),
        (lambda n: FlowNetwork(1.0), "capacities have shape (); there is one for each link"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(call: Any, message: str) -> None:
    network = FlowNetwork([1.0, 1.0])
    assert network.add(1.0, 2.0, [0]) == 1 << 32
    with pytest.raises(ValueError) as refused:  # noqa: PT011
        call(network)
    assert str(refused.value) == message
    assert network.pop(3.0) == [(1 << 32, 3.0)]  # nothing of it was taken


def level(capacity: float, others: list[float]) -> float:
    """w with w + Σ min(rate, w) = capacity, by halving."""
    low, high = 0.0, capacity
    for _ in range(200):
        middle = (low + high) / 2
        if middle + sum(min(rate, middle) for rate in others) <= capacity:
            low = middle
        else:
            high = middle
    return low


@pytest.mark.parametrize("seed", range(40))
def test_a_share_is_the_level_at_which_the_others_leave_room(seed: int) -> None:
    rng = random.Random(seed)
    capacities = [rng.choice([1.0, 2.0, 5.0, 10.0 * rng.random() + 0.1]) for _ in range(6)]
    network = FlowNetwork(capacities)
    paths: dict[int, list[int]] = {}
    capped = []
    for _ in range(rng.randint(1, 15)):
        links = rng.sample(range(6), rng.randint(1, 4))
        if rng.random() < 0.5:
            flow = network.add(0.0, 1e6, links, rng.choice([0.01, 0.3, 2.0, 50.0]))
            capped.append(flow)
        else:
            flow = network.add(0.0, 1e6, links)
        paths[flow] = links
    for flow in capped:
        expected = min(
            level(
                capacities[link],
                [network.rate(other) for other in paths if other != flow and link in paths[other]],
            )
            for link in paths[flow]
        )
        assert network.share(flow) == pytest.approx(expected, rel=1e-9)
        assert network.share(flow) >= network.rate(flow) * (1 - 1e-9)
