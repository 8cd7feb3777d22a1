"""Clock drift: a reference kernel between the rounds tells whether the clock is what it was."""

from __future__ import annotations

import math
from collections import deque
from statistics import median

from sim.calibrate.device import Device
from sim.calibrate.settings import Settings

#: Timings of the reference: of the start, of each probe between rounds.
_START, _PROBE = 9, 3
#: The tolerance is so many spreads of a probe at least: a noisy machine is no drift.
_SPREADS = 4.0
#: Steps from one probe to the next that the noise is told from.
_STEPS, _LEAST_STEPS = 40, 8


class Drift:
    """Times the reference kernel and compares it with the start.

    The noise of probes is told from the steps between one and the next: a clock that moves makes
    one large step, a noisy machine makes many. ``tolerance`` follows it.

    ``level`` is the time of the reference at which samples are taken now, as a share of that at
    the start: 1 until a drift has lasted, and is then accepted by ``settle``.
    """

    def __init__(self, device: Device, settings: Settings) -> None:
        self._device = device
        self._launch = device.prepare(device.reference)
        once_s = device.time(self._launch, 1, False).seconds
        self._launches = settings.launches(once_s)
        self._least = settings.drift
        self._steps: deque[float] = deque(maxlen=_STEPS)
        self._last: float | None = None
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
        off = median(abs(math.log(probe / self.reference_s)) for probe in probes)
        self._tolerate(1.4826 * off / _PROBE**0.5)

    def probe(self) -> float:
        """Time of the reference now, as a share of that at the start."""
        ratio = median(self._timing() for _ in range(_PROBE)) / self.reference_s
        if self._last is not None:
            self._steps.append(abs(math.log(ratio / self._last)))
            if len(self._steps) >= _LEAST_STEPS:
                # A step is the difference of two probes: √2 times as spread as one.
                self._tolerate(1.4826 * median(self._steps) / 2**0.5)
        self._last = ratio
        return ratio

    def is_off(self, ratio: float) -> bool:
        """Whether the clock is another than that of the samples before."""
        return abs(math.log(ratio / self.level)) > math.log1p(self.tolerance)

    def settle(self, ratio: float) -> None:
        """The new clock stays: samples are taken at it from now on."""
        self.level = ratio

    @property
    def has_moved(self) -> bool:
        """Whether samples are taken at another clock than at the start."""
        return abs(math.log(self.level)) > math.log1p(self.tolerance)

    def _tolerate(self, spread: float) -> None:
        """Sets the tolerance from the spread of ln(probe)."""
        self.tolerance = max(self._least, math.expm1(_SPREADS * spread))

    def _timing(self) -> float:
        return self._device.time(self._launch, self._launches, False).seconds
