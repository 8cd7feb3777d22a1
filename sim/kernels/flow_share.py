"""What a flow would get of its path if it asked for more: a standing flow while it sends."""

from __future__ import annotations

import math
from typing import Any

from sim.kernels.flow_events import NO_SLOT, settle, slot_of
from sim.kernels.flow_state import NONE, Ints, flows_of
from sim.kernels.jit import entry, kernel


@entry
def share_of(table: Ints, number: int) -> float:
    """What a flow would get without its cap, if no other were faster than it is now; or a code."""
    s = flows_of(table)
    slot = slot_of(s, number)
    if slot == NONE:
        return NO_SLOT
    settle(s)
    g = s.all[0]
    share = math.inf
    for h in range(s.flow[slot].hops):
        link = s.hop[(slot << g.shift) + h].link
        if link < g.links:
            share = min(share, fair_level(s, link, slot))
    return share


@kernel
def fair_level(s: Any, number: int, slot: int) -> float:
    """The rate w of one flow on a link: w + Σ min(rate, w) over the others = its capacity.

    The left side is concave in w, so Newton's steps from below reach it without passing it.
    """
    g, link = s.all[0], s.link[number]
    w = link.capacity / max(link.count, 1)
    while True:
        slower, faster = 0.0, 1
        for i in range(link.start, link.start + link.count):
            other = s.member[i] >> g.shift
            if other != slot:
                rate = s.flow[other].rate
                if rate > w:
                    faster += 1
                else:
                    slower += rate
        next_w = (link.capacity - slower) / faster
        if next_w <= w * (1.0 + 1e-12):
            return w
        w = next_w
