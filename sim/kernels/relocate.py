"""A replica moves to other GPUs: what it runs is frozen meanwhile, or loses its KV.

The running iteration of a frozen replica ends in ``FOREVER_S``, so that whatever happens to it
meanwhile finds it at work; what was left of the iteration waits in ``rest_s``.
"""

from __future__ import annotations

from sim.kernels.boundary import schedule
from sim.kernels.control import pause
from sim.kernels.cost import boundary_s, iteration_s
from sim.kernels.cut import wake
from sim.kernels.jit import entry, kernel
from sim.kernels.layout import CACHED, DECODING, FOREVER_S, NONE
from sim.kernels.lifecycle import delivered_now, free_slot
from sim.kernels.lists import queue_push_front, run_remove
from sim.kernels.meters import kv_now, report_draw, set_draw
from sim.kernels.outage import forget
from sim.kernels.parting import say_pace
from sim.kernels.prefix import evict, release
from sim.kernels.state import Ints, State, state_of


@entry
def freeze(table: Ints, r: int, t: float) -> int:
    """Nothing of the running iteration goes on; tokens in KV of what runs, 0 at rest.

    What the cache keeps for nobody is lost.
    """
    s = state_of(table)
    replica = s.replica[r]
    pause(s, r, t)
    free = replica.free
    replica.free = 0
    evict(s, r)
    replica.free = free
    if not replica.busy:
        return 0
    replica.rest_s = boundary_s(replica, replica.done + 1) - t
    replica.frozen = 1
    stretch(s, r, FOREVER_S, t)
    if replica.spans:
        say_pace(s, r, 0, t)
    report_draw(s, r, iteration_s(s, replica, replica.level), t)
    tokens: int = kv_now(s, replica)
    return tokens


@entry
def thaw(table: Ints, r: int, t: float) -> None:
    """The frozen iteration goes on."""
    s = state_of(table)
    replica = s.replica[r]
    pause(s, r, t)
    replica.frozen = 0
    stretch(s, r, replica.rest_s, t)
    report_draw(s, r, iteration_s(s, replica, replica.level), t)


@kernel
def stretch(s: State, r: int, rest_s: float, t: float) -> None:
    """The running iteration, counted up to ``t``, is a run of its own that has so much left."""
    replica = s.replica[r]
    replica.planned = 0
    replica.elapsed = 1
    replica.anchor_s = t
    replica.first_s = rest_s
    replica.growth_s = 0.0
    replica.done = 0
    replica.target = 1
    schedule(s, r, boundary_s(replica, 1))


@entry
def interrupt(table: Ints, r: int, t: float) -> None:
    """All that runs loses its KV and waits again, in front; what the cache keeps is lost."""
    s = state_of(table)
    replica = s.replica[r]
    pause(s, r, t)
    if replica.spans and replica.busy:
        say_pace(s, r, 0, t)
    while replica.tail != NONE:
        slot = replica.tail
        request = s.request[slot]
        run_remove(s, r, slot)
        if request.prefixed == CACHED:
            release(s, r, slot)
        if request.cancelled:
            free_slot(s, slot)
            continue
        if request.state == DECODING:
            request.delivered = delivered_now(replica, request)
            request.last_token_s = max(request.last_token_s, replica.decoded_s)
        request.context = 0
        request.preemptions += 1
        replica.preemptions += 1
        queue_push_front(s, r, slot)
    forget(s, r)
    schedule(s, r, float("inf"))
    report_draw(s, r, 0.0, t)
    if replica.waiting > 0:
        wake(s, r, t)


@entry
def leave(table: Ints, r: int, parked_mw: int, t: float) -> None:
    """A replica leaves its GPUs, each of which draws ``parked_mw`` from now on."""
    s = state_of(table)
    pause(s, r, t)
    set_draw(s, r, parked_mw, t)


@entry
def arrive(table: Ints, r: int, t: float) -> None:
    """A replica that is not down has new GPUs: they draw as it does."""
    s = state_of(table)
    replica = s.replica[r]
    report_draw(s, r, iteration_s(s, replica, replica.level) if replica.busy else 0.0, t)
