"""Times groups of kernels in turns, so that whatever drifts drifts for all of them alike.

A round takes one warm and one cold sample of every kernel of the group, starting with another
kernel each time, and ends with the reference kernel. If that says that the clock has moved, the
round is thrown away and repeated; if it stays moved, the group starts anew at the new clock. A
kernel leaves the group when the intervals of its medians are narrow enough, or its time is up.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from statistics import median

from sim.calibrate.device import Device, KernelFailed, Launch
from sim.calibrate.drift import Drift
from sim.calibrate.kernel import Kernel
from sim.calibrate.series import CASES, Failure, Measurement, Series
from sim.calibrate.settings import Settings
from sim.calibrate.statistics import FEW

#: A sample for which the device waited for the host is taken anew so often.
_TRIES = 3


@dataclass(frozen=True)
class Skipped:
    """A kernel that could not be timed now: no room in this budget, or too slow a host."""

    kernel: Kernel
    reason: str


Result = Measurement | Failure | Skipped


class _HostTooSlow(Exception):
    """The device waited for the host at every try."""


@dataclass(eq=False)
class _Entry:
    kernel: Kernel
    launch: Launch
    series: dict[str, Series]
    references: list[float] = field(default_factory=list)
    repeated: int = 0
    spent_s: float = 0.0

    @property
    def samples(self) -> int:
        return min(len(series.seconds) for series in self.series.values())

    def drop_after(self, count: int) -> None:
        for series in self.series.values():
            series.drop_after(count)


class Harness:
    """Measures groups of kernels on one device until ``end_s`` of the device's clock."""

    def __init__(self, device: Device, settings: Settings, budget_s: float, end_s: float) -> None:
        self._device, self._settings = device, settings
        self._budget_s, self._end_s = budget_s, end_s
        self.drift = Drift(device, settings)
        self._active: list[_Entry] = []
        self._round = 0
        self._strikes = 0

    def group(self, kernels: Sequence[Kernel]) -> Iterator[Result]:
        """Measures ``kernels``; each result comes as soon as it stands.

        At the end of the time what has too few samples for a median is dropped without a word.
        """
        self._strikes = 0
        for kernel in kernels:
            entry = self._entry(kernel)
            if isinstance(entry, _Entry):
                self._active.append(entry)
            else:
                yield entry
        while self._active and self._device.now_s() < self._end_s:
            yield from self._one_round()
        yield from self.salvage()
        self._device.release()

    def salvage(self) -> Iterator[Measurement]:
        """What can be kept of the kernels under way; they are given up then."""
        given_up, self._active = self._active, []
        for entry in given_up:
            entry.drop_after(entry.samples)  # an interrupted round may have given one case more
            if entry.samples >= FEW and entry.references:
                yield self._measurement(entry)

    def _entry(self, kernel: Kernel) -> _Entry | Failure | Skipped:
        """The kernel with its buffers, run once; or why not."""
        try:
            launch = self._device.prepare(kernel)
            once_s = self._device.time(launch, 1, False).seconds
        except KernelFailed as error:
            return Failure(kernel, str(error))
        room_s = self._settings.launch_share * self._budget_s
        if 3 * self._settings.least_samples * once_s > room_s:
            return Skipped(kernel, f"one launch takes {once_s:.3g} s: too long for this budget")
        launches = {"warm": self._settings.launches(once_s), "cold": 1}
        return _Entry(kernel, launch, {case: Series(launches[case]) for case in CASES})

    def _one_round(self) -> Iterator[Result]:
        first = self._round % len(self._active)
        self._round += 1
        before = [entry.samples for entry in self._active]
        failures: list[Failure | Skipped] = []
        for entry in (*self._active[first:], *self._active[:first]):
            start_s = self._device.now_s()
            try:
                self._sample(entry)
            except KernelFailed as error:
                failures.append(Failure(entry.kernel, str(error)))
            except _HostTooSlow as error:
                failures.append(Skipped(entry.kernel, str(error)))
            entry.spent_s += self._device.now_s() - start_s
        start_s = self._device.now_s()
        reference = self.drift.probe()
        for entry in self._active:
            entry.spent_s += (self._device.now_s() - start_s) / len(self._active)
        if self.drift.is_off(reference):
            self._throw_away(before, reference)
        else:
            self._strikes = 0
            for entry in self._active:
                entry.references.append(reference)
        failed = {failure.kernel for failure in failures}
        self._active = [entry for entry in self._active if entry.kernel not in failed]
        yield from failures
        for entry in [entry for entry in self._active if self._has_ended(entry)]:
            # One by one: Ctrl-C between two results must not lose the second.
            self._active.remove(entry)
            yield self._measurement(entry)

    def _sample(self, entry: _Entry) -> None:
        for case, series in entry.series.items():
            for _ in range(_TRIES):
                timing = self._device.time(entry.launch, series.launches, case == "cold")
                if not timing.late:
                    break
                series.late += 1
            else:
                raise _HostTooSlow(f"{case}: the host kept the device waiting, {_TRIES} times")
            series.add(timing, self._device.sensors())

    def _throw_away(self, before: list[int], reference: float) -> None:
        """The clock moved in this round: its samples go; after so many rounds all of them."""
        self._strikes += 1
        settled = self._strikes >= self._settings.patience
        for entry, count in zip(self._active, before, strict=True):
            entry.drop_after(0 if settled else count)
            entry.repeated += 1
            if settled:
                entry.references.clear()
        if settled:
            self.drift.settle(reference)
            self._strikes = 0

    def _has_ended(self, entry: _Entry) -> bool:
        settings = self._settings
        if entry.samples < settings.least_samples:
            return False
        share_s = min(settings.share * self._budget_s, settings.most_share_s)
        over = entry.spent_s > share_s or entry.samples >= settings.most_samples
        return over or self._has_converged(entry)

    def _has_converged(self, entry: _Entry) -> bool:
        return all(s.summary.half_width <= self._settings.target for s in entry.series.values())

    def _measurement(self, entry: _Entry) -> Measurement:
        return Measurement(
            kernel=entry.kernel,
            cases=entry.series,
            reference=median(entry.references),
            drifted=self.drift.has_moved,
            repeated=entry.repeated,
            converged=entry.samples >= self._settings.least_samples and self._has_converged(entry),
        )
