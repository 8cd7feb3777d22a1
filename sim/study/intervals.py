"""Intervals and tests over seeds. A seed is the unit of evidence, never a request.

Every function takes one value a seed and says what the mean over all possible seeds may be. They
hold for a number of seeds chosen beforehand: who adds seeds until an answer comes out needs a rule
for many looks. Student's t assumes per-seed values close to normal, which means over many requests
are, except near saturation, where one seed in a hundred holds a queue that the others do not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

CONFIDENCE = 0.95
#: Values closer than this, relative to the largest, are the same up to rounding.
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Interval:
    """From ``low`` to ``high``, both included."""

    low: float
    high: float

    def hull(self, other: Interval) -> Interval:
        """The smallest interval that holds both."""
        return Interval(min(self.low, other.low), max(self.high, other.high))

    def within(self, floor: float, ceiling: float) -> Interval:
        """Cut to what is possible at all."""
        return Interval(max(self.low, floor), min(self.high, ceiling))


@dataclass(frozen=True)
class MeanTest:
    """What values say about their mean: its interval, and the p-value of "the mean is 0"."""

    mean: float
    interval: Interval
    p: float


def alike(values: Sequence[float]) -> bool:
    """Whether all values are the same up to rounding."""
    largest = max(abs(value) for value in values)
    return max(values) - min(values) <= _ROUNDING * largest


def student(
    values: Sequence[float], *, error: float = 0.0, confidence: float = CONFIDENCE
) -> MeanTest:
    """Student's t over independent values; exact if they are normal.

    ``error`` bounds how far each value is from what it stands for (a quantile read from bins). It
    shifts the mean by at most itself and hides at most ``error · √(k/(k−1))`` of the spread.

    Raises:
        ValueError: fewer than two values.
    """
    k = len(values)
    if k < 2:
        raise ValueError("an interval needs at least two values")
    mean, square = _mean_and_square(values)
    se = math.sqrt(square) + error / math.sqrt(k - 1)
    return _t_test(mean, se, k - 1.0, error, confidence)


def welch(
    first: Sequence[float],
    second: Sequence[float],
    *,
    error: float = 0.0,
    confidence: float = CONFIDENCE,
) -> MeanTest:
    """The mean of ``second`` less that of ``first``, independent of each other (Welch's t).

    ``error`` bounds the error of a difference of two values.

    Raises:
        ValueError: fewer than two values on one side.
    """
    if min(len(first), len(second)) < 2:
        raise ValueError("an interval needs at least two values on each side")
    (mean_1, square_1), (mean_2, square_2) = _mean_and_square(first), _mean_and_square(second)
    total, fewest = square_1 + square_2, min(len(first), len(second))
    freedom = float(fewest - 1)
    if total > 0.0:
        freedom = total**2 / (square_1**2 / (len(first) - 1) + square_2**2 / (len(second) - 1))
    se = math.sqrt(total) + error / math.sqrt(fewest - 1)
    return _t_test(mean_2 - mean_1, se, freedom, error, confidence)


def _mean_and_square(values: Sequence[float]) -> tuple[float, float]:
    """The mean, and the square of its standard error."""
    k = len(values)
    mean = math.fsum(values) / k
    return mean, math.fsum((value - mean) ** 2 for value in values) / (k - 1) / k


def _t_test(mean: float, se: float, freedom: float, error: float, confidence: float) -> MeanTest:
    from scipy.special import stdtr, stdtrit

    half = float(stdtrit(freedom, 0.5 + 0.5 * confidence)) * se + error
    beyond = max(0.0, abs(mean) - error)
    by_chance = 0.0 if beyond > 0.0 else 1.0
    p = 2.0 * float(stdtr(freedom, -beyond / se)) if se > 0.0 else by_chance
    return MeanTest(mean, Interval(mean - half, mean + half), p)


def share_bounds(hits: int, trials: int, confidence: float = CONFIDENCE) -> Interval:
    """Clopper and Pearson's bounds of a share, for trials that are independent of each other.

    Requests are not: they wait in the same queue. So for a share of requests this is the least
    uncertainty there is, not all of it. With no hit at all it is the rule of three (3.7 of n).
    """
    from scipy.special import betaincinv

    tail = 0.5 - 0.5 * confidence
    low = float(betaincinv(hits, trials - hits + 1, tail)) if hits > 0 else 0.0
    high = float(betaincinv(hits + 1, trials - hits, 1.0 - tail)) if hits < trials else 1.0
    return Interval(low, high)


def event_bounds(events: int, runs: int, confidence: float = CONFIDENCE) -> Interval:
    """Garwood's bounds of the mean number a run of rare events independent of each other.

    ``events`` were seen in ``runs`` runs in all. As for ``share_bounds``, the least uncertainty.
    """
    from scipy.special import gammaincinv

    tail = 0.5 - 0.5 * confidence
    low = float(gammaincinv(events, tail)) if events > 0 else 0.0
    return Interval(low / runs, float(gammaincinv(events + 1, 1.0 - tail)) / runs)


def share_of_other_runs(runs: int, confidence: float = CONFIDENCE) -> float:
    """The largest share of all seeds that may differ although ``runs`` of them were alike."""
    return float(1.0 - (1.0 - confidence) ** (1.0 / runs))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjustment: comparing these with 5 % errs in 5 % of all tables, not of all lines."""
    count = len(p_values)
    adjusted, largest = [0.0] * count, 0.0
    for rank, index in enumerate(sorted(range(count), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (count - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted
