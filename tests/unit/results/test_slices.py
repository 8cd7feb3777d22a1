"""Slices of a run by arrival: counted by hand, and alike from rows and from bins."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sim.results.bins import LATENCY_ERROR
from sim.results.freeze import freeze
from sim.results.memory import MemorySink
from sim.results.result import RunResult
from sim.results.slices import slice_minutes, slices_of
from tests.unit.results.by_hand import fill, parts, requests, summariser


def run(rows: dict[str, Any], record: str = "full", **window: float) -> RunResult:
    sink = summariser(MemorySink(), record=record, **window)
    fill(sink, rows)
    return freeze(sink, parts(record=record, **window))


def steady(arrival_s: np.ndarray, e2e_s: np.ndarray, late: np.ndarray) -> dict[str, Any]:
    """Requests of one token that complete; those that are late miss their objective of 1 s."""
    n = len(arrival_s)
    rows = requests(n)
    first = arrival_s + np.where(late, 2.0, 0.5)
    return {
        **rows, "arrival_s": arrival_s, "admitted_s": arrival_s, "first_token_s": first,
        "end_s": arrival_s + e2e_s, "output_tokens": np.ones(n, np.int64),
        "delivered_tokens": np.ones(n, np.int64), "met": ~late,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("measured_s", "minutes"),
    [(86_400.0, 60), (7200.0, 60), (7199.0, 10), (1200.0, 10), (1199.0, 1), (119.0, None)],
)  # fmt: skip
def test_slices_are_hours_where_there_are_two(measured_s: float, minutes: int | None) -> None:
    assert slice_minutes(measured_s) == minutes


def test_a_run_without_two_minutes_has_no_slices() -> None:
    assert slices_of(run(requests(100), warm_up_s=500.0, duration_s=600.0)) is None


def test_slices_by_hand() -> None:
    """Nine minutes of 120 arrivals: minute k takes 3 + k s, in the fifth half are late."""
    arrival = np.arange(0.0, 600.0, 0.5)
    minute = (arrival // 60.0).astype(int)
    late = (minute == 5) & (np.arange(len(arrival)) % 2 == 0)
    found = slices_of(run(steady(arrival, 3.0 + minute, late)))["chat"]
    assert found.length_s == 60.0
    assert found.start_s.tolist() == [60.0 * k for k in range(1, 10)]
    assert found.arrivals.tolist() == [120] * 9
    assert found.completed.tolist() == [120] * 9
    assert found.good.tolist() == [120, 120, 120, 120, 60, 120, 120, 120, 120]
    assert found.e2e_s["e2e_p50"] == pytest.approx([3.0 + k for k in range(1, 10)])
    assert np.isnan(found.e2e_s["e2e_p99"]).all()  # of fewer than 1,000
    assert found.relative_error == 0.0


def test_a_slice_less_than_half_in_the_window_is_left_out() -> None:
    arrival = np.arange(0.0, 600.0, 0.5)
    none_late = np.zeros(len(arrival), bool)
    rows = steady(arrival, np.full(len(arrival), 3.0), none_late)
    found = slices_of(run(rows, warm_up_s=95.0, duration_s=575.0))["chat"]
    assert found.start_s.tolist() == [60.0 * k for k in range(2, 10)]
    assert found.arrivals.tolist() == [120] * 7 + [70]
    found = slices_of(run(rows, warm_up_s=85.0, duration_s=565.0))["chat"]
    assert found.start_s.tolist() == [60.0 * k for k in range(1, 9)]
    assert found.arrivals.tolist() == [70] + [120] * 7


@pytest.mark.parametrize("record", ["summary", "sampled"])
def test_from_bins_it_is_the_same_within_their_error(record: str) -> None:
    rows = requests(20_000)
    exact, counted = (slices_of(run(rows, level))["chat"] for level in ("full", record))
    for name in ("arrivals", "completed", "good", "start_s"):
        assert getattr(exact, name).tolist() == getattr(counted, name).tolist()
    assert counted.relative_error == LATENCY_ERROR
    for quantile, values in exact.e2e_s.items():
        assert not np.isnan(values).any()
        assert np.all(np.abs(counted.e2e_s[quantile] / values - 1.0) <= LATENCY_ERROR)


def test_what_did_not_complete_is_in_the_arrivals_only() -> None:
    arrival = np.arange(0.0, 600.0, 0.1)
    none_late = np.zeros(len(arrival), bool)
    rows = steady(arrival, np.full(len(arrival), 3.0), none_late)
    lost = (arrival >= 240.0) & (arrival < 300.0)
    failed = {
        "outcome": np.where(lost, "failed", "completed").tolist(),
        "met": ~lost,
    }
    found = slices_of(run({**rows, **failed}))["chat"]
    assert found.arrivals[3] == 600
    assert found.completed[3] == found.good[3] == 0
    assert np.isnan(found.e2e_s["e2e_p50"][3])
    assert found.completed[4] == 600
