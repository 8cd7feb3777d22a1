"""Fits routed experts on H100, H200 and B200, kernel by kernel (run by ``fit_layers.py``)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from layer_fits import Form, Ranges, record, rounded

from sim.catalog.library import load
from sim.catalog.types import Gpu
from sim.perf.experts import NODES, ExpertConstants
from sim.validate.experts import KERNELS, experts_regimes, experts_table, kernel_of, layers_s
from sim.validate.tables import Columns, Floats, lines_of

GPUS = {"h100_sxm": "h100-sxm", "h200_sxm": "h200-sxm", "b200_sxm": "b200"}
US = 1e-6
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


def seconds(values: Mapping[str, float], table: Columns, *, kernel: str, gpu: Gpu) -> Floats:
    """The form on the rows of a table, layer by layer."""
    return layers_s(table, constants(values), kernel, gpu)


def fit_experts(folder: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Constants by GPU and kernel, and the record of each."""
    path = folder / "aic_moe_h100_h200_b200.csv"
    lines = lines_of(path)
    found: dict[str, Any] = {}
    records = []
    for listed, name in GPUS.items():
        gpu = load().gpus[name]
        for kernel in KERNELS:
            mine = [
                line for line in lines
                if line[1]["gpu"] == listed
                and kernel_of(line[1]["moe_dtype"], line[1]["kernel_source"]) == kernel
            ]  # fmt: skip
            if not mine:
                continue
            table = experts_table(path, mine)
            group = np.array(
                [f"{tp:g}/{ep:g}" for tp, ep in
                 zip(table["moe_tp_size"], table["moe_ep_size"], strict=True)]
            )  # fmt: skip
            switching = kernel in SWITCHING
            form = Form(
                SWITCHED if switching else RANGES,
                {"tile_rows": TILE_ROWS.get(kernel, 16.0),
                 "all_rows": float(kernel == "fp4_low_latency")},
                partial(seconds, kernel=kernel, gpu=gpu),
            )  # fmt: skip
            off = form.held_out(table, group)
            values = form.fit(table)
            inside = form.seconds(values, table) / table["seconds"] - 1
            made = constants(values)
            found.setdefault(name, {})[kernel] = rounded(ExpertConstants, values) | {
                "correction": [float(f"{v:.3g}") for v in made.correction]
            }
            records.append(
                record(
                    f"moe {name} {kernel}", table, group, off, inside, experts_regimes(table),
                    ("num_tokens", "moe_tp_size", "moe_ep_size", "hidden_size", "inter_size",
                     "num_experts", "topk"),
                )
            )  # fmt: skip
    return found, records
