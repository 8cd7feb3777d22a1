"""What a replica of the reference engine tells the plane."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from sim.engine.request import Request

if TYPE_CHECKING:
    from sim.engine.replica_run import RunningReplica


class Observer(Protocol):
    """What a replica tells the plane."""

    def first_token(self, request: Request, time_s: float) -> None:
        """A request's prefill has ended for the first time."""

    def last_part(self, request: Request, time_s: float, end_s: float) -> None:
        """The iteration from ``time_s`` to ``end_s`` computes the last of a request's prompt, and
        another pool is to decode it."""

    def prefilled(self, request: Request, time_s: float) -> None:
        """The KV of a request's prompt is complete, and another pool is to decode it."""

    def reserved(self, request: Request, time_s: float) -> None:
        """The replica holds blocks for the KV of a request's prompt, which may come now."""

    def complete(self, request: Request, time_s: float) -> None:
        """A request has delivered its last token."""

    def paced(self, replica: int, tokens: int, iteration_s: float, time_s: float) -> None:
        """From now on a replica over several servers works on so many tokens an iteration."""

    def token_gap(self, workload: int, gap_s: float, tokens: int) -> None:
        """``tokens`` tokens of a workload came ``gap_s`` after the ones before them."""

    def draw(
        self, replica: int, gpu_mw: int, shares: Sequence[tuple[int, float]], time_s: float
    ) -> None:
        """Each GPU of the replica draws ``gpu_mw`` from now on, on account of these workloads."""

    def parked(self, replica: int, time_s: float) -> None:
        """The replica has finished what it held, and is down."""

    def iteration(self, replica: RunningReplica, end_s: float) -> None:
        """An iteration has ended; ``replica`` still describes it."""
