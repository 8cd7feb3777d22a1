"""What happens between a replica's stops: where it is in its run, and cutting its leap short."""

from __future__ import annotations

from sim.kernels.bits import bits_of
from sim.kernels.boundary import schedule
from sim.kernels.cost import boundaries_before, boundary_s
from sim.kernels.iterations import go_on_to
from sim.kernels.jit import kernel, rare
from sim.kernels.meters import count_kv_idle, count_kv_within
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
def wake(s: State, r: int, t: float) -> None:
    """An idle replica has a boundary at this very time, unless it has one already."""
    if s.event[(len(s.event) >> 1) + r].key > bits_of(t):
        schedule(s, r, t)


@rare
def look(s: State, r: int, t: float) -> None:
    """A replica has a boundary as soon as it can: now if it is idle."""
    if s.replica[r].busy:
        stop_at_next(s, r, t)
    else:
        wake(s, r, t)


@rare
def count_kv_to(s: State, r: int, t: float) -> None:
    """Count tokens in KV up to ``t``, where blocks are given back in the middle of an iteration."""
    if s.replica[r].busy:
        go_on_to(s, r, passed(s, r, t))
        count_kv_within(s, r, t)
    else:
        count_kv_idle(s, r, t)
