"""A routing policy that only Python knows: what the callback of the compiled engine costs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sim.policies.base import RoutingView, register
from sim.policies.routing.least_outstanding import ascending
from sim.rng import KeyedBits


@register("routing", "bench-in-python")
@dataclass(frozen=True)
class InPython:
    """Least-outstanding-tokens once more, without a compiled form."""

    def new_state(self) -> None:
        """Nothing to remember."""

    def decide(self, view: RoutingView, state: None, rng: KeyedBits) -> Iterator[int]:
        """Replicas by outstanding tokens, ties to the lower position."""
        return ascending(view.outstanding_tokens)
