"""Lists of the flow solver: flows on a link, completions to come, links to look at."""

from __future__ import annotations

from typing import Any

from sim.kernels.flow_state import CLEAN, DIRTY, NONE, RISING, STALE
from sim.kernels.jit import kernel

# ---- flows on links --------------------------------------------------------------------------


@kernel
def room_for(s: Any, hops: int) -> bool:
    """Whether blocks can double at every one of ``hops`` links of ``path`` that is full."""
    more = 4  # of the link of a cap
    for h in range(hops):
        link = s.link[s.path[h]]
        if link.count == link.room:
            more += max(4, 2 * link.room)
    return s.all[0].pool + more <= len(s.member)


@kernel
def take_slot(s: Any) -> int:
    """A free slot; there is one."""
    g = s.all[0]
    if g.free > 0:
        g.free -= 1
        return s.free[g.free]
    g.slots += 1
    return g.slots - 1


@kernel
def join(s: Any, slot: int, h: int, number: int) -> None:
    """Let a flow rise on link ``number``, its hop ``h``."""
    g = s.all[0]
    link = s.link[number]
    if link.count == link.room:
        start, room = g.pool, max(4, 2 * link.room)
        for i in range(link.count):
            s.member[start + i] = s.member[link.start + i]
        link.start = start
        link.room = room
        g.pool += room
    place = (slot << g.shift) + h
    s.member[link.start + link.count] = place
    hop = s.hop[place]
    hop.link = number
    hop.place = link.count
    link.count += 1
    link.rising += 1
    make_dirty(s, number)


@kernel
def make_dirty(s: Any, number: int) -> None:
    """Have the next solve look at a link."""
    g = s.all[0]
    link = s.link[number]
    if not link.mark & DIRTY:
        link.mark |= DIRTY | STALE
        s.dirty[g.dirty] = number
        g.dirty += 1


@kernel
def touch(s: Any, slot: int) -> None:
    """Remember a flow that is not clean any more."""
    g = s.all[0]
    s.touched[g.touched] = slot
    g.touched += 1


@kernel
def enter(s: Any, slot: int, number: int, size_bytes: float, hops: int) -> None:
    """Put a flow on the links of ``path``; its rate is found by the next solve."""
    flow = s.flow[slot]
    flow.rate = 0.0
    flow.now = 0.0
    flow.left_bytes = size_bytes
    flow.last_s = s.all[0].now_s
    flow.id = number
    flow.state = RISING
    flow.bound = NONE
    flow.hops = hops
    flow.place = 0
    for h in range(hops):
        join(s, slot, h, s.path[h])
    touch(s, slot)


@kernel
def leave(s: Any, slot: int) -> None:
    """Take a clean flow off its links; those that it leaves room on are dirty then."""
    g = s.all[0]
    flow = s.flow[slot]
    first = slot << g.shift
    for h in range(flow.hops):
        hop = s.hop[first + h]
        number = hop.link
        link = s.link[number]
        link.count -= 1
        last = s.member[link.start + link.count]
        s.member[link.start + hop.place] = last
        s.hop[last].place = hop.place
        link.base = link.base - flow.now if link.count > 0 else 0.0
        if flow.bound == number:
            link.bound -= 1
        if link.bound > 0:
            make_dirty(s, number)
            g.freed = 1
    flow.id = NONE
    flow.state = CLEAN
    s.free[g.free] = slot
    g.free += 1


# ---- completions to come ---------------------------------------------------------------------


@kernel
def set_due(s: Any, place: int, t_s: float, slot: int) -> None:
    """Write an entry."""
    due = s.heap[place]
    due.t_s = t_s
    due.slot = slot
    s.flow[slot].place = place


@kernel
def rise_due(s: Any, place: int, t_s: float, slot: int) -> None:
    """Put an entry into the hole at ``place`` or above."""
    while place > 1:
        above = s.heap[place >> 1]
        if above.t_s <= t_s:
            break
        set_due(s, place, above.t_s, above.slot)
        place >>= 1
    set_due(s, place, t_s, slot)


@kernel
def sink_due(s: Any, place: int, t_s: float, slot: int) -> None:
    """Put an entry into the hole at ``place`` or below."""
    size = s.all[0].heap
    while 2 * place <= size:
        child = 2 * place
        if child < size and s.heap[child + 1].t_s < s.heap[child].t_s:
            child += 1
        below = s.heap[child]
        if below.t_s >= t_s:
            break
        set_due(s, place, below.t_s, below.slot)
        place = child
    set_due(s, place, t_s, slot)


@kernel
def move_due(s: Any, slot: int, t_s: float) -> None:
    """Give a flow another time of completion, or its first."""
    g = s.all[0]
    flow = s.flow[slot]
    if flow.place == 0:
        g.heap += 1
        rise_due(s, g.heap, t_s, slot)
    elif t_s < flow.finish_s:
        rise_due(s, flow.place, t_s, slot)
    else:
        sink_due(s, flow.place, t_s, slot)
    flow.finish_s = t_s


@kernel
def drop_due(s: Any, slot: int) -> None:
    """Take a flow out of the completions to come."""
    g = s.all[0]
    place = s.flow[slot].place
    last = s.heap[g.heap]
    t_s, other = last.t_s, last.slot
    g.heap -= 1
    if other == slot:
        return
    if place > 1 and s.heap[place >> 1].t_s > t_s:
        rise_due(s, place, t_s, other)
    else:
        sink_due(s, place, t_s, other)


# ---- links to look at ------------------------------------------------------------------------


@kernel
def set_key(s: Any, place: int, key: float, number: int) -> None:
    """Write an entry."""
    entry = s.queue[place]
    entry.key = key
    entry.link = number
    s.link[number].place = place


@kernel
def rise_key(s: Any, place: int, key: float, number: int) -> None:
    """Put an entry into the hole at ``place`` or above."""
    while place > 1:
        above = s.queue[place >> 1]
        if above.key <= key:
            break
        set_key(s, place, above.key, above.link)
        place >>= 1
    set_key(s, place, key, number)


@kernel
def sink_key(s: Any, place: int, key: float, number: int) -> None:
    """Put an entry into the hole at ``place`` or below."""
    size = s.all[0].queue
    while 2 * place <= size:
        child = 2 * place
        if child < size and s.queue[child + 1].key < s.queue[child].key:
            child += 1
        below = s.queue[child]
        if below.key >= key:
            break
        set_key(s, place, below.key, below.link)
        place = child
    set_key(s, place, key, number)


@kernel
def move_key(s: Any, number: int, key: float) -> None:
    """Queue a link at ``key``, or move it there."""
    g = s.all[0]
    link = s.link[number]
    if link.place == 0:
        g.queue += 1
        rise_key(s, g.queue, key, number)
    elif key < s.queue[link.place].key:
        rise_key(s, link.place, key, number)
    else:
        sink_key(s, link.place, key, number)


@kernel
def drop_first_key(s: Any) -> None:
    """Take the first link out of the queue."""
    g = s.all[0]
    s.link[s.queue[1].link].place = 0
    last = s.queue[g.queue]
    key, number = last.key, last.link
    g.queue -= 1
    if g.queue > 0:
        sink_key(s, 1, key, number)
