"""GPU memory of a replica: weights, activation reserve, window reserve, and KV blocks in the rest.

Per GPU of a stage: usable = memory · utilisation. Weights are this rank's share. The activation
reserve holds the runtime, the live buffers of the largest batch and the logits. Sliding-window
layers reserve ``max_sequences`` windows up front, so blocks hold full-attention layers only (a
block of 16 tokens is 16 · bytes per token of those layers). The stage with the fewest blocks
decides for the replica. With data-parallel attention a group has its share of the batch and keeps
the KV of its own sequences; the replica's blocks are those of all groups, evenly used.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from sim.catalog.types import Gpu, Llm
from sim.errors import RackplanError
from sim.perf.calibration import memory_constants
from sim.perf.operators import HALF, Shard
from sim.perf.step import BLOCK_TOKENS


class DoesNotFit(RackplanError):
    """An LLM whose weights and reserves leave no room for one KV block; says the arithmetic."""


@dataclass(frozen=True)
class Memory:
    """Bytes of one GPU of one stage, and the blocks that what is left holds."""

    memory_bytes: float
    utilisation: float
    weight_bytes: float
    activation_bytes: float
    window_bytes: float
    block_bytes: float
    groups: int = 1  # of data-parallel attention: each keeps KV of its own

    @property
    def usable_bytes(self) -> float:
        """What the engine may use."""
        return self.memory_bytes * self.utilisation

    @property
    def left_bytes(self) -> float:
        """What is left for KV blocks; negative when not even the rest fits."""
        return self.usable_bytes - self.weight_bytes - self.activation_bytes - self.window_bytes

    @property
    def blocks(self) -> int:
        """KV blocks of this stage, over all groups."""
        if self.left_bytes < 0:
            return 0
        return self.groups * math.floor(self.left_bytes / self.block_bytes)

    def parts(self) -> tuple[tuple[str, float], ...]:
        """The arithmetic, as (what, bytes per GPU)."""
        return (
            ("memory", self.memory_bytes),
            ("usable", self.usable_bytes),
            ("weights", self.weight_bytes),
            ("activation reserve", self.activation_bytes),
            ("window KV", self.window_bytes),
            ("left for KV", self.left_bytes),
            ("KV block", self.block_bytes),
        )


def stage_memory(
    shard: Shard,
    llm: Llm,
    gpu: Gpu,
    *,
    first: bool,
    last: bool,
    max_sequences: int,
    max_batch_tokens: int,
    memory_utilisation: float,
) -> Memory:
    """The memory of one GPU of a stage; ``first`` holds the embedding, ``last`` the head."""
    constants = memory_constants()
    weights = held_weight_bytes(shard, llm, first=first, last=last)
    live = constants.hidden_buffers * shard.hidden + constants.inner_buffers * shard.inner
    sequences = -(-max_sequences // shard.groups)
    activations = constants.runtime_bytes + -(-max_batch_tokens // shard.groups) * live * HALF
    if last:
        activations += sequences * llm.vocabulary * constants.logit_bytes
    window = sequences * llm.window * shard.windowed.layers * shard.windowed.kv_bytes
    return Memory(
        memory_bytes=gpu.memory_bytes,
        utilisation=memory_utilisation,
        weight_bytes=weights,
        activation_bytes=activations,
        window_bytes=window,
        block_bytes=BLOCK_TOKENS * shard.full.layers * shard.full.kv_bytes,
        groups=shard.groups,
    )


def held_weight_bytes(shard: Shard, llm: Llm, *, first: bool, last: bool) -> float:
    """Weights of one GPU of a stage; ``first`` holds the embedding, ``last`` the head."""
    weights = shard.weight_bytes
    if first:
        weights += shard.embedding_bytes
    if last or (first and llm.tied_embeddings):
        weights += shard.head.bytes
    return weights


def does_not_fit(llm: Llm, precision: str, gpu: Gpu, gpus: int, memory: Memory) -> DoesNotFit:
    """The error for a stage without room for one block, with the arithmetic in GB per GPU."""

    def gb(value: float) -> str:
        return f"{value / 1e9:.1f} GB"

    return DoesNotFit(
        f"{llm.name} in {precision} does not fit on {gpus} x {gpu.name}: of "
        f"{gb(memory.usable_bytes)} usable per GPU ({gb(memory.memory_bytes)} x "
        f"{memory.utilisation:g}), weights take "
        f"{gb(memory.weight_bytes)}, the activation reserve {gb(memory.activation_bytes)} and "
        f"window KV {gb(memory.window_bytes)}, which leaves {gb(memory.left_bytes)} for KV blocks "
        f"of {memory.block_bytes / 1e6:.2f} MB"
    )
