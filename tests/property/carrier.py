"""Moves KV between the replicas of a serving plane that is run by hand."""

from __future__ import annotations

import heapq
import math

from sim.engine.handover import RESERVED, Move
from sim.engine.plane import ServingPlane, Stop

#: How long KV is on its way; None: it never comes. Some are dyadic, so that arrivals tie.
DELAYS_S = (0.0, 0.0, 2.0**-6, 2.0**-6, 0.125, 0.125, 0.3, 0.7, 4.0, None)


class Carrier:
    """Moves KV in times that depend on the request alone, as both engines' control plane."""

    def __init__(self) -> None:
        self.log: list[dict[str, object]] = []
        self._due: list[tuple[float, int, int, bool]] = []  # time, request, handle, whether it came

    @property
    def next_s(self) -> float:
        """When the next KV is there."""
        return self._due[0][0] if self._due else math.inf

    def advance(self, plane: ServingPlane, until_s: float) -> Stop:
        """Advance a plane, with all that comes up to and at ``until_s``."""
        while True:
            stop = plane.advance(min(until_s, self.next_s))
            if stop.code == "moves":
                for move in stop.moves:
                    self._take(move)
            elif self.next_s <= until_s:
                self._deliver(plane)
            else:
                return stop

    def _take(self, move: Move) -> None:
        row = {name: value for name, value in vars(move).items() if name != "handle"}
        self.log.append(row)
        if move.kind == RESERVED:
            delay_s = DELAYS_S[(move.request_id * 7919 + len(DELAYS_S)) % len(DELAYS_S)]
            comes = delay_s is not None
            at_s = move.time_s + (0.25 if delay_s is None else delay_s)
            heapq.heappush(self._due, (at_s, move.request_id, move.handle, comes))
        else:
            self._due = [due for due in self._due if due[1] != move.request_id]
            heapq.heapify(self._due)

    def _deliver(self, plane: ServingPlane) -> None:
        at_s, request, handle, comes = heapq.heappop(self._due)
        self.log.append(
            {"kind": "arrived" if comes else "lost", "time_s": at_s, "request": request}
        )
        if comes:
            plane.arrived(handle, at_s)
        else:
            plane.lose(handle, at_s)
