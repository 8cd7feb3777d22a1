"""The GPU device's calls, held against what CuPy, CUDA and cuBLAS document (see the stand-in)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from sim.calibrate import session
from sim.calibrate.cupy_device import CupyDevice
from sim.calibrate.device import NoDevice, open_device
from sim.calibrate.kernel import Kernel
from sim.calibrate.nvml import reasons_of
from sim.calibrate.order import Order
from sim.calibrate.plan import candidates
from sim.calibrate.read import read
from sim.calibrate.record import Writer
from sim.calibrate.settings import Settings
from tests.unit.calibrate import stand_in_cupy
from tests.unit.calibrate.stand_in_cupy import Clock, installed, numbers


@pytest.fixture
def clock() -> Iterator[Clock]:
    with installed(gpus=2) as clock:
        yield clock


def test_the_gpu_is_identified(clock: Clock) -> None:
    device, why = open_device("auto")
    here = device.identity
    assert why == "NVIDIA H100 80GB HBM3, through CuPy"
    assert (here.kind, here.sms, here.gpus, here.cache_bytes) == ("gpu", 132, 2, 50 * 2**20)
    assert here.libraries["cuda runtime"] == "12.9"
    assert here.driver == "12.8"
    assert here.flush_bytes == 100 * 2**20
    assert set(here.unread) >= {"clock_hz", "power_w", "throttle"}  # no NVML: each says why
    assert any("10.0 GiB of the GPU's memory were taken" in note for note in here.notes)


def test_no_gpu_is_told_apart_from_no_cupy() -> None:
    with installed(gpus=0), pytest.raises(NoDevice, match="no CUDA device"):
        CupyDevice()


@pytest.mark.parametrize("dtype", ["bf16", "fp16", "fp32"])
def test_products_are_not_transposed(clock: Clock, dtype: str) -> None:
    kernels = CupyDevice()._kernels
    x, w = kernels.random(dtype, 6, 20), kernels.random(dtype, 10, 20, seed=1)
    out = stand_in_cupy.array(np.zeros((6, 10), dtype=x.dtype))
    kernels._product(dtype, x, w, out, (6, 10, 20), transposed=True)()
    a, b, c = (numbers(v) if dtype == "bf16" else v.astype(float) for v in (x, w, out))
    assert (np.abs(a) >= 0.5).all()
    assert (np.abs(a) < 1.0).all()
    np.testing.assert_allclose(c, a @ b.T, rtol=2**-7, atol=0.02)


def test_prefill_attention_is_put_together_right(clock: Clock) -> None:
    """Products by blocks of rows, with the strides of batches over KV heads."""
    tokens, heads, group, dim = 600, 2, 3, 16
    kernels = CupyDevice()._kernels
    drawn: dict[tuple[int, ...], list[np.ndarray]] = {}
    plain = kernels.random

    def remembered(dtype: str, *shape: int, seed: int = 0) -> object:
        found = plain(dtype, *shape, seed=seed)
        drawn.setdefault(shape, []).append(found)
        return found

    outs: list[np.ndarray] = []
    empty_like = kernels._cupy.empty_like
    kernels._cupy.empty_like = lambda x: outs.append(empty_like(x)) or outs[-1]
    kernels.random = remembered  # type: ignore[method-assign]
    kernel = Kernel("prefill_attention", "bf16", (tokens, heads * group, heads, dim))
    kernels.prepare(kernel)()
    (queries,) = drawn[heads, tokens, group, dim]
    keys, values = drawn[heads, tokens, dim]
    later = np.triu(np.ones((tokens, tokens), dtype=bool), k=1)
    for head in range(heads):
        for query in range(group):
            scores = numbers(queries[head, :, query]) @ numbers(keys[head]).T / 4.0
            weights = np.exp(np.where(later, -np.inf, scores))
            wanted = weights / weights.sum(axis=1, keepdims=True) @ numbers(values[head])
            found = numbers(outs[0][head, :, query])
            np.testing.assert_allclose(found, wanted, atol=0.02)


def test_every_kind_can_be_prepared_and_timed(clock: Clock) -> None:
    device = CupyDevice()
    kernels = [
        Kernel("gemm", "bf16", (16, 256, 512)), Kernel("gemm", "fp16", (16, 256, 512)),
        Kernel("gemm", "fp32", (16, 256, 512)), Kernel("copy", "fp32", (1 << 16,)),
        Kernel("triad", "fp32", (1 << 16,)), Kernel("rms_norm", "bf16", (4, 2880)),
        Kernel("silu_mul", "bf16", (4, 256)), Kernel("host_to_device", "fp32", (1 << 12,)),
        Kernel("decode_attention", "bf16", (4, 1000, 10, 2, 128)),
        Kernel("prefill_attention", "bf16", (64, 4, 2, 64)),
        Kernel("device_to_host", "fp32", (1 << 12,)), Kernel("peer_copy", "fp32", (1 << 12,)),
        Kernel("all_reduce", "fp16", (1 << 12, 2)),
    ]  # fmt: skip
    for kernel in kernels:
        assert device.refuses(kernel) is None, kernel.name
        launch = device.prepare(kernel)
        for flush in (False, True):
            clock.launched.clear()
            timing = device.time(launch, 3, flush)
            assert ("flush" in clock.launched) == flush
            ahead = clock.launched.index("spin")
            assert len(clock.launched) - ahead > 3
            if not flush:
                assert ahead >= 1  # one launch that is not timed fills the cache
            assert timing.seconds > 0


def test_a_host_that_is_too_slow_is_noticed_and_waited_for(clock: Clock) -> None:
    """Launches take the host 8 µs and the GPU 5: with too short a spin the GPU runs dry."""
    device = CupyDevice()
    launch = device.prepare(Kernel("copy", "fp32", (1 << 16,)))
    clock.enqueue_s = 500e-6
    first = device.time(launch, 10, False)
    assert first.late
    for _ in range(8):
        last = device.time(launch, 10, False)
        if not last.late:
            break
    assert not last.late
    assert last.seconds == pytest.approx(clock.kernel_s)


def test_what_a_gpu_refuses(clock: Clock) -> None:
    device = CupyDevice()
    for kernel, reason in (
        (Kernel("decode_attention", "bf16", (1, 16, 8, 1, 96)), "head dimensions of 64 to 256"),
        (Kernel("decode_attention", "bf16", (1, 16, 256, 1, 64)), "so many query heads"),
        (Kernel("rms_norm", "fp32", (1, 64)), "serving computes it in bf16"),
        (Kernel("all_reduce", "fp16", (1 << 12, 4)), "there are 2 GPUs"),
        (Kernel("copy", "fp32", (1 << 36,)), "more than 40 % of the free memory"),
    ):
        assert reason in (device.refuses(kernel) or "")


def test_throttle_reasons_have_names() -> None:
    assert reasons_of(0x1) == ()  # idle between two kernels: nothing holds the clock down
    assert reasons_of(0x5) == ("power cap",)
    assert reasons_of(0x48) == ("hardware slowdown", "hardware thermal")
    assert reasons_of(0x10000) == ("reason 0x10000",)


def test_a_calibration_runs_through(clock: Clock, tmp_path: Path) -> None:
    """Small kernels of every kind through plan, rounds and file, as on a GPU."""
    device, settings = CupyDevice(), Settings()
    small = [c for c in candidates(2) if c.kernel.work.footprint_bytes < 2e6]
    order = Order(small, device.refuses)
    path = tmp_path / "gpu.jsonl"
    writer = Writer.new(path, device.identity, settings, order)
    outcome = session.run(device, writer, order, settings, 6 / 60)
    assert not outcome.failed
    assert len(read(path).timed) == len(outcome.measured) > 3
