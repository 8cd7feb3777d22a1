"""Reduces an estimator of whole iterations to ``StepCost``, and says how much that loses.

The estimator is asked for the times of designed batches (decoding, prefill, both at once), to which
the form of ``StepCost`` is fitted: least squares of relative errors, no coefficient negative, each
kind of batch of equal weight. Batches that the fit never saw then tell how close it came.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Protocol

import numpy as np

from sim.errors import RackplanError
from sim.perf.gemm import Floats
from sim.perf.step import Batch, Reduction, StepCost, windowed_pairs

#: Points of the designed batches per octave of chunk and of sequences; steps of context.
CHUNKS_PER_OCTAVE, SEQUENCES_PER_OCTAVE, CONTEXT_STEP = 8, 2, 4
#: Grid points of g per octave, from so many tokens on; one below.
GRID_PER_OCTAVE, GRID_FROM = 4, 16
#: Least context of a designed batch, and contexts before a chunk.
LEAST_CONTEXT, PASTS = 32, (0, 1024, 8192, 32768)
#: Batches of each kind that are kept out of the fit.
HELD_OUT = 30
#: Points looked at for them, most of which a small replica may not have room for.
TRIES = 4000
LEAST_CHUNK = 16


@dataclass(frozen=True)
class Work:
    """One iteration: ``sequences`` decode at ``context`` tokens each, ``prompts`` have a chunk.

    ``past``: tokens of each prompt before its chunk.
    """

    sequences: int = 0
    context: int = 0
    prompts: int = 0
    chunk: int = 0
    past: int = 0

    @property
    def kind(self) -> int:
        """0: decoding, 1: prefill, 2: both."""
        return 2 if self.sequences and self.prompts else int(self.sequences == 0)

    def batch(self, window: int, groups: int) -> Batch:
        """The same in the terms of ``StepCost``, once in each of the groups."""
        window_or_all = window or self.context + 1
        pairs = self.chunk * (2 * self.past + self.chunk)
        inside = windowed_pairs(self.past, self.chunk, window) if window else 0
        return Batch(
            tokens=groups * (self.sequences + self.prompts * self.chunk),
            decodes=groups * self.sequences,
            kv_tokens=groups * self.sequences * (self.context + 1),
            windowed_kv_tokens=groups * self.sequences * min(self.context + 1, window_or_all),
            prefill_pairs=groups * self.prompts * pairs,
            windowed_prefill_pairs=groups * self.prompts * inside,
        )


class Estimator(Protocol):
    """Whatever can tell how long an iteration of one group takes."""

    @property
    def name(self) -> str:
        """What it is, with its version."""

    def iteration_s(self, work: Work) -> float:
        """Seconds at the highest clock."""


@dataclass(frozen=True)
class Limits:
    """What batches of one group may be: those of the replica over its groups."""

    sequences: int
    batch_tokens: int
    context: int  # tokens of one sequence
    kv_tokens: int  # of all
    window: int  # 0: no layers with a sliding window
    groups: int

    @property
    def longest(self) -> int:
        """Context of a sequence for which there is room."""
        return max(1, min(self.context, self.kv_tokens - 1))


def reduce(estimator: Estimator, limits: Limits) -> tuple[StepCost, Reduction]:
    """The cost that is nearest to the estimator's times, and its errors on held-out batches.

    Raises:
        RackplanError: the estimator has a time that is none, or too few batches have room.
    """
    cost = _fit(list(designed(limits)), estimator, limits)
    off = []
    for work in held_out(limits):
        second = _time(estimator, work)
        off.append(abs(cost.iteration_s(work.batch(limits.window, limits.groups)) / second - 1.0))
    if not off:
        raise RackplanError(
            f"room for {limits.kv_tokens} tokens of KV is too little to compare step times on"
        )
    median, high = np.percentile(off, (50, 90))
    return cost, Reduction(estimator.name, float(median), float(high), len(off))


def token_grid(most: int) -> tuple[int, ...]:
    """Ascending token counts of one group, from 1 to ``most``, between which time is linear."""
    octaves = int(np.log2(max(most, 2)))
    points = {1, most}
    for octave in range(octaves + 1):
        low = 2**octave
        points.add(low)
        if low >= GRID_FROM:
            points |= {round(low * 2 ** (i / GRID_PER_OCTAVE)) for i in range(GRID_PER_OCTAVE)}
    return tuple(sorted(point for point in points if point <= most))


def designed(limits: Limits) -> Iterator[Work]:
    """The batches of the fit, without those that no replica could hold."""
    sequences = _geometric(1, limits.sequences, SEQUENCES_PER_OCTAVE)
    least = min(LEAST_CONTEXT, limits.longest)
    contexts = _geometric(least, limits.longest, 1 / np.log2(CONTEXT_STEP))
    chunks = _geometric(1, limits.batch_tokens, CHUNKS_PER_OCTAVE)
    everything = [Work(*pair) for pair in product(sequences, contexts)]
    for prompts, chunk, past in product((1, 4), chunks, PASTS):
        everything.append(Work(0, 0, prompts, chunk, past))
    mixed = product(sequences[::2], contexts[::2], chunks[::CHUNKS_PER_OCTAVE], PASTS[::2])
    everything += [Work(count, length, 1, chunk, past) for count, length, chunk, past in mixed]
    return (work for work in everything if _possible(work, limits))


def held_out(limits: Limits) -> list[Work]:
    """Batches of each kind that are not designed, spread evenly over the logarithms of all sizes.

    They are points of a Halton sequence; a small replica has room for fewer.
    """
    found: dict[int, list[Work]] = {0: [], 1: [], 2: []}
    taken = set(designed(limits))
    least = min(LEAST_CONTEXT, limits.longest)
    chunk = min(LEAST_CHUNK, limits.batch_tokens)
    ranges = (
        (1, limits.sequences), (least, limits.longest), (chunk, limits.batch_tokens), (1, PASTS[-1])
    )  # fmt: skip
    for number in range(1, TRIES + 1):
        count, length, tokens, past = (
            round(low * (high / low) ** _radical_inverse(number, base))
            for (low, high), base in zip(ranges, (2, 3, 5, 7), strict=True)
        )
        for work in (
            Work(count, length), Work(0, 0, 1, tokens, past), Work(count, length, 1, tokens)
        ):  # fmt: skip
            room = len(found[work.kind]) < HELD_OUT and _possible(work, limits)
            if room and work not in taken:
                taken.add(work)
                found[work.kind].append(work)
        if all(len(some) == HELD_OUT for some in found.values()):
            break
    return [work for some in found.values() for work in some]


def _radical_inverse(number: int, base: int) -> float:
    """The number's digits mirrored at the point: the coordinate of a Halton sequence."""
    inverse, share = 0.0, 1.0 / base
    while number:
        number, digit = divmod(number, base)
        inverse += digit * share
        share /= base
    return inverse


