"""Meters of the flow solver: what each link carries over time, and what held each flow back.

Rates are constant between events, so a meter is brought up to date when the rate of its link
changes, and whatever it integrates is exact. The solver does not read meters: rates and times are
the same, to the last bit, with them and without.

Bytes are counted flow by flow, as the bytes it had left less those it has: so the bytes of a
link are the sizes of the flows that were complete there, however short they were and late it is.
What a link carries now is the exact sum of the rates of its flows (two floats, each addition with
its rounding error), so nothing is left of flows that are gone.
"""

from __future__ import annotations

import math
from typing import Any

from sim.kernels.flow_meter_state import USES
from sim.kernels.flow_state import NONE
from sim.kernels.jit import kernel, rare

#: A link that lacks this share of its capacity is full: more than rates are wrong by, and less than
#: what could be carried is worth.
FULL = 1e-9
#: One that carries this share of its capacity carries nothing.
IDLE = 1e-12


@rare
def advance(s: Any, number: int, now_s: float) -> None:
    """Count what a link did until ``now_s``, at what it carries and its capacity of before."""
    m = s.meters.link[number]
    passed_s = now_s - m.last_s
    if not passed_s > 0.0:
        return
    m.last_s = now_s
    m.waiting_s += m.waiting * passed_s
    m.most_waiting = max(m.most_waiting, m.waiting)
    capacity = s.link[number].capacity
    if capacity == 0.0:
        m.down_s += passed_s
        return
    carried = m.carried + m.carried_low
    use = carried / capacity
    m.could_bytes += capacity * passed_s
    if use > m.peak_use:
        m.peak_use = min(use, 1.0)
    if carried > m.peak_bytes_per_s:
        m.peak_bytes_per_s = carried
    if use <= IDLE:
        part = 0
    elif use >= 1.0 - FULL:
        part = USES - 1
    else:
        part = min(1 + int(use * (USES - 2)), USES - 2)
    s.meters.use_s[number * USES + part] += passed_s
    if part > 0:
        m.slot_use_s += use * passed_s
        if use > m.slot_peak:
            m.slot_peak = min(use, 1.0)
        if part == USES - 1:
            m.slot_full_s += passed_s


@kernel
def carry(m: Any, rate: float) -> None:
    """Add a rate to what a link carries, without rounding."""
    before = m.carried
    total = before + rate
    part = total - before
    m.carried_low += (before - (total - part)) + (rate - part)
    m.carried = total


@kernel
def sent(s: Any, slot: int, now_s: float, left_bytes: float) -> float:
    """Bytes of a flow since this was asked last; its rate is that of before."""
    m = s.meters.flow[slot]
    if m.size_bytes == math.inf:
        amount = s.flow[slot].rate * (now_s - m.last_s)
    else:
        amount = m.left_bytes - left_bytes
    m.left_bytes = left_bytes
    m.last_s = now_s
    return amount


@rare
def begin(s: Any, slot: int, size_bytes: float, hops: int) -> None:
    """Start the meter of a flow over the first ``hops`` links of ``path``."""
    g = s.all[0]
    m = s.meters.flow[slot]
    m.start_s = g.now_s
    m.size_bytes = size_bytes
    m.left_bytes = size_bytes
    m.last_s = g.now_s
    m.bound = NONE
    for h in range(slot << g.shift, (slot + 1) << g.shift):
        s.meters.hop[h].bound_s = 0.0
        s.meters.hop[h].most = 0
    for h in range(hops):
        s.meters.link[s.path[h]].flows += 1


@kernel
def unbind(s: Any, slot: int, now_s: float) -> None:
    """Count the time that a flow had its bottleneck, until now."""
    g = s.all[0]
    m = s.meters.flow[slot]
    if m.bound == NONE:
        return
    hop = s.meters.hop[(slot << g.shift) + m.place]
    hop.bound_s += now_s - m.since_s
    if now_s > m.shared_s:
        hop.most = max(hop.most, m.sharing)
    if m.bound < g.links:
        advance(s, m.bound, now_s)
        s.meters.link[m.bound].waiting -= 1


@kernel
def rebind(s: Any, slot: int, now_s: float) -> None:
    """Take down a flow's bottleneck, and how many flows share it."""
    g = s.all[0]
    m = s.meters.flow[slot]
    bound = s.flow[slot].bound
    first = slot << g.shift
    if m.bound != bound:
        unbind(s, slot, now_s)
        h = 0
        while s.hop[first + h].link != bound:
            h += 1
        m.bound = bound
        m.place = h
        m.since_s = now_s
        if bound < g.links:
            advance(s, bound, now_s)
            s.meters.link[bound].waiting += 1
    elif now_s > m.shared_s:
        hop = s.meters.hop[first + m.place]
        hop.most = max(hop.most, m.sharing)
    m.sharing = s.link[bound].count
    m.shared_s = now_s


