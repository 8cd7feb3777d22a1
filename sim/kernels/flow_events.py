"""Events of the flow solver: what Python calls, one at a time or a whole list of flows at once."""

from __future__ import annotations

import math
from typing import Any

from sim.kernels.flow_lists import (
    drop_due,
    enter,
    leave,
    make_dirty,
    move_due,
    room_for,
    take_slot,
    touch,
)
from sim.kernels.flow_meters import (
    advance,
    begin,
    count_slots,
    count_until,
    end,
    forget_links,
    tell,
)
from sim.kernels.flow_state import CLEAN, LOWERED, NONE, RISING, Floats, Ints, flows_of
from sim.kernels.flow_sweep import solve
from sim.kernels.jit import entry, kernel, rare

#: Completions this close, as a share of the time, are one event. Without, flows that end together
#: end one rounding apart, and each is an event over next to nothing left.
TOGETHER = 1e-13
#: Low bits of an id: the slot.
SLOT_BITS = 32
SLOT_MASK = (1 << SLOT_BITS) - 1
#: Answers of ``add``.
NO_SLOT, NO_MEMBERS, NO_LINK, TWICE, OVERDUE = -1, -2, -3, -4, -5


@kernel
def next_due(s: Any) -> float:
    """When the next flow is complete, as rates are; infinite if none will be."""
    return s.heap[1].t_s if s.all[0].heap > 0 else math.inf


@kernel
def complete(s: Any, now_s: float) -> None:
    """Take out the flows that are complete together with the next one; to ``done``.

    None after ``now_s``. No solve is pending before; one is, afterwards.
    """
    g = s.all[0]
    g.now_s = next_due(s)
    until_s = min(now_s, g.now_s + TOGETHER * abs(g.now_s))
    if g.metered:
        complete_metered(s, until_s)
    while g.heap > 0 and s.heap[1].t_s <= until_s:
        take_first(s)


@rare
def complete_metered(s: Any, until_s: float) -> None:
    """Take out flows with their stories; apart from the rest, so that it costs the rest nothing."""
    while s.all[0].heap > 0 and s.heap[1].t_s <= until_s:
        tell(s, s.heap[1].slot, s.heap[1].t_s)
        take_first(s)


@kernel
def take_first(s: Any) -> None:
    """Take out the flow that is complete next; to ``done``."""
    g = s.all[0]
    slot = s.heap[1].slot
    done = s.done[g.done]
    done.id = s.flow[slot].id
    done.finish_s = s.heap[1].t_s
    g.done += 1
    drop_due(s, slot)
    leave(s, slot)


@entry
def run(
    table: Ints,
    order: Ints,
    start_s: Floats,
    size_bytes: Floats,
    link_ptr: Ints,
    link_idx: Ints,
    finish_s: Floats,
    afresh: bool,
) -> int:
    """Complete flows in an empty network with room for all of them; returns how many did.

    Args:
        order: flows that have bytes and links, by start.
        finish_s: [n] written.
        afresh: find every rate anew at every event, to measure what it saves not to.
    """
    s = flows_of(table)
    g = s.all[0]
    arrived, completed = 0, 0
    while True:
        start = start_s[order[arrived]] if arrived < len(order) else math.inf
        due_s = next_due(s)
        if start == math.inf and due_s == math.inf:
            return completed
        g.now_s = start
        if due_s <= start:
            complete(s, start)
            for i in range(g.done):
                finish_s[s.done[i].id] = s.done[i].finish_s
            completed += g.done
            g.done = 0
        while arrived < len(order) and start_s[order[arrived]] <= g.now_s:
            flow = order[arrived]
            arrived += 1
            hops = link_ptr[flow + 1] - link_ptr[flow]
            for h in range(hops):
                s.path[h] = link_idx[link_ptr[flow] + h]
            enter(s, take_slot(s), flow, size_bytes[flow], hops)
        if afresh:
            forget(s)
        solve(s)


