"""Fits the constants of matrix products on measured kernels (run by ``fit_perf.py``).

Each (GPU, dtype) is fitted on its rows with n, k >= 512: least squares of log(predicted/measured)
with a soft-L1 loss. Errors are cross-validated, five folds with whole (n, k) pairs held out.
"""

from __future__ import annotations

import csv
import sys
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from sim.catalog.library import load
from sim.catalog.types import PRECISION_BYTES
from sim.perf.gemm import Device, GemmConstants, gemm_s

#: Name in the tables -> (catalog name, L2 bytes).
GPUS = {
    "h100_sxm": ("h100-sxm", 50e6),
    "h200_sxm": ("h200-sxm", 50e6),
    "a100_sxm": ("a100-sxm", 40e6),
    "b200_sxm": ("b200", 126e6),
    "gb200": ("gb200", 126e6),
    "l40s": ("l40s", 96e6),
}
DTYPES = {"bfloat16": "bf16", "fp8": "fp8", "fp8_block": "fp8_block", "nvfp4": "fp4"}
#: Field -> (scale, low, high) of the search.
RANGE = {
    "launch_s": (1e-6, 0.3, 15),
    "quantise_s": (1e-6, 0, 15),
    "quantise": (1, 0, 12),
    "compute": (1, 0.3, 1.2),
    "bandwidth": (1, 0.4, 1.2),
    "norm": (1, 1, 6),
    "prologue_s": (1e-6, 0.01, 4),
    "split_s": (1e-6, 0.3, 20),
    "throttle": (1, 0, 0.4),
    "throttle_s": (1e-3, 0.05, 10),
    "ramp_s_per_sqrt_mb": (1e-6, 0, 1.5),
    "l2": (1, 2, 12),
    "tile_loss": (1, 0, 1),
    "k_latency_s": (1e-6, 0, 0.3),
    "resident_mb": (1, 3, 60),
    "resident": (1, 0.1, 1),
    "tail": (1, 0, 1),
}
#: Where the search starts, in the order and scales of ``RANGE``: an earlier fit of the same form,
#: rounded. Never the result of the last run, so that a second run writes the same file.
START = {
    ("h100-sxm", "bf16"): (1.99, 0, 0, 0.883, 0.88, 3, 0.72, 3.3, 0.117, 5.5, 0.32, 5.5, 0, 0.07,
                           6.8, 0.48, 0),
    ("h100-sxm", "fp8"): (6.74, 5, 2.3, 0.8, 0.852, 3.2, 0.81, 3.7, 0.158, 5.4, 0.2, 0, 0, 0.04,
                          7.3, 0.61, 0),
    ("h200-sxm", "bf16"): (2.08, 0, 0, 0.943, 0.929, 2.4, 0.73, 2.7, 0.171, 3, 0.24, 4.9, 0.1,
                           0.08, 8.9, 0.48, 0),
    ("h200-sxm", "fp8"): (7.84, 3.7, 3.1, 0.822, 0.947, 2.7, 0.73, 3.6, 0.05, 2.4, 0.43, 4, 0, 0,
                          0, 1, 0),
    ("b200", "bf16"): (2.28, 0, 0, 1.2, 0.848, 1.9, 0.19, 3.3, 0.07, 0.12, 0.07, 7.5, 0.51, 0.06,
                       18, 0.15, 0.45),
    ("b200", "fp8"): (5.23, 8.4, 3, 0.928, 0.922, 1.7, 0.18, 5.8, 0.15, 0.16, 0.16, 5.4, 0.01,
                      0.04, 29, 1, 0.45),
    ("b200", "fp4"): (1.68, 5.1, 2.6, 1, 1.2, 1.9, 0.04, 20, 0, 1, 0.49, 0, 0, 0.1, 10, 0.86, 0.45),
    ("a100-sxm", "bf16"): (3.34, 0, 0, 1.2, 0.928, 1.9, 1, 0.9, 0.07, 6.8, 0.39, 5.2, 0.32, 0.06,
                           10, 1, 1),
}  # fmt: skip
START_LIKE = {"gb200": "b200", "l40s": "h100-sxm"}
QUANTISED = ("quantise_s", "quantise")
#: Pull of a small table's fit towards its start, in units of the range.
SHRINKAGE = 0.3
FOLDS = 5


@dataclass(frozen=True)
class Measured:
    """Equally long columns; seconds."""

    m: NDArray[np.float64]
    n: NDArray[np.float64]
    k: NDArray[np.float64]
    seconds: NDArray[np.float64]

    def take(self, mask: NDArray[np.bool_]) -> Measured:
        return Measured(*(getattr(self, f.name)[mask] for f in fields(self)))


