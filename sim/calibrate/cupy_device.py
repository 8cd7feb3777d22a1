"""An NVIDIA GPU through CuPy: launches timed with CUDA events, readings from NVML.

A kernel of a few microseconds takes the host longer to launch than the GPU to run. So the stream is
first given a kernel that spins for as long as the host will need to enqueue all the rest; when it
ends, event, launches and event follow each other without a gap. If the GPU had reached the first
event before the host was done, the timing is marked ``late`` and the next spin is longer.
"""

from __future__ import annotations

import platform
import time
from typing import Any, NoReturn

import numpy as np

from sim.calibrate import cuda_source
from sim.calibrate.cupy_kernels import CupyKernels
from sim.calibrate.device import Identity, KernelFailed, Launch, NoDevice, Sensors, Timing
from sim.calibrate.kernel import Kernel
from sim.calibrate.nvml import Nvml

#: A flush writes so many times the L2 cache.
FLUSH_TIMES = 2.0
#: The largest share of free memory that one kernel may take.
MEMORY_SHARE = 0.4
#: The spin: what enqueueing took so far, times this, and a little more.
_SPIN_FACTOR, _SPIN_MORE_S = 1.5, 30e-6
_FIRST_ENQUEUE_S = 20e-6
#: Head dimensions and groups for which there is a decode kernel.
_HEAD_DIM_STEP, _MOST_HEAD_DIM, _MOST_WARPS = 64, 256, 32


class CudaLaunch:
    """A launch, and how long the host takes to enqueue it."""

    def __init__(self, launch: Launch) -> None:
        self._launch = launch
        self.enqueue_s = _FIRST_ENQUEUE_S

    def __call__(self) -> None:
        """Enqueues it on the current stream."""
        self._launch()


