"""What Linux says of this machine's CPU: name, caches, memory, clock, draw, temperature."""

from __future__ import annotations

import glob
import os
import platform
import time
from collections.abc import Mapping
from pathlib import Path

from sim.calibrate.device import Sensors

_CPU = Path("/sys/devices/system/cpu/cpu0")
_ZONES = "/sys/class/thermal/thermal_zone*/temp"
_RAPL = Path("/sys/class/powercap/intel-rapl:0/energy_uj")
_SCALING = _CPU / "cpufreq" / "scaling_cur_freq"
_THROTTLED = _CPU / "thermal_throttle" / "package_throttle_count"


def read_text(path: Path | str) -> str | None:
    """The file's text without its ends; None if it cannot be read."""
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None


def cpu_name() -> str:
    """Such as ``Intel(R) Xeon(R) Processor``."""
    return _cpu_line("model name") or platform.processor() or platform.machine() or "unknown CPU"


def usable_cpus() -> int:
    """CPUs that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def memory_bytes() -> float:
    """Memory that is free for use; 2 GiB where the system does not say."""
    for line in (read_text("/proc/meminfo") or "").splitlines():
        if line.startswith("MemAvailable:"):
            return 1024.0 * int(line.split()[1])
    return 2.0 * 2**30


def cache_bytes() -> float:
    """The last level of cache; 32 MiB where the system does not say."""
    sizes = [read_text(path) for path in glob.glob(f"{_CPU}/cache/index*/size")]
    known = [_bytes(size) for size in sizes if size]
    return max(known, default=32.0 * 2**20)


def _bytes(text: str) -> float:
    units = {"K": 2.0**10, "M": 2.0**20, "G": 2.0**30}
    return float(text[:-1]) * units[text[-1]] if text[-1] in units else float(text)


def _cpu_line(name: str) -> str | None:
    for line in (read_text("/proc/cpuinfo") or "").splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return None


class HostSensors:
    """Reads what can be read; ``unread`` says once, for all readings, what cannot and why."""

    def __init__(self) -> None:
        unread = {"memory_clock_hz": "Linux does not say it"}
        self._zones = sorted(glob.glob(_ZONES))
        if self._clock_hz() is None:
            unread["clock_hz"] = f"neither {_SCALING} nor /proc/cpuinfo has it"
        if not self._zones or self._temperature_c() is None:
            unread["temperature_c"] = f"no readable {_ZONES}"
        if self._energy_j() is None:
            unread["power_w"] = f"{_RAPL} is not there or only root may read it"
        if self._throttle_counts() is None:
            unread["throttle"] = f"neither {_THROTTLED} nor /proc/stat can be read"
        self.unread: Mapping[str, str] = unread
        self._last_energy = (time.monotonic(), self._energy_j())
        self._last_counts = self._throttle_counts()

    def read(self) -> Sensors:
        """Readings of now; power is the mean since the last reading."""
        return Sensors(
            clock_hz=self._clock_hz(),
            power_w=self._power_w(),
            temperature_c=self._temperature_c(),
            throttle=self._throttle(),
        )

    def _clock_hz(self) -> float | None:
        scaling = read_text(_SCALING)
        if scaling:
            return 1e3 * float(scaling)
        line = _cpu_line("cpu MHz")
        return 1e6 * float(line) if line else None

    def _temperature_c(self) -> float | None:
        read = [read_text(zone) for zone in self._zones]
        return max((float(text) / 1000.0 for text in read if text), default=None)

    def _energy_j(self) -> float | None:
        text = read_text(_RAPL)
        return float(text) / 1e6 if text else None

    def _power_w(self) -> float | None:
        then_s, then_j = self._last_energy
        now_s, now_j = time.monotonic(), self._energy_j()
        self._last_energy = (now_s, now_j)
        if then_j is None or now_j is None or now_j < then_j or now_s <= then_s:
            return None  # unreadable, or the counter wrapped around
        return (now_j - then_j) / (now_s - then_s)

    def _throttle_counts(self) -> dict[str, int] | None:
        counts: dict[str, int] = {}
        thermal = read_text(_THROTTLED)
        if thermal:
            counts["thermal"] = int(thermal)
        fields = (read_text("/proc/stat") or "").splitlines()[:1]
        if fields and len(fields[0].split()) > 8:
            counts["stolen by the hypervisor"] = int(fields[0].split()[8])
        return counts or None

    def _throttle(self) -> tuple[str, ...] | None:
        before, now = self._last_counts, self._throttle_counts()
        self._last_counts = now
        if before is None or now is None:
            return None
        return tuple(name for name, count in now.items() if count > before.get(name, count))
