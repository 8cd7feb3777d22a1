"""Random placement: what any policy should beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sim.kernels.keyed_bits import mixed, unit
from sim.kernels.node_state import Choice
from sim.policies.base import register
from sim.policies.scoring import Fleet
from sim.rng import KeyedBits


@register("placement", "random")
@dataclass(frozen=True)
class Random:
    """Put each pod on any node on which it fits, and on any of its GPUs."""

    draws = True

    def prepare(self, fleet: Fleet) -> np.uint64:
        """Bits that stand for the seed."""
        return np.uint64(KeyedBits(fleet.seed, "policy/placement/random").salt)

    @staticmethod
    def score(node: Any, pod: Any, known: Any) -> Choice:
        """A draw for this arrival and node, and one of the GPUs on which the pod fits."""
        word = mixed(mixed(known, np.uint64(pod.arrival)), np.uint64(node.index))
        fitting = 0
        for gpu in range(node.gpus):
            fitting += node.gpu_left[gpu] >= pod.gpu_milli
        chosen = int(unit(mixed(word, np.uint64(1))) * fitting)
        for gpu in range(node.gpus):
            if node.gpu_left[gpu] >= pod.gpu_milli:
                if chosen == 0:
                    return unit(word), gpu
                chosen -= 1
        return unit(word), -1