@rare
def forget(s: Any) -> None:
    """Let every flow rise from nothing in the next solve."""
    g = s.all[0]
    for i in range(1, g.heap + 1):
        slot = s.heap[i].slot
        flow = s.flow[slot]
        flow.now = 0.0
        flow.bound = NONE
        flow.state = RISING
        touch(s, slot)
        for h in range(slot << g.shift, (slot << g.shift) + flow.hops):
            number = s.hop[h].link
            link = s.link[number]
            link.base = 0.0
            link.rising = link.count
            link.bound = 0
            make_dirty(s, number)
    g.freed = 1


@entry
def check_paths(link_ptr: Ints, link_idx: Ints, last: Ints) -> tuple[int, int]:
    """The first thing wrong with paths: a code and the place in ``link_idx``; 0 if all is well.

    ``last`` [links]: −1; written. ``link_ptr`` ascends from 0 to the length of ``link_idx``.
    """
    for flow in range(len(link_ptr) - 1):
        for k in range(link_ptr[flow], link_ptr[flow + 1]):
            link = link_idx[k]
            if link < 0 or link >= len(last):
                return NO_LINK, k
            if last[link] == flow:
                return TWICE, k
            last[link] = flow
    return 0, 0


@entry
def add(table: Ints, now_s: float, size_bytes: float, hops: int, cap: float) -> int:
    """Start a flow over the first ``hops`` links of ``path``; its id, or why not.

    ``cap``: most bytes/s, infinite for none.
    """
    s = flows_of(table)
    g = s.all[0]
    for h in range(hops):
        if s.path[h] < 0 or s.path[h] >= g.links:
            return NO_LINK
        for k in range(h):
            if s.path[k] == s.path[h]:
                return TWICE
    if g.free == 0 and g.slots == len(s.flow):
        return NO_SLOT
    if not room_for(s, hops):
        return NO_MEMBERS
    if not move_on(s, now_s):
        return OVERDUE
    slot = take_slot(s)
    g.serial += 1
    number = (g.serial << SLOT_BITS) + slot
    at_once = size_bytes == 0.0 or (hops == 0 and cap == math.inf)
    if g.metered:
        begin(s, slot, size_bytes, 0 if at_once else hops)
    if at_once:
        be_complete(s, slot, number)
    elif cap < math.inf:
        own = g.links + slot
        s.path[hops] = own
        s.link[own].capacity = cap
        enter(s, slot, number, size_bytes, hops + 1)
    else:
        enter(s, slot, number, size_bytes, hops)
    return number


@kernel
def be_complete(s: Any, slot: int, number: int) -> None:
    """Have a flow complete now that takes no time: it is on no link."""
    flow = s.flow[slot]
    flow.rate = 0.0
    flow.now = 0.0
    flow.left_bytes = 0.0
    flow.last_s = s.all[0].now_s
    flow.id = number
    flow.state = CLEAN
    flow.bound = NONE
    flow.hops = 0
    flow.place = 0
    move_due(s, slot, s.all[0].now_s)


@kernel
def move_on(s: Any, now_s: float) -> bool:
    """Let changes be at ``now_s``; false if something was later, or is complete and still there."""
    g = s.all[0]
    if now_s < g.now_s:
        return False
    if now_s > g.now_s:
        solve(s)
        if next_due(s) < now_s:
            return False
        g.now_s = now_s
    return True


@kernel
def slot_of(s: Any, number: int) -> int:
    """The slot of a flow in flight, NONE if it is not."""
    slot = number & SLOT_MASK
    if number < 0 or slot >= s.all[0].slots or s.flow[slot].id != number:
        return NONE
    return slot


@entry
def remove(table: Ints, now_s: float, number: int) -> float:
    """Take a flow out before it is complete: the bytes that it has left, or a code."""
    s = flows_of(table)
    slot = slot_of(s, number)
    if slot == NONE:
        return NO_SLOT
    if not move_on(s, now_s):
        return OVERDUE
    solve(s)
    flow = s.flow[slot]
    left = max(0.0, flow.left_bytes - flow.rate * (now_s - flow.last_s))
    if s.all[0].metered:
        end(s, slot, left)
    drop_due(s, slot)
    leave(s, slot)
    return left


