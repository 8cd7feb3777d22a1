"""Intervals hold the truth as often as they claim: measured on draws from known distributions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from sim.study.across import combine
from sim.study.intervals import (
    event_bounds,
    holm,
    share_bounds,
    share_of_other_runs,
    student,
    welch,
)
from tests.unit.study.works import metric

STUDIES = 1500
CLAIMED, LEAST = 0.95, 0.93


def coverage(name: str, values: NDArray[np.float64], truth: float, requests: float = 0) -> float:
    """In which share of studies [n, seeds] the interval of a metric holds the truth."""
    held = 0
    for row in values:
        seeds = dict(enumerate(row.tolist()))
        found = combine(
            {seed: metric(name, value) for seed, value in seeds.items()},
            dict.fromkeys(seeds, requests),
        )
        assert found.low is not None
        assert found.high is not None
        held += found.low <= truth <= found.high
    return held / len(values)


@pytest.mark.parametrize("seeds", [2, 8, 32])
@pytest.mark.parametrize(
    ("requests", "missed"),
    [(1000, 0.5), (1000, 0.01), (1000, 1e-3), (1000, 1e-5), (50_000, 1e-4), (50_000, 0.999)],
)
def test_shares_of_requests_near_0_and_1(seeds: int, requests: int, missed: float) -> None:
    rng = np.random.default_rng(seeds)
    good = 1.0 - rng.binomial(requests, missed, (STUDIES, seeds)) / requests
    assert coverage("chat.goodput_fraction", good, 1.0 - missed, requests) >= LEAST


@pytest.mark.parametrize("seeds", [2, 8, 32])
@pytest.mark.parametrize("mean", [0.02, 1.0, 30.0])
def test_rare_losses(seeds: int, mean: float) -> None:
    lost = np.random.default_rng(seeds).poisson(mean, (STUDIES, seeds)).astype(float)
    assert coverage("chat.timed_out", lost, mean) >= LEAST


@pytest.mark.parametrize("seeds", [2, 8, 32])
def test_means_of_exponential_times(seeds: int) -> None:
    rng = np.random.default_rng(seeds)
    means = rng.exponential(2.0, (STUDIES, seeds, 50)).mean(axis=2)
    assert coverage("chat.e2e_mean", means, 2.0) >= LEAST


def test_requests_that_miss_together_are_covered_by_the_seeds_not_by_the_requests() -> None:
    rng = np.random.default_rng(1)
    of_a_seed = rng.beta(20, 1980, (STUDIES, 8))
    good = 1.0 - rng.binomial(50_000, of_a_seed) / 50_000
    assert coverage("chat.goodput_fraction", good, 0.99, 50_000) >= LEAST
    by_requests = [share_bounds(round(50_000 * row.sum()), 400_000) for row in good]
    held = np.mean([bounds.low <= 0.99 <= bounds.high for bounds in by_requests])
    assert held < 0.5


def test_values_from_bins_are_covered_whatever_the_bins() -> None:
    rng = np.random.default_rng(2)
    exact = rng.normal(1.0, 0.002, (STUDIES, 8))
    binned = 1.02 ** (np.floor(np.log(exact) / math.log(1.02)) + 0.5)
    held = [
        (test := student(row.tolist(), error=0.0101)).interval.low <= 1.0 <= test.interval.high
        for row in binned
    ]
    assert np.mean(held) >= CLAIMED


def test_differences_of_pairs_and_of_groups_err_as_often_as_they_say() -> None:
    rng = np.random.default_rng(3)
    common = rng.normal(0.0, 5.0, (STUDIES, 8, 1))
    a, b = np.moveaxis(common + rng.normal(0.0, 1.0, (STUDIES, 8, 2)), 2, 0)
    paired = [student(row.tolist()) for row in b - a]
    assert 0.03 < np.mean([test.p < 0.05 for test in paired]) < 0.07
    apart = [
        welch(first.tolist(), second.tolist()) for first, second in zip(a, b[::-1], strict=True)
    ]
    assert 0.03 < np.mean([test.p < 0.05 for test in apart]) < 0.07
    widths = [[t.interval.high - t.interval.low for t in tests] for tests in (paired, apart)]
    assert np.mean(widths[0]) < 0.4 * np.mean(widths[1])


def test_equal_to_scipy() -> None:
    a, b = [1.0, 2.0, 4.0, 4.5], [2.0, 2.5, 6.0, 7.0, 9.0]
    test, theirs = student(a), stats.ttest_1samp(a, 0.0)
    ends = theirs.confidence_interval(0.95)
    assert (test.p, test.interval.low, test.interval.high) == pytest.approx(
        (theirs.pvalue, ends.low, ends.high)
    )
    test, theirs = welch(a, b), stats.ttest_ind(b, a, equal_var=False)
    ends = theirs.confidence_interval(0.95)
    assert (test.p, test.interval.low, test.interval.high) == pytest.approx(
        (theirs.pvalue, ends.low, ends.high)
    )
    exact = stats.binomtest(3, 50).proportion_ci(0.95, method="exact")
    assert share_bounds(3, 50).low == pytest.approx(exact.low)
    assert share_bounds(3, 50).high == pytest.approx(exact.high)


def test_nothing_seen_is_not_nothing() -> None:
    assert share_bounds(0, 1000).low == 0.0
    assert share_bounds(0, 1000).high == pytest.approx(3.69 / 1000, rel=0.01)
    assert share_bounds(1000, 1000).high == 1.0
    assert event_bounds(0, 8).high == pytest.approx(3.689 / 8, rel=0.001)
    assert event_bounds(0, 8).low == 0.0
    assert share_of_other_runs(8) == pytest.approx(0.312, abs=0.001)


def test_holm() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_one_value_has_no_interval() -> None:
    with pytest.raises(ValueError, match="at least two"):
        student([1.0])
    with pytest.raises(ValueError, match="at least two"):
        welch([1.0, 2.0], [1.0])
