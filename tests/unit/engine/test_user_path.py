"""Users away from their pools, every number worked out by hand. An iteration takes a second."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from sim.engine.recorder import Recorder
from sim.engine.run import ENGINES, run
from sim.workload.plan import Objectives, Retry, UserPath, Workload
from tests.engine_world import Given, constant_cost, model, pool, scenario, workload, world
from tests.property.engine_pair import PlainSink

SECOND = constant_cost(1.0)
#: A quarter of a second each way, and half a second of work on the way in.
AWAY = UserPath(("network", "gateway"), ingress_s=0.75, egress_s=0.25)
BOTH = pytest.mark.parametrize("engine", ["reference", "compiled"])
TIMES = ("arrival_s", "ingress_s", "admitted_s", "first_token_s", "end_s", "egress_s")

Rows = list[dict[str, Any]]


def serve(
    engine: str,
    rows: Sequence[dict[str, Any]],
    load: Workload | None = None,
    *,
    end_s: float = 1000.0,
    duration_s: float = 1000.0,
    failed_s: tuple[float, float] | None = None,
    closed: bool = False,
    **options: Any,
) -> tuple[Rows, Rows]:
    """One replica serves ``rows`` of users who are ``AWAY``: requests by id, attempts in order."""
    load = replace(load or workload(), path=AWAY)
    setup = scenario([pool(model(SECOND), **options)], [load], duration_s=duration_s)
    sink = PlainSink()
    recorder = Recorder(setup, sink)
    plane = ENGINES[engine](world(setup, [Given(rows, closed=closed)]), recorder)
    if failed_s is not None:
        plane.advance(failed_s[0])
        plane.fail(0, 0, failed_s[0])
        plane.advance(failed_s[1])
        plane.restore(0, failed_s[1])
    plane.advance(end_s)
    plane.finish(end_s)
    recorder.close()
    return sorted(sink.rows("requests"), key=lambda r: r["request_id"]), sink.rows("attempts")


def seen(row: dict[str, Any], *names: str) -> tuple[Any, ...]:
    return tuple(row[name] for name in names)


@BOTH
def test_both_ways_are_on_the_users_clock(engine: str) -> None:
    [row], _ = serve(engine, [{"arrival_s": 5.0, "output_tokens": 3}])
    # At the pool at 5.75; tokens leave it from 6.75 to 8.75 and are with the user a way later.
    assert seen(row, *TIMES) == (5.0, 0.75, 5.75, 7.0, 9.0, 0.25)


@BOTH
@pytest.mark.parametrize(
    ("objectives", "met"),
    [
        (Objectives(2.0, None, None), True),  # TTFT is 2 s: 0.75, an iteration, 0.25
        (Objectives(1.75, None, None), False),
        (Objectives(None, None, 4.0), True),
        (Objectives(None, None, 3.75), False),
        (Objectives(None, 1.0, None), True),  # a token takes as long for every user
    ],
)
def test_objectives_count_both_ways(engine: str, objectives: Objectives, met: bool) -> None:
    load = workload(objectives=objectives)
    [row], _ = serve(engine, [{"arrival_s": 5.0, "output_tokens": 3}], load)
    assert row["met"] is met


@BOTH
def test_a_client_goes_on_when_its_answer_is_there(engine: str) -> None:
    rows = [{"arrival_s": 0.0}, {"after_request": 0, "think_s": 2.0}]
    found, _ = serve(engine, rows, closed=True)
    assert seen(found[0], *TIMES) == (0.0, 0.75, 0.75, 2.0, 2.0, 0.25)
    assert seen(found[1], *TIMES) == (4.0, 0.75, 4.75, 6.0, 6.0, 0.25)


@BOTH
def test_what_is_sent_before_the_duration_counts(engine: str) -> None:
    rows = [
        {"arrival_s": 0.0}, {"after_request": 0, "think_s": 2.0},
        {"after_request": 0, "think_s": 1.5}, {"arrival_s": 3.75},
    ]  # fmt: skip
    found, _ = serve(engine, rows, duration_s=4.0)
    # Of those that follow one is sent at 4 s, not before; two come after 4 s that were sent before.
    assert [row["request_id"] for row in found] == [0, 2, 3]
    assert [row["admitted_s"] for row in found] == [0.75, 4.25, 5.25]


@BOTH
def test_the_servers_time_out_begins_at_the_pool(engine: str) -> None:
    rows = [{"arrival_s": 0.0, "output_tokens": 9}, {"arrival_s": 0.0}]
    found, _ = serve(engine, rows, workload(timeout_s=2.0), max_sequences=1)
    assert seen(found[1], "outcome", "end_s", "admitted_s") == ("timed-out", 3.0, None)


@BOTH
@pytest.mark.parametrize(
    ("patience_s", "output", "expected"),
    [
        # Outcome, end, first token, delivered: the pool stops at patience + 0.25.
        (4.0, 9, ("cancelled", 4.0, 2.0, 3)),
        # Its last token leaves the pool at 3.75 and is there at 4.
        (4.0, 3, ("completed", 4.0, 2.0, 3)),
        # The client has gone a moment before; the pool had done all the work.
        (3.9375, 3, ("cancelled", 3.9375, 2.0, 3)),
        # It leaves with the first token before its eyes.
        (2.0, 9, ("cancelled", 2.0, 2.0, 1)),
        # Not even that was seen.
        (1.9375, 3, ("cancelled", 1.9375, None, 1)),
    ],
)
def test_the_clients_patience_counts_from_sending(
    engine: str, patience_s: float, output: int, expected: tuple[Any, ...]
) -> None:
    row = {"arrival_s": 0.0, "output_tokens": output, "cancel_after_s": patience_s}
    [found], _ = serve(engine, [row])
    assert seen(found, "outcome", "end_s", "first_token_s", "delivered_tokens") == expected


@BOTH
def test_who_gives_up_early_is_never_routed(engine: str) -> None:
    rows = [
        {"arrival_s": 0.0, "cancel_after_s": 0.4375},
        {"arrival_s": 0.0, "cancel_after_s": 0.5},  # its word arrives with the request itself
        {"after_request": 0, "think_s": 0.0},
    ]
    found, _ = serve(engine, rows)
    assert seen(found[0], "outcome", "end_s", "replica") == ("cancelled", 0.4375, None)
    assert seen(found[1], "outcome", "end_s", "replica") == ("cancelled", 0.5, 0)
    assert seen(found[2], "outcome", *TIMES[:3]) == ("completed", 0.4375, 0.75, 1.1875)


@BOTH
def test_a_retry_waits_for_the_failure_to_be_known(engine: str) -> None:
    retry = Retry(3, 1.0, 1.0, math.inf, 0.0, ("failed",))
    load = replace(workload(), retry=retry)
    [row], attempts = serve(engine, [{"arrival_s": 0.0}], load, failed_s=(0.25, 3.0))
    # At the pool at 0.75, nobody serves; known at 1, sent at 2, there at 2.75; known at 3, sent
    # at 4, there at 4.75.
    assert [seen(one, "sent_s", "end_s", "outcome") for one in attempts] == [
        (0.0, 1.0, "failed"), (2.0, 3.0, "failed"),
    ]  # fmt: skip
    assert seen(row, "attempts", "outcome", *TIMES) == (
        3, "completed", 0.0, 4.75, 4.75, 6.0, 6.0, 0.25,
    )  # fmt: skip


@BOTH
def test_nobody_sends_again_who_has_gone(engine: str) -> None:
    load = replace(workload(), retry=Retry(2, 1.0, 1.0, math.inf, 0.0, ("queue-full",)))
    rows = [
        {"arrival_s": 0.0, "output_tokens": 9}, {"arrival_s": 0.5},
        {"arrival_s": 0.875, "cancel_after_s": 2.0}, {"arrival_s": 0.875, "cancel_after_s": 0.9375},
    ]  # fmt: skip
    found, attempts = serve(engine, rows, load, max_sequences=1, max_queue=1)
    assert [one["request_id"] for one in attempts] == []
    # Refused at 1.625, known at 1.875, sent again at 2.875 if anybody still waits then.
    assert seen(found[2], "outcome", "end_s") == ("queue-full", 1.875)
    assert seen(found[3], "outcome", "end_s") == ("cancelled", 1.8125)


@BOTH
def test_what_is_on_its_way_at_the_end_is_unfinished(engine: str) -> None:
    rows = [
        {"arrival_s": 8.0}, {"arrival_s": 9.5}, {"arrival_s": 9.9375}, {"arrival_s": 10.0},
        {"after_request": 0, "think_s": 0.0, "output_tokens": 2},
    ]  # fmt: skip
    found, _ = serve(engine, rows, end_s=10.0)
    # The first is answered at 9.75 at the pool, known at 10: too late for what follows it.
    assert [row["request_id"] for row in found] == [0, 1, 2]
    assert [row["outcome"] for row in found] == ["completed", "unfinished", "unfinished"]
    assert seen(found[2], "ingress_s", "admitted_s", "replica", "end_s", "attempts") == (
        0.75, None, None, None, 1,
    )  # fmt: skip


@BOTH
def test_a_retry_on_its_way_at_the_end_was_sent(engine: str) -> None:
    load = replace(workload(), retry=Retry(3, 1.0, 1.0, math.inf, 0.0, ("failed",)))
    for end_s, sent in ((2.0, 1), (2.0625, 2)):
        [row], attempts = serve(
            engine, [{"arrival_s": 0.0}], load, failed_s=(0.25, end_s), end_s=end_s
        )
        assert seen(row, "outcome", "attempts", "ingress_s") == ("unfinished", sent, 2.75)
        assert len(attempts) == 1


@BOTH
def test_a_path_shifts_what_happens_and_changes_nothing_else(engine: str) -> None:
    rng = Random(5)
    sent_s = sorted(rng.randrange(512) / 16 for _ in range(200))
    rows = [
        {"arrival_s": t, "input_tokens": rng.randint(1, 400), "output_tokens": rng.randint(1, 40)}
        for t in sent_s
    ]
    options: dict[str, Any] = {"max_sequences": 8, "max_queue": 40}
    load = workload(timeout_s=90.0)
    found, _ = serve(engine, rows, load, **options)
    here = [{**row, "arrival_s": row["arrival_s"] + AWAY.ingress_s} for row in rows]
    setup = scenario([pool(model(SECOND), **options)], [load])
    sink = PlainSink()
    run(world(setup, [Given(here)]), sink, engine=engine)
    near = sorted(sink.rows("requests"), key=lambda r: r["request_id"])
    for one in near:  # multiples of 1/16: every sum is exact
        one.update(arrival_s=one["arrival_s"] - AWAY.ingress_s, ingress_s=0.75, egress_s=0.25)
        for name in ("first_token_s", "end_s"):
            one[name] = None if one[name] is None else one[name] + AWAY.egress_s
    assert found == near
    assert {row["outcome"] for row in found} == {"completed", "timed-out", "queue-full"}
