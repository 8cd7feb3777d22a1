"""Rounds, clock drift, faults and the end of the time, on a device with a clock of its own."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise

import pytest

from sim.calibrate.drift import Drift
from sim.calibrate.kernel import Kernel
from sim.calibrate.measure import Harness, Result, Skipped
from sim.calibrate.series import Failure, Measurement
from sim.calibrate.settings import Settings
from tests.unit.calibrate.made_up import MadeUpDevice

KERNELS = [Kernel("gemm", "fp32", (m, 1024, 1024)) for m in (64, 128, 256)]
SETTINGS = Settings(least_sample_s=20e-6)


def measured(
    device: MadeUpDevice, settings: Settings = SETTINGS, budget_s: float = 10.0
) -> dict[Kernel, Result]:
    harness = Harness(device, settings, budget_s, device.now_s() + budget_s)
    harness.drift.start(settings, 0.01)
    return {result.kernel: result for result in harness.group(KERNELS)}


def as_measured(results: Iterable[Result]) -> list[Measurement]:
    found = [result for result in results if isinstance(result, Measurement)]
    assert found
    return found


def test_medians_are_those_of_the_device() -> None:
    device = MadeUpDevice()
    results = measured(device)
    assert list(results) != []
    for result in as_measured(results.values()):
        for case in result.cases.values():
            assert case.summary.median == pytest.approx(device.true_s(result.kernel), rel=0.01)
        assert result.converged
        assert not result.drifted
        assert result.repeated == 0
        assert len(result.cases["warm"].seconds) >= SETTINGS.least_samples


def test_kernels_take_turns() -> None:
    device = MadeUpDevice()
    measured(device)
    names = [kernel.name for kernel in KERNELS]
    turns = [name for name in device.timed if name in names]
    changes = sum(a != b for a, b in pairwise(turns))
    assert changes >= 3 * SETTINGS.least_samples - 3  # three kernels, seven rounds


def test_a_noisy_kernel_is_sampled_more_but_not_for_ever() -> None:
    few = as_measured(measured(MadeUpDevice()).values())
    many = as_measured(measured(MadeUpDevice(noise=0.2)).values())
    assert max(len(r.cases["warm"].seconds) for r in few) < 12
    for result in many:
        assert len(result.cases["warm"].seconds) == SETTINGS.most_samples
        assert not result.converged


def with_dip(share: float) -> tuple[MadeUpDevice, list[Measurement]]:
    """The clock falls to 0.7 for this share of a run, from its middle on."""
    plain = MadeUpDevice()
    measured(plain)
    start_s, end_s = 0.5 * plain.clock_s, (0.5 + share) * plain.clock_s
    device = MadeUpDevice(speed=lambda now_s: 0.7 if start_s < now_s < end_s else 1.0)
    return device, as_measured(measured(device).values())


def test_a_dip_of_the_clock_costs_rounds_and_no_accuracy() -> None:
    device, results = with_dip(0.25)
    assert sum(result.repeated for result in results) > 0
    for result in results:
        assert not result.drifted
        assert result.reference == pytest.approx(1.0, abs=0.02)
        for case in result.cases.values():
            assert case.summary.high < 1.05 * device.true_s(result.kernel)


def test_a_dip_within_a_round_leaves_outliers_only() -> None:
    device, results = with_dip(0.06)  # the reference at the end of the round does not see it
    slow = [max(case.seconds) for result in results for case in result.cases.values()]
    true = [device.true_s(result.kernel) for result in results for _ in result.cases]
    assert any(worst > 1.3 * time_s for worst, time_s in zip(slow, true, strict=True))
    for result in results:
        for case in result.cases.values():
            assert case.summary.high < 1.05 * device.true_s(result.kernel)


def test_a_clock_that_stays_down_is_accepted_and_said() -> None:
    plain = MadeUpDevice()
    measured(plain)
    half_s = 0.5 * plain.clock_s
    device = MadeUpDevice(speed=lambda now_s: 0.7 if now_s > half_s else 1.0)
    results = as_measured(measured(device).values())
    for result in results:
        assert result.drifted
        assert result.repeated >= SETTINGS.patience
        assert result.reference == pytest.approx(1 / 0.7, rel=0.02)
        # No sample of the faster clock is among those of the slower one.
        fast_s = device.true_s(result.kernel)
        assert min(result.cases["warm"].seconds) > 1.3 * fast_s


def test_a_broken_kernel_does_not_stop_the_others() -> None:
    results = measured(MadeUpDevice(broken=lambda kernel: kernel == KERNELS[1]))
    assert isinstance(results[KERNELS[1]], Failure)
    assert "broken on purpose" in results[KERNELS[1]].reason
    assert len(as_measured(results.values())) == 2


def test_a_late_timing_is_taken_anew() -> None:
    device = MadeUpDevice()
    harness = Harness(device, SETTINGS, 10.0, 10.0)
    harness.drift.start(SETTINGS, 0.01)
    generator = harness.group(KERNELS[:1])
    device.late = 4  # the trial run takes one, then two samples and a try of the next are late
    (result,) = as_measured(generator)
    assert sum(series.late for series in result.cases.values()) == 2


def test_a_host_that_is_always_too_slow_skips_the_kernel() -> None:
    device = MadeUpDevice()
    harness = Harness(device, SETTINGS, 10.0, 10.0)
    harness.drift.start(SETTINGS, 0.01)
    device.late = 1000
    (result,) = harness.group(KERNELS[:1])
    assert isinstance(result, Skipped)  # not a failure: another session tries it again
    assert result.reason == "warm: the host kept the device waiting, 3 times"


def test_a_kernel_too_long_for_the_budget_is_left_for_a_longer_one() -> None:
    device = MadeUpDevice()
    budget_s = 150 * device.true_s(KERNELS[2])
    harness = Harness(device, replace(SETTINGS, drift=0.05), budget_s, 1e9)
    (result,) = harness.group(KERNELS[2:])
    assert isinstance(result, Skipped)
    assert "too long for this budget" in result.reason


def test_at_the_end_of_the_time_what_has_a_median_is_kept() -> None:
    device = MadeUpDevice(noise=0.2)
    once_s = device.true_s(KERNELS[0])
    harness = Harness(device, SETTINGS, 10.0, 0.0)
    harness.drift.start(SETTINGS, 0.001)
    harness._end_s = device.now_s() + 40 * once_s  # a few rounds
    assert list(harness.group(KERNELS)) == []
    harness._end_s = device.now_s() + 1000 * once_s
    kept = as_measured(harness.group(KERNELS))
    assert all(not result.converged for result in kept)
    assert all(5 <= len(result.cases["warm"].seconds) < 60 for result in kept)


def test_noise_of_the_machine_is_no_drift() -> None:
    """Probes that jump by a tenth widen the tolerance; a clock that halves is still seen."""
    device = MadeUpDevice(noise=0.1)
    drift = Drift(device, SETTINGS)
    drift.start(SETTINGS, 0.001)
    off = [drift.is_off(drift.probe()) for _ in range(200)]
    assert sum(off) <= 4
    assert SETTINGS.drift < drift.tolerance < 0.5
    device.speed = lambda now_s: 0.5
    assert drift.is_off(drift.probe())
    quiet = Drift(MadeUpDevice(noise=0.001), SETTINGS)
    quiet.start(SETTINGS, 0.001)
    assert not any(quiet.is_off(quiet.probe()) for _ in range(50))
    assert quiet.tolerance == SETTINGS.drift
