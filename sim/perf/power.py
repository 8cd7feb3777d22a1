"""Draw of one GPU while its replica works, from the traffic and the arithmetic of an iteration.

P/TDP = c0 + c_m·U_m^α + c_t·U_t^β − c_g·log2 G, then a soft cap at the TDP: U_m is the share of
memory bandwidth that useful bytes take (expert bytes weighted: expert kernels draw as if busy),
U_t the share of the peak FLOP/s, G the GPUs of the replica. Fitted to steady decoding; for prefill
the same form is an assumption. Draw is never below the loaded idle draw.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim.catalog.types import Gpu
from sim.perf.calibration import clock_curve, draw_constants
from sim.perf.gemm import Floats
from sim.perf.operators import Shard
from sim.perf.step import StepCost, StepPower
from sim.perf.timing import hit_experts


@dataclass(frozen=True)
class Work:
    """What one GPU does in iterations: bytes it reads, FLOPs, and seconds, each [n]."""

    bytes: Floats
    flops: Floats
    seconds: Floats


@dataclass(frozen=True)
class Draw:
    """The draw model of one replica on one GPU type."""

    shard: Shard
    gpu: Gpu
    gpus: int
    pipeline_parallel: int
    max_sequences: int
    max_batch_tokens: int
    max_context: int
    window: int

    def table(self, cost: StepCost, clock_share: float) -> StepPower:
        """``StepPower`` at a clock, a share of the maximum; ``cost`` is that at the maximum."""
        idle = self.gpu.loaded_idle_w
        rows = [
            self._milliwatts(self.decode_w(cost, octave), clock_share, idle)
            for octave in range(self.max_context.bit_length() + 1)
        ]
        tokens = _octaves(self.max_batch_tokens)
        prefill = self._milliwatts(self.prefill_w(cost, tokens), clock_share, idle)
        return StepPower(
            idle_mw=round(1000 * idle),
            decode_mw=tuple((round(1000 * idle), *row) for row in rows),
            prefill_tokens=tuple(map(int, tokens)),
            prefill_mw=prefill,
        )

    def decode_w(self, cost: StepCost, octave: int) -> Floats:
        """[max_sequences] watts of 1, 2, … decoding sequences, 0.75·2^octave tokens each."""
        decodes = np.arange(1, self.max_sequences + 1, dtype=np.float64)
        context = 0.75 * 2.0**octave
        windowed = min(context, self.window) if self.window else 0.0
        full, window = self.shard.full, self.shard.windowed
        kv = context * full.kv_bytes * full.layers + windowed * window.kv_bytes * window.layers
        attention = context * full.decode_flops * full.layers
        attention += windowed * window.decode_flops * window.layers
        seconds = (
            cost.fixed_s
            + np.interp(decodes, cost.grid_tokens, cost.grid_s)
            + cost.per_decode_s * decodes
            + cost.per_kv_token_s * decodes * context
            + cost.per_windowed_kv_token_s * decodes * windowed
        )
        work = self._work(decodes, decodes, decodes * kv, decodes * attention, seconds)
        return self.watts(work)

    def prefill_w(self, cost: StepCost, tokens: Floats) -> Floats:
        """[n] watts of a chunk of each size at the start of its prompt."""
        seconds = cost.fixed_s + np.interp(tokens, cost.grid_tokens, cost.grid_s)
        seconds = seconds + cost.per_prefill_pair_s * tokens**2
        seconds = seconds + cost.per_windowed_prefill_pair_s * tokens * np.minimum(
            tokens, 2 * self.window
        )
        full = self.shard.full
        attention = full.pair_flops * full.layers * tokens**2 / 2
        kv = tokens * full.kv_bytes * full.layers
        work = self._work(tokens, np.ones_like(tokens), kv, attention, seconds)
        return self.watts(work)

    def _work(
        self, tokens: Floats, rows: Floats, kv: Floats, attention: Floats, seconds: Floats
    ) -> Work:
        """One iteration of the replica as one GPU sees it.

        A GPU works on every micro-batch in turn, so it reads its weights once for each.
        """
        passes = self.pipeline_parallel
        shard = self.shard
        dense = sum(p.bytes for p in shard.products) + shard.head.bytes
        flops = sum(2.0 * p.n * p.k * p.layers for p in shard.products) * tokens
        flops = flops + 2.0 * shard.head.n * shard.head.k * rows + attention
        weights = np.full_like(tokens, passes * dense)
        if shard.experts:
            e = shard.experts
            c = draw_constants(self.gpu.name)
            weight = c.experts if e.arithmetic.weight_bytes > 1 else c.experts_8bit
            hit = hit_experts(e, np.maximum(tokens / passes, 1.0))
            weights = weights + weight * passes * hit * e.bytes_each * e.layers
            flops = flops + 6.0 * tokens * e.per_token * e.hidden * e.ffn * e.layers
        return Work(weights + kv, flops, seconds)

    def watts(self, work: Work) -> Floats:
        """[n] watts at the maximum clock, between the loaded idle draw and the TDP."""
        c = draw_constants(self.gpu.name)
        last = self.shard.products[-1].arithmetic
        precision = self.shard.experts.arithmetic if self.shard.experts else last
        peak = self.gpu.peak_flops[precision.precision]
        memory = work.bytes / (work.seconds * self.gpu.memory_bandwidth_bytes_per_s)
        tensor = work.flops / (work.seconds * peak)
        share = (
            c.base
            + c.memory * memory**c.memory_power
            + c.tensor * tensor**c.tensor_power
            - c.group * np.log2(self.gpus)
        )
        floor = self.gpu.loaded_idle_w / self.gpu.tdp_w
        capped: Floats = (np.maximum(share, floor) ** -c.cap_norm + 1.0) ** (-1 / c.cap_norm)
        return np.maximum(capped, floor) * self.gpu.tdp_w

    def _milliwatts(self, watts: Floats, share: float, idle: float) -> tuple[int, ...]:
        dynamic = np.maximum(watts - idle, 0.0) * dynamic_share(share)
        return tuple(int(x) for x in np.rint(1000 * (idle + dynamic)))


def dynamic_share(share: float) -> float:
    """Dynamic draw at a share of the maximum clock: f·V(f)², V flat to its knee, then linear."""
    curve = clock_curve()
    rise = max(0.0, share - curve.voltage_knee) / (1 - curve.voltage_knee)
    voltage = curve.voltage_floor + (1 - curve.voltage_floor) * rise
    return share * voltage**2


def _octaves(most: int) -> NDArray[np.float64]:
    """1, 2, 4, … below ``most``, with the points half-way, and ``most`` itself."""
    points = {1, most}
    step = 1
    while step < most:
        points |= {step, min(most, step + step // 2)}
        step *= 2
    return np.array(sorted(points), dtype=np.float64)
