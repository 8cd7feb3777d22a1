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
        n = len(rows)
        inputs, outputs = np.int64(self.input_tokens), np.int64(self.output_tokens)
        return np.broadcast_to(inputs, n), np.broadcast_to(outputs, n)


class TableLengths:
    """Lengths drawn from a table, keyed by row: row k has the same lengths at any rate."""

    def __init__(self, table: LengthTable, seed: int, workload: str) -> None:
        from sim.kernels.draws import CELL, GUIDE, KNOT

        self._salt = np.uint64(KeyedBits(seed, f"workload/{workload}/lengths").salt)
        self._bins = table.joint.shape[0]
        counts = np.cumsum(table.joint.ravel()).astype(np.float64)
        self._cells = np.empty(len(counts), CELL)
        self._cells["share"] = counts / counts[-1]
        self._cells["input_bin"], self._cells["output_bin"] = np.divmod(
            np.arange(len(counts)), self._bins
        )
        self._knots = np.empty(len(table.probabilities), KNOT)
        self._knots["rank"] = table.probabilities
        for name, tokens in (("input", table.input_tokens), ("output", table.output_tokens)):
            self._knots[f"{name}_tokens"] = tokens
            slope = np.diff(tokens) / np.diff(table.probabilities)
            self._knots[f"{name}_slope"] = np.append(slope, 0.0)
        parts = np.arange(GUIDE) / GUIDE
        self._cell_guide = _places(self._cells["share"], parts)
        self._knot_guide = _places(table.probabilities, parts) - np.int32(1)

    def draw(self, rows: NDArray[np.int64]) -> Lengths:
        """Two keyed words a row: one picks the cell, the halves of the other the ranks in it."""
        from sim.kernels.draws import draw_lengths

        tokens = np.empty((2, len(rows)), dtype=np.int64)
        draw_lengths(
            rows, self._salt, self._bins, self._cells, self._cell_guide, self._knots,
            self._knot_guide, tokens.view(np.uint64), tokens.view(np.float64), tokens,
        )  # fmt: skip
        return tokens[0], tokens[1]


def _places(ascending: NDArray[np.float64], parts: NDArray[np.float64]) -> NDArray[np.int32]:
    """How many of ``ascending`` are at or below each part's lower end."""
    return np.searchsorted(ascending, parts, side="right").astype(np.int32)
