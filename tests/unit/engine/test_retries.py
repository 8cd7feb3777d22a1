"""Requests that are sent again, every number worked out by hand. An iteration takes a second."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from sim.engine.recorder import Recorder
from sim.engine.run import ENGINES
from sim.rng import KeyedBits
from sim.workload.plan import Retry
from tests.engine_world import Given, constant_cost, model, pool, scenario, workload, world
from tests.property.engine_pair import PlainSink

SECOND = constant_cost(1.0)
#: Waits of 1, 2 and 4 s.
FOUR = Retry(attempts=4, wait_s=1.0, backoff=2.0, most_s=math.inf, jitter=0.0, outcomes=("failed",))
BOTH = pytest.mark.parametrize("engine", ["reference", "compiled"])


def serve(
    engine: str,
    rows: Sequence[dict[str, Any]],
    retry: Retry,
    *,
    outage_s: tuple[float, float] | None = None,
    timeout_s: float = math.inf,
    end_s: float = 1000.0,
    closed: bool = False,
    **options: Any,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """One replica serves ``rows`` but for an outage: requests by id, attempts in order."""
    load = replace(workload(timeout_s=timeout_s), retry=retry)
    setup = scenario([pool(model(SECOND), **options)], [load])
    sink = PlainSink()
    recorder = Recorder(setup, sink)
    plane = ENGINES[engine](world(setup, [Given(rows, closed=closed)]), recorder)
    if outage_s is not None:
        for time_s, act in zip(outage_s, ("fail", "restore"), strict=True):
            plane.advance(time_s)
            plane.fail(0, 0, time_s) if act == "fail" else plane.restore(0, time_s)
    plane.advance(end_s)
    plane.finish(end_s)
    recorder.close()
    return sorted(sink.rows("requests"), key=lambda r: r["request_id"]), sink.rows("attempts")


def seen(row: dict[str, Any], *names: str) -> tuple[Any, ...]:
    return tuple(row[name] for name in names)


TIMES = ("arrival_s", "ingress_s", "admitted_s", "first_token_s", "end_s")
ATTEMPT = ("attempt", "sent_s", "replica", "end_s", "delivered_tokens", "outcome")


@BOTH
def test_an_outage_and_two_attempts_that_meet_it(engine: str) -> None:
    """Down from 2.5 to 6 s: sent at 0, 3.5, 5.5 and 9.5 s; the last is answered after 5 s."""
    rows, attempts = serve(engine, [{"arrival_s": 0.0, "output_tokens": 5}], FOUR,
                           outage_s=(2.5, 6.0))  # fmt: skip
    assert [seen(attempt, *ATTEMPT) for attempt in attempts] == [
        (1, 0.0, 0, 2.5, 2, "failed"),  # tokens at 1 and 2 s
        (2, 3.5, None, 3.5, 0, "failed"),  # nobody serves
        (3, 5.5, None, 5.5, 0, "failed"),
    ]
    (row,) = rows
    assert seen(row, *TIMES) == (0.0, 9.5, 9.5, 10.5, 14.5)
    assert seen(row, "attempts", "outcome", "delivered_tokens") == (4, "completed", 5)


@BOTH
def test_the_last_attempt_is_the_end(engine: str) -> None:
    rows, attempts = serve(engine, [{"arrival_s": 0.0, "output_tokens": 5}],
                           replace(FOUR, attempts=3), outage_s=(2.5, 6.0))  # fmt: skip
    assert [attempt["attempt"] for attempt in attempts] == [1, 2]
    assert seen(rows[0], "attempts", "outcome", "end_s", "ingress_s", "replica", "met") == (
        3, "failed", 5.5, 5.5, None, False
    )  # fmt: skip


@BOTH
def test_no_wait_is_longer_than_the_longest(engine: str) -> None:
    """Waits of 1, 1.5 and 1.5 s: sent at 3.5, 5 and 6.5 s."""
    rows, attempts = serve(engine, [{"arrival_s": 0.0, "output_tokens": 5}],
                           replace(FOUR, most_s=1.5), outage_s=(2.5, 6.0))  # fmt: skip
    assert [attempt["sent_s"] for attempt in attempts] == [0.0, 3.5, 5.0]
    assert seen(rows[0], "ingress_s", "end_s") == (6.5, 11.5)


@BOTH
@pytest.mark.parametrize(
    ("cancel_after_s", "expected"),
    [
        (9.5, (3, "failed", 5.5)),  # gone when the fourth would be sent
        (12.0, (4, "cancelled", 12.0)),  # in the middle of it
        (14.5, (4, "cancelled", 14.5)),  # a cancellation comes before the last boundary
        (15.0, (4, "completed", 14.5)),
    ],
)
def test_patience_counts_from_the_first_sending(
    engine: str, cancel_after_s: float, expected: tuple[Any, ...]
) -> None:
    one = {"arrival_s": 0.0, "output_tokens": 5, "cancel_after_s": cancel_after_s}
    rows, _ = serve(engine, [one], FOUR, outage_s=(2.5, 6.0))
    assert seen(rows[0], "attempts", "outcome", "end_s") == expected


@BOTH
def test_a_client_goes_on_after_the_last_attempt(engine: str) -> None:
    """Its second request follows the end of the first, at 14.5 s, by a second of thought."""
    given = [
        {"arrival_s": 0.0, "output_tokens": 5},
        {"after_request": 0, "think_s": 1.0, "output_tokens": 2},
    ]
    rows, _ = serve(engine, given, FOUR, outage_s=(2.5, 6.0), closed=True)
    assert seen(rows[1], "arrival_s", "attempts", "end_s") == (15.5, 1, 17.5)


@BOTH
def test_each_attempt_has_its_own_time_out(engine: str) -> None:
    """One sequence at a time, until 9 s: given up at 4 and 8 s, served from 10 s on."""
    given = [{"arrival_s": 0.0, "output_tokens": 9}, {"arrival_s": 1.0, "output_tokens": 4}]
    rows, attempts = serve(engine, given, replace(FOUR, outcomes=("timed-out",)), timeout_s=3.0,
                           max_sequences=1)  # fmt: skip
    assert [seen(attempt, *ATTEMPT[:4]) for attempt in attempts] == [
        (1, 1.0, 0, 4.0), (2, 5.0, 0, 8.0)
    ]  # fmt: skip
    assert seen(rows[1], *TIMES) == (1.0, 9.0, 10.0, 11.0, 14.0)
    assert seen(rows[1], "attempts", "outcome") == (3, "completed")


QUEUE_OF_ONE = [
    {"arrival_s": 0.0, "output_tokens": 8},
    {"arrival_s": 1.0, "output_tokens": 2},
    {"arrival_s": 2.0, "output_tokens": 2},
]


@BOTH
def test_refused_requests_return(engine: str) -> None:
    """The third is refused at 2, 3 and 5 s; at 9 s the second is served, until 10 s."""
    rows, attempts = serve(engine, QUEUE_OF_ONE, replace(FOUR, outcomes=("queue-full",)),
                           max_sequences=1, max_queue=1)  # fmt: skip
    assert [seen(a, "request_id", "attempt", "outcome", "end_s") for a in attempts] == [
        (2, 1, "queue-full", 2.0), (2, 2, "queue-full", 3.0), (2, 3, "queue-full", 5.0)
    ]  # fmt: skip
    assert seen(rows[2], "attempts", "outcome", *TIMES) == (
        4, "completed", 2.0, 7.0, 10.0, 11.0, 12.0
    )  # fmt: skip


@BOTH
def test_two_that_push_each_other_out(engine: str) -> None:
    """Each pushes the other out, until the first place is free at 8 s."""
    rows, attempts = serve(engine, QUEUE_OF_ONE, replace(FOUR, outcomes=("shed",)),
                           max_sequences=1, max_queue=1, shed="oldest")  # fmt: skip
    assert [seen(a, "request_id", "attempt", "outcome", "end_s") for a in attempts] == [
        (1, 1, "shed", 2.0), (2, 1, "shed", 3.0), (1, 2, "shed", 4.0), (2, 2, "shed", 6.0),
        (1, 3, "shed", 8.0),
    ]  # fmt: skip
    assert seen(rows[1], "attempts", "admitted_s", "end_s") == (4, 12.0, 14.0)
    assert seen(rows[2], "attempts", "admitted_s", "end_s") == (3, 8.0, 10.0)


@BOTH
def test_what_waits_to_be_sent_is_unfinished_at_the_end(engine: str) -> None:
    rows, attempts = serve(engine, [{"arrival_s": 0.0, "output_tokens": 5}], FOUR,
                           outage_s=(2.5, 6.0), end_s=9.0)  # fmt: skip
    assert len(attempts) == 3
    assert seen(rows[0], "attempts", "outcome", "end_s", "admitted_s") == (
        3, "unfinished", None, None
    )  # fmt: skip


@BOTH
def test_jitter_is_drawn_for_each_request_and_attempt(engine: str) -> None:
    """Two requests that fail together part, by draws that depend on seed, name, id and attempt."""
    given = [{"arrival_s": 0.0, "output_tokens": 5}, {"arrival_s": 0.0, "output_tokens": 5}]
    half = replace(FOUR, jitter=0.5)
    _, attempts = serve(engine, given, half, outage_s=(2.5, 20.0))
    bits = KeyedBits(1, "workload/load/retry")
    sent = {(a["request_id"], a["attempt"]): a["sent_s"] for a in attempts}
    for identity in (0, 1):
        first_s = 2.5 + 1.0 * (1.0 - 0.5 * bits.uniform(identity))
        second_s = first_s + 2.0 * (1.0 - 0.5 * bits.uniform((1 << 56) | identity))
        assert sent[identity, 2] == first_s
        assert sent[identity, 3] == second_s
    assert sent[0, 2] != sent[1, 2]
