"""FGD, its usable GPU capped by CPU: the cheap policy that loses less to nodes without CPU."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from sim.policies.base import register
from sim.policies.placement.fgd import Typical, typical_of
from sim.policies.scoring import Fleet


@register("placement", "fgd-cpu")
@dataclass(frozen=True)
class FgdCpu:
    """As fgd, but a typical pod can use no more GPUs of a node than it has CPU for such pods."""

    def prepare(self, fleet: Fleet) -> Typical:
        """The typical pods."""
        return typical_of(fleet)

    @staticmethod
    def value(node: Any, known: Any) -> float:
        """Thousandths of GPUs that typical pods can use, with the CPU that is there."""
        total = 0.0
        for m in range(len(known.share)):
            milli, cpu = known.gpu_milli[m], known.cpu[m]
            if milli > 0 and known.allowed[m, node.type] and node.cpu_left >= cpu:
                fitting, usable = 0, 0
                for gpu in range(node.gpus):
                    if node.gpu_left[gpu] >= milli:
                        fitting += 1
                        usable += node.gpu_left[gpu]
                if fitting >= known.gpus[m]:
                    if cpu > 0:
                        usable = min(usable, node.cpu_left * known.gpus[m] * milli // cpu)
                    total += known.share[m] * usable
        return total

    @staticmethod
    def grade(gain: float, known: Any) -> float:
        """As fgd grades it."""
        return float(int(100.0 / (1.0 + math.exp(-gain / 1000.0))))
