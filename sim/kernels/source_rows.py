"""Rows of a source as the compiled engine takes them: one record a request instead of columns."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sim.kernels.jit import entry

#: A request before it is sent; the columns of ``RequestChunk`` that a replica needs.
SOURCE_ROW = np.dtype(
    [
        ("arrival_s", np.float64),
        ("think_s", np.float64),
        ("cancel_after_s", np.float64),
        ("input_tokens", np.int32),
        ("output_tokens", np.int32),
        ("priority", np.int32),
    ],
    align=True,
)


@entry
def fill_rows(
    out: NDArray[np.void],
    arrival_s: NDArray[np.float64],
    think_s: NDArray[np.float64],
    cancel_after_s: NDArray[np.float64],
    input_tokens: NDArray[np.int64],
    output_tokens: NDArray[np.int64],
    priority: NDArray[np.int64],
) -> None:
    """Fill [n] ``SOURCE_ROW`` from [n] columns, whatever their strides: 0 where all are equal."""
    for i in range(len(out)):
        row = out[i]
        row.arrival_s = arrival_s[i]
        row.think_s = think_s[i]
        row.cancel_after_s = cancel_after_s[i]
        row.input_tokens = input_tokens[i]
        row.output_tokens = output_tokens[i]
        row.priority = priority[i]
