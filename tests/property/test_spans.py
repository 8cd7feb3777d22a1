"""Replicas over several servers: what they say of their pace, and delays that they are told.

Delays come at times of acts here; ``tests.unit.engine.test_spans`` has the network that makes them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from random import Random

import pytest

from sim.engine.handover import PACED
from tests.property.engine_pair import CANDIDATE, MOST_LINES, REFERENCE, differences, serve_case
from tests.property.features import beside, watched
from tests.property.handover_features import WatchedHandover
from tests.property.random_cases import Case, seeded_case
from tests.property.random_handover import with_handover
from tests.property.random_outages import with_changes, with_outages
from tests.property.random_spans import with_spans
from tests.property.standstills import STANDSTILLS, check_standstill, that_end
from tests.property.test_handover import short
from tests.property.test_random_cases import too_rare


class WatchedSpans(WatchedHandover):
    """Notes when delays come."""

    def set_delays(self, replicas: Sequence[int], delays_s: Sequence[float], time_s: float) -> None:
        """A token takes longer, or not any more."""
        for index, delay_s in zip(replicas, delays_s, strict=True):
            replica = self.replicas[index]
            works, now_s = replica.batch is not None, replica.delay_s
            self.note(
                delay_at_rest=not works and delay_s > 0,
                delay_in_a_run=works and replica.steps > 0 and delay_s != now_s,
                delay_in_chunks=works and bool(replica.batcher.chunks) and delay_s != now_s,
                delay_at_a_boundary=works and replica.end_s == time_s,
                delay_beside_a_boundary=works and beside(replica, time_s),
                delay_changes_in_an_iteration=works
                and replica.next_delay_s not in (now_s, delay_s),
                delay_taken_back_in_an_iteration=works and replica.next_delay_s != now_s == delay_s,
                delay_while_down=replica.down,
                delay_ends=works and now_s > delay_s == 0.0,
                delay_under_a_cap=works and replica.cap_mw is not None and delay_s != now_s,
                delay_at_another_clock=works and replica.level > 0 and delay_s != now_s,
            )
        super().set_delays(replicas, delays_s, time_s)


def alone(seed: int) -> Case:
    """Nothing else happens."""
    return with_spans(Random(~seed), seeded_case(seed, prefixes=seed % 3 == 0))


def handing_over(seed: int) -> Case:
    """Pools on several servers that prefill for others."""
    return with_spans(Random(~seed), with_handover(Random(seed), seeded_case(seed)))


def changing(seed: int) -> Case:
    """Replicas fail, or are taken away, and come back."""
    case = handing_over(seed)
    return short((with_changes if seed % 2 else with_outages)(Random(seed), case))


#: How a case is made → the first of its seeds, how many are quick, how many there are.
KINDS: dict[str, tuple[Callable[[int], Case], int, int, int]] = {
    "alone": (alone, 32_000, 40, 1040),
    "handover": (handing_over, 34_000, 20, 520),
    # Closed loops that ask replicas that stay down for ever take long: few, and none is deep.
    "changes": (changing, 36_020, 20, 20),
}
#: In how many of the quick cases each of these happens at least: about half of what it is today.
FLOORS: dict[str, dict[str, int]] = {
    "alone": {
        "a pace is told": 16,
        "delay at a boundary": 3,
        "delay at another clock": 6,
        "delay at rest": 16,
        "delay beside a boundary": 3,
        "delay changes in an iteration": 7,
        "delay ends": 8,
        "delay in a run": 13,
        "delay in chunks": 9,
        "delay taken back in an iteration": 4,
        "delay under a cap": 4,
        "preemption": 7,
        "prefix hits": 1,
    },
    "handover": {
        "a pace is told": 10,
        "decodes while kv comes": 7,
        "delay in a run": 7,
        "delay in chunks": 4,
        "kv is lost": 7,
        "room before the prefill ends": 6,
        "waited for room": 8,
    },
    "changes": {
        "a pace is told": 9,
        "delay in a run": 5,
        "target fails while it decodes": 1,
    },
}
#: Seeds of one deep test, so that workers share them out.
CHUNK = 200


def check(kind: str, first: int, count: int) -> Counter[str]:
    """Cases of successive seeds on both engines; in how many each feature was seen."""
    told, failed = "", []
    seen: Counter[str] = Counter()
    for seed in that_end("spans", range(first, first + count)):
        case = KINDS[kind][0](seed)
        expected, features = watched(case, WatchedSpans)
        moves = [row["move"] for row in expected.tables.get("moves", [])]
        if any(move["kind"] == PACED for move in moves):
            features.add("a pace is told")
        seen.update(features)
        lines = differences(expected, serve_case(case, CANDIDATE))
        if lines:
            failed.append(seed)
            told = told or "\n".join(lines[:MOST_LINES])
    assert not failed, f"{REFERENCE} | {CANDIDATE} differ at seeds {failed}; first:\n{told}"
    return seen


@pytest.mark.parametrize("kind", KINDS)
def test_random_replicas_over_several_servers(kind: str) -> None:
    _, first, quick, _ = KINDS[kind]
    assert too_rare(check(kind, first, quick), FLOORS[kind]) == {}


@pytest.mark.deep
@pytest.mark.parametrize(
    ("kind", "first"),
    [
        (kind, first + start)
        for kind, (_, first, quick, every) in KINDS.items()
        for start in range(quick, every, CHUNK)
    ],
)
def test_hundreds_of_random_replicas_over_several_servers(kind: str, first: int) -> None:
    check(kind, first, CHUNK)


@pytest.mark.deep
@pytest.mark.parametrize("seed", STANDSTILLS["spans"])
def test_time_that_stands_still(seed: int) -> None:
    check_standstill(changing(seed))
