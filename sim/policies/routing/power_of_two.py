"""Power-of-two-choices routing (Mitzenmacher, IEEE TPDS 12(10), 2001)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sim.policies.base import RoutingView, register
from sim.rng import KeyedBits


@register("routing", "power-of-two")
@dataclass(frozen=True)
class PowerOfTwo:
    """Draw two replicas, send the request to the one with fewer outstanding tokens."""

    def new_state(self) -> None:
        """Nothing to remember."""

    def decide(self, view: RoutingView, state: None, rng: KeyedBits) -> Iterator[int]:
        """The better of two draws (ties to the first), the other one, then the rest in order."""
        one, two = rng.two_below(view.request_id, view.replicas)
        if view.outstanding_tokens[two] < view.outstanding_tokens[one]:
            one, two = two, one
        yield one
        if two != one:
            yield two
        yield from (i for i in range(view.replicas) if i not in (one, two))
