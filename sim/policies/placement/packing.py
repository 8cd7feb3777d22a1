"""GPU packing: used GPUs first, then used nodes, then idle ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sim.kernels.node_state import CPU_ONLY, WHOLE
from sim.policies.base import register


@register("placement", "packing")
@dataclass(frozen=True)
class Packing:
    """Put pods on GPUs in use where they fit, else on nodes in use, else on the smallest idle."""

    @staticmethod
    def score(node: Any, pod: Any, known: Any) -> float:
        """50 to 100: on GPUs in use, tight first; 33 to 50: opens GPUs; up to 33: opens a node."""
        if pod.kind == CPU_ONLY:
            return 0.0
        if node.free == node.gpus:
            return float(max(33 - node.free, node.free))
        opened, left = 0, 0
        bits = 0
        for _ in range(pod.gpus):
            chosen, least = -1, WHOLE + 1
            for gpu in range(node.gpus):
                here = node.gpu_left[gpu]
                if here >= pod.gpu_milli and here < least and not bits >> gpu & 1:
                    chosen, least = gpu, here
            bits |= 1 << chosen
            opened += least == WHOLE
            left += least
        if opened:
            return float(max(50 - opened, 33))
        return float(max(100 - left * 100 // WHOLE // 10, 50))
