"""Measured kernels of routed experts: reads the tables, and predicts them row by row."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sim.catalog.arithmetic import bits_per_weight
from sim.catalog.types import Gpu
from sim.errors import DataError
from sim.perf.experts import ExpertConstants, Layer, experts_s
from sim.perf.kernel_ops import EXPERT_PRECISIONS
from sim.perf.layer_constants import expert_constants, expert_kernels
from sim.validate.tables import (
    Columns,
    Floats,
    Line,
    Mask,
    columns,
    gpu_of,
    groups,
    lines_of,
    take,
)
from sim.validate.timings import Found, Timings, held_out, seen_shapes

#: Our name of a kernel: its dtype in the table and the source of the kernel ("": any).
KERNELS = {
    "bf16": ("bfloat16", "moe_torch_flow_cutlass"),
    "fp8": ("fp8", "moe_torch_flow_cutlass"),
    "fp8_block": ("fp8_block", ""),
    "fp4": ("nvfp4", "moe_torch_flow_cutlass"),
    "fp4_low_latency": ("nvfp4", "moe_torch_flow_min_latency"),
    "w4a16": ("w4a16_mxfp4", "moe_torch_flow"),
    "w4a8": ("w4a8_mxfp4_mxfp8", "moe_torch_flow"),
}
ROUTINGS = {"balanced": "balanced", "power_law_1.2": "power-law"}
_SHAPE = ("hidden_size", "inter_size", "topk", "num_experts", "moe_tp_size", "moe_ep_size")
COLUMNS = ("gpu", "moe_dtype", "kernel_source", *_SHAPE, "distribution", "num_tokens", "latency_ms")


def kernel_of(dtype: str, source: str) -> str | None:
    """Our name of a table's kernel, None if it has none."""
    for kernel, (its_dtype, its_source) in KERNELS.items():
        if dtype == its_dtype and its_source in (source, ""):
            return kernel
    return None


def experts_table(path: Path, lines: list[Line]) -> Columns:
    """Columns of these rows, with ``routing``, ``shape``, and ``key``, equal in equal layers.

    Raises:
        DataError: a cell that is no number above 0, or a routing that is not known.
    """
    table = columns(path, lines, (*_SHAPE, "num_tokens"))
    for number, row in lines:
        if row["distribution"] not in ROUTINGS:
            raise DataError(
                str(path),
                f"column 'distribution': expected {' or '.join(ROUTINGS)}, "
                f"not {row['distribution']!r}",
                number,
            )
    table["routing"] = np.array([ROUTINGS[row["distribution"]] for _, row in lines])
    table["shape"] = np.array(
        ["/".join(f"{x:g}" for x in row) for row in zip(*(table[n] for n in _SHAPE), strict=True)]
    )
    table["key"] = np.array(
        [f"{s} {r}" for s, r in zip(table["shape"], table["routing"], strict=True)]
    )
    return table


def experts_regimes(table: Columns) -> dict[str, Mask]:
    """Parts of the rows in which other things decide."""
    few = table["num_tokens"] <= 64
    return {
        "balanced": table["routing"] == "balanced",
        "power-law": table["routing"] == "power-law",
        "<= 64 tokens": few,
        "65-1024 tokens": ~few & (table["num_tokens"] <= 1024),
        "> 1024 tokens": table["num_tokens"] > 1024,
    }


def layers_s(table: Columns, c: ExpertConstants, kernel: str, gpu: Gpu) -> Floats:
    """[n] seconds of a table's rows, layer by layer."""
    product, weights = EXPERT_PRECISIONS[kernel]
    out = np.empty(len(table["seconds"]))
    for key in np.unique(table["key"]):
        mask = table["key"] == key
        t = take(table, mask)
        layer = Layer(
            int(t["num_experts"][0]), int(t["topk"][0]), int(t["hidden_size"][0]),
            int(t["inter_size"][0] / t["moe_tp_size"][0]), int(t["moe_ep_size"][0]),
            bits_per_weight(weights) / 8,
        )  # fmt: skip
        out[mask] = experts_s(
            t["num_tokens"], layer, str(t["routing"][0]), c, gpu.peak_flops[product],
            gpu.memory_bandwidth_bytes_per_s,
        )  # fmt: skip
    return out


def experts_timings(path: Path) -> Found:
    """Routed experts of a table with ``COLUMNS``, by GPU and kernel.

    Raises:
        DataError: a cell that is not what its column says.
    """
    found = Found()
    for key, lines in groups(lines_of(path), "gpu", "moe_dtype", "kernel_source").items():
        name, dtype, source = key
        gpu, kernel = gpu_of(name, path, "aic_moe_"), kernel_of(dtype, source)
        what = f"{path.name}: {len(lines)} rows of experts"
        if gpu is None:
            found.skipped.append(f"{what}, no GPU {name} in the catalog")
            continue
        if (
            kernel is None
            or kernel not in expert_kernels(gpu.name)
            or EXPERT_PRECISIONS[kernel][0] not in gpu.peak_flops
        ):
            found.skipped.append(f"{what}, no constants for {dtype} ({source}) on {gpu.name}")
            continue
        table = experts_table(path, lines)
        record = f"moe {gpu.name} {kernel}"
        found.timings.append(Timings(
            path.name, "moe", gpu.name, kernel, table["shape"],
            {n: table[n] for n in (*_SHAPE, "routing", "num_tokens")}, experts_regimes(table),
            seen_shapes(record, table["shape"]), table["seconds"],
            layers_s(table, expert_constants(gpu.name, kernel), kernel, gpu), held_out(record),
        ))  # fmt: skip
    return found
