"""What a trace's source says about itself in a run, word for word."""

from __future__ import annotations

import pytest

from sim.workload import build_source
from sim.workload.source import TraceSource

STEADY = "".join(f"{i * 2.5},{i + 1},1\n" for i in range(400))  # 0.4 /s for 1000 s
CONVERSATION = (
    "arrival_s,input_tokens,output_tokens,after_request\n0,1,1,\n,2,1,0\n8,3,1,\n,4,1,2\n"
)


@pytest.fixture
def notes(csv_trace, trace, workload):
    def of(text: str, duration_s: float, rate_per_s: float | None = None, **changes):
        w = workload(trace=trace(csv_trace(text), **changes), rate_per_s=rate_per_s)
        source = build_source(w, index=0, seed=1, duration_s=duration_s)
        assert isinstance(source, TraceSource)
        return source.notes

    return of


def test_nothing_to_say_of_a_whole_trace(notes) -> None:
    assert notes(STEADY, 1000.0) == ()
    assert notes(STEADY, 998.0) == ()
    assert notes(STEADY, 86_400.0, loop=True) == ()
    assert notes(STEADY, 1000.0, rate_per_s=0.4) == ()


def test_spread(notes) -> None:
    sentence = (
        "arrivals are recorded in bins: spread evenly over 3 s (spread: 0 s replays them as "
        "recorded)"
    )
    assert notes(STEADY, 1e4, spread_s=3.0, loop=True) == (sentence,)


def test_duration_cuts_rows(notes) -> None:
    assert notes(STEADY, 500.0) == ("the run's 8.33 min take 200 of its 400 requests",)
    assert notes(STEADY, 997.5) == ("the run's 16.6 min take 399 of its 400 requests",)
    # A loop that the run never reaches changes nothing; a slice counts its own requests.
    assert notes(STEADY, 500.0, loop=True) == ("the run's 8.33 min take 200 of its 400 requests",)
    assert notes(STEADY, 30.0, start_s=100.0, end_s=200.0) == (
        "the run's 30 s take 12 of the slice's 40 requests",
    )
    assert notes(CONVERSATION, 5.0) == ("the run's 5 s take 2 of its 4 requests",)


def test_run_outlasts_the_trace(notes) -> None:
    assert notes(STEADY, 7200.0) == (
        "its 16.7 min end before the run's 2 h; nothing arrives after (loop: true repeats it)",
    )
    assert notes(STEADY, 1001.0) == (
        "its 16.67 min end before the run's 16.68 min; nothing arrives after (loop: true repeats "
        "it)",
    )
    assert notes(STEADY, 7200.0, end_s=500.0) == (
        "the slice's 8.33 min end before the run's 2 h; nothing arrives after (loop: true repeats "
        "it)",
    )
    assert notes(CONVERSATION, 60.0) == (
        "its 16 s end before the run's 1 min; no conversation starts after (loop: true repeats it)",
    )
    assert notes("3,1,1\n", 3600.0) == (
        "its only arrival is at 3 s of the run's 1 h; nothing arrives after (loop: true with an "
        "end repeats it)",
    )


def test_superposed_and_thinned(notes) -> None:
    assert notes(STEADY, 1000.0, rate_per_s=0.1) == (
        "thinned to 0.25 of its own rate, 0.4 /s, for 0.1 /s: each request, with what follows it, "
        "is kept or left out at random",
    )
    assert notes(STEADY, 1000.0, rate_per_s=0.4 * 3) == (
        "3 times its own rate, 0.4 /s, for 1.2 /s: 3 copies of it run at once, each from its own "
        "place in the trace",
    )
    assert notes(STEADY, 1000.0, rate_per_s=0.6) == (
        "1.5 times its own rate, 0.4 /s, for 0.6 /s: 1 copy of it and one thinned to 0.5 run at "
        "once, each from its own place in the trace",
    )
    assert notes(STEADY, 500.0, rate_per_s=800.2, loop=True) == (
        "2,000 times its own rate, 0.4 /s, for 800 /s: 2,000 copies of it and one thinned to 0.5 "
        "run at once, each from its own place in the trace",
        "the run's 8.33 min end before its 16.7 min: what comes later is left out",
    )


def test_azure_trace_in_shorter_and_longer_runs(shared_data, trace, workload) -> None:
    spec = trace(shared_data / "traces" / "azure_llm_2023_conv.csv", "azure")

    def said(duration_s: float) -> tuple[str, ...]:
        return build_source(workload(trace=spec), index=0, seed=1, duration_s=duration_s).notes

    assert said(3480.0) == ("the run's 58 min take 19,329 of its 19,366 requests",)
    assert said(7200.0) == (
        "its 58.4 min end before the run's 2 h; nothing arrives after (loop: true repeats it)",
    )
