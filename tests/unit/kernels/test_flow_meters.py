"""Meters of links and flows: by hand, against rates found anew between events, and conservation."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.kernels.flow_network import FlowNetwork
from sim.kernels.flow_readings import USE_ERROR, LinkMeters
from tests.unit.kernels.flow_cases import CAPACITIES
from tests.unit.kernels.flow_ledger import Ledger
from tests.unit.kernels.test_flows import recording

SHARES = (0.0, 0.25, 0.5, 0.95, 0.99, 1.0)


def finish_all(network: FlowNetwork) -> dict[int, Any]:
    """Take out every flow that will be complete."""
    stories = {}
    while (next_s := network.next_completion_s()) < math.inf:
        stories.update({story.flow: story for story in network.pop_metered(next_s)})
    return stories


def test_two_flows_on_one_link_by_hand() -> None:
    # 5 B/s each until 2 s, when the second is complete; then the first alone at 10 B/s until 3 s.
    network = FlowNetwork([10.0, 20.0, 7.0], metered=True)
    network.open_window(0.0)
    one = network.add(0.0, 20.0, [0, 1])
    two = network.add(0.0, 10.0, [0])
    stories = finish_all(network)
    assert stories[two][1:] == (2.0, 0.0, 10.0, 10.0, 0, 2.0, 2)
    assert stories[one][1:] == (3.0, 0.0, 20.0, 10.0, 0, 3.0, 2)
    assert stories[one].mean_bytes_per_s == pytest.approx(20.0 / 3.0)
    found = network.close_window(4.0)
    assert (found.window_s, found.links, found.link.tolist()) == (4.0, 3, [0, 1])
    assert found.bytes.tolist() == [30.0, 20.0]
    assert found.could_bytes.tolist() == [40.0, 80.0]
    assert found.mean_use.tolist() == [0.75, 0.25]
    assert found.saturated_s.tolist() == [3.0, 0.0]
    assert found.peak_use.tolist() == [1.0, 0.5]
    assert found.peak_bytes_per_s.tolist() == [10.0, 10.0]
    assert found.waiting_flow_s.tolist() == [5.0, 0.0]
    assert found.most_waiting.tolist() == [2, 0]
    assert found.flows.tolist() == [2, 1]
    assert found.held_flows.tolist() == [2, 0]
    # Link 1 carries a quarter of its capacity for 2 s, half of it for 1 s, nothing for 1 s.
    assert found.quantile(0.2).tolist() == [0.0, 0.0]
    assert found.quantile(0.5).tolist() == [1.0, pytest.approx(0.25, abs=1.01 * USE_ERROR)]
    assert found.quantile(1.0).tolist() == [1.0, 0.5]


def test_a_window_has_only_what_is_in_it() -> None:
    network = FlowNetwork([10.0, 10.0], metered=True)
    flow = network.add(0.0, 50.0, [0])
    network.add(0.0, 5.0, [1])
    network.pop_metered(0.5)
    network.open_window(2.0)
    found = network.close_window(4.0)
    assert found.link.tolist() == [0]
    assert (found.bytes.tolist(), found.flows.tolist()) == ([20.0], [1])
    assert network.close_window(4.5).bytes.tolist() == [25.0]  # it stays open
    (story,) = network.pop_metered(5.0)
    assert (story.flow, story.start_s, story.bottleneck_s) == (flow, 0.0, 5.0)  # its whole life
    assert network.close_window(6.0).bytes.tolist() == [30.0]
    network.open_window(6.0)
    assert network.close_window(7.0).link.tolist() == []


def test_slots_of_time_by_hand_leave_the_window_as_it_is() -> None:
    # Two flows until 2 s, one until 3 s, then nothing; link 1 is down for half of the first slot.
    network, plain = (FlowNetwork([10.0, 20.0, 7.0], metered=True) for _ in range(2))
    slots = []
    for one in (network, plain):
        one.open_window(0.0)
        one.add(0.0, 20.0, [0])
        one.add(0.0, 10.0, [0])
        one.set_capacity(0.0, 1, 0.0)
        one.set_capacity(0.75, 1, 20.0)
        one.add(0.75, 15.0, [1])
    for end_s in (1.5, 3.0, 4.5):
        while network.next_completion_s() <= end_s:
            network.pop_metered(network.next_completion_s())
        slots.append(network.read_slot(end_s))
    finish_all(plain)
    assert [slot.link.tolist() for slot in slots] == [[0, 1], [0], []]
    assert slots[0].use_s.tolist() == [1.5, 0.75]  # of 1.5 s; link 1 carried all it could, 15 B
    assert slots[0].peak_use.tolist() == [1.0, 1.0]
    assert slots[0].full_s.tolist() == [1.5, 0.75]
    assert (slots[1].use_s.tolist(), slots[1].full_s.tolist()) == ([1.5], [1.5])
    found, expected = (one.close_window(5.0) for one in (network, plain))
    assert found.bytes.tolist() == expected.bytes.tolist() == [30.0, 15.0]
    assert found.could_bytes.tolist() == expected.could_bytes.tolist()
    assert found.down_s.tolist() == [0.0, 0.75]


def test_a_link_that_is_down_is_neither_idle_nor_full() -> None:
    network = FlowNetwork([10.0, 0.0], metered=True)
    network.open_window(0.0)
    network.add(0.0, 20.0, [0])
    network.set_capacity(1.0, 0, 0.0)
    network.set_capacity(4.0, 0, 5.0)
    (story,) = network.pop_metered(6.0)
    assert (story.finish_s, story.alone_bytes_per_s, story.bottleneck_s) == (6.0, 5.0, 6.0)
    found = network.close_window(8.0)
    assert found.link.tolist() == [0, 1]
    assert found.down_s.tolist() == [3.0, 8.0]
    assert found.saturated_s.tolist() == [3.0, 0.0]
    assert found.could_bytes.tolist() == [30.0, 0.0]
    np.testing.assert_array_equal(found.mean_use, [20.0 / 30.0, np.nan])
    np.testing.assert_array_equal(found.quantile(0.9), [1.0, np.nan])
    assert found.waiting_flow_s.tolist() == [6.0, 0.0]


def test_a_cap_or_nothing_may_be_the_bottleneck() -> None:
    network = FlowNetwork([10.0], metered=True)
    network.open_window(0.0)
    capped = network.add(0.0, 4.0, [0], cap_bytes_per_s=2.0)
    loose = network.add(0.0, 6.0, [], cap_bytes_per_s=3.0)
    empty, nowhere = network.add(0.0, 0.0, [0]), network.add(0.0, 9.0, [])
    stories = finish_all(network)
    assert stories[capped][4:] == (2.0, -1, 2.0, 1)
    assert stories[loose][4:] == (3.0, -1, 2.0, 1)
    assert stories[empty][3:] == (0.0, math.inf, -1, 0.0, 1)
    assert stories[nowhere][3:] == (9.0, math.inf, -1, 0.0, 1)
    assert stories[nowhere].mean_bytes_per_s == math.inf
    found = network.close_window(2.0)
    assert (found.flows.tolist(), found.held_flows.tolist()) == ([1], [0])
    assert (found.bytes.tolist(), found.waiting_flow_s.tolist()) == ([4.0], [0.0])


def test_who_shares_a_bottleneck_is_counted_while_it_is_one() -> None:
    # Three on link 0 in [1, 2), four in [2, 3); on link 1, which is slower from 4 s on, two.
    network = FlowNetwork([12.0, 12.0], metered=True)
    flow = network.add(0.0, 100.0, [0, 1])
    others = [network.add(1.0, 1e9, [0]), network.add(1.0, 1e9, [0])]
    third = network.add(2.0, 1e9, [0])
    network.remove(3.0, third)
    for other in others:
        network.remove(4.0, other)
    network.set_capacity(4.0, 1, 2.0)
    brief = network.add(4.0, 1e9, [1])
    assert network.rate(brief) == 1.0
    network.remove(4.0, brief)  # it was there for no time
    other = network.add(5.0, 1e9, [1])
    (story,) = network.pop_metered(200.0)
    # 12 + 4 + 3 + 4 bytes by 4 s, 2 until 5 s, and the other 75 at 1 B/s.
    assert story[:4] == (flow, 80.0, 0.0, 100.0)
    assert (story.bottleneck, story.bottleneck_s, story.flows_shared) == (1, 76.0, 2)
    assert network.remove(200.0, other) == 1e9 - 75.0 - 2.0 * 120.0


def test_meters_grow_with_the_network() -> None:
    rng = np.random.default_rng(8)
    paths = [tuple(rng.choice(30, rng.integers(1, 20), replace=False)) for _ in range(2000)]
    size = rng.exponential(1.0, 2000)
    network = FlowNetwork(np.full(30, 10.0), metered=True)
    network.open_window(0.0)
    ids = [network.add(0.0, *flow) for flow in zip(size, paths, strict=True)]
    stories = finish_all(network)
    assert [stories[i].size_bytes for i in ids] == size.tolist()
    found = network.close_window(max(story.finish_s for story in stories.values()))
    expected = [sum(size[i] for i in range(2000) if link in paths[i]) for link in range(30)]
    np.testing.assert_allclose(found.bytes, expected, rtol=1e-12)
    assert found.held_flows.sum() == 2000
    waited = sum(story.finish_s for story in stories.values())
    assert found.waiting_flow_s.sum() == pytest.approx(waited, rel=1e-9)


def test_bytes_are_conserved_late_and_short(shared_data: Path) -> None:
    run = recording(shared_data, "fat_tree_1024_1000_load0.3")
    ptr, idx, late_s = run["link_ptr"], run["link_idx"], 1e5
    network = FlowNetwork(
        np.full(int(run["n_links"]), float(run["capacity_bytes_per_s"])), metered=True
    )
    network.open_window(0.0)
    stories: dict[int, Any] = {}
    first = np.zeros(int(run["n_links"]))
    for i in np.argsort(run["start_s"], kind="stable"):
        start_s = late_s + float(run["start_s"][i])
        while (next_s := network.next_completion_s()) <= start_s:
            stories.update({story.flow: story for story in network.pop_metered(next_s)})
        network.add(start_s, float(run["size_bytes"][i]), idx[ptr[i] : ptr[i + 1]])
        first[idx[ptr[i]]] += run["size_bytes"][i]
    stories |= finish_all(network)
    end_s = max(story.finish_s for story in stories.values())
    found = network.close_window(end_s)
    carried = dict(zip(found.link.tolist(), found.bytes.tolist(), strict=True))
    # Hosts send over links of their own, so a first link carries first links' bytes only.
    np.testing.assert_allclose([carried[i] for i in np.flatnonzero(first)], first[first > 0], 1e-9)
    assert sum(story.size_bytes for story in stories.values()) == pytest.approx(first.sum())
    np.testing.assert_allclose(found.use_s.sum(axis=1), end_s, rtol=1e-12)


# ---- anything in any order, against rates found anew -----------------------------------------

KINDS = (
    "add",
    "add",
    "add",
    "capped",
    "stand",
    "remove",
    "capacity",
    "cap",
    "wait",
    "next",
    "open",
)


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_meters_are_what_rates_found_anew_give(data: st.DataObject) -> None:
    links = data.draw(st.integers(1, 5))
    capacity = data.draw(st.sampled_from(CAPACITIES))
    ledger = Ledger(np.array(data.draw(st.lists(capacity, min_size=links, max_size=links))))
    unit = float(ledger.capacity.max())
    paths = st.lists(st.integers(0, links - 1), min_size=1, max_size=links, unique=True).map(tuple)
    parts = st.sampled_from([0.25, 0.5, 1.0]) | st.floats(0.01, 3.0)
    for kind in data.draw(st.lists(st.sampled_from(KINDS), max_size=30)):
        live = list(ledger.live)
        if kind in ("add", "capped"):
            cap = unit * data.draw(parts) if kind == "capped" else math.inf
            ledger.add(unit * data.draw(st.just(0.0) | parts), data.draw(paths), cap)
        elif kind == "stand":
            ledger.add(math.inf, data.draw(paths), unit * data.draw(parts))
        elif kind == "remove" and live:
            flow = data.draw(st.sampled_from(live))
            ledger.remove(flow)
        elif kind == "capacity":
            link = data.draw(st.integers(0, links - 1))
            ledger.set_capacity(link, data.draw(st.just(0.0) | capacity))
        elif kind == "cap" and any(ledger.cap[i] < math.inf for i in live):
            flow = data.draw(st.sampled_from([i for i in live if ledger.cap[i] < math.inf]))
            ledger.set_cap(flow, unit * data.draw(st.just(0.0) | parts))
        elif kind == "wait":
            ledger.advance(ledger.now_s + data.draw(parts))
        elif kind == "next" and (next_s := ledger.next_s()) < math.inf:
            ledger.advance(next_s)
        elif kind == "open":
            ledger.open()
    check_links(ledger)
    ledger.advance(math.inf)
    check_links(ledger)
    check_stories(ledger)


def check_links(ledger: Ledger) -> None:
    """Compare the meters of links with the ledger."""
    found = ledger.network.close_window(ledger.now_s)
    used = [link for link in ledger.seen if ledger.seen[link] or ledger.down_s[link] > 0.0]
    assert found.link.tolist() == used
    span = max(1.0, ledger.now_s)
    # Bytes are a difference of what flows had left, which is right to a rounding of their sizes.
    rounding = 1e-14 * sum(size for size in ledger.size.values() if size < math.inf)
    for k, link in enumerate(used):
        slack = 1e-9 * max(ledger.could[link], ledger.capacity[link] * span) + rounding
        assert found.bytes[k] == pytest.approx(ledger.bytes[link], rel=1e-9, abs=slack)
        assert found.could_bytes[k] == pytest.approx(ledger.could[link], rel=1e-9)
        assert found.down_s[k] == pytest.approx(ledger.down_s[link], rel=1e-9, abs=1e-9)
        assert found.use_s[k].sum() + found.down_s[k] == pytest.approx(
            ledger.now_s - ledger.opened_s, rel=1e-9, abs=1e-9
        )
        full_s = math.fsum(passed_s for use, passed_s in ledger.uses[link] if use == 1.0)
        assert found.saturated_s[k] == pytest.approx(full_s, rel=1e-9, abs=1e-9 * span)
        slack = 1e-9 * span
        assert ledger.only[link] - slack <= found.waiting_flow_s[k] <= ledger.among[link] + slack
        assert found.most_waiting[k] <= ledger.most_waiting[link]
        assert found.flows[k] == len(ledger.seen[link])
        check_use(ledger, found, k, link)


def check_use(ledger: Ledger, found: LinkMeters, k: int, link: int) -> None:
    """Compare quantiles and the peak of one link's utilisation."""
    if not ledger.uses[link]:
        assert np.isnan(found.quantile(0.5)[k]) or not found.use_s[k].any()
        return
    peak = max(use for use, _ in ledger.uses[link])
    assert found.peak_use[k] == pytest.approx(peak, rel=1e-9, abs=1e-9)
    for share in SHARES:
        # Where the quantile jumps, rounding decides on which side of it time ends.
        low, high = (ledger.quantile(link, share + off) for off in (-1e-9, 1e-9))
        value = found.quantile(share)[k]
        assert low - USE_ERROR - 1e-9 <= value <= high + USE_ERROR + 1e-9


