"""The fitted and assumed constants of the perf models, as frozen rows; values are in ``data/``."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class AllReduce:
    """Seconds = start + bytes·(per byte) + √bytes·(per √byte), for each size of the group."""

    ranks: tuple[float, ...]
    start_s: tuple[float, ...]
    s_per_byte: tuple[float, ...]
    s_per_sqrt_byte: tuple[float, ...]
    link_bytes_per_s: float  # of the GPU it was measured on


@dataclass(frozen=True)
class Overheads:
    """What a serving engine adds to its kernels, pooled over engines."""

    layer_s: float  # norms, rope, launches: per layer
    moe_layer_s: float  # more for a layer of experts: routing, permutation
    iteration_s: float  # scheduler and sampling
    sequence_s: float  # per decoding sequence
    activation_passes: float  # times the hidden state crosses HBM per layer
    inner_passes: float  # the same for the inner activations
    quantise_s: float  # launch of what quantises the activations of a product
    stage_hop_s: float  # per boundary between pipeline stages


@dataclass(frozen=True)
class MemoryConstants:
    """What a GPU holds besides weights and KV."""

    runtime_bytes: float  # context, graphs, communication buffers
    hidden_buffers: float  # live copies of the hidden state, in 2-byte elements per batch token
    inner_buffers: float
    logit_bytes: float  # bytes per logit of a sequence


@dataclass(frozen=True)
class DrawConstants:
    """Constants of the draw: see ``power`` for the form; shares are of the TDP."""

    base: float
    memory: float
    tensor: float
    group: float
    weight_pass: float  # share per decade of the time to read the weights
    memory_power: float
    tensor_power: float
    experts: float  # weight of expert bytes within U_m
    experts_8bit: float
    kv: float  # weight of KV bytes within U_m
    pass_s: float  # the pass of the weights up to which its term is zero
    cap_norm: float


@dataclass(frozen=True)
class DrawErrors:
    """Errors of the draw of LLMs left out of the fit.

    ``log_sd_llm`` and ``log_sd_run`` are of the draw above idle: what all runs of an LLM share, and
    the rest.
    """

    median: float
    p90: float
    log_sd_llm: float
    log_sd_run: float

    @property
    def log_sd(self) -> float:
        """Of both together."""
        return math.hypot(self.log_sd_llm, self.log_sd_run)


@dataclass(frozen=True)
class ClockCurve:
    """Levels as fractions of the maximum clock; the knees of memory time and of voltage."""

    levels: tuple[float, ...]
    brake: float  # one level more, below all others: that of the power brake
    memory_knee: float
    voltage_knee: float
    voltage_floor: float  # V below its knee, as a share of V at the maximum clock
