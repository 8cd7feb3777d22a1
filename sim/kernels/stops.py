"""What happens between a replica's stops: cutting a leap short, taking a request away."""

from __future__ import annotations

from sim.kernels.boundary import schedule
from sim.kernels.cost import boundaries_before, boundary_s
from sim.kernels.iterations import go_on_to
from sim.kernels.jit import kernel, rare
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


@kernel
def passed(s: State, r: int, t: float) -> int:
    """Boundaries of the run that are behind us at ``t``.

    Those at ``t`` itself are still to come, unless this replica's turn at ``t`` is over.
    """
    all_, replica = s.all[0], s.replica[r]
    including = all_.boundary_s == t and r <= all_.boundary_replica
    return boundaries_before(replica, t, including, replica.done, replica.target - 1)


@rare
def stop_at_next(s: State, r: int, t: float) -> None:
    """The next boundary must be looked at, because something happened at ``t``."""
    replica = s.replica[r]
    if replica.target - replica.done <= 1:
        return
    n = passed(s, r, t) + 1
    if n < replica.target:
        replica.target = n
        schedule(s, r, boundary_s(replica, n))


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
