"""Times of isolated kernels other than matrix products, with what the fit's record says of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from sim.catalog.arithmetic import bits_per_weight
from sim.catalog.types import PRECISION_BYTES, Gpu
from sim.errors import RackplanError, UnknownName
from sim.perf.attention import Heads, decode_s, grouped, prefill_s
from sim.perf.experts import ROUTINGS, Layer, experts_s
from sim.perf.layer_constants import (
    Fit,
    all_reduce_fit,
    all_reduce_s,
    chip,
    decode_constants,
    expert_constants,
    expert_kernels,
    fit_of,
    prefill_constants,
)
from sim.perf.operators import UnsupportedPlan

#: Kernel of experts → (precision of the multipliers, of the weights).
EXPERT_PRECISIONS = {
    "bf16": ("bf16", "bf16"), "fp8": ("fp8", "fp8"), "fp8_block": ("fp8", "fp8"),
    "fp4": ("fp4", "fp4"), "fp4_low_latency": ("fp4", "fp4"), "w4a16": ("bf16", "fp4"),
    "w4a8": ("fp8", "fp4"),
}  # fmt: skip


@dataclass(frozen=True)
class KernelTime:
    """Seconds of one kernel; ``error``: mean relative error on shapes not seen (None: unknown).

    ``basis``: what the number is carried beyond, in words; () if it lies inside the measurements.
    """

    time_s: float
    error: float | None
    basis: tuple[str, ...]


def attention_decode(
    gpu: Gpu, kv_precision: str, heads: Heads, batch: int, kv_tokens: int
) -> KernelTime:
    """One layer's decode attention: ``batch`` sequences of ``kv_tokens`` tokens of context."""
    _heads(heads)
    kind = "bf16" if kv_precision == "bf16" else "fp8"
    size = PRECISION_BYTES[kv_precision]
    device = chip(gpu)
    single = not bool(grouped(heads, batch, kv_tokens, size, gpu.sms))
    c = decode_constants(gpu.name, kv_precision, single=single)
    time_s = float(decode_s(batch, kv_tokens, heads, size, c, device, single=single))
    kernel = f"{'single' if single else 'grouped'} kv {kind}"
    fit = fit_of("attention-decode", gpu.name, kernel)
    basis = (
        () if PRECISION_BYTES[kv_precision] >= 1 else ("4-bit KV as 8-bit KV of half the bytes",)
    )
    asked = {"batch_size": batch, "kv_len": kv_tokens}
    return _timed(time_s, fit, asked | _shape(heads), basis)


def attention_prefill(
    gpu: Gpu, precision: str, kv_precision: str, heads: Heads, batch: int, tokens: int
) -> KernelTime:
    """One layer's causal attention of ``batch`` prompts of ``tokens`` tokens each.

    Raises:
        UnsupportedPlan: the GPU has no arithmetic in this precision.
        DataError: no kernel with this pair of precisions was measured.
    """
    _heads(heads)
    _has(gpu, precision)
    c = prefill_constants(gpu.name, precision, kv_precision)
    time_s = float(prefill_s(batch, tokens, heads, c, chip(gpu, precision)))
    kind = "bf16" if kv_precision == "bf16" else "fp8"
    fit = fit_of("attention-prefill", gpu.name, f"{precision}-kv-{kind}")
    return _timed(time_s, fit, {"batch_size": batch, "isl": tokens} | _shape(heads))


def moe(
    gpu: Gpu, kernel: str, layer: Layer, tensor_parallel: int, tokens: int, routing: str
) -> KernelTime:
    """One layer's routed experts on the hottest rank; ``layer.weight_bytes`` is set here.

    Raises:
        UnknownName: no such kernel on this GPU, or no such routing.
        UnsupportedPlan: the GPU has no arithmetic in the kernel's precision.
    """
    known = expert_kernels(gpu.name)
    if kernel not in known:
        raise UnknownName("kernel of experts", kernel, known)
    if routing not in ROUTINGS:
        raise UnknownName("routing of experts", routing, ROUTINGS)
    if layer.per_token > layer.experts or layer.experts % layer.expert_parallel:
        raise RackplanError(
            f"{layer.experts} experts, of which a token takes {layer.per_token}, cannot be on "
            f"{layer.expert_parallel} ranks alike"
        )
    product, weights = EXPERT_PRECISIONS[kernel]
    _has(gpu, product)
    layer = replace(layer, weight_bytes=bits_per_weight(weights) / 8)

    found = experts_s(
        np.array([float(tokens)]), layer, routing, expert_constants(gpu.name, kernel),
        gpu.peak_flops[product], gpu.memory_bandwidth_bytes_per_s,
    )  # fmt: skip
    asked = {
        "num_tokens": tokens, "num_experts": layer.experts, "topk": layer.per_token,
        "hidden_size": layer.hidden, "inter_size": layer.ffn * tensor_parallel,
        "moe_tp_size": tensor_parallel, "moe_ep_size": layer.expert_parallel,
    }  # fmt: skip
    basis = ("uniform routing was not measured",) if routing == "uniform" else ()
    return _timed(float(found[0]), fit_of("moe", gpu.name, kernel), asked, basis)


def all_reduce(gpu: Gpu, gpus: int, size_bytes: int) -> KernelTime:
    """An all-reduce inside one server by the engine's own kernels.

    Raises:
        RackplanError: fewer than two GPUs.
    """
    if gpus < 2:
        raise RackplanError("an all-reduce needs at least 2 GPUs")
    fit = all_reduce_fit(gpu, gpus)
    return _timed(
        all_reduce_s(gpu, gpus, float(size_bytes)), fit, {"size_bytes": size_bytes, "ranks": gpus}
    )


def _timed(
    time_s: float, fit: Fit, asked: Mapping[str, float], basis: tuple[str, ...] = ()
) -> KernelTime:
    """With what lies outside of the measurements said."""
    said = list(basis)
    if not fit.own:
        said.append(f"constants of another GPU ({fit.kernel})")
    for name, value in asked.items():
        low, high = fit.calibrated[name]
        if not low <= value <= high:
            said.append(f"{name} {value:g} is outside of {low:g} to {high:g}")
    return KernelTime(time_s, fit.mape, tuple(said))


def _shape(heads: Heads) -> dict[str, float]:
    return {"n_q": heads.query, "n_kv": heads.kv, "head_dim": heads.dim}


def _heads(heads: Heads) -> None:
    if heads.query % heads.kv:
        raise RackplanError(
            f"{heads.kv} KV heads do not divide {heads.query} query heads: each serves as many"
        )


def _has(gpu: Gpu, precision: str) -> None:
    if precision not in gpu.peak_flops:
        known = ", ".join(gpu.peak_flops)
        raise UnsupportedPlan(f"{gpu.name} has no {precision} arithmetic (it has {known})")
