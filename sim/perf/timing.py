"""Seconds of one pipeline stage on one rank: the operator sum behind a StepCost.

Matrix products, attention and experts are the fitted kernels (``gemm``, ``attention``,
``experts``) without their launches, which the engine's overheads have. Compute terms grow with
1/clock; memory terms are flat down to a knee of the clock, then grow too; collectives and the
engine's own overheads do not depend on the GPU's clock.

With data-parallel attention the batch is spread evenly over the groups: each works on its share
of tokens, sequences and KV, all on the experts. So a lone prompt comes out up to as many times too
fast as there are groups: the steady state of many requests is what is modelled.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from sim.catalog.types import Gpu
from sim.perf.attention import TILE, Heads, tile_s
from sim.perf.calibration import device, gemm_constants, gemm_dtype, overheads
from sim.perf.collectives.timing import Between, time_collective
from sim.perf.experts import Layer, experts_s, load
from sim.perf.gemm import Clock, Floats, gemm_s
from sim.perf.layer_constants import (
    all_reduce_s,
    chip,
    decode_compute,
    decode_constants,
    expert_constants,
    prefill_constants,
)
from sim.perf.linear import DecodeTerms, decode_terms
from sim.perf.operators import HALF, Arithmetic, Attention, Experts, Product, Shard
from sim.perf.own import OwnConstants

#: Of the hidden state in each layer: behind the attention, and behind the MLP or the experts.
ALL_REDUCES = 2


@dataclass(frozen=True)
class Stage:
    """A shard on its GPU at a clock; every method is one term of the iteration.

    The group's ranks are in ``domains`` NVLink domains, equally many in each, which ``between``
    joins if they are several. ``most_sequences`` and ``most_context`` bound the batches that the
    linear terms of decode attention are fitted to. ``own``: constants of products of this GPU in
    place of the shipped ones.
    """

    shard: Shard
    gpu: Gpu
    tensor_parallel: int
    clock: Clock
    domains: int = 1
    between: Between | None = None
    kv_precision: str = "bf16"
    most_sequences: int = 256
    most_context: int = 131072
    own: OwnConstants | None = None

    @property
    def groups(self) -> int:
        """Groups of data-parallel attention."""
        return self.shard.groups

    @property
    def split(self) -> int:
        """GPUs of one group."""
        return self.tensor_parallel // self.groups

    def fixed_s(self) -> float:
        """Overheads of one pass, whatever its size."""
        over = overheads()
        experts = self.shard.experts.layers if self.shard.experts else 0.0
        launches = over.quantise_s * self.shard.quantised_products
        layers = over.layer_s * self.shard.layers + over.moe_layer_s * experts
        return over.iteration_s + layers + launches

    def tokens_s(self, tokens: Floats) -> Floats:
        """[n] seconds of what depends on tokens: products, experts, traffic, communication."""
        mine = np.maximum(tokens / self.groups, 1.0)  # a group without any runs along
        total = self.elementwise_s(mine) + self.communication_s(tokens) + self.rows_s() * mine
        for product in self.shard.products:
            total = total + product.layers * self.product_s(product, mine)
        if self.shard.experts:
            total = total + self.shard.experts.layers * self.experts_s(self.shard.experts, tokens)
        return total

    def product_s(self, product: Product, tokens: Floats) -> Floats:
        """[n] seconds of one product of one layer."""
        kind = product.arithmetic
        dtype = gemm_dtype(self.gpu.name, kind.precision, kind.block_scaled)
        constants = self.own and self.own.gemm.get(dtype)
        return gemm_s(
            tokens,
            product.n,
            product.k,
            (constants or gemm_constants(self.gpu.name, dtype)).serving(),
            device(self.gpu, kind.precision, dtype),
            weight_bytes=kind.weight_bytes,
            activation_bytes=kind.activation_bytes,
            clock=self.clock,
        )

    def experts_s(self, experts: Experts, tokens: Floats) -> Floats:
        """[n] seconds of one layer's experts on the hottest rank."""
        c = expert_constants(self.gpu.name, expert_kernel(experts.arithmetic))
        return experts_s(
            tokens,
            expert_layer(experts),
            experts.routing,
            replace(c, launch_s=0.0),
            self.gpu.peak_flops[experts.arithmetic.precision],
            self.gpu.memory_bandwidth_bytes_per_s,
            self.clock,
        )

    def elementwise_s(self, tokens: Floats) -> Floats:
        """[n] seconds of norms, residuals, rotations, activations: HBM traffic over all layers."""
        over = overheads()
        passes = over.activation_passes * self.shard.hidden + over.inner_passes * self.shard.inner
        traffic = tokens * passes * HALF * self.shard.layers
        return traffic / self.gpu.memory_bandwidth_bytes_per_s * self.clock.memory

    def communication_s(self, tokens: Floats) -> Floats:
        """[n] seconds of what the ranks exchange in all layers.

        Two all-reduces of the hidden state per layer among the GPUs of a group. Where groups have
        tokens of their own, those of the experts' layers go to the experts and back instead.
        """
        shard = self.shard
        if self.groups == 1:
            return ALL_REDUCES * shard.layers * self.all_reduce_s(tokens, self.tensor_parallel)
        experts = shard.experts
        assert experts is not None  # groups share nothing else
        mine = np.maximum(tokens / self.groups, 1.0)
        inside = ALL_REDUCES * shard.layers - experts.layers
        total = experts.layers * self.exchange_s(experts, tokens)
        return total + inside * self.all_reduce_s(mine, self.split)

    def exchange_s(self, experts: Experts, tokens: Floats) -> Floats:
        """[n] seconds of one layer's dispatch of tokens to experts and the way back.

        Each GPU sends its share of the tokens, in 2 bytes, to every part of the ranks that it may
        need; without expert parallelism all GPUs need all tokens, and an all-gather and a
        reduce-scatter move what an all-reduce does.
        """
        if experts.parallel == 1:
            return self.all_reduce_s(tokens, self.tensor_parallel)
        copies = min(experts.per_token, experts.parallel)
        copies *= self.tensor_parallel // experts.parallel
        size = np.maximum(tokens / self.tensor_parallel, 1.0) * copies * experts.hidden * HALF
        each = [
            time_collective("all-to-all", one, self.gpu.name, self.tensor_parallel).time_s
            for one in size.tolist()
        ]
        return 2 * np.array(each)

    def all_reduce_s(self, tokens: Floats, ranks: int) -> Floats:
        """[n] seconds of one all-reduce of the hidden state among ``ranks`` GPUs.

        Inside a domain the engine's own kernels, between domains NCCL's: what engines use there.
        """
        if ranks == 1:
            return np.zeros_like(tokens)
        size = tokens * self.shard.hidden * HALF
        if self.domains > 1:
            return np.array([self._between_s(one) for one in size.tolist()])
        each: Floats = all_reduce_s(self.gpu, ranks, size)
        return each

    def _between_s(self, size_bytes: float) -> float:
        """Seconds of one all-reduce over all domains."""
        return time_collective(
            "all-reduce", size_bytes, self.gpu.name, self.tensor_parallel,
            domains=self.domains, between=self.between,
        ).time_s  # fmt: skip

    def head_s(self, rows: Floats) -> Floats:
        """[n] seconds of the LM head over ``rows`` sequences."""
        return self.product_s(self.shard.head, rows)

    def decode_terms(self, attention: Attention, window: int = 0) -> DecodeTerms:
        """Decode attention of a group as linear terms, over the attention's layers.

        Over a latent (MLA) the roofline of its bytes and products: no kernel was measured.
        """
        if not attention.layers:
            return DecodeTerms(0.0, 0.0, 0.0)
        bandwidth = self.gpu.memory_bandwidth_bytes_per_s
        single = attention.heads == attention.kv_heads or attention.heads > 32 * attention.kv_heads
        c = decode_constants(self.gpu.name, self.kv_precision, single=single)
        if attention.latent:
            memory = attention.kv_bytes / (c.bandwidth * bandwidth) * self.clock.memory
            peak = decode_compute() * self.gpu.peak_flops["bf16"]
            compute = attention.decode_flops / peak * self.clock.compute
            return DecodeTerms(0.0, 0.0, attention.layers * max(memory, compute))
        heads = Heads(attention.heads, attention.kv_heads, attention.head_dim)
        size = attention.kv_bytes / (2 * attention.kv_heads * attention.head_dim)
        room = self.gpu.memory_bytes / (attention.kv_bytes * attention.layers)
        terms = decode_terms(
            heads, size, c, chip(self.gpu), single=single,
            most_sequences=self.most_sequences, most_context=window or self.most_context,
            most_tokens=room,
        )  # fmt: skip
        return terms.scaled(attention.layers, self.clock)

    def pair_s(self, attention: Attention) -> float:
        """Seconds per query-key pair of prefill of a group, over the attention's layers."""
        return attention.layers * attention.heads * self._tile_s(attention) / TILE**2 / self.gpu.sms

    def rows_s(self) -> float:
        """Seconds per token of prefill beside its pairs, over all layers.

        What each tile of queries costs, half of the tile on the diagonal, and its share of the
        last row of tiles, which nothing overlaps (as if all of a chunk were one prompt).
        """
        total = 0.0
        for attention in (self.shard.full, self.shard.windowed):
            if attention.layers:
                c = prefill_constants(self.gpu.name, "bf16", self.kv_precision)
                tile = self._tile_s(attention)
                rows = attention.heads * (c.row_s * self.clock.compute + tile / 2) / self.gpu.sms
                total += attention.layers * (rows + c.tail * tile) / TILE
        return total

    def _tile_s(self, attention: Attention) -> float:
        """Seconds of a tile of queries and keys on one SM; products in bf16, as engines do."""
        c = prefill_constants(self.gpu.name, "bf16", self.kv_precision)
        dim = attention.pair_flops / (4 * attention.heads)
        heads = Heads(attention.heads, attention.kv_heads, dim)
        return tile_s(heads, c, chip(self.gpu)) * self.clock.compute


def expert_layer(experts: Experts) -> Layer:
    """The shape of one layer's experts, as ``experts`` takes it."""
    return Layer(
        experts.experts, experts.per_token, experts.hidden, experts.ffn, experts.parallel,
        experts.arithmetic.weight_bytes,
    )  # fmt: skip


def expert_kernel(arithmetic: Arithmetic) -> str:
    """Which measured kernel computes experts: 4-bit weights multiplied in 16 bits have their own.

    int8 products take the constants of fp8, 8-bit weights multiplied in 16 bits those of bf16. fp8
    weights with a scale per block take those of fp8, too: such kernels were measured, but with them
    stacks and LLMs left out of the fit are predicted less well (docs/validation.md).
    """
    if arithmetic.precision == "bf16":
        return "w4a16" if arithmetic.weight_bytes < 1 else "bf16"
    return "fp8" if arithmetic.precision == "int8" else arithmetic.precision


def hit_experts(experts: Experts, tokens: Floats) -> Floats:
    """[n] expected experts of a layer on the hottest rank that any of the tokens chooses."""
    return load(tokens, expert_layer(experts), experts.routing, 1.0).hit
