"""From operational time to real time, through the integral of a piecewise-constant rate."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sim.kernels.jit import entry, kernel


@entry
def accumulate(gaps: NDArray[np.float64], last: float) -> float:
    """Turn gaps into the times that they end at, counted on from ``last``; returns the last one.

    The gaps are summed from 0, and ``last`` added to each sum, so that rounding is that of a sum of
    this many gaps however much time has passed.
    """
    total = 0.0
    for i in range(len(gaps)):
        total += gaps[i]
        gaps[i] = last + total
    return float(gaps[-1])


@entry
def to_real_time(
    pending: NDArray[np.float64],
    first: int,
    cumulative: NDArray[np.float64],
    edges_s: NDArray[np.float64],
    piece: int,
    until_s: float,
    times_s: NDArray[np.float64],
) -> tuple[int, int, bool]:
    """Real times of ``pending`` from index ``first`` on, into the same places of ``times_s``.

    Stops at the first that lies beyond these pieces or at or after ``until_s``. Each time is the
    very expression of ``np.interp``.

    Args:
        pending: [n] ascending operational times, none before piece ``piece``.
        cumulative: [m + 1] operational times at ``edges_s``, ascending.
        edges_s: [m + 1] edges of the pieces.

    Returns:
        The index stopped at (n: all done), the piece arrived at, and whether ``until_s`` is met.
    """
    end = cumulative[-1]
    slope = _slope(cumulative, edges_s, piece)
    for i in range(first, len(pending)):
        x = pending[i]
        if x >= end:
            return i, piece, False
        if x >= cumulative[piece + 1]:
            while x >= cumulative[piece + 1]:
                piece += 1
            slope = _slope(cumulative, edges_s, piece)
        time_s = slope * (x - cumulative[piece]) + edges_s[piece]
        if time_s >= until_s:
            return i, piece, True
        times_s[i] = time_s
    return len(pending), piece, False


@kernel
def _slope(cumulative: NDArray[np.float64], edges_s: NDArray[np.float64], piece: int) -> float:
    """Seconds per unit of operational time in a piece; 0 where its rate is 0, and no time falls."""
    rise = cumulative[piece + 1] - cumulative[piece]
    return (edges_s[piece + 1] - edges_s[piece]) / rise if rise > 0.0 else 0.0
