"""Random networks, storage and weights of pools around a world; parts of the network die."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from sim.check.scenario import PlannedEvent, Pool, Weights
from sim.engine.world import World
from sim.site.fabric.failures import NetworkState
from sim.site.fabric.source import FabricSource
from sim.site.fabric.types import VERTICES, Fabric, FabricPlan, Storage
from tests.engine_world import policy

_STORAGE = VERTICES.index("storage")
PATHS = ("rail", "ecmp", "shortest", "adaptive", "random")


def with_weights(rng: Random, world: World) -> World:
    """The same world with a network, over which some or all pools load; things happen to it."""
    nic = rng.choice([5e8, 5e10])
    storage = Storage(
        nodes=rng.choice([0, 1, 3]),
        nics=rng.choice([1, 2]),
        nic_bytes_per_s=nic * rng.choice([0.5, 1.0]),
        read_bytes_per_s=rng.choice([None, nic / 3]),
        local_bytes_per_s=rng.choice([None, nic / 2]),
    )
    kind = rng.choice(["rail-optimised", "leaf-spine", "single-switch"])
    radix = None if kind == "single-switch" else 64
    plan = FabricPlan(kind, nic, 1.0, radix, nic, 5e-7, storage=storage)
    source = FabricSource(kind, plan, storage=storage)
    scenario = world.scenario
    pools = tuple(_loading(rng, pool, storage, nic) for pool in scenario.pools)
    fabric = source.build(scenario.site)
    end_s = min(scenario.duration_s, 30.0)
    events = [*scenario.events, *_failures(rng, fabric, end_s)]
    events = [event for event in events if event.at_s < world.horizon_s]
    ordered = tuple(sorted(events, key=lambda event: event.at_s))
    scenario = replace(
        scenario, pools=pools, events=ordered, storage=storage, fabric=source,
        paths=policy("paths", rng.choice(PATHS)),
    )  # fmt: skip
    return replace(world, scenario=scenario, fabric=fabric)


def _loading(rng: Random, pool: Pool, storage: Storage, nic: float) -> Pool:
    """A pool that loads what there is to load from, or one that restarts as ever."""
    sources = ["peers"] + ["storage"] * bool(storage.nodes)
    sources += ["local"] * (storage.local_bytes_per_s is not None)
    if rng.randrange(5) == 0:
        return pool
    source = rng.choice(sources)
    stages = tuple(nic * rng.uniform(0.05, 2.0) for _ in range(pool.pipeline_parallel))
    weights = Weights(
        source,
        boot_s=rng.choice([0.0, 0.25, 2.0]),
        multicast=source == "peers" and rng.randrange(2) == 0,
        cold=rng.randrange(5) == 0,
        stage_bytes=dict.fromkeys(pool.models, stages),
    )
    return replace(pool, weights=weights)


def _failures(rng: Random, fabric: Fabric, end_s: float) -> list[PlannedEvent]:
    """Vertices, links and cables that die, and mostly live again."""
    names = list(fabric.names)
    shared = [name for name, kind in zip(names, fabric.kinds, strict=True) if kind >= _STORAGE]
    parts = [*names, *(fabric.cable_name(cable) for cable in range(len(fabric.merged)))]
    state = NetworkState(fabric)
    events = []
    if rng.randrange(2):  # every leaf, for long: what is to be loaded meanwhile waits
        time_s = rng.uniform(0.0, end_s / 2)
        back_s = time_s + rng.choice([5.0, 1e9])
        for name in names:
            if name.startswith("leaf"):
                events.append(PlannedEvent(time_s, "fail-part", part=name))
                events.append(PlannedEvent(back_s, "restore-part", part=name))
    for _ in range(rng.choice([0, 2, 6])):
        part, time_s = rng.choice(rng.choice([parts, shared])), rng.uniform(0.0, end_s)
        state.check(part)
        events.append(PlannedEvent(time_s, "fail-part", part=part))
        if rng.randrange(4):
            back_s = time_s + rng.choice([0.0, 0.5, 5.0])
            events.append(PlannedEvent(back_s, "restore-part", part=part))
    return events