@rare
def before_commit(s: Any) -> None:
    """Take down new rates, which are those of the flows from ``now_s`` on."""
    g = s.all[0]
    now_s = g.now_s
    for i in range(g.touched):
        slot = s.touched[i]
        flow = s.flow[slot]
        rebind(s, slot, now_s)
        if flow.now == flow.rate:
            continue
        left = max(0.0, flow.left_bytes - flow.rate * (now_s - flow.last_s))
        amount = sent(s, slot, now_s, left)
        for h in range(slot << g.shift, (slot << g.shift) + flow.hops):
            number = s.hop[h].link
            if number < g.links:
                m = s.meters.link[number]
                if m.last_s < now_s:
                    advance(s, number, now_s)
                m.bytes += amount
                carry(m, -flow.rate)
                carry(m, flow.now)


@rare
def end(s: Any, slot: int, left_bytes: float) -> int:
    """Take down that a flow with its rate of now leaves its links: the hop that held it longest.

    NONE if it is on no link.
    """
    g = s.all[0]
    now_s = g.now_s
    flow = s.flow[slot]
    if flow.hops == 0:
        return NONE
    first = slot << g.shift
    unbind(s, slot, now_s)
    amount = sent(s, slot, now_s, left_bytes)
    longest = s.meters.flow[slot].place
    for h in range(flow.hops):
        number = s.hop[first + h].link
        if s.meters.hop[first + h].bound_s > s.meters.hop[first + longest].bound_s:
            longest = h
        if number < g.links:
            m = s.meters.link[number]
            if m.last_s < now_s:
                advance(s, number, now_s)
            m.bytes += amount
            carry(m, -flow.rate)
    held_by = s.hop[first + longest].link
    if held_by < g.links:
        s.meters.link[held_by].held += 1
    return longest


@rare
def tell(s: Any, slot: int, finish_s: float) -> None:
    """Write the story of a flow that is complete, beside ``done``."""
    g = s.all[0]
    flow = s.flow[slot]
    m = s.meters.flow[slot]
    story = s.meters.story[g.done]
    longest = end(s, slot, 0.0)
    story.id = flow.id
    story.finish_s = finish_s
    story.start_s = m.start_s
    story.size_bytes = m.size_bytes
    story.alone_bytes_per_s = math.inf
    story.bottleneck = NONE
    story.bottleneck_s = 0.0
    story.flows_shared = 1
    first = slot << g.shift
    for h in range(flow.hops):
        capacity = s.link[s.hop[first + h].link].capacity
        story.alone_bytes_per_s = min(story.alone_bytes_per_s, capacity)
    if longest != NONE:
        number = s.hop[first + longest].link
        if number < g.links:
            story.bottleneck = number
        story.bottleneck_s = s.meters.hop[first + longest].bound_s
        story.flows_shared = max(1, s.meters.hop[first + longest].most)


@rare
def count_until(s: Any, now_s: float) -> None:
    """Count what all links and flows did until ``now_s``; nothing changes between."""
    g = s.all[0]
    for i in range(1, g.heap + 1):
        slot = s.heap[i].slot
        flow = s.flow[slot]
        if flow.hops == 0:
            continue
        left = max(0.0, flow.left_bytes - flow.rate * (now_s - flow.last_s))
        amount = sent(s, slot, now_s, left)
        for h in range(slot << g.shift, (slot << g.shift) + flow.hops):
            if s.hop[h].link < g.links:
                s.meters.link[s.hop[h].link].bytes += amount
    for number in range(g.links):
        m = s.meters.link[number]
        if m.flows > 0 or m.down_s > 0.0 or s.link[number].capacity == 0.0:
            advance(s, number, now_s)


@rare
def count_slots(s: Any, now_s: float) -> None:
    """Count what links that carried something did until ``now_s``, for their slot of time."""
    for number in range(s.all[0].links):
        m = s.meters.link[number]
        if m.carried > 0.0 or m.slot_peak > 0.0:
            advance(s, number, now_s)


@rare
def forget_links(s: Any, now_s: float) -> None:
    """Set the meters of links to 0; all is counted until ``now_s``."""
    g = s.all[0]
    for number in range(g.links):
        m = s.meters.link[number]
        if m.could_bytes > 0.0:
            for part in range(number * USES, (number + 1) * USES):
                s.meters.use_s[part] = 0.0
        m.last_s = now_s
        m.bytes = 0.0
        m.could_bytes = 0.0
        m.down_s = 0.0
        m.peak_use = 0.0
        m.peak_bytes_per_s = 0.0
        m.waiting_s = 0.0
        m.flows = s.link[number].count
        m.held = 0
        m.most_waiting = 0
