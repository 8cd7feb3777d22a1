"""Times of matrix products against two sources that no choice of the fit has looked at.

    python tools/gemm_other_sources.py FOLDER

LLMServingSim's layers (H100, bf16, vLLM modules under the torch profiler) and Vidur's operators
(H100 and A100, fp16). Their weights are not in L2 (``resident`` off); their launches are as ours.
"""

from __future__ import annotations

import csv
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from sim.catalog.library import load
from sim.perf.calibration import device, gemm_constants
from sim.perf.gemm import gemm_s

#: (m, n, k) -> seconds, one entry a row.
Rows = list[tuple[float, float, float, float]]
#: Hidden size, query width, KV width, inner size.
LAYERS = {
    "meta-llama/Llama-3.1-8B": (4096, 4096, 1024, 14336),
    "meta-llama/Llama-3.1-70B": (8192, 8192, 1024, 28672),
    "mistralai/Mixtral-8x7B-v0.1": (4096, 4096, 1024, 14336),
}
SMALLEST = 512


def llmservingsim(folder: Path) -> Rows:
    """Dense layers of LLMServingSim's tables, with n, k >= 512."""
    found: Rows = []
    for row in _read(folder / "llmservingsim_h100_layers.csv"):
        hidden, query, kv, inner = LAYERS[row["model"]]
        tp = int(row["tp"])
        shapes = {
            "q_proj": (query / tp, hidden),
            "k_proj": (kv / tp, hidden), "v_proj": (kv / tp, hidden),
            "o_proj": (hidden, query / tp), "gate_proj": (inner / tp, hidden),
            "up_proj": (inner / tp, hidden), "down_proj": (hidden, inner / tp),
        }  # fmt: skip
        for name, (n, k) in shapes.items():
            if row[name] and min(n, k) >= SMALLEST:
                found.append((float(row["num_tokens"]), n, k, float(row[name]) * 1e-9))
    return found


def vidur(folder: Path, gpu: str) -> Rows:
    """Projections of Vidur's tables, keys that repeat averaged, with n, k >= 512."""
    times: dict[tuple[float, float, float], list[float]] = defaultdict(list)
    for row in _read(folder / "vidur_layer_ops.csv"):
        if row["gpu"] != gpu:
            continue
        width, heads, kv = (int(row[name]) for name in ("n_embd", "n_head", "n_kv_head"))
        tp, inner = int(row["num_tensor_parallel_workers"]), int(row["n_expanded_embd"])
        head = width // heads
        shapes = {
            "attn_pre_proj_ms": ((heads + 2 * kv) * head / tp, width),
            "attn_post_proj_ms": (width, width / tp),
            "mlp_up_proj_ms": (2 * inner / tp, width),  # up and gate in one
            "mlp_down_proj_ms": (width, inner / tp),
        }
        for name, (n, k) in shapes.items():
            if row[name] and min(n, k) >= SMALLEST:
                times[float(row["num_tokens"]), n, k].append(float(row[name]) / 1000)
    return [(*key, float(np.mean(values))) for key, values in times.items()]


def _read(path: Path) -> Iterator[dict[str, str]]:
    with path.open() as file:
        next(file)
        yield from csv.DictReader(file)


def compare(gpu: str, rows: Rows) -> dict[str, float]:
    """Relative errors of bf16 products, the launch included, no weights in L2."""
    m, n, k, seconds = np.array(rows).T
    constants = replace(gemm_constants(gpu, "bf16"), resident_mb=0.0)
    unit = device(load().gpus[gpu], "bf16")
    times = gemm_s(m, n, k, constants, unit, weight_bytes=2.0, activation_bytes=2.0)
    off = times / seconds - 1
    figures = {"mape": np.abs(off).mean(), "median": np.median(np.abs(off)), "bias": off.mean()}
    figures |= {f"bias_{name}": off[mask].mean() for name, mask in (
        ("m_to_16", m <= 16), ("m_17_to_255", (m > 16) & (m < 256)), ("m_from_256", m >= 256))
        if mask.any()}  # fmt: skip
    return {"rows": len(m), **{name: float(f"{value:.4f}") for name, value in figures.items()}}


def compare_all(folder: Path) -> dict[str, dict[str, float]]:
    """Errors by source and GPU."""
    return {
        "llmservingsim h100-sxm": compare("h100-sxm", llmservingsim(folder)),
        "vidur h100-sxm": compare("h100-sxm", vidur(folder, "h100")),
        "vidur a100-sxm": compare("a100-sxm", vidur(folder, "a100")),
    }


if __name__ == "__main__":
    for name, figures in compare_all(Path(sys.argv[1])).items():
        print(name, figures)
