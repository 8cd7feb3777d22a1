"""A workload's requests as the engine takes them: open rows in order, following rows on demand."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.engine.prefix import prefix_key
from sim.workload.types import NO_SESSION, OPEN, RequestChunk, RequestSource


@dataclass(frozen=True, slots=True)
class Row:
    """One request of a workload before it is sent.

    ``prefix_ids`` name the complete prefix blocks of its prompt, as ``engine.prefix`` takes them;
    ``session`` is as a router sees it.
    """

    number: int
    arrival_s: float
    input_tokens: int
    output_tokens: int
    priority: int
    think_s: float
    cancel_after_s: float
    prefix_block_tokens: int = 0
    prefix_ids: tuple[int, ...] = ()
    session: int = NO_SESSION


class Feed:
    """Pulls chunks as they are needed, so memory follows what is pending, not the run's length."""

    def __init__(self, source: RequestSource, workload: int = 0) -> None:
        self._workload = workload  # its index in the scenario
        self._closed = source.closed
        self._chunks: Iterator[RequestChunk] = iter(source.chunks())
        self._exhausted = False
        self._follows = False  # a row that follows another has been pulled
        self._pulled = 0
        self._open: list[Row] = []
        self._next_open = 0
        self._followers: dict[int, list[Row]] = {}

    def next_open(self) -> Row | None:
        """The next row that follows no other, in order of arrival; None when none is left."""
        while self._next_open == len(self._open):
            # A closed source's open rows come first; what is behind them is pulled when a
            # predecessor ends, not in advance.
            if (self._closed and self._follows) or not self._pull():
                return None
        row = self._open[self._next_open]
        self._next_open += 1
        if self._next_open == len(self._open):
            self._open, self._next_open = [], 0
        return row

    def followers(self, number: int) -> list[Row]:
        """The rows that are sent after row ``number`` has ended.

        An open source has them in the chunk of the row they follow; a closed one is asked for more.
        """
        while self._closed and number not in self._followers and self._pull():
            pass
        return self._followers.pop(number, [])

    def _pull(self) -> bool:
        chunk = None if self._exhausted else next(self._chunks, None)
        if chunk is None:
            self._exhausted = True
            return False
        columns = (
            chunk.arrival_s, chunk.input_tokens, chunk.output_tokens, chunk.priority,
            chunk.think_s, chunk.cancel_after_s,
        )  # fmt: skip
        lists: list[list[Any]] = [column.tolist() for column in columns]
        lists += [[chunk.prefix_block_tokens] * len(chunk), prefixes(chunk, self._workload)]
        lists.append(sessions(chunk, self._workload).tolist())
        for after, *values in zip(chunk.after_request.tolist(), *lists, strict=True):
            row = Row(self._pulled, *values)
            self._pulled += 1
            if after == OPEN:
                self._open.append(row)
            else:
                self._follows = True
                self._followers.setdefault(after, []).append(row)
        return True


def sessions(chunk: RequestChunk, workload: int) -> NDArray[np.int64]:
    """[n] the session of each request of ``chunk`` among those of all workloads."""
    if chunk.session is None:
        return np.full(len(chunk), NO_SESSION)
    return np.where(
        chunk.session == NO_SESSION, NO_SESSION, chunk.session + prefix_key(workload, 0)
    )


def prefixes(chunk: RequestChunk, workload: int) -> list[tuple[int, ...]]:
    """For each request of ``chunk``, the ids of the complete prefix blocks of its prompt."""
    if chunk.prefix_ptr is None or chunk.prefix_ids is None:
        return [()] * len(chunk)
    starts = chunk.prefix_ptr[:-1]
    stops = starts + complete_prefixes(chunk)
    ids = (chunk.prefix_ids + prefix_key(workload, 0)).tolist()
    return [
        tuple(ids[start:stop]) for start, stop in zip(starts.tolist(), stops.tolist(), strict=True)
    ]


def complete_prefixes(chunk: RequestChunk) -> NDArray[np.int64]:
    """For each request of ``chunk``, which has ids, how many name complete blocks of its prompt."""
    if chunk.prefix_ptr is None:
        raise AssertionError("a chunk without prefix ids")
    complete = chunk.input_tokens // chunk.prefix_block_tokens
    return np.minimum(complete, np.diff(chunk.prefix_ptr))


def follows_at(row: Row, end_s: float) -> float:
    """When a following row is sent, given the end of the one before it."""
    if not math.isnan(row.arrival_s):
        raise AssertionError("a following row has no arrival of its own")
    return end_s + row.think_s