def check_stories(ledger: Ledger) -> None:
    """Compare what flows tell with the ledger."""
    for flow, story in ledger.stories.items():
        assert (story.start_s, story.size_bytes) == (ledger.start_s[flow], ledger.size[flow])
        if story.bottleneck_s == 0.0:
            continue
        slack = 1e-9 * max(1.0, ledger.now_s)
        link = story.bottleneck
        assert story.bottleneck_s <= ledger.flow_among[flow, link] + slack
        for other in range(-1, len(ledger.capacity)):
            assert story.bottleneck_s >= ledger.flow_only[flow, other] - slack
        assert 1 <= story.flows_shared <= max(1, ledger.most_shared[flow, link])


# ---- refusals --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("metered", "call", "message"),
    [
        (False, lambda n: n.open_window(1.0),
         "this network has no meters: make it with metered=True"),
        (False, lambda n: n.close_window(1.0),
         "this network has no meters: make it with metered=True"),
        (False, lambda n: n.pop_metered(1.0),
         "this network has no meters: make it with metered=True"),
        (True, lambda n: n.close_window(1.0),
         "no window is open: open_window says from when on links are counted"),
        (False, lambda n: n.read_slot(1.0),
         "this network has no meters: make it with metered=True"),
        (True, lambda n: n.read_slot(0.5), "0.5 s is before the last change, at 1.0 s"),
        (True, lambda n: n.open_window(0.5), "0.5 s is before the last change, at 1.0 s"),
        (True, lambda n: n.open_window(9.0),
         "9.0 s is after the completion at 3.0 s: pop it before"),
        (True, lambda n: n.open_window(math.inf), "the time is inf s; it takes a finite number"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(metered: bool, call: Any, message: str) -> None:
    network = FlowNetwork([1.0], metered=metered)
    network.add(1.0, 2.0, [0])
    with pytest.raises(ValueError) as refused:  # noqa: PT011
        call(network)
    assert str(refused.value) == message
