"""What an event of the control plane costs over the compiled serving plane.

A controller at 10 Hz wakes 864,000 times a day. Each time SimPy takes the event, the plane is asked
to advance to it, and state that never leaves its arrays must make that cheap whatever its size.
Required: 10 µs an event at most. Nothing is asserted about time.
"""

from __future__ import annotations

import math
import time
from collections.abc import Generator
from statistics import median
from typing import Any

import pytest
import simpy

import sim
from sim.engine.build import build
from sim.engine.compiled import CompiledPlane
from sim.engine.environment import OrderedEnvironment
from sim.engine.recorder import Recorder
from tests.bench.drop import DropRows
from tests.bench.figures import REPEATS, REQUESTS, Figures, cpu_s
from tests.bench.sites import Bench

PERIOD_S = 0.1
#: For the difference of two runs: at 10 Hz it would drown in their noise.
SHORT_PERIOD_S = 0.001
CALLS = 2000


@pytest.fixture(scope="module", autouse=True)
def _compiled() -> None:
    """Compile, or load what was compiled, before anything is measured."""
    sim.run_scenario(Bench(8).scenario(20.0), engine="compiled")


def plane_of(bench: Bench, duration_s: float) -> CompiledPlane:
    """A plane at time 0, whose rows go nowhere."""
    world = build(bench.scenario(duration_s), 1)
    return CompiledPlane(world, Recorder(world.scenario, DropRows()))


def wake(env: simpy.Environment, period_s: float) -> Generator[simpy.Event, Any, None]:
    """The empty controller."""
    while True:
        yield env.timeout(period_s)


def drive(plane: CompiledPlane, until_s: float, period_s: float | None) -> None:
    """The loop of ``sim.engine.run``, with an empty controller or without."""
    env = OrderedEnvironment()
    if period_s is not None:
        env.process(wake(env, period_s))
    while env.peek() <= until_s:
        plane.advance(env.peek())
        env.step()
    plane.advance(until_s)


def added_s(bench: Bench, duration_s: float, period_s: float) -> float:
    """CPU seconds that an empty controller adds to a run, runs with and without it by turns."""
    best = {None: math.inf, period_s: math.inf}
    for _ in range(REPEATS):
        for period, known in best.items():
            plane = plane_of(bench, duration_s)
            start = time.process_time()
            drive(plane, duration_s, period)
            best[period] = min(known, time.process_time() - start)
    return best[period_s] - best[None]


def timed_events(plane: CompiledPlane, start_s: float, events: int) -> float:
    """Median seconds of a controller's event at 10 Hz, the plane's own work before it left out.

    The plane advances to each event first, so that what is timed begins with the caches as a run
    leaves them: SimPy's step, and asking a plane to advance that has nothing to do. Beside a large
    site's work, Python's own code and objects have left the caches, and that is most of it. By the
    wall clock, for reading CPU time takes as long; the median leaves out events that had to wait.
    """
    env = OrderedEnvironment(initial_time=start_s)
    env.process(wake(env, PERIOD_S))
    env.step()  # the process begins
    took = []
    for _ in range(events):
        plane.advance(env.peek())
        start = time.perf_counter()
        plane.advance(env.peek())
        env.step()
        took.append(time.perf_counter() - start)
    return median(took)


@pytest.mark.bench
@pytest.mark.parametrize("replicas", [8, 64, 1250])
def test_a_control_event(replicas: int, figures: Figures) -> None:
    bench, name = Bench(replicas), f"control/{replicas:,} replicas"
    duration_s = max(30.0, bench.duration_s(REQUESTS // 5))
    added = added_s(bench, duration_s, SHORT_PERIOD_S) / (duration_s / SHORT_PERIOD_S)
    figures.add(f"{name}/empty controller at 1 kHz, by difference", added * 1e6, "µs an event")

    # In the middle of things, every replica busy.
    plane = plane_of(bench, duration_s)
    plane.advance(15.0)
    event = timed_events(plane, 15.0, 140)
    figures.add(f"{name}/empty controller at 10 Hz, timed", event * 1e6, "µs an event")
    at_s = plane.peek()
    plane.advance(at_s)
    assert at_s == plane.peek()  # nothing is due before
    calls = cpu_s(lambda: [plane.advance(at_s) for _ in range(CALLS)], repeats=5)
    figures.add(f"{name}/advance with nothing to do", calls / CALLS * 1e6, "µs a call")


@pytest.mark.bench
@pytest.mark.parametrize("replicas", [64, 1250])
def test_setting_clocks(replicas: int, figures: Figures) -> None:
    """One call for every replica of the site, each to another level than it has."""
    bench, name = Bench(replicas), f"control/{replicas:,} replicas"
    plane = plane_of(bench, 60.0)
    plane.advance(30.0)
    everyone = list(range(replicas))
    levels = plane.world.replicas[0].model.clocks_hz
    assert len(levels) > 1
    now_s = [30.0]

    def change(level: int) -> float:
        now_s[0] += 1e-6  # later each time, and before anything is due
        start = time.process_time()
        plane.set_clocks(everyone, level, now_s[0])
        return time.process_time() - start

    plane.set_clocks(everyone, 0, now_s[0])
    took = [change(level) for _ in range(20) for level in (1, 0)]
    figures.add(f"{name}/one set_clocks for all", min(took) * 1e6, "µs")
    figures.add(f"{name}/set_clocks, a replica", min(took) / replicas * 1e6, "µs")