def _geometric(low: int, high: int, per_octave: float) -> list[int]:
    """Whole numbers from ``low`` to ``high``, evenly spread in their logarithms."""
    steps = max(1, round(np.log2(max(high / low, 1.0)) * per_octave))
    return sorted({round(low * (high / low) ** (i / steps)) for i in range(steps + 1)})


def _possible(work: Work, limits: Limits) -> bool:
    tokens = work.sequences + work.prompts * work.chunk
    held = work.sequences * (work.context + 1) + work.prompts * (work.past + work.chunk)
    longest = max(work.context, work.past + work.chunk)
    return (
        tokens <= limits.batch_tokens
        and held <= limits.kv_tokens
        and longest <= limits.context
        and work.sequences + work.prompts <= limits.sequences + 1
    )


def _time(estimator: Estimator, work: Work) -> float:
    second = estimator.iteration_s(work)
    if not 0.0 < second < np.inf:
        raise RackplanError(f"the estimator says that {work} takes {second} s")
    return second


def _fit(works: Sequence[Work], estimator: Estimator, limits: Limits) -> StepCost:
    """Non-negative least squares of relative errors, each kind of batch of equal weight."""
    from scipy.optimize import nnls  # here: of all runs only those with an estimator need it

    # A group without any token runs along with those that have one: nothing is below one of each.
    grid = limits.groups * np.array(token_grid(limits.batch_tokens), dtype=float)
    times = np.array([_time(estimator, work) for work in works])
    batches = [work.batch(limits.window, limits.groups) for work in works]
    columns = _columns(batches, grid, windowed=limits.window > 0)
    kinds = np.array([work.kind for work in works])
    weights = (1.0 / np.sqrt(np.bincount(kinds, minlength=3).clip(1)))[kinds]
    scales = columns.max(axis=0).clip(1e-30)  # columns alike in size keep the solver exact
    rows = columns / scales * (weights / times)[:, None]
    found, _ = nnls(rows, weights, maxiter=100 * columns.shape[1])
    x = found / scales
    fixed, steps, rest = x[0], x[1 : len(grid)], x[len(grid) :].tolist()
    seconds = fixed + np.concatenate(([0.0], np.cumsum(steps)))
    return StepCost(
        fixed_s=0.0,  # all in g, which is flat up to its first point
        grid_tokens=(0, *map(int, grid)),
        grid_s=(float(seconds[0]), *seconds.tolist()),
        per_decode_s=rest[0],
        per_kv_token_s=rest[1],
        per_windowed_kv_token_s=rest[3] if limits.window else 0.0,
        per_prefill_pair_s=rest[2],
        per_windowed_prefill_pair_s=rest[4] if limits.window else 0.0,
        window=limits.window,
    )


def _columns(batches: Sequence[Batch], grid: Floats, *, windowed: bool) -> Floats:
    """[n, k] what each coefficient is multiplied by: 1, the steps of g, the linear terms.

    A step of g rises from 0 to 1 between two grid points, so g never falls.
    """
    tokens = np.array([batch.tokens for batch in batches], dtype=float)
    rises = (tokens[:, None] - grid[:-1]) / np.diff(grid)
    linear = [
        (batch.decodes, batch.kv_tokens, batch.prefill_pairs)
        + ((batch.windowed_kv_tokens, batch.windowed_prefill_pairs) if windowed else ())
        for batch in batches
    ]
    one = np.ones((len(batches), 1))
    return np.hstack([one, rises.clip(0.0, 1.0), np.array(linear, dtype=float)])
