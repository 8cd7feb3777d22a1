"""How long a kernel will take: a rough estimate that learns from what was measured."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from sim.calibrate.kernel import Kernel
from sim.calibrate.order import Works

#: Weight of a new measurement in the pace of its family.
LEARN = 0.3
#: Buffers are filled at this share of the rate at which a kernel moves bytes.
FILL = 0.2


class Pace:
    """Estimated seconds of a launch: launch + work/rates, times what its family took so far."""

    def __init__(self, flops_per_s: float, bytes_per_s: float, launch_s: float) -> None:
        self.flops_per_s, self.bytes_per_s, self.launch_s = flops_per_s, bytes_per_s, launch_s
        self._families: dict[tuple[str, str], float] = {}  # ln(measured / rough)

    def launches_s(self, family: tuple[str, str], works: Works) -> NDArray[np.float64]:
        """Seconds of one launch of each."""
        rough = self.launch_s + works.flops / self.flops_per_s + works.bytes / self.bytes_per_s
        return rough * math.exp(self._off(family))

    def fills_s(self, works: Works) -> NDArray[np.float64]:
        """Seconds to allocate and fill the buffers of each."""
        return works.footprint_bytes / (FILL * self.bytes_per_s)

    def learn(self, kernel: Kernel, seconds: float) -> None:
        """A launch took ``seconds``."""
        work = kernel.work
        rough = self.launch_s + work.flops / self.flops_per_s + work.bytes / self.bytes_per_s
        new = math.log(seconds / rough)
        old = self._families.get(kernel.family)
        self._families[kernel.family] = new if old is None else old + LEARN * (new - old)

    def _off(self, family: tuple[str, str]) -> float:
        """Of its own family; else of its kind in another data type; else none is known."""
        if family in self._families:
            return self._families[family]
        alike = [off for key, off in self._families.items() if key[0] == family[0]]
        return alike[0] if alike else 0.0
