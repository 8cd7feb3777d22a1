"""The CPU of this machine, through NumPy: a real measurement that needs no GPU."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Mapping

import numpy as np
import scipy

from sim.calibrate import host, numpy_kernels
from sim.calibrate.device import Identity, KernelFailed, Launch, Sensors, Timing
from sim.calibrate.kernel import Kernel

#: A flush writes so many times the last cache, up to ``FLUSH_MOST``: the last cache of a server can
#: be huge and shared, and to turn it over for every sample would take most of the time.
FLUSH_TIMES = 1.25
FLUSH_MOST = 32 * 2**20
#: The largest share of free memory that one kernel may take.
MEMORY_SHARE = 0.4

_ABSENT = {
    "host_to_device": "the host is the device",
    "device_to_host": "the host is the device",
    "peer_copy": "there is one device",
    "all_reduce": "there is one device",
}
_NO_DTYPE = {
    "bf16": "NumPy has no bf16",
    "fp16": "NumPy computes fp16 without BLAS, which says nothing of this CPU",
}
#: Environment variables that set how many threads BLAS uses.
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class NumpyDevice:
    """Kernels run to their end in the calling thread; the clock is that of the host."""

    def __init__(self) -> None:
        self._host = host.HostSensors()
        cache = host.cache_bytes()
        flush = min(FLUSH_TIMES * cache, FLUSH_MOST)
        self._flush = np.zeros(int(flush) // 4, dtype=np.float32)
        cpus, load = host.usable_cpus(), os.getloadavg()[0]
        notes = [f"{cpus} CPUs to run on; threads of BLAS: {_libraries()['blas threads']}"]
        if load > 0.5 * cpus:
            notes.append(
                f"the load average was {load:.1f} at the start: other processes were running, and "
                "times are longer for it"
            )
        if flush < cache:
            notes.append(
                f"a flush writes {flush / 2**20:.0f} MiB, less than the last cache of "
                f"{cache / 2**20:.0f} MiB: 'cold' is then not all from memory"
            )
        self._identity = Identity(
            kind="cpu",
            name=host.cpu_name(),
            driver=f"{platform.system()} {platform.release()}",
            libraries=_libraries(),
            memory_bytes=host.memory_bytes(),
            cache_bytes=cache,
            flush_bytes=flush,
            notes=tuple(notes),
            unread=self._host.unread,
        )

    @property
    def identity(self) -> Identity:
        """See ``Device``."""
        return self._identity

    @property
    def reference(self) -> Kernel:
        """See ``Device``."""
        return Kernel("gemm", "fp32", (128, 256, 256))

    def refuses(self, kernel: Kernel) -> str | None:
        """See ``Device``."""
        if kernel.kind in _ABSENT:
            return _ABSENT[kernel.kind]
        if kernel.dtype in _NO_DTYPE:
            return _NO_DTYPE[kernel.dtype]
        if kernel.work.footprint_bytes > MEMORY_SHARE * self._identity.memory_bytes:
            return f"takes more than {100 * MEMORY_SHARE:.0f} % of the free memory"
        return None

    def prepare(self, kernel: Kernel) -> Launch:
        """See ``Device``."""
        reason = self.refuses(kernel)
        if reason:
            raise KernelFailed(f"{kernel.name}: {reason}")
        try:
            return numpy_kernels.prepare(kernel).launch
        except MemoryError as error:
            raise KernelFailed(f"{kernel.name}: {error}") from error

    def time(self, launch: Launch, launches: int, flush: bool) -> Timing:
        """See ``Device``."""
        if flush:
            np.add(self._flush, 1, out=self._flush)
        else:
            launch()
        start_ns = time.perf_counter_ns()
        for _ in range(launches):
            launch()
        return Timing((time.perf_counter_ns() - start_ns) * 1e-9 / launches)

    def sensors(self) -> Sensors:
        """See ``Device``."""
        return self._host.read()

    def now_s(self) -> float:
        """See ``Device``."""
        return time.monotonic()

    def release(self) -> None:
        """See ``Device``: NumPy gives memory back by itself."""


def _libraries() -> Mapping[str, str]:
    found = {"python": platform.python_version(), "numpy": np.__version__}
    found["scipy"] = scipy.__version__
    told = [f"{name}={os.environ[name]}" for name in _THREADS if name in os.environ]
    found["blas threads"] = ", ".join(told) or f"one for each of {host.usable_cpus()} CPUs"
    config = np.show_config(mode="dicts")
    blas = config["Build Dependencies"]["blas"] if isinstance(config, dict) else {}
    if blas.get("name"):
        found[str(blas["name"])] = str(blas.get("version", "unknown"))
    return found
