"""Measured kernels with what rackplan says of them, and what the record of the fit says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.perf.layer_constants import kernel_record
from sim.validate.tables import Columns, Floats, Mask


@dataclass(frozen=True)
class HeldOut:
    """Errors on whole shapes held out of the fit, from its record; shares, None if not kept."""

    rows: int
    median: float
    p90: float
    bias: float | None = None


@dataclass(frozen=True)
class Timings:
    """Kernels of one kind on one GPU: measured, and predicted by the shipped constants.

    Attributes:
        kind: ``attention-decode``, ``attention-prefill``, ``moe``, ``all-reduce`` (an engine's
            own), ``collective`` (NCCL in a domain) or ``network`` (NCCL between servers).
        kernel: which of the kind: data types, ranks.
        shape: [n] what the fit holds out as a whole, in words.
        columns: [n] each, what tells rows apart.
        regimes: [n] each, parts of the rows by name; they overlap.
        fitted: [n] whether the constants were fitted to rows of this shape.
        record: errors held out, None where there is no record of this kernel.
    """

    file: str
    kind: str
    gpu: str
    kernel: str
    shape: NDArray[np.str_]
    columns: Columns
    regimes: Mapping[str, Mask]
    fitted: Mask
    measured_s: Floats
    predicted_s: Floats
    record: HeldOut | None

    @property
    def errors(self) -> Floats:
        """[n] relative errors: predicted over measured, less one."""
        off: Floats = self.predicted_s / self.measured_s - 1
        return off

    @property
    def name(self) -> str:
        """GPU and kernel."""
        return f"{self.gpu}, {self.kernel}"


@dataclass
class Found:
    """What a table held: kernels with predictions, and in words what has none."""

    timings: list[Timings] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)


def seen_shapes(name: str, shape: NDArray[np.str_]) -> Mask:
    """[n] whether the fit of the kernel that the record calls ``name`` had rows of these shapes."""
    line = kernel_record(name)
    known = line["fitted_shapes"].split() if line else []
    return np.isin(shape, known)


def held_out(name: str) -> HeldOut | None:
    """The record of a kernel of attention, experts or all-reduces."""
    line: Mapping[str, Any] | None = kernel_record(name)
    if line is None:
        return None
    errors = line["held_out"]
    return HeldOut(
        errors["rows"], errors["median_pct"] / 100, errors["p90_pct"] / 100,
        errors["bias_pct"] / 100,
    )  # fmt: skip
