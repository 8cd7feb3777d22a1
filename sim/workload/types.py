"""Requests on their way in: columnar chunks, so that memory stays bounded whatever the length."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

#: ``after_request`` of an open request.
OPEN = -1
#: ``session`` of a request that belongs to none that is known.
NO_SESSION = -1


@dataclass(frozen=True)
class RequestChunk:
    """A run of requests of one workload, as equally long columns.

    A column of one value may be a read-only view of it with stride 0.

    Attributes:
        arrival_s: [n] float64, when the user sends it; ascending; NaN where it follows another.
        input_tokens: [n] int64, ≥ 1.
        output_tokens: [n] int64, ≥ 0 (0 only for non-generative workloads).
        priority: [n] int64, 0 is served first.
        after_request: [n] int64, the *row number in this workload* (counting from 0 over all
            chunks) after whose end this request is sent, or ``OPEN``. Always an earlier row.
        think_s: [n] float64, the pause between that end and this arrival.
        cancel_after_s: [n] float64, the client gives up this long after sending; inf = never.
        prefix_ptr, prefix_ids: CSR of prefix-block ids ([n+1], [total]), 0 ≤ id < 2⁴⁷, or None. Ids
            are chained: an id names its block and the whole prefix before it, so it always follows
            the same id. A request may have fewer ids than blocks; ids beyond the complete blocks of
            its prompt are not used.
        prefix_block_tokens: tokens that one id stands for, a multiple of 16; 0 without ids.
        session: [n] int64, 0 ≤ session < 2⁴⁷ or ``NO_SESSION``: the client or conversation that a
            request belongs to; None where nothing is known of that.
    """

    arrival_s: NDArray[np.float64]
    input_tokens: NDArray[np.int64]
    output_tokens: NDArray[np.int64]
    priority: NDArray[np.int64]
    after_request: NDArray[np.int64]
    think_s: NDArray[np.float64]
    cancel_after_s: NDArray[np.float64]
    prefix_ptr: NDArray[np.int64] | None = None
    prefix_ids: NDArray[np.int64] | None = None
    prefix_block_tokens: int = 0
    session: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.arrival_s)


class RequestSource(Protocol):
    """A workload's requests in order. ``chunks`` may be called again and yields the same."""

    @property
    def closed(self) -> bool:
        """True for a closed loop without end, whose chunks are pulled as earlier rows end.

        Its open rows, one for each client, come before all others.
        Rows of an open source may follow others too (``after_request``); then a row is always in
        the same chunk as the one it follows.
        """
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences that a user should know about this source in this run; most have none."""
        ...

    def chunks(self) -> Iterator[RequestChunk]:
        """Successive chunks; open sources end before the duration, closed ones may not end."""
        ...
