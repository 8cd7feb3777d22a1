"""Round-robin routing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sim.policies.base import RoutingView, register
from sim.rng import KeyedBits


@dataclass
class Turn:
    """Whose turn is next."""

    position: int = 0


@register("routing", "round-robin")
@dataclass(frozen=True)
class RoundRobin:
    """Send each request to the next replica in turn, whatever its load."""

    def new_state(self) -> Turn:
        """Start with the first replica."""
        return Turn()

    def decide(self, view: RoutingView, state: Turn, rng: KeyedBits) -> Iterator[int]:
        """The replica whose turn it is, then the others; each request moves the turn by one."""
        first = state.position % view.replicas
        state.position = first + 1
        for step in range(view.replicas):
            yield (first + step) % view.replicas
