"""The seam between the harness and what it times: one protocol, a CPU and a GPU behind it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from sim.calibrate.kernel import Kernel
from sim.errors import RackplanError

#: Enqueues (GPU) or does (CPU) one launch; holds its buffers for as long as it lives.
Launch = Callable[[], None]

#: What is read beside each timing, with its unit.
SENSORS = ("clock_hz", "memory_clock_hz", "power_w", "temperature_c", "throttle")


class KernelFailed(RackplanError):
    """One kernel that this device could not run; the message says why. The others go on."""


class NoDevice(RackplanError):
    """There is no such device here, or what drives it is not installed."""


@dataclass(frozen=True)
class Identity:
    """What the timings belong to. None: the device does not say."""

    kind: str  # "cpu" or "gpu"
    name: str
    driver: str | None
    libraries: Mapping[str, str]
    memory_bytes: float
    cache_bytes: float  # the last level, which a flush has to turn over
    flush_bytes: float  # what a flush writes
    sms: int | None = None
    max_clock_hz: float | None = None
    power_limit_w: float | None = None
    gpus: int = 0
    notes: tuple[str, ...] = ()
    unread: Mapping[str, str] = field(default_factory=dict)  # sensor → why it cannot be read


@dataclass(frozen=True)
class Sensors:
    """Readings beside one timing. None: not readable, and ``Identity.unread`` says why."""

    clock_hz: float | None = None
    memory_clock_hz: float | None = None
    power_w: float | None = None
    temperature_c: float | None = None
    throttle: tuple[str, ...] | None = None  # why the clock is held down; empty: it is not


@dataclass(frozen=True)
class Timing:
    """Seconds per launch. ``late``: the device waited for the host, so it is no kernel's time."""

    seconds: float
    late: bool = False


class Device(Protocol):
    """What a harness needs of a device."""

    @property
    def identity(self) -> Identity:
        """Name, versions, sizes."""

    @property
    def reference(self) -> Kernel:
        """A kernel bound by the clock of the arithmetic: it shows when that drifts."""

    def refuses(self, kernel: Kernel) -> str | None:
        """Why this device cannot run ``kernel``; None if it can."""

    def prepare(self, kernel: Kernel) -> Launch:
        """Allocates and fills the buffers. Raises ``KernelFailed``."""

    def time(self, launch: Launch, launches: int, flush: bool) -> Timing:
        """Times ``launches`` in a row.

        With ``flush`` the cache is turned over before the first; without, one launch that is not
        timed goes ahead, so the cache holds what it can.
        """

    def sensors(self) -> Sensors:
        """Readings of now."""

    def now_s(self) -> float:
        """A monotonic clock of the host: the budget is counted on it."""

    def release(self) -> None:
        """Gives back the memory of kernels that nobody holds."""


def open_device(wanted: str) -> tuple[Device, str]:
    """The device of ``--device`` (``cpu``, ``gpu`` or ``auto``), and why it is this one.

    Raises:
        NoDevice: ``gpu`` was asked for and cannot be had.
    """
    if wanted != "cpu":
        try:
            from sim.calibrate.cupy_device import CupyDevice

            device = CupyDevice()
            return device, f"{device.identity.name}, through CuPy"
        except NoDevice as error:
            if wanted == "gpu":
                raise
            reason = f"the CPU, through NumPy: {error}"
    else:
        reason = "the CPU, through NumPy, as asked for"
    from sim.calibrate.numpy_device import NumpyDevice

    return NumpyDevice(), reason
