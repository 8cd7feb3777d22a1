"""Random cases: a random world and what the control plane does to it while it runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

from hypothesis import strategies as st

from sim.engine.world import PlacedReplica, World
from tests.property.random_prefixes import with_prefixes
from tests.property.random_requests import random_time
from tests.property.random_ties import beside, rehearse, with_echo, with_equal_limits
from tests.property.random_worlds import LONG_S, Drawn, random_world


@dataclass(frozen=True)
class Act:
    """Something that the control plane does once every event before ``time_s`` is handled."""

    time_s: float
    kind: str  # "advance" (just look), "open" or "close" (the window), "clocks", "cap", "hold",
    # "admit", "fail", "restore" (if it is down), "drain" and "reopen" (if not), "limit",
    # "delay" (of a token), "stand" (on other GPUs, if it is down, or of the same type),
    # "freeze", "thaw" and "interrupt" (if it is not down)
    replicas: tuple[int, ...] = ()
    level: int = 0
    cap_mw: int | None = None
    gpu_mw: int = 0  # of replicas that fail, are drained, or held (0: they stay loaded)
    node: int = 0  # of the electrical tree, whose limit changes
    limit_mw: int = 0
    delays_s: tuple[float, ...] = ()
    placed: PlacedReplica | None = None


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
    moments: Sequence[float] = ()
    if focus:
        shown = rehearse(drawn)
        moments = shown.moments
        if moments:
            drawn = replace(drawn, world=with_equal_limits(rng, drawn.world, shown.draws))
    world = with_echo(rng, drawn, moments) if focus == "arrivals" and moments else drawn.world
    times = Times(rng, drawn, moments if focus != "arrivals" else ())
    acts = [Act(times.draw(), "advance") for _ in range(rng.choice([0, 0, 5, 40]))]
    acts += random_window(rng, times)
    if focus != "looks":
        acts += random_clocks(rng, drawn, times, at_least=focus == "clocks")
        limits = Random(repr(acts))  # of its own: the draws of the cases before it stay
        acts += random_caps(limits, drawn, times.drawn_by(limits))
        acts += random_holds(limits, drawn, times.drawn_by(limits))
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

    def drawn_by(self, rng: Random) -> Times:
        """The same times, drawn by ``rng``."""
        return replace(self, rng=rng)

    def draw(self) -> float:
        """A time before the last request."""
        if self.moments and self.rng.randrange(4):
            return beside(self.rng, self.rng.choice(self.moments))
        return random_time(self.rng, self.drawn.beats)


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


def random_caps(rng: Random, drawn: Drawn, times: Times) -> list[Act]:
    """Caps on the draw of some replicas: too low for every level, between levels, at a draw that
    occurs, above all; and none again."""
    everyone = range(len(drawn.world.replicas))
    acts: list[Act] = []
    for _ in range(rng.choice([0, 1, 4])):
        some = tuple(rng.sample(everyone, rng.randint(1, len(everyone))))
        power = rng.choice(drawn.world.replicas[some[0]].model.power)
        exact = rng.choice([*rng.choice(power.decode_mw)[1:4], *power.prefill_mw[:2]])
        near = rng.choice([exact, exact - 1, rng.randrange(100_000, 700_000)])
        acts.append(Act(times.draw(), "cap", some, cap_mw=rng.choice([near, near, near, None])))
    return acts


def random_holds(rng: Random, drawn: Drawn, times: Times) -> list[Act]:
    """Some replicas admit nobody for a while; in some cases to the end."""
    everyone = range(len(drawn.world.replicas))
    acts: list[Act] = []
    for _ in range(rng.choice([0, 0, 1, 3])):
        some = tuple(rng.sample(everyone, rng.randint(1, len(everyone))))
        from_s, to_s = sorted((times.draw(), times.draw()))
        acts.append(Act(from_s, "hold", some, gpu_mw=rng.choice([0, 70_000])))
        if rng.randrange(6):
            acts.append(Act(to_s, "admit", some))
    return acts
