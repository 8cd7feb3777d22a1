"""Power-aware routing: prompts spread over the racks, PDUs or UPSs that feed the replicas."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from sim.errors import RackplanError, did_you_mean
from sim.policies.base import PowerPlaces, RoutingView, register
from sim.rng import KeyedBits

LEVELS = ("rack", "pdu", "ups")


@register("routing", "power-aware")
@dataclass(frozen=True)
class PowerAware:
    """Send each request where few replicas prefill below the same node of the electrical tree.

    GPUs draw most while they prefill, so a node of ``level`` peaks when many replicas below it do
    that at once. Best is a replica without prompts, below the node with the fewest replicas that
    have some for its limit in watts (alone where some node has no limit), then the one with the
    fewest outstanding tokens. A replica with several feeds counts in each by its share, and is
    judged by the worst.

    The router knows the tree as it was built, and its own requests. It sees no meters, no other
    load of a rack, and no feed that has failed. What it brings is little and only where racks
    differ: ``docs/routing.md`` has numbers.

    Attributes:
        level: rack, pdu or ups.
        queue: prompts may wait behind others for the sake of power: nodes count first, whether a
            replica has prompts does not. Peaks are lower and first tokens later.
        slack: only replicas whose outstanding tokens, the request's included, are at most this
            multiple of the pool's mean; the others come last.
    """

    level: str = "rack"
    queue: bool = False
    slack: float = field(default=1.5, metadata={"dimension": "count"})

    def __post_init__(self) -> None:
        """Refuse parameters that make no sense.

        Raises:
            RackplanError: no such level, or a mean that no replica may reach.
        """
        if self.level not in LEVELS:
            hint = did_you_mean(self.level, LEVELS)
            raise RackplanError(f"level must be rack, pdu or ups, not {self.level!r}{hint}")
        if not self.slack >= 1.0:
            raise RackplanError(f"slack must be at least 1, which is the mean, not {self.slack:g}")

    def new_state(self) -> None:
        """Nothing to remember."""

    def decide(self, view: RoutingView, state: None, rng: KeyedBits) -> Iterator[int]:
        """Replicas that are not behind, by their prompts and the load of their worst feed."""
        tokens = view.outstanding_tokens
        own = view.input_tokens + view.expected_output_tokens
        most = self.slack * (sum(tokens) / view.replicas + own)
        prefilling = [int(prompts > 0) for prompts in view.outstanding_prompt_tokens]
        worst = feeds_load(view.power, self.level, prefilling)

        def rank(i: int) -> tuple[bool, bool, float, int]:
            waits = not self.queue and prefilling[i] > 0
            return tokens[i] + own > most, waits, worst[i], tokens[i]

        yield from sorted(range(view.replicas), key=rank)


def feeds_load(places: PowerPlaces, level: str, work: Sequence[int]) -> list[float]:
    """For each replica, the load of the most loaded of the nodes of ``level`` that feed it.

    A node's load is the work below it over its limit; over 1 W where not every node has a limit.
    """
    feeds, limits = places.feeds.get(level, ()), places.limit_w.get(level, ())
    if not feeds:
        return [0.0] * len(work)
    load = [0.0] * len(limits)
    for mine, amount in zip(feeds, work, strict=True):
        for node, share in mine:
            load[node] += share * amount
    if all(math.isfinite(limit) for limit in limits):
        load = [amount / limit for amount, limit in zip(load, limits, strict=True)]
    return [max((load[node] for node, _ in mine), default=0.0) for mine in feeds]
