"""Replicas of the reference engine that fail, return, are taken away and brought back."""

from __future__ import annotations

from collections.abc import Callable

from sim.engine.recorder import Recorder
from sim.engine.replica import Replica
from sim.engine.request import Request


class ReplicaControl:
    """The part of the reference plane that takes replicas out of service and puts them back."""

    replicas: list[Replica]
    recorder: Recorder

    _lose: Callable[[Request, float], None]  # a replica that failed held a request

    def fail(self, replica: int, gpu_mw: int, time_s: float) -> None:
        """A replica is down."""
        for request in self.replicas[replica].fail(gpu_mw, time_s):
            self._lose(request, time_s)

    def restore(self, replica: int, time_s: float) -> None:
        """A replica serves again."""
        self.replicas[replica].restore(time_s)

    def drain(self, replica: int, gpu_mw: int, time_s: float) -> None:
        """A replica finishes what it holds, then it is down."""
        self.replicas[replica].drain(gpu_mw, time_s)

    def reopen(self, replica: int, time_s: float) -> None:
        """It takes requests again."""
        self.replicas[replica].reopen(time_s)

    def is_down(self, replica: int) -> bool:
        """Whether a replica serves nobody."""
        return self.replicas[replica].down

    def parked(self, replica: int, time_s: float) -> None:
        """A replica has finished what it held."""
        self.recorder.parked(replica, time_s)
