"""The comparison of engines itself: its cases reach what matters, its comparer sees all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from sim.workload.types import OPEN
from tests.engine_world import Given
from tests.property.engine_pair import METERS, REFERENCE, Outcome, differences, plain, serve_case
from tests.property.features import count_features
from tests.property.random_cases import seeded_case
from tests.property.random_requests import InPieces

CASES = 200
#: In how many of the cases each of these happens at least: about half of what it is today.
FLOORS = {
    "admission in a run": 10,
    "admission wakes a replica": 15,
    "arrival at a boundary": 30,
    "arrival beside a boundary": 20,
    "boundaries tie": 60,
    "by run": 9,
    "by run, in steps": 8,
    "cancel after the end": 40,
    "cancel and end at once": 6,
    "cancelled after preemption": 5,
    "cancelled at a boundary": 14,
    "cancelled before its last token": 4,
    "cancelled decoding": 37,
    "cancelled in prefill": 26,
    "cap below every level": 10,
    "cap changes nothing": 18,
    "cap lifted in an iteration": 4,
    "cap met exactly": 2,
    "cap slows an iteration": 10,
    "chunk crosses the window": 15,
    "clock change again at once": 13,
    "clock change at a boundary": 14,
    "clock change at rest": 32,
    "clock change beside a boundary": 9,
    "clock change in a growing run": 17,
    "clock change in a run": 29,
    "clock change in a run of chunks": 8,
    "clock change in an iteration": 30,
    "clock change with prefill and decodes": 6,
    "clock set to what it is": 35,
    "decode crosses the window": 20,
    "decodes stand by": 38,
    "follower": 70,
    "follower at once": 39,
    "follower at once after a boundary": 4,
    "follower at once before a boundary": 4,
    "gives up at a boundary": 17,
    "gives up on a woken replica": 37,
    "head blocked by blocks": 34,
    "head blocked by sequences": 30,
    "head blocked by tokens": 36,
    "head gives up before others": 28,
    "hold that unloads at rest": 8,
    "hold that unloads later": 8,
    "hold while somebody waits": 15,
    "long growing run": 50,
    "long run": 80,
    "long run of chunks": 60,
    "long run of chunks with decodes": 19,
    "look at a boundary": 40,
    "look beside a boundary": 36,
    "look in a run": 80,
    "no output tokens": 31,
    "objectives met": 70,
    "objectives missed": 70,
    "outcome cancelled": 60,
    "outcome completed": 80,
    "outcome never-fits": 35,
    "outcome queue-full": 28,
    "outcome shed": 23,
    "outcome timed-out": 40,
    "outcome unfinished": 34,
    "power over a limit": 40,
    "preempted before others": 33,
    "preempted twice": 19,
    "preemption": 40,
    "prefill and decodes": 50,
    "prefill preempted": 9,
    "prompts together": 60,
    "recompute of delivered tokens": 39,
    "routing context": 23,
    "routing kv-capacity": 17,
    "routing queue-full": 34,
    "routing refused by several alike": 22,
    "routing to another than the first": 18,
    "run over bins": 50,
    "run slowed by a cap": 10,
    "run slowed by cap and lock": 2,
    "several end at a boundary": 26,
    "several preempted at a boundary": 7,
    "several wake a replica": 60,
    "shed with a choice": 12,
    "static batch after another": 22,
    "stop that changes nothing": 70,
    "stopped by an error": 5,
    "time-out shorter than a float's step": 11,
    "turned away again at once": 19,
    "turned away returns at once": 28,
    "two GPU types in a pool": 21,
    "window at a boundary": 21,
    "window cuts an iteration": 50,
    "workloads share a batch": 40,
}
PREFIX_FLOORS = {
    "prefix hits": 6,
    "cached blocks evicted": 8,
    "prefix shared by running": 7,
    "preemption": 11,
    "cancelled in prefill": 7,
}


def too_rare(counts: Counter[str], floors: dict[str, int]) -> dict[str, int]:
    """The counts that are below their floor."""
    return {name: counts[name] for name, floor in floors.items() if counts[name] < floor}


def test_random_cases_reach_what_tells_engines_apart() -> None:
    counts = count_features(seeded_case(seed) for seed in range(CASES))
    assert too_rare(counts, FLOORS) == {}


def test_random_cases_with_prefixes_reach_the_cache() -> None:
    counts = count_features(seeded_case(seed, prefixes=True) for seed in range(60))
    rare = {
        name: counts[name] for name, floor in PREFIX_FLOORS.items() if counts[name] < floor // 2
    }
    assert rare == {}


@pytest.fixture(scope="module")
def rich() -> Outcome:
    """A run whose rows fill every table."""
    for seed in range(100):
        outcome = serve_case(seeded_case(seed), REFERENCE)
        if len(outcome.tables) == 9 and outcome.looks:
            return outcome
    raise AssertionError("no case fills every table")


def changed(value: Any) -> Any:
    """Another value of its kind, as near as can be where equality is asked for."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, float):
        return float(np.nextafter(value, np.inf))
    return value + 1 if isinstance(value, int) else f"{value}?"


