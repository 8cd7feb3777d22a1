"""Pools that hand their requests over to others to decode, in a case that was drawn without."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from sim.check.scenario import Decode, Pool
from sim.engine.build import build
from tests.property.random_cases import Case
from tests.property.random_worlds import ROLES, Style, random_pool, random_site, random_tree


def with_handover(rng: Random, case: Case) -> Case:
    """The same requests, most of which another pool decodes, run by hand."""
    world = case.world
    scenario = world.scenario
    pools: list[Pool] = []
    partners: list[Pool] = []
    for pool in scenario.pools:
        if rng.randrange(4) == 0:
            pools.append(pool)
            continue
        partner = _partner(rng, pool)
        pools.append(replace(pool, decode=Decode(partner.name, rng.randrange(2) == 0)))
        partners.append(partner)
    site = random_site(rng, pools + partners)
    changed = replace(
        scenario, pools=(*pools, *partners), site=site, power=random_tree(rng, len(site.node_names))
    )
    return replace(
        case, world=replace(build(changed, world.seed), sources=world.sources), by_run=False
    )


def _partner(rng: Random, pool: Pool) -> Pool:
    """From roomy to so tight that the KV of prompts waits where it is."""
    levels = len(next(iter(pool.models.values())).clocks_hz)
    style = Style(exact=rng.randrange(4) > 0, in_step=False, levels=levels)
    drawn = random_pool(rng, f"{pool.name}-decode", style).pool
    batching = drawn.batching
    if batching.mode == "static":
        batching = ROLES["batching"]["chunked-prefill"](
            max_batch_tokens=batching.max_batch_tokens, max_sequences=batching.max_sequences
        )
    blocks = max(model.kv_blocks for model in pool.models.values())
    models = {
        name: replace(model, kv_blocks=rng.choice([blocks, blocks, blocks + 2, 2 * blocks, 1000]))
        for name, model in drawn.models.items()
    }
    return replace(
        drawn, llm=pool.llm, batching=batching, models=models, prefix_cache=False,
        max_queue=rng.choice([None, None, drawn.max_queue]),
    )  # fmt: skip
