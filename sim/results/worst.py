"""The slowest misses of each workload and quarter of an hour, kept while requests flow by."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

KEEP = 50
QUARTER_S = 900.0
# Candidates are thinned when this many wait; the result does not depend on it.
_PENDING = 1 << 15

#: One candidate; ``group`` = (quarter of an hour of arrival, workload).
ROW = np.dtype(
    [
        ("group", np.int64),
        ("rank_s", np.float64),  # e2e, inf for a request that never ended
        ("request_id", np.int64),
        ("workload", np.int64),
        ("arrival_s", np.float64),
        ("ttft_s", np.float64),
        ("e2e_s", np.float64),
        ("outcome", np.int64),
    ]
)


class Worst:
    """Keeps ``KEEP`` rows per group: those that never ended first, then by time to the end."""

    def __init__(self) -> None:
        self._rows: list[NDArray[np.void]] = [np.empty(0, ROW)]
        self._count = 0

    def add(self, rows: NDArray[np.void]) -> None:
        """Offer candidates (an array of ``ROW``)."""
        self._rows.append(rows)
        self._count += len(rows)
        if self._count > max(_PENDING, 2 * len(self._rows[0])):
            self.rows()

    def rows(self) -> NDArray[np.void]:
        """What is kept, by group and then slowest first; equal times by request id."""
        rows = np.concatenate(self._rows)
        rows = rows[np.lexsort((rows["request_id"], -rows["rank_s"], rows["group"]))]
        starts = np.flatnonzero(np.concatenate(([True], rows["group"][1:] != rows["group"][:-1])))
        sizes = np.diff(np.append(starts, len(rows)))
        position = np.arange(len(rows)) - np.repeat(starts, sizes) if len(rows) else starts
        self._rows = [rows[position < KEEP]] if len(rows) else [rows]
        self._count = len(self._rows[0])
        return self._rows[0]
