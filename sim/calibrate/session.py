"""One session of measuring: from the plan to the file, within a budget of time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sim.calibrate.device import Device, Identity
from sim.calibrate.kernel import Kernel
from sim.calibrate.measure import Harness, Result, Skipped
from sim.calibrate.order import Costs, Order, Works
from sim.calibrate.pace import Pace
from sim.calibrate.read import Calibration
from sim.calibrate.record import Writer
from sim.calibrate.series import Failure, Measurement
from sim.calibrate.settings import Settings
from sim.errors import RackplanError

#: Samples of each case that a kernel is expected to need, for its cost.
_EXPECTED = 12
#: Seconds that a kernel costs beside its launches: sensors, the reference, the file.
_FIXED_S = 0.02
#: The share of the memory that a group of kernels may take together.
_MEMORY_SHARE = 0.4
#: Kernels that are tried first, for the pace of all others.
_COPY_BYTES = 1 << 24


#: How sessions end.
USED_UP, ALL_DONE, STOPPED = "the time is used up", "every kernel is timed", "stopped by Ctrl-C"


@dataclass
class Outcome:
    """What a session did."""

    measured: list[Measurement] = field(default_factory=list)
    failed: list[Failure] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    levels: list[float] = field(default_factory=list)  # clocks that were accepted after a drift
    tolerance: float = 0.0  # of the reference: drift below this cannot be seen
    seconds: float = 0.0
    ended: str = ""  # why


#: Called after every kernel: the session so far, the seconds passed, kernels left.
Report = Callable[[Outcome, float, int], None]


def check_same(file: Calibration, here: Identity) -> None:
    """Refuses to go on with measurements of another device or other software.

    Raises:
        RackplanError: names what differs.
    """
    was = file.identity
    names = dict.fromkeys((*was.libraries, *here.libraries))
    for what, then, now in (
        ("the device", was.name, here.name),
        ("the driver", was.driver, here.driver),
        *((name, was.libraries.get(name), here.libraries.get(name)) for name in names),
    ):
        if then != now:
            raise RackplanError(
                f"{file.path}: {what} was {then} and is {now} here: timings of both would not "
                "belong together; start a new file with --out"
            )


def run(
    device: Device,
    writer: Writer,
    order: Order,
    settings: Settings,
    minutes: float,
    report: Report = lambda outcome, passed_s, left: None,
) -> Outcome:
    """Measures kernels in order until ``minutes`` have passed or none is left.

    Ctrl-C ends the session early: what has enough samples is kept.
    """
    budget_s = 60.0 * minutes
    start_s = device.now_s()
    harness = Harness(device, settings, budget_s, start_s + budget_s)
    outcome = Outcome()
    try:
        harness.drift.start(settings, settings.warm_up * budget_s)
        outcome.tolerance = harness.drift.tolerance
        writer.session(minutes, harness.drift, device.reference)
        pace = _pace(device)
        costs = _costs(pace, device.identity, settings)
        memory = _MEMORY_SHARE * device.identity.memory_bytes
        while (left_s := start_s + budget_s - device.now_s()) > 0:
            level = harness.drift.level
            kernels = order.take(settings.group, costs, left_s, memory)
            if not kernels:
                outcome.ended = USED_UP if order.left else ALL_DONE
                break
            for result in harness.group(kernels):
                _keep(result, outcome, writer, pace)
                report(outcome, device.now_s() - start_s, order.left)
            if harness.drift.level != level:
                outcome.levels.append(harness.drift.level)
            outcome.tolerance = max(outcome.tolerance, harness.drift.tolerance)
        else:
            outcome.ended = USED_UP
    except KeyboardInterrupt:
        for kept in harness.salvage():
            _keep(kept, outcome, writer, None)
        outcome.ended = STOPPED
    outcome.seconds = device.now_s() - start_s
    return outcome


def _keep(result: Result, outcome: Outcome, writer: Writer, pace: Pace | None) -> None:
    if isinstance(result, Measurement):
        writer.measured(result)
        outcome.measured.append(result)
        if pace is not None:
            pace.learn(result.kernel, result.cases["warm"].summary.median)
    elif isinstance(result, Failure):
        writer.failed(result)
        outcome.failed.append(result)
    else:
        outcome.skipped.append(result)


def _pace(device: Device) -> Pace:
    """Rates of this device from its reference kernel and one copy."""
    products, copies = device.reference, Kernel("copy", "fp32", (_COPY_BYTES,))
    least: Sequence[float] = [
        min(device.time(launch, 1, False).seconds for _ in range(3))
        for launch in (device.prepare(products), device.prepare(copies))
    ]
    launch_s = 1e-6
    return Pace(products.work.flops / least[0], copies.work.bytes / least[1], launch_s)


def _costs(pace: Pace, identity: Identity, settings: Settings) -> Costs:
    """What measuring kernels costs, in seconds."""
    flush_s = identity.flush_bytes / pace.bytes_per_s

    def costs(family: tuple[str, str], works: Works) -> NDArray[np.float64]:
        launch = pace.launches_s(family, works)
        # Warm: one launch ahead and enough to fill a sample. Cold: a flush and a launch.
        sample = 3 * launch + settings.least_sample_s + flush_s
        seconds: NDArray[np.float64] = _FIXED_S + _EXPECTED * sample + pace.fills_s(works)
        return seconds

    return costs
