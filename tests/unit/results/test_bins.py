"""Bins hold what they should, and quantiles read from them keep their stated error."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.results.bins import (
    GAP_ERROR,
    LATENCY_ERROR,
    ZERO_BIN,
    gap_bin,
    gap_edge,
    gap_middles,
    histogram_quantile,
    latency_bins,
    latency_middles,
)

SECONDS = st.floats(1e-6, 1e5)


@given(SECONDS)
def test_a_gap_lies_between_the_exact_edges_of_its_bin(gap: float) -> None:
    index = gap_bin(gap)
    assert gap_edge(index) <= gap < gap_edge(index + 1)
    middle = gap_middles(np.array([index]))[0]
    assert abs(middle / gap - 1) <= GAP_ERROR


@given(st.integers(-600, 600))
def test_an_edge_belongs_to_its_bin_and_the_float_below_to_the_one_before(index: int) -> None:
    assert gap_bin(gap_edge(index)) == index
    assert gap_bin(np.nextafter(gap_edge(index), 0.0)) == index - 1


def test_gap_edges_are_64_per_octave_and_dyadic() -> None:
    index = gap_bin(0.5)
    assert gap_edge(index) == 0.5
    assert gap_edge(index + 64) == 1.0
    assert gap_edge(index + 1) == 0.5 + 1 / 128


@given(st.lists(st.one_of(st.just(0.0), SECONDS), min_size=1, max_size=60), st.floats(0, 1))
def test_a_quantile_from_the_histogram_is_within_one_percent(
    values: list[float], quantile: float
) -> None:
    array = np.array(values)
    bins, counts = np.unique(latency_bins(array), return_counts=True)
    estimate = histogram_quantile(latency_middles(bins), counts, quantile)
    exact = float(np.quantile(array, quantile))
    assert abs(estimate - exact) <= LATENCY_ERROR * exact * (1 + 1e-9)
    assert LATENCY_ERROR < 0.01


def test_zero_has_a_bin_of_its_own() -> None:
    assert latency_bins(np.array([0.0, 0.001, 0.00102, 1.0])).tolist() == [ZERO_BIN, 0, 1, 348]
    assert latency_middles(np.array([ZERO_BIN]))[0] == 0.0


def test_a_quantile_of_one_value_is_that_value() -> None:
    assert histogram_quantile(np.array([2.0]), np.array([1]), 0.99) == pytest.approx(2.0)
