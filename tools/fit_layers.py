"""Writes data/calibration/layers.yaml from measured kernels.

    python tools/fit_layers.py FOLDER_WITH_KERNEL_TABLES

Attention, routed experts and all-reduces; matrix products are ``fit_perf.py``'s. The tables are
those of the PyPI package aiconfigurator-core 0.12.0 (NVIDIA, Apache-2.0); the product reads only
what is written here. Needs scipy; takes about ten minutes on one core.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from fit_attention import decode, prefill
from fit_experts import GPUS, fit_experts
from layer_fits import record
from scipy.optimize import least_squares

from sim.catalog.library import load
from sim.paths import data
from sim.validate.collectives import fastest
from sim.validate.tables import Floats, lines_of

HEADER = """\
# Constants of attention, experts and all-reduces, fitted by tools/fit_layers.py. SI units unless a
# name says otherwise. record.kernels: how good each fit is on whole shapes that it has not seen.
"""
RECORD = {
    "source_id": "aiconfigurator-core",
    "date": "2026-11-26",
    "source": (
        "kernel tables of PyPI aiconfigurator-core 0.12.0 (NVIDIA, repository "
        "ai-dynamo/aiconfigurator): TensorRT-LLM 1.3.0rc20; half of the shapes"
    ),
    "licence": "Apache-2.0",
    "method": (
        "soft-L1 least squares of log(predicted/measured) with bounded parameters; errors in five "
        "folds with whole shapes held out: (head_dim, n_q, n_kv) of attention, (tp, ep) of "
        "experts, sizes of all-reduces; the forms were chosen on the same held-out errors"
    ),
}
ASSUMED = {
    "transfer": (
        "shares and block times as on the donor, with the GPU's own bandwidth, peaks and SMs; "
        "attention is measured on the H100 only, experts on H100, H200 and B200"
    ),
    "routing": (
        "which rows the hottest rank has under the power law is the expected one; serving takes "
        "uniform routing unless a pool says otherwise"
    ),
    "all_reduce": "nvlink measured on the H100; the byte term scales with the link; xgmi as nvlink",
    "latent": "decode_compute: not measured; binds for latent attention (MLA) only",
    "head_dim": "above 128 as at 128, by its bytes and FLOPs",
}
TRANSFER = {"default": "h100-sxm", "gb200": "b200", "l4": "l40s", "mi300x": "h100-sxm"}


def _positive(model: Callable[[Floats], Floats], seconds: Floats, start: list[float]) -> Floats:
    """Positive parameters by soft-L1 of log(model/measured)."""
    found = least_squares(
        lambda x: np.log(model(np.exp(x)) / seconds), np.log(start), loss="soft_l1", f_scale=0.1
    )
    return np.exp(found.x)


def _all_reduce(p: Floats, size: Floats) -> Floats:
    return p[0] * 1e-6 + size * p[1] * 1e-12 + np.sqrt(size) * p[2] * 1e-9


def all_reduce(
    folder: Path, gpu_name: str, ranks: list[int], records: list[dict[str, Any]]
) -> dict[str, list[float] | float]:
    """Start, per byte and root terms of the fastest graph-captured kernel of each size."""
    gpu = load().gpus[GPUS.get(gpu_name, gpu_name)]
    path = folder / "aic_collectives_all_gpus.csv"
    measured = fastest(path, lines_of(path))
    out: dict[str, list[float] | float] = {"ranks": [float(r) for r in ranks]}
    columns: list[Floats] = []
    for group in ranks:
        size, seconds = measured[gpu_name, group]
        model = partial(_all_reduce, size=size)
        x = _positive(model, seconds, [4.0, 4.0, 2.0])
        held = np.empty(len(size))
        order = np.random.default_rng(0).permutation(len(size))
        for fold in range(5):
            test = np.isin(np.arange(len(size)), order[fold::5])
            part = _positive(partial(_all_reduce, size=size[~test]), seconds[~test], list(x))
            held[test] = _all_reduce(part, size[test]) / seconds[test] - 1
        table = {"size_bytes": size, "ranks": np.full(len(size), float(group))}
        shapes = {"shape": np.array([f"{s:g}" for s in size])}
        inside = model(x) / seconds - 1
        name = f"all-reduce {gpu.name} x {group}"
        records.append(
            record(name, table | shapes, size, held, inside, {"<= 1 MB": size <= 1e6}, list(table))
        )
        columns.append(x * [1e-6, 1e-12, 1e-9])
    for i, name in enumerate(("start_s", "s_per_byte", "s_per_sqrt_byte")):
        out[name] = [float(f"{x[i]:.3g}") for x in columns]
    out["link_bytes_per_s"] = gpu.link_bytes_per_s
    return out


def main(folder: Path) -> None:
    records: list[dict[str, Any]] = []
    decoding, lines = decode(folder)
    records += lines
    filling, lines = prefill(folder)
    records += lines
    experts, lines = fit_experts(folder)
    records += lines
    nvlink = all_reduce(folder, "h100_sxm", [2, 4, 8], records)
    tree = {
        "record": {**RECORD, "kernels": records},
        "assumed": ASSUMED,
        "transfer": TRANSFER,
        "decode": {"h100-sxm": decoding},
        "prefill": {"h100-sxm": filling},
        "latent": {"decode_compute": 0.5},
        "experts": experts,
        "all_reduce": {
            "nvlink": nvlink,
            "xgmi": dict(nvlink),
            "pcie": all_reduce(folder, "l40s", [2, 4], records),
        },
    }
    text = yaml.dump(tree, Dumper=_Plain, sort_keys=False, width=100)
    data("calibration", "layers.yaml").write_text(HEADER + text, encoding="utf-8")


class _Plain(yaml.SafeDumper):
    """Without anchors: each section can be read alone."""

    def ignore_aliases(self, _data: Any) -> bool:
        return True


if __name__ == "__main__":
    main(Path(sys.argv[1]))
