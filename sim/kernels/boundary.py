"""One boundary of a replica: the iteration that ends, the plan of the next one, the next stop."""

from __future__ import annotations

from sim.kernels.bundle import prefetch
from sim.kernels.cost import boundary_s
from sim.kernels.heaps import first_slot
from sim.kernels.iterations import end_requests, end_unusual_iteration, pass_iterations
from sim.kernels.jit import kernel
from sim.kernels.meters import (
    count,
    count_kv_idle,
    report_draw,
)
from sim.kernels.plan import plan
from sim.kernels.state import State
from sim.kernels.tree import update


@kernel
def schedule(s: State, r: int, t: float) -> None:
    """The replica's next event is at ``t``."""
    update(s.event, 0, len(s.event) >> 1, r, t)


@kernel
def boundary(s: State, r: int, t: float) -> None:
    """The replica's boundary at ``t``: end the iteration, plan the next one, leap."""
    replica = s.replica[r]
    prefetch(s.request, first_slot(s.finish, r))  # ends now, or not for long
    count(s, r, t)
    if replica.busy:
        if replica.elapsed or replica.leaving > 0 or replica.fresh > 0 or s.all[0].single:
            end_unusual_iteration(s, r, t)
        else:
            pass_iterations(s, r, replica.target, 0)
        end_requests(s, r, t)
    elif replica.parting > 0:
        count_kv_idle(s, r, t)
    if plan(s, r, t):
        report_draw(s, r, replica.first_s, t)
    schedule(s, r, boundary_s(replica, replica.target) if replica.busy else float("inf"))
