"""Synthetic and closed sources in plain NumPy, one generator a copy: what the compiled ones equal.

Written to be obviously right; some ten times slower.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count

import numpy as np
from numpy.typing import NDArray

from sim.rng import KeyedBits, generator
from sim.workload.arrivals import epochs, gamma_gaps
from sim.workload.fitted import FittedSource, fitted_source
from sim.workload.lengths import LengthTable
from sim.workload.plan import Workload
from sim.workload.segments import State, table_mean
from sim.workload.types import OPEN

Floats = NDArray[np.float64]
Columns = dict[str, NDArray[np.generic]]
BATCH = 65_536


class Segments:
    """Segments of a rate, a block of durations and multiples at a time."""

    def __init__(self, blocks: Iterator[tuple[Floats, Floats]], start_s: float) -> None:
        self._blocks, self._end_s = blocks, start_s
        self._starts, self._multiples = np.empty(0), np.empty(0)

    def between(self, start_s: float, end_s: float) -> tuple[Floats, Floats]:
        """Starts and multiples of the segments that cover [start, end); the first starts there."""
        while self._end_s < end_s:
            durations, multiples = next(self._blocks)
            ends = self._end_s + np.cumsum(durations)
            self._starts = np.concatenate([self._starts, [self._end_s], ends[:-1]])
            self._multiples = np.concatenate([self._multiples, multiples])
            self._end_s = float(ends[-1])
        first = int(np.searchsorted(self._starts, start_s, side="right")) - 1
        stop = int(np.searchsorted(self._starts, end_s, side="left"))
        starts = self._starts[first:stop].copy()
        starts[0] = start_s
        return starts, self._multiples[first:stop]


def one_copy(rng: np.random.Generator, states: tuple[State, ...], visits: int) -> Segments:
    """One copy of a fitted source."""

    def evenly(table: Floats) -> Floats:
        rank = (rng.permutation(np.arange(visits)) + rng.random(visits)) / visits
        return np.interp(rank, np.linspace(0.0, 1.0, len(table)), table)

    def blocks() -> Iterator[tuple[Floats, Floats]]:
        while True:
            durations = np.stack([evenly(state.duration_s) for state in states], axis=1)
            multiples = np.stack([evenly(state.rate_multiple) for state in states], axis=1)
            scale = durations.sum() / (durations * multiples).sum()
            yield durations.ravel(), multiples.ravel() * scale

    turn_s = sum(table_mean(state.duration_s) for state in states)
    return Segments(blocks(), -float(rng.random()) * turn_s * visits)


def on_off(rng: np.random.Generator, on_s: float, off_s: float) -> Segments:
    """Exponential sojourns, 128 drawn at a time."""
    high = 1.0 + off_s / on_s
    on_first = float(rng.random()) < 1.0 / high
    means, multiples = ([on_s, off_s], [high, 0.0]) if on_first else ([off_s, on_s], [0.0, high])

    def blocks() -> Iterator[tuple[Floats, Floats]]:
        while True:
            yield rng.standard_exponential(128) * np.array(means * 64), np.array(multiples * 64)

    return Segments(blocks(), 0.0)


def superposed(
    copies: list[Segments],
    own_per_s: float,
    rate_per_s: float,
    profile: tuple[tuple[float, float], ...],
) -> Iterator[tuple[Floats, Floats]]:
    """Edges and rates of each epoch."""
    for start, end, multiple in epochs(profile):
        wanted = rate_per_s * multiple / own_per_s
        times, changes = [np.empty(0)], [np.empty(0)]
        for position, copy in enumerate(copies):
            starts, multiples = copy.between(start, end)
            share = float(grid(np.asarray(min(max(wanted - position, 0.0), 1.0))))
            if share > 0.0:
                times.append(starts)
                changes.append(np.diff(grid(multiples), prepend=0.0) * share)
        when = np.concatenate(times)
        order = np.argsort(when, kind="stable")
        level = np.cumsum(np.concatenate(changes)[order])
        if not len(when):
            when, order, level = np.array([start]), np.array([0]), np.array([0.0])
        yield np.append(when[order], end), level * own_per_s


def grid(values: Floats) -> Floats:
    """Rounded to multiples of 2⁻¹⁸."""
    return np.rint(values * 2.0**18) * 2.0**-18


def times_of(
    rate: Iterator[tuple[Floats, Floats]], gaps: Callable[[int], Floats], duration_s: float
) -> Iterator[Floats]:
    """Arrivals below the duration, an array for each batch of gaps in each epoch."""
    last, pending = 0.0, np.empty(0)
    for edges, rates in rate:
        if edges[0] >= duration_s:
            return
        cumulative = np.concatenate([[0.0], np.cumsum(rates * np.diff(edges))])
        while True:
            if not len(pending):
                pending = last + np.cumsum(gaps(BATCH))
                last = float(pending[-1])
            inside = int(np.searchsorted(pending, cumulative[-1], side="left"))
            times = np.interp(pending[:inside], cumulative, edges)
            times = times[: int(np.searchsorted(times, duration_s, side="left"))]
            if len(times):
                yield times
            pending = pending[inside:]
            if len(pending):
                break
        pending = pending - cumulative[-1]
        last -= float(cumulative[-1])


@dataclass(frozen=True)
class Lengths:
    """Lengths of a table, by row."""

    table: LengthTable
    seed: int
    workload: str

    def draw(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Input and output tokens."""
        keyed = KeyedBits(self.seed, f"workload/{self.workload}/lengths")
        bins = self.table.joint.shape[0]
        counts = np.cumsum(self.table.joint.ravel()).astype(np.float64)
        cell = np.searchsorted(counts / counts[-1], keyed.uniform_array(2 * rows), side="right")
        word = keyed.bits_array(2 * rows + 1)
        high = (word >> np.uint64(32)).astype(np.float64) * 2.0**-32
        low = (word & np.uint64(0xFFFFFFFF)).astype(np.float64) * 2.0**-32
        ranks = (cell // bins + high) / bins, (cell % bins + low) / bins
        inputs, outputs = (
            np.floor(np.interp(rank, self.table.probabilities, tokens) + 0.5).astype(np.int64)
            for rank, tokens in zip(
                ranks, (self.table.input_tokens, self.table.output_tokens), strict=True
            )
        )
        return inputs, outputs


def source_chunks(workload: Workload, seed: int, duration_s: float) -> Iterator[Columns]:
    """The chunks of a workload with a fitted source's lengths."""
    assert workload.synthetic is not None
    source = fitted_source(workload.synthetic.lengths)
    lengths = Lengths(source.lengths, seed, workload.name)
    first = 0
    for times in _arrivals(workload, source, seed, duration_s):
        n = len(times)
        rows = np.arange(first, first + n)
        inputs, outputs = lengths.draw(rows)
        starts = np.isfinite(times)
        yield {
            "arrival_s": times,
            "input_tokens": inputs,
            "output_tokens": outputs,
            "priority": np.full(n, workload.priority),
            "after_request": np.where(starts, OPEN, rows - (workload.clients or 0)),
            "think_s": np.where(starts, 0.0, workload.think_s),
            "cancel_after_s": _cancels(workload, seed, rows),
        }
        first += n


def _arrivals(
    workload: Workload, source: FittedSource, seed: int, duration_s: float
) -> Iterator[Floats]:
    stream = f"workload/{workload.name}/arrivals"
    if workload.clients is not None:
        for first in count(0, BATCH):
            yield np.where(np.arange(first, first + BATCH) < workload.clients, 0.0, math.nan)
    assert workload.synthetic is not None
    how, profile = workload.synthetic.arrivals, workload.synthetic.profile
    rate_per_s = workload.rate_per_s or source.rate_per_s
    rng = generator(seed, stream)
    gaps = rng.standard_exponential
    if how["kind"] == "source":
        rate = _of_copies(source, rate_per_s, profile, seed, stream)
    elif how["kind"] == "on-off":
        segments = on_off(generator(seed, f"{stream}/0"), how["on_s"], how["off_s"])
        rate = _modulated(segments, rate_per_s, profile)
    else:
        rate = ((np.array([a, b]), np.array([rate_per_s * m])) for a, b, m in epochs(profile))
        if how["kind"] == "gamma":
            gaps = gamma_gaps(rng, how["cv"])
    yield from times_of(rate, gaps, duration_s)


def _of_copies(
    source: FittedSource,
    rate_per_s: float,
    profile: tuple[tuple[float, float], ...],
    seed: int,
    stream: str,
) -> Iterator[tuple[Floats, Floats]]:
    peak = max((multiple for _, multiple in profile), default=1.0)
    copies = [
        one_copy(generator(seed, f"{stream}/{copy}"), source.states, source.visits)
        for copy in range(max(1, math.ceil(rate_per_s * peak / source.rate_per_s)))
    ]
    return superposed(copies, source.rate_per_s, rate_per_s, profile)


def _modulated(
    segments: Segments, rate_per_s: float, profile: tuple[tuple[float, float], ...]
) -> Iterator[tuple[Floats, Floats]]:
    for start, end, multiple in epochs(profile):
        starts, multiples = segments.between(start, end)
        yield np.append(starts, end), multiples * (rate_per_s * multiple)


def _cancels(workload: Workload, seed: int, rows: NDArray[np.int64]) -> Floats:
    keyed = KeyedBits(seed, f"workload/{workload.name}/cancel")
    gives_up = keyed.uniform_array(rows) < workload.cancel_fraction
    return np.where(gives_up, workload.cancel_after_s, math.inf)
