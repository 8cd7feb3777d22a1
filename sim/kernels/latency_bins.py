"""The bin of a latency without a logarithm: a guess from the bits of the number, then its edge.

Bins are wider (2 %) than a 64th of an octave (1.6 % at most), so a cell of numbers that share
exponent and the first six bits of the mantissa has at most one edge inside.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sim.kernels.jit import kernel

#: Numbers from 2^LOW up to 2^HIGH seconds have cells.
LOW, HIGH = -30, 33
CEILING_S = 2.0**HIGH
SHIFT = 46  # leaves sign, exponent and six bits of the mantissa of a float64
FIRST_CELL = (1023 + LOW) << 6
CELLS = (HIGH - LOW) << 6


class LatencyBins(NamedTuple):
    """Bins in order, counted from 1; 0 stands for what is below the first edge."""

    edges_s: NDArray[np.float64]  # [bins + 1] lower edge of each, then the upper one of the last
    first: NDArray[np.int32]  # [CELLS] the bin of the smallest number of each cell


def lay_out(edges_s: NDArray[np.float64]) -> LatencyBins:
    """The table for ascending ``edges_s`` [bins + 1], from 2^LOW to beyond 2^HIGH."""
    smallest = ((np.arange(CELLS, dtype=np.int64) + FIRST_CELL) << SHIFT).view(np.float64)
    first = np.searchsorted(edges_s[:-1], smallest, side="right")
    return LatencyBins(edges_s, first.astype(np.int32))


@kernel
def latency_bin(value_s: float, bins: LatencyBins) -> int:
    """The bin of ``value_s`` (not NaN): the last whose lower edge is not above it, 0 if none."""
    if value_s < bins.edges_s[0]:
        return 0
    if value_s >= CEILING_S:
        return len(bins.edges_s) - 1
    at: int = bins.first[(np.float64(value_s).view(np.int64) >> SHIFT) - FIRST_CELL]
    return at + int(value_s >= bins.edges_s[at])
