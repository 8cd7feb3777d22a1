"""Ties that cannot be drawn blindly: a rehearsal shows when boundaries fall and what nodes draw."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from sim.engine.recorder import Recorder
from sim.engine.reference import ReferencePlane
from sim.engine.world import World
from sim.errors import SimulationError
from tests.engine_world import Given, ListSink, workload
from tests.property.random_requests import Impatience, random_row
from tests.property.random_worlds import Drawn


@dataclass(frozen=True)
class Rehearsal:
    """What the reference showed while requests came, without any act.

    Attributes:
        moments: when iterations ended, ascending; none if the run was stopped by an error.
        draws: (node of the electrical graph, mW that its limit is compared with).
    """

    moments: tuple[float, ...]
    draws: tuple[tuple[int, int], ...]


def rehearse(drawn: Drawn) -> Rehearsal:
    """Run the world to the end of its requests."""
    setup = replace(drawn.world.scenario, record_iterations=True)
    sink = ListSink()
    recorder = Recorder(setup, sink)
    plane = ReferencePlane(replace(drawn.world, scenario=setup), recorder)
    try:
        plane.advance(drawn.beats.duration_s)
    except SimulationError:
        return Rehearsal((), ())
    recorder.close()
    utility = [node.kind == "utility" for node in setup.power.nodes]
    return Rehearsal(
        tuple(sorted({row["end_s"] for row in sink.rows("iterations")})),
        tuple(
            (row["node"], row["in_mw"] if utility[row["node"]] else row["out_mw"])
            for row in sink.rows("power")
        ),
    )


def beside(rng: Random, time_s: float) -> float:
    """``time_s`` in half of the draws, else the float before or after it."""
    towards = rng.choice([time_s, time_s, -math.inf, math.inf])
    return max(0.0, math.nextafter(time_s, towards))


def with_echo(rng: Random, drawn: Drawn, moments: Sequence[float]) -> World:
    """The world with one more workload, whose requests come at boundaries or beside them.

    Half of them leave at once, so that the boundaries after them are where they were.
    """
    world = drawn.world
    plan = rng.choice(drawn.plans)
    count = min(len(moments), rng.choice([1, 5, 20]))
    times = sorted(beside(rng, time_s) for time_s in rng.sample(moments, count))
    leaves = Impatience((math.inf, 0.0))
    rows: list[dict[str, Any]] = [
        random_row(rng, plan.profile, leaves, (0, 1)) | {"arrival_s": time_s} for time_s in times
    ]
    loads = (*world.scenario.workloads, workload("echo", plan.pool.name))
    return replace(
        world,
        scenario=replace(world.scenario, workloads=loads),
        sources=(*world.sources, Given(rows)),
    )


def with_equal_limits(rng: Random, world: World, draws: Sequence[tuple[int, int]]) -> World:
    """The world with a few limits that are exactly what their node draws at some time."""
    power = world.scenario.power
    nodes = list(power.nodes)
    for node, draw_mw in rng.sample(draws, min(3, len(draws))):
        nodes[node] = replace(nodes[node], budget_w=draw_mw / 1000.0)
    limited = replace(power, nodes=tuple(nodes))
    return replace(world, scenario=replace(world.scenario, power=limited))
