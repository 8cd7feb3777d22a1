"""The fitted sources against the published facts of the traces they stand for.

The facts are in the sources' own files; the traces themselves are not needed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import spearmanr

from sim.workload import build_source, fitted_source
from sim.workload.lengths import TableLengths
from sim.workload.plan import Objectives, Synthetic, Workload
from sim.workload.types import RequestChunk

NAMES = ["synthetic-chat", "synthetic-code"]
LEVELS = [5, 10, 25, 50, 75, 90, 95, 99]
DAY_S = 86_400.0
SEEDS = range(20)

#: From the table of facts beside the traces: rate /s, rank correlation, dispersion at 1 s and 60 s,
#: quantiles of input and output at LEVELS.
PUBLISHED = {
    "synthetic-chat": (
        5.530, 0.073, 1.39, 16.0,
        [181, 207, 396, 1020, 1189, 2734.5, 4083, 4142],
        [41, 54, 85, 129, 395, 424, 451, 601],
    ),
    "synthetic-code": (
        2.566, -0.021, 13.0, 164.0,
        [75, 147, 578, 1469, 2744.5, 5187.6, 7303.3, 7436],
        [6, 7, 9, 13, 24, 55, 90, 251.5],
    ),
}  # fmt: skip


def _chunks(
    name: str, seed: int, *, duration_s: float = DAY_S, rate_per_s: float | None = None
) -> Iterator[RequestChunk]:
    workload = Workload(
        name="traffic",
        kind="llm",
        pool="pool",
        priority=0,
        objectives=Objectives(None, None, None),
        timeout_s=math.inf,
        cancel_after_s=math.inf,
        cancel_fraction=0.0,
        rate_per_s=rate_per_s,
        clients=None,
        think_s=0.0,
        trace=None,
        synthetic=Synthetic(name, None, None, {"kind": "source"}, ()),
    )
    return build_source(workload, index=0, seed=seed, duration_s=duration_s).chunks()


def _arrivals(name: str, seed: int) -> NDArray[np.float64]:
    return np.concatenate([chunk.arrival_s for chunk in _chunks(name, seed)])


def _dispersion(times: NDArray[np.float64], bin_s: float) -> float:
    counts = np.histogram(times, np.arange(0.0, DAY_S + bin_s / 2, bin_s))[0]
    return float(counts.var() / counts.mean())


@pytest.mark.parametrize("name", NAMES)
def test_files_hold_the_published_facts(name: str) -> None:
    facts = fitted_source(name).facts["facts"]
    rate, rank, second, minute, inputs, outputs = PUBLISHED[name]
    assert facts["rate_per_s"] == rate
    assert facts["spearman"] == rank
    assert facts["dispersion_1s"] == pytest.approx(second, abs=0.2)
    assert facts["dispersion_60s"] == pytest.approx(minute, abs=0.5)
    assert [facts["input_tokens"][f"p{q}"] for q in LEVELS] == inputs
    assert [facts["output_tokens"][f"p{q}"] for q in LEVELS] == outputs


@pytest.mark.parametrize("name", NAMES)
def test_lengths_of_a_million_requests(name: str) -> None:
    """Quantiles P5 to P99 within 5 %, rank correlation within 0.05, means within 2 %."""
    facts = fitted_source(name).facts["facts"]
    _, rank, _, _, inputs, outputs = PUBLISHED[name]
    for seed in (1, 2):
        table = TableLengths(fitted_source(name).lengths, seed, "traffic")
        drawn = table.draw(np.arange(1_000_000))
        np.testing.assert_allclose(np.percentile(drawn[0], LEVELS), inputs, rtol=0.02)
        np.testing.assert_allclose(np.percentile(drawn[1], LEVELS), outputs, rtol=0.02)
        assert spearmanr(*drawn).statistic == pytest.approx(rank, abs=0.01)
        assert drawn[0].min() >= 1
        assert drawn[1].min() >= 1
        assert drawn[0].mean() == pytest.approx(facts["input_tokens_mean"], rel=0.01)
        assert drawn[1].mean() == pytest.approx(facts["output_tokens_mean"], rel=0.02)


@pytest.mark.parametrize("name", NAMES)
def test_requests_carry_the_table_s_lengths(name: str) -> None:
    """What a day of requests carries is what the table draws, row by row."""
    table = TableLengths(fitted_source(name).lengths, 3, "traffic")
    inputs = np.concatenate([chunk.input_tokens for chunk in _chunks(name, 3)])
    np.testing.assert_array_equal(inputs, table.draw(np.arange(len(inputs)))[0])


@pytest.mark.parametrize("name", NAMES)
def test_a_day_at_the_trace_s_own_rate(name: str) -> None:
    """Rate within sampling error; dispersion of counts at 1 s and 60 s within a factor of 1.5."""
    rate, _, second, minute, _, _ = PUBLISHED[name]
    rates = []
    for seed in SEEDS:
        times = _arrivals(name, 1000 + 17 * seed)
        rates.append(len(times) / DAY_S)
        # Tighter than the promise, so that a seed not tried here keeps it.
        assert 1 / 1.3 < _dispersion(times, 1.0) / second < 1.3
        assert 1 / 1.3 < _dispersion(times, 60.0) / minute < 1.3
    # Standard error of a day's mean if its minutes were independent with the trace's dispersion.
    error = math.sqrt(minute * rate * DAY_S) / DAY_S
    assert max(abs(got - rate) for got in rates) < 3 * error
    assert np.mean(rates) == pytest.approx(rate, abs=3 * error / math.sqrt(len(SEEDS)))


def test_chat_never_falls_silent_and_code_does() -> None:
    """The trace of code has 12 gaps above 60 s in its hour, the longest 217 s; chat has none."""
    assert np.diff(_arrivals("synthetic-chat", 5)).max() < 10.0
    gaps = np.diff(_arrivals("synthetic-code", 5))
    assert 8 < (gaps > 60.0).sum() / 24 < 18
    assert 150.0 < gaps.max() < 300.0
    assert gaps.std() / gaps.mean() == pytest.approx(13.15, rel=0.15)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("ratio", [0.1, 0.5, 3.0, 11.4])
def test_other_rates_keep_excess_dispersion_or_dilute_it(name: str, ratio: float) -> None:
    rate, _, _, minute, _, _ = PUBLISHED[name]
    chunks = _chunks(name, 21, rate_per_s=rate * ratio)
    times = np.concatenate([chunk.arrival_s for chunk in chunks])
    assert len(times) / DAY_S == pytest.approx(rate * ratio, rel=0.025)
    # Superposed copies keep (variance - mean) / mean; the share of thinned ones shrinks theirs.
    whole = math.floor(ratio)
    excess = (minute - 1) * (whole + (ratio - whole) ** 2) / ratio
    assert _dispersion(times, 60.0) == pytest.approx(1 + excess, rel=0.2)
