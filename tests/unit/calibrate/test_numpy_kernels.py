"""The CPU's kernels compute what they are named after."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from sim.calibrate.kernel import KINDS, Kernel
from sim.calibrate.numpy_device import NumpyDevice
from sim.calibrate.numpy_kernels import PREPARE, prepare

Floats = NDArray[np.floating]


def softmax(scores: Floats) -> Floats:
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


def result(kind: str, *sizes: int) -> tuple[dict[str, Floats], Floats]:
    """Operands (in double precision) and the result of one launch."""
    prepared = prepare(Kernel(kind, "fp32", sizes))
    prepared.launch()
    operands = {name: np.asarray(x) for name, x in prepared.inputs.items()}
    doubles = {k: x.astype(float) if x.dtype == np.float32 else x for k, x in operands.items()}
    return doubles, prepared.output


def test_gemm() -> None:
    x, out = result("gemm", 5, 48, 70)
    np.testing.assert_allclose(out, x["x"] @ x["w"].T, rtol=1e-4, atol=1e-4)


def test_streams() -> None:
    x, out = result("copy", 4000)
    np.testing.assert_array_equal(out, x["x"])
    x, out = result("triad", 4000)
    np.testing.assert_allclose(out, 0.5 * x["x"], rtol=1e-6)


@pytest.mark.parametrize("context", [1, 16, 50])
def test_decode_attention(context: int) -> None:
    x, out = result("decode_attention", 3, context, 6, 2, 32)
    for i in range(3):
        for head in range(2):
            k, v = (x[name][x["table"][i], head].reshape(-1, 32)[:context]
                    for name in ("keys", "values"))  # fmt: skip
            wanted = softmax(x["q"][i, head] @ k.T / np.sqrt(32)) @ v
            np.testing.assert_allclose(out[i, head], wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("tokens", [7, 600])
def test_prefill_attention(tokens: int) -> None:
    x, out = result("prefill_attention", tokens, 4, 2, 16)
    later = np.triu(np.ones((tokens, tokens), dtype=bool), k=1)
    for head in range(2):
        for query in range(2):
            scores = x["q"][head, :, query] @ x["keys"][head].T / 4
            wanted = softmax(np.where(later, -np.inf, scores)) @ x["values"][head]
            np.testing.assert_allclose(out[head, :, query], wanted, rtol=1e-4, atol=1e-5)


def test_norm_and_activation() -> None:
    x, out = result("rms_norm", 3, 40)
    mean = (x["x"] ** 2).mean(axis=1, keepdims=True)
    wanted = x["x"] / np.sqrt(mean + 1e-6) * x["weight"]
    np.testing.assert_allclose(out, wanted, rtol=1e-5)
    x, out = result("silu_mul", 3, 40)
    wanted = x["gate"] / (1 + np.exp(-x["gate"])) * x["up"]
    np.testing.assert_allclose(out, wanted, rtol=1e-5, atol=1e-6)


def test_work_is_counted_by_hand() -> None:
    work = Kernel("gemm", "bf16", (2, 3, 5)).work
    assert (work.flops, work.bytes) == (60, 2 * (10 + 15 + 6))
    work = Kernel("decode_attention", "bf16", (4, 100, 8, 2, 64)).work
    assert work.flops == 4 * 100 * 8 * 64 * 4
    assert work.bytes == 2 * (2 * 4 * 100 * 2 * 64) + 2 * (2 * 4 * 8 * 64)
    work = Kernel("prefill_attention", "bf16", (3, 2, 1, 64)).work
    assert work.flops == 2 * (1 + 2 + 3) * 64 * 4  # causal: 6 pairs for each of two heads
    assert Kernel("all_reduce", "fp16", (1000, 4)).work.bytes == 1500


def test_the_cpu_says_what_it_cannot_do() -> None:
    device = NumpyDevice()
    assert device.refuses(Kernel("gemm", "bf16", (1, 512, 512))) == "NumPy has no bf16"
    for kind in set(KINDS) - set(PREPARE):
        assert device.refuses(Kernel(kind, "fp32", (64,) * len(KINDS[kind].sizes))) is not None
    huge = Kernel("copy", "fp32", (1 << 50,))
    assert device.refuses(huge) == "takes more than 40 % of the free memory"


def test_the_cpu_is_read_honestly() -> None:
    """A reading is a number, or the header says why there is none."""
    device = NumpyDevice()
    device.time(device.prepare(device.reference), 3, True)
    sensors = device.sensors()
    for name in ("clock_hz", "temperature_c", "throttle", "memory_clock_hz"):
        assert (getattr(sensors, name) is None) == (name in device.identity.unread)
    assert device.identity.cache_bytes > 0
    assert "numpy" in device.identity.libraries


def test_a_longer_kernel_takes_longer_here() -> None:
    device = NumpyDevice()
    short, long = (device.prepare(Kernel("copy", "fp32", (1 << p,))) for p in (18, 26))
    times = [min(device.time(x, 1, False).seconds for _ in range(5)) for x in (short, long)]
    assert times[1] > 20 * times[0]
