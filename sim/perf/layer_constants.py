"""Reads ``data/calibration/layers.yaml``: attention, experts, all-reduces, each with its record.

A GPU without constants of its own takes those of the one that ``transfer`` names, else of
``transfer.default``: shares and times per block as they were measured there, with its own
bandwidth, peaks and number of SMs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sim.catalog.types import Gpu
from sim.errors import DataError
from sim.perf.attention import Chip, DecodeConstants, PrefillConstants
from sim.perf.calibration import read_row, read_tree
from sim.perf.constants import AllReduce
from sim.perf.experts import ExpertConstants
from sim.perf.gemm import Floats

_LAYERS = ("calibration", "layers.yaml")


@dataclass(frozen=True)
class Fit:
    """How good the fit of one kernel is, on shapes that it has not seen.

    Attributes:
        kernel: its name in the record.
        mape: mean of the absolute relative errors; ``bias`` of the signed ones.
        spread: standard deviation of the logarithm of predicted over measured.
        calibrated: column → least and most of it in the measurements.
        own: whether it was measured on the GPU that asks.
    """

    kernel: str
    mape: float
    bias: float
    spread: float
    calibrated: Mapping[str, tuple[float, float]]
    own: bool


def chip(gpu: Gpu, precision: str = "bf16") -> Chip:
    """The GPU as attention sees it, with the peak of ``precision``."""
    return Chip(gpu.sms, gpu.memory_bandwidth_bytes_per_s, gpu.peak_flops[precision])


def decode_constants(gpu: str, kv_precision: str, *, single: bool) -> DecodeConstants:
    """Constants of decode attention; 4-bit KV takes those of 8-bit KV."""
    kernel, kind = ("single" if single else "grouped"), _kv(kv_precision)
    name = _donor("decode", gpu)
    return read_row(
        DecodeConstants, _tree()["decode"][name][kernel][kind], _LAYERS,
        f"decode.{name}.{kernel}.{kind}",
    )  # fmt: skip


def prefill_constants(gpu: str, precision: str, kv_precision: str) -> PrefillConstants:
    """Constants of prefill attention whose products are in ``precision``.

    Raises:
        DataError: no kernel with that pair of precisions was measured.
    """
    name, kind = _donor("prefill", gpu), f"{precision}-kv-{_kv(kv_precision)}"
    table = _tree()["prefill"][name]
    if kind not in table:
        raise DataError("/".join(_LAYERS), f"prefill.{name} has {', '.join(table)}, not {kind}")
    return read_row(PrefillConstants, table[kind], _LAYERS, f"prefill.{name}.{kind}")


def expert_constants(gpu: str, kernel: str) -> ExpertConstants:
    """Constants of one kernel of routed experts.

    Raises:
        DataError: neither the GPU nor the one that it transfers from has it.
    """
    tree = _tree()["experts"]
    name = _expert_donor(gpu, kernel)
    return read_row(ExpertConstants, tree[name][kernel], _LAYERS, f"experts.{name}.{kernel}")


def expert_kernels(gpu: str) -> tuple[str, ...]:
    """Kernels that ``expert_constants`` has for this GPU."""
    return tuple(dict.fromkeys(k for n in _candidates(gpu) for k in _tree()["experts"].get(n, ())))


def all_reduce(link: str) -> AllReduce:
    """Constants of the all-reduce of a tensor-parallel group over ``link`` (nvlink, xgmi, pcie)."""
    return read_row(AllReduce, _tree()["all_reduce"][link], _LAYERS, f"all_reduce.{link}")


def all_reduce_s(gpu: Gpu, ranks: int, size_bytes: Any) -> Any:
    """Seconds of one all-reduce of ``size_bytes`` (a number or an array) by the engine's kernels.

    Its constants are linear in log2 of the ranks, beyond the last two with their slope but never
    below 0; the byte term scales with the GPU's link.
    """
    c = all_reduce(gpu.link)
    at, grid = np.log2(ranks), np.log2(c.ranks)
    start, per_byte, root = (
        _along(at, grid, np.asarray(values))
        for values in (c.start_s, c.s_per_byte, c.s_per_sqrt_byte)
    )
    per_byte *= c.link_bytes_per_s / gpu.link_bytes_per_s
    return start + size_bytes * per_byte + root * np.sqrt(size_bytes)


def _along(at: float, grid: Floats, values: Floats) -> float:
    if at <= grid[-1]:
        return float(np.interp(at, grid, values))
    slope = (values[-1] - values[-2]) / (grid[-1] - grid[-2])
    return float(max(0.0, values[-1] + slope * (at - grid[-1])))


def all_reduce_fit(gpu: Gpu, ranks: int) -> Fit:
    """The record of all-reduces among the nearest number of ranks that was measured."""
    donor = "l40s" if gpu.link == "pcie" else "h100-sxm"
    measured = all_reduce(gpu.link).ranks
    near = min(measured, key=lambda r: (abs(np.log2(r / ranks)), r))
    return _fit(f"all-reduce {donor} x {near:g}", donor == gpu.name)


def decode_compute() -> float:
    """Share of the bf16 peak that decoding over a latent (MLA) reaches: assumed."""
    return float(_tree()["latent"]["decode_compute"])


def fit_of(kind: str, gpu: str, rest: str) -> Fit:
    """The record of a kernel: ``kind`` as in the file, GPU or its donor, the rest of its name."""
    if kind == "moe":
        donor = _expert_donor(gpu, rest)
    else:
        donor = _donor({"attention-decode": "decode", "attention-prefill": "prefill"}[kind], gpu)
    return _fit(f"{kind} {donor} {rest}", donor == gpu)


def kernel_record(name: str) -> Mapping[str, Any] | None:
    """The line of the record with this name, None if there is none."""
    lines: list[Mapping[str, Any]] = _tree()["record"]["kernels"]
    return next((line for line in lines if line["kernel"] == name), None)


def _fit(name: str, own: bool) -> Fit:
    line = kernel_record(name)
    if line is None:
        raise DataError("/".join(_LAYERS), f"record has no kernel {name!r}")
    held = line["held_out"]
    return Fit(
        name, _share(held["mape_pct"]), _share(held["bias_pct"]), held["spread_log"],
        {n: (low, high) for n, (low, high) in line["calibrated"].items()}, own,
    )  # fmt: skip


def _share(per_cent: float) -> float:
    return round(per_cent / 100, 4)


def _kv(precision: str) -> str:
    return "bf16" if precision == "bf16" else "fp8"


def _tree() -> Mapping[str, Any]:
    return read_tree(*_LAYERS)


def _candidates(gpu: str) -> tuple[str, ...]:
    transfer = _tree()["transfer"]
    default = str(transfer["default"])
    return tuple(dict.fromkeys((gpu, str(transfer.get(gpu, default)), default)))


def _donor(section: str, gpu: str) -> str:
    return next(name for name in _candidates(gpu) if name in _tree()[section])


def _expert_donor(gpu: str, kernel: str) -> str:
    for name in _candidates(gpu):
        if kernel in _tree()["experts"].get(name, {}):
            return name
    raise DataError("/".join(_LAYERS), f"no constants of experts in {kernel} to give {gpu}")
