"""The matrix-product form: limits, monotony, and its error on measured kernels."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import ArrayLike, NDArray

from sim.catalog.library import load
from sim.catalog.types import PRECISION_BYTES
from sim.perf.calibration import device, gemm_constants
from sim.perf.gemm import FULL_CLOCK, Clock, gemm_s
from sim.perf.kernels import kernel_s
from sim.perf.operators import UnsupportedPlan


def serving_s(
    m: ArrayLike, gpu: str = "h100-sxm", precision: str = "bf16", clock: Clock = FULL_CLOCK
) -> NDArray[np.float64]:
    size = PRECISION_BYTES[precision]
    return gemm_s(
        m,
        8192,
        8192,
        gemm_constants(gpu, precision).serving(),
        device(load().gpus[gpu], precision),
        weight_bytes=size,
        activation_bytes=size,
        clock=clock,
    )


@pytest.mark.parametrize("gpu", ["h100-sxm", "a100-sxm", "b200", "gb200", "mi300x", "l40s", "l4"])
def test_time_never_falls_with_more_rows(gpu: str) -> None:
    times = serving_s(np.arange(1, 4097), gpu)
    assert (np.diff(times) >= 0).all()


@pytest.mark.parametrize("gpu", sorted(load().gpus))
def test_neither_roof_is_broken_in_any_precision(gpu: str) -> None:
    """Fitted shares above 1 (their forms lose elsewhere what they gain there) must not show."""
    row = load().gpus[gpu]
    for precision, peak in row.peak_flops.items():
        weights_s = 8192 * 8192 * PRECISION_BYTES[precision] / row.memory_bandwidth_bytes_per_s
        assert serving_s(1, gpu, precision) > weights_s
        assert serving_s(16384, gpu, precision) > 2 * 16384 * 8192 * 8192 / peak


def test_clock_stretches_compute_and_memory_apart() -> None:
    slow_compute, slow_memory = Clock(compute=2.0), Clock(memory=2.0)
    assert serving_s(16384, clock=slow_compute) / serving_s(16384) == pytest.approx(2, rel=0.02)
    assert serving_s(1, clock=slow_memory) / serving_s(1) == pytest.approx(2, rel=0.02)
    assert serving_s(1, clock=slow_compute) / serving_s(1) < 1.2


def test_a_precision_the_gpu_lacks_is_refused() -> None:
    with pytest.raises(UnsupportedPlan) as caught:
        kernel_s(load().gpus["a100-sxm"], "fp8", "fp8", 1, 4096, 4096)
    assert str(caught.value) == "a100-sxm has no fp8 arithmetic (it has bf16, int8)"


@pytest.mark.parametrize(
    ("table_gpu", "gpu", "dtype", "bound"),
    [
        ("h100_sxm", "h100-sxm", "bfloat16", 0.045),
        ("h100_sxm", "h100-sxm", "fp8", 0.035),
        ("h200_sxm", "h200-sxm", "bfloat16", 0.045),
        ("a100_sxm", "a100-sxm", "bfloat16", 0.085),
        ("b200_sxm", "b200", "bfloat16", 0.08),
        ("b200_sxm", "b200", "nvfp4", 0.10),
        ("l40s", "l40s", "fp8", 0.11),
    ],
)
def test_error_on_measured_kernels(
    shared_data: Path, table_gpu: str, gpu: str, dtype: str, bound: float
) -> None:
    """Mean absolute error; the bounds are the held-out errors of the calibration's record."""
    catalog = load()
    with (shared_data / "kernels" / "aic_gemm_all_gpus.csv").open() as file:
        next(file)
        rows = [r for r in csv.DictReader(file) if r["gpu"] == table_gpu and r["dtype"] == dtype]
    precision = catalog.canonical("precision", dtype)
    errors = []
    for row in rows:
        m, n, k = (int(row[name]) for name in "mnk")
        if min(n, k) >= 512:
            time = kernel_s(catalog.gpus[gpu], dtype, precision, m, n, k)
            errors.append(abs(time / (float(row["latency_ms"]) / 1000) - 1))
    assert len(errors) > 100
    assert np.mean(errors) < bound
