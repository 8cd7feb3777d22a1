"""Pools that hand their requests over: two serving planes on one world, as in ``test_engines``.

KV takes times that depend on the request alone (``tests.property.carrier``); the last test has a
real network between whole runs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from sim.engine.api import load_scenario
from sim.engine.build import build
from sim.engine.run import run
from sim.engine.world import World
from tests.property.engine_pair import (
    CANDIDATE,
    MOST_LINES,
    REFERENCE,
    Outcome,
    PlainSink,
    differences,
    serve_case,
)
from tests.property.features import watched
from tests.property.handover_features import WatchedHandover
from tests.property.handover_laws import broken_handover, broken_transfers
from tests.property.invariants import broken_laws
from tests.property.random_cases import Case, seeded_case
from tests.property.random_disaggregation import random_disaggregation
from tests.property.random_handover import with_handover
from tests.property.random_outages import with_changes, with_outages
from tests.property.random_retries import with_retries
from tests.property.test_random_cases import too_rare

#: Where replicas stay down for ever, clients that come back would be turned away as long.
OUTAGES_END_S = 40.0


def alone(seed: int) -> Case:
    """Nothing else happens."""
    return with_handover(Random(~seed), seeded_case(seed))


def with_prefixes(seed: int) -> Case:
    """Prompts begin alike."""
    return with_handover(Random(~seed), seeded_case(seed, prefixes=True))


def losing(seed: int) -> Case:
    """Replicas lose their power and get it back."""
    return short(with_outages(Random(seed), alone(seed) if seed % 2 else with_prefixes(seed)))


def changing(seed: int) -> Case:
    """Replicas are taken away and brought back, or admit nobody for a while."""
    return with_changes(Random(seed), alone(seed) if seed % 2 else with_prefixes(seed))


def sending_again(seed: int) -> Case:
    """Clients send again what got no answer; in half of the cases replicas fail or leave."""
    case = with_retries(Random(seed), with_prefixes(seed) if seed % 4 == 1 else alone(seed))
    if seed % 2:
        return case
    return short(with_changes(Random(seed), with_outages(Random(~seed), patient(case))))


def patient(case: Case) -> Case:
    """The case without waits of no time, in which what is down is asked millions of times."""
    world = case.world
    loads = tuple(
        load
        if load.retry is None
        else replace(load, retry=replace(load.retry, wait_s=max(load.retry.wait_s, 0.0625)))
        for load in world.scenario.workloads
    )
    scenario = replace(world.scenario, workloads=loads)
    return replace(case, world=replace(world, scenario=scenario))


def short(case: Case) -> Case:
    """The case without its end."""
    horizon_s = min(case.horizon_s, OUTAGES_END_S)
    acts = tuple(act for act in case.acts if act.time_s <= horizon_s)
    return replace(case, acts=acts, horizon_s=horizon_s)


#: In how many of the quick cases each of these happens at least: about half of what it is today.
FLOORS: dict[str, dict[str, int]] = {
    "alone": {
        "arrives at rest": 11,
        "arrives in a run": 6,
        "cancelled decoding elsewhere": 3,
        "cancelled here and there": 1,
        "cancelled here and waiting there": 1,
        "cancelled waiting for room": 2,
        "cancelled with kv on its way": 3,
        "decodes while kv comes": 6,
        "first token beside later ones": 6,
        "frees blocks at a boundary": 1,
        "frees blocks at rest": 10,
        "frees blocks in an iteration": 6,
        "frees blocks somebody waits for": 5,
        "kv is lost": 7,
        "kv is lost before the prefill ends": 1,
        "prompt blocked by those that part": 5,
        "prefills while prompts part": 8,
        "recomputed by the other pool": 2,
        "recomputed without a token": 1,
        "refused by the other pool": 2,
        "room before the prefill ends": 7,
        "room while others decode": 6,
        "several arrive before a boundary": 2,
        "several have room at once": 3,
        "shed before its kv is whole": 4,
        "timed out before its kv is whole": 4,
        "waited for room": 7,
        "waits at a replica at work": 6,
        "wakes a replica": 11,
    },
    "prefixes": {"prefix hits": 2, "cached blocks evicted": 1, "waited for room": 3},
    "outages": {
        "arrives at a boundary": 1,
        "source fails while a prompt waits": 1,
        "source fails while a twin waits for the prefill": 2,
        "source fails while kv moves": 3,
        "target fails while a prompt waits": 1,
        "target fails while it decodes": 3,
        "target fails while kv moves": 2,
    },
    "changes": {
        "arrives at a replica that admits nobody": 1,
        "drained at rest while parting": 3,
        "drained while kv comes": 2,
        "drained while parting": 4,
    },
    "retries": {
        "cancelled preempted by the other pool": 1,
        "cancelled with kv there": 1,
        "refused by the other pool": 2,
        "source fails while kv moves": 2,
        "target fails while it decodes": 1,
    },
}
WHOLE_FLOORS = {
    "transfer arrived": 10,
    "transfer withdrawn": 1,
    "transfer unfinished": 1,
    "request failed": 1,
    "request queue-full": 1,
    "waited for room": 1,
    "shared the network": 1,
}
#: How a case is made → the first of its seeds, how many are quick, how many there are.
KINDS: dict[str, tuple[Callable[[int], Case], int, int, int]] = {
    "alone": (alone, 20_000, 30, 1030),
    "prefixes": (with_prefixes, 22_000, 10, 410),
    "outages": (losing, 24_000, 25, 1025),
    "changes": (changing, 26_000, 20, 1020),
    "retries": (sending_again, 28_080, 26, 1020),
}
#: Seeds of one deep test, so that workers share them out.
CHUNK = 200


def check(kind: str, first: int, count: int) -> Counter[str]:
    """Cases of successive seeds; the first that fails is told in full, the others by number.

    Returns in how many cases each feature was seen.
    """
    make = KINDS[kind][0]
    told, failed = "", []
    seen: Counter[str] = Counter()
    for seed in range(first, first + count):
        case = make(seed)
        expected, features = watched(case, WatchedHandover)
        seen.update(features)
        lines = [*broken_handover(case, expected)]
        lines += differences(expected, serve_case(case, CANDIDATE))
        if kind in ("alone", "prefixes"):
            lines += broken_laws(case, expected)
        if lines:
            failed.append(seed)
            told = told or "\n".join(lines[:MOST_LINES])
    assert not failed, f"{REFERENCE} | {CANDIDATE} differ at seeds {failed}; first:\n{told}"
    return seen


@pytest.mark.parametrize("kind", KINDS)
def test_random_handovers(kind: str) -> None:
    _, first, quick, _ = KINDS[kind]
    assert too_rare(check(kind, first, quick), FLOORS[kind]) == {}


def deep_chunks() -> list[tuple[str, int]]:
    """(kind, first seed) of each deep test."""
    return [
        (kind, first + start)
        for kind, (_, first, quick, every) in KINDS.items()
        for start in range(quick, every, CHUNK)
    ]


@pytest.mark.deep
@pytest.mark.parametrize(("kind", "first"), deep_chunks())
def test_thousands_of_random_handovers(kind: str, first: int) -> None:
    check(kind, first, CHUNK)


def run_whole(text: str, folder: Path) -> tuple[World, dict[str, Outcome]]:
    """A scenario on each engine, with its network."""
    file = folder / "random.yaml"
    file.write_text(text)
    scenario = load_scenario(file)
    world = build(scenario, scenario.seed)
    outcomes = {}
    for engine in (REFERENCE, CANDIDATE):
        sink = PlainSink()
        run(world, sink, engine=engine)
        outcomes[engine] = Outcome(tables={name: sink.rows(name) for name in sink.tables})
    return world, outcomes


def check_whole(first: int, count: int, folder: Path) -> Counter[str]:
    """Runs of random scenarios; how requests and transfers ended, in how many of them."""
    seen: Counter[str] = Counter()
    for seed in range(first, first + count):
        world, outcomes = run_whole(random_disaggregation(seed), folder)
        expected, found = outcomes[REFERENCE], outcomes[CANDIDATE]
        assert differences(expected, found)[:MOST_LINES] == [], seed
        assert broken_transfers(world, expected)[:MOST_LINES] == [], seed
        transfers = expected.tables.get("transfers", [])
        ends = {f"transfer {row['outcome']}" for row in transfers}
        ends |= {f"request {row['outcome']}" for row in expected.tables["requests"]}
        if any(row["start_s"] > row["ready_s"] for row in transfers):
            ends.add("waited for room")
        if any((row["end_s"] or 0) > row["start_s"] + 1.5 * row["alone_s"] for row in transfers):
            ends.add("shared the network")
        seen.update(ends)
    return seen


def test_whole_runs_over_a_network(tmp_path: Path) -> None:
    seen = check_whole(36, 14, tmp_path)
    assert too_rare(seen, WHOLE_FLOORS) == {}


@pytest.mark.deep
@pytest.mark.parametrize("first", range(100, 500, 50))
def test_hundreds_of_whole_runs_over_a_network(first: int, tmp_path: Path) -> None:
    check_whole(first, 50, tmp_path)
