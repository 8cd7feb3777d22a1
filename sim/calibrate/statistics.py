"""Medians with intervals, and which samples are outliers. No distribution is assumed.

*Outliers*: samples further from the median than ``FAR`` times the spread, where the spread is
1.4826 × the median absolute deviation, but no less than ``LEAST_SPREAD`` of the median (a timer's
ticks can make most samples equal). They stay in the record, marked, and are left out of the median.

*Interval*: two samples, as far from the middle as the wanted coverage asks. By the binomial
distribution, the true median lies between the i-th smallest and the i-th largest of n samples with
probability 1 − 2 P(B(n, ½) < i). With few samples that is less than wanted: the coverage reached is
kept beside the interval.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

FAR = 5.0
LEAST_SPREAD = 0.002
COVERAGE = 0.95
#: Below this many samples none is called an outlier.
FEW = 5


@dataclass(frozen=True)
class Summary:
    """A median and the interval that holds the true one with probability ``coverage``."""

    median: float
    low: float
    high: float
    coverage: float
    rejected: tuple[int, ...]  # positions of outliers

    @property
    def half_width(self) -> float:
        """Half of the interval, as a share of the median."""
        return (self.high - self.low) / (2.0 * self.median)


def outliers(samples: Sequence[float]) -> tuple[int, ...]:
    """Positions of the outliers among ``samples``."""
    if len(samples) < FEW:
        return ()
    values = np.asarray(samples, dtype=float)
    median = float(np.median(values))
    off = np.abs(values - median)
    spread = max(1.4826 * float(np.median(off)), LEAST_SPREAD * abs(median))
    return tuple(int(i) for i in np.flatnonzero(off > FAR * spread))


def summarise(samples: Sequence[float]) -> Summary:
    """The median of ``samples`` (at least one) without outliers, with its interval."""
    rejected = outliers(samples)
    kept = np.sort(np.delete(np.asarray(samples, dtype=float), rejected))
    rank, coverage = interval_rank(len(kept))
    return Summary(
        float(np.median(kept)),
        float(kept[rank - 1]),
        float(kept[len(kept) - rank]),
        coverage,
        rejected,
    )


def interval_rank(count: int) -> tuple[int, float]:
    """Which samples, counted from both ends, bound the median; and the coverage that gives."""
    below, rank, coverage = 0.0, 1, 0.0
    for i in range(1, count // 2 + 1):
        below += math.comb(count, i - 1) / 2.0**count
        if i > 1 and 1.0 - 2.0 * below < COVERAGE:
            break
        rank, coverage = i, 1.0 - 2.0 * below
    return rank, coverage
