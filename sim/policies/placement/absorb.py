"""Absorb: keep nodes able to take in what is likely to come (docs/placement.md)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sim.policies.base import register
from sim.policies.placement.filling import Offers, draw_offers, filled, no_offers
from sim.policies.placement.wishes import Places, Wishes
from sim.policies.scoring import Fleet, Refresh, Seen
from sim.rng import generator


class Known(NamedTuple):
    """What scores look at: streams of offers, and wishes with scarce places, the dearest first.

    Attributes:
        scarce: [M, 3] int64: cpu, gpus, gpu_milli.
        scarce_on: [M, T] the types of nodes that each may run on.
        prices: [M] float64, what a place is worth; 0 from the first that is not scarce.
        step: the policy's.
    """

    offers: Offers
    scarce: NDArray[np.int64]
    scarce_on: NDArray[np.bool_]
    prices: NDArray[np.float64]
    step: float


@register("placement", "absorb")
@dataclass(frozen=True)
class Absorb:
    """Put each pod where least is lost of what pods to come would fill, and spare scarce places.

    A node is worth the GPU that streams of likely pods would fill on it, and what its rarest place
    is worth. It knows the nodes, the typical pods, and the pods that have come so far.

    Attributes:
        streams, offers: random streams of likely pods, and pods in each.
        typical: how many pods seen the typical pods stand for.
        whole: and how many the pods that take a node of a type whole, while none has been seen.
        step: gains closer than this are the same (thousandths of a GPU).
        moved: a price is stale when it is off by a step and this part of itself.
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
        """Thousandths of GPUs that a stream fills, in the mean."""
        found: float = filled(node, known.offers)
        return found

    @staticmethod
    def price(node: Any, known: Any) -> float:
        """What the dearest place is worth that the node has."""
        for i in range(len(known.prices)):
            if known.prices[i] <= 0.0:
                break
            cpu, gpus, milli = known.scarce[i]
            if (
                node.cpu_left >= cpu
                and gpus <= node.gpus
                and node.gpu_left[gpus - 1] >= milli  # they are in descending order
                and known.scarce_on[i, node.type]
            ):
                return float(known.prices[i])
        return 0.0

    @staticmethod
    def grade(gain: float, known: Any) -> float:
        """Gains in whole steps: what is about as good goes by rank."""
        return float(math.floor(gain / known.step))


class Memory:
    """What one run has learnt."""

    def __init__(self, policy: Absorb, fleet: Fleet) -> None:
        self.refresh_every = policy.refresh_every
        self._step, self._moved, self._redraw_at = policy.step, policy.moved, policy.typical
        self._wishes = Wishes(fleet, policy.typical, policy.whole)
        rng = generator(fleet.seed, "policy/placement/absorb")
        self._uniforms = rng.random((policy.streams, policy.offers))
        m, t = self._wishes.allowed.shape
        self.known = Known(
            no_offers(t, policy.streams, policy.offers),
            np.zeros((m, 3), dtype=np.int64),
            np.zeros((m, t), dtype=bool),
            np.zeros(m),
            policy.step,
        )
        self._prices = np.zeros(m)
        self._places = Places(self._wishes, fleet.idle)
        asked = self._wishes.before
        draw_offers(self.known.offers, self._wishes, asked, self._uniforms)
        self._reprice(fleet.idle, asked)

    def refresh(self, seen: Seen) -> Refresh:
        """New prices if any has moved by a step; new streams when the pods seen have doubled."""
        asked = self._wishes.asked(seen.counts)
        moved = self._reprice(seen.nodes, asked)
        if seen.arrivals >= self._redraw_at:
            self._redraw_at *= 2
            draw_offers(self.known.offers, self._wishes, asked, self._uniforms)
            return Refresh.VALUES
        return Refresh.SCORES if moved else Refresh.NOTHING

    def _reprice(self, nodes: NDArray[np.void], asked: NDArray[np.float64]) -> bool:
        prices = self._wishes.prices(nodes, asked, self._places.follow(nodes))
        if (np.abs(prices - self._prices) < self._step + self._moved * self._prices).all():
            return False
        self._prices = prices
        order = np.argsort(-prices, kind="stable")
        wishes, known = self._wishes, self.known
        columns = (wishes.cpu, wishes.gpus, wishes.gpu_milli)
        known.scarce[:] = np.stack(columns, axis=1)[order]
        known.scarce_on[:] = wishes.allowed[order]
        known.prices[:] = np.where(prices[order] >= 1.0, prices[order], 0.0)
        return True
