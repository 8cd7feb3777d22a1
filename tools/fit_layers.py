"""Fits attention, experts and all-reduce on measured kernels (run by ``fit_perf.py``).

These forms are coarser than the kernels' own behaviour because each must reduce to a term of
``StepCost``; the record says how far off they are.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from sim.catalog.library import load

Floats = NDArray[np.float64]
TABLE_GPUS = {"h100_sxm": "h100-sxm", "h200_sxm": "h200-sxm", "b200_sxm": "b200"}


def read(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        next(file)
        return list(csv.DictReader(file))


def column(rows: list[dict[str, str]], name: str) -> Floats:
    return np.array([float(row[name]) for row in rows])


def fit(model: Callable[[Floats], Floats], seconds: Floats, start: list[float]) -> Floats:
    """Positive parameters by soft-L1 of log(model/measured)."""
    found = least_squares(
        lambda x: np.log(model(np.exp(x)) / seconds), np.log(start), loss="soft_l1", f_scale=0.1
    )
    return np.exp(found.x)


def validated(
    model: Callable[[Floats, NDArray[np.bool_]], Floats],
    seconds: Floats,
    groups: NDArray[np.str_],
    start: list[float],
) -> tuple[Floats, float]:
    """Parameters fitted on all rows, and the MAPE with whole groups held out, five folds."""
    order = np.random.default_rng(0).permutation(np.unique(groups))
    errors = np.empty(len(seconds))
    for fold in range(5):
        test = np.isin(groups, order[fold::5])
        if not test.any():
            continue
        train = ~test
        x = fit(lambda p, mask=train: model(p, mask), seconds[train], start)
        errors[test] = np.abs(model(x, test) / seconds[test] - 1)
    everything = np.ones(len(seconds), dtype=bool)
    return fit(lambda p: model(p, everything), seconds, start), float(100 * errors.mean())


def attention(folder: Path, record: list[str]) -> dict[str, float]:
    """Shares of peak and bandwidth on the H100."""
    gpu = load().gpus["h100-sxm"]
    peak, bandwidth = gpu.peak_flops["bf16"], gpu.memory_bandwidth_bytes_per_s
    out: dict[str, float] = {}
    rows = read(folder / "aic_attn_prefill_h100_sxm.csv")
    for head_dim, name in ((64, "prefill_compute_64"), (128, "prefill_compute")):
        some = [
            r for r in rows
            if int(r["head_dim"]) == head_dim and int(r["isl"]) >= 512
            and float(r["latency_ms"]) > 0.1 and r["attn_dtype"] == "bfloat16"
        ]  # fmt: skip
        length, batch, heads = (column(some, c) for c in ("isl", "batch_size", "n_q"))
        flops = 2 * head_dim * heads * batch * length**2  # 4 d per pair, half of the square
        seconds = column(some, "latency_ms") / 1e3
        groups = np.array([f"{r['n_q']}/{r['n_kv']}" for r in some])

        def model(p: Floats, mask: NDArray[np.bool_], work: Floats = flops) -> Floats:
            return p[0] * 1e-6 + work[mask] / (p[1] * peak)

        x, error = validated(model, seconds, groups, [20.0, 0.6])
        out[name] = round(float(x[1]), 3)
        record.append(
            f"prefill attention, head dimension {head_dim}, isl >= 512, > 100 us: {len(some)} rows,"
            f" MAPE {error:.1f} % held out (constant {x[0]:.0f} us not kept)"
        )
    rows = read(folder / "aic_attn_decode_h100_sxm.csv")
    sizes = {"bfloat16": 2, "fp8": 1}
    some = []
    for r in rows:
        group = int(r["n_q"]) // int(r["n_kv"])
        moved = 2 * int(r["n_kv"]) * int(r["head_dim"]) * int(r["batch_size"]) * int(r["kv_len"])
        if 2 <= group <= 16 and moved * sizes[r["kv_cache_dtype"]] > 20e6:
            some.append(r)
    moved = column(some, "n_kv") * column(some, "head_dim") * column(some, "batch_size") * 2
    moved *= column(some, "kv_len") * np.array([sizes[r["kv_cache_dtype"]] for r in some])
    seconds = column(some, "latency_ms") / 1e3
    groups = np.array([f"{r['head_dim']}/{r['n_q']}/{r['n_kv']}" for r in some])

    def decode(p: Floats, mask: NDArray[np.bool_]) -> Floats:
        return p[0] * 1e-6 + moved[mask] / (p[1] * bandwidth)

    x, error = validated(decode, seconds, groups, [9.0, 0.85])
    out["decode_bandwidth"] = round(float(x[1]), 3)
    out["decode_compute"] = 0.5  # assumed: binds for MLA only
    record.append(
        f"decode attention, groups 2-16, KV > 20 MB: {len(some)} rows, MAPE "
        f"{error:.1f} % held out (constant {x[0]:.1f} us per layer not kept)"
    )
    return out


def experts(folder: Path, gpu_name: str, record: list[str]) -> dict[str, float]:
    """Shares of peak and bandwidth of routed experts, bf16 and fp8 together."""
    gpu = load().gpus[TABLE_GPUS[gpu_name]]
    some = [
        r for r in read(folder / "aic_moe_h100_h200_b200.csv")
        if r["gpu"] == gpu_name and r["kernel_source"] == "moe_torch_flow_cutlass"
        and r["moe_dtype"] in ("bfloat16", "fp8") and r["distribution"] == "balanced"
    ]  # fmt: skip
    size = np.array([2.0 if r["moe_dtype"] == "bfloat16" else 1.0 for r in some])
    peak = np.where(size == 2, gpu.peak_flops["bf16"], gpu.peak_flops["fp8"])
    tokens, top, count = (column(some, c) for c in ("num_tokens", "topk", "num_experts"))
    each = (
        3 * column(some, "hidden_size") * column(some, "inter_size") / column(some, "moe_tp_size")
    )
    local = count / column(some, "moe_ep_size")
    memory = local * (1 - (1 - top / count) ** tokens) * each * size
    compute = 2 * tokens * top / column(some, "moe_ep_size") * each
    seconds = column(some, "latency_ms") / 1e3
    groups = np.array([f"{r['moe_tp_size']}/{r['moe_ep_size']}" for r in some])

    def model(p: Floats, mask: NDArray[np.bool_]) -> Floats:
        norm = 1 + p[3]
        busy = compute[mask] / (p[1] * peak[mask])
        read_s = memory[mask] / (p[2] * gpu.memory_bandwidth_bytes_per_s)
        return p[0] * 1e-6 + (busy**norm + read_s**norm) ** (1 / norm)

    start = [25.0, 0.8, 0.9, 0.3]
    x, error = validated(model, seconds, groups, start)
    record.append(
        f"experts {TABLE_GPUS[gpu_name]}, balanced: {len(some)} rows, MAPE "
        f"{error:.1f} % held out (constant {x[0]:.0f} us not kept)"
    )
    names = ("compute", "bandwidth", "norm")
    values = (x[1], x[2], 1 + x[3])
    return {name: round(float(value), 3) for name, value in zip(names, values, strict=True)}


def all_reduce(
    folder: Path, gpu_name: str, ranks: list[int], record: list[str]
) -> dict[str, list[float] | float]:
    """Start, per byte and root terms of the fastest graph-captured kernel of each size."""
    gpu = load().gpus[TABLE_GPUS.get(gpu_name, gpu_name)]
    rows = [
        r for r in read(folder / "aic_collectives_all_gpus.csv")
        if r["gpu"] == gpu_name and r["op"] == "all_reduce" and float(r["size_bytes"]) <= 256e6
        and (r["impl"].endswith("_graph") or r["impl"] in ("TRTLLM", "trtllm"))
    ]  # fmt: skip
    out: dict[str, list[float] | float] = {"ranks": [float(r) for r in ranks]}
    columns: list[Floats] = []
    for group in ranks:
        best: dict[float, float] = {}
        for r in rows:
            if int(r["num_gpus"]) == group:
                size = float(r["size_bytes"])
                best[size] = min(best.get(size, np.inf), float(r["latency_ms"]) / 1e3)
        size, seconds = np.array(list(best)), np.array(list(best.values()))

        def model(p: Floats, size: Floats = size) -> Floats:
            return p[0] * 1e-6 + size * p[1] * 1e-12 + np.sqrt(size) * p[2] * 1e-9

        x = fit(model, seconds, [4.0, 4.0, 2.0])
        errors = np.abs(model(x) / seconds - 1)
        record.append(
            f"all-reduce {gpu.name} x {group}: {len(size)} sizes, in-sample MAPE "
            f"{100 * errors.mean():.1f} %"
        )
        columns.append(x * [1e-6, 1e-12, 1e-9])
    for i, name in enumerate(("start_s", "s_per_byte", "s_per_sqrt_byte")):
        out[name] = [float(f"{x[i]:.3g}") for x in columns]
    out["link_bytes_per_s"] = gpu.link_bytes_per_s
    return out


def fit_all(folder: Path) -> tuple[dict[str, dict[str, object]], list[str]]:
    """The sections attention, experts and all_reduce, and a line on the error of each fit."""
    record: list[str] = []
    nvlink = all_reduce(folder, "h100_sxm", [2, 4, 8], record)
    tree: dict[str, dict[str, object]] = {
        "attention": {"h100-sxm": attention(folder, record)},
        "experts": {TABLE_GPUS[g]: experts(folder, g, record) for g in TABLE_GPUS},
        "all_reduce": {
            "nvlink": nvlink,
            "xgmi": dict(nvlink),
            "pcie": all_reduce(folder, "l40s", [2, 4], record),
        },
    }
    return tree, record
