"""Flows on the clock of a run: by hand, on two servers."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import pytest

from sim.engine.environment import OrderedEnvironment
from sim.engine.network import Flow, Network
from sim.errors import PartitionError, UnknownName
from sim.policies.base import policies
from sim.site.fabric.types import Fabric
from tests.unit.site.fabrics import built, plan_of, site_of

#: NICs of 80 Gb/s: 10 GB/s.
RATE = 1e10
#: GPU 0 of each of the two servers.
HERE, THERE = 0, 8


def fabric_of(kind: str) -> Fabric:
    """Two servers of eight GPUs each."""
    return built(site_of(2), plan_of(kind, nic=RATE))


@dataclass
class Clock:
    """A network whose events are handled up to a time, and what they told."""

    fabric: Fabric
    env: OrderedEnvironment = field(default_factory=OrderedEnvironment)
    done: dict[str, float] = field(default_factory=dict)
    lost: dict[str, tuple[str, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.network = Network(self.fabric, policies("paths")["ecmp"](), 1, self.env)

    def send(self, name: str, source: int, target: int, size_bytes: float, **more: float) -> Flow:
        """Start a flow now; its end is kept under its name."""
        return self.network.send(
            source, target, size_bytes, self.env.now,
            lambda at_s: self.done.update({name: at_s}),
            lambda error, at_s: self.lost.update({name: (error.entity, at_s)}),
            **more,
        )  # fmt: skip

    def run(self, until_s: float = math.inf) -> None:
        """Handle everything before ``until_s``, and let it be that time."""
        self.network.settle()
        while self.env.peek() < until_s:
            self.env.step()
            self.network.settle()
        if until_s < math.inf:
            self.env.at(until_s, 0, 0)
            self.env.step()

    def latency_s(self, flow: Flow) -> float:
        """Of the links of its path, added up."""
        return sum(float(self.fabric.latency_s[link]) for link in flow.path)


@pytest.fixture
def clock() -> Clock:
    return Clock(fabric_of("rail-optimised"))


def test_a_flow_takes_its_bytes_over_its_slowest_link_and_the_latencies(clock: Clock) -> None:
    flow = clock.send("one", HERE, THERE, 5e9)
    assert clock.network.line_rate(flow) == RATE
    clock.run()
    assert flow.latency_s > 0
    assert clock.done == {"one": pytest.approx(0.5 + clock.latency_s(flow), abs=1e-12)}


def test_two_flows_of_a_nic_get_half_each_and_the_rest_when_one_is_gone(clock: Clock) -> None:
    flow = clock.send("one", HERE, THERE, 5e9)
    clock.send("two", HERE, THERE, 15e9)
    clock.run()
    latency_s = clock.latency_s(flow)
    assert clock.done["one"] == pytest.approx(1.0 + latency_s, abs=1e-12)
    # Half a second's worth of bytes went beside the first, the other 10 GB after it.
    assert clock.done["two"] == pytest.approx(2.0 + latency_s, abs=1e-12)


def test_what_is_cancelled_never_arrives_and_leaves_its_rate_to_others(clock: Clock) -> None:
    one, two = (clock.send(name, HERE, THERE, 10e9) for name in ("one", "two"))
    clock.run(1.0)
    assert clock.network.rate(two) == pytest.approx(RATE / 2)
    clock.network.cancel(one, 1.0)
    clock.network.settle()
    assert clock.network.rate(one) == 0.0
    clock.run()
    # 5 GB were left of the other.
    assert clock.done == {"two": pytest.approx(1.5 + clock.latency_s(two), abs=1e-12)}


def test_a_flow_cancelled_between_its_last_byte_and_its_arrival_never_arrives(clock: Clock) -> None:
    flow = clock.send("one", HERE, THERE, 10e9)
    clock.run(1.0 + flow.latency_s / 2)
    assert flow.number == -1
    clock.network.cancel(flow, clock.env.now)
    clock.run()
    assert clock.done == {}


def test_a_cap_holds_until_it_is_changed(clock: Clock) -> None:
    flow = clock.send("one", HERE, THERE, 4e9, cap_bytes_per_s=1e9)
    clock.run(2.0)
    assert clock.network.rate(flow) == 1e9
    clock.network.set_cap(flow, math.inf, 2.0)
    clock.run()
    assert clock.done == {"one": pytest.approx(2.2 + clock.latency_s(flow), abs=1e-12)}


def test_a_standing_flow_takes_its_demand_and_no_more_than_its_share(clock: Clock) -> None:
    standing = clock.network.stand(HERE, THERE, 2e9, 0.0, lambda error, at_s: None)
    clock.run(1.0)
    assert clock.network.rate(standing) == 2e9
    flow = clock.send("one", HERE, THERE, 8e9)
    clock.run(1.5)
    assert clock.network.rate(flow) == pytest.approx(8e9)
    clock.network.cancel(standing, 1.5)
    clock.run()
    assert clock.done == {"one": pytest.approx(1.5 + 0.4 + clock.latency_s(flow), abs=1e-12)}


def test_a_flow_whose_switch_dies_goes_around_it_with_what_it_has_left(clock: Clock) -> None:
    flow = clock.send("one", HERE, THERE, 10e9)
    before = flow.path
    clock.run(0.25)
    clock.network.fail("leaf-1", 0.25)
    assert flow.path != before
    clock.run(0.5)
    clock.network.restore("leaf-1", 0.5)
    detour = flow.path
    clock.run()
    assert flow.path == detour
    rest_s = 7.5e9 / clock.network.line_rate(flow)
    expected_s = 0.25 + rest_s + clock.latency_s(flow)
    assert clock.done == {"one": pytest.approx(expected_s, abs=1e-12)}
    assert clock.lost == {}


def test_a_flow_is_lost_where_nothing_joins_its_ends_and_none_can_start() -> None:
    clock = Clock(fabric_of("single-switch"))
    clock.send("one", HERE, THERE, 10e9)
    clock.send("inside", HERE, HERE + 1, 9e11)
    clock.run(0.5)
    switch = next(name for name in clock.fabric.names if name.startswith("leaf"))
    clock.network.fail(switch, 0.5)
    assert [at_s for _, at_s in clock.lost.values()] == [0.5]
    with pytest.raises(PartitionError):
        clock.send("two", HERE, THERE, 1.0)
    clock.network.restore(switch, 0.5)
    flow = clock.send("three", HERE, THERE, 10e9)
    clock.run()
    assert set(clock.done) == {"inside", "three"}
    assert clock.done["three"] == pytest.approx(1.5 + clock.latency_s(flow), abs=1e-12)


def test_what_stays_on_its_gpu_is_there_at_once(clock: Clock) -> None:
    flow = clock.send("one", HERE, HERE, 1e12)
    assert clock.done == {}  # not before the clock says so
    clock.run()
    assert clock.done == {"one": 0.0}
    assert flow.path == ()


def test_inside_a_server_the_nics_play_no_part(clock: Clock) -> None:
    flow = clock.send("one", HERE, HERE + 3, 45e9)
    clock.run()
    rate = clock.network.line_rate(flow)
    assert rate > 10 * RATE
    assert clock.done == {"one": pytest.approx(45e9 / rate + clock.latency_s(flow), abs=1e-12)}


def test_a_part_that_is_not_there_is_named(clock: Clock) -> None:
    with pytest.raises(UnknownName, match="did you mean 'leaf-"):
        clock.network.fail("leaf-l", 0.0)
