"""Replicas that stand on other GPUs, of another type or nowhere, once they are down."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from random import Random

import numpy as np

from sim.engine.world import PlacedReplica
from tests.property.random_cases import Act, Case

#: What stays frozen keeps its clients waiting: a long run of that shows nothing more.
END_S = 40.0


def with_moves(rng: Random, case: Case) -> Case:
    """The same acts, and beside some of them replicas that are down (then) are placed anew.

    Whoever is not down stays. Nobody asks whether the GPUs are free: the plane does not.
    """
    acts = list(case.acts)
    for act in case.acts:
        if act.kind not in ("fail", "drain", "restore") or rng.randrange(2):
            continue
        for replica in act.replicas:
            time_s = min(act.time_s + rng.choice([0.0, 0.0, 0.01, 1.0]), case.horizon_s)
            acts.append(Act(time_s, "stand", (replica,), placed=somewhere(rng, case, replica)))
            if rng.randrange(2):
                acts.append(Act(time_s, "restore", (replica,)))
    for replica in range(len(case.world.replicas)):
        if rng.randrange(2) and case.acts:
            acts += migration(rng, case, replica)
    horizon_s = min(case.horizon_s, END_S)
    ordered = sorted((one for one in acts if one.time_s <= horizon_s), key=lambda a: a.time_s)
    return replace(case, acts=tuple(ordered), by_run=False, horizon_s=horizon_s)


def migration(rng: Random, case: Case, replica: int) -> list[Act]:
    """It is frozen, moves and goes on, or stays frozen; or it loses its KV and moves."""
    time_s = rng.choice(case.acts).time_s + rng.choice([0.0, 0.01, 0.3])
    there = Act(0.0, "stand", (replica,), placed=somewhere(rng, case, replica))
    if rng.randrange(2):
        return [Act(time_s, "interrupt", (replica,)), replace(there, time_s=time_s)]
    until_s = time_s + rng.choice([0.0, 0.01, 0.7, 3.0])
    acts = [Act(time_s, "freeze", (replica,)), replace(there, time_s=until_s)]
    return acts + [Act(until_s, "thaw", (replica,))] * rng.choice([1, 1, 1, 0])


def somewhere(rng: Random, case: Case, replica: int) -> PlacedReplica:
    """As many GPUs of one type that its pool runs on, in one or two servers; or none."""
    before, scenario = case.world.replicas[replica], case.world.scenario
    pool, site = scenario.pools[before.pool], scenario.site
    if rng.randrange(6) == 0:
        return PlacedReplica(before.pool, before.model, (), ())
    kind = rng.choice(sorted(pool.models))
    of_kind = [n for n, gpu in enumerate(site.gpu_types) if gpu.name == kind]
    some = rng.sample(of_kind, min(len(of_kind), rng.choice([1, 1, 2])))
    able = np.flatnonzero(np.isin(site.gpu_node, some)).tolist()
    if len(able) < len(before.gpus):
        return before
    gpus = tuple(rng.sample(able, len(before.gpus)))
    servers = sorted(Counter(int(site.gpu_node[gpu]) for gpu in gpus).items())
    return PlacedReplica(before.pool, pool.models[kind], gpus, tuple(servers))
