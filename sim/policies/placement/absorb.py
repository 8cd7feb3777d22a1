"""Absorb: keep nodes able to take in what is likely to come (docs/placement.md)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from sim.policies.base import register
from sim.policies.placement.filling import filled
from sim.policies.placement.learning import Memory
from sim.policies.scoring import Fleet


@register("placement", "absorb")
@dataclass(frozen=True)
class Absorb:
    """Put each pod where least is lost of what pods to come would fill, and spare scarce places.

    A node is worth the GPU that streams of likely pods would fill on it, less CPU that nobody would
    fill then (if CPU may run out), and what its rarest place is worth. It knows the nodes, the
    typical pods, and the pods that have come so far.

    Attributes:
        streams, offers: random streams of likely pods, and pods in each.
        typical: how many pods seen the typical pods stand for.
        whole: and how many the pods that take a node of a type whole, while none has been seen.
        step: gains closer than this are the same (thousandths of a GPU).
        moved: prices are made anew when a chance has moved by this part of itself.
        refresh_every: pods between two looks at the prices.
    """

    streams: int = 32
    offers: int = 64
    typical: float = 500.0
    whole: float = 2.0
    step: float = 20.0
    moved: float = 0.1
    refresh_every: int = 10

    def prepare(self, fleet: Fleet) -> Memory:
        """Streams from the typical pods, prices from the idle nodes."""
        return Memory(self, fleet)

    @staticmethod
    def value(node: Any, known: Any) -> float:
        """Thousandths of GPUs that a stream fills, in the mean, less CPU wasted then."""
        found: float = filled(node, known.offers)
        return found

    @staticmethod
    def price(node: Any, known: Any) -> float:
        """What places are worth: the dearest for several GPUs, and all for the dearest one GPU.

        Counted place by place, a single GPU costs the same wherever it is taken; a place for
        several is there or is not. Wishes come by falling chance, which bounds what is to come.
        """
        one, several = 0.0, 0.0
        for i in range(len(known.chances)):
            if known.chances[i] * node.left <= min(one, several):
                break
            cpu, gpus, milli = known.scarce[i]
            if node.cpu_left < cpu or gpus > node.gpus or not known.scarce_on[i, node.type]:
                continue
            if gpus > 1:
                if node.gpu_left[gpus - 1] >= milli:  # they are in descending order
                    several = max(several, known.chances[i] * (gpus * milli))
                continue
            places = 0
            for gpu in range(node.gpus):
                places += node.gpu_left[gpu] // milli
            if cpu > 0:
                places = min(places, node.cpu_left // cpu)
            one = max(one, known.chances[i] * (places * milli))
        return float(one + several)

    @staticmethod
    def grade(gain: float, known: Any) -> float:
        """Gains in whole steps: what is about as good goes by rank."""
        return float(math.floor(gain / known.step))