class CupyDevice:
    """GPU 0 of those that CUDA shows to this process (CUDA_VISIBLE_DEVICES chooses)."""

    def __init__(self) -> None:
        self._cupy, gpus = _cupy_with_gpus()
        cupy = self._cupy
        runtime = cupy.cuda.runtime
        self._device = cupy.cuda.Device(0)
        self._device.use()
        properties = runtime.getDeviceProperties(0)
        self._nvml = Nvml(self._device.pci_bus_id)
        self._stream = cupy.cuda.Stream(non_blocking=True)
        self._start, self._end = cupy.cuda.Event(), cupy.cuda.Event()
        sms = int(properties["multiProcessorCount"])
        self._kernels = CupyKernels(cupy, self._stream, sms, gpus)
        cache = float(properties["l2CacheSize"])
        flush = int(FLUSH_TIMES * cache) // 16 * 16
        with self._stream:
            self._flush = cupy.zeros(flush // 4, dtype=np.uint32)
        free, total = self._device.mem_info
        notes = () if free > 0.9 * total else (
            f"{(total - free) / 2**30:.1f} GiB of the GPU's memory were taken at the start: "
            "another process may be using it",
        )  # fmt: skip
        self._identity = Identity(
            kind="gpu",
            name=_text(properties["name"]),
            driver=self._nvml.driver or _version(runtime.driverGetVersion()),
            libraries=self._libraries(),
            memory_bytes=float(free),
            cache_bytes=cache,
            flush_bytes=float(flush),
            sms=sms,
            max_clock_hz=self._nvml.max_clock_hz,
            power_limit_w=self._nvml.power_limit_w,
            gpus=gpus,
            notes=notes,
            unread=dict(self._nvml.unread),
        )

    @property
    def identity(self) -> Identity:
        """See ``Device``."""
        return self._identity

    @property
    def reference(self) -> Kernel:
        """See ``Device``."""
        return Kernel("gemm", "bf16", (2048, 2048, 2048))

    def refuses(self, kernel: Kernel) -> str | None:
        """See ``Device``."""
        sizes, gpus = kernel.named, self._identity.gpus
        if kernel.kind == "peer_copy" and gpus < 2:
            return "there is one GPU"
        if kernel.kind == "all_reduce" and sizes["ranks"] > gpus:
            return f"there are {gpus} GPUs" if gpus > 1 else "there is one GPU"
        fused = ("decode_attention", "prefill_attention", "rms_norm", "silu_mul")
        if kernel.kind in fused and kernel.dtype != "bf16":
            return "serving computes it in bf16"
        if kernel.kind == "rms_norm" and sizes["hidden"] % 8:
            return "the kernel takes eight elements at a time"
        if kernel.kind == "decode_attention":
            dim, group = sizes["head_dim"], sizes["q_heads"] // sizes["kv_heads"]
            if dim % _HEAD_DIM_STEP or dim > _MOST_HEAD_DIM:
                return f"the kernel has head dimensions of 64 to {_MOST_HEAD_DIM}"
            if cuda_source.decode_warps(group, dim) > _MOST_WARPS:
                return "the kernel has no groups of so many query heads"
        if kernel.work.footprint_bytes > MEMORY_SHARE * self._identity.memory_bytes:
            return f"takes more than {100 * MEMORY_SHARE:.0f} % of the free memory"
        return None

    def prepare(self, kernel: Kernel) -> Launch:
        """See ``Device``."""
        reason = self.refuses(kernel)
        if reason:
            raise KernelFailed(f"{kernel.name}: {reason}")
        try:
            with self._stream:
                launch = CudaLaunch(self._kernels.prepare(kernel))
                launch()  # compiles it, if it has a source
            self._stream.synchronize()
        except Exception as error:  # CuPy's errors (memory, CUDA, cuBLAS, NCCL, NVRTC) differ
            self._failed(kernel.name, error)
        return launch

    def time(self, launch: Launch, launches: int, flush: bool) -> Timing:
        """See ``Device``."""
        enqueue_s = launch.enqueue_s if isinstance(launch, CudaLaunch) else _FIRST_ENQUEUE_S
        try:
            with self._stream:
                if flush:
                    vectors = self._flush.size // 4
                    self._kernels.each("flush", vectors, self._flush, np.uint64(vectors))
                else:
                    launch()
                self._spin(_SPIN_FACTOR * enqueue_s * launches + _SPIN_MORE_S)
                self._start.record()
                before_s = time.perf_counter()
                for _ in range(launches):
                    launch()
                took_s = (time.perf_counter() - before_s) / launches
                late = bool(self._start.done)
                self._end.record()
            self._end.synchronize()
        except Exception as error:  # as in `prepare`
            self._failed("timing", error)
        if isinstance(launch, CudaLaunch):
            launch.enqueue_s = max(took_s, 2.0 * enqueue_s if late else 0.9 * enqueue_s)
        elapsed_ms = self._cupy.cuda.get_elapsed_time(self._start, self._end)
        return Timing(float(elapsed_ms) * 1e-3 / launches, late)

    def sensors(self) -> Sensors:
        """See ``Device``."""
        return self._nvml.read()

    def now_s(self) -> float:
        """See ``Device``."""
        return time.monotonic()

    def release(self) -> None:
        """See ``Device``: the pools of CuPy keep what they had, unless told."""
        self._cupy.get_default_memory_pool().free_all_blocks()
        self._cupy.get_default_pinned_memory_pool().free_all_blocks()

    def _spin(self, seconds: float) -> None:
        spin = self._kernels.raw(cuda_source.SPIN, "spin")
        spin((1,), (1,), (np.uint64(seconds * 1e9),))

    def _failed(self, what: str, error: Exception) -> NoReturn:
        """One kernel failed; or all will, if the device does not answer any more.

        Raises:
            KernelFailed: the device is well.
            NoDevice: it is not: after an illegal access CUDA refuses everything.
        """
        first = str(error).strip().splitlines()[:1]
        message = f"{what}: {type(error).__name__}: {first[0] if first else 'no message'}"
        try:
            self._device.synchronize()
        except Exception:
            raise NoDevice(f"the GPU does not answer any more ({message})") from error
        self.release()
        raise KernelFailed(message) from error

    def _libraries(self) -> dict[str, str]:
        from cupy_backends.cuda.libs import cublas

        cuda = self._cupy.cuda
        found = {
            "python": platform.python_version(),
            "numpy": np.__version__,
            "cupy": self._cupy.__version__,
            "cuda runtime": _version(cuda.runtime.runtimeGetVersion()),
            "cuda driver": _version(cuda.runtime.driverGetVersion()),
            "cublas": str(cublas.getVersion(cuda.device.get_cublas_handle())),
        }
        try:
            from cupy.cuda import nccl

            found["nccl"] = str(nccl.get_version())
        except (ImportError, AttributeError):  # not in every CuPy
            pass
        return found


def _cupy_with_gpus() -> tuple[Any, int]:
    """CuPy, and how many GPUs it sees.

    Raises:
        NoDevice: it is not installed, or sees none.
    """
    try:
        import cupy
        from cupy_backends.cuda.libs import cublas  # noqa: F401  it may lack its library
    except ImportError as error:
        missing = str(error).splitlines()[0]
        raise NoDevice(
            f"CuPy cannot be loaded ({missing}); pip install 'rackplan[gpu]' brings it"
        ) from None
    try:
        gpus = int(cupy.cuda.runtime.getDeviceCount())
    except cupy.cuda.runtime.CUDARuntimeError as error:
        raise NoDevice(f"no CUDA device: {error}") from None
    if not gpus:
        raise NoDevice("no CUDA device: CUDA_VISIBLE_DEVICES hides them all, or there is none")
    return cupy, gpus


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _version(number: int) -> str:
    """CUDA's 12090 as 12.9."""
    return f"{number // 1000}.{number % 1000 // 10}"
