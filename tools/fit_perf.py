"""Writes data/calibration/kernels.yaml and gemm_record.yaml from measured kernels.

    python tools/fit_perf.py FOLDER_WITH_KERNEL_TABLES

Attention, experts and all-reduces are those of tools/fit_layers.py.

The tables are the kernel measurements of the PyPI package aiconfigurator-core 0.12.0 (NVIDIA,
Apache-2.0). The product reads only what is written here. Needs scipy.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import fit_gemm
import gemm_errors
import gemm_other_sources
import yaml

from sim.paths import data
from sim.perf.calibration import read_tree

HEADER = """\
# Constants of kernels, fitted by tools/fit_perf.py. SI units unless a name says otherwise.
"""
RECORD = {
    "source_id": "aiconfigurator-core",
    "date": "2026-11-24",
    "source": (
        "kernel tables of PyPI aiconfigurator-core 0.12.0 (NVIDIA, repository "
        "ai-dynamo/aiconfigurator): TensorRT-LLM 1.3.0rc20, on the A100 1.0.0; half of the shapes"
    ),
    "licence": "Apache-2.0",
    "method": (
        "soft-L1 least squares of log(predicted/measured); errors in five folds with whole shapes "
        "held out; n, k >= 512 for matrix products, each row's errors in gemm_record.yaml"
    ),
}
ASSUMED = {
    "transfer": "a GPU without constants of its own takes another's: mi300x and l4 are unmeasured",
    "l2_bytes": "vendors' figures, remembered",
    "precision_like": "int8 products as fp8",
    "block_scaled": (
        "weights with a scale per block: on the H200 as on the H100; elsewhere as one scale per "
        "tensor (Blackwell's tensor cores scale blocks themselves)"
    ),
}
L2_BYTES = {name: l2 for name, l2, _ in fit_gemm.GPUS.values()} | {"mi300x": 256e6, "l4": 48e6}
BLOCK_SCALED = {"h100-sxm": "fp8_block", "h200-sxm": "fp8_block"}
TRANSFER = {"default": "h100-sxm", "gb200": "b200", "l4": "l40s", "mi300x": "h100-sxm"}
RECORD_HEADER = """\
# How far to trust the times of matrix products, by tools/fit_perf.py; sim/perf/gemm_record.py says
# what each figure is. Relative errors; whole (n, k) shapes held out, five folds. other_sources:
# tables that no choice has looked at.
"""
KERNELS = ("calibration", "kernels.yaml")


def main(folder: Path) -> None:
    gemm, gemm_record, lines = gemm_errors.fit_all(folder)
    tree = {
        "record": {**RECORD, "errors": lines},
        "assumed": ASSUMED,
        "transfer": TRANSFER,
        "precision_like": {"int8": "fp8"},
        "block_scaled": BLOCK_SCALED,
        "l2_bytes": L2_BYTES,
        "gemm_tiles": fit_gemm.tiles_tree(),
        "gemm": gemm,
    }
    _write(HEADER, tree, False, *KERNELS)
    read_tree.cache_clear()
    record = {
        "source_id": RECORD["source_id"],
        "other_sources": gemm_other_sources.compare_all(folder),
        "gemm_record": gemm_record,
    }
    _write(RECORD_HEADER, record, None, "calibration", "gemm_record.yaml")


class Dumper(yaml.SafeDumper):
    """Plain YAML, with tiles and splits in one line."""


def _list(dumper: yaml.SafeDumper, values: fit_gemm.Inline) -> yaml.Node:
    return dumper.represent_sequence("tag:yaml.org,2002:seq", values, flow_style=True)


Dumper.add_representer(fit_gemm.Inline, _list)


def _write(header: str, tree: dict[str, Any], flow: bool | None, *place: str) -> None:
    text = yaml.dump(tree, Dumper=Dumper, sort_keys=False, width=100, default_flow_style=flow)
    data(*place).write_text(header + text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
