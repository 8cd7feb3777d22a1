"""Histogram bins of latencies: what the summaries count and how a quantile is read back.

Two kinds. *Latency* bins (``summary/latency``) are powers of 1.02 from one millisecond; the
geometric middle of a bin is within 1 % of every value in it. *Gap* bins (``summary/itl``) are 64
per octave, linear inside it, so that their edges are exact in binary and an engine can count a
whole run of iterations at once; the middle is within 0.8 %.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BASE = 1.02
UNIT_S = 1e-3
#: The bin of a latency of exactly zero, which has no logarithm.
ZERO_BIN = -32768
#: Largest relative distance between a value and the middle that stands for it.
LATENCY_ERROR = math.sqrt(BASE) - 1
GAPS_PER_OCTAVE = 64
GAP_ERROR = 1 / (2 * GAPS_PER_OCTAVE)

_LOG = math.log(BASE)


def latency_bins(values_s: NDArray[np.float64]) -> NDArray[np.int64]:
    """The latency bin of each of ``values_s`` [n] (seconds, ≥ 0): floor(ln(x / 1 ms) / ln 1.02)."""
    import numpy as np

    bins = np.full(len(values_s), ZERO_BIN, dtype=np.int64)
    positive = values_s > 0.0
    bins[positive] = np.floor(np.log(values_s[positive] / UNIT_S) / _LOG).astype(np.int64)
    return bins


def latency_middles(bins: NDArray[np.int64]) -> NDArray[np.float64]:
    """The geometric middle of each latency bin [n], in seconds."""
    import numpy as np

    return np.where(bins == ZERO_BIN, 0.0, UNIT_S * np.exp((bins + 0.5) * _LOG))


def gap_bin(gap_s: float) -> int:
    """The bin of a gap between tokens (seconds, > 0): octave · 64 + linear 64th of the octave."""
    mantissa, exponent = math.frexp(gap_s)
    return exponent * GAPS_PER_OCTAVE + int((mantissa - 0.5) * (2 * GAPS_PER_OCTAVE))


def gap_edge(index: int) -> float:
    """The exact lower edge of gap bin ``index``, in seconds; its upper edge is that of the next."""
    exponent, part = divmod(index, GAPS_PER_OCTAVE)
    return math.ldexp(0.5 + part / (2 * GAPS_PER_OCTAVE), exponent)


def gap_middles(bins: NDArray[np.int64]) -> NDArray[np.float64]:
    """The arithmetic middle of each gap bin [n], in seconds."""
    import numpy as np

    exponent, part = np.divmod(bins, GAPS_PER_OCTAVE)
    return np.ldexp(0.5 + (part + 0.5) / (2 * GAPS_PER_OCTAVE), exponent)


def histogram_quantile(
    middles: NDArray[np.float64], counts: NDArray[np.int64], quantile: float
) -> float:
    """The quantile of counted values, defined as NumPy's ``linear`` over the bins' middles.

    Args:
        middles: [b] ascending representative values.
        counts: [b] how many values each stands for; their sum is at least 1.
        quantile: in [0, 1].

    The order statistics on both sides of the rank are each off by at most the bins' stated
    relative error, and so is the interpolation between them.
    """
    import numpy as np

    ends = np.cumsum(counts)
    rank = (int(ends[-1]) - 1) * quantile
    low = math.floor(rank)
    below = float(middles[np.searchsorted(ends, low, side="right")])
    above = float(middles[np.searchsorted(ends, math.ceil(rank), side="right")])
    return below + (above - below) * (rank - low)
