"""Dot-product placement (after Tetris): the node whose leftovers look least like the pod."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sim.policies.base import register
from sim.policies.placement.best_fit import CPU_MILLI, GPU_MILLI


@register("placement", "dot-product")
@dataclass(frozen=True)
class DotProduct:
    """Put each pod where what is left, times what it asks, is least (CPU and GPU), in percent."""

    @staticmethod
    def score(node: Any, pod: Any, known: Any) -> float:
        """One less half the product of leftovers and wishes, each in parts of a large node."""
        cpu = node.cpu_left / CPU_MILLI * (pod.cpu / CPU_MILLI)
        gpu = node.left / GPU_MILLI * (pod.request / GPU_MILLI)
        return float(int(100.0 * (1.0 - (cpu + gpu) / 2.0)))
