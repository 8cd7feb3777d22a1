"""Random cases: a random world and what the control plane does to it while it runs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from hypothesis import strategies as st

from sim.engine.recorder import Recorder
from sim.engine.reference import ReferencePlane
from sim.engine.world import World
from sim.errors import SimulationError
from tests.engine_world import Given, ListSink, workload
from tests.property.random_prefixes import with_prefixes
from tests.property.random_requests import Impatience, random_row, random_time
from tests.property.random_worlds import LONG_S, Drawn, random_world


@dataclass(frozen=True)
class Act:
    """Something that the control plane does once every event before ``time_s`` is handled."""

    time_s: float
    kind: str  # "advance" (just look), "open" or "close" (the window), "clocks"
    replicas: tuple[int, ...] = ()
    level: int = 0


@dataclass(frozen=True)
class Case:
    """A world and how it is run: by ``acts`` up to ``horizon_s``, or by ``sim.engine.run``."""

    world: World
    acts: tuple[Act, ...]
    horizon_s: float
    by_run: bool = False
    progress: bool = False  # by ``run``: report it, so that it advances in many steps


def seeded_case(seed: int, prefixes: bool = False) -> Case:
    """The case of a seed; with ``prefixes`` the same world, whose prompts begin alike."""
    return random_case(Random(seed), Random(~seed) if prefixes else None)


def cases(prefixes: bool = False) -> st.SearchStrategy[Case]:
    """The same cases, drawn and shrunk by hypothesis."""
    randoms = st.randoms(use_true_random=False)
    return st.builds(random_case, randoms, randoms if prefixes else st.none())


def random_case(rng: Random, prefixes: Random | None) -> Case:
    """A world with its acts. In half of those run by hand, something happens at boundaries."""
    drawn = random_world(rng)
    if prefixes is not None:
        drawn = replace(drawn, world=with_prefixes(prefixes, drawn.world))
    if rng.randrange(5) == 0:
        return Case(drawn.world, (), drawn.world.horizon_s, True, rng.randrange(3) == 0)
    focus = rng.choice([None, None, "arrivals", "clocks", "clocks", "looks"])
    moments = boundaries_s(drawn) if focus else []
    world = with_echo(rng, drawn, moments) if focus == "arrivals" and moments else drawn.world
    times = Times(rng, drawn, moments if focus != "arrivals" else [])
    acts = [Act(times.draw(), "advance") for _ in range(rng.choice([0, 0, 5, 40]))]
    acts += random_window(rng, times)
    if focus != "looks":
        acts += random_clocks(rng, drawn, times, at_least=focus == "clocks")
    span_s = drawn.beats.duration_s
    horizon_s = rng.choice([span_s * 0.4, span_s, LONG_S, LONG_S, LONG_S])
    ordered = sorted((act for act in acts if act.time_s <= horizon_s), key=lambda act: act.time_s)
    return Case(world, tuple(ordered), horizon_s)


@dataclass(frozen=True)
class Times:
    """Draws times of acts: at boundaries if there are ``moments``, else as requests come."""

    rng: Random
    drawn: Drawn
    moments: Sequence[float]

    def draw(self) -> float:
        """A time before the last request."""
        if self.moments and self.rng.randrange(4):
            return beside(self.rng, self.rng.choice(self.moments))
        return random_time(self.rng, self.drawn.beats)


def beside(rng: Random, time_s: float) -> float:
    """``time_s`` in half of the draws, else the float before or after it."""
    towards = rng.choice([time_s, time_s, -math.inf, math.inf])
    return max(0.0, math.nextafter(time_s, towards))


def random_window(rng: Random, times: Times) -> list[Act]:
    """The measurement window: the whole time, a part of it, or never closed."""
    opens_s, closes_s = sorted((times.draw(), times.draw()))
    acts = [Act(rng.choice([0.0, opens_s]), "open")]
    if rng.randrange(4):
        acts.append(Act(rng.choice([closes_s, times.drawn.beats.duration_s]), "close"))
    return acts


def random_clocks(rng: Random, drawn: Drawn, times: Times, at_least: bool) -> list[Act]:
    """Clock changes of some replicas or all, a few of them at one time."""
    everyone = range(len(drawn.world.replicas))
    acts: list[Act] = []
    for _ in range(rng.choice([1, 3, 8] if at_least else [0, 1, 3, 8])):
        some = tuple(rng.sample(everyone, rng.randint(1, len(everyone))))
        time_s = times.draw()
        levels = [rng.randrange(drawn.levels) for _ in range(rng.choice([1, 1, 3]))]
        acts += [Act(time_s, "clocks", some, level) for level in levels]
    return acts


# ---- ties ------------------------------------------------------------------------------------


def boundaries_s(drawn: Drawn) -> list[float]:
    """When iterations end while requests come, in a run without any act."""
    setup = replace(drawn.world.scenario, record_iterations=True)
    sink = ListSink()
    recorder = Recorder(setup, sink)
    plane = ReferencePlane(replace(drawn.world, scenario=setup), recorder)
    try:
        plane.advance(drawn.beats.duration_s)
    except SimulationError:
        return []
    recorder.close()
    return sorted({row["end_s"] for row in sink.rows("iterations")})


def with_echo(rng: Random, drawn: Drawn, moments: Sequence[float]) -> World:
    """The world with one more workload, whose requests come at boundaries or beside them.

    Half of them leave at once, so that the boundaries after them are where they were.
    """
    world = drawn.world
    plan = rng.choice(drawn.plans)
    count = min(len(moments), rng.choice([1, 5, 20]))
    times = sorted(beside(rng, time_s) for time_s in rng.sample(moments, count))
    rows: list[dict[str, Any]] = []
    for time_s in times:
        leaves = Impatience((math.inf, 0.0))
        rows.append(random_row(rng, plan.profile, leaves, 2) | {"arrival_s": time_s})
    loads = (*world.scenario.workloads, workload("echo", plan.pool.name))
    return replace(
        world,
        scenario=replace(world.scenario, workloads=loads),
        sources=(*world.sources, Given(rows)),
    )
