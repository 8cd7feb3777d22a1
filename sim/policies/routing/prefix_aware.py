"""Prefix-aware routing: prompts that begin alike go to one replica, as long as it can take them.

The router knows only what a gateway can know by itself: where it has sent which prefix before, and
what is outstanding. It asks no replica what its cache holds, so what it believes may have been
evicted since. Routers of serving engines weigh the two in this way too: SGLang's leaves the longest
match when its workers are out of balance, vLLM's production stack takes the load off the match, and
the scheduler of llm-d scores both.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from sim.errors import RackplanError
from sim.policies.base import RoutingView, register
from sim.policies.routing.least_outstanding import ascending
from sim.rng import KeyedBits


class PrefixIndex:
    """The replica that each of the most recently used prefix blocks was last sent to."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._sent_to: OrderedDict[int, int] = OrderedDict()  # id → position, least recent first

    def find(self, ids: Sequence[int]) -> tuple[int, int] | None:
        """(position, known ids) of the longest prefix that was sent somewhere, or None."""
        for known in range(len(ids), 0, -1):
            position = self._sent_to.get(ids[known - 1])
            if position is not None:
                return position, known
        return None

    def note(self, ids: Sequence[int], position: int) -> None:
        """``ids`` go to ``position`` now; a prefix is kept for longer than what follows it."""
        for identity in reversed(ids):
            self._sent_to[identity] = position
            self._sent_to.move_to_end(identity)
        while len(self._sent_to) > self._capacity:
            self._sent_to.popitem(last=False)


@register("routing", "prefix-aware")
@dataclass(frozen=True)
class PrefixAware:
    """Send each request where the longest beginning of its prompt was last sent.

    Not so if less than ``least_match`` of its prompt is known there, or if that replica would have
    more than ``imbalance`` times the pool's mean of outstanding tokens, the request counted in
    both: then it goes to the replica with the fewest outstanding tokens.

    Attributes:
        index_blocks: prefix blocks that the router remembers.
        imbalance: multiple of the mean that a replica may have and still get what it knows.
        least_match: share of the prompt's ids that must be known for it to matter.
    """

    index_blocks: int = 100_000
    imbalance: float = field(default=1.5, metadata={"dimension": "count"})
    least_match: float = 0.1

    def __post_init__(self) -> None:
        """Refuse parameters that make no sense.

        Raises:
            RackplanError: an index without room, a mean that no replica may reach, or no share.
        """
        if self.index_blocks < 1:
            raise RackplanError(f"index_blocks must be at least 1, not {self.index_blocks}")
        if self.imbalance < 1.0:
            raise RackplanError(
                f"imbalance must be at least 1, which is the mean, not {self.imbalance:g}"
            )
        if not 0.0 <= self.least_match <= 1.0:
            raise RackplanError(
                f"least_match must be from 0 % to 100 %, not {100 * self.least_match:g} %"
            )

    def new_state(self) -> PrefixIndex:
        """Nothing has been sent anywhere."""
        return PrefixIndex(self.index_blocks)

    def decide(self, view: RoutingView, state: PrefixIndex, rng: KeyedBits) -> Iterator[int]:
        """The replica of the longest known prefix, if there is one; the others by their load."""
        first = self._known(view, state)
        if first is not None:
            state.note(view.prefix_ids, first)
            yield first
        for position in ascending(view.outstanding_tokens):
            if position != first:
                # Noted before it is tried: where it is refused, the next one takes its place.
                state.note(view.prefix_ids, position)
                yield position

    def _known(self, view: RoutingView, state: PrefixIndex) -> int | None:
        found = state.find(view.prefix_ids)
        if found is None:
            return None
        position, known = found
        if known < self.least_match * len(view.prefix_ids):
            return None
        own = view.input_tokens + view.expected_output_tokens
        mean = sum(view.outstanding_tokens) / view.replicas
        load = view.outstanding_tokens[position]
        return position if load + own <= self.imbalance * (mean + own) else None
