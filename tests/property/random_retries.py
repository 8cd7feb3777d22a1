"""Clients that send again what got no answer, in a case that was drawn without."""

from __future__ import annotations

import math
from dataclasses import replace
from random import Random

from sim.spec.workload import RETRIED
from sim.workload.plan import Retry
from tests.property.random_cases import Case

#: Some are no longer than a float's step, so that a request returns at the very instant.
WAITS_S = (1e-18, 0.0625, 0.25, 0.25, 0.3, 1.0, 2.5)


def random_retry(rng: Random) -> Retry:
    """A policy; the waits of half of them meet on a grid."""
    return Retry(
        attempts=rng.choice([2, 2, 3, 6, 100]),
        wait_s=rng.choice(WAITS_S),
        backoff=rng.choice([1.0, 1.0, 2.0, 1.5]),
        most_s=rng.choice([math.inf, 4.0]),
        jitter=rng.choice([0.0, 0.0, 0.5, 1.0]),
        outcomes=tuple(rng.sample(RETRIED, rng.choice([1, 2, 4, 4]))),
    )


def with_retries(rng: Random, case: Case) -> Case:
    """The same world, in which the clients of most workloads send again."""
    world = case.world
    workloads = tuple(
        replace(load, retry=random_retry(rng)) if rng.randrange(4) else load
        for load in world.scenario.workloads
    )
    return replace(
        case, world=replace(world, scenario=replace(world.scenario, workloads=workloads))
    )
