"""Taking a request away between a replica's stops."""

from __future__ import annotations

from sim.kernels.cut import passed, stop_at_next
from sim.kernels.handover import at_decoding_pool, call_back, drop_incoming, let_go
from sim.kernels.iterations import go_on_to
from sim.kernels.jit import rare
from sim.kernels.layout import (
    ARRIVED,
    BLOCKS,
    DECODES,
    DECODING,
    NONE,
    RESERVED,
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
    slot = at_decoding_pool(s, slot)
    request = s.request[slot]
    r = request.replica
    replica = s.replica[r]
    count_queue(s, r, t)
    if request.state == WAITING:
        was_head = queue_head(s, r) == slot
        queue_remove(s, r, slot)
        if request.role == DECODES:
            let_go(s, slot, t)
        settle_outstanding(s, slot)
        load_changed(s, r)
        end_attempt(s, slot, outcome, t)
        if not replica.busy:
            if replica.waiting == 0:
                replica.blocked = NONE  # held back at rest: no boundary comes to notice
        elif replica.waiting == 0 or (was_head and replica.blocked == BLOCKS):
            stop_at_next(s, r, t)
        return
    if request.state == RESERVED or request.state == ARRIVED:
        call_back(s, slot, t)
        lose_incoming(s, slot, outcome, t)
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


@rare
def lose_incoming(s: State, slot: int, outcome: int, t: float) -> None:
    """A request ends between two pools."""
    r = s.request[slot].replica
    drop_incoming(s, slot, t)
    if not s.replica[r].busy and s.replica[r].waiting == 0:
        s.replica[r].blocked = NONE
    let_go(s, slot, t)
    settle_outstanding(s, slot)
    load_changed(s, r)
    end_attempt(s, slot, outcome, t)
