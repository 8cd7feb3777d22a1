"""Levels of the looks at a growing number of seeds: how often they err in all."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import t as student_t

from sim.study.looks import confidences, levels, looks


def test_looks_double_up_to_the_most() -> None:
    assert looks(64) == (4, 8, 16, 32, 64)
    assert looks(20) == (4, 8, 16, 20)
    assert looks(4) == (4,)


def test_one_look_has_the_whole_error() -> None:
    assert levels((4,), 0.05)[0] == pytest.approx(0.05, rel=1e-3)
    assert levels((16,), 0.01)[0] == pytest.approx(0.01, rel=1e-3)


def test_the_first_look_spends_what_the_spending_function_says() -> None:
    first = 0.05 * math.log(1 + (math.e - 1) * 4 / 64)
    assert levels(looks(64), 0.05)[0] == pytest.approx(first, rel=1e-3)


def errors(draws: np.ndarray, most: int, error: float) -> float:
    """How often some look at paths of draws [n, most] rejects a true null, by Student's t."""
    rejected = np.zeros(len(draws), dtype=bool)
    for n, level in zip(looks(most), levels(looks(most), error), strict=True):
        part = draws[:, :n]
        statistic = part.mean(axis=1) / (part.std(axis=1, ddof=1) / math.sqrt(n))
        rejected |= abs(statistic) > student_t.ppf(1 - level / 2, n - 1)
    return float(rejected.mean())


@pytest.mark.parametrize("most", [8, 64])
@pytest.mark.parametrize("error", [0.05, 0.01])
def test_all_looks_together_err_as_often_as_asked(most: int, error: float) -> None:
    draws = np.random.default_rng(3).standard_normal((40_000, most))
    got = errors(draws, most, error)
    # Three standard errors of the count, and what the t in place of the normal costs.
    assert got == pytest.approx(error, abs=3 * math.sqrt(error / 40_000) + 0.1 * error)


def test_without_levels_of_their_own_looks_would_err_far_more_often() -> None:
    draws = np.random.default_rng(4).standard_normal((20_000, 64))
    naive = np.zeros(len(draws), dtype=bool)
    for n in looks(64):
        part = draws[:, :n]
        statistic = part.mean(axis=1) / (part.std(axis=1, ddof=1) / math.sqrt(n))
        naive |= abs(statistic) > student_t.ppf(0.975, n - 1)
    assert naive.mean() > 0.15
    assert errors(draws, 64, 0.05) < 0.06


def test_confidences_are_one_less_the_levels() -> None:
    at = looks(16)
    assert confidences(at, 0.95) == pytest.approx([1 - level for level in levels(at, 0.05)])
