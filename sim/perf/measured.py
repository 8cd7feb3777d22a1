"""``measured_model``: a replica whose step times and draws were measured, not predicted.

At the highest clock the time of an iteration is one piecewise linear curve over its tokens: from
one sequence that decodes to the largest measured batch, on to the shortest measured prompt and
along the measured prompts. So a prompt shorter than any measured lies on the line between the two,
and a mixed iteration (a chunk of prefill beside decoding) takes what a prompt of all its tokens
takes; its draw is the mean of both phases by their time, as everywhere. Each token of context takes
the stated time more, and the draw of a batch shifts with its mean context as that of one sequence
does. Beyond the last prompt the curve goes on with its last slope, and draws stay. What a later
chunk of a prompt owes to the chunks before it is not counted.

At the share φ of the highest clock prefill takes 1/φ times as long and decoding
max(1 + κ(1/φ − 1), knee/φ) times; draw is idle + (draw − idle)·(m + (1 − m)·φ·v²), with m the
phase's memory share and v = v₀ + (1 − v₀)·φ.
"""

from __future__ import annotations

import numpy as np

from sim.catalog.measured import MeasuredSteps
from sim.catalog.types import Gpu, Llm
from sim.errors import RackplanError
from sim.perf.memory import does_not_fit
from sim.perf.operators import shard
from sim.perf.replica import clock_shares, tightest_memory
from sim.perf.step import Across, ReplicaModel, StepCost, StepPower


class NotMeasured(RackplanError):
    """A replica for which the table of measured steps says nothing."""


def measured_model(
    llm: Llm,
    gpu: Gpu,
    steps: MeasuredSteps,
    *,
    precision: str,
    kv_precision: str,
    max_sequences: int,
    max_batch_tokens: int,
    memory_utilisation: float,
    domains: int = 1,
) -> ReplicaModel:
    """A replica of ``llm`` on ``steps.tensor_parallel`` GPUs with the measured steps.

    The GPUs are in ``domains`` NVLink domains, equally many in each.
    Its memory is that of ``replica_model``: weights, reserves and KV blocks are counted.

    Raises:
        NotMeasured: another LLM, GPU or precision, or more sequences at a time than measured.
        DoesNotFit: weights and reserves leave no KV block.
    """
    for what, asked, measured in (
        ("LLM", llm.name, steps.llm), ("GPU", gpu.name, steps.gpu),
        ("precision", precision, steps.precision),
    ):  # fmt: skip
        if asked != measured:
            raise NotMeasured(f"{steps.name} is of {what} {measured}, not of {asked}")
    most = steps.decode_sequences[-1]
    if max_sequences > most:
        raise NotMeasured(
            f"{steps.name} has no decoding of more than {most} sequences at a time; the batching "
            f"policy allows {max_sequences}: write 'max_sequences: {most}' or less"
        )
    stage = shard(llm, gpu, precision, kv_precision, steps.tensor_parallel, llm.layers)
    memory = tightest_memory([stage], llm, gpu, max_sequences, max_batch_tokens, memory_utilisation)
    if memory.blocks < 1:
        raise does_not_fit(llm, precision, gpu, steps.tensor_parallel, memory)
    clocks = clock_levels(steps, gpu)
    shares = [hz / clocks[0] for hz in clocks]
    return ReplicaModel(
        gpu=gpu.name,
        gpus=steps.tensor_parallel,
        cost=tuple(step_cost(steps, share) for share in shares),
        power=tuple(step_power(steps, gpu.tdp_w, max_sequences, share) for share in shares),
        clocks_hz=clocks,
        kv_blocks=memory.blocks,
        memory=memory.parts(),
        across=Across(domains) if domains > 1 else None,
    )


def clock_levels(steps: MeasuredSteps, gpu: Gpu) -> tuple[float, ...]:
    """The table's own levels, else those of every GPU; the highest is the first."""
    return steps.clocks_hz or tuple(share * gpu.max_clock_hz for share in clock_shares(gpu))


def step_cost(steps: MeasuredSteps, share: float) -> StepCost:
    """The one curve of seconds over tokens at a share of the highest clock."""
    slower = max(1.0 + steps.decode_slowdown * (1.0 / share - 1.0), steps.decode_knee / share)
    context_s = steps.context_token_s
    decode = [
        slower * (second - sequences * steps.reference_context * context_s)
        for sequences, second in zip(steps.decode_sequences, steps.decode_s, strict=True)
    ]
    prefill = [second / share for second in steps.prefill_s]
    return StepCost(
        fixed_s=0.0,
        grid_tokens=(0, *steps.decode_sequences, *steps.prefill_tokens),
        grid_s=(decode[0], *decode, *prefill),  # no iteration has fewer tokens than one
        per_decode_s=0.0,
        per_kv_token_s=slower * context_s,
        per_windowed_kv_token_s=0.0,
        per_prefill_pair_s=0.0,
        per_windowed_prefill_pair_s=0.0,
        window=0,
    )


def step_power(steps: MeasuredSteps, tdp_w: float, max_sequences: int, share: float) -> StepPower:
    """The draw of one GPU at a share of the highest clock; linear between measured points.

    A row of decoding stands for contexts from 2^(i − 1) to 2^i tokens with 0.75·2^i.
    """
    voltage = steps.voltage_at_zero + (1.0 - steps.voltage_at_zero) * share
    dynamic = share * voltage * voltage

    def milliwatts(draw: float, memory_share: float) -> int:
        kept = memory_share + (1.0 - memory_share) * dynamic
        return round(1000.0 * tdp_w * (steps.idle + (draw - steps.idle) * kept))

    batches = np.arange(1, max_sequences + 1)
    decode = np.interp(batches, steps.decode_sequences, steps.decode_draw)
    idle_mw = round(1000.0 * tdp_w * steps.idle)
    rows = []
    for shift in _context_shifts(steps):
        row = np.maximum(decode + shift, steps.idle).tolist()
        rows.append((idle_mw, *(milliwatts(draw, steps.decode_memory_share) for draw in row)))
    prefill = (steps.prefill_draw[0], *steps.prefill_draw)
    return StepPower(
        idle_mw=idle_mw,
        decode_mw=tuple(rows),
        prefill_tokens=(1, *steps.prefill_tokens),
        prefill_mw=tuple(milliwatts(draw, steps.prefill_memory_share) for draw in prefill),
    )


def _context_shifts(steps: MeasuredSteps) -> list[float]:
    """What one sequence draws more at each octave of context than at the reference."""
    if not steps.context_tokens:
        return [0.0]
    octaves = range(steps.context_tokens[-1].bit_length() + 1)
    contexts = [steps.reference_context, *(0.75 * 2.0**octave for octave in octaves)]
    draws = np.interp(contexts, steps.context_tokens, steps.context_draw)
    return [float(draw - draws[0]) for draw in draws[1:]]
