"""Time-outs and cancellations: when they happen, and to whom.

A workload's time-out is the same for all its requests, so its alarms come in order of arrival: a
ring per workload, into which a new one is sorted among those of the same instant. Cancellations
are in a heap. An alarm whose request has gone, or (for a time-out) was admitted, is dead: it does
nothing, for ever; so is one of an attempt that is over. Whoever looks for the next alarm drops
those that are dead by then, so that few of the many whose request is served in time are ever an
event.
"""

from __future__ import annotations

from sim.kernels.heaps import earlier, event_pop, event_push
from sim.kernels.jit import kernel
from sim.kernels.layout import CANCELS, DECODES, FREE, NONE, SLOT_BITS, SLOT_MASK
from sim.kernels.state import Record, State


@kernel
def set_alarms(s: State, slot: int, cancel_s: float, t: float) -> None:
    """A request was dispatched at ``t``; that its client gave up is known at ``cancel_s``.

    The caller made sure that there is room. An alarm's ``slot`` has the attempt above its low bits.
    """
    all_, request = s.all[0], s.request[slot]
    # Whoever is to be decoded has been admitted to a prefill, in time.
    timeout_s = s.workload[request.workload].timeout_s if request.role != DECODES else float("inf")
    whose = (request.attempt << SLOT_BITS) | slot
    if timeout_s < float("inf"):
        ring_push(s, request.workload, t + timeout_s, 2 * request.id, whose)
    if cancel_s < float("inf"):
        event_push(s.heap, CANCELS, all_.cancels, cancel_s, 2 * request.id + 1, whose)
        all_.cancels += 1
        next_alarm(s)


@kernel
def ring_push(s: State, w: int, t: float, order: int, slot: int) -> None:
    """Add a time-out behind all that are before it in (t, order)."""
    workload = s.workload[w]
    mask = s.ring.shape[1] - 1
    place = workload.first_alarm + workload.alarms
    while place > workload.first_alarm and not earlier(s.ring[w, (place - 1) & mask], t, order):
        before, here = s.ring[w, (place - 1) & mask], s.ring[w, place & mask]
        here.t_s = before.t_s
        here.order = before.order
        here.slot = before.slot
        place -= 1
    here = s.ring[w, place & mask]
    here.t_s = t
    here.order = order
    here.slot = slot
    workload.alarms += 1
    if place == workload.first_alarm:
        next_alarm(s)


@kernel
def next_alarm(s: State) -> None:
    """Find the next alarm that is not dead: the first in (t, order) of all."""
    all_ = s.all[0]
    best_s, best_order, best = float("inf"), 0, NONE
    while all_.cancels > 0 and is_dead(s, s.heap[CANCELS, 1]):
        drop_cancel(s)
    if all_.cancels > 0:
        best_s, best_order = s.heap[CANCELS, 1].t_s, s.heap[CANCELS, 1].order
    for w in range(len(s.workload)):
        workload = s.workload[w]
        while workload.alarms > 0 and is_dead(s, first_timeout(s, w)):
            drop_timeout(s, w)
        if workload.alarms > 0:
            first = first_timeout(s, w)
            if earlier(first, best_s, best_order):
                best_s, best_order, best = first.t_s, first.order, w
    all_.alarm_s = best_s
    all_.alarm_workload = best


@kernel
def is_dead(s: State, alarm: Record) -> bool:
    """Whether an alarm concerns nobody. A cancellation has an odd order."""
    request = s.request[alarm.slot & SLOT_MASK]
    if request.id != alarm.order >> 1 or request.state == FREE or request.cancelled:
        return True
    if request.attempt != alarm.slot >> SLOT_BITS:
        return True
    return alarm.order & 1 == 0 and request.admitted_s == request.admitted_s


@kernel
def first_timeout(s: State, w: int) -> Record:
    """The first alarm of a workload's ring."""
    return s.ring[w, s.workload[w].first_alarm & (s.ring.shape[1] - 1)]


@kernel
def drop_timeout(s: State, w: int) -> None:
    """Take the first alarm out of a workload's ring."""
    s.workload[w].first_alarm += 1
    s.workload[w].alarms -= 1


@kernel
def drop_cancel(s: State) -> None:
    """Take the first cancellation out."""
    event_pop(s.heap, CANCELS, s.all[0].cancels)
    s.all[0].cancels -= 1


@kernel
def take_alarm(s: State) -> int:
    """Take the next alarm out: its slot, NONE if it is dead by now."""
    all_ = s.all[0]
    w = all_.alarm_workload
    alarm = s.heap[CANCELS, 1] if w == NONE else first_timeout(s, w)
    slot = NONE if is_dead(s, alarm) else alarm.slot & SLOT_MASK
    if w == NONE:
        drop_cancel(s)
    else:
        drop_timeout(s, w)
    next_alarm(s)
    return slot
