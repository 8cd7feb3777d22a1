"""SLO-aware routing: a replica that is predicted to meet the objective, by what was measured."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

from sim.errors import RackplanError, did_you_mean
from sim.policies.base import RoutingView, register
from sim.policies.routing.least_outstanding import ascending
from sim.rng import KeyedBits

CHOICES = ("lightest", "tightest")


@dataclass
class Speed:
    """How fast a replica gave first tokens of late: sums in which the past fades."""

    tokens: float = 0.0
    seconds: float = 0.0
    seen_tokens: int = 0
    seen_s: float = 0.0

    def look(self, tokens: int, seconds: float, memory_s: float) -> float:
        """Prompt tokens per second, given what the gateway has measured up to now; 0: nothing."""
        new_s = seconds - self.seen_s
        if tokens > self.seen_tokens:
            keep = math.exp(-new_s / memory_s)
            self.tokens = keep * self.tokens + tokens - self.seen_tokens
            self.seconds = keep * self.seconds + new_s
            self.seen_tokens, self.seen_s = tokens, seconds
        return self.tokens / self.seconds if self.seconds > 0.0 else 0.0


@register("routing", "slo-aware")
@dataclass(frozen=True)
class SloAware:
    """Send each request to a replica where its first token is predicted to be in time.

    The prediction for a replica is its outstanding prompt tokens, the request's included, over the
    speed at which it gave first tokens of late; one that has given none yet counts as fast as the
    fastest. In time are predictions of at most ``margin`` of the TTFT objective. ``choose`` says
    which of those in time is taken. If none is, the earliest is taken. Without an objective it is
    the replica with the fewest outstanding tokens.

    The router knows what a gateway can measure by watching streams begin. It does not know
    priorities of those that wait, what a prefix cache will save, or how long the request has been
    on its way.

    Attributes:
        margin: share of the objective that a prediction may take.
        choose: "lightest" takes the replica with the fewest outstanding tokens, so that decoding
            stays quick; "tightest" the one with the latest prediction, best fit, which leaves
            others idle for requests in a hurry, and packs batches until outputs are late: it costs
            a third of the goodput in ``docs/routing.md``.
        memory: time of serving prompts after which a measurement counts a third (1/e).
    """

    margin: float = 0.5
    choose: str = "lightest"
    memory: float = field(default=30.0, metadata={"dimension": "time"})

    def __post_init__(self) -> None:
        """Refuse parameters that make no sense.

        Raises:
            RackplanError: no margin, one beyond the objective, no memory, or an unknown choice.
        """
        if self.choose not in CHOICES:
            hint = did_you_mean(self.choose, CHOICES)
            raise RackplanError(f"choose must be lightest or tightest, not {self.choose!r}{hint}")
        if not 0.0 < self.margin <= 1.0:
            raise RackplanError(
                f"margin must be above 0 % and at most 100 %, not {100 * self.margin:g} %"
            )
        if not 0.0 < self.memory < math.inf:
            raise RackplanError(f"memory must be above 0 s and finite, not {self.memory:g} s")

    def new_state(self) -> dict[int, Speed]:
        """Nothing has been measured: position → how fast."""
        return {}

    def decide(self, view: RoutingView, state: dict[int, Speed], rng: KeyedBits) -> Iterator[int]:
        """Replicas in time, as ``choose`` says; then the others, the earliest first."""
        speeds = [
            state.setdefault(i, Speed()).look(
                view.served_prompt_tokens[i], view.serving_prompts_s[i], self.memory
            )
            for i in range(view.replicas)
        ]
        fastest = max(speeds)
        if fastest == 0.0 or math.isinf(view.ttft_objective_s):
            yield from ascending(view.outstanding_tokens)
            return
        first_s = [
            (backlog + view.input_tokens) / (speed or fastest)
            for backlog, speed in zip(view.outstanding_prompt_tokens, speeds, strict=True)
        ]
        limit_s = self.margin * view.ttft_objective_s
        tokens = view.outstanding_tokens

        def rank(i: int) -> tuple[bool, float, int]:
            if first_s[i] > limit_s:
                return True, first_s[i], tokens[i]
            return False, -first_s[i] if self.choose == "tightest" else 0.0, tokens[i]

        yield from sorted(range(view.replicas), key=rank)
