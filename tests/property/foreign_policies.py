"""Routing policies that no engine knows: as a user would register them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from zlib import crc32

from sim.policies.base import RoutingView, register
from sim.policies.routing.least_outstanding import LeastOutstandingTokens
from sim.rng import KeyedBits, mix64


@register("routing", "test-scrambled")
@dataclass(frozen=True)
class Scrambled:
    """An order that depends on every field of the view, so that no difference stays hidden.

    It names ``most`` positions, the first one twice; nobody else is asked.
    """

    most: int = 9

    def new_state(self) -> None:
        """Nothing to remember."""

    def decide(self, view: RoutingView, state: None, rng: KeyedBits) -> Iterator[int]:
        """Positions by a digest of the view."""
        numerator, denominator = view.time_s.as_integer_ratio()
        seen = rng.bits(view.request_id) ^ mix64(numerator) ^ denominator
        for number in (
            view.input_tokens, view.expected_output_tokens, view.priority,
            *view.outstanding_requests, *view.outstanding_tokens, *view.prefix_ids, view.session,
            *view.outstanding_prompt_tokens, *view.served_prompt_tokens,
            *map(hash, view.serving_prompts_s), hash(view.ttft_objective_s),
            crc32(str(view.power).encode()),
        ):  # fmt: skip
            seen = mix64(seen ^ number)
        order = sorted(range(view.replicas), key=lambda position: mix64(seen + position))
        yield order[0]
        yield from order[: self.most]


@register("routing", "test-most-outstanding")
@dataclass(frozen=True)
class MostOutstanding(LeastOutstandingTokens):
    """The opposite of the built-in policy that it derives from."""

    def decide(self, view: RoutingView, state: None, rng: KeyedBits) -> Iterator[int]:
        """Positions by falling load."""
        yield from sorted(range(view.replicas), key=lambda i: -view.outstanding_tokens[i])


@dataclass
class Memory:
    """Decisions so far, and those of the last instant."""

    decisions: int = 0
    time_s: float = -1.0
    together: int = 0


@register("routing", "test-remembering")
@dataclass(frozen=True)
class Remembering:
    """Goes by what it has seen in this run; after ``good`` decisions it suggests nonsense."""

    good: int = 1_000_000

    def new_state(self) -> Memory:
        """An empty memory."""
        return Memory()

    def decide(self, view: RoutingView, state: Memory, rng: KeyedBits) -> Iterator[int]:
        """The replica whose turn it is among requests of one instant."""
        state.decisions += 1
        state.together = state.together + 1 if state.time_s == view.time_s else 1
        state.time_s = view.time_s
        if state.decisions > self.good:
            yield view.replicas
        for step in range(view.replicas):
            yield (state.together + step) % view.replicas
