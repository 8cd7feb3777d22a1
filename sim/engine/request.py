"""A request inside the engine."""

from __future__ import annotations

import math

#: What a request's replica does of it: all, the prefill only, the decoding only.
WHOLE, PREFILLS, DECODES = range(3)


class Request:
    """One request from its arrival to its outcome.

    ``context`` counts the tokens it has in KV, ``target`` those that its current prefill must put
    there (prompt, and the delivered tokens again after a preemption). ``key`` is its place in the
    waiting queue: (priority, order of arrival at its replica), or before all of these.

    ``prefix_ids`` name the complete blocks of ``prefix_block_tokens`` tokens that its prompt begins
    with (see ``engine.prefix``); it holds references to the first ``shared`` of them in its
    replica's cache, and ``blocks`` KV blocks of its own. ``hit_tokens`` of its prompt were in the
    cache when it was first admitted.

    One that is sent again is another object with the same identity: ``attempt`` counts those before
    it. ``arrival_s`` is when the first was sent, ``sent_s`` when this one was, or will be if it is
    still ``away``; at ``cancel_s`` the client gives up. These three are on the client's clock; all
    others, and what happens at the pool, on the pool's (see ``docs/user-path.md``).

    Where one pool prefills and another decodes it is two objects with the same identity, each
    other's ``twin`` as long as both are there: one of the role ``PREFILLS``, whose blocks are held
    until the other, which ``DECODES``, has its KV. ``remote``: the KV of its prompt is still to
    come from the twin; ``reserved``: it may. ``prefilled_s`` is when that had the whole of it, and
    ``produced_s`` is the iteration that computes the last of it, from and to.
    """

    __slots__ = (
        "admitted_s", "arrival_s", "attempt", "away", "blocks", "cancel_s", "cancelled", "context",
        "delivered", "ended", "first_token_s", "hit_tokens", "identity", "input_tokens", "key",
        "last_token_s", "output_tokens", "pool", "position", "preemptions",
        "prefilled_s", "prefix_block_tokens", "prefix_ids", "priority", "produced_s", "remote",
        "replica", "reserved", "role", "row", "sent_s", "session", "shared", "target",
        "twin", "waiting", "workload",
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
        session: int = -1,
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
        self.session = session
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
        self.role = WHOLE
        self.twin: Request | None = None
        self.remote = False
        self.reserved = False
        self.prefilled_s = math.nan
        self.produced_s = (math.nan, math.nan)

    def again(self, sent_s: float) -> Request:
        """The same request as it is sent once more at ``sent_s``."""
        new = Request(
            self.identity, self.workload, self.row, self.pool, self.priority, self.arrival_s,
            self.input_tokens, self.output_tokens, self.prefix_block_tokens, self.prefix_ids,
            self.session,
        )  # fmt: skip
        new.attempt, new.away = self.attempt + 1, True
        new.sent_s, new.cancel_s = sent_s, self.cancel_s
        return new

    def to_decode(self, pool: int) -> Request:
        """The same request as another pool decodes it, once it has the KV of the prompt."""
        new = Request(
            self.identity, self.workload, self.row, pool, self.priority, self.arrival_s,
            self.input_tokens, self.output_tokens, self.prefix_block_tokens, self.prefix_ids,
            self.session,
        )  # fmt: skip
        new.attempt, new.sent_s, new.cancel_s = self.attempt, self.sent_s, self.cancel_s
        new.admitted_s, new.hit_tokens = self.admitted_s, self.hit_tokens
        new.prefilled_s, new.produced_s = self.prefilled_s, self.produced_s
        new.role, new.remote = DECODES, True
        new.twin, self.twin = self, new
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
        return self.input_tokens if self.role == PREFILLS else self.most_tokens

    @property
    def most_tokens(self) -> int:
        """The same over all pools."""
        return max(self.input_tokens, self.input_tokens + self.output_tokens - 1)

    @property
    def outstanding(self) -> tuple[int, int]:
        """Tokens of work it brings to its replica: up to its prefill's end, and after that."""
        before = 0 if self.role == DECODES else self.input_tokens
        return before, 0 if self.role == PREFILLS else self.output_tokens
