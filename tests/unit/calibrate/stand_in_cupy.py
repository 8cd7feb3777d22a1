"""A stand-in for CuPy on the CPU: it holds every call to what CuPy, CUDA and cuBLAS document.

Arrays are NumPy's with addresses. cuBLAS multiplies by columns, as its documentation says, so a
wrong transpose gives a wrong product. A raw kernel's arguments must have the types of its source.
Time passes only in ``spin`` and in what the test says a kernel takes.
"""

from __future__ import annotations

import contextlib
import ctypes
import re
import sys
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

ADDRESSES: dict[int, Any] = {}  # keeps buffers alive, as a device would
TYPES = {2: np.float16, 0: np.float32, 14: np.uint16}
SCALARS = {"int": np.int32, "u64": np.uint64, "unsigned long long": np.uint64,
           "unsigned int": np.uint32, "float": np.float32}  # fmt: skip


#: Products of more multiplications than this are not computed: nobody looks at their result.
LARGE = 1 << 24


class Array(np.ndarray):
    """A NumPy array with the attributes of a CuPy one that are in use."""

    @property
    def data(self) -> Any:  # type: ignore[override]
        ADDRESSES[self.ctypes.data] = self
        return SimpleNamespace(ptr=self.ctypes.data)

    def get(self) -> Any:
        return np.array(self)


def array(values: Any) -> Any:
    return np.ascontiguousarray(values).view(Array)


class Clock:
    """Time on the device, and how far ahead of the host's it is."""

    def __init__(self) -> None:
        self.device_s = self.host_s = 0.0
        self.kernel_s, self.enqueue_s = 5e-6, 8e-6
        self.launched: list[str] = []

    def launch(self, name: str, seconds: float | None = None) -> None:
        """The host enqueues a kernel; the device runs it when both are ready."""
        self.launched.append(name)
        self.host_s += self.enqueue_s
        start_s = max(self.device_s, self.host_s)
        self.device_s = start_s + (self.kernel_s if seconds is None else seconds)


CLOCK = Clock()


class RawKernel:
    def __init__(self, code: str, name: str, options: tuple[str, ...] = ()) -> None:
        found = re.search(rf'extern "C" __global__ void {name}\(([^)]*)\)', code)
        assert found, f"no kernel {name} in its source"
        self.name = name
        self.parameters = [" ".join(p.split()[:-1]) for p in found[1].split(",")]

    def __call__(
        self, grid: tuple[int, ...], block: tuple[int, ...], args: tuple[Any, ...]
    ) -> None:
        assert all(isinstance(size, int) and size >= 1 for size in (*grid, *block))
        assert len(grid) <= 3
        assert np.prod(block) <= 1024
        assert len(args) == len(self.parameters), (self.name, self.parameters)
        for value, parameter in zip(args, self.parameters, strict=True):
            if "*" in parameter:
                assert isinstance(value, Array), (self.name, parameter)
            else:
                assert isinstance(value, SCALARS[parameter]), (self.name, parameter, type(value))
        seconds = float(args[0]) * 1e-9 if self.name == "spin" else None
        CLOCK.launch(self.name, seconds)
        if self.name == "fill":
            out, n, seed, mask, base = args
            bits = np.random.default_rng(int(seed)).integers(0, 1 << 32, int(n), dtype=np.uint32)
            out[...] = (bits & mask) | base
        if self.name == "softmax":
            self._softmax(grid, *args)

    def _softmax(
        self, grid: tuple[int, ...], scores: Any, keys: Any, first: Any, group: Any, scale: Any
    ) -> None:
        rows, heads = grid
        block = scores[: rows * heads * keys].reshape(heads, rows, keys)
        values = scale * numbers(block)
        token = first + np.arange(rows) // group
        values[:, np.arange(keys) > token[:, None]] = -np.inf
        values = np.exp(values - values.max(axis=2, keepdims=True))
        block[...] = bits_of(values / values.sum(axis=2, keepdims=True))


