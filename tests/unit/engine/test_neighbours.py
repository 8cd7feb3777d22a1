"""Neighbours on the network: who sends to whom, how long a round takes, when the next begins."""

from __future__ import annotations

from collections import Counter

import pytest

from sim.check.scenario import Traffic
from sim.engine.environment import OrderedEnvironment
from sim.engine.neighbours import Neighbour
from sim.engine.network import Flow, Network
from sim.policies.base import policies
from tests.unit.site.fabrics import built, plan_of, site_of

#: NICs of 80 Gb/s: 10 GB/s.
RATE = 1e10
DURATION_S = 10.0


class Wire(Network):
    """A network that keeps what was sent."""

    def __init__(self, servers: int, kind: str) -> None:
        self.sent: list[Flow] = []
        self.clock = OrderedEnvironment()
        fabric = built(site_of(servers), plan_of(kind, nic=RATE))
        super().__init__(fabric, policies("paths")["ecmp"](), 1, self.clock)

    def send(self, *values: object, **more: object) -> Flow:
        """Start a flow, as ever."""
        flow = super().send(*values, **more)  # type: ignore[arg-type]
        self.sent.append(flow)
        return flow

    def run(self, until_s: float) -> None:
        """Handle everything before ``until_s``."""
        self.settle()
        while self.clock.peek() < until_s:
            self.clock.step()
            self.settle()


class Events:
    """A recorder of events only."""

    def __init__(self) -> None:
        self.rows: list[tuple[float, str, str, str]] = []

    def event(self, *row: object) -> None:
        """Keep it."""
        self.rows.append(row)  # type: ignore[arg-type]


def plan(servers: int, **changes: object) -> Traffic:
    """Each GPU of each server sends 10 GB a round, every 2 s."""
    given: dict[str, object] = {
        "name": "job", "kind": "ring", "size_bytes": 1e10, "every_s": 2.0,
        "limit_bytes_per_s": None, "begin_s": 0.0, "until_s": DURATION_S,
        "gpus": tuple(tuple(range(8 * n, 8 * n + 8)) for n in range(servers)),
    }  # fmt: skip
    return Traffic(**{**given, **changes})  # type: ignore[arg-type]


def rounds(
    servers: int, until_s: float = DURATION_S, **changes: object
) -> tuple[list[Flow], list[tuple[float, str, str, str]]]:
    """What a neighbour sent before ``until_s``, and the events that it wrote."""
    wire, events = Wire(servers, "rail-optimised"), Events()
    Neighbour(plan(servers, **changes), wire, events)  # type: ignore[arg-type]
    wire.run(until_s)
    return wire.sent, events.rows


def starts(flows: list[Flow]) -> list[float]:
    """When rounds started."""
    return sorted({flow.start_s for flow in flows})


def test_a_ring_sends_to_the_same_rank_of_the_next_server() -> None:
    flows, events = rounds(3, until_s=1.0)
    ends = [(flow.source, flow.target) for flow in flows]
    assert sorted(ends) == [(g, (g + 8) % 24) for g in range(24)]
    assert {flow.size_bytes for flow in flows} == {1e10}
    assert events == []


def test_all_to_all_sends_to_the_same_rank_of_every_other_server() -> None:
    flows, _ = rounds(4, until_s=0.5, kind="all-to-all")
    assert Counter(flow.source for flow in flows) == dict.fromkeys(range(32), 3)
    assert all(flow.source % 8 == flow.target % 8 for flow in flows)
    assert all(flow.source != flow.target for flow in flows)
    assert {flow.size_bytes for flow in flows} == {1e10 / 3}


def test_a_round_takes_its_bytes_over_the_rate_and_the_next_starts_when_it_is_due() -> None:
    flows, _ = rounds(2, until_s=7.0)
    assert starts(flows) == [0.0, 2.0, 4.0, 6.0]
    told = flows[0].told
    assert told is not None
    assert told.finish_s == pytest.approx(1.0, abs=1e-12)


def test_the_next_round_waits_for_the_last_byte_and_its_latency() -> None:
    flows, _ = rounds(2, until_s=7.0, size_bytes=3e10)
    latency_s = flows[0].latency_s
    assert latency_s > 0
    expected = [0.0, 3.0 + latency_s, 6.0 + 2 * latency_s]
    assert starts(flows) == pytest.approx(expected, abs=1e-9)


def test_a_limit_holds_for_all_that_a_gpu_sends_together() -> None:
    flows, _ = rounds(3, until_s=9.0, kind="all-to-all", limit_bytes_per_s=2.5e9)
    # 10 GB at 2.5 GB/s.
    assert starts(flows)[:2] == pytest.approx([0.0, 4.0 + flows[0].latency_s], abs=1e-9)
    assert {flow.cap_bytes_per_s for flow in flows} == {1.25e9}


def test_rounds_start_from_begin_to_before_until() -> None:
    flows, _ = rounds(2, begin_s=1.5)
    assert starts(flows) == [1.5, 3.5, 5.5, 7.5, 9.5]


def test_no_round_starts_at_until() -> None:
    wire, events = Wire(2, "rail-optimised"), Events()
    Neighbour(plan(2, until_s=4.0), wire, events)  # type: ignore[arg-type]
    wire.run(9.0)
    assert starts(wire.sent) == [0.0, 2.0]


def test_what_is_cut_off_is_left_out_and_said_once() -> None:
    wire, events = Wire(2, "single-switch"), Events()
    Neighbour(plan(2), wire, events)  # type: ignore[arg-type]
    wire.run(0.5)
    switch = next(name for name in wire.fabric.names if name.startswith("leaf"))
    wire.fail(switch, 0.5)
    wire.run(5.0)
    assert starts(wire.sent) == [0.0]
    ((time_s, kind, entity, detail),) = events.rows
    assert (time_s, kind) == (0.5, "partition")
    assert entity in wire.fabric.names
    assert detail.startswith(f"job: {entity}: no path from ")
    wire.restore(switch, 5.0)
    wire.run(7.0)
    assert starts(wire.sent) == [0.0, 6.0]
    assert len(events.rows) == 1
