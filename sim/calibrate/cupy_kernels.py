"""Every kind of kernel on an NVIDIA GPU: cuBLAS, own CUDA sources, copies, NCCL.

CuPy has had no bf16 arrays for most of its life, so bf16 lives in uint16 arrays, and cuBLAS is told
the type through ``gemmEx``: operands in 16 bits, sums in fp32, as serving does. fp32 products are
true fp32 (no TF32). Operands are random: zeros would draw less power and clock higher.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from sim.calibrate import cuda_source
from sim.calibrate.device import Launch
from sim.calibrate.kernel import KV_BLOCK_TOKENS, PREFILL_ROWS, Kernel

THREADS = 256
#: Splits of the context are made until there are so many blocks per SM, or they are this short.
_BLOCKS_PER_SM, _LEAST_SPLIT = 4, 256
#: Sign and mantissa bits, and the exponent of [½, 1): 16-bit types twice in a word.
_BITS = {
    "bf16": (0x807F807F, 0x3F003F00),
    "fp16": (0x83FF83FF, 0x38003800),
    "fp32": (0x807FFFFF, 0x3F000000),
}
_STORED = {"bf16": np.uint16, "fp16": np.float16, "fp32": np.float32}


class CupyKernels:
    """Prepares kernels on one device and stream. ``cupy`` is the module, which only GPUs need."""

    def __init__(self, cupy: Any, stream: Any, sms: int, gpus: int) -> None:
        from cupy_backends.cuda.api import runtime
        from cupy_backends.cuda.libs import cublas

        self._cupy, self._stream, self._sms, self._gpus = cupy, stream, sms, gpus
        self._runtime, self._cublas = runtime, cublas
        self._one, self._zero = (np.full(1, x, dtype=np.float32) for x in (1.0, 0.0))
        self._raw: dict[tuple[str, str, tuple[str, ...]], Any] = {}
        self._rings: dict[int, tuple[list[Any], list[Any]]] = {}
        self._types = {
            "bf16": runtime.CUDA_R_16BF, "fp16": runtime.CUDA_R_16F, "fp32": runtime.CUDA_R_32F,
        }  # fmt: skip
        self._silu: Any = None

    def prepare(self, kernel: Kernel) -> Launch:
        """The kernel with random operands, on this object's stream."""
        kinds: Mapping[str, Callable[[Mapping[str, int], str], Launch]] = {
            "gemm": self._gemm, "copy": self._copy, "triad": self._triad,
            "decode_attention": self._decode, "prefill_attention": self._prefill,
            "rms_norm": self._rms_norm, "silu_mul": self._silu_mul,
            "host_to_device": self._host_to_device, "device_to_host": self._device_to_host,
            "peer_copy": self._peer_copy, "all_reduce": self._all_reduce,
        }  # fmt: skip
        return kinds[kernel.kind](kernel.named, kernel.dtype)

    def raw(self, source: str, name: str, options: tuple[str, ...] = ()) -> Any:
        """A function of a CUDA source, compiled at its first launch."""
        key = source, name, options
        if key not in self._raw:
            self._raw[key] = self._cupy.RawKernel(source, name, options=options)
        return self._raw[key]

    def random(self, dtype: str, *shape: int, seed: int = 0) -> Any:
        """Numbers in ±[½, 1); 16-bit arrays of an odd size get one word of padding."""
        cupy = self._cupy
        count = int(np.prod(shape, dtype=np.int64))
        size = np.dtype(_STORED[dtype]).itemsize
        words = cupy.empty(-(-count * size // 4), dtype=np.uint32)
        mask, base = _BITS[dtype]
        self.each(
            "fill", words.size, words, np.uint64(words.size), np.uint32(seed + 1),
            np.uint32(mask), np.uint32(base),
        )  # fmt: skip
        return words.view(_STORED[dtype])[:count].reshape(shape)

    def each(self, name: str, count: int, *arguments: Any) -> None:
        """Launches a function of ``STREAMS`` over so many elements."""
        blocks = min(-(-count // THREADS), 16 * self._sms)
        self.raw(cuda_source.STREAMS, name)((max(blocks, 1),), (THREADS,), arguments)

    def _product(
        self, dtype: str, a: Any, b: Any, out: Any, sizes: tuple[int, int, int],
        transposed: bool, batch: int = 1, strides: tuple[int, int, int] = (0, 0, 0),
    ) -> Launch:  # fmt: skip
        """out[m, n] = a[m, k] × b: [n, k] if ``transposed``, else [k, n]; all by rows.

        cuBLAS counts by columns, so it is asked for outᵀ = bᵀ × aᵀ. ``strides`` of a, b and out are
        in elements from one product of the batch to the next.
        """
        m, n, k = sizes
        cublas, kind = self._cublas, self._types[dtype]
        operation = cublas.CUBLAS_OP_T if transposed else cublas.CUBLAS_OP_N
        handle = self._cupy.cuda.device.get_cublas_handle()
        one, zero = self._one.ctypes.data, self._zero.ctypes.data
        wide, compute = (k if transposed else n), cublas.CUBLAS_COMPUTE_32F
        a_stride, b_stride, out_stride = strides
        first, second, third = b.data.ptr, a.data.ptr, out.data.ptr

        def single() -> None:
            cublas.gemmEx(
                handle, operation, cublas.CUBLAS_OP_N, n, m, k, one, first, kind, wide, second,
                kind, k, zero, third, kind, n, compute, cublas.CUBLAS_GEMM_DEFAULT,
            )  # fmt: skip

        def batched() -> None:
            cublas.gemmStridedBatchedEx(
                handle, operation, cublas.CUBLAS_OP_N, n, m, k, one, first, kind, wide, b_stride,
                second, kind, k, a_stride, zero, third, kind, n, out_stride, batch, compute,
                cublas.CUBLAS_GEMM_DEFAULT,
            )  # fmt: skip

        return _holding(single if batch == 1 else batched, a, b, out)

    def _gemm(self, s: Mapping[str, int], dtype: str) -> Launch:
        m, n, k = s["m"], s["n"], s["k"]
        x, w = self.random(dtype, m, k), self.random(dtype, n, k, seed=1)
        out = self._cupy.empty((m, n), dtype=_STORED[dtype])
        return self._product(dtype, x, w, out, (m, n, k), transposed=True)

    def _copy(self, s: Mapping[str, int], dtype: str) -> Launch:
        x = self.random("fp32", s["bytes"] // 4)
        out = self._cupy.empty_like(x)
        count = np.uint64(s["bytes"] // 16)
        return lambda: self.each("copy", int(count), x, out, count)

    def _triad(self, s: Mapping[str, int], dtype: str) -> Launch:
        x, y = (self.random("fp32", s["bytes"] // 4, seed=i) for i in range(2))
        out = self._cupy.empty_like(x)
        count = np.uint64(s["bytes"] // 16)
        return lambda: self.each("triad", int(count), x, y, out, count)

    def _rms_norm(self, s: Mapping[str, int], dtype: str) -> Launch:
        x, weight = self.random(dtype, s["tokens"], s["hidden"]), self.random(dtype, s["hidden"])
        out = self._cupy.empty_like(x)
        norm = self.raw(cuda_source.RMS_NORM, "rms_norm")
        arguments = (x, weight, out, np.int32(s["hidden"]))
        return lambda: norm((s["tokens"],), (THREADS,), arguments)

    def _silu_mul(self, s: Mapping[str, int], dtype: str) -> Launch:
        if self._silu is None:
            self._silu = self._cupy.ElementwiseKernel(
                "uint16 gate, uint16 up",
                "uint16 out",
                "float x = from_bf16(gate); out = to_bf16(x / (1.f + expf(-x)) * from_bf16(up));",
                "rackplan_silu_mul",
                preamble=cuda_source.BF16,
            )
        gate, up = (self.random(dtype, s["tokens"], s["ffn"], seed=i) for i in range(2))
        out, silu = self._cupy.empty_like(gate), self._silu
        return lambda: silu(gate, up, out)

    def _decode(self, s: Mapping[str, int], dtype: str) -> Launch:
        """Blocks over splits of the context, KV heads and sequences, then a join of the splits."""
        cupy = self._cupy
        sequences, context, dim = s["sequences"], s["context"], s["head_dim"]
        heads, kv_heads = s["q_heads"], s["kv_heads"]
        each = -(-context // KV_BLOCK_TOKENS)
        shape = (sequences * each, kv_heads, KV_BLOCK_TOKENS, dim)
        keys, values = (self.random(dtype, *shape, seed=i) for i in range(2))
        queries = self.random(dtype, sequences, heads, dim, seed=2)
        order = np.random.default_rng(0).permutation(sequences * each).astype(np.int32)
        table = cupy.asarray(order)
        wanted = -(-_BLOCKS_PER_SM * self._sms // (kv_heads * sequences))
        splits = max(min(wanted, -(-context // _LEAST_SPLIT)), 1)
        per_split = -(-context // splits)
        splits = -(-context // per_split)
        partial = cupy.empty((sequences, heads, splits, dim + 2), dtype=np.float32)
        out = cupy.empty_like(queries)
        group = heads // kv_heads
        options = (f"-DHEAD_DIM={dim}", f"-DGROUP={group}", f"-DKV_HEADS={kv_heads}")
        decode, join = (self.raw(cuda_source.DECODE, n, options) for n in ("decode", "join"))
        block = (32 * cuda_source.decode_warps(group, dim),)
        arguments = (
            keys, values, table, queries, partial, np.int32(context), np.int32(each),
            np.int32(per_split), np.float32(dim**-0.5),
        )  # fmt: skip

        def launch() -> None:
            decode((splits, kv_heads, sequences), block, arguments)
            join((sequences * heads,), (dim,), (partial, out, np.int32(splits)))

        return launch

    def _prefill(self, s: Mapping[str, int], dtype: str) -> Launch:
        """Unfused: scores, softmax, values by blocks of rows. [kv_heads][tokens][group][dim]."""
        tokens, dim, heads = s["tokens"], s["head_dim"], s["kv_heads"]
        group = s["q_heads"] // heads
        queries = self.random(dtype, heads, tokens, group, dim)
        keys, values = (self.random(dtype, heads, tokens, dim, seed=i) for i in (1, 2))
        out = self._cupy.empty_like(queries)
        rows = min(tokens, PREFILL_ROWS)
        scores = self._cupy.empty(heads * rows * group * tokens, dtype=_STORED[dtype])
        softmax = self.raw(cuda_source.SOFTMAX, "softmax")
        scale, steps = np.float32(dim**-0.5), []
        strides = tokens * group * dim, tokens * dim
        for first in range(0, tokens, PREFILL_ROWS):
            last = min(first + PREFILL_ROWS, tokens)
            wide = (last - first) * group
            block, into = queries[:, first:last], out[:, first:last]
            to_scores = self._product(
                dtype, block, keys, scores, (wide, last, dim), transposed=True, batch=heads,
                strides=(strides[0], strides[1], wide * last),
            )  # fmt: skip
            to_values = self._product(
                dtype, scores, values, into, (wide, dim, last), transposed=False, batch=heads,
                strides=(wide * last, strides[1], strides[0]),
            )  # fmt: skip
            soft = (scores, np.int32(last), np.int32(first), np.int32(group), scale)
            steps.append((to_scores, (wide, heads), soft, to_values))

        def launch() -> None:
            for to_scores, grid, soft, to_values in steps:
                to_scores()
                softmax(grid, (THREADS,), soft)
                to_values()

        return launch

    def _host_to_device(self, s: Mapping[str, int], dtype: str) -> Launch:
        return self._across(s["bytes"], to_device=True)

    def _device_to_host(self, s: Mapping[str, int], dtype: str) -> Launch:
        return self._across(s["bytes"], to_device=False)

    def _across(self, size: int, to_device: bool) -> Launch:
        """Through pinned memory, as serving engines do it."""
        runtime, stream = self._runtime, self._stream
        host = self._cupy.cuda.alloc_pinned_memory(size)
        here = self.random("fp32", size // 4)
        ends = (here.data.ptr, host.ptr) if to_device else (host.ptr, here.data.ptr)
        kind = runtime.memcpyHostToDevice if to_device else runtime.memcpyDeviceToHost
        return _holding(
            lambda: runtime.memcpyAsync(ends[0], ends[1], size, kind, stream.ptr), host, here
        )

    def _peer_copy(self, s: Mapping[str, int], dtype: str) -> Launch:
        """To GPU 1, directly where the two reach each other, else through the host as CUDA does."""
        cupy, runtime, stream = self._cupy, self._runtime, self._stream
        here = self.random("fp32", s["bytes"] // 4)
        if runtime.deviceCanAccessPeer(0, 1):
            self._enable_peer(1)
        with cupy.cuda.Device(1):
            there = cupy.empty_like(here)
        size = s["bytes"]
        return _holding(
            lambda: runtime.memcpyPeerAsync(there.data.ptr, 1, here.data.ptr, 0, size, stream.ptr),
            here, there,
        )  # fmt: skip

    def _enable_peer(self, other: int) -> None:
        try:
            self._runtime.deviceEnablePeerAccess(other)
        except self._runtime.CUDARuntimeError as error:
            # Enabled once already: by an earlier kernel, or by CuPy itself.
            if "PeerAccessAlreadyEnabled" not in str(error):
                raise

    def _all_reduce(self, s: Mapping[str, int], dtype: str) -> Launch:
        """One process, a communicator and a stream for each GPU; rank 0 is on the timed stream."""
        from cupy.cuda import nccl

        cupy, ranks = self._cupy, s["ranks"]
        if ranks not in self._rings:
            streams = [self._stream]
            for i in range(1, ranks):
                with cupy.cuda.Device(i):
                    streams.append(cupy.cuda.Stream(non_blocking=True))
            self._rings[ranks] = nccl.NcclCommunicator.initAll(list(range(ranks))), streams
        communicators, streams = self._rings[ranks]
        buffers = []
        for i in range(ranks):
            with cupy.cuda.Device(i):
                buffers.append(cupy.zeros(s["bytes"] // 2, dtype=np.float16))
                cupy.cuda.Device(i).synchronize()
        count = s["bytes"] // 2

        def launch() -> None:
            nccl.groupStart()
            for communicator, buffer, stream in zip(communicators, buffers, streams, strict=True):
                pointer = buffer.data.ptr
                communicator.allReduce(
                    pointer, pointer, count, nccl.NCCL_FLOAT16, nccl.NCCL_SUM, stream.ptr
                )
            nccl.groupEnd()

        return launch


def _holding(launch: Launch, *buffers: Any) -> Launch:
    """``launch``, keeping alive the buffers that it knows only by address."""

    def held() -> None:
        launch()

    held.__dict__["buffers"] = buffers
    return held
