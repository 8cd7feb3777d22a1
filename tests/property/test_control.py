"""Two engines under one random controller: equal decisions, events and rows, meters to 1e-9.

A failure names its case: ``controlled_case(17)``.
"""

from __future__ import annotations

from collections import Counter

import pytest

from tests.property.engine_pair import CANDIDATE, MOST_LINES, REFERENCE, differences, serve_case
from tests.property.random_control import controlled_case

SEEDS, CHUNK = 40, 20


def check_seeds(first: int, count: int) -> None:
    for seed in range(first, first + count):
        expected, found = (serve_case(controlled_case(seed), e) for e in (REFERENCE, CANDIDATE))
        assert differences(expected, found)[:MOST_LINES] == [], seed


@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_engines_agree_under_any_controller(first: int) -> None:
    check_seeds(first, CHUNK)


@pytest.mark.deep
@pytest.mark.parametrize("first", range(1_000, 2_000, 100))
def test_engines_agree_under_many_controllers(first: int) -> None:
    check_seeds(first, 100)


def test_the_same_seed_twice_gives_the_same_tables() -> None:
    for seed in range(8):
        one, two = (serve_case(controlled_case(seed), CANDIDATE) for _ in range(2))
        assert one == two


def test_random_control_does_something() -> None:
    """What cases show, counted by case, stays above floors: a generator rots in silence."""
    shown: Counter[str] = Counter()
    for seed in range(SEEDS):
        tables = serve_case(controlled_case(seed), REFERENCE).tables
        shown.update({row["kind"] for row in tables["events"]})
        shown.update({row["reason_code"] or "" for row in tables["decisions"]})
    floors = {
        "clock-commanded": 20, "clock-acted": 15, "brake-commanded": 8, "brake-on": 8,
        "release-commanded": 4, "brake-off": 4, "telemetry-stale": 5, "clock-set": 2,
        "brake": 4, "brake-hold": 4, "refractory": 1, "share": 2, "class": 2,
    }  # fmt: skip
    assert {name: shown[name] for name in floors if shown[name] < floors[name]} == {}
