"""Taking a request away between a replica's stops."""

from __future__ import annotations

from sim.kernels.cut import passed, stop_at_next
from sim.kernels.iterations import go_on_to
from sim.kernels.jit import rare
from sim.kernels.layout import (
    BLOCKS,
    DECODING,
    NONE,
    WAITING,
)
from sim.kernels.lifecycle import (
    delivered_now,
    end_request,
    settle_outstanding,
)
from sim.kernels.lists import queue_head, queue_remove
from sim.kernels.meters import count_queue
from sim.kernels.retries import end_attempt
from sim.kernels.routing import load_changed
from sim.kernels.state import State


@rare
def withdraw(s: State, slot: int, outcome: int, t: float) -> None:
    """Take a waiting request out, or let a running one leave at the next boundary."""
    request = s.request[slot]
    r = request.replica
    replica = s.replica[r]
    count_queue(s, r, t)
    if request.state == WAITING:
        was_head = queue_head(s, r) == slot
        queue_remove(s, r, slot)
        settle_outstanding(s, slot)
        load_changed(s, r)
        end_attempt(s, slot, outcome, t)
        if not replica.busy:
            if replica.waiting == 0:
                replica.blocked = NONE  # held back at rest: no boundary comes to notice
        elif replica.waiting == 0 or (was_head and replica.blocked == BLOCKS):
            stop_at_next(s, r, t)
        return
    go_on_to(s, r, passed(s, r, t))
    if request.state == DECODING:
        request.delivered = delivered_now(replica, request)
    request.cancelled = 1
    replica.leaving += 1
    settle_outstanding(s, slot)
    load_changed(s, r)
    end_request(s, slot, outcome, t)
    stop_at_next(s, r, t)
