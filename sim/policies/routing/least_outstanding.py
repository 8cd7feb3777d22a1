"""Least-outstanding-work routing, by requests or by tokens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sim.policies.base import RoutingView, register
from sim.rng import KeyedBits


def ascending(load: Sequence[int]) -> Iterator[int]:
    """Positions by load, ties to the lower position; sorts only if the first is refused."""
    first = load.index(min(load))
    yield first
    yield from (i for i in sorted(range(len(load)), key=load.__getitem__) if i != first)


@register("routing", "least-outstanding-requests")
@dataclass(frozen=True)
class LeastOutstandingRequests:
    """Send each request to the replica with the fewest requests dispatched and not yet ended."""

    def new_state(self) -> None:
        """Nothing to remember."""

    def decide(self, view: RoutingView, state: None, rng: KeyedBits) -> Iterator[int]:
        """Replicas by outstanding requests, ties to the lower position."""
        return ascending(view.outstanding_requests)


@register("routing", "least-outstanding-tokens")
@dataclass(frozen=True)
class LeastOutstandingTokens:
    """Send each request to the replica with the fewest tokens outstanding.

    A request counts prompt + expected output from its dispatch, the output alone from its first
    token, nothing after its end: what a gateway that sees streams start and end can know.
    """

    def new_state(self) -> None:
        """Nothing to remember."""

    def decide(self, view: RoutingView, state: None, rng: KeyedBits) -> Iterator[int]:
        """Replicas by outstanding tokens, ties to the lower position."""
        return ascending(view.outstanding_tokens)
