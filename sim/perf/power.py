"""Draw of one GPU while its replica works, from the traffic and the arithmetic of an iteration.

P/TDP = c0 + c_m·U_m^α + c_t·U_t^β + c_p·log10(pass/1 ms) − c_g·log2 G, then a soft cap at the
TDP. U_m is the share of memory bandwidth that useful bytes take (those of experts and of KV
weighted: expert kernels draw as if busy), U_t the share of the peak FLOP/s, G the GPUs of the
replica. ``pass`` is the time to read once the weights that an iteration reads: the longer, the
smaller the share of gaps between kernels and between iterations (below 1 ms, which no measured
run has, it counts as 1 ms). The constants are fitted to
steady decoding (``data/calibration/power.yaml``); for prefill the same form is an assumption.
Draw is never below the loaded idle draw.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sim.catalog.types import Gpu
from sim.perf.calibration import clock_curve, draw_constants
from sim.perf.constants import DrawConstants
from sim.perf.gemm import Floats
from sim.perf.operators import Arithmetic, Shard
from sim.perf.step import StepCost, StepPower
from sim.perf.timing import hit_experts


@dataclass(frozen=True)
class Use:
    """What one GPU does in iterations, each [n]: shares of its limits, and the weights' pass.

    Attributes:
        dense: bytes of weights that every token uses, over the bandwidth's bytes in that time.
        experts: the same of the experts that are hit.
        kv: the same of KV.
        tensor: seconds that its FLOPs take at the peak of their precisions, over the seconds.
        pass_s: seconds to read once, at full bandwidth, the weights that are hit.
        gpus: GPUs of the replica.
        few_bits: whether experts have 8 bits or fewer.
    """

    dense: Floats
    experts: Floats
    kv: Floats
    tensor: Floats
    pass_s: Floats
    gpus: Floats
    few_bits: NDArray[np.bool_]


def share_of_tdp(c: DrawConstants, use: Use, idle_share: Floats | float) -> Floats:
    """[n] draw over the TDP at the maximum clock, from the loaded idle draw's share up to 1."""
    experts = np.where(use.few_bits, c.experts_8bit, c.experts) * use.experts
    share = (
        c.base
        + c.memory * (use.dense + c.kv * use.kv + experts) ** c.memory_power
        + c.tensor * use.tensor**c.tensor_power
        + c.weight_pass * np.log10(np.maximum(use.pass_s / c.pass_s, 1.0))
        - c.group * np.log2(use.gpus)
    )
    capped: Floats = (np.maximum(share, idle_share) ** -c.cap_norm + 1.0) ** (-1 / c.cap_norm)
    return np.maximum(capped, idle_share)


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
        """[max_sequences] watts of 1, 2, … decoding sequences, 0.75·2^octave tokens each.

        Never less than a smaller batch draws: where time goes to the engine's work per sequence,
        the form would let the draw fall.
        """
        watts: Floats = np.maximum.accumulate(self.watts(self.decode_use(cost, octave)))
        return watts

    def decode_use(self, cost: StepCost, octave: int) -> Use:
        """[max_sequences] what they use."""
        decodes = np.arange(1, self.max_sequences + 1, dtype=np.float64)
        context = 0.75 * 2.0**octave
        windowed = min(context, self.window) if self.window else 0.0
        seconds = (
            cost.fixed_s
            + np.interp(decodes, cost.grid_tokens, cost.grid_s)
            + cost.per_decode_s * decodes
            + cost.per_kv_token_s * decodes * context
            + cost.per_windowed_kv_token_s * decodes * windowed
        )
        return self.step_use(decodes, context, 0.0, seconds)

    def prefill_w(self, cost: StepCost, tokens: Floats) -> Floats:
        """[n] watts of a chunk of each size at the start of its prompt."""
        return self.watts(self.prefill_use(cost, tokens))

    def prefill_use(self, cost: StepCost, tokens: Floats) -> Use:
        """[n] what they use."""
        seconds = cost.fixed_s + np.interp(tokens, cost.grid_tokens, cost.grid_s)
        seconds = seconds + cost.per_prefill_pair_s * tokens**2
        seconds = seconds + cost.per_windowed_prefill_pair_s * tokens * np.minimum(
            tokens, 2 * self.window
        )
        full = self.shard.full
        attention = full.pair_flops * full.layers * tokens**2 / 2
        kv = tokens * full.kv_bytes * full.layers
        return self._use(tokens, np.ones_like(tokens), kv, attention, seconds)

    def step_use(self, decodes: Floats, context: float, prefilled: float, seconds: Floats) -> Use:
        """[n] what decode iterations of known seconds use.

        ``context`` is the tokens of every sequence; ``prefilled`` the prompt tokens that an
        iteration computes besides, on average: measured steps have their share of prefill.
        """
        full, window = self.shard.full, self.shard.windowed
        windowed = min(context, self.window) if self.window else 0.0
        kv = context * full.kv_bytes * full.layers + windowed * window.kv_bytes * window.layers
        attention = context * full.decode_flops * full.layers
        attention += windowed * window.decode_flops * window.layers
        use = self._use(decodes, decodes, decodes * kv, decodes * attention, seconds)
        tensor_s = self._tensor_s(decodes + prefilled, decodes, decodes * attention)
        return replace(use, tensor=tensor_s / seconds)

    def _use(
        self, tokens: Floats, rows: Floats, kv: Floats, attention: Floats, seconds: Floats
    ) -> Use:
        """One iteration of the replica as one GPU sees it.

        A GPU works on every micro-batch in turn, so it reads its weights once for each. Of data-
        parallel attention it has its group's share.
        """
        passes = self.pipeline_parallel
        shard = self.shard
        kv = kv / shard.groups
        dense = np.full_like(tokens, sum(p.bytes for p in shard.products) + shard.head.bytes)
        experts = np.zeros_like(tokens)
        few_bits = False
        if shard.experts:
            e = shard.experts
            experts = hit_experts(e, np.maximum(tokens / passes, 1.0)) * e.bytes_each * e.layers
            few_bits = e.arithmetic.weight_bytes <= 1
        bandwidth = self.gpu.memory_bandwidth_bytes_per_s
        return Use(
            dense=passes * dense / (seconds * bandwidth),
            experts=passes * experts / (seconds * bandwidth),
            kv=kv / (seconds * bandwidth),
            tensor=self._tensor_s(tokens, rows, attention) / seconds,
            pass_s=(dense + experts) / bandwidth,
            gpus=np.full_like(tokens, self.gpus),
            few_bits=np.full(tokens.shape, few_bits),
        )

    def _tensor_s(self, tokens: Floats, rows: Floats, attention: Floats) -> Floats:
        """[n] seconds of the FLOPs of one iteration at peak."""
        shard = self.shard
        products = sum(p.n * p.k * p.layers / self._peak(p.arithmetic) for p in shard.products)
        head = 2.0 * shard.head.n * shard.head.k * rows / self._peak(shard.head.arithmetic)
        seconds: Floats = 2.0 * products * tokens + head + attention / self.gpu.peak_flops["bf16"]
        seconds = seconds / shard.groups
        if shard.experts:
            e = shard.experts
            flops = 6.0 * tokens * e.per_token * e.hidden * e.ffn * e.layers / e.parallel
            seconds = seconds + flops / self._peak(e.arithmetic)
        return seconds

    def _peak(self, arithmetic: Arithmetic) -> float:
        """FLOP/s; 4-bit products count as bf16 ones: so they were measured (MXFP4 weights)."""
        name = "bf16" if arithmetic.precision == "fp4" else arithmetic.precision
        return self.gpu.peak_flops[name]

    def watts(self, use: Use) -> Floats:
        """[n] watts at the maximum clock, between the loaded idle draw and the TDP."""
        idle_share = self.gpu.loaded_idle_w / self.gpu.tdp_w
        return share_of_tdp(draw_constants(self.gpu.name), use, idle_share) * self.gpu.tdp_w

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
