"""The seam between the control plane (SimPy, few events) and the data plane (every request).

Two implementations: ``engine.reference`` (one event per iteration, the executable specification)
and, later, a compiled one with the same semantics.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Stop:
    """Why ``advance`` returned: "done" (nothing strictly before ``until`` is left) or an outbox event."""

    code: str
    time_s: float


class ServingPlane(Protocol):
    """Serves requests: routing, queues, batches, KV blocks, draw. Times are float64 seconds."""

    def advance(self, until_s: float) -> Stop:
        """Handle every event strictly before ``until_s``, in the stated order of equal times.

        Returns early at the first event that only the control plane can answer.
        """
        ...

    def set_clocks(self, replicas: Sequence[int], level: int, time_s: float) -> None:
        """Put replicas on a clock level at ``time_s`` (≥ every time handled so far)."""
        ...

    def peek(self) -> float:
        """Time of the next event, inf when nothing is pending."""
        ...

    def in_flight(self) -> int:
        """Requests that have arrived and not ended."""
        ...

    def read_meters(self, time_s: float) -> None:
        """Bring every integral to ``time_s`` (no event before it may be pending)."""
        ...