def cells(outcome: Outcome) -> Iterator[tuple[str, int, str]]:
    """(table, row, column) of the first and last row of every table."""
    for name, rows in outcome.tables.items():
        for number in {0, len(rows) - 1}:
            for column in rows[number]:
                yield name, number, column


def with_cell(outcome: Outcome, name: str, number: int, column: str, value: Any) -> Outcome:
    """The outcome with one other value."""
    rows = list(outcome.tables[name])
    rows[number] = {**rows[number], column: value}
    return replace(outcome, tables={**outcome.tables, name: rows})


def test_every_cell_is_compared(rich: Outcome) -> None:
    assert differences(rich, deepcopy(rich)) == []
    for name, number, column in cells(rich):
        value = rich.tables[name][number][column]
        tolerated = name in METERS and isinstance(value, float)
        near = with_cell(rich, name, number, column, changed(value))
        assert bool(differences(rich, near)) != tolerated, (name, number, column, value)
        if tolerated:
            far = with_cell(rich, name, number, column, value * (1 + 1e-8) + 1e-8)
            assert differences(rich, far), (name, number, column, value)


def test_rows_are_compared_in_order(rich: Outcome) -> None:
    for name, rows in rich.tables.items():
        assert differences(rich, replace(rich, tables={**rich.tables, name: rows[:-1]})), name
    swapped = [*reversed(rich.tables["requests"][:2]), *rich.tables["requests"][2:]]
    assert differences(rich, replace(rich, tables={**rich.tables, "requests": swapped}))


def test_what_is_seen_on_the_way_is_compared(rich: Outcome) -> None:
    first = rich.looks[0]
    seen = replace(rich, looks=[replace(first, in_flight=first.in_flight + 1), *rich.looks[1:]])
    assert differences(rich, seen)
    assert differences(rich, replace(rich, error="at 1 s: it broke"))
    assert differences(rich, replace(rich, faults=["it promised otherwise"]))


def test_columns_of_any_kind_become_plain_values() -> None:
    assert list(plain(np.array([1.0, np.nan]))) == [1.0, None]
    assert list(plain([None, "x", 3])) == [None, "x", 3]


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_pieces_part_no_row_from_the_one_it_follows(rows: int) -> None:
    given = Given(
        [{"arrival_s": 0.0}, {"after_request": 0}, {"arrival_s": 1.0}, {"arrival_s": 2.0},
         {"after_request": 2}, {"after_request": 4}, {"arrival_s": 3.0}]
    )  # fmt: skip
    pieces = list(InPieces(given, rows).chunks())
    assert sum(map(len, pieces)) == 7
    first = 0
    for piece in pieces:
        follows = piece.after_request[piece.after_request != OPEN]
        assert all(first <= after < first + len(piece) for after in follows)
        first += len(piece)
    assert len(pieces) > 1 or rows == 5
