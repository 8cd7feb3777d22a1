"""The CUDA sources compute what they say: compiled for the CPU and compared with NumPy."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from sim.calibrate import cuda_source

SHIM = Path(__file__).with_name("cuda_on_cpu.h")


def compiled(folder: Path, source: str, drivers: str, options: tuple[str, ...] = ()) -> ctypes.CDLL:
    """The source as a library for this CPU, with C functions that launch its kernels."""
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("needs g++, which is missing here")
    file, library = folder / "kernel.cpp", folder / "kernel.so"
    file.write_text(f'#include "{SHIM}"\n{source}\nextern "C" {{\n{drivers}\n}}\n')
    command = [compiler, "-std=c++20", "-O1", "-w", "-fPIC", "-shared", "-pthread", *options]
    done = subprocess.run(
        [*command, str(file), "-o", str(library)], capture_output=True, text=True, check=False
    )
    if "barrier" in done.stderr:
        pytest.skip("needs a g++ with C++20 barriers, which this one lacks")
    assert done.returncode == 0, done.stderr
    return ctypes.CDLL(str(library))


def address(array: NDArray[np.generic]) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


def bf16(values: NDArray[np.float32]) -> NDArray[np.uint16]:
    """To the nearest, ties to even."""
    bits = values.astype(np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def fp32(values: NDArray[np.uint16]) -> NDArray[np.float32]:
    return (values.astype(np.uint32) << 16).view(np.float32)


def drawn(*shape: int, seed: int = 0) -> NDArray[np.uint16]:
    return bf16(np.random.default_rng(seed).standard_normal(shape, dtype=np.float32))


def close(found: NDArray[np.uint16], wanted: NDArray[np.floating]) -> None:
    """Equal up to the rounding of bf16 and of the order of sums."""
    np.testing.assert_allclose(fp32(found), wanted, rtol=2**-7, atol=2e-3)


def test_streams_and_random_bits(tmp_path: Path) -> None:
    drivers = """
    void r_fill(unsigned int* o, u64 n, unsigned int m, unsigned int b) {
        run({3, 1, 1}, 32, [=] { fill(o, n, 7, m, b); }); }
    void r_copy(uint4* x, uint4* o, u64 n) { run({2, 1, 1}, 32, [=] { copy(x, o, n); }); }
    void r_triad(float4* x, float4* y, float4* o, u64 n) {
        run({2, 1, 1}, 32, [=] { triad(x, y, o, n); }); }
    void r_flush(uint4* x, u64 n) { run({2, 1, 1}, 32, [=] { flush(x, n); }); }
    """
    library = compiled(tmp_path, cuda_source.STREAMS, drivers)
    words, count = np.zeros(1000, dtype=np.uint32), ctypes.c_uint64
    library.r_fill(address(words), count(1000), 0x807F807F, 0x3F003F00)
    numbers = np.abs(fp32(words.view(np.uint16)))
    assert ((numbers >= 0.5) & (numbers < 1.0)).all()
    assert len(np.unique(words)) > 950
    library.r_fill(address(words), count(1000), 0x83FF83FF, 0x38003800)
    numbers = np.abs(words.view(np.float16).astype(float))
    assert ((numbers >= 0.5) & (numbers < 1.0)).all()
    x, y = (np.random.default_rng(i).random(400, dtype=np.float32) for i in range(2))
    out = np.zeros_like(x)
    library.r_copy(address(x), address(out), count(100))
    np.testing.assert_array_equal(out, x)
    library.r_triad(address(x), address(y), address(out), count(100))
    np.testing.assert_allclose(out, x + 0.5 * y, rtol=1e-6)
    before = x.view(np.uint32).copy()
    library.r_flush(address(x), count(100))
    assert (x.view(np.uint32)[::4] == before[::4] + 1).all()


def test_rms_norm(tmp_path: Path) -> None:
    drivers = """void r(uint4* x, uint4* w, uint4* o, int rows, int hidden) {
        run({rows, 1, 1}, 256, [=] { rms_norm(x, w, o, hidden); }); }"""
    library = compiled(tmp_path, cuda_source.RMS_NORM, drivers)
    x, weight = drawn(3, 2880), drawn(2880, seed=1)
    out = np.zeros_like(x)
    library.r(address(x), address(weight), address(out), 3, 2880)
    a = fp32(x).astype(float)
    close(out, a / np.sqrt((a**2).mean(axis=1, keepdims=True) + 1e-6) * fp32(weight))


def test_causal_softmax(tmp_path: Path) -> None:
    heads, rows, group, keys, first = 2, 6, 2, 40, 37
    drivers = """void r(unsigned short* s, int rows, int heads, int keys, int first, int group) {
        run({rows, heads, 1}, 256, [=] { softmax(s, keys, first, group, 0.5f); }); }"""
    library = compiled(tmp_path, cuda_source.SOFTMAX, drivers)
    scores = drawn(heads, rows, keys)
    wanted = 0.5 * fp32(scores).astype(float)
    library.r(address(scores), rows, heads, keys, first, group)
    token = first + np.arange(rows) // group
    wanted[:, np.arange(keys) > token[:, None]] = -np.inf
    wanted = np.exp(wanted - wanted.max(axis=2, keepdims=True))
    close(scores, wanted / wanted.sum(axis=2, keepdims=True))


@pytest.mark.parametrize(
    ("dim", "group", "context", "splits"), [(64, 8, 70, 2), (128, 3, 45, 1), (256, 1, 33, 3)]
)
def test_decode_attention(tmp_path: Path, dim: int, group: int, context: int, splits: int) -> None:
    sequences, kv_heads, each = 2, 2, -(-context // 16)
    threads = 32 * cuda_source.decode_warps(group, dim)
    drivers = f"""void r(uint4* k, uint4* v, int* table, uint4* q, float* partial,
                         unsigned short* out, int per_split, float scale) {{
        run({{{splits}, {kv_heads}, {sequences}}}, {threads}, [=] {{
            decode(k, v, table, q, partial, {context}, {each}, per_split, scale); }});
        run({{{sequences * kv_heads * group}, 1, 1}}, {dim}, [=] {{
            join(partial, out, {splits}); }}); }}
    static_assert(WARPS == {threads // 32});"""
    options = (f"-DHEAD_DIM={dim}", f"-DGROUP={group}", f"-DKV_HEADS={kv_heads}")
    library = compiled(tmp_path, cuda_source.DECODE, drivers, options)
    pool = (sequences * each, kv_heads, 16, dim)
    keys, values = drawn(*pool), drawn(*pool, seed=1)
    queries = drawn(sequences, kv_heads * group, dim, seed=2)
    table = np.random.default_rng(3).permutation(sequences * each).astype(np.int32)
    partial = np.zeros((sequences, kv_heads * group, splits, dim + 2), dtype=np.float32)
    out = np.zeros_like(queries)
    library.r(
        address(keys), address(values), address(table), address(queries), address(partial),
        address(out), -(-context // splits), ctypes.c_float(dim**-0.5),
    )  # fmt: skip
    for i in range(sequences):
        pages = table.reshape(sequences, each)[i]
        k, v = (fp32(x)[pages].transpose(1, 0, 2, 3).reshape(kv_heads, -1, dim)[:, :context]
                for x in (keys, values))  # fmt: skip
        q = fp32(queries)[i].reshape(kv_heads, group, dim).astype(float)
        scores = np.exp(q @ k.transpose(0, 2, 1) * dim**-0.5)
        wanted = (scores / scores.sum(axis=2, keepdims=True)) @ v
        close(out[i].reshape(kv_heads, group, dim), wanted)
