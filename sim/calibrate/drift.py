"""Clock drift: a reference kernel between the rounds tells whether the clock is what it was."""

from __future__ import annotations

from statistics import median

from sim.calibrate.device import Device
from sim.calibrate.settings import Settings

#: Timings of the reference: of the start, of each probe between rounds.
_START, _PROBE = 9, 3
#: The tolerance is so many spreads of the start's probes at least: a noisy machine is no drift.
_SPREADS = 4.0


class Drift:
    """Times the reference kernel and compares it with the start.

    ``level`` is the time of the reference at which samples are taken now, as a share of that at
    the start: 1 until a drift has lasted, and is then accepted by ``settle``.
    """

    def __init__(self, device: Device, settings: Settings) -> None:
        self._device = device
        self._launch = device.prepare(device.reference)
        once_s = device.time(self._launch, 1, False).seconds
        self._launches = settings.launches(once_s)
        self.reference_s = once_s
        self.tolerance = settings.drift
        self.level = 1.0

    def start(self, settings: Settings, warm_up_s: float) -> None:
        """Runs the reference until it is steady or ``warm_up_s`` have passed, then takes that."""
        end_s = self._device.now_s() + warm_up_s
        before = self._timing()
        while self._device.now_s() < end_s:
            now = self._timing()
            steady = abs(now / before - 1.0) < settings.drift / 5.0
            before = now
            if steady:
                break
        probes = [self._timing() for _ in range(_START)]
        self.reference_s = median(probes)
        off = median(abs(probe - self.reference_s) for probe in probes)
        noise = 1.4826 * off / self.reference_s
        self.tolerance = max(settings.drift, _SPREADS * noise / _PROBE**0.5)

    def probe(self) -> float:
        """Time of the reference now, as a share of that at the start."""
        return median(self._timing() for _ in range(_PROBE)) / self.reference_s

    def is_off(self, ratio: float) -> bool:
        """Whether the clock is another than that of the samples before."""
        return abs(ratio / self.level - 1.0) > self.tolerance

    def settle(self, ratio: float) -> None:
        """The new clock stays: samples are taken at it from now on."""
        self.level = ratio

    @property
    def has_moved(self) -> bool:
        """Whether samples are taken at another clock than at the start."""
        return abs(self.level - 1.0) > self.tolerance

    def _timing(self) -> float:
        return self._device.time(self._launch, self._launches, False).seconds
