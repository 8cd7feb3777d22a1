"""What a measurement is: samples with their sensors, warm and cold, and their summary."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sim.calibrate.device import SENSORS, Sensors, Timing
from sim.calibrate.kernel import Kernel
from sim.calibrate.statistics import Summary, summarise

#: ``warm``: launches in a row, the cache holds what it can. ``cold``: the cache turned over before.
CASES = ("warm", "cold")


@dataclass
class Series:
    """The samples of one case, as they came."""

    launches: int  # in each sample
    seconds: list[float] = field(default_factory=list)  # per launch
    sensors: list[Sensors] = field(default_factory=list)
    late: int = 0  # samples thrown away because the device waited for the host

    def add(self, timing: Timing, sensors: Sensors) -> None:
        """Keeps a sample."""
        self.seconds.append(timing.seconds)
        self.sensors.append(sensors)

    def drop_after(self, count: int) -> None:
        """Keeps only the first ``count`` samples."""
        del self.seconds[count:], self.sensors[count:]

    @property
    def summary(self) -> Summary:
        """Of the samples so far; there must be one."""
        return summarise(self.seconds)

    def columns(self) -> dict[str, list[object]]:
        """Sensor readings, one list for each sensor that said anything."""
        found = {name: [getattr(s, name) for s in self.sensors] for name in SENSORS}
        return {k: v for k, v in found.items() if any(x is not None for x in v)}


@dataclass(frozen=True)
class Measurement:
    """One kernel, timed.

    Attributes:
        cases: the series of each case.
        reference: time of the reference kernel meanwhile, as a share of that at the start.
        drifted: the reference was off by more than its tolerance: another clock than at the start.
        repeated: rounds thrown away because the clock drifted in them.
        converged: every interval got as narrow as wanted.
    """

    kernel: Kernel
    cases: Mapping[str, Series]
    reference: float
    drifted: bool
    repeated: int
    converged: bool


@dataclass(frozen=True)
class Failure:
    """A kernel that could not be timed, and why."""

    kernel: Kernel
    reason: str
