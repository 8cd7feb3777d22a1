"""What is drawn for each row of a workload: its two lengths, and whether its client gives up.

Row k draws keyed bits, so its values depend on nothing but the seed, the workload and k. Both
searches below start at a guide: a table that holds, for each of its equal parts of [0, 1), the
answer for the part's lower end, so that few steps are left (Chen and Asau, 1974).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sim.kernels.jit import entry, kernel
from sim.kernels.keyed import high32, keyed_bits, low32, unit53

#: Parts of a guide; a power of two, so that a number times it is exact.
GUIDE = 8192

#: A cell of the grid of joint ranks: the share of requests in it and those before it, and its bins.
CELL = np.dtype([("share", np.float64), ("input_bin", np.float64), ("output_bin", np.float64)])

#: A knot of both quantile functions: values at ``rank``, and slopes from there to the next knot.
KNOT = np.dtype(
    [
        ("rank", np.float64),
        ("input_tokens", np.float64),
        ("input_slope", np.float64),
        ("output_tokens", np.float64),
        ("output_slope", np.float64),
    ]
)

_ONE = np.uint64(1)


@entry
def draw_lengths(
    rows: NDArray[np.int64],
    salt: np.uint64,
    bins: int,
    cells: NDArray[np.void],
    cell_guide: NDArray[np.int32],
    knots: NDArray[np.void],
    knot_guide: NDArray[np.int32],
    words: NDArray[np.uint64],
    ranks: NDArray[np.float64],
    tokens: NDArray[np.int64],
) -> None:
    """Input and output tokens of [n] row numbers, into [2, n] ``tokens``.

    Short passes, each over all rows, take half as long as one that does everything to a row.
    ``words`` and ``ranks`` are views of ``tokens``: each pass leaves its result in place of what it
    has read.

    Args:
        salt: of the keyed bits.
        bins: rank bins of each length; ``cells`` has their square, in order of the input's bin.
        cells: [bins²] ``CELL``.
        cell_guide: [GUIDE] for each part of [0, 1), the cell that its lower end falls in.
        knots: [q] ``KNOT``, ranks ascending from 0 to 1.
        knot_guide: [GUIDE] for each part, the last knot at or below its lower end.
    """
    for i in range(len(rows)):
        even = np.uint64(rows[i]) + np.uint64(rows[i])
        words[0, i] = keyed_bits(salt, even)
        words[1, i] = keyed_bits(salt, even + _ONE)
    # One word picks the cell by its share, the halves of the other the two ranks in it.
    for i in range(len(rows)):
        cell = cells[_cell(unit53(words[0, i]), cells, cell_guide)]
        word = words[1, i]
        ranks[0, i] = (cell.input_bin + high32(word)) / bins
        ranks[1, i] = (cell.output_bin + low32(word)) / bins
    for i in range(len(rows)):
        rank = ranks[0, i]
        knot = knots[_knot(rank, knots, knot_guide)]
        value = knot.input_slope * (rank - knot.rank) + knot.input_tokens
        tokens[0, i] = int(np.floor(value + 0.5))
    for i in range(len(rows)):
        rank = ranks[1, i]
        knot = knots[_knot(rank, knots, knot_guide)]
        value = knot.output_slope * (rank - knot.rank) + knot.output_tokens
        tokens[1, i] = int(np.floor(value + 0.5))


@kernel
def _cell(share: float, cells: NDArray[np.void], guide: NDArray[np.int32]) -> int:
    """The number of cells whose ``share`` is at most this one: ``searchsorted(side="right")``."""
    cell = int(guide[int(share * GUIDE)])
    while cells[cell].share <= share:
        cell += 1
    return cell


@kernel
def _knot(rank: float, knots: NDArray[np.void], guide: NDArray[np.int32]) -> int:
    """The last knot at or below a rank in [0, 1)."""
    knot = int(guide[int(rank * GUIDE)])
    while knots[knot + 1].rank <= rank:
        knot += 1
    return knot


@entry
def draw_cancels(
    first_row: int, salt: np.uint64, fraction: float, after_s: float, out: NDArray[np.float64]
) -> None:
    """``after_s`` for the ``fraction`` of rows from ``first_row`` on that give up, else inf."""
    for i in range(len(out)):
        gives_up = unit53(keyed_bits(salt, np.uint64(first_row + i))) < fraction
        out[i] = after_s if gives_up else np.inf
