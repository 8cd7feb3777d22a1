"""Copies of a source: how many a wanted rate needs, and how the rate of each of them moves."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from sim.errors import BuildError
from sim.rng import generator_seeds
from sim.workload.segments import State, table_mean

#: Each copy has its own offset, or its own state and generator, and is asked in every stretch of
#: time. Traffic of so many independent copies is Poisson for every purpose of a plan.
MOST_COPIES = 100_000

#: Blocks drawn at a time.
_SLAB = 4096

#: Copies, times and changes of multiples, [n] each.
Changes = tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]


def copies_for(ratio: float, own_per_s: float, path: str, whose: str, *, at: str = "") -> int:
    """The copies that together have ``ratio`` times the rate of one, the last one thinned; ≥ 1.

    Args:
        own_per_s: mean rate of one copy.
        path: YAML path of the workload.
        whose: whose rate ``own_per_s`` is, for the message ("the trace's own").
        at: when that rate is wanted, for the message, if not at all times.

    Raises:
        BuildError: at the workload's ``rate``, more than ``MOST_COPIES``.
    """
    if ratio > MOST_COPIES:
        wanted, own, most = map(_rate, (ratio * own_per_s, own_per_s, MOST_COPIES * own_per_s))
        message = (
            f"{wanted}{at} is {ratio:.3g} times {whose} {own}; at most {MOST_COPIES:,} copies are "
            f"superposed, which is {most}"
        )
        raise BuildError(f"{path}.rate", message)
    return max(1, math.ceil(ratio))


def _rate(per_s: float) -> str:
    return f"{per_s:,.0f} /s" if 1000 <= per_s < 1e12 else f"{per_s:.3g} /s"


def on_grid(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The nearest multiples of 2⁻¹⁸, so that sums and products of two of them are exact."""
    return np.rint(values * 2.0**18) * 2.0**-18


class Copies:
    """Independent copies of a source whose rate moves in segments, all of them drawn together.

    A copy's segments come from its own stream ``{stream}/{copy}``. States come in turn, and in each
    block of ``visits`` turns every table is drawn evenly over its ranks: it is read once in each of
    as many equal bins of rank, in random order, and the block's multiples are scaled so that their
    mean over its time is 1. So single segments are as variable as the tables say, while longer
    stretches are more even than independent draws would make them, as the traces' counts are. Time
    0 falls at a random place of the first block.

    One block of each copy is held, whatever the length of the run.

    Attributes:
        multiples: [n] float64, of the mean rate, on the grid: what each copy has at the time up to
            which steps have been taken.
        mean_s: mean length of a segment.
    """

    def __init__(
        self, count: int, seed: int, stream: str, states: tuple[State, ...], visits: int
    ) -> None:
        from sim.kernels import pcg64

        self._visits = visits
        self._tables = [_Table(state.duration_s) for state in states]
        self._tables += [_Table(state.rate_multiple) for state in states]
        self._generators = np.zeros(count, pcg64.PCG64)
        names = [f"{stream}/{copy}" for copy in range(count)]
        pcg64.start(generator_seeds(seed, names), self._generators)
        turn_s = sum(table_mean(state.duration_s) for state in states)
        self.mean_s = turn_s / len(states)
        place = np.empty(count)
        pcg64.random(self._generators, place)
        self._end_s = -place * turn_s * visits  # of what has been drawn
        self._starts_s = np.full((count, visits * len(states)), math.inf)
        self._steps = np.zeros_like(self._starts_s)
        self._drawn = np.zeros(count)  # the multiple of the last segment drawn
        self._taken_s = -math.inf
        self.multiples = np.zeros(count)

    def __len__(self) -> int:
        return len(self.multiples)

    def level(self, shares: NDArray[np.float64]) -> float:
        """The sum of all multiples, each times its copy's share; exact for shares on the grid."""
        return float((self.multiples * shares).sum())

    def take(self, until_s: float) -> Changes:
        """The steps of all copies below ``until_s`` that have not been taken, in no order.

        Returns:
            Copy, time and change of its multiple for each step.
        """
        found = [self._below(slice(None), until_s)]
        while len(behind := np.flatnonzero(self._end_s < until_s)):
            for start in range(0, len(behind), _SLAB):
                rows = behind[start : start + _SLAB]
                self._draw(rows)
                copy, when_s, change = self._below(rows, until_s)
                found.append((rows[copy], when_s, change))
        self._taken_s = until_s
        copies, times_s, changes = (np.concatenate(column) for column in zip(*found, strict=True))
        self.multiples += np.bincount(copies, changes, len(self))
        return copies, times_s, changes

    def _below(self, rows: NDArray[np.int64] | slice, until_s: float) -> Changes:
        """Place in ``rows``, time and change of the steps in the blocks of these copies."""
        starts_s = self._starts_s[rows]
        inside = (starts_s >= self._taken_s) & (starts_s < until_s)
        return np.nonzero(inside)[0], starts_s[inside], self._steps[rows][inside]

    def _draw(self, rows: NDArray[np.int64]) -> None:
        """The next block of each of these copies."""
        from sim.kernels.pcg64 import stratified_ranks

        ranks = np.empty((len(rows), len(self._tables), self._visits))
        stratified_ranks(self._generators, rows, ranks)
        values = [table.at(ranks[:, place]) for place, table in enumerate(self._tables)]
        states = len(values) // 2
        durations_s, multiples = (
            np.stack(part, axis=2).reshape(len(rows), -1)
            for part in (values[:states], values[states:])
        )
        self._put(rows, durations_s, multiples)

    def _put(
        self, rows: NDArray[np.int64], durations_s: NDArray[np.float64], raw: NDArray[np.float64]
    ) -> None:
        """Blocks of segments, a row for each of these copies, in place of their last ones."""
        scale = durations_s.sum(axis=1) / (durations_s * raw).sum(axis=1)
        multiples = on_grid(raw * scale[:, None])
        ends_s = self._end_s[rows, None] + np.cumsum(durations_s, axis=1)
        self._starts_s[rows, 0] = self._end_s[rows]
        self._starts_s[rows, 1:] = ends_s[:, :-1]
        self._steps[rows] = np.diff(multiples, axis=1, prepend=self._drawn[rows, None])
        self._end_s[rows] = ends_s[:, -1]
        self._drawn[rows] = multiples[:, -1]


class _Table:
    """A quantile table that is linear between evenly spaced ranks."""

    def __init__(self, values: NDArray[np.float64]) -> None:
        self._ranks, self._values = np.linspace(0.0, 1.0, len(values)), values

    def at(self, ranks: NDArray[np.float64]) -> NDArray[np.float64]:
        """The values at ranks of any shape."""
        return np.interp(ranks, self._ranks, self._values)
