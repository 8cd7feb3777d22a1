"""Whatever comes, fails, moves or is preempted: tenants stay apart, nothing is overcommitted."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sim.engine.build import build
from sim.engine.run import run
from sim.errors import BuildError
from tests.engine_world import ListSink
from tests.property.engine_pair import CANDIDATE, PlainSink
from tests.property.random_placements import broken_placement, random_placement
from tests.property.random_tenants import Tenancy, random_tenancy
from tests.property.tenant_laws import broken_tables, watching

#: What random worlds cost is no fault of theirs.
SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example]


def served(case: Tenancy, engine: str = "reference") -> tuple[ListSink | None, list[str]]:
    """The rows of a run (None: it cannot be built), and what did not hold in it."""
    with watching(case.scenario) as watch:
        try:
            world = replace(build(case.scenario, 1), sources=case.sources)
        except BuildError:
            return None, watch.broken
        sink = PlainSink()
        run(world, sink, engine=engine)
    return sink, watch.broken + broken_tables(case.scenario, sink)


def shown(sink: ListSink) -> Counter[str]:
    """What happened in a run, of what these tests are about."""
    found = Counter(row["kind"] for row in sink.rows("events"))
    found += Counter(
        row["reason_code"] for row in sink.rows("decisions") if row["role"] == "placement"
    )
    found["preemptions"] += sum(row["preemptions"] for row in sink.rows("replicas"))
    return found


def check_serving(first: int, count: int) -> Counter[str]:
    """Cases of successive seeds; in how many each thing happened."""
    seen: Counter[str] = Counter()
    for seed in range(first, first + count):
        sink, broken = served(random_tenancy(Random(seed)))
        assert broken == [], seed
        if sink is not None:
            seen.update({"built", *(what for what, number in shown(sink).items() if number)})
    return seen


def test_serving_keeps_tenants_apart_and_racks_within_their_ratings() -> None:
    seen = check_serving(0, 60)
    assert seen["built"] >= 30
    least = {
        "isolation": 15, "rack-power": 15, "replica-moved": 10, "replica-replaced": 10,
        "replica-fails": 15, "replica-waits": 10, "migration-ends": 1, "preemptions": 10,
    }  # fmt: skip
    assert {what: seen[what] for what, floor in least.items() if seen[what] < floor} == {}


@given(st.randoms(use_true_random=False))
@settings(max_examples=15, deadline=None, suppress_health_check=SLOW)
def test_any_serving(rng: Random) -> None:
    assert served(random_tenancy(rng))[1] == []


@pytest.mark.deep
@pytest.mark.parametrize("first", range(1_000, 2_000, 100))
def test_hundreds_of_random_sites(first: int) -> None:
    check_serving(first, 100)


def test_engines_decide_alike() -> None:
    built = 0
    for seed in range(1070, 1085):
        case = random_tenancy(Random(seed))
        expected, _ = served(case)
        found, broken = served(case, CANDIDATE)
        assert broken == [], seed
        if expected is not None and found is not None:
            built += 1
            assert found.rows("decisions") == expected.rows("decisions"), seed
            assert found.rows("events") == expected.rows("events"), seed
    assert built >= 8


def check_placements(first: int, count: int) -> Counter[str]:
    """Replays of successive seeds; how many pods went which way."""
    seen: Counter[str] = Counter()
    for seed in range(first, first + count):
        broken, happened = broken_placement(random_placement(Random(seed)))
        assert broken == [], seed
        seen += happened
    return seen


def test_replays_keep_tenants_apart_and_within_nodes_and_quotas() -> None:
    seen = check_placements(0, 30)
    least = {
        "placed": 400,
        "preempted": 40,
        "isolation": 150,
        "quota": 100,
        "cpu": 20,
        "memory": 10,
    }
    assert {what: seen[what] for what, floor in least.items() if seen[what] < floor} == {}


@given(st.randoms(use_true_random=False))
@settings(max_examples=20, deadline=None, suppress_health_check=SLOW)
def test_any_replay(rng: Random) -> None:
    assert broken_placement(random_placement(rng))[0] == []


@pytest.mark.deep
@pytest.mark.parametrize("first", range(1_000, 3_000, 200))
def test_hundreds_of_random_replays(first: int) -> None:
    check_placements(first, 200)
