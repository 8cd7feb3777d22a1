"""GPU clustering (after Gandiva): pods that ask alike on the same nodes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sim.kernels.node_state import CPU_ONLY
from sim.policies.base import register
from sim.policies.placement.best_fit import GPU_MILLI


@register("placement", "clustering")
@dataclass(frozen=True)
class Clustering:
    """Put pods with parts of a GPU, with one, two, … where others of their kind are."""

    @staticmethod
    def score(node: Any, pod: Any, known: Any) -> float:
        """75: only this kind is here; 50: it is among others; 25: no kind is; then fuller nodes."""
        if pod.kind == CPU_ONLY:
            return 0.0
        alike = node.hosted[pod.kind] > 0
        others = node.pods > node.hosted[CPU_ONLY] + node.hosted[pod.kind]
        base = 25.0
        if alike:
            base = 50.0 if others else 75.0
        elif others:
            base = 0.0
        return float(int(25.0 * (GPU_MILLI - node.left) / GPU_MILLI + base))
