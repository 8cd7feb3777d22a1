"""The columns of a chunk that come from the workload, whatever its source."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from sim.rng import KeyedBits
from sim.workload.lengths import Lengths
from sim.workload.plan import Workload
from sim.workload.types import OPEN, RequestChunk


class Columns:
    """The columns of a chunk that come from the workload itself."""

    def __init__(self, workload: Workload, seed: int, stream: str) -> None:
        self._workload = workload
        self._keyed = KeyedBits(seed, f"{stream}/cancel")
        self.embedding = workload.kind == "embedding"

    def chunk(
        self,
        first_row: int,
        arrival_s: NDArray[np.float64],
        lengths: Lengths,
        *,
        after_request: NDArray[np.int64] | None = None,
        think_s: NDArray[np.float64] | None = None,
        priority: NDArray[np.int64] | None = None,
        cancel_after_s: NDArray[np.float64] | None = None,
        prefix: tuple[NDArray[np.int64] | None, NDArray[np.int64] | None, int] = (None, None, 0),
    ) -> RequestChunk:
        """A chunk from row ``first_row`` on; what is not given is as the workload says."""
        n = len(arrival_s)
        inputs, outputs = lengths
        if cancel_after_s is None:
            cancel_after_s = self._cancel(np.arange(first_row, first_row + n))
        if priority is None:
            priority = np.full(n, self._workload.priority, dtype=np.int64)
        if after_request is None:
            after_request = np.full(n, OPEN, dtype=np.int64)
        return RequestChunk(
            arrival_s=arrival_s,
            input_tokens=inputs,
            output_tokens=np.zeros_like(outputs) if self.embedding else outputs,
            priority=priority,
            after_request=after_request,
            think_s=np.zeros(n) if think_s is None else think_s,
            cancel_after_s=cancel_after_s,
            prefix_ptr=prefix[0],
            prefix_ids=prefix[1],
            prefix_block_tokens=prefix[2],
        )

    def _cancel(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        after, fraction = self._workload.cancel_after_s, self._workload.cancel_fraction
        if math.isinf(after) or fraction == 0.0:
            return np.full(len(rows), math.inf)
        return np.where(self._keyed.uniform_array(rows) < fraction, after, math.inf)
