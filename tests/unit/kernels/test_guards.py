"""Compiled guards against the reference's: random trees, loads, rewirings, guards that give up."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.catalog.protection import Battery, Breaker, Electronic, Overload, Thermal, UpsProduct
from sim.engine.compiled_power import rewire
from sim.engine.power_meter import PowerMeter
from sim.engine.wiring import Wiring
from sim.kernels import power as kernels
from sim.kernels.power_state import PowerState, power_state
from sim.site.types import PowerTree, RatedBreaker, Site, UpsGear
from tests.unit.kernels.power_cases import DRAWS_MW, PAUSES_S, later, power_trees

TABLES = st.sampled_from(
    [
        Overload(((1.0, math.inf), (1.25, 600.0), (1.5, 30.0)), 0.5, 3600.0),
        Overload(((1.12, math.inf), (1.5, 10.0)), 0.0, 0.0),
    ]
)
ELEMENTS = st.sampled_from(
    [
        Thermal(1.44, 240.0),
        Thermal(1.1, 9.0),
        Electronic(1.2, 60.0, 100.0),
        Electronic(1.0, 5.0, 9.0),
    ]
)
RATINGS_W = st.sampled_from([960.0, 4000.0]) | st.floats(500.0, 20_000.0)


@st.composite
def guarded_trees(draw: st.DrawFn) -> tuple[Site, PowerTree]:
    """A random tree with breakers and UPSs anywhere."""
    where, plain = draw(power_trees())
    nodes = []
    for node in plain.nodes:
        if draw(st.booleans()):
            breaker = Breaker("x", draw(ELEMENTS), draw(st.sampled_from([8.0, 1.5])))
            node = replace(node, breaker=RatedBreaker(breaker, draw(RATINGS_W)))
        if node.kind == "ups" and draw(st.booleans()):
            product = UpsProduct("x", draw(TABLES), draw(TABLES), draw(TABLES))
            battery = Battery(
                draw(st.sampled_from([5.0, 300.0])), draw(st.sampled_from([1.0, 1.2]))
            )
            node = replace(node, rating_w=draw(RATINGS_W), ups=UpsGear(product, battery))
        nodes.append(node)
    return where, replace(plain, nodes=tuple(nodes))


def wiring(draw: st.DrawFn, where: Site, over: PowerTree) -> Wiring:
    """Some feeds are dead, the others share the load."""
    feeds: list[list[tuple[int, int]]] = [[] for _ in over.nodes]
    for child, parent, _ in over.edges:
        if draw(st.integers(0, 4)):
            feeds[child].append((parent, 0))
    for node, live in enumerate(feeds):
        each = 256 // max(len(live), 1)
        feeds[node] = [(parent, each) for parent, _ in live]
        if live:
            feeds[node][-1] = (live[-1][0], 256 - each * (len(live) - 1))
    nodes = range(len(over.nodes))
    return Wiring(
        feeds,
        unfed=frozenset(node for node in nodes if not draw(st.integers(0, 4))),
        off=frozenset(s for s in range(len(where.node_names)) if not draw(st.integers(0, 3))),
        extra_mw={
            node: draw(st.integers(0, 10**6)) for node in nodes if not draw(st.integers(0, 5))
        },
    )


def assert_same(meter: PowerMeter, power: PowerState) -> None:
    """Loads as whole numbers, what is gathered and when it ends to 1e-9."""
    assert power.node["out_mw"].tolist() == [node.out_mw for node in meter.nodes]
    assert power.node["in_mw"].tolist() == [node.in_mw for node in meter.nodes]
    gathered = [guard.gathered for guard in meter.guards.all]
    np.testing.assert_allclose(power.guard["gathered"], gathered, rtol=1e-9, atol=1e-9)
    due_s = [guard.due_s for guard in meter.guards.all]
    np.testing.assert_allclose(power.guard["due_s"], due_s, rtol=1e-9)
    first = np.array(power.due[1]["key"]).view(np.float64)
    assert first == min([math.inf, *power.guard["due_s"].tolist()])


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_guards_gather_and_give_up_as_in_the_reference(data: st.DataObject) -> None:
    where, over = data.draw(guarded_trees())
    servers = len(where.node_names)
    meter = PowerMeter(where, over, lambda *row: None, lambda *span: None)
    power = power_state(where, over, False, False)
    now_mw = [data.draw(DRAWS_MW) for _ in range(servers)]
    meter.start(now_mw)
    meter.guards.warm_up()
    kernels.start(power, np.array(now_mw))
    kernels.warm_up(power, 0.0)
    assert_same(meter, power)
    time_s = 0.0
    for _ in range(data.draw(st.integers(1, 12))):
        until_s = later(time_s, data.draw(PAUSES_S))
        # Everything that is due by then gives up, at its time.
        while meter.guards.due_s <= until_s:
            due_s = meter.guards.due_s
            at = [guard.due_s for guard in meter.guards.all].index(due_s)
            meter.guards.all[at].give_up(due_s)
            kernels.give_up(power, at, due_s)
        time_s = until_s
        what = data.draw(st.sampled_from(["change", "change", "change", "switch", "wiring"]))
        if what == "change":
            server, to_mw = data.draw(st.integers(0, servers - 1)), data.draw(DRAWS_MW)
            meter.change(server, to_mw - now_mw[server], time_s)
            kernels.changes(
                power, np.array([server]), np.array([to_mw - now_mw[server]]), np.array([time_s])
            )
            now_mw[server] = to_mw
        elif what == "switch" and meter.guards.all:
            at = data.draw(st.integers(0, len(meter.guards.all) - 1))
            on = data.draw(st.booleans())
            charging = data.draw(st.booleans())
            meter.guards.all[at].switch(on, charging, time_s)
            kernels.switch(power, at, on, charging, time_s)
        elif what == "wiring":
            now = wiring(data.draw, where, over)
            meter.reroute(now, time_s)
            rewire(power, now)
            kernels.reroute(power, time_s)
        assert_same(meter, power)


def test_a_guard_that_is_due_in_the_past_of_rounding_is_due_now() -> None:
    """t + δ may be t: then it gives up at t, and no time passes before."""
    guard = Thermal(1.1, 9.0)
    assert guard.seconds_left(1.1, 2.0) == 0.0
    assert guard.seconds_left(1.1000001, 2.0) == 0.0


@pytest.mark.parametrize("x", [0.0, 1e-12, 1e-6, 9.99e-3, 1e-2, 0.5, 30.0])
def test_the_series_is_the_exponential(x: float) -> None:
    from sim.kernels.guards import approach

    assert approach(x) == pytest.approx(-math.expm1(-x), rel=3e-16, abs=0)
