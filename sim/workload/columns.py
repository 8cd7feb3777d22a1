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
        session: NDArray[np.int64] | None = None,
    ) -> RequestChunk:
        """A chunk from row ``first_row`` on; what is not given is as the workload says.

        A column of one value is a read-only view of it that takes no memory.
        """
        n = len(arrival_s)
        inputs, outputs = lengths
        if cancel_after_s is None:
            cancel_after_s = self._cancel(first_row, n)
        if priority is None:
            priority = np.broadcast_to(np.int64(self._workload.priority), n)
        if after_request is None:
            after_request = np.broadcast_to(np.int64(OPEN), n)
        if think_s is None:
            think_s = np.broadcast_to(np.float64(0.0), n)
        return RequestChunk(
            arrival_s=arrival_s,
            input_tokens=inputs,
            output_tokens=np.broadcast_to(np.int64(0), n) if self.embedding else outputs,
            priority=priority,
            after_request=after_request,
            think_s=think_s,
            cancel_after_s=cancel_after_s,
            prefix_ptr=prefix[0],
            prefix_ids=prefix[1],
            prefix_block_tokens=prefix[2],
            session=session,
        )

    def _cancel(self, first_row: int, rows: int) -> NDArray[np.float64]:
        after_s, fraction = self._workload.cancel_after_s, self._workload.cancel_fraction
        if math.isinf(after_s) or fraction == 0.0:
            return np.broadcast_to(np.float64(math.inf), rows)
        from sim.kernels.draws import draw_cancels

        cancel_after_s = np.empty(rows)
        draw_cancels(first_row, np.uint64(self._keyed.salt), fraction, after_s, cancel_after_s)
        return cancel_after_s
