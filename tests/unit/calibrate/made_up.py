"""A device that times nothing: its clock, its speed and its faults are what a test says."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sim.calibrate.device import Identity, KernelFailed, Launch, Sensors, Timing
from sim.calibrate.kernel import Kernel


class MadeUpDevice:
    """Kernels take launch + flops/F + bytes/B, divided by ``speed(now)``, with a little noise."""

    def __init__(
        self,
        speed: Callable[[float], float] = lambda now_s: 1.0,
        noise: float = 0.003,
        broken: Callable[[Kernel], bool] = lambda kernel: False,
    ) -> None:
        self.speed, self.noise, self.broken = speed, noise, broken
        self.clock_s = 0.0
        self.timed: list[str] = []
        self.late = 0  # so many timings are late from now on
        self._rng = np.random.default_rng(0)
        self.identity = Identity(
            "cpu", "Made-up 9000", "driver 1", {"library": "1.0"}, 64e9, 1e6, 2e6,
            unread={"power_w": "no sensor"},
        )  # fmt: skip

    reference = Kernel("gemm", "fp32", (512, 512, 512))

    def true_s(self, kernel: Kernel) -> float:
        return 2e-6 + kernel.work.flops / 1e13 + kernel.work.bytes / 1e12

    def refuses(self, kernel: Kernel) -> str | None:
        return None if kernel.dtype == "fp32" else "only fp32"

    def prepare(self, kernel: Kernel) -> Launch:
        if self.broken(kernel):
            raise KernelFailed(f"{kernel.name}: broken on purpose")

        def launch() -> None:
            self.timed.append(kernel.name)
            self.clock_s += self.true_s(kernel) / self.speed(self.clock_s)

        return launch

    def time(self, launch: Launch, launches: int, flush: bool) -> Timing:
        start_s = self.clock_s
        for _ in range(launches):
            launch()
        seconds = (self.clock_s - start_s) / launches
        self.late -= self.late > 0
        noisy = seconds * float(np.exp(self.noise * self._rng.standard_normal()))
        return Timing(noisy, self.late > 0)

    def sensors(self) -> Sensors:
        self.clock_s += 1e-5
        slow = self.speed(self.clock_s) < 1.0
        return Sensors(clock_hz=1e9, throttle=("power cap",) if slow else ())

    def now_s(self) -> float:
        return self.clock_s

    def release(self) -> None:
        pass
