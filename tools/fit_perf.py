"""Writes data/calibration/kernels.yaml from measured kernels.

    python tools/fit_perf.py FOLDER_WITH_KERNEL_TABLES

The tables are the kernel measurements of the PyPI package aiconfigurator-core 0.12.0 (NVIDIA,
Apache-2.0). The product reads only what is written here. Needs scipy.
"""

from __future__ import annotations

import sys
from pathlib import Path

import fit_gemm
import yaml

from sim.paths import data

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
        "held out; n, k >= 512 for matrix products; starting values from an earlier fit of the "
        "same form"
    ),
}
ASSUMED = {
    "transfer": "a GPU without constants of its own takes another's: mi300x and l4 are unmeasured",
    "l2_bytes": "vendors' figures, remembered",
    "precision_like": "int8 products as fp8",
}
L2_BYTES = dict(fit_gemm.GPUS.values()) | {"mi300x": 256e6, "l4": 48e6}
TRANSFER = {"default": "h100-sxm", "gb200": "b200", "l4": "l40s", "mi300x": "h100-sxm"}


def main(folder: Path) -> None:
    gemm, gemm_record = fit_gemm.fit_all(folder)
    tree = {
        "record": {**RECORD, "errors": gemm_record},
        "assumed": ASSUMED,
        "transfer": TRANSFER,
        "precision_like": {"int8": "fp8"},
        "l2_bytes": L2_BYTES,
        "gemm": gemm,
    }
    text = yaml.safe_dump(tree, sort_keys=False, width=100)
    data("calibration", "kernels.yaml").write_text(HEADER + text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
