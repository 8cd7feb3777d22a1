"""Seeds of cases whose clients are turned away and come back at once, until the run is stopped.

An engine counts a hundred thousand returns at one instant before it says that time stands still:
seconds for a case that shows nothing else. One is in the quick tests (outage 6037, in
``test_engines``); these are among the deep ones.
"""

from __future__ import annotations

from collections.abc import Iterable

from tests.property.engine_pair import (
    CANDIDATE,
    MOST_LINES,
    REFERENCE,
    differences,
    serve_case,
)
from tests.property.random_cases import Case

#: Family of random cases → seeds.
STANDSTILLS = {
    "changes": (11_027, 11_095, 11_097),
    "moves": (8_154, 8_179),
    "retries": (8_293,),
    "sites": (3,),
    "spans": (36_021,),
}
SAID = "again and again, so that time stands still"


def that_end(family: str, seeds: Iterable[int]) -> list[int]:
    """The seeds of cases that come to an end."""
    return [seed for seed in seeds if seed not in STANDSTILLS[family]]


def check_standstill(case: Case) -> None:
    """Both engines say at the same time of the same workload that time stands still."""
    expected, found = serve_case(case, REFERENCE), serve_case(case, CANDIDATE)
    assert SAID in expected.error
    assert differences(expected, found)[:MOST_LINES] == []
