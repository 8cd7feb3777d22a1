"""Histogram bins of latencies: what the summaries count and how a quantile is read back.

Two kinds. *Latency* bins (``summary/latency``) are powers of 1.02 from one millisecond; the
geometric middle of a bin is within 1 % of every value in it. *Gap* bins (``summary/itl``) are 64
per octave, linear inside it, so that their edges are exact in binary and an engine can count a
whole run of iterations at once; the middle is within 0.8 %.
"""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BASE = 1.02
UNIT_S = 1e-3
#: The bin of a latency of zero, which has no logarithm, and of what is as good as zero.
ZERO_BIN = -32768
#: The lowest and highest other bin: from about a nanosecond to a few hundred years.
LOW_BIN, HIGH_BIN = -698, 1503
#: Largest relative distance between a value and the middle that stands for it.
LATENCY_ERROR = math.sqrt(BASE) - 1
GAPS_PER_OCTAVE = 64
GAP_ERROR = 1 / (2 * GAPS_PER_OCTAVE)

_LOG = math.log(BASE)


def latency_edge(index: int) -> float:
    """The lower edge of latency bin ``index`` in seconds: 1 ms · 1.02^index, correctly rounded.

    From whole numbers, because a library's power differs in the last bit between machines.
    """
    up, down = (51, 50) if index >= 0 else (50, 51)
    power = abs(index)
    edge: float = up**power / (1000 * down**power)
    return edge


@cache
def latency_edges() -> NDArray[np.float64]:
    """The edges of all latency bins from ``LOW_BIN`` on, and the upper one of ``HIGH_BIN``."""
    import numpy as np

    return np.array([latency_edge(index) for index in range(LOW_BIN, HIGH_BIN + 2)])


def latency_bins(values_s: NDArray[np.float64]) -> NDArray[np.int64]:
    """The latency bin of each of ``values_s`` [n]: the last whose lower edge is not above it.

    ``ZERO_BIN`` below the edge of ``LOW_BIN``, ``HIGH_BIN`` above that of the one after it. The
    compiled kernels come to the same bins by the same edges.
    """
    import numpy as np

    at = np.searchsorted(latency_edges()[:-1], values_s, side="right") - 1
    return np.where(at < 0, ZERO_BIN, LOW_BIN + at)


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
