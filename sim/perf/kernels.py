"""Time of an isolated matrix-product kernel, as a benchmark would measure it."""

from __future__ import annotations

from sim.catalog.library import fold
from sim.catalog.types import PRECISION_BYTES, Gpu
from sim.perf.calibration import device, gemm_constants, gemm_dtypes
from sim.perf.gemm import gemm_s
from sim.perf.operators import UnsupportedPlan


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
    own = next((name for name in gemm_dtypes(gpu.name) if fold(name) == fold(dtype)), precision)
    size = PRECISION_BYTES[precision]
    time = gemm_s(
        m,
        n,
        k,
        gemm_constants(gpu.name, own),
        device(gpu, precision),
        weight_bytes=size,
        activation_bytes=size,
    )
    return float(time)