def numbers(bits: Any) -> Any:
    """bf16 as fp32."""
    return (np.asarray(bits).astype(np.uint32) << 16).view(np.float32)


def bits_of(values: Any) -> Any:
    bits = np.asarray(values, dtype=np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


class ElementwiseKernel:
    def __init__(self, into: str, out: str, operation: str, name: str, preamble: str = "") -> None:
        assert operation.rstrip().endswith(";")
        self.name, self.count = name, len(into.split(",")) + len(out.split(","))

    def __call__(self, *arrays: Any) -> None:
        assert len(arrays) == self.count
        assert all(isinstance(x, Array) and x.dtype == np.uint16 for x in arrays)
        CLOCK.launch(self.name)


def _matrix(address: int, kind: int, rows: int, columns: int, wide: int) -> Any:
    """A matrix by columns at an address, ``wide`` elements from one column to the next."""
    dtype = np.dtype(TYPES[kind])
    assert wide >= rows
    count = wide * (columns - 1) + rows
    raw = (ctypes.c_char * (count * dtype.itemsize)).from_address(address)
    flat = np.frombuffer(raw, dtype=dtype)
    step = dtype.itemsize
    return np.lib.stride_tricks.as_strided(flat, (rows, columns), (step, step * wide))


def gemm_ex(
    handle: int, transa: int, transb: int, m: int, n: int, k: int, alpha: int, a: int, a_type: int,
    lda: int, b: int, b_type: int, ldb: int, beta: int, c: int, c_type: int, ldc: int,
    compute: int, algorithm: int,
) -> None:  # fmt: skip
    assert (handle, compute, algorithm) == (7, 68, -1)
    assert [ctypes.c_float.from_address(x).value for x in (alpha, beta)] == [1.0, 0.0]
    CLOCK.launch("gemm")
    if m * n * k > LARGE:
        return
    left = _matrix(a, a_type, k if transa else m, m if transa else k, lda)
    right = _matrix(b, b_type, n if transb else k, k if transb else n, ldb)
    out = _matrix(c, c_type, m, n, ldc)
    left, right = (numbers(x) if x.dtype == np.uint16 else x.astype(float) for x in (left, right))
    product = (left.T if transa else left) @ (right.T if transb else right)
    out[...] = bits_of(product) if out.dtype == np.uint16 else product


def gemm_strided(
    handle: int, transa: int, transb: int, m: int, n: int, k: int, alpha: int, a: int, a_type: int,
    lda: int, a_stride: int, b: int, b_type: int, ldb: int, b_stride: int, beta: int, c: int,
    c_type: int, ldc: int, c_stride: int, batch: int, compute: int, algorithm: int,
) -> None:  # fmt: skip
    for i in range(batch):
        both = ((a_stride, a_type), (b_stride, b_type), (c_stride, c_type))
        shifts = [i * stride * np.dtype(TYPES[kind]).itemsize for stride, kind in both]
        gemm_ex(handle, transa, transb, m, n, k, alpha, a + shifts[0], a_type, lda, b + shifts[1],
                b_type, ldb, beta, c + shifts[2], c_type, ldc, compute, algorithm)  # fmt: skip


class CudaError(RuntimeError):
    pass


class Stream:
    ptr = 99

    def __init__(self, non_blocking: bool = False) -> None:
        pass

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def synchronize(self) -> None:
        CLOCK.host_s = max(CLOCK.host_s, CLOCK.device_s)


class Event:
    time_s = 0.0

    def record(self) -> None:
        self.time_s = max(CLOCK.device_s, CLOCK.host_s)
        CLOCK.device_s = self.time_s

    @property
    def done(self) -> bool:
        return CLOCK.host_s > self.time_s

    def synchronize(self) -> None:
        CLOCK.host_s = max(CLOCK.host_s, self.time_s)


class Device:
    pci_bus_id = "0000:00:1e.0"
    mem_info = (70 * 2**30, 80 * 2**30)

    def __init__(self, number: int = 0) -> None:
        self.id = number

    def __enter__(self) -> Device:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def use(self) -> None:
        pass

    def synchronize(self) -> None:
        pass


class Communicator:
    @staticmethod
    def initAll(devices: list[int]) -> list[Communicator]:
        return [Communicator() for _ in devices]

    def allReduce(
        self, send: int, receive: int, count: int, dtype: int, operation: int, stream: int
    ) -> None:
        CLOCK.launch("all_reduce")


def _pinned(size: int) -> Any:
    held = np.zeros(size, dtype=np.uint8)
    return SimpleNamespace(ptr=held.ctypes.data, held=held)


def _runtime(gpus: int) -> Any:
    properties = {"name": b"NVIDIA H100 80GB HBM3", "multiProcessorCount": 132,
                  "l2CacheSize": 50 * 2**20}  # fmt: skip
    return SimpleNamespace(
        CUDARuntimeError=CudaError, CUDA_R_16BF=14, CUDA_R_16F=2, CUDA_R_32F=0,
        memcpyHostToDevice=1, memcpyDeviceToHost=2, getDeviceCount=lambda: gpus,
        getDeviceProperties=lambda device: properties, driverGetVersion=lambda: 12080,
        runtimeGetVersion=lambda: 12090, deviceCanAccessPeer=lambda device, peer: 1,
        deviceEnablePeerAccess=lambda peer: None,
        memcpyAsync=lambda to, of, size, kind, stream: CLOCK.launch("memcpy"),
        memcpyPeerAsync=lambda to, there, of, here, size, stream: CLOCK.launch("memcpy_peer"),
    )  # fmt: skip


@contextlib.contextmanager
def installed(gpus: int = 1) -> Iterator[Clock]:
    """The stand-in in place of CuPy, with so many GPUs."""
    global CLOCK
    CLOCK = Clock()
    runtime = _runtime(gpus)
    cublas = SimpleNamespace(
        gemmEx=gemm_ex, gemmStridedBatchedEx=gemm_strided, CUBLAS_OP_N=0, CUBLAS_OP_T=1,
        CUBLAS_COMPUTE_32F=68, CUBLAS_GEMM_DEFAULT=-1, getVersion=lambda handle: 120900,
    )  # fmt: skip
    nccl = SimpleNamespace(
        NcclCommunicator=Communicator, groupStart=lambda: None, groupEnd=lambda: None,
        NCCL_FLOAT16=6, NCCL_SUM=0, get_version=lambda: 22703,
    )  # fmt: skip
    pool = SimpleNamespace(free_all_blocks=lambda: None)
    cuda = SimpleNamespace(
        runtime=runtime, Device=Device, Stream=Stream, Event=Event, nccl=nccl,
        device=SimpleNamespace(get_cublas_handle=lambda: 7), alloc_pinned_memory=_pinned,
        get_elapsed_time=lambda start, end: 1e3 * (end.time_s - start.time_s),
    )  # fmt: skip
    modules = {
        "cupy": {
            "__version__": "14.2.0", "cuda": cuda, "RawKernel": RawKernel,
            "ElementwiseKernel": ElementwiseKernel,
            "empty": lambda shape, dtype: array(np.zeros(shape, dtype=dtype)),
            "zeros": lambda shape, dtype: array(np.zeros(shape, dtype=dtype)),
            "empty_like": lambda x: array(np.zeros(x.shape, dtype=x.dtype)), "asarray": array,
            "get_default_memory_pool": lambda: pool,
            "get_default_pinned_memory_pool": lambda: pool,
        },
        "cupy.cuda": vars(cuda),
        "cupy_backends": {}, "cupy_backends.cuda": {},
        "cupy_backends.cuda.api": {"runtime": runtime},
        "cupy_backends.cuda.libs": {"cublas": cublas},
    }  # fmt: skip
    before = {name: sys.modules.get(name) for name in modules}
    for name, content in modules.items():
        module = ModuleType(name)
        vars(module).update(content)
        sys.modules[name] = module
    try:
        yield CLOCK
    finally:
        for name, old in before.items():
            sys.modules.pop(name)
            if old is not None:
                sys.modules[name] = old
