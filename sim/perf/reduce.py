"""Reduces the operator sum of a stage to the piecewise linear form of ``StepCost``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from sim.perf.calibration import overheads
from sim.perf.gemm import Floats
from sim.perf.operators import HALF
from sim.perf.step import StepCost
from sim.perf.timing import Stage

#: Relative error allowed between the grid points of g, against the operator sum.
GRID_TOLERANCE = 0.004
#: Candidate grid points per octave of the token count.
POINTS_PER_OCTAVE = 64


def step_costs(
    stages: Sequence[Stage],
    fitted: int,
    pipeline_parallel: int,
    window: int,
    max_sequences: int,
    max_batch_tokens: int,
    stage_bytes_per_s: float,
) -> tuple[StepCost, ...]:
    """The operator sum of a stage at each clock, highest first, as costs of the whole replica.

    All share one grid, so that a lower clock is never faster between grid points either: the
    points that the highest and the lowest of the first ``fitted`` clocks need. What is below them
    (the brake's clock) is interpolated between these, too, and moves no time at any other clock.
    """
    high, low = (
        token_grid(partial(batch_s, stage, pipeline_parallel, stage_bytes_per_s), max_batch_tokens)
        for stage in (stages[0], stages[fitted - 1])
    )
    grid = np.union1d(high, low)
    return tuple(
        step_cost(stage, pipeline_parallel, window, max_sequences, grid, stage_bytes_per_s)
        for stage in stages
    )


def step_cost(
    stage: Stage,
    pipeline_parallel: int,
    window: int,
    max_sequences: int,
    grid: Floats,
    stage_bytes_per_s: float,
) -> StepCost:
    """One clock's cost on the token counts ``grid`` (ascending from 1).

    The head runs on decoding sequences only: its time is the chord between one sequence and
    ``max_sequences`` of them, exact at both ends. No iteration has fewer tokens than one, so g is
    flat from 0 to 1.
    """
    pp = pipeline_parallel
    rows = np.array([1.0, max(1.0, max_sequences / pp)])
    first, last = stage.head_s(rows)
    slope = float((last - first) / (rows[1] - rows[0])) if rows[1] > rows[0] else 0.0
    values = [float(value) for value in batch_s(stage, pp, stage_bytes_per_s, grid)]
    return StepCost(
        fixed_s=pp * (stage.fixed_s() + float(first) - slope),
        grid_tokens=(0, *(int(tokens) for tokens in grid)),
        grid_s=(values[0], *values),
        per_decode_s=overheads().sequence_s + slope,
        per_kv_token_s=stage.kv_token_s(stage.shard.full),
        per_windowed_kv_token_s=stage.kv_token_s(stage.shard.windowed),
        per_prefill_pair_s=stage.pair_s(stage.shard.full) / 2,
        per_windowed_prefill_pair_s=stage.pair_s(stage.shard.windowed) / 2,
        window=window,
    )


def batch_s(
    stage: Stage, pipeline_parallel: int, stage_bytes_per_s: float, tokens: Floats
) -> Floats:
    """[n] seconds of g: pp passes of a micro-batch, and the transfers between the stages."""
    pp = pipeline_parallel
    share = np.maximum(tokens / pp, 1.0)
    total = pp * stage.tokens_s(share)
    if pp > 1:
        size = share * stage.shard.hidden * HALF
        total = total + (pp - 1) * (overheads().stage_hop_s + size / stage_bytes_per_s)
    return total


def token_grid(g: Callable[[Floats], Floats], most: int) -> Floats:
    """Token counts from 1 to ``most``, few but so that linear interpolation is close to ``g``.

    Splits each interval at its worst candidate until none inside it is off by more than
    ``GRID_TOLERANCE``.
    """
    octaves = np.log2(most)
    fine = 2.0 ** np.linspace(0, octaves, int(POINTS_PER_OCTAVE * octaves) + 2)
    candidates = np.unique(np.append(np.rint(fine), most))
    exact = g(candidates)
    kept = {0, len(candidates) - 1}
    waiting = [(0, len(candidates) - 1)]
    while waiting:
        low, high = waiting.pop()
        inside = np.arange(low + 1, high)
        if not len(inside):
            continue
        ends = [low, high]
        line = np.interp(candidates[inside], candidates[ends], exact[ends])
        off = np.abs(line / exact[inside] - 1)
        if off.max() > GRID_TOLERANCE:
            middle = int(inside[off.argmax()])
            kept.add(middle)
            waiting += [(low, middle), (middle, high)]
    return candidates[sorted(kept)]
