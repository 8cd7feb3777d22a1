"""Two serving planes, one world: equal rows to the last bit, equal meters to 1e-9.

The reference is the specification; the engine under test is the compiled one, or the one that
``RACKPLAN_TEST_ENGINE`` names. A failure names its case: ``differences_of(seeded_case(17))``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings

from sim.spec.workload import RETRIED
from tests.property.engine_pair import (
    CANDIDATE,
    MOST_LINES,
    REFERENCE,
    Outcome,
    differences,
    serve_case,
)
from tests.property.invariants import broken_laws, broken_retries
from tests.property.named import Named
from tests.property.named_cases import LONG, NAMED, PREFIXED
from tests.property.random_cases import Case, cases, seeded_case
from tests.property.random_moves import with_moves
from tests.property.random_outages import with_changes, with_outages
from tests.property.random_paths import with_paths
from tests.property.random_retries import with_retries
from tests.property.recorded import LEVELS, record_case
from tests.property.standstills import STANDSTILLS, check_standstill, that_end

#: Seeds of one test, so that workers share them out.
CHUNK = 25
#: What random worlds cost is no fault of theirs.
SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example]


def differences_of(case: Case) -> list[str]:
    """Where the engine under test departs from the reference, or either from a law."""
    expected, found = serve_case(case, REFERENCE), serve_case(case, CANDIDATE)
    return broken_laws(case, expected) + differences(expected, found) + broken_laws(case, found)


def check_named(named: Named) -> None:
    """The case shows its point, and the engines agree on it."""
    expected = serve_case(named.case, REFERENCE)
    assert named.shows(expected), "the case no longer shows its point"
    assert differences(expected, serve_case(named.case, CANDIDATE)) == []


def check_seeds(first: int, count: int, prefixes: bool = False) -> None:
    """Cases of successive seeds; the first that fails is told in full, the others by number."""
    told, failed = "", []
    for seed in range(first, first + count):
        lines = differences_of(seeded_case(seed, prefixes))
        if lines:
            failed.append(seed)
            told = told or "\n".join(lines[:MOST_LINES])
    assert not failed, f"{REFERENCE} | {CANDIDATE} differ at seeds {failed}; first:\n{told}"


@pytest.mark.parametrize("make", NAMED.values(), ids=NAMED)
def test_named_case(make: Callable[[], Named]) -> None:
    check_named(make())


@pytest.mark.deep
@pytest.mark.parametrize("make", LONG.values(), ids=LONG)
def test_named_case_that_takes_long(make: Callable[[], Named]) -> None:
    check_named(make())


@pytest.mark.parametrize("make", PREFIXED.values(), ids=PREFIXED)
def test_named_case_with_prefixes(make: Callable[[], Named]) -> None:
    check_named(make())


@pytest.mark.parametrize("first", range(0, 200, CHUNK))
def test_random_cases(first: int) -> None:
    check_seeds(first, CHUNK)


@pytest.mark.parametrize("first", range(300, 375, CHUNK))
def test_random_cases_with_prefixes(first: int) -> None:
    check_seeds(first, CHUNK, prefixes=True)


@pytest.mark.deep
@pytest.mark.parametrize("first", range(1_000, 4_000, 10 * CHUNK))
def test_thousands_of_random_cases(first: int) -> None:
    check_seeds(first, 10 * CHUNK)


@pytest.mark.deep
@pytest.mark.parametrize("first", range(4_000, 5_000, 10 * CHUNK))
def test_thousands_of_random_cases_with_prefixes(first: int) -> None:
    check_seeds(first, 10 * CHUNK, prefixes=True)


def check_outages(first: int, count: int) -> None:
    """Cases in which replicas lose their power and get it back."""
    for seed in range(first, first + count):
        case = with_outages(Random(seed), seeded_case(seed, prefixes=seed % 2 == 1))
        found = differences(serve_case(case, REFERENCE), serve_case(case, CANDIDATE))
        assert found[:MOST_LINES] == [], seed


@pytest.mark.parametrize("first", range(6_000, 6_100, CHUNK))
def test_random_outages(first: int) -> None:
    check_outages(first, CHUNK)


@pytest.mark.deep
@pytest.mark.parametrize("first", range(6_100, 8_100, 10 * CHUNK))
def test_thousands_of_random_outages(first: int) -> None:
    check_outages(first, 10 * CHUNK)


def moved_case(seed: int) -> Case:
    """Replicas that are down are placed on other GPUs."""
    case = seeded_case(seed, prefixes=seed % 4 == 1)
    case = (with_outages if seed % 2 else with_changes)(Random(seed), case)
    return with_moves(Random(~seed), case)


def check_moves(first: int, count: int) -> None:
    """Cases in which replicas that are down are placed on other GPUs."""
    for seed in that_end("moves", range(first, first + count)):
        case = moved_case(seed)
        found = differences(serve_case(case, REFERENCE), serve_case(case, CANDIDATE))
        assert found[:MOST_LINES] == [], seed


@pytest.mark.parametrize("first", range(8_100, 8_200, CHUNK))
def test_random_moves(first: int) -> None:
    check_moves(first, CHUNK)


@pytest.mark.deep
@pytest.mark.parametrize("first", range(8_200, 9_200, 10 * CHUNK))
def test_thousands_of_random_moves(first: int) -> None:
    check_moves(first, 10 * CHUNK)


def retried_case(seed: int) -> Case:
    """Clients send again; outages in half."""
    case = with_retries(Random(~seed), seeded_case(seed, prefixes=seed % 4 == 1))
    return with_outages(Random(seed), case) if seed % 2 else case


def check_retries(first: int, count: int) -> Counter[str]:
    """Cases whose clients send again, with outages in half; how attempts ended, and how the last.

    What holds without is a law here as well: one row for each request.
    """
    seen: Counter[str] = Counter()
    for seed in that_end("retries", range(first, first + count)):
        case = retried_case(seed)
        expected, found = serve_case(case, REFERENCE), serve_case(case, CANDIDATE)
        assert differences(expected, found)[:MOST_LINES] == [], seed
        assert broken_retries(case, expected)[:MOST_LINES] == [], seed
        seen.update(f"again after {row['outcome']}" for row in expected.tables.get("attempts", []))
        seen.update(
            f"sent again, {row['outcome']}"
            for row in expected.tables.get("requests", [])
            if row["attempts"] > 1
        )
    return seen


@pytest.mark.parametrize("first", range(8_200, 8_300, 2 * CHUNK))
def test_random_retries(first: int) -> None:
    seen = check_retries(first, 2 * CHUNK)
    ends = {f"again after {outcome}" for outcome in RETRIED}
    ends |= {f"sent again, {outcome}" for outcome in ("completed", "failed", "queue-full")}
    assert ends <= seen.keys()


@pytest.mark.deep
@pytest.mark.parametrize("first", range(8_300, 10_300, 10 * CHUNK))
def test_thousands_of_random_retries(first: int) -> None:
    seen = check_retries(first, 10 * CHUNK)
    ends = (*RETRIED, "cancelled", "unfinished")
    assert {f"sent again, {outcome}" for outcome in ends} <= seen.keys()


def check_paths(first: int, count: int) -> Counter[str]:
    """Cases whose users are away from their pools; half with retries, half of those with outages.

    Laws hold as they do without: rows of all that was sent, on the clocks of users and of pools.
    """
    seen: Counter[str] = Counter()
    for seed in range(first, first + count):
        case = with_paths(Random(~seed), seeded_case(seed, prefixes=seed % 4 == 1))
        if seed % 2:
            case = with_retries(Random(~seed), case)
        if seed % 4 == 3:
            case = with_outages(Random(seed), case)
        expected, found = serve_case(case, REFERENCE), serve_case(case, CANDIDATE)
        assert differences(expected, found)[:MOST_LINES] == [], seed
        assert broken_retries(case, expected)[:MOST_LINES] == [], seed
        if seed % 2 == 0:
            assert broken_laws(case, expected)[:MOST_LINES] == [], seed
        seen.update(path_features(case, expected))
    return seen


def path_features(case: Case, outcome: Outcome) -> set[str]:
    """What a run with paths shows of them."""
    path = {load.name: load.path for load in case.world.scenario.workloads}
    found: set[str] = set()
    for row in outcome.tables.get("requests", []):
        way = path[row["workload"]]
        if way.ingress_s == 0.0:
            continue
        found.add(f"away, {row['outcome']}")
        reaches_s = row["arrival_s"] + row["ingress_s"]
        if reaches_s >= case.horizon_s and row["attempts"] == 1:
            found.add("on its way in at the end")
        if row["outcome"] == "cancelled" and row["admitted_s"] is None and row["replica"] is None:
            found.add("gone before it came")
        if row["outcome"] == "cancelled" and row["delivered_tokens"] == row["output_tokens"] > 0:
            found.add("answered too late")
        if row["outcome"] == "completed" and row["met"]:
            found.add("met")
    return found


@pytest.mark.parametrize("first", range(14_000, 14_100, 2 * CHUNK))
def test_random_paths(first: int) -> None:
    seen = check_paths(first, 2 * CHUNK)
    ends = ("completed", "never-fits", "queue-full", "shed", "timed-out", "cancelled", "unfinished")
    assert {f"away, {outcome}" for outcome in ends} <= seen.keys()
    assert {"on its way in at the end", "gone before it came", "answered too late", "met"} <= (
        seen.keys()
    )


@pytest.mark.deep
@pytest.mark.parametrize("first", range(14_100, 16_100, 10 * CHUNK))
def test_thousands_of_random_paths(first: int) -> None:
    check_paths(first, 10 * CHUNK)


def changed_case(seed: int) -> Case:
    """Replicas are taken away and limits change; half have outages and retries."""
    case = with_changes(Random(seed), seeded_case(seed, prefixes=seed % 4 == 1))
    return with_outages(Random(seed), with_retries(Random(~seed), case)) if seed % 2 else case


def check_changes(first: int, count: int) -> Counter[str]:
    """Cases in which replicas are taken away and limits change; half have outages and retries."""
    seen: Counter[str] = Counter()
    for seed in that_end("changes", range(first, first + count)):
        case = changed_case(seed)
        expected, found = serve_case(case, REFERENCE), serve_case(case, CANDIDATE)
        assert differences(expected, found)[:MOST_LINES] == [], seed
        seen.update(row["kind"] for row in expected.tables.get("events", []))
        nodes = expected.tables.get("power_nodes", [])
        seen.update("limits in turn" for row in nodes if row["nearest_w"] != row["peak_w"])
    return seen


@pytest.mark.parametrize("first", range(11_000, 11_100, 2 * CHUNK))
def test_random_changes(first: int) -> None:
    seen = check_changes(first, 2 * CHUNK)
    assert {"replica-parked", "limits in turn"} <= seen.keys()


@pytest.mark.deep
@pytest.mark.parametrize("first", range(11_100, 13_100, 10 * CHUNK))
def test_thousands_of_random_changes(first: int) -> None:
    check_changes(first, 10 * CHUNK)


@pytest.mark.deep
@pytest.mark.parametrize(
    ("make", "seed"),
    [
        (make, seed)
        for make, family in (
            (moved_case, "moves"), (retried_case, "retries"), (changed_case, "changes")
        )
        for seed in STANDSTILLS[family]
    ],
)  # fmt: skip
def test_time_that_stands_still(make: Callable[[int], Case], seed: int) -> None:
    check_standstill(make(seed))


@pytest.mark.parametrize("level", LEVELS, ids=" ".join)
def test_recorded_cases(level: tuple[str, str]) -> None:
    for seed in range(500, 512):
        case = seeded_case(seed)
        if seed >= 508:
            case = with_paths(Random(~seed), case)
        expected, found = (record_case(case, engine, level) for engine in (REFERENCE, CANDIDATE))
        assert differences(expected, found)[:MOST_LINES] == [], seed


@settings(max_examples=30, deadline=None, suppress_health_check=SLOW)
@given(cases())
def test_drawn_cases(case: Case) -> None:
    assert differences_of(case)[:MOST_LINES] == []


@pytest.mark.deep
@settings(max_examples=1000, deadline=None, suppress_health_check=SLOW)
@given(cases())
def test_thousands_of_drawn_cases(case: Case) -> None:
    assert differences_of(case)[:MOST_LINES] == []
