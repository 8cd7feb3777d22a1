"""The matrix-product form: limits, monotony, and its error on measured kernels."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import ArrayLike, NDArray

from sim.catalog.library import load
from sim.catalog.types import PRECISION_BYTES
from sim.perf.calibration import device, gemm_constants
from sim.perf.gemm import FULL_CLOCK, Clock, Device, gemm_s
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


#: Every (GPU, precision) of the catalog that serving may ask for.
KINDS = [(name, precision) for name, gpu in load().gpus.items() for precision in gpu.peak_flops]
WIDTHS = st.integers(64, 200_000)


def time_s(
    m: ArrayLike, n: int, k: int, gpu: str, precision: str, *, serving: bool
) -> NDArray[np.float64]:
    size = PRECISION_BYTES[precision]
    constants = gemm_constants(gpu, precision)
    return gemm_s(
        m,
        n,
        k,
        constants.serving() if serving else constants,
        device(load().gpus[gpu], precision),
        weight_bytes=size,
        activation_bytes=size,
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


@given(st.sampled_from(KINDS), st.integers(1, 65_536), WIDTHS, WIDTHS)
def test_times_are_finite_positive_and_never_fall_with_m(
    kind: tuple[str, str], m: int, n: int, k: int
) -> None:
    gpu, precision = kind
    sizes = np.unique(np.concatenate([np.arange(max(1, m - 20), m + 20), np.geomspace(1, m, 40)]))
    times = time_s(sizes, n, k, gpu, precision, serving=True)
    assert np.isfinite(times).all()
    assert (times > 0).all()
    assert (np.diff(times) >= -1e-12 * times[1:]).all()
    isolated = time_s(sizes, n, k, gpu, precision, serving=False)
    assert np.isfinite(isolated).all()
    slow_path = gemm_constants(gpu, precision).gemv
    assert slow_path or (np.diff(isolated) >= -1e-12 * isolated[1:]).all()


@given(st.sampled_from(KINDS), st.integers(1, 65_536), WIDTHS, WIDTHS)
def test_times_have_no_steps_in_m(kind: tuple[str, str], m: int, n: int, k: int) -> None:
    """Where waves are rounded up, it is by a ramp."""
    before, at, after = time_s(np.array([m - 1e-4, m, m + 1e-4]), n, k, *kind, serving=True)
    assert before == pytest.approx(at, rel=1e-3)
    assert after == pytest.approx(at, rel=1e-3)


def test_the_slow_path_of_few_rows_is_of_small_products_alone() -> None:
    slow = gemm_constants("b200", "bf16")
    assert slow.gemv > 0
    assert slow.serving().gemv == 0
    plain = replace(slow, gemv=0.0)
    unit = device(load().gpus["b200"], "bf16")
    sizes = {"weight_bytes": 2.0, "activation_bytes": 2.0}
    small, many_rows, wide = (1, 2048, 1024), (128, 2048, 1024), (1, 32768, 1024)
    for shape, ratio in ((small, 1 + slow.gemv), (many_rows, 1), (wide, 1)):
        lost = gemm_s(*shape, replace(slow, launch_s=0.0), unit, **sizes)
        assert lost / gemm_s(*shape, replace(plain, launch_s=0.0), unit, **sizes) == pytest.approx(
            ratio, rel=0.1
        )


def test_stairs_round_waves_up() -> None:
    """129 tiles on 128 SMs take nearly two waves where waves are whole, and 1 % more where not."""
    base = replace(
        gemm_constants("h100-sxm", "bf16").serving(), split_s=1.0, norm=6.0, throttle=0.0, tail=0.0
    )
    unit = Device(1e15, 1e15, 128, 5e7, ((128.0, 128.0),), (1.0,))
    ratios = []
    for stairs in (0.0, 0.95):
        one, more = (
            gemm_s(128, tiles * 128, 8192, replace(base, stairs=stairs), unit,
                   weight_bytes=2.0, activation_bytes=2.0)
            for tiles in (128, 136)
        )  # fmt: skip
        ratios.append(float(more / one))
    assert ratios == pytest.approx([1.0625, 2.0], rel=0.01)


def test_clock_stretches_compute_and_memory_apart() -> None:
    slow_compute, slow_memory = Clock(compute=2.0), Clock(memory=2.0)
    assert serving_s(16384, clock=slow_compute) / serving_s(16384) == pytest.approx(2, rel=0.02)
    assert serving_s(1, clock=slow_memory) / serving_s(1) == pytest.approx(2, rel=0.02)
    assert serving_s(1, clock=slow_compute) / serving_s(1) < 1.2


@pytest.mark.parametrize(("precision", "passes"), [("bf16", 0), ("fp8", 1)])
def test_serving_quantises_activations_through_memory(precision: str, passes: int) -> None:
    """2 bytes read and 1 written per element, as often as the constants say; no launch."""
    constants, h100 = gemm_constants("h100-sxm", precision), load().gpus["h100-sxm"]
    size = PRECISION_BYTES[precision]
    without = gemm_s(
        512, 8192, 8192, replace(constants.serving(), quantise=0.0), device(h100, precision),
        weight_bytes=size, activation_bytes=size, clock=Clock(memory=2.0),
    )  # fmt: skip
    bandwidth = constants.bandwidth * h100.memory_bandwidth_bytes_per_s
    expected_s = 2.0 * passes * constants.quantise * 512 * 8192 * 3 / bandwidth
    spent_s = float(serving_s(512, precision=precision, clock=Clock(memory=2.0)) - without)
    assert spent_s == pytest.approx(expected_s, rel=1e-9, abs=1e-15)
    assert passes == 0 or 10e-6 < expected_s < 30e-6


def test_a_precision_the_gpu_lacks_is_refused() -> None:
    with pytest.raises(UnsupportedPlan) as caught:
        kernel_s(load().gpus["a100-sxm"], "fp8", "fp8", 1, 4096, 4096)
    assert str(caught.value) == "a100-sxm has no fp8 arithmetic (it has bf16, int8)"


@pytest.mark.parametrize(
    ("table_gpu", "gpu", "dtype", "bound"),
    [
        ("h100_sxm", "h100-sxm", "bfloat16", 0.042),
        ("h100_sxm", "h100-sxm", "fp8", 0.032),
        ("h200_sxm", "h200-sxm", "bfloat16", 0.042),
        ("h200_sxm", "h200-sxm", "fp8", 0.037),
        ("a100_sxm", "a100-sxm", "bfloat16", 0.064),
        ("b200_sxm", "b200", "bfloat16", 0.067),
        ("b200_sxm", "b200", "fp8", 0.046),
        ("b200_sxm", "b200", "nvfp4", 0.035),
        ("l40s", "l40s", "fp8", 0.11),
    ],
)
def test_error_on_measured_kernels(
    shared_data: Path, table_gpu: str, gpu: str, dtype: str, bound: float
) -> None:
    """Mean absolute error; the bounds are about the held-out errors of the calibration's record."""
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
