"""The GPU device on a real GPU; each test skips, saying what is missing, where there is none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sim.calibrate import cuda_source, session
from sim.calibrate.device import NoDevice
from sim.calibrate.kernel import Kernel
from sim.calibrate.order import Order
from sim.calibrate.plan import candidates
from sim.calibrate.read import read
from sim.calibrate.record import Writer
from sim.calibrate.settings import Settings

SOURCES = {
    "streams": (cuda_source.STREAMS, ()),
    "spin": (cuda_source.SPIN, ()),
    "rms_norm": (cuda_source.RMS_NORM, ()),
    "softmax": (cuda_source.SOFTMAX, ()),
    "decode 64": (cuda_source.DECODE, ("-DHEAD_DIM=64", "-DGROUP=8", "-DKV_HEADS=8")),
    "decode 128": (cuda_source.DECODE, ("-DHEAD_DIM=128", "-DGROUP=5", "-DKV_HEADS=1")),
    "decode 256": (cuda_source.DECODE, ("-DHEAD_DIM=256", "-DGROUP=2", "-DKV_HEADS=4")),
}


@pytest.fixture(scope="module")
def gpu() -> Any:
    from sim.calibrate.cupy_device import CupyDevice

    try:
        return CupyDevice()
    except NoDevice as error:
        pytest.skip(f"needs an NVIDIA GPU: {error}")


@pytest.mark.gpu
@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize("architecture", ["sm_80", "sm_90", "sm_100"])
def test_nvrtc_compiles_the_sources(name: str, architecture: str) -> None:
    """Needs CuPy with NVRTC, but no GPU."""
    nvrtc = pytest.importorskip("cupy.cuda", reason="needs CuPy, which is not installed").nvrtc
    source, options = SOURCES[name]
    program = nvrtc.createProgram(source, "kernel.cu", [], [])
    try:
        nvrtc.compileProgram(program, [f"--gpu-architecture={architecture}", *options])
    except nvrtc.NVRTCError:
        pytest.fail(nvrtc.getProgramLog(program))


def fp32(bits: Any) -> NDArray[np.float32]:
    """A CuPy array of bf16 bits as numbers here."""
    return (bits.get().astype(np.uint32) << 16).view(np.float32)


@pytest.mark.gpu
def test_products_of_every_type(gpu: Any) -> None:
    for dtype in ("bf16", "fp16", "fp32"):
        kernels = gpu._kernels
        with gpu._stream:
            x, w = kernels.random(dtype, 48, 128), kernels.random(dtype, 64, 128, seed=1)
            out = gpu._cupy.empty((48, 64), dtype=x.dtype)
            kernels._product(dtype, x, w, out, (48, 64, 128), transposed=True)()
        gpu._stream.synchronize()
        a, b, c = (fp32(v) if dtype == "bf16" else v.get().astype(float) for v in (x, w, out))
        np.testing.assert_allclose(c, a.astype(float) @ b.T, rtol=2**-7, atol=0.05)


@pytest.mark.gpu
def test_times_grow_with_work(gpu: Any) -> None:
    def seconds(kernel: Kernel, flush: bool = True) -> float:
        launch = gpu.prepare(kernel)
        timings = [gpu.time(launch, 1, flush) for _ in range(9)]
        kept = sorted(timing.seconds for timing in timings if not timing.late)
        assert len(kept) >= 5, "the host was too slow for most launches"
        return kept[len(kept) // 2]

    short, long = (seconds(Kernel("copy", "fp32", (1 << power,))) for power in (26, 30))
    assert 8 < long / short < 24
    small, large = (seconds(Kernel("gemm", "bf16", (m, 8192, 8192))) for m in (1024, 8192))
    assert 4 < large / small < 12
    weights = Kernel("gemm", "bf16", (1, 2048, 2048))  # 8 MB: they fit into the L2 cache
    assert seconds(weights, flush=False) < seconds(weights, flush=True)


@pytest.mark.gpu
def test_a_short_calibration(gpu: Any, tmp_path: Path) -> None:
    order, settings = Order(candidates(gpu.identity.gpus), gpu.refuses), Settings()
    path = tmp_path / "gpu.jsonl"
    writer = Writer.new(path, gpu.identity, settings, order)
    outcome = session.run(gpu, writer, order, settings, 0.5)
    assert not outcome.failed
    file = read(path)
    kinds = {timed.kernel.kind for timed in file.timed}
    assert {"gemm", "copy", "decode_attention", "prefill_attention", "rms_norm"} <= kinds
    for timed in file.timed:
        assert timed.kernel.work.flops / timed.cases["warm"].median < 1e16
