"""Max-min fair rates after a change: one pass over what the change reaches, by rising level.

In progressive filling, what happens to a flow at some level changes links only from that level on.
So an old solution holds up to the first level at which something differs, and the corrections can
be replayed in the order of levels. A flow is *clean* while it is taken to freeze at its old rate,
*rising* once it is not, and *fixed* at its new rate in the end: at most these two steps each.

A link acts in one of two ways. It *fills* at a level: its rising flows, and clean ones that are as
fast or faster, are fixed there. Or it turns out to have room at the level at which it was full:
it *releases* the clean flows that it bounds, and they rise.

The queue orders links by a bound from below on the level of their next action, which is cheap:
(capacity − base)/rising, as squeezing clean flows only helps the rising ones. Only a link that
comes first is looked at flow by flow. ``docs/flows.md`` says more.
"""

from __future__ import annotations

import math
from typing import Any

from sim.kernels.flow_lists import drop_first_key, move_due, move_key, touch
from sim.kernels.flow_meters import before_commit
from sim.kernels.flow_state import (
    CLEAN,
    CLOSED,
    FIXED,
    LOWERED,
    NONE,
    RISING,
    SEEN,
    STALE,
)
from sim.kernels.jit import kernel, rare

#: Levels that differ by less, relatively, are one level.
TIE = 1e-12
#: What the sum of rates that a link carries along may have wrong, as a share of its capacity.
DRIFT = 1e-9
#: A link with this share of its capacity free, by that sum, is certainly not full.
ROOM = 1e-7
#: Rates of this many times a link's capacity are from before it was lowered.
MUCH = 4.0
#: Instead of the level at which a link fills: it is full as it was, and nothing is to be done.
HOLDS = -1.0


@rare
def solve(s: Any) -> None:
    """Give every flow its rate at ``now_s``, after whatever came, went or changed before."""
    g = s.all[0]
    if g.freed == 0 and g.touched == 1 and alone(s):
        for i in range(g.dirty):
            s.link[s.dirty[i]].mark = 0
    else:
        for i in range(g.dirty):
            number = s.dirty[i]
            link = s.link[number]
            key = next_key(link, 0.0)
            link.mark = STALE | (link.mark & LOWERED)
            if key < math.inf:
                move_key(s, number, key)
        sweep(s)
        if g.lowered:
            add_up_lowered(s)
    g.dirty = 0
    g.freed = 0
    commit(s)


@kernel
def alone(s: Any) -> bool:
    """Fix the one flow that came where it takes nothing from others; false if it does.

    It gets what its tightest link has left, if nobody is faster there: then that link is its
    bottleneck, and nobody else's has changed.
    """
    g = s.all[0]
    slot = s.touched[0]
    flow = s.flow[slot]
    first = slot << g.shift
    low = math.inf
    for h in range(flow.hops):
        link = s.link[s.hop[first + h].link]
        low = min(low, link.capacity - link.base)
    rate, bound, fastest = math.inf, NONE, 0.0
    for h in range(flow.hops):
        number = s.hop[first + h].link
        link = s.link[number]
        if link.capacity - link.base > low + 2.0 * DRIFT * link.capacity:
            continue
        total, top = 0.0, 0.0
        for i in range(link.start, link.start + link.count):
            other = s.flow[s.member[i] >> g.shift].now
            total += other
            top = max(top, other)
        link.base = total
        left = link.capacity - total
        if left < rate or (left == rate and top < fastest):
            rate, bound, fastest = left, number, top
    if not (rate > 0.0 and fastest <= rate):
        return False
    for h in range(flow.hops):
        link = s.link[s.hop[first + h].link]
        link.base += rate
        link.rising -= 1
    flow.now = rate
    flow.bound = bound
    flow.state = FIXED
    return True


@rare
def add_up_lowered(s: Any) -> None:
    """Rid links of what roundings of rates under a higher capacity have left in their sums."""
    g = s.all[0]
    for i in range(g.dirty):
        link = s.link[s.dirty[i]]
        if link.mark & LOWERED:
            link.mark &= ~LOWERED
            link.base = 0.0
            for k in range(link.start, link.start + link.count):
                link.base += s.flow[s.member[k] >> g.shift].now
    g.lowered = 0


@kernel
def next_key(link: Any, level: float) -> float:
    """No action of a link comes below this level; infinite if none comes at all.

    Where the capacity was lowered, ``base`` has roundings of the old one: any level may be next.
    """
    if link.mark & LOWERED:
        return level
    key = math.inf
    if link.rising > 0:
        key = (link.capacity * (1.0 - DRIFT) - link.base) / link.rising
    if link.bound > 0:
        key = min(key, link.level)
    return max(key, level)


@kernel
def sweep(s: Any) -> None:
    """Let links act, by rising level, until none has anything to do."""
    g = s.all[0]
    level = 0.0
    while g.queue > 0:
        key, number = s.queue[1].key, s.queue[1].link
        link = s.link[number]
        level = max(level, key)
        release_at = link.level if link.bound > 0 else math.inf
        if link.rising == 0 and link.base < link.capacity * (1.0 - ROOM):
            fill_at = math.inf
        else:
            if link.mark & STALE:
                link.fill = water(s, number, level)
                link.mark &= ~STALE
            fill_at = link.fill
            if fill_at == HOLDS:
                fill_at, release_at = math.inf, math.inf
        act_at = min(fill_at, release_at)
        if act_at == math.inf:
            drop_first_key(s)
        elif act_at > key:
            move_key(s, number, act_at)
        elif fill_at <= release_at * (1.0 + TIE):
            drop_first_key(s)
            if abs(fill_at - release_at) <= TIE * release_at < math.inf:
                fill_at = release_at
            fill(s, number, fill_at)
        else:
            drop_first_key(s)
            release(s, number, level)


