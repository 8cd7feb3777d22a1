"""Time of an isolated matrix-product kernel, as a benchmark measures it, and how sure it is."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp

from sim.catalog.library import fold
from sim.catalog.types import PRECISION_BYTES, Gpu
from sim.perf.calibration import device, gemm_constants, gemm_dtypes
from sim.perf.gemm import gemm_s
from sim.perf.gemm_record import gemm_record
from sim.perf.operators import UnsupportedPlan


@dataclass(frozen=True)
class KernelTime:
    """What is expected of one kernel.

    Attributes:
        time_s: the predicted time.
        error: half of the held-out kernels of this regime of m erred by less than this share.
        time_p10_s: of ten measured times about one is below.
        time_p90_s: of ten measured times about one is above.
        note: why to trust the above less; empty if nothing speaks against it.
    """

    time_s: float
    error: float
    time_p10_s: float
    time_p90_s: float
    note: str


def kernel_s(gpu: Gpu, dtype: str, precision: str, m: int, n: int, k: int) -> float:
    """Seconds of [m, k] x [k, n] on one GPU, launch and activation quantisation included.

    ``precision`` is the canonical form of ``dtype``; a dtype with constants of its own
    (``fp8_block``, however spelt) uses those.

    Raises:
        UnsupportedPlan: the GPU has no arithmetic in this precision.
    """
    if precision not in gpu.peak_flops:
        known = ", ".join(gpu.peak_flops)
        raise UnsupportedPlan(f"{gpu.name} has no {precision} arithmetic (it has {known})")
    size = PRECISION_BYTES[precision]
    own = _own(gpu, dtype, precision)
    time = gemm_s(
        m,
        n,
        k,
        gemm_constants(gpu.name, own),
        device(gpu, precision, own),
        weight_bytes=size,
        activation_bytes=size,
    )
    return float(time)


def kernel_time(gpu: Gpu, dtype: str, precision: str, m: int, n: int, k: int) -> KernelTime:
    """``kernel_s`` with the error of its regime on shapes that the fit has not seen.

    Raises:
        UnsupportedPlan: as ``kernel_s``.
    """
    time_s = kernel_s(gpu, dtype, precision, m, n, k)
    record = gemm_record(gpu.name, _own(gpu, dtype, precision))
    errors = record.errors_at(m)
    notes = []
    measured = {fold(record.dtype), fold(record.table_dtype)}
    if record.gpu != gpu.name or fold(dtype) not in measured:
        owner = f"{record.gpu} {record.dtype}"
        notes.append(f"{dtype} was not measured on {gpu.name}: constants of {owner}")
    if outside := record.outside(m, n, k):
        notes.append(outside)
    return KernelTime(
        time_s,
        errors.median,
        time_s * exp(errors.log_p10),
        time_s * exp(errors.log_p90),
        "; ".join(notes),
    )


def _own(gpu: Gpu, dtype: str, precision: str) -> str:
    """The constants of ``dtype``: by its own name if there are such, else by its precision."""
    return next((name for name in gemm_dtypes(gpu.name) if fold(name) == fold(dtype)), precision)
