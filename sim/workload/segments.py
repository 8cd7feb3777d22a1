"""How a source's rate moves: successive segments of time, each with a multiple of the mean rate."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: Durations, or starts, in s and multiples of the mean rate of successive segments, [m] float64.
Block = tuple[NDArray[np.float64], NDArray[np.float64]]


@dataclass(frozen=True)
class State:
    """One state of a modulated source, as tables that are linear between evenly spaced ranks.

    Attributes:
        duration_s: [q] float64, quantiles of the time spent in the state at each visit.
        rate_multiple: [p] float64, quantiles of the multiple of the mean rate during a visit.
    """

    duration_s: NDArray[np.float64]
    rate_multiple: NDArray[np.float64]


class Segments:
    """The segments of one source, handed out in order of time.

    Attributes:
        mean_s: mean length of a segment.
        multiple: of the mean rate, at the time up to which segments have been taken.
    """

    def __init__(self, blocks: Iterator[Block], start_s: float, mean_s: float) -> None:
        self._blocks = blocks
        self._end_s = start_s  # of what has been drawn
        self._starts: NDArray[np.float64] = np.empty(0)
        self._multiples: NDArray[np.float64] = np.empty(0)
        self.mean_s = mean_s
        self.multiple = 0.0

    def take(self, until_s: float) -> Block:
        """Starts and multiples of the segments that start below ``until_s``, not taken before."""
        starts, multiples = [self._starts], [self._multiples]
        while self._end_s < until_s:
            durations, drawn = next(self._blocks)
            ends = self._end_s + np.cumsum(durations)
            starts.append(np.concatenate([[self._end_s], ends[:-1]]))
            multiples.append(drawn)
            self._end_s = float(ends[-1])
        start, multiple = np.concatenate(starts), np.concatenate(multiples)
        stop = int(np.searchsorted(start, until_s, side="left"))
        self._starts, self._multiples = start[stop:], multiple[stop:]
        if stop:
            self.multiple = float(multiple[stop - 1])
        return start[:stop], multiple[:stop]


def on_off(rng: np.random.Generator, on_s: float, off_s: float) -> Segments:
    """Exponential sojourns with means ``on_s`` and ``off_s``: a Markov-modulated source.

    The rate is 0 while off and 1 + off/on of the mean while on; time 0 is in equilibrium.
    """
    high = 1.0 + off_s / on_s
    on_first = float(rng.random()) < 1.0 / high

    def blocks() -> Iterator[Block]:
        means = np.array([on_s, off_s] if on_first else [off_s, on_s])
        multiples = np.array([high, 0.0] if on_first else [0.0, high])
        while True:
            yield rng.standard_exponential(128) * np.tile(means, 64), np.tile(multiples, 64)

    return Segments(blocks(), 0.0, (on_s + off_s) / 2.0)


def table_mean(table: NDArray[np.float64]) -> float:
    """Mean of a quantile table that is linear between evenly spaced ranks; one entry is itself."""
    if len(table) == 1:
        return float(table[0])
    return float((table[:-1] + table[1:]).mean()) / 2.0
