"""What absorb learns in a run: which pods are likely, and which places are scarce."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sim.policies.placement.filling import Offers, draw_offers, no_offers
from sim.policies.placement.waste import step_of, waste_of
from sim.policies.placement.wishes import Places, Wishes
from sim.policies.scoring import Fleet, Refresh, Seen
from sim.rng import generator

#: Chances closer than this are the same: 0.016 of 8 GPUs.
_CLOSE = 0.002


class Known(NamedTuple):
    """What scores look at: streams of offers, and wishes by how scarce places for them are.

    Attributes:
        scarce: [M, 3] int64: cpu, gpus, gpu_milli.
        scarce_on: [M, T] the types of nodes that each may run on.
        chances: [M] float64, that a place given up costs a pod.
        step: the policy's.
    """

    offers: Offers
    scarce: NDArray[np.int64]
    scarce_on: NDArray[np.bool_]
    chances: NDArray[np.float64]
    step: float


class Memory:
    """What one run has learnt."""

    def __init__(self, policy: Any, fleet: Fleet) -> None:
        self.refresh_every = policy.refresh_every
        self._moved, self._redraw_at = policy.moved, policy.typical
        self._wishes = Wishes(fleet, policy.typical, policy.whole)
        rng = generator(fleet.seed, "policy/placement/absorb")
        self._uniforms = rng.random((policy.streams, policy.offers))
        m, t = self._wishes.allowed.shape
        self.known = Known(
            no_offers(t, policy.streams, policy.offers, step_of(fleet.idle)),
            np.zeros((m, 3), dtype=np.int64),
            np.zeros((m, t), dtype=bool),
            np.zeros(m),
            policy.step,
        )
        self._chances = np.zeros(m)
        self._places = Places(self._wishes, fleet.idle)
        asked = self._wishes.before
        self._redraw(fleet.idle, asked)
        self._reprice(fleet.idle, asked)

    def refresh(self, seen: Seen) -> Refresh:
        """New prices if a chance has moved; new streams when the pods seen have doubled."""
        asked = self._wishes.asked(seen.counts)
        moved = self._reprice(seen.nodes, asked)
        if seen.arrivals >= self._redraw_at:
            self._redraw_at *= 2
            self._redraw(seen.nodes, asked)
            return Refresh.VALUES
        return Refresh.SCORES if moved else Refresh.NOTHING

    def _redraw(self, nodes: NDArray[np.void], asked: NDArray[np.float64]) -> None:
        wishes, offers = self._wishes, self.known.offers
        draw_offers(offers, wishes, asked, self._uniforms)
        offers.waste[:] = waste_of(wishes, asked, nodes, offers.step)

    def _reprice(self, nodes: NDArray[np.void], asked: NDArray[np.float64]) -> bool:
        chances = self._wishes.chances(nodes, asked, self._places.follow(nodes))
        if (np.abs(chances - self._chances) < _CLOSE + self._moved * self._chances).all():
            return False
        self._chances = chances
        order = np.argsort(-chances, kind="stable")
        wishes, known = self._wishes, self.known
        columns = (wishes.cpu, wishes.gpus, wishes.gpu_milli)
        known.scarce[:] = np.stack(columns, axis=1)[order]
        known.scarce_on[:] = wishes.allowed[order]
        known.chances[:] = chances[order]
        return True
