"""Input and output lengths of a request: a table of quantiles and a grid of their dependence.

Lengths of real traffic are spiky (context caps, usual answer lengths) and their dependence is not
monotone, so no parametric family is fitted. A table holds the quantiles of each length and, as an
empirical copula, the counts of requests in a square grid of rank bins; a draw picks a cell by its
count, then a rank inside the cell for each length, then reads both quantiles.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sim.rng import KeyedBits

#: Input and output tokens of a run of requests, [n] int64 each.
Lengths = tuple[NDArray[np.int64], NDArray[np.int64]]


class LengthSource(Protocol):
    """Gives the lengths of any row of a workload, whatever was asked before."""

    def draw(self, rows: NDArray[np.int64]) -> Lengths:
        """[n] row numbers → [n] input tokens (≥ 1) and [n] output tokens (≥ 0)."""
        ...


@dataclass(frozen=True)
class LengthTable:
    """Quantiles of both lengths and their joint ranks.

    Attributes:
        probabilities: [q] float64, ascending from 0 to 1.
        input_tokens, output_tokens: [q] float64, quantiles at ``probabilities``; linear between.
        joint: [k, k] int64, requests whose input rank is in bin i and output rank in bin j.
    """

    probabilities: NDArray[np.float64]
    input_tokens: NDArray[np.float64]
    output_tokens: NDArray[np.float64]
    joint: NDArray[np.int64]


@dataclass(frozen=True)
class FixedLengths:
    """Every request alike."""

    input_tokens: int
    output_tokens: int

    def draw(self, rows: NDArray[np.int64]) -> Lengths:
        """The same two lengths for every row."""
        return (
            np.full(len(rows), self.input_tokens, dtype=np.int64),
            np.full(len(rows), self.output_tokens, dtype=np.int64),
        )


class TableLengths:
    """Lengths drawn from a table, keyed by row: row k has the same lengths at any rate."""

    def __init__(self, table: LengthTable, seed: int, workload: str) -> None:
        self._table = table
        self._bins = table.joint.shape[0]
        counts = np.cumsum(table.joint.ravel()).astype(np.float64)
        self._cumulative = counts / counts[-1]
        self._keyed = KeyedBits(seed, f"workload/{workload}/lengths")

    def draw(self, rows: NDArray[np.int64]) -> Lengths:
        """Two keyed words a row: one picks the cell, the halves of the other the ranks in it."""
        cell = np.searchsorted(self._cumulative, self._keyed.uniform_array(2 * rows), side="right")
        word = self._keyed.bits_array(2 * rows + 1)
        high = (word >> np.uint64(32)).astype(np.float64) * 2.0**-32
        low = (word & np.uint64(0xFFFFFFFF)).astype(np.float64) * 2.0**-32
        input_rank = (cell // self._bins + high) / self._bins
        output_rank = (cell % self._bins + low) / self._bins
        return (
            self._quantile(input_rank, self._table.input_tokens),
            self._quantile(output_rank, self._table.output_tokens),
        )

    def _quantile(
        self, rank: NDArray[np.float64], quantiles: NDArray[np.float64]
    ) -> NDArray[np.int64]:
        tokens = np.interp(rank, self._table.probabilities, quantiles)
        return np.floor(tokens + 0.5).astype(np.int64)
