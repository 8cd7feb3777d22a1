"""Time-outs and cancellations: when they happen, and to whom.

A workload's time-out is the same for all its requests, so its alarms come in order of arrival: a
ring per workload, into which a new one is sorted among those of the same instant. Cancellations
are in a heap. Nothing is taken out before its time: an alarm whose request has gone, or (for a
time-out) was admitted, does nothing.
"""

from __future__ import annotations

from sim.kernels.heaps import earlier, event_pop, event_push
from sim.kernels.jit import kernel
from sim.kernels.layout import CANCELS, FREE, NONE, WAITING
from sim.kernels.state import State


@kernel
def set_alarms(s: State, slot: int, cancel_after_s: float, t: float) -> None:
    """A request was dispatched at ``t``; the caller made sure that there is room."""
    all_, request = s.all[0], s.request[slot]
    timeout_s = s.workload[request.workload].timeout_s
    if timeout_s < float("inf"):
        ring_push(s, request.workload, t + timeout_s, 2 * request.id, slot)
    if cancel_after_s < float("inf"):
        event_push(s.heap, CANCELS, all_.cancels, t + cancel_after_s, 2 * request.id + 1, slot)
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
    """Find the next alarm: the first in (t, order) of every ring and the cancellations."""
    all_ = s.all[0]
    best_s, best_order, best = float("inf"), 0, NONE
    if all_.cancels > 0:
        best_s, best_order = s.heap[CANCELS, 1].t_s, s.heap[CANCELS, 1].order
    mask = s.ring.shape[1] - 1
    for w in range(len(s.workload)):
        workload = s.workload[w]
        if workload.alarms > 0:
            first = s.ring[w, workload.first_alarm & mask]
            if earlier(first, best_s, best_order):
                best_s, best_order, best = first.t_s, first.order, w
    all_.alarm_s = best_s
    all_.alarm_workload = best


@kernel
def take_alarm(s: State) -> int:
    """Take the next alarm out: its slot if it concerns anybody, else NONE.

    A cancellation has an odd order.
    """
    all_ = s.all[0]
    w = all_.alarm_workload
    if w == NONE:
        alarm = s.heap[CANCELS, 1]
        order, slot = alarm.order, alarm.slot
        event_pop(s.heap, CANCELS, all_.cancels)
        all_.cancels -= 1
    else:
        workload = s.workload[w]
        alarm = s.ring[w, workload.first_alarm & (s.ring.shape[1] - 1)]
        order, slot = alarm.order, alarm.slot
        workload.first_alarm += 1
        workload.alarms -= 1
    next_alarm(s)
    request = s.request[slot]
    if request.id != order >> 1 or request.state == FREE or request.cancelled:
        return NONE
    if order & 1 == 0 and (request.state != WAITING or request.admitted_s == request.admitted_s):
        return NONE
    return slot
