"""A roofline for one family of kernels, fitted to its timings with whole shapes held out.

  t = launch + ((flops/F)^p + (bytes/B)^p)^(1/p)

F, B, launch and p are found by least squares of ln(predicted/measured) with a soft-L1 loss, which
minds a few odd timings less than squares would. Bounds are physical: no rate is infinite or
negative, and p = 1 (no overlap of arithmetic and memory) to 8 (nearly the larger of both). A family
without arithmetic (copies) has no F.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from sim.calibrate.folds import Errors, errors_of, folds
from sim.calibrate.kernel import Kernel

#: Fewest timings that a family is fitted with.
LEAST_ROWS = 6
#: Bounds of F and B (per second), of the launch (seconds) and of p.
_RATES, _LAUNCH, _NORM = (1e5, 1e18), (1e-8, 1e-2), (1.0, 8.0)
_SCALE = 0.1  # of the soft-L1 loss: residuals above it count in proportion

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Roofline:
    """Constants of one family. ``flops_per_s`` is None where the family does no arithmetic."""

    launch_s: float
    flops_per_s: float | None
    bytes_per_s: float
    norm: float

    def seconds(self, flops: Floats, moved: Floats) -> Floats:
        """Predicted times; arrays of one shape."""
        memory: Floats = moved / self.bytes_per_s
        if self.flops_per_s is None:
            return self.launch_s + memory
        compute = flops / self.flops_per_s
        larger = np.maximum(compute, memory)
        joined = (compute / larger) ** self.norm + (memory / larger) ** self.norm
        total: Floats = self.launch_s + larger * joined ** (1.0 / self.norm)
        return total


@dataclass(frozen=True)
class FamilyFit:
    """A fitted family and how far it is from timings it has not seen."""

    kind: str
    dtype: str
    constants: Roofline
    rows: int
    shapes: int
    held_out: Errors | None  # None: one shape only, nothing to hold out
    in_sample: Errors
    unsure: tuple[str, ...]  # constants that these timings do not tell: they lie on a bound


def fit_family(kernels: Sequence[Kernel], seconds: Sequence[float]) -> FamilyFit | None:
    """The roofline of kernels of one family; None if there are too few."""
    if len(kernels) < LEAST_ROWS:
        return None
    works = [kernel.work for kernel in kernels]
    flops = np.array([work.flops for work in works])
    moved = np.array([work.bytes for work in works])
    measured = np.asarray(seconds, dtype=float)
    shapes = [kernel.shape for kernel in kernels]
    predicted = np.full(len(kernels), math.nan)
    for held in folds(shapes):
        seen = ~held
        found, _ = _fit(flops[seen], moved[seen], measured[seen])
        predicted[held] = found.seconds(flops[held], moved[held])
    constants, unsure = _fit(flops, moved, measured)
    whole = errors_of(constants.seconds(flops, moved), measured)
    return FamilyFit(
        kind=kernels[0].kind,
        dtype=kernels[0].dtype,
        constants=constants,
        rows=len(kernels),
        shapes=len(set(shapes)),
        held_out=None if np.isnan(predicted).any() else errors_of(predicted, measured),
        in_sample=whole,
        unsure=unsure,
    )


def _fit(flops: Floats, moved: Floats, measured: Floats) -> tuple[Roofline, tuple[str, ...]]:
    """Constants, and the names of those on a bound."""
    arithmetic = bool(flops.any())
    names = ["launch_s", "bytes_per_s", *(["flops_per_s", "norm"] if arithmetic else [])]
    bounds = {
        "launch_s": _LAUNCH, "bytes_per_s": _RATES, "flops_per_s": _RATES, "norm": _NORM,
    }  # fmt: skip
    low, high = (np.array([math.log(bounds[name][i]) for name in names]) for i in (0, 1))
    start = {
        "launch_s": float(measured.min()) / 2.0,
        "bytes_per_s": float((moved / measured).max()),
        "flops_per_s": float((flops / measured).max()) if arithmetic else 0.0,
        "norm": 2.0,
    }
    first = np.array([math.log(start[name]) for name in names])
    first = np.clip(first, low + 1e-6, high - 1e-6)

    def roofline(x: Floats) -> Roofline:
        values = dict(zip(names, np.exp(x).tolist(), strict=True))
        return Roofline(
            values["launch_s"], values.get("flops_per_s"), values["bytes_per_s"],
            values.get("norm", 1.0),
        )  # fmt: skip

    def residuals(x: Floats) -> Floats:
        off: Floats = np.log(roofline(x).seconds(flops, moved) / measured)
        return off

    found = least_squares(
        residuals, first, bounds=(low, high), loss="soft_l1", f_scale=_SCALE, x_scale=1.0
    )
    near = (found.x - low < 1e-3) | (high - found.x < 1e-3)
    # A constant that changes nothing was not told by these timings either.
    flat = np.abs(found.jac).max(axis=0) < 1e-3
    unsure = tuple(name for name, odd in zip(names, near | flat, strict=True) if odd)
    return roofline(found.x), unsure
