"""Fits the constants of matrix products on measured kernels (run by ``fit_perf.py``).

Each (GPU, dtype) is fitted on its rows with n, k >= 512: least squares of log(predicted/measured)
with a soft-L1 loss. Bounds are what physics allows. The search starts from the same round values
for every GPU and is held to them weakly, so that no start knows the rows that are held out; the
H200 starts at the H100's constants, fitted without the held-out shapes, and is held to them.
``gemm_errors.py`` finds the errors.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from sim.catalog.library import load
from sim.catalog.types import PRECISION_BYTES
from sim.perf.gemm import Device, GemmConstants, gemm_s

DTYPES = {"bfloat16": "bf16", "fp8": "fp8", "fp8_block": "fp8_block", "nvfp4": "fp4"}
#: Field -> (scale, low, high, start, spread): the last two in units of scale, as the bounds.
RANGE = {
    "launch_s": (1e-6, 0.3, 15, 2.5, 2),
    "quantise_s": (1e-6, 0, 15, 5, 4),
    "quantise": (1, 0, 12, 2.5, 2),
    "compute": (1, 0.3, 1.2, 0.85, 0.25),
    "bandwidth": (1, 0.4, 1.2, 0.88, 0.12),
    "norm": (1, 1, 6, 2.3, 0.8),
    "prologue_s": (1e-6, 0.01, 4, 0.5, 0.6),
    "split_s": (1e-6, 0.3, 20, 3, 3),
    "throttle": (1, 0, 0.4, 0.1, 0.1),
    "throttle_s": (1e-3, 0.05, 10, 3, 4),
    "ramp_s_per_sqrt_mb": (1e-6, 0, 1.5, 0.25, 0.25),
    "l2": (1, 2, 12, 5.5, 3),
    "tile_loss": (1, 0, 1, 0.1, 0.3),
    "k_latency_s": (1e-6, 0, 0.3, 0.06, 0.05),
    "resident_mb": (1, 3, 60, 10, 10),
    "resident": (1, 0.1, 1, 0.6, 0.4),
    "tail": (1, 0, 1, 0.2, 0.4),
    "stairs": (1, 0, 0.95, 0.2, 0.4),
    "gemv": (1, 0, 3, 0.1, 0.6),
    "gemv_n": (1e3, 1, 20, 4.5, 3),
    "gemv_k": (1e3, 0.5, 10, 3, 2),
}
QUANTISED = ("quantise_s", "quantise")
GEMV = ("gemv", "gemv_n", "gemv_k")
#: Weight of the pull towards the start; an error of 5 % of one row weighs about as much as a
#: constant half a spread away.
PULL = 0.1
#: The same towards the constants of a GPU of the same chip.
PULL_LIKE = 0.4
SMALLEST = 512  # of n and k: smaller products are another regime


@dataclass(frozen=True)
class Library:
    """What a generation's library chooses among, and the terms that its times show.

    Chosen by the error on held-out shapes; ``gemm_errors.py`` says what each choice buys.
    """

    tiles: tuple[tuple[int, int], ...]
    splits: tuple[int, ...]
    without: tuple[str, ...]
    gemv: tuple[str, ...] = ()  # dtypes with a slow path for few rows
    unsplit: tuple[str, ...] = ()  # dtypes whose kernels never split k


SMALL = ((128, 128), (64, 128), (64, 64), (64, 32), (64, 16))
SPLITS = (1, 2, 4, 8, 16)
HOPPER = Library(SMALL, SPLITS, ("stairs",), unsplit=("fp8_block",))
AMPERE = Library(((128, 256), (256, 128), *SMALL), SPLITS, ("tail",))
ADA = Library(SMALL, SPLITS, ("stairs",))
BLACKWELL = Library(
    ((16, 64), (32, 64), (64, 64), (64, 128), (128, 128), (128, 256), (256, 128)),
    (1, 2, 4),
    ("stairs",),
    gemv=("bf16",),
)
#: Name in the tables -> (catalog name, L2 bytes, library).
GPUS = {
    "h100_sxm": ("h100-sxm", 50e6, HOPPER),
    "h200_sxm": ("h200-sxm", 50e6, HOPPER),
    "a100_sxm": ("a100-sxm", 40e6, AMPERE),
    "b200_sxm": ("b200", 126e6, BLACKWELL),
    "gb200": ("gb200", 126e6, BLACKWELL),
    "l40s": ("l40s", 96e6, ADA),
}


#: GPUs of one chip and library with few shapes, held to the constants of the one with many.
LIKE = {"h200-sxm": "h100-sxm"}


@dataclass(frozen=True)
class Measured:
    """Equally long columns; seconds."""

    m: NDArray[np.float64]
    n: NDArray[np.float64]
    k: NDArray[np.float64]
    seconds: NDArray[np.float64]

    def take(self, mask: NDArray[np.bool_]) -> Measured:
        return Measured(*(getattr(self, f.name)[mask] for f in fields(self)))

    def pairs(self) -> NDArray[np.float64]:
        """One number for each (n, k)."""
        return self.n * 1e6 + self.k


@dataclass(frozen=True)
class Setup:
    """What stays fixed in one fit."""

    gpu: str
    table_dtype: str
    precision: str
    device: Device
    size: float
    free: tuple[str, ...]

    def constants(self, x: NDArray[np.float64]) -> GemmConstants:
        """Free fields as given in units of their scale; the others switched off."""
        values = dict.fromkeys(RANGE, 0.0) | {
            name: float(v) * RANGE[name][0] for name, v in zip(self.free, x, strict=True)
        }
        values["gemv_n"] = values["gemv_n"] or 1.0  # unused, but divides
        values["gemv_k"] = values["gemv_k"] or 1.0
        return GemmConstants(**values)

    def predict(self, rows: Measured, constants: GemmConstants) -> NDArray[np.float64]:
        return gemm_s(
            rows.m, rows.n, rows.k, constants, self.device,
            weight_bytes=self.size, activation_bytes=self.size,
        )  # fmt: skip


@dataclass(frozen=True)
class Table:
    """What was measured of one (GPU, dtype), and the table that its constants are held to."""

    setup: Setup
    rows: Measured
    like: Table | None = None

    def fit(self, held: NDArray[np.float64] | tuple[()] = ()) -> GemmConstants:
        """Constants from the rows of this table (and of the like) whose pairs are not ``held``."""
        rows = self.rows.take(~np.isin(self.rows.pairs(), held))
        return fit(self.setup, rows, self.like.fit(held) if self.like else None)


def tables(folder: Path) -> list[Table]:
    """Every (GPU, dtype) of the tables that the catalog has."""
    found: dict[tuple[str, str], Table] = {}
    for table_name, (name, l2, library) in GPUS.items():
        for dtype, precision in DTYPES.items():
            rows = read(folder, table_name, dtype)
            if len(rows.m):
                setup = setup_of(name, dtype, precision, l2, library)
                like = found.get((LIKE.get(name, ""), precision))
                if like:  # of the same m, which is faster and as good
                    same = like.rows.take(np.isin(like.rows.m, rows.m))
                    like = Table(like.setup, same)
                found[name, precision] = Table(setup, rows, like)
    return list(found.values())


def setup_of(name: str, dtype: str, precision: str, l2: float, library: Library) -> Setup:
    """What stays fixed in the fit of one (GPU, dtype)."""
    catalog = load()
    gpu = catalog.gpus[name]
    canonical = catalog.canonical("precision", precision)
    device = Device(
        gpu.peak_flops[canonical], gpu.memory_bandwidth_bytes_per_s, gpu.sms, l2,
        library.tiles, (1,) if precision in library.unsplit else library.splits,
    )  # fmt: skip
    absent = set(library.without)
    absent |= set(QUANTISED) if precision == "bf16" else set()
    absent |= {"split_s"} if precision in library.unsplit else set()
    absent |= set(GEMV) if precision not in library.gemv else set()
    free = tuple(field for field in RANGE if field not in absent)
    return Setup(name, dtype, precision, device, PRECISION_BYTES[canonical], free)


def read(folder: Path, gpu: str, dtype: str) -> Measured:
    """The rows of one GPU and dtype with n, k >= 512; none where the tables lack it."""
    big = gpu == "h100_sxm"
    path = folder / ("aic_gemm_h100_sxm.csv" if big else "aic_gemm_all_gpus.csv")
    with path.open() as file:
        next(file)
        rows = [r for r in csv.DictReader(file) if r["dtype"] == dtype and (big or r["gpu"] == gpu)]
    columns = [[float(r[name]) for r in rows] for name in ("m", "n", "k", "latency_ms")]
    m, n, k, ms = (np.array(column) for column in columns)
    found = Measured(m, n, k, ms / 1000)
    return found.take((n >= SMALLEST) & (k >= SMALLEST)) if rows else found


def fit(setup: Setup, rows: Measured, like: GemmConstants | None = None) -> GemmConstants:
    """The constants that fit these rows, held to ``like`` (else weakly to the common start)."""
    scale, low, high, start, spread = (
        np.array([RANGE[name][i] for name in setup.free], dtype=float) for i in range(5)
    )
    if like is not None:
        start = np.array([getattr(like, name) for name in setup.free]) / scale
    pull = PULL if like is None else PULL_LIKE

    def residuals(x: NDArray[np.float64]) -> NDArray[np.float64]:
        off = np.log(setup.predict(rows, setup.constants(x)) / rows.seconds)
        return np.append(off, pull * (x - start) / spread)

    found = least_squares(
        residuals, np.clip(start, low + 1e-6, high - 1e-6), bounds=(low, high), loss="soft_l1",
        f_scale=0.05, x_scale=spread, max_nfev=60, ftol=1e-6, diff_step=1e-3,
    )  # fmt: skip
    return setup.constants(found.x)


def as_row(constants: GemmConstants) -> dict[str, float]:
    """The constants as they are written: four digits."""
    return {f.name: float(f"{getattr(constants, f.name):.4g}") for f in fields(constants)}


class Inline(list[object]):
    """A list that is written in one line."""


def tiles_tree() -> dict[str, dict[str, Inline]]:
    """Tiles and splits by GPU, as they are written."""
    return {
        name: {
            "tiles": Inline(Inline(tile) for tile in library.tiles),
            "splits": Inline(library.splits),
            "unsplit": Inline(library.unsplit),
        }
        for name, _, library in GPUS.values()
    }
