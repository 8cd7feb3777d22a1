"""Replicas whose stages are on several servers, in a case that was drawn without."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from sim.check.scenario import Pool
from sim.engine.build import build
from sim.site.fabric.source import FabricSource
from sim.site.types import Site
from tests.engine_world import GPU
from tests.property.random_cases import Act, Case
from tests.property.random_worlds import random_site, random_tree
from tests.unit.site.fabrics import plan_of

#: Of a token. Some are dyadic, so that boundaries go on to meet.
DELAYS_S = (0.0, 0.0, 2.0**-8, 2.0**-8, 2.0**-6, 0.0031, 0.017)


def with_spans(rng: Random, case: Case) -> Case:
    """The same requests, run by hand; most pools have two or three stages, on as many servers.

    At some times a token's delay changes at some replicas, often at one of the acts there are.
    """
    world = case.world
    scenario = world.scenario
    staged = {pool.name for pool in scenario.pools if rng.randrange(4)}
    staged.add(max(scenario.pools, key=lambda pool: pool.tensor_parallel).name)
    pools = tuple(_staged(rng, pool, pool.name in staged) for pool in scenario.pools)
    while True:
        site = _site_for(rng, pools)
        tree = random_tree(rng, len(site.node_names))
        # Planes only ask whether there is a network: who moves its bytes is the control plane.
        network = FabricSource("single-switch", plan_of("single-switch", radix=None))
        changed = replace(scenario, pools=pools, site=site, power=tree, fabric=network)
        placed = replace(build(changed, world.seed), sources=world.sources)
        if any(map(placed.spans, placed.replicas)):
            break  # else every server was large enough for all stages
    acts = [*case.acts, *_delays(rng, case, len(placed.replicas))]
    acts.sort(key=lambda act: act.time_s)
    return replace(case, world=placed, acts=tuple(acts), by_run=False)


def _staged(rng: Random, pool: Pool, several: bool) -> Pool:
    """On one GPU type: where servers of two take turns, no replica fits on neighbours."""
    stages = rng.choice([2, 2, 3]) if several else 1
    model = rng.choice(list(pool.models.values()))
    model = replace(model, gpu=GPU.name, gpus=stages * model.gpus)
    return replace(pool, pipeline_parallel=stages, models={GPU.name: model})


def _site_for(rng: Random, pools: tuple[Pool, ...]) -> Site:
    """Servers of one to several groups."""
    flat = [
        replace(pool, replicas=pool.replicas * pool.pipeline_parallel, pipeline_parallel=1)
        for pool in pools
    ]
    site = random_site(rng, flat)
    nics = tuple(replace(node, nics=node.gpus) for node in site.node_types)
    return replace(site, node_types=nics)


def _delays(rng: Random, case: Case, replicas: int) -> list[Act]:
    acts = []
    for _ in range(rng.choice([1, 4, 12])):
        some = tuple(rng.sample(range(replicas), rng.randint(1, replicas)))
        span_s = min(case.horizon_s, 16.0)
        times_s = [act.time_s for act in case.acts] + [rng.random() * span_s, span_s / 16]
        acts.append(
            Act(
                rng.choice(times_s), "delay", some,
                delays_s=tuple(rng.choice(DELAYS_S) for _ in some),
            )
        )  # fmt: skip
    return acts
