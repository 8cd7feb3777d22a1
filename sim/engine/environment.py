"""SimPy's environment with absolute times and a stated order at equal times.

``timeout(t − now)`` lands on ``now + (t − now)``, which need not be ``t`` in floating point, and
SimPy breaks ties by insertion. Both engines need the exact time and the order of
``(time, class, id)``, so events are put on SimPy's queue with both spelled out.
"""

from __future__ import annotations

from heapq import heappush
from typing import Any

import simpy
from simpy.events import Event

#: Classes of events in their order at equal times.
FACILITY, POWER, TRANSFER, TIME_OUT, ARRIVAL, BOUNDARY = range(6)


class OrderedEnvironment(simpy.Environment):
    """A SimPy environment whose events are ordered by (time, class, id)."""

    def schedule_at(self, event: Event, time_s: float, order: int, identity: int) -> None:
        """Let ``event`` happen at ``time_s``; at equal times by class, then by id."""
        event._ok, event._value = True, None
        # Ids stay below 2**64, so one integer orders by class first and id second.
        entry: Any = (time_s, (order << 64) | identity, next(self._eid), event)
        heappush(self._queue, entry)

    def at(self, time_s: float, order: int, identity: int) -> Event:
        """A new event at ``time_s``."""
        event = Event(self)
        self.schedule_at(event, time_s, order, identity)
        return event

    def forget(self) -> None:
        """Drop what is still to come: the processes that wait for it end here."""
        self._queue.clear()

    def move(self, event: Event, time_s: float, order: int, identity: int) -> Event:
        """Replace a scheduled event by one at ``time_s``; who waited for it waits for the new one.

        The old entry stays on the queue and happens without anybody listening.
        """
        moved = self.put_off(event)
        self.schedule_at(moved, time_s, order, identity)
        return moved

    def put_off(self, event: Event) -> Event:
        """Replace an event, scheduled or not, by one that is not scheduled."""
        moved = Event(self)
        moved.callbacks, event.callbacks = event.callbacks, []
        return moved
