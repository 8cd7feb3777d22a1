"""The reference engine against a plain loop over the same definitions: equal to the last bit."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.engine.reference import ReferencePlane
from sim.perf.step import StepCost
from sim.results.bins import gap_bin
from tests.engine_world import DYADIC, Given, ListSink, model, plane, pool, scenario, workload
from tests.property.one_replica import OneReplica

#: No two sums of these are equal by chance, so the order of operations shows.
IRRATIONAL = StepCost(
    0.0137, (0, 16, 256), (0.0, 0.0011, 0.0213), 3.1e-4, 2.3e-6, 0.0, 4.1e-9, 0.0, 0
)
WINDOWED = StepCost(
    0.0137, (0, 16, 256), (0.0, 0.0011, 0.0213), 3.1e-4, 2.3e-6, 1.7e-6, 4.1e-9, 2.9e-9, 40
)
DURATION_S = 8.0
FIELDS = (
    "request_id", "outcome", "admitted_s", "first_token_s", "end_s", "preemptions",
    "delivered_tokens",
)  # fmt: skip


@st.composite
def replicas(draw: st.DrawFn) -> OneReplica:
    """Ties on a grid of times, bursts, tight blocks and budgets, clock changes, closed loops."""
    max_sequences = draw(st.integers(1, 8))
    last = draw(st.sampled_from([0, 3, 31]))
    count = draw(st.sampled_from([2, 6, 12, 24]))
    times = sorted(draw(st.integers(0, last)) for _ in range(count))
    impatient = draw(st.sampled_from([[math.inf], [math.inf, math.inf, 0.25, 0.37]]))
    rows: list[dict[str, Any]] = []
    for number, quarter in enumerate(times):
        row: dict[str, Any] = {
            "input_tokens": draw(st.sampled_from([1, 14, 15, 16, 17, 47, 100])),
            "output_tokens": draw(st.sampled_from([0, 1, 2, 17, 33, 60, 90])),
            "priority": draw(st.integers(0, 1)),
            "cancel_after_s": draw(st.sampled_from(impatient)),
        }
        if number and draw(st.integers(0, 3)) == 0:
            row |= {
                "after_request": draw(st.integers(0, number - 1)),
                "think_s": draw(st.sampled_from([0.0, 0.25])),
            }
        else:
            row["arrival_s"] = quarter / 4.0
        rows.append(row)
    clocks = sorted(draw(st.lists(st.integers(1, 63), max_size=6)))
    return OneReplica(
        model(
            draw(st.sampled_from([DYADIC, IRRATIONAL, WINDOWED])),
            blocks=draw(st.integers(6, 14)),
            sequences=max_sequences,
        ),
        rows,
        [(time / 8.0, draw(st.integers(0, 1))) for time in clocks],
        timeout_s=draw(st.sampled_from([math.inf, 0.25, 0.4])),
        duration_s=DURATION_S,
        max_sequences=max_sequences,
        max_batch_tokens=draw(st.integers(max_sequences, 120)),
    )


def by_engine(case: OneReplica, horizon_s: float) -> ListSink:
    """The same requests through the engine."""
    a_pool = pool(
        case.model, max_sequences=case.max_sequences, max_batch_tokens=case.max_batch_tokens
    )
    setup = scenario([a_pool], [workload(timeout_s=case.timeout_s)], duration_s=DURATION_S)
    a_plane, recorder, sink = plane(setup, [Given(case.rows)])
    a_plane.open_window(0.0)
    for time_s, level in case.clocks:
        a_plane.advance(time_s)
        a_plane.set_clocks([0], level, time_s)
    a_plane.advance(horizon_s)
    a_plane.close_window(horizon_s)
    assert isinstance(a_plane, ReferencePlane)
    if not a_plane.in_flight():
        assert a_plane.replicas[0].batcher.free_blocks == case.model.kv_blocks
        assert a_plane.pools[0].outstanding_tokens == a_plane.pools[0].outstanding_requests == [0]
    a_plane.finish(horizon_s)
    recorder.close()
    return sink


@settings(max_examples=200, deadline=None)
@given(replicas(), st.sampled_from([DURATION_S, 1000.0]))
def test_equals_a_plain_loop(case: OneReplica, horizon_s: float) -> None:
    check_equal(case, horizon_s)


@pytest.mark.deep
@settings(max_examples=4000, deadline=None)
@given(replicas(), st.sampled_from([DURATION_S, 1000.0]))
def test_equals_a_plain_loop_thousands_of_times(case: OneReplica, horizon_s: float) -> None:
    check_equal(case, horizon_s)


def check_equal(case: OneReplica, horizon_s: float) -> None:
    """Rows and their order, gaps and energy."""
    case.serve(horizon_s)
    sink = by_engine(case, horizon_s)
    found = [{name: row[name] for name in FIELDS} for row in sink.rows("requests")]
    assert found == case.served  # in this order, times with ==
    gaps: Counter[int] = Counter()
    for gap_s, tokens in case.gaps.items():
        gaps[gap_bin(gap_s)] += tokens
    assert {row["bin"]: row["n"] for row in sink.rows("summary/itl")} == gaps
    energy_j = sink.rows("replicas")[0]["energy_j"]
    assert math.isclose(energy_j, case.energy_mj / 1000.0, rel_tol=1e-9)
