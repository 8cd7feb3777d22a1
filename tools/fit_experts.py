"""Fits routed experts on H100, H200 and B200, kernel by kernel (run by ``fit_layers.py``)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from layer_fits import Columns, Floats, Form, Ranges, columns, read, record, rounded, take

from sim.catalog.arithmetic import bits_per_weight
from sim.catalog.library import load
from sim.perf.experts import NODES, ExpertConstants, Layer, experts_s

GPUS = {"h100_sxm": "h100-sxm", "h200_sxm": "h200-sxm", "b200_sxm": "b200"}
US = 1e-6
#: Our name of a kernel: (its dtype and source in the table, multipliers, precision of weights).
KERNELS = {
    "bf16": ("bfloat16", "moe_torch_flow_cutlass", "bf16", "bf16"),
    "fp8": ("fp8", "moe_torch_flow_cutlass", "fp8", "fp8"),
    "fp8_block": ("fp8_block", "", "fp8", "fp8"),
    "fp4": ("nvfp4", "moe_torch_flow_cutlass", "fp4", "fp4"),
    "fp4_low_latency": ("nvfp4", "moe_torch_flow_min_latency", "fp4", "fp4"),
    "w4a16": ("w4a16_mxfp4", "moe_torch_flow", "bf16", "fp4"),
    "w4a8": ("w4a8_mxfp4_mxfp8", "moe_torch_flow", "fp8", "fp4"),
}
#: Kernels that switch tiles with the number of rows: a correction at NODES on top of the form.
SWITCHING = ("fp4_low_latency", "w4a16", "w4a8")
TILE_ROWS = {"fp4": 128.0, "w4a16": 1.0, "w4a8": 1.0}
RANGES: Ranges = {
    "launch_s": (US, 2, 25, 50),
    "expert_s": (US, 0, 0.1, 5),
    "compute": (1, 0.2, 0.8, 1),
    "bandwidth": (1, 0.3, 0.9, 1),
    "norm": (1, 1, 1.5, 4),
    "rows_in": (1, 0, 3, 20),
    "tokens_in": (1, 0, 3, 20),
    "hot": (1, 1, 1.05, 1.4),
}
SWITCHED: Ranges = RANGES | {
    "launch_s": (US, 2, 30, 120),
    "expert_s": (US, 0, 1, 8),
    "compute": (1, 0.1, 0.5, 1),
    "norm": (1, 1, 2, 6),
    **{f"at {node:g}": (1, -1.2, 0, 1.2) for node in NODES},
}


def constants(values: Mapping[str, float]) -> ExpertConstants:
    """From fitted values, of which those named ``at …`` are the correction."""
    at = tuple(v for n, v in values.items() if n.startswith("at "))
    return ExpertConstants(
        **{n: v for n, v in values.items() if not n.startswith("at ")}, correction=at
    )


def seconds(
    values: Mapping[str, float], table: Columns, *, peak: float, bandwidth: float, size: float
) -> Floats:
    """The form on the rows of a table, layer by layer."""
    c = constants(values)
    out = np.empty(len(table["seconds"]))
    for key in np.unique(table["key"]):
        mask = table["key"] == key
        t = take(table, mask)
        layer = Layer(
            int(t["num_experts"][0]), int(t["topk"][0]), int(t["hidden_size"][0]),
            int(t["inter_size"][0] / t["moe_tp_size"][0]), int(t["moe_ep_size"][0]), size,
        )  # fmt: skip
        routing = str(t["routing"][0])
        out[mask] = experts_s(t["num_tokens"], layer, routing, c, peak, bandwidth)
    return out


def fit_experts(folder: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Constants by GPU and kernel, and the record of each."""
    rows = read(folder / "aic_moe_h100_h200_b200.csv")
    found: dict[str, Any] = {}
    records = []
    for listed, name in GPUS.items():
        gpu = load().gpus[name]
        for kernel, (dtype, source, product, weights) in KERNELS.items():
            mine = [
                r for r in rows
                if r["gpu"] == listed and r["moe_dtype"] == dtype
                and source in (r["kernel_source"], "")
            ]  # fmt: skip
            if not mine:
                continue
            table = _table(mine)
            switching = kernel in SWITCHING
            form = Form(
                SWITCHED if switching else RANGES,
                {"tile_rows": TILE_ROWS.get(kernel, 16.0),
                 "all_rows": float(kernel == "fp4_low_latency")},
                partial(seconds, peak=gpu.peak_flops[product], size=bits_per_weight(weights) / 8,
                        bandwidth=gpu.memory_bandwidth_bytes_per_s),
            )  # fmt: skip
            off = form.held_out(table, table["group"])
            values = form.fit(table)
            inside = form.seconds(values, table) / table["seconds"] - 1
            made = constants(values)
            found.setdefault(name, {})[kernel] = rounded(ExpertConstants, values) | {
                "correction": [float(f"{v:.3g}") for v in made.correction]
            }
            few = table["num_tokens"] <= 64
            regimes = {
                "balanced": table["routing"] == "balanced",
                "power-law": table["routing"] == "power-law",
                "<= 64 tokens": few,
                "65-1024 tokens": ~few & (table["num_tokens"] <= 1024),
                "> 1024 tokens": table["num_tokens"] > 1024,
            }
            records.append(
                record(
                    f"moe {name} {kernel}", table, table["group"], off, inside, regimes,
                    ("num_tokens", "moe_tp_size", "moe_ep_size", "hidden_size", "inter_size",
                     "num_experts", "topk"),
                )
            )  # fmt: skip
    return found, records


def _table(rows: list[dict[str, str]]) -> Columns:
    table = columns(
        rows, ("num_tokens", "topk", "num_experts", "hidden_size", "inter_size", "moe_tp_size",
               "moe_ep_size"),
    )  # fmt: skip
    table["routing"] = np.array(
        ["balanced" if r["distribution"] == "balanced" else "power-law" for r in rows]
    )
    table["group"] = np.array([f"{r['moe_tp_size']}/{r['moe_ep_size']}" for r in rows])
    table["key"] = np.array(
        [f"{g} {d} {r['hidden_size']}" for g, d, r in
         zip(table["group"], table["routing"], rows, strict=True)]
    )  # fmt: skip
    return table
