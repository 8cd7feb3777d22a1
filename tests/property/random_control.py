"""Random worlds under random power control: any policy, any telemetry, any actuators."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

from sim.check.scenario import Actuation, Telemetry
from sim.engine.world import World
from sim.policies.base import policies
from sim.site.types import PowerTree
from tests.property.foreign_controllers import Flapping, Raving
from tests.property.random_cases import Case
from tests.property.random_worlds import random_world

BUILT_IN = policies("power")


def controlled_case(seed: int) -> Case:
    """The case of a seed, by ``sim.engine.run``."""
    rng = Random(seed)
    drawn = random_world(rng)
    span_s = drawn.beats.duration_s
    setup = drawn.world.scenario
    setup = replace(
        setup,
        duration_s=span_s,
        drain_s=rng.choice([0.0, span_s, 40.0]),
        pools=tuple(replace(pool, priority=rng.choice([0, 1, 2, 5])) for pool in setup.pools),
        power=limited(rng, setup.power),
        power_policy=random_policy(rng, span_s),
        telemetry=random_telemetry(rng),
        actuation=random_actuation(rng),
    )
    world = World(
        setup, drawn.world.seed, drawn.world.sources, drawn.world.replicas, drawn.world.decisions
    )
    return Case(world, (), world.horizon_s, True, rng.randrange(4) == 0)


def limited(rng: Random, tree: PowerTree) -> PowerTree:
    """Limits about what the nodes carry."""
    servers = sum(node.kind == "server" for node in tree.nodes)
    share = {"utility": 1.0, "ups": 0.5, "pdu": 0.5, "rack": 1.0}
    each_w = rng.choice([2_000.0, 2_300.0, 2_600.0, 3_000.0])
    nodes = tuple(
        replace(node, budget_w=each_w * servers * share[node.kind]) if node.kind in share else node
        for node in tree.nodes
    )
    return replace(tree, nodes=nodes)


def random_policy(rng: Random, span_s: float) -> Any:
    """One of ours, or one of nobody's."""
    watch = rng.choice(["pdu", "pdu", "utility", "rack", "utility+pdu", "ups+rack"])
    match rng.choice(
        ["polca", "polca", "dynamo", "demand", "static", "cap", "raving", "raving", "flapping"]
    ):
        case "polca":
            return BUILT_IN["polca"](
                watch=watch, low_clock=0.75, low_deep_clock=0.5, high_clock=0.75,
                low_from=rng.choice([1, 2, 3]),
            )  # fmt: skip
        case "dynamo":
            return BUILT_IN["dynamo"](watch=watch, upper_period=rng.choice([0.0, 1.0]))
        case "demand":
            return BUILT_IN["demand-response"](
                at=rng.choice([0.0, span_s / 4]), lasts=span_s / 2, watch=watch,
                cut=rng.choice([0.05, 0.25]), release_every=0.5, step=0.25,
            )  # fmt: skip
        case "static":
            return BUILT_IN["static-clock"](high=rng.choice([1.0, 0.75]), low=0.5)
        case "cap":
            return BUILT_IN["static-cap"](
                high=rng.choice([0.0, 350.0]), normal=rng.choice([290.0, 420.0]), low=200.0
            )
        case "raving":
            return Raving(watch=watch)
    return Flapping()


def random_telemetry(rng: Random) -> Telemetry:
    """From fine and at once to coarse, late and lossy; half of the times on the grid of ties."""
    return Telemetry(
        period_s=rng.choice([0.125, 0.25, 0.3, 1.0]),
        delay_s=rng.choice([0.0, 0.125, 0.25, 0.7]),
        quantum_w=rng.choice([0.001, 1.0, 100.0]),
        lost=rng.choice([0.0, 0.0, 0.1, 0.9, 1.0]),
        stale_after_s=rng.choice([0.25, 1.0, 100.0]),
    )


def random_actuation(rng: Random) -> Actuation:
    """At once, late, in one step or in some that outlast the next command."""
    return Actuation(
        clock_delay_s=rng.choice([0.0, 0.25, 0.4, 2.0]),
        clock_steps=rng.choice([1, 1, 2, 5]),
        clock_step_s=rng.choice([0.0, 0.125, 0.3]),
        brake_delay_s=rng.choice([0.0, 0.125, 0.5]),
        brake_clock=rng.choice([0.2, 0.5, 0.75]),
        brake_hold_s=rng.choice([0.0, 0.5, 2.0]),
        brake_refractory_s=rng.choice([0.0, 0.5, 2.0]),
        cap_delay_s=rng.choice([0.0, 0.125, 0.4]),
        admission_delay_s=rng.choice([0.0, 0.125, 0.4]),
    )
