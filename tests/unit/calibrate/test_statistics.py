"""Medians, intervals, outliers."""

from __future__ import annotations

import numpy as np
import pytest

from sim.calibrate.statistics import interval_rank, outliers, summarise


def test_outliers_are_marked_and_left_out() -> None:
    samples = [1.0, 1.01, 0.99, 1.02, 3.0, 1.0, 0.98]
    assert outliers(samples) == (4,)
    summary = summarise(samples)
    assert summary.median == 1.0
    assert (summary.low, summary.high) == (0.98, 1.02)
    assert summary.rejected == (4,)


def test_ticks_of_a_timer_make_no_outliers() -> None:
    # Seven equal samples have no spread at all; 0.5 % beside them is no outlier, 2 % is one.
    assert outliers([1.0] * 7 + [1.005]) == ()
    assert outliers([1.0] * 7 + [1.02]) == (7,)


def test_few_samples_have_no_outliers() -> None:
    assert outliers([1.0, 1.0, 1.0, 9.0]) == ()


@pytest.mark.parametrize(("count", "rank"), [(1, 1), (5, 1), (7, 1), (9, 2), (20, 6), (60, 22)])
def test_ranks_of_the_interval(count: int, rank: int) -> None:
    """As in tables of order statistics: 95 % for the median, where there are enough samples."""
    found, coverage = interval_rank(count)
    assert found == rank
    assert coverage >= 0.95 or count < 6


def test_the_interval_holds_the_true_median_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    held = 0
    for _ in range(2000):
        # Skewed, as times are; the true median is exp(0) = 1.
        kept = np.sort(np.exp(rng.standard_normal(15)))
        rank, coverage = interval_rank(15)
        held += kept[rank - 1] <= 1.0 <= kept[15 - rank]
    assert abs(held / 2000 - coverage) < 0.015
