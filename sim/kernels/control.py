"""What Python asks of the plane between two calls of ``advance``."""

from __future__ import annotations

from sim.kernels.alarms import set_alarms
from sim.kernels.arrivals import dispatch, sheds, turn_away
from sim.kernels.bits import value_of
from sim.kernels.boundary import schedule
from sim.kernels.cost import boundaries_before, boundary_s, iteration_s, level_within
from sim.kernels.cut import stop_at_next
from sim.kernels.iterations import go_on_to
from sim.kernels.jit import entry, rare
from sim.kernels.layout import (
    DECODING,
    FAILED,
    NONE,
    QUEUE_FULL,
    UNFINISHED,
)
from sim.kernels.lifecycle import (
    delivered_now,
    emit,
    free_slot,
)
from sim.kernels.meters import (
    count,
    count_draw,
    count_kv_idle,
    count_kv_within,
    report_draw,
)
from sim.kernels.plan import unload
from sim.kernels.state import Floats, Ints, State, state_of


@entry
def resume(table: Ints, position: int, t: float) -> None:
    """Python has routed the asked request: to ``position`` of its pool, or away (NONE: all refuse;
    NOBODY: all are down)."""
    s = state_of(table)
    slot = s.all[0].asked
    pool = s.pool[s.all[0].asked_pool]
    if position < 0:
        turn_away(s, slot, QUEUE_FULL if position == NONE else FAILED, t)
    else:
        dispatch(s, pool.first + position, slot, t)
        set_alarms(s, slot, s.all[0].asked_cancel_s, t)
    s.all[0].asked = NONE


@entry
def make_room(table: Ints, r: int, priority: int, t: float) -> bool:
    """Python routes to a full queue: whether ``shed: oldest`` pushes somebody out."""
    s = state_of(table)
    return sheds(s, r, priority, t)


@rare
def pause(s: State, r: int, t: float) -> None:
    """Count everything of a replica up to ``t``; boundaries at ``t`` are still to come."""
    replica = s.replica[r]
    if replica.busy:
        n = boundaries_before(replica, t, False, replica.done, replica.target - 1)
        go_on_to(s, r, n)
        count_kv_within(s, r, t)
    elif replica.parting > 0:
        count_kv_idle(s, r, t)
    count(s, r, t)


@entry
def pause_all(table: Ints, t: float) -> None:
    """Count everything up to ``t``: the measurement window opens or closes, the run ends."""
    s = state_of(table)
    for r in range(len(s.replica)):
        pause(s, r, t)


@entry
def set_clocks(table: Ints, replicas: Ints, level: int, t: float) -> None:
    """Lock the clocks of replicas: draw changes now, the rest of the iteration is rescaled."""
    s = state_of(table)
    for place in range(len(replicas)):
        r = replicas[place]
        if s.replica[r].lock != level:
            count_draw(s, r, t)  # whether the cap held the clock down
            s.replica[r].lock = level
            retune(s, r, t)


@entry
def set_caps(table: Ints, replicas: Ints, cap_mw: int, t: float) -> None:
    """Cap the draw of each GPU of replicas (FAR: no cap), from the running iteration on."""
    s = state_of(table)
    for place in range(len(replicas)):
        r = replicas[place]
        if s.replica[r].cap_mw != cap_mw:
            s.replica[r].cap_mw = cap_mw
            retune(s, r, t)


@rare
def retune(s: State, r: int, t: float) -> None:
    """The clock that lock and cap leave; a running iteration that changes it becomes a run of its
    own of length one."""
    replica = s.replica[r]
    level = replica.lock
    if replica.busy and replica.cap_mw < s.cost[replica.cost + level].most_mw:
        pause(s, r, t)
        level = level_within(s, replica)
    if replica.level == level:
        return
    if replica.down:
        replica.level = level
        return
    pause(s, r, t)
    total_s = 0.0
    if replica.busy:
        total_s = iteration_s(s, replica, level)
        scale = total_s / iteration_s(s, replica, replica.level)
        if replica.frozen:
            replica.rest_s *= scale
    if replica.busy and not replica.frozen:
        rest_s = (boundary_s(replica, replica.done + 1) - t) * scale
        replica.planned = 0
        replica.elapsed = 1
        replica.anchor_s = t
        replica.first_s = rest_s
        replica.growth_s = 0.0
        replica.done = 0
        replica.target = 1
        schedule(s, r, boundary_s(replica, 1))
    replica.level = level
    report_draw(s, r, total_s, t)


@entry
def set_admission(table: Ints, r: int, held: bool, held_mw: int, t: float) -> None:
    """Let a replica admit nobody who waits (``held``), or admit again from the next boundary on.

    Held and without work, each of its GPUs draws ``held_mw`` (NONE: as if it were not held).
    """
    s = state_of(table)
    replica = s.replica[r]
    if not replica.busy:
        count(s, r, t)
    replica.held = held
    replica.held_mw = held_mw
    if replica.down or replica.parks:
        return
    if replica.busy:
        if replica.waiting > 0:
            stop_at_next(s, r, t)
        return
    unload(s, r)
    report_draw(s, r, 0.0, t)
    if replica.waiting > 0 and not held:
        schedule(s, r, t)


@entry
def end_unfinished(table: Ints, slot: int) -> None:
    """The run is over, as of the last ``pause_all``: the row of a request in flight."""
    s = state_of(table)
    request = s.request[slot]
    if request.state == DECODING:
        request.delivered = delivered_now(s.replica[request.replica], request)
    emit(s, slot, UNFINISHED, float("nan"))
    free_slot(s, slot)


@entry
def next_event(table: Ints) -> float:
    """When ``advance`` would look at something next."""
    s = state_of(table)
    all_ = s.all[0]
    others_s = min(all_.arrival_s, all_.alarm_s, all_.handover_s)
    next_s: float = min(value_of(s.event[1].key), others_s)
    return next_s


@entry
def set_delays(table: Ints, replicas: Ints, delays_s: Floats, t: float) -> None:
    """Each token takes so much longer at replicas, from their next iteration on."""
    s = state_of(table)
    for place in range(len(replicas)):
        r = replicas[place]
        s.replica[r].next_delay_s = delays_s[place]
        if s.replica[r].busy:
            stop_at_next(s, r, t)
