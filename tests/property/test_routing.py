"""Routing policies of Python that go by what a gateway measures: engines show them the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from sim.policies.routing.power_aware import PowerAware
from sim.policies.routing.session_affinity import SessionAffinity
from sim.policies.routing.slo_aware import CHOICES, SloAware
from tests.property.engine_pair import CANDIDATE, MOST_LINES, REFERENCE, differences, serve_case
from tests.property.random_cases import Case, seeded_case
from tests.property.test_handover import sending_again

CHUNK = 25


def random_router(rng: Random) -> Any:
    """One of the policies, from strict to lax."""
    return rng.choice(
        [
            SessionAffinity(rng.choice([1.0, 1.5, 100.0]), rng.choice([0, 1, 2])),
            SloAware(
                rng.choice([0.1, 0.5, 1.0]), rng.choice(CHOICES), rng.choice([0.1, 3.0, 1000.0])
            ),
            PowerAware(
                rng.choice(["rack", "pdu", "ups"]), rng.randrange(2) > 0, rng.choice([1.0, 1.5, 9])
            ),
        ]
    )


def with_routers(rng: Random, case: Case) -> Case:
    """The case with one of the policies in every pool."""
    scenario = case.world.scenario
    pools = tuple(replace(pool, routing=random_router(rng)) for pool in scenario.pools)
    return replace(case, world=replace(case.world, scenario=replace(scenario, pools=pools)))


def check(first: int, make: Callable[[int], Case]) -> None:
    """Successive cases on both engines."""
    for seed in range(first, first + CHUNK):
        case = with_routers(Random(seed), make(seed))
        found = differences(serve_case(case, REFERENCE), serve_case(case, CANDIDATE))
        assert found[:MOST_LINES] == [], seed


@pytest.mark.parametrize("first", range(12_000, 12_100, CHUNK))
def test_random_cases(first: int) -> None:
    check(first, lambda seed: seeded_case(seed, prefixes=seed % 2 == 1))


@pytest.mark.parametrize("first", range(12_200, 12_250, CHUNK))
def test_two_pools_retries_and_outages(first: int) -> None:
    check(first, sending_again)
