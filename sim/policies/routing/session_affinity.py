"""Session affinity: one conversation stays at one replica, by consistent hashing with bounded load.

Which replica a session likes best is a matter of hashes alone (rendezvous hashing: Thaler and
Ravishankar, IEEE/ACM Transactions on Networking 6(1), 1998), so a gateway need remember nothing,
and a replica that is added or removed moves the sessions of that replica and no others. Nobody
takes more than a multiple of the mean load (Mirrokni, Thorup and Zadimoghaddam, Consistent Hashing
with Bounded Loads, SODA 2018): what is above goes to the session's next choice.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from sim.errors import RackplanError
from sim.policies.base import RoutingView, register
from sim.policies.routing.least_outstanding import ascending
from sim.rng import KeyedBits, mix64


@register("routing", "session-affinity")
@dataclass(frozen=True)
class SessionAffinity:
    """Send the requests of a session to one replica, the first of its order that has room.

    A session is a client of a closed workload, what a trace's column ``session`` says, or a
    conversation of requests that follow each other. A request without one goes by the beginning of
    its prompt, its first ``prefix_blocks`` blocks, where these are known; else to the replica with
    the fewest outstanding tokens.

    Attributes:
        bound: multiple of the pool's mean of outstanding tokens that a replica may have, the
            request counted in both; so an idle pool keeps sessions where they are, whatever their
            hashes. Replicas that are down count in the mean as if they were idle.
        prefix_blocks: blocks of a prompt that stand for a session where none is known; 0: none do.
            Two, because a whole service may begin its prompts with the same first one, as all of
            the Mooncake conversation trace do.
    """

    bound: float = field(default=1.5, metadata={"dimension": "count"})
    prefix_blocks: int = 2

    def __post_init__(self) -> None:
        """Refuse parameters that make no sense.

        Raises:
            RackplanError: a mean that no replica may reach, or a negative number of blocks.
        """
        if not self.bound >= 1.0:
            raise RackplanError(f"bound must be at least 1, which is the mean, not {self.bound:g}")
        if self.prefix_blocks < 0:
            raise RackplanError(f"prefix_blocks must be 0 or more, not {self.prefix_blocks}")

    def new_state(self) -> None:
        """Nothing to remember: hashes say it all."""

    def decide(self, view: RoutingView, state: None, rng: KeyedBits) -> Iterator[int]:
        """The session's replicas that have room, in its order; then the others by their load."""
        key = self._key(view)
        load = view.outstanding_tokens
        if key is None:
            yield from ascending(load)
            return
        word = rng.bits(key)
        order = sorted(range(view.replicas), key=lambda position: -mix64(word ^ position))
        own = view.input_tokens + view.expected_output_tokens
        most = self.bound * (sum(load) / view.replicas + own)
        yield from (position for position in order if load[position] + own <= most)
        full = [position for position in order if load[position] + own > most]
        yield from sorted(full, key=load.__getitem__)

    def _key(self, view: RoutingView) -> int | None:
        """What stands for the session; ids of blocks are far from those of sessions."""
        if view.session >= 0:
            return view.session
        known = view.prefix_ids[: self.prefix_blocks]
        return ~known[-1] if known else None
