"""Flows on SimPy's clock."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np
import pytest
import simpy
from hypothesis import given, settings

from sim.engine.shared_links import SharedLinks
from sim.kernels.flow_network import FlowNetwork
from sim.kernels.flows import complete_flows
from tests.unit.kernels.flow_cases import Case, cases


@settings(deadline=None, max_examples=60)
@given(cases())
def test_flows_are_complete_when_they_are_without_a_clock(case: Case) -> None:
    env = simpy.Environment()
    shared = SharedLinks(env, FlowNetwork(case.capacity))
    found: dict[int, tuple[float, float]] = {}

    def send(i: int) -> Generator[simpy.Event, Any, None]:
        yield env.timeout(case.start_s[i])
        finish_s = yield shared.transfer(case.size_bytes[i], case.paths[i])
        found[i] = finish_s, env.now

    for i in range(len(case.paths)):
        env.process(send(i))
    env.run()
    finish = complete_flows(*case.arguments)
    for i, expected in enumerate(finish):
        assert found[i] == (pytest.approx(expected, rel=1e-11), pytest.approx(expected, rel=1e-11))


def test_a_link_that_fails_and_returns_delays_what_crosses_it() -> None:
    env = simpy.Environment()
    shared = SharedLinks(env, FlowNetwork([10.0]))
    done = shared.transfer(20.0, [0])

    def fail() -> Generator[simpy.Event, Any, None]:
        yield env.timeout(1.0)
        shared.set_capacity(0, 0.0)
        yield env.timeout(5.0)
        shared.set_capacity(0, 5.0)

    env.process(fail())
    assert env.run(done) == 8.0
    assert env.now == 8.0


def test_a_standing_flow_takes_its_part_until_it_goes() -> None:
    env = simpy.Environment()
    shared = SharedLinks(env, FlowNetwork([10.0]))
    standing = shared.stand([0], 6.0)
    done = shared.transfer(25.0, [0])

    def change() -> Generator[simpy.Event, Any, None]:
        yield env.timeout(1.0)  # at 5
        shared.set_demand(standing, 2.0)
        yield env.timeout(1.0)  # at 8
        shared.remove(standing)

    env.process(change())
    assert env.run(done) == pytest.approx(3.2)


def test_what_starts_at_one_time_is_solved_once(monkeypatch: pytest.MonkeyPatch) -> None:
    env = simpy.Environment()
    network = FlowNetwork(np.ones(1))
    shared = SharedLinks(env, network)
    asked = []
    ask = network.next_completion_s
    monkeypatch.setattr(network, "next_completion_s", lambda: asked.append(env.now) or ask())
    for _ in range(50):
        shared.transfer(1.0, [0])
    env.run()
    assert asked == [0.0, 50.0]
