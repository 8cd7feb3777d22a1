"""Moves KV between the replicas of a serving plane that is run by hand."""

from __future__ import annotations

import math
from dataclasses import dataclass

from sim.engine.handover import PACED, PREFILLED, RESERVED, Move
from sim.engine.plane import ServingPlane, Stop

#: How long KV is on its way; None: it never comes. Some are dyadic, so that arrivals tie.
DELAYS_S = (0.0, 0.0, 2.0**-6, 2.0**-6, 0.125, 0.125, 0.3, 0.7, 4.0, None)


@dataclass
class Load:
    """KV on its way."""

    at_s: float  # it is there, or lost, not before
    handle: int
    comes: bool
    growing: bool  # the last of it is still computed


class Carrier:
    """Moves KV in times that depend on the request alone, as both engines' control plane."""

    def __init__(self) -> None:
        self.log: list[dict[str, object]] = []
        self._loads: dict[int, Load] = {}  # by request

    def _next(self) -> tuple[float, int]:
        """When the next KV is there, or lost, and whose it is."""
        ready = (
            (load.at_s, request)
            for request, load in self._loads.items()
            if not (load.comes and load.growing)
        )
        return min(ready, default=(math.inf, -1))

    @property
    def next_s(self) -> float:
        """When the next KV is there, or lost."""
        return self._next()[0]

    def advance(self, plane: ServingPlane, until_s: float) -> Stop:
        """Advance a plane, with all that comes up to and at ``until_s``."""
        while True:
            stop = plane.advance(min(until_s, self.next_s))
            if stop.code == "moves":
                for move in stop.moves:
                    self._take(move)
            elif stop.code == "parked":
                self.log.append({"kind": "parked", "time_s": stop.time_s})
            elif self.next_s <= until_s:
                self._deliver(plane)
            else:
                return stop

    def _take(self, move: Move) -> None:
        row = {name: value for name, value in vars(move).items() if name != "handle"}
        self.log.append({name: None if value != value else value for name, value in row.items()})
        if move.kind == PACED:
            self.log[-1]["replica"] = move.handle
        elif move.kind == RESERVED:
            delay_s = DELAYS_S[(move.request_id * 7919) % len(DELAYS_S)]
            at_s = move.time_s + (0.25 if delay_s is None else delay_s)
            growing = math.isnan(move.prefilled_s)
            self._loads[move.request_id] = Load(at_s, move.handle, delay_s is not None, growing)
        elif move.kind == PREFILLED:
            load = self._loads[move.request_id]
            load.at_s, load.growing = max(load.at_s, move.time_s), False
        else:
            del self._loads[move.request_id]

    def _deliver(self, plane: ServingPlane) -> None:
        at_s, request = self._next()
        load = self._loads.pop(request)
        kind = "arrived" if load.comes else "lost"
        self.log.append({"kind": kind, "time_s": at_s, "request_id": request})
        if load.comes:
            plane.arrived(load.handle, at_s)
        else:
            plane.lose(load.handle, at_s)
