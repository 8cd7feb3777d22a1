"""When a client sends a request again: the waits of a workload's policy, with jitter by request."""

from __future__ import annotations

from sim.rng import KeyedBits
from sim.workload.plan import Workload

#: An attempt's draw is keyed by ``attempt << RETRY_BITS | id``; ids are below 2**56.
RETRY_BITS = 56


def salt_of(seed: int, workload: Workload) -> int:
    """What the draws of a workload's waits are keyed with, beside the attempt and the id."""
    return _bits(seed, workload).salt


def _bits(seed: int, workload: Workload) -> KeyedBits:
    return KeyedBits(seed, f"workload/{workload.name}/retry")


class Retries:
    """Which attempts of a workload are followed by another, and when."""

    def __init__(self, seed: int, workload: Workload) -> None:
        self._policy, self._bits = workload.retry, _bits(seed, workload)
        self._waits_s = workload.retry.waits_s if workload.retry else ()

    def next_s(self, identity: int, attempt: int, outcome: str, now_s: float) -> float | None:
        """When the request is sent again, if it is.

        Args:
            attempt: how many attempts failed before this one.
            outcome: how this one ended, at ``now_s``.
        """
        policy = self._policy
        if policy is None or outcome not in policy.outcomes or attempt + 1 >= policy.attempts:
            return None
        share = self._bits.uniform(attempt << RETRY_BITS | identity)
        return now_s + self._waits_s[attempt] * (1.0 - policy.jitter * share)