@entry
def set_capacity(table: Ints, now_s: float, number: int, capacity: float) -> int:
    """Change a link's capacity; 0 or a code. ``number`` is in range."""
    s = flows_of(table)
    if not move_on(s, now_s):
        return OVERDUE
    change(s, number, capacity)
    return 0


@entry
def set_cap(table: Ints, now_s: float, number: int, cap: float) -> int:
    """Change the cap of a flow that has one; 0 or a code."""
    s = flows_of(table)
    slot = slot_of(s, number)
    if slot == NONE:
        return NO_SLOT
    own = s.all[0].links + slot
    flow = s.flow[slot]
    if flow.hops == 0 or s.hop[(slot << s.all[0].shift) + flow.hops - 1].link != own:
        return NO_LINK
    if not move_on(s, now_s):
        return OVERDUE
    change(s, own, cap)
    return 0


@kernel
def change(s: Any, number: int, capacity: float) -> None:
    """Set a capacity, and have the next solve look at the link."""
    g = s.all[0]
    link = s.link[number]
    if capacity == link.capacity:
        return
    if g.metered and number < g.links:
        advance(s, number, g.now_s)
    make_dirty(s, number)
    if capacity < link.capacity:
        link.mark |= LOWERED
        g.lowered = 1
    link.capacity = capacity
    g.freed = 1


@entry
def next_completion(table: Ints) -> float:
    """When the next flow is complete, if nothing changes before."""
    s = flows_of(table)
    settle(s)
    return next_due(s)


@kernel
def settle(s: Any) -> None:
    """Solve, if anything changed since the last solve."""
    g = s.all[0]
    if g.touched > 0 or g.dirty > 0:
        solve(s)


@entry
def pop(table: Ints, now_s: float) -> int:
    """Take out all that is complete at ``now_s``, event by event: how many flows, in ``done``."""
    s = flows_of(table)
    g = s.all[0]
    g.done = 0
    settle(s)
    until_s = now_s + TOGETHER * abs(now_s)
    while next_due(s) <= until_s and next_due(s) < math.inf:
        complete(s, until_s)
        g.now_s = min(g.now_s, now_s)
        settle(s)
    return g.done


@entry
def rate_of(table: Ints, number: int) -> float:
    """Bytes/s of a flow; a code if it is not in flight."""
    s = flows_of(table)
    slot = slot_of(s, number)
    if slot == NONE:
        return NO_SLOT
    settle(s)
    return s.flow[slot].rate


@entry
def left_of(table: Ints, now_s: float, number: int) -> float:
    """Bytes that a flow has left at ``now_s``; a code if it is not in flight."""
    s = flows_of(table)
    slot = slot_of(s, number)
    if slot == NONE:
        return NO_SLOT
    settle(s)
    flow = s.flow[slot]
    return max(0.0, flow.left_bytes - flow.rate * (now_s - flow.last_s))


@entry
def load_of(table: Ints, number: int) -> float:
    """Bytes/s that a link carries; ``number`` is in range."""
    s = flows_of(table)
    settle(s)
    g = s.all[0]
    link = s.link[number]
    total = 0.0
    for i in range(link.start, link.start + link.count):
        total += s.flow[s.member[i] >> g.shift].rate
    return total


@entry
def look(table: Ints) -> None:
    """Solve if need be, so that Python can read rates."""
    settle(flows_of(table))


@entry
def read_meters(table: Ints, now_s: float, reset: bool) -> int:
    """Count what links did until ``now_s``, and set them to 0 if wanted; 0 or a code."""
    s = flows_of(table)
    if not move_on(s, now_s):
        return OVERDUE
    count_until(s, now_s)
    if reset:
        forget_links(s, now_s)
    return 0


@entry
def read_slots(table: Ints, now_s: float) -> int:
    """Count what links did until ``now_s``, the end of a slot of time; 0 or a code."""
    s = flows_of(table)
    if not move_on(s, now_s):
        return OVERDUE
    count_slots(s, now_s)
    return 0
