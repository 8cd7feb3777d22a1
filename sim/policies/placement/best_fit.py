"""Best-fit placement: the node on which least is left."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sim.policies.base import register

#: What CPU and GPU left are measured against: a large node (FGD's simulator).
CPU_MILLI = 128_000.0
GPU_MILLI = 8_000.0


@register("placement", "best-fit")
@dataclass(frozen=True)
class BestFit:
    """Put each pod where least CPU and GPU is left, both weighed alike, in whole percent."""

    @staticmethod
    def score(node: Any, pod: Any, known: Any) -> float:
        """Percent of a large node that is taken once the pod is there."""
        cpu = (node.cpu_left - pod.cpu) / CPU_MILLI
        gpu = (node.left - pod.request) / GPU_MILLI
        return float(int(100.0 * (1.0 - 0.5 * cpu - 0.5 * gpu)))

    @staticmethod
    def post(scores: Any, out: Any) -> None:
        """Stretch to 0..100 over the nodes on which the pod fits, rounded down."""
        low, high = np.inf, -np.inf
        for score in scores:
            if score > -np.inf:
                low, high = min(low, score), max(high, score)
        for n in range(len(scores)):
            out[n] = scores[n]
            if scores[n] > -np.inf:
                out[n] = (scores[n] - low) * 100.0 // (high - low) if high > low else 0.0
