"""Fragmentation gradient descent (Weng et al., FGD, USENIX ATC 2023)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sim.policies.base import register
from sim.policies.scoring import Fleet


class Typical(NamedTuple):
    """Typical pods as arrays: [M] shapes and their shares, [M, T] the types they may run on."""

    cpu: NDArray[np.int64]
    gpus: NDArray[np.int64]
    gpu_milli: NDArray[np.int64]
    share: NDArray[np.float64]
    allowed: NDArray[np.bool_]


def typical_of(fleet: Fleet) -> Typical:
    """The typical pods of a fleet."""
    pods = fleet.typical
    return Typical(pods.cpu, pods.gpus, pods.gpu_milli, pods.share, pods.allowed)


def fragmentation(node: Any, typical: Any) -> float:
    """Thousandths of the node's GPUs that a typical pod cannot use, in the mean over them.

    A pod without GPU can use none, nor one that does not fit; any other leaves what is left on
    GPUs that are too full for it (FGD, section 4).
    """
    total = 0.0
    for m in range(len(typical.share)):
        unusable = node.left
        milli = typical.gpu_milli[m]
        if milli > 0 and typical.allowed[m, node.type] and node.cpu_left >= typical.cpu[m]:
            fitting, stranded = 0, 0
            for gpu in range(node.gpus):
                left = node.gpu_left[gpu]
                if left >= milli:
                    fitting += 1
                else:
                    stranded += left
            if fitting >= typical.gpus[m]:
                unusable = stranded
        total += typical.share[m] * unusable
    return total


@register("placement", "fgd")
@dataclass(frozen=True)
class Fgd:
    """Put each pod where typical pods lose least of what they could use."""

    def prepare(self, fleet: Fleet) -> Typical:
        """The typical pods."""
        return typical_of(fleet)

    @staticmethod
    def value(node: Any, known: Any) -> float:
        """What typical pods can use."""
        return -fragmentation(node, known)

    @staticmethod
    def grade(gain: float, known: Any) -> float:
        """A sigmoid in whole percent: its coarse ties are part of the policy."""
        return float(int(100.0 / (1.0 + math.exp(-gain / 1000.0))))
