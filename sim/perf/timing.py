"""Seconds of one pipeline stage on one rank: the operator sum behind a StepCost.

Each operator is a roofline per GPU of the tensor-parallel group (matrix products: ``gemm``).
Compute terms grow with 1/clock; memory terms are flat down to a knee of the clock, then grow too;
collectives and the engine's own overheads do not depend on the GPU's clock.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sim.catalog.types import Gpu
from sim.perf.calibration import (
    all_reduce,
    attention_constants,
    device,
    expert_constants,
    gemm_constants,
    overheads,
)
from sim.perf.collectives.timing import Between, time_collective
from sim.perf.gemm import Clock, Floats, gemm_s
from sim.perf.operators import HALF, Attention, Experts, Product, Shard

#: Of the hidden state in each layer: behind the attention, and behind the MLP or the experts.
ALL_REDUCES = 2


@dataclass(frozen=True)
class Stage:
    """A shard on its GPU at a clock; every method is one term of the iteration.

    The group's ranks are in ``domains`` NVLink domains, equally many in each, which ``between``
    joins if they are several.
    """

    shard: Shard
    gpu: Gpu
    tensor_parallel: int
    clock: Clock
    domains: int = 1
    between: Between | None = None

    def fixed_s(self) -> float:
        """Overheads of one pass, whatever its size."""
        over = overheads()
        experts = self.shard.experts.layers if self.shard.experts else 0.0
        return over.iteration_s + over.layer_s * self.shard.layers + over.moe_layer_s * experts

    def tokens_s(self, tokens: Floats) -> Floats:
        """[n] seconds of what depends on tokens: products, experts, traffic, all-reduces."""
        total = self.elementwise_s(tokens) + self.all_reduce_s(tokens)
        for product in self.shard.products:
            total = total + product.layers * self.product_s(product, tokens)
        if self.shard.experts:
            total = total + self.shard.experts.layers * self.experts_s(self.shard.experts, tokens)
        return total

    def product_s(self, product: Product, tokens: Floats) -> Floats:
        """[n] seconds of one product of one layer."""
        kind = product.arithmetic
        return gemm_s(
            tokens,
            product.n,
            product.k,
            gemm_constants(self.gpu.name, kind.precision).serving(),
            device(self.gpu, kind.precision),
            weight_bytes=kind.weight_bytes,
            activation_bytes=kind.activation_bytes,
            clock=self.clock,
        )

    def experts_s(self, experts: Experts, tokens: Floats) -> Floats:
        """[n] seconds of one layer's experts: bytes of the hit ones, FLOPs of all choices."""
        c = expert_constants(self.gpu.name)
        hit = hit_experts(experts, tokens)
        weights = hit * experts.bytes_each
        flops = 6.0 * tokens * experts.per_token * experts.hidden * experts.ffn
        peak = self.gpu.peak_flops[experts.arithmetic.precision]
        memory = weights / (c.bandwidth * self.gpu.memory_bandwidth_bytes_per_s)
        compute = flops / (c.compute * peak)
        joined: Floats = (
            (compute * self.clock.compute) ** c.norm + (memory * self.clock.memory) ** c.norm
        ) ** (1 / c.norm)
        return joined

    def elementwise_s(self, tokens: Floats) -> Floats:
        """[n] seconds of norms, residuals, rotations, activations: HBM traffic over all layers."""
        over = overheads()
        passes = over.activation_passes * self.shard.hidden + over.inner_passes * self.shard.inner
        traffic = tokens * passes * HALF * self.shard.layers
        return traffic / self.gpu.memory_bandwidth_bytes_per_s * self.clock.memory

    def all_reduce_s(self, tokens: Floats) -> Floats:
        """[n] seconds of two all-reduces of the hidden state per layer.

        Inside a domain the engine's own kernels, between domains NCCL's: what engines use there.
        """
        if self.tensor_parallel == 1:
            return np.zeros_like(tokens)
        size = tokens * self.shard.hidden * HALF
        if self.domains > 1:
            between = np.array([self._between_s(one) for one in size.tolist()])
            return ALL_REDUCES * self.shard.layers * between
        c = all_reduce(self.gpu.link)
        at = np.log2(self.tensor_parallel)
        grid = np.log2(c.ranks)
        start, per_byte, root = (
            _along(at, grid, np.asarray(values))
            for values in (c.start_s, c.s_per_byte, c.s_per_sqrt_byte)
        )
        per_byte *= c.link_bytes_per_s / self.gpu.link_bytes_per_s
        each = start + size * per_byte + root * np.sqrt(size)
        total: Floats = ALL_REDUCES * self.shard.layers * each
        return total

    def _between_s(self, size_bytes: float) -> float:
        """Seconds of one all-reduce over all domains."""
        return time_collective(
            "all-reduce", size_bytes, self.gpu.name, self.tensor_parallel,
            domains=self.domains, between=self.between,
        ).time_s  # fmt: skip

    def head_s(self, rows: Floats) -> Floats:
        """[n] seconds of the LM head over ``rows`` sequences."""
        return self.product_s(self.shard.head, rows)

    def kv_token_s(self, attention: Attention) -> float:
        """Seconds per context token that a decode step reads, over the attention's layers."""
        c = attention_constants(self.gpu.name)
        bandwidth = c.decode_bandwidth * self.gpu.memory_bandwidth_bytes_per_s
        memory = attention.kv_bytes / bandwidth * self.clock.memory
        peak = c.decode_compute * self.gpu.peak_flops["bf16"]
        compute = attention.decode_flops / peak * self.clock.compute
        return attention.layers * max(memory, compute)

    def pair_s(self, attention: Attention) -> float:
        """Seconds per query-key pair of prefill, over the attention's layers."""
        c = attention_constants(self.gpu.name)
        share = c.prefill_compute_64 if attention.head_dim <= 64 else c.prefill_compute
        peak = share * self.gpu.peak_flops["bf16"]
        return attention.layers * attention.pair_flops / peak * self.clock.compute


def hit_experts(experts: Experts, tokens: Floats) -> Floats:
    """[n] expected experts of a layer that any of the tokens chooses, all equally likely."""
    miss = 1 - experts.per_token / experts.experts
    hit: Floats = experts.experts * (1 - miss**tokens)
    return hit


def _along(at: float, grid: Floats, values: Floats) -> float:
    """Linear in log2 of the group size; beyond the end with the last slope, never below 0."""
    if at <= grid[-1]:
        return float(np.interp(at, grid, values))
    slope = (values[-1] - values[-2]) / (grid[-1] - grid[-2])
    return float(max(0.0, values[-1] + slope * (at - grid[-1])))
