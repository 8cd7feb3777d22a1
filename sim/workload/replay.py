"""Replaying a prepared trace: looped to any length, and at another rate than its own.

* **Looped**, the trace starts again every period (``TraceTable.period_s``).
* **Faster** than its own rate, r times: ⌊r⌋ copies of the trace run at once and one more is thinned
  to the fraction that is left. Copy 0 is the trace as it is; copy j > 0 is rotated by its own
  uniform random offset inside the period (what would pass the end comes in at the start), so the
  copies' bursts fall independently, as those of more users do.
* **Slower**, each conversation is kept with probability r, independently, in each pass anew.

A request keeps its lengths, its pauses and the requests that follow it whatever the rate. Sessions
and prefix ids of different passes (each copy in each loop) never meet: whether two users would have
shared a prefix is not in the trace, so reuse is not invented (a system prompt that all of them
share is then counted once for each pass, which understates it).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim.errors import BuildError
from sim.rng import KeyedBits, generator
from sim.workload.copies import copies_for
from sim.workload.table import TraceTable, csr_take, ranges
from sim.workload.types import NO_SESSION, OPEN

#: About how many requests are put together at a time.
WINDOW_ROWS = 65_536


@dataclass(frozen=True)
class Picked:
    """Rows of a trace in the order of replay: which row, in which pass, when, after which."""

    rows: NDArray[np.int64]  # [n] row of the trace
    passes: NDArray[np.int64]  # [n] number of the pass, one for each copy in each loop
    arrival_s: NDArray[np.float64]  # [n] NaN where it follows another
    after_request: NDArray[np.int64]  # [n] place in this replay counting from 0, or OPEN


class Replay:
    """The order of a trace's requests in a run. ``picked`` may be called again, with one result."""

    def __init__(
        self,
        table: TraceTable,
        *,
        rate_per_s: float | None,
        loop: bool,
        duration_s: float,
        seed: int,
        stream: str,
        path: str,
    ) -> None:
        """Prepare a replay of the trace of the workload at ``path``.

        Raises:
            BuildError: the trace has no period to use, or the rate needs more copies than a run
                holds.
        """
        self._table, self._duration_s, self._loop = table, duration_s, loop
        self._open = np.flatnonzero(table.after_request == OPEN)
        self._when = table.arrival_s[self._open]
        sizes = np.diff(np.append(self._open, len(table)))
        self._sizes = sizes.astype(np.int64)
        self._follows = len(self._open) < len(table)
        self._keyed = KeyedBits(seed, f"{stream}/thinning")
        self._copies, self._fraction = 1, 1.0
        if (loop or rate_per_s is not None) and not math.isfinite(table.period_s):
            message = "one arrival does not tell the trace's period; give `end`, or leave out"
            raise BuildError(f"{path}.trace", f"{message} `loop` and `rate`")
        if rate_per_s is not None:
            ratio = rate_per_s * table.period_s / len(table)
            own_per_s = len(table) / table.period_s
            self._copies = copies_for(ratio, own_per_s, path, "the trace's own")
            self._fraction = ratio - (self._copies - 1)
        rng = generator(seed, f"{stream}/offsets")
        period = table.period_s if math.isfinite(table.period_s) else 0.0
        self._offsets = rng.random(self._copies) * period
        self._offsets[0] = 0.0

    def picked(self) -> Iterator[Picked]:
        """Successive runs of requests, each of about ``WINDOW_ROWS``, in order of arrival."""
        placed = 0
        for roots_of, passes, when in self._windows():
            keep = when < self._duration_s
            run = self._with_followers(roots_of[keep], passes[keep], when[keep], placed)
            placed += len(run.rows)
            if len(run.rows):
                yield run

    def _windows(
        self,
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]]:
        """Open requests (index among them, pass, arrival), a stretch of time after another."""
        period = self._table.period_s
        if not math.isfinite(period):
            zeros = np.zeros(len(self._open), dtype=np.int64)
            yield np.arange(len(self._open)), zeros, self._when
            return
        parts = max(1, math.ceil(len(self._table) * self._copies / WINDOW_ROWS))
        edges = np.linspace(0.0, period, parts + 1)
        cycle = 0
        while cycle * period < self._duration_s and (self._loop or cycle == 0):
            for low, high in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
                if cycle * period + low >= self._duration_s:
                    return
                yield self._window(cycle, low, high, last=high == period)
            cycle += 1

    def _window(
        self, cycle: int, low: float, high: float, *, last: bool
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
        """Open requests of every copy whose place in the period is in [low, high)."""
        period = self._table.period_s
        found, places, passes = [], [], []
        for copy, offset in enumerate(self._offsets.tolist()):
            number = cycle * self._copies + copy
            for shift in (offset, offset - period) if offset else (0.0,):
                first, stop = np.searchsorted(self._when, [low - shift, high - shift])
                if last and not offset:  # rounding may put the last one on the edge
                    stop = len(self._when)
                index = np.arange(first, stop)
                if copy == self._copies - 1 and self._fraction < 1.0:
                    keys = number * len(self._open) + index
                    index = index[self._keyed.uniform_array(keys) < self._fraction]
                found.append(index)
                places.append(self._when[index] + shift)
                passes.append(np.full(len(index), number, dtype=np.int64))
        where = np.concatenate(places)
        order = np.argsort(where, kind="stable")
        arrival = where[order] + cycle * period
        return np.concatenate(found)[order], np.concatenate(passes)[order], arrival

    def _with_followers(
        self,
        roots_of: NDArray[np.int64],
        passes: NDArray[np.int64],
        when: NDArray[np.float64],
        placed: int,
    ) -> Picked:
        """Each open request with its whole conversation behind it."""
        heads = self._open[roots_of]
        if not self._follows:
            return Picked(heads, passes, when, np.full(len(heads), OPEN, dtype=np.int64))
        sizes = self._sizes[roots_of]
        rows = ranges(heads, sizes)
        starts = placed + np.cumsum(sizes) - sizes
        back = self._table.after_request[rows]
        after = np.where(back == OPEN, OPEN, back - np.repeat(heads - starts, sizes))
        arrival = np.where(back == OPEN, np.repeat(when, sizes), np.nan)
        return Picked(rows, np.repeat(passes, sizes), arrival, after)


def prefixes(
    table: TraceTable, rows: NDArray[np.int64], passes: NDArray[np.int64]
) -> tuple[NDArray[np.int64] | None, NDArray[np.int64] | None]:
    """CSR of prefix ids for picked rows, the ids of each pass apart from those of every other."""
    ptr, ids = csr_take(table.prefix_ptr, table.prefix_ids, rows)
    if ptr is None or ids is None or not len(ids):
        return ptr, ids
    assert table.prefix_ids is not None  # else the ids taken from it were None
    stride = int(table.prefix_ids.max()) + 1
    return ptr, ids + np.repeat(passes * stride, np.diff(ptr))


def sessions(
    table: TraceTable, rows: NDArray[np.int64], passes: NDArray[np.int64]
) -> NDArray[np.int64] | None:
    """[n] the sessions of picked rows, those of each pass apart; None where none is known."""
    if table.session is None:
        return None
    mine, stride = table.session[rows], int(table.session.max()) + 1
    return np.where(mine == NO_SESSION, NO_SESSION, mine + passes * stride)
