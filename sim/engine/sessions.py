"""Sessions of requests for routers in Python; the kernels of the compiled plane need none."""

from __future__ import annotations

from bisect import bisect_right

import numpy as np
from numpy.typing import NDArray

from sim.engine.arrivals import sessions
from sim.engine.world import ROW_BITS
from sim.kernels import layout
from sim.kernels.layout import NONE
from sim.kernels.state import State
from sim.workload.types import NO_SESSION, RequestChunk


class Sessions:
    """The session of every row of the workloads whose pool has a router that Python asks.

    A row may come again as long as the run lasts (``retry``), so nothing is forgotten: 8 bytes for
    each request, which is little beside the time that its decision takes.
    """

    def __init__(self, state: State) -> None:
        asks = state.pool["routing"] == layout.ASK
        decodes = state.pool["decode"]
        asks = asks | ((decodes != NONE) & asks[decodes])
        self._asks: list[bool] = asks[state.workload["pool"]].tolist()
        self._first: list[list[int]] = [[] for _ in self._asks]
        self._columns: list[list[NDArray[np.int64]]] = [[] for _ in self._asks]

    def add(self, workload: int, first_row: int, chunk: RequestChunk) -> None:
        """Take in a chunk, which begins with row ``first_row``."""
        if self._asks[workload] and chunk.session is not None and len(chunk):
            self._first[workload].append(first_row)
            self._columns[workload].append(sessions(chunk, workload))

    def of(self, identity: int) -> int:
        """The session of a request."""
        workload, row = identity >> ROW_BITS, identity & ((1 << ROW_BITS) - 1)
        place = bisect_right(self._first[workload], row) - 1
        if place < 0:
            return NO_SESSION
        column, offset = self._columns[workload][place], row - self._first[workload][place]
        return int(column[offset]) if offset < len(column) else NO_SESSION
