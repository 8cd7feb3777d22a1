"""Fits the constants of ``sim.perf.gemm`` to timings of one GPU, with whole (n, k) held out.

The search starts at the constants that rackplan ships for this GPU (or for the relative whose
constants it takes) and is pulled towards them, the less the more timings there are. How many of
them to free is chosen by cross-validation among nested sets. Timings are the cold ones, the cache
turned over before each: weights are then read from memory, as in serving, so the terms of looped
benchmarks (``resident``) are off. Products with a side below 512 are left out, as in the shipped
fit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from sim.calibrate.folds import Errors, errors_of, folds
from sim.calibrate.kernel import DTYPE_BYTES, Kernel
from sim.perf.gemm import Device, GemmConstants, gemm_s

#: Field → (scale, low, high): what physics allows, in units of the scale.
BOUNDS = {
    "launch_s": (1e-6, 0.3, 15.0),
    "compute": (1.0, 0.3, 1.2),
    "bandwidth": (1.0, 0.4, 1.2),
    "ramp_s_per_sqrt_mb": (1e-6, 0.0, 1.5),
    "l2": (1.0, 2.0, 12.0),
    "norm": (1.0, 1.0, 6.0),
    "prologue_s": (1e-6, 0.01, 4.0),
    "split_s": (1e-6, 0.3, 20.0),
    "tile_loss": (1.0, 0.0, 1.0),
    "k_latency_s": (1e-6, 0.0, 0.3),
    "tail": (1.0, 0.0, 1.0),
    "throttle": (1.0, 0.0, 0.4),
    "throttle_s": (1e-3, 0.05, 10.0),
}
#: How many of ``BOUNDS``, in that order, are free; the others stay as shipped.
SETS = (5, 11, 13)
LEAST_ROWS, LEAST_PAIRS = 40, 8
#: n and k from here on; as in the shipped fit.
LEAST_SIDE = 512
#: Pull towards the start of a fit of ``PULL_ROWS`` rows, in units of the range.
PULL, PULL_ROWS = 0.3, 175

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class GemmFit:
    """Fitted constants of one data type, and their errors."""

    dtype: str
    constants: GemmConstants
    rows: int
    pairs: int
    free: int  # constants that were free
    held_out: Errors
    by_free: tuple[tuple[int, float], ...]  # (free constants, held-out MAPE) of every set tried
    in_sample: Errors
    shipped: Errors  # of the constants that the search started at


@dataclass(frozen=True)
class _Problem:
    device: Device
    start: GemmConstants
    size: int
    m: Floats
    n: Floats
    k: Floats
    seconds: Floats

    def take(self, mask: NDArray[np.bool_]) -> _Problem:
        columns = {name: getattr(self, name)[mask] for name in ("m", "n", "k", "seconds")}
        return replace(self, **columns)

    def predict(self, constants: GemmConstants) -> Floats:
        return gemm_s(
            self.m, self.n, self.k, constants, self.device,
            weight_bytes=self.size, activation_bytes=self.size,
        )  # fmt: skip

    def errors(self, constants: GemmConstants) -> Errors:
        return errors_of(self.predict(constants), self.seconds)


def fit_gemm(
    kernels: Sequence[Kernel],
    seconds: Sequence[float],
    device: Device,
    start: GemmConstants,
    progress: Callable[[str], None] = lambda text: None,
) -> GemmFit | str:
    """Constants of products of one data type; or, in words, why there are none."""
    rows = [(k, s) for k, s in zip(kernels, seconds, strict=True) if min(k.shape) >= LEAST_SIDE]
    pairs = [kernel.shape for kernel, _ in rows]
    if len(rows) < LEAST_ROWS or len(set(pairs)) < LEAST_PAIRS:
        return (
            f"{len(rows)} products of {len(set(pairs))} (n, k) with sides of {LEAST_SIDE} or more; "
            f"the form needs {LEAST_ROWS} of {LEAST_PAIRS}"
        )
    columns = np.array([(*kernel.sizes, time_s) for kernel, time_s in rows], dtype=float).T
    start = replace(start, quantise_s=0.0, quantise=0.0, resident_mb=0.0)
    problem = _Problem(device, start, DTYPE_BYTES[rows[0][0].dtype], *columns)
    tried: list[tuple[int, float]] = []
    best: tuple[int, Errors] | None = None
    for count in SETS:
        errors = _cross_validate(problem, pairs, count)
        tried.append((count, errors.mean))
        progress(f"{rows[0][0].dtype}: {count} free constants: {100 * errors.mean:.1f} % held out")
        if best is None or errors.mean < best[1].mean:
            best = count, errors
    assert best is not None  # SETS has one at least
    found = _fit(problem, best[0])
    return GemmFit(
        rows[0][0].dtype, found, len(rows), len(set(pairs)), best[0], best[1], tuple(tried),
        problem.errors(found), problem.errors(start),
    )  # fmt: skip


def _cross_validate(problem: _Problem, pairs: Sequence[tuple[int, ...]], count: int) -> Errors:
    predicted = np.empty(len(problem.seconds))
    for held in folds(pairs):
        found = _fit(problem.take(~held), count)
        predicted[held] = problem.take(held).predict(found)
    return errors_of(predicted, problem.seconds)


def _fit(problem: _Problem, count: int) -> GemmConstants:
    names = list(BOUNDS)[:count]
    scale, low, high = (np.array([BOUNDS[name][i] for name in names]) for i in range(3))
    start = np.array([getattr(problem.start, name) for name in names]) / scale
    start = np.clip(start, low + 1e-6, high - 1e-6)
    pull = PULL * min(1.0, PULL_ROWS / len(problem.seconds))

    def constants(x: Floats) -> GemmConstants:
        return replace(problem.start, **dict(zip(names, (x * scale).tolist(), strict=True)))

    def residuals(x: Floats) -> Floats:
        off = np.log(problem.predict(constants(x)) / problem.seconds)
        return np.append(off, pull * (x - start) / (high - low))

    found = least_squares(
        residuals, start, bounds=(low, high), loss="soft_l1", f_scale=0.05,
        x_scale=high - low, max_nfev=40, diff_step=1e-3,
    )  # fmt: skip
    return constants(found.x)
