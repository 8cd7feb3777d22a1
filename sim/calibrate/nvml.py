"""Clocks, power, temperature and throttle reasons of one NVIDIA GPU, through NVML."""

from __future__ import annotations

import time
from typing import Any

from sim.calibrate.device import Sensors

#: Readings younger than this are used again: a reading costs about a millisecond, and the GPU
#: itself averages its power over longer.
_FRESH_S = 0.02

#: Bits of the throttle reasons (NVML's documentation, "Clocks Event Reasons"). "Idle" is none: the
#: GPU is idle when it is asked between two kernels.
REASONS = {
    0x2: "application clocks",
    0x4: "power cap",
    0x8: "hardware slowdown",
    0x10: "sync boost",
    0x20: "software thermal",
    0x40: "hardware thermal",
    0x80: "power brake",
    0x100: "display clocks",
    0x200: "board limit",
    0x400: "reliability",
}
_IDLE = 0x1


def reasons_of(bits: int) -> tuple[str, ...]:
    """Throttle reasons in words; bits without a name as numbers."""
    known = [name for bit, name in REASONS.items() if bits & bit]
    rest = bits & ~_IDLE & ~sum(REASONS)
    return (*known, *([f"reason {rest:#x}"] if rest else []))


class Nvml:
    """Reads the GPU at a PCI address, for CUDA and NVML count GPUs differently.

    ``unread`` says which readings there are not, and why.
    """

    def __init__(self, pci_bus_id: str) -> None:
        self.unread: dict[str, str] = {}
        self.driver: str | None = None
        self.power_limit_w: float | None = None
        self.max_clock_hz: float | None = None
        self._last: tuple[float, Sensors] | None = None
        self._nvml: Any = None
        self._handle: Any = None
        try:
            import pynvml

            pynvml.nvmlInit()
            self._handle = pynvml.nvmlDeviceGetHandleByPciBusId(pci_bus_id)
        except ImportError:
            reason = "nvidia-ml-py is not installed"
        except Exception as error:  # NVML's own errors share no base that exists without it
            reason = f"NVML: {error}"
        else:
            self._nvml = pynvml
            self._constants()
            return
        self.unread = dict.fromkeys(
            ("clock_hz", "memory_clock_hz", "power_w", "temperature_c", "throttle"), reason
        )

    def _constants(self) -> None:
        nvml, handle = self._nvml, self._handle
        self.driver = self._ask("driver", nvml.nvmlSystemGetDriverVersion)
        limit_mw = self._ask("power limit", nvml.nvmlDeviceGetEnforcedPowerLimit, handle)
        self.power_limit_w = None if limit_mw is None else limit_mw / 1e3
        most_mhz = self._ask(
            "highest clock", nvml.nvmlDeviceGetMaxClockInfo, handle, nvml.NVML_CLOCK_SM
        )
        self.max_clock_hz = None if most_mhz is None else most_mhz * 1e6

    def read(self) -> Sensors:
        """Readings of now, or of at most ``_FRESH_S`` ago."""
        now_s = time.monotonic()
        if self._last is not None and now_s - self._last[0] < _FRESH_S:
            return self._last[1]
        sensors = self._read() if self._nvml is not None else Sensors()
        self._last = now_s, sensors
        return sensors

    def _read(self) -> Sensors:
        nvml, handle = self._nvml, self._handle
        # Its older name, which drivers before 535 know it by.
        ask_reasons = getattr(
            nvml, "nvmlDeviceGetCurrentClocksEventReasons",
            nvml.nvmlDeviceGetCurrentClocksThrottleReasons,
        )  # fmt: skip
        clock = self._ask("clock_hz", nvml.nvmlDeviceGetClockInfo, handle, nvml.NVML_CLOCK_SM)
        memory = self._ask(
            "memory_clock_hz", nvml.nvmlDeviceGetClockInfo, handle, nvml.NVML_CLOCK_MEM
        )
        power = self._ask("power_w", nvml.nvmlDeviceGetPowerUsage, handle)
        heat = self._ask(
            "temperature_c", nvml.nvmlDeviceGetTemperature, handle, nvml.NVML_TEMPERATURE_GPU
        )
        bits = self._ask("throttle", ask_reasons, handle)
        return Sensors(
            clock_hz=None if clock is None else clock * 1e6,
            memory_clock_hz=None if memory is None else memory * 1e6,
            power_w=None if power is None else power / 1e3,
            temperature_c=None if heat is None else float(heat),
            throttle=None if bits is None else reasons_of(int(bits)),
        )

    def _ask(self, what: str, question: Any, *arguments: Any) -> Any:
        """The answer; None if this GPU or driver does not give it, and ``unread`` says so."""
        if what in self.unread:
            return None
        try:
            answer = question(*arguments)
        except self._nvml.NVMLError as error:
            self.unread[what] = f"NVML: {error}"
            return None
        return answer.decode() if isinstance(answer, bytes) else answer
