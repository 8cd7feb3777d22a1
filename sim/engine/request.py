"""A request inside the engine."""

from __future__ import annotations

import math


class Request:
    """One request from its arrival to its outcome.

    ``context`` counts the tokens it has in KV, ``target`` those that its current prefill must put
    there (prompt, and the delivered tokens again after a preemption). ``key`` is its place in the
    waiting queue: (priority, order of arrival at its replica), kept through preemption.

    ``prefix_ids`` name the complete blocks of ``prefix_block_tokens`` tokens that its prompt begins
    with (see ``engine.prefix``); it holds references to the first ``shared`` of them in its
    replica's cache, and ``blocks`` KV blocks of its own. ``hit_tokens`` of its prompt were in the
    cache when it was first admitted.

    One that is sent again is another object with the same identity: ``attempt`` counts those before
    it. ``arrival_s`` is when the first was sent, ``sent_s`` when this one was, or will be if it is
    still ``away``; at ``cancel_s`` the client gives up. These three are on the client's clock; all
    others, and what happens at the pool, on the pool's (see ``docs/user-path.md``).
    """

    __slots__ = (
        "admitted_s", "arrival_s", "attempt", "away", "blocks", "cancel_s", "cancelled", "context",
        "delivered", "ended", "first_token_s", "hit_tokens", "identity", "input_tokens", "key",
        "last_token_s", "output_tokens", "pool", "position", "preemptions",
        "prefix_block_tokens", "prefix_ids", "priority", "replica", "row", "sent_s", "shared",
        "target", "waiting", "workload",
    )  # fmt: skip

    def __init__(
        self,
        identity: int,
        workload: int,
        row: int,
        pool: int,
        priority: int,
        arrival_s: float,
        input_tokens: int,
        output_tokens: int,
        prefix_block_tokens: int = 0,
        prefix_ids: tuple[int, ...] = (),
    ) -> None:
        self.identity = identity
        self.workload = workload
        self.row = row
        self.pool = pool
        self.priority = priority
        self.arrival_s = arrival_s
        self.input_tokens = input_tokens
        self.output_tokens = output_tokens
        self.prefix_block_tokens = prefix_block_tokens
        self.prefix_ids = prefix_ids
        self.attempt = 0
        self.away = False
        self.sent_s = arrival_s
        self.cancel_s = math.inf
        self.replica = -1
        self.position = -1
        self.key = (priority, 0)
        self.waiting = False
        self.cancelled = False
        self.ended = False
        self.admitted_s = math.nan
        self.first_token_s = math.nan
        self.last_token_s = math.nan
        self.context = 0
        self.target = 0
        self.blocks = 0
        self.shared = 0
        self.hit_tokens = 0
        self.delivered = 0
        self.preemptions = 0

    def again(self, sent_s: float) -> Request:
        """The same request as it is sent once more at ``sent_s``."""
        new = Request(
            self.identity, self.workload, self.row, self.pool, self.priority, self.arrival_s,
            self.input_tokens, self.output_tokens, self.prefix_block_tokens, self.prefix_ids,
        )  # fmt: skip
        new.attempt, new.away = self.attempt + 1, True
        new.sent_s, new.cancel_s = sent_s, self.cancel_s
        return new

    @property
    def admitted(self) -> bool:
        """Whether it has ever been in a running batch."""
        return not math.isnan(self.admitted_s)

    @property
    def reusable_ids(self) -> tuple[int, ...]:
        """The ids of its prompt that a cache can save it: at least one token is prefilled."""
        if not self.prefix_ids:
            return ()
        return self.prefix_ids[: (self.input_tokens - 1) // self.prefix_block_tokens]

    @property
    def kv_tokens(self) -> int:
        """Tokens it will have in KV at most: the last token delivered is never written back."""
        return max(self.input_tokens, self.input_tokens + self.output_tokens - 1)
