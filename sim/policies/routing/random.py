"""Random routing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sim.policies.base import RoutingView, register
from sim.rng import KeyedBits


@register("routing", "random")
@dataclass(frozen=True)
class Random:
    """Send each request to a replica drawn uniformly, keyed by the request's id."""

    def new_state(self) -> None:
        """Nothing to remember."""

    def decide(self, view: RoutingView, state: None, rng: KeyedBits) -> Iterator[int]:
        """The drawn replica, then the ones after it in order of position."""
        first = rng.below(view.request_id, view.replicas)
        for step in range(view.replicas):
            yield (first + step) % view.replicas