@dataclass(frozen=True)
class Setup:
    """What stays fixed in one fit."""

    device: Device
    size: float
    start: GemmConstants
    free: tuple[str, ...]

    def constants(self, x: NDArray[np.float64]) -> GemmConstants:
        values = {name: float(v) * RANGE[name][0] for name, v in zip(self.free, x, strict=True)}
        return replace(self.start, **values)

    def predict(self, rows: Measured, constants: GemmConstants) -> NDArray[np.float64]:
        return gemm_s(
            rows.m, rows.n, rows.k, constants, self.device,
            weight_bytes=self.size, activation_bytes=self.size,
        )  # fmt: skip


def start_of(gpu: str, precision: str) -> GemmConstants:
    """Where the search starts for this GPU."""
    values = START[START_LIKE.get(gpu, gpu), precision]
    scaled = zip(RANGE.items(), values, strict=True)
    return GemmConstants(**{name: value * scale for (name, (scale, *_)), value in scaled})


def read(folder: Path, gpu: str, dtype: str) -> Measured:
    """The rows of one GPU and dtype."""
    big = gpu == "h100_sxm"
    path = folder / ("aic_gemm_h100_sxm.csv" if big else "aic_gemm_all_gpus.csv")
    with path.open() as file:
        next(file)
        rows = [r for r in csv.DictReader(file) if r["dtype"] == dtype and (big or r["gpu"] == gpu)]
    columns = [[float(r[name]) for r in rows] for name in ("m", "n", "k", "latency_ms")]
    m, n, k, ms = (np.array(column) for column in columns)
    return Measured(m, n, k, ms / 1000)


def fit(setup: Setup, rows: Measured) -> GemmConstants:
    """The constants that fit these rows."""
    scale = np.array([RANGE[name][0] for name in setup.free])
    low, high = (np.array([RANGE[name][i] for name in setup.free], dtype=float) for i in (1, 2))
    start = np.array([getattr(setup.start, name) for name in setup.free]) / scale
    start = np.clip(start, low + 1e-6, high - 1e-6)
    pull = SHRINKAGE if len(rows.m) < 1000 else 0.0

    def residuals(x: NDArray[np.float64]) -> NDArray[np.float64]:
        off = np.log(setup.predict(rows, setup.constants(x)) / rows.seconds)
        return np.append(off, pull * (x - start) / (high - low))

    found = least_squares(
        residuals, start, bounds=(low, high), loss="soft_l1", f_scale=0.05,
        x_scale=high - low, max_nfev=40, diff_step=1e-3,
    )  # fmt: skip
    return setup.constants(found.x)


def cross_validate(setup: Setup, rows: Measured) -> NDArray[np.float64]:
    """Relative errors of rows whose (n, k) the fit has not seen."""
    pairs = rows.n * 1e6 + rows.k
    order = np.random.default_rng(0).permutation(np.unique(pairs))
    errors = np.empty(len(pairs))
    for fold in range(FOLDS):
        held = np.isin(pairs, order[fold::FOLDS])
        constants = fit(setup, rows.take(~held))
        test = rows.take(held)
        errors[held] = setup.predict(test, constants) / test.seconds - 1
    return errors


def fit_all(folder: Path) -> tuple[dict[str, dict[str, dict[str, float]]], list[str]]:
    """Constants by GPU and dtype, and a line on the error of each."""
    catalog = load()
    gemm: dict[str, dict[str, dict[str, float]]] = {}
    record: list[str] = []
    for table_name, (name, l2) in GPUS.items():
        for dtype, precision in DTYPES.items():
            rows = read(folder, table_name, dtype)
            rows = rows.take((rows.n >= 512) & (rows.k >= 512))
            if not len(rows.m):
                continue
            gpu = catalog.gpus[name]
            canonical = catalog.canonical("precision", precision)
            device = Device(
                gpu.peak_flops[canonical], gpu.memory_bandwidth_bytes_per_s, gpu.sms, l2
            )
            start = start_of(name, "fp8" if precision == "fp8_block" else precision)
            free = tuple(f for f in RANGE if precision != "bf16" or f not in QUANTISED)
            setup = Setup(device, PRECISION_BYTES[canonical], start, free)
            errors = np.abs(cross_validate(setup, rows))
            found = fit(setup, rows)
            inside = np.abs(setup.predict(rows, found) / rows.seconds - 1)
            line = (
                f"{name} {precision}: {len(rows.m)} rows, MAPE held out {100 * errors.mean():.1f} %"
                f" (median {100 * np.median(errors):.1f}), in sample {100 * inside.mean():.1f} %"
            )
            print(line, file=sys.stderr, flush=True)
            record.append(line)
            row = {f.name: float(f"{getattr(found, f.name):.4g}") for f in fields(found)}
            gemm.setdefault(name, {})[precision] = row
    return gemm, record