@kernel
def water(s: Any, number: int, level: float) -> float:
    """The level at which a link fills, not below ``level``; infinite if it has room, or ``HOLDS``.

    Rising flows take the level that is asked for, clean ones the same once it is below their old
    rate. What they take together is a concave function of the level, so Newton's iteration comes
    to the root from below, and ends as each step leaves fewer clean flows above it.
    """
    g = s.all[0]
    link = s.link[number]
    total = 0.0
    for i in range(link.start, link.start + link.count):
        total += s.flow[s.member[i] >> g.shift].now
    link.base = total
    if total > MUCH * link.capacity:
        return water_of_lowered(s, number, level)
    left = link.capacity - total
    if link.rising == 0 and left >= -TIE * link.capacity:
        return HOLDS if left <= TIE * link.capacity else math.inf
    fill_at = level if link.rising == 0 else max(level, left / link.rising)
    while True:
        above, more = 0, 0.0
        for i in range(link.start, link.start + link.count):
            rate = s.flow[s.member[i] >> g.shift].now
            if rate > fill_at:
                above += 1
                more += rate
        if above == 0:
            return fill_at
        higher = (left + more) / (link.rising + above)
        if higher <= fill_at:
            return fill_at
        fill_at = higher


@rare
def water_of_lowered(s: Any, number: int, level: float) -> float:
    """``water`` where rates are far beyond the capacity: what they take together would swamp it."""
    g = s.all[0]
    link = s.link[number]
    fill_at = level
    while True:
        above, below = 0, 0.0
        for i in range(link.start, link.start + link.count):
            rate = s.flow[s.member[i] >> g.shift].now
            if rate > fill_at:
                above += 1
            else:
                below += rate
        if above == 0:
            return fill_at
        higher = (link.capacity - below) / (link.rising + above)
        if higher <= fill_at:
            return fill_at
        fill_at = higher


@kernel
def fill(s: Any, number: int, level: float) -> None:
    """Fix the flows of a link that rise, or were to rise above ``level``, at it; ties as well.

    Ties, because a clean flow could be released by another link at the same level later, and would
    rise through this one, which is full.
    """
    g = s.all[0]
    link = s.link[number]
    link.mark |= CLOSED
    s.closed[g.closed] = number
    g.closed += 1
    for i in range(link.start, link.start + link.count):
        place = s.member[i]
        slot = place >> g.shift
        flow = s.flow[slot]
        first = slot << g.shift
        if flow.state == RISING:
            for h in range(first, first + flow.hops):
                other = s.link[s.hop[h].link]
                other.base += level
                other.rising -= 1
                other.mark |= STALE
        elif flow.state == CLEAN and flow.now >= level * (1.0 - TIE):
            s.link[flow.bound].bound -= 1
            touch(s, slot)
            if flow.now != level:
                slow_down(s, slot, level)
        else:
            continue
        flow.now = level
        flow.bound = number
        flow.state = FIXED


@kernel
def slow_down(s: Any, slot: int, level: float) -> None:
    """Tell the links of a clean flow that it takes less than before: they may have room now."""
    g = s.all[0]
    flow = s.flow[slot]
    first = slot << g.shift
    for h in range(first, first + flow.hops):
        number = s.hop[h].link
        link = s.link[number]
        link.base += level - flow.now
        link.mark |= STALE
        if link.bound > 0 and link.place == 0 and not link.mark & CLOSED:
            move_key(s, number, max(link.level, level))


@kernel
def release(s: Any, number: int, level: float) -> None:
    """Let the clean flows that a link bounds rise from ``level`` on."""
    g = s.all[0]
    link = s.link[number]
    for i in range(link.start, link.start + link.count):
        slot = s.member[i] >> g.shift
        flow = s.flow[slot]
        if flow.bound != number or flow.state != CLEAN:
            continue
        first = slot << g.shift
        for h in range(first, first + flow.hops):
            each = s.hop[h].link
            other = s.link[each]
            other.base -= flow.now
            other.rising += 1
            other.mark |= STALE
            if not other.mark & (CLOSED | SEEN):
                other.mark |= SEEN
                s.seen[g.seen] = each
                g.seen += 1
        flow.now = 0.0
        flow.bound = NONE
        flow.state = RISING
        touch(s, slot)
    link.bound = 0
    for i in range(g.seen):
        each = s.seen[i]
        other = s.link[each]
        other.mark &= ~SEEN
        move_key(s, each, next_key(other, level))
    g.seen = 0


@kernel
def commit(s: Any) -> None:
    """Make new rates those of the flows, from ``now_s`` on."""
    g = s.all[0]
    now_s = g.now_s
    for i in range(g.closed):
        s.link[s.closed[i]].mark = 0
    g.closed = 0
    if g.metered:
        before_commit(s)
    for i in range(g.touched):
        slot = s.touched[i]
        flow = s.flow[slot]
        link = s.link[flow.bound]
        link.bound += 1
        link.level = flow.now
        flow.state = CLEAN
        if flow.now == flow.rate and flow.place > 0:
            continue  # what it has left is worked out when its rate changes, so nothing drifts
        flow.left_bytes = max(0.0, flow.left_bytes - flow.rate * (now_s - flow.last_s))
        flow.last_s = now_s
        flow.rate = flow.now
        due_s = now_s + flow.left_bytes / flow.rate if flow.rate > 0.0 else math.inf
        move_due(s, slot, due_s)
    g.touched = 0
