"""Flows the simple way: every rate from nothing at every event, by progressive filling.

The specification of ``sim.kernels.flow_sweep``, and a judge of any rates: ``worst_violation``.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sim.kernels.flow_events import TOGETHER
from sim.kernels.flow_state import Floats, Ints
from sim.kernels.flow_sweep import TIE
from sim.kernels.jit import entry, rare


@rare
def fill_all(
    active: Ints,
    n: int,
    link_ptr: Ints,
    link_idx: Ints,
    capacity: Floats,
    work: Floats,
    rates: Floats,
) -> None:
    """Max-min fair rates of the flows ``active[:n]``: one level rises, full links freeze flows.

    ``work`` [3, links]: what is left of each link, its flows that still rise, links in use.
    """
    left, rising, used = work[0], work[1], work[2]
    links = 0
    for i in range(n):
        flow = active[i]
        rates[flow] = -1.0
        for k in range(link_ptr[flow], link_ptr[flow + 1]):
            if rising[link_idx[k]] == 0.0:
                left[link_idx[k]] = capacity[link_idx[k]]
                used[links] = link_idx[k]
                links += 1
            rising[link_idx[k]] += 1.0
    while True:
        level, kept = math.inf, 0
        for i in range(links):
            link = int(used[i])
            if rising[link] > 0.0:
                level = min(level, left[link] / rising[link])
                used[kept] = link
                kept += 1
        links = kept
        if links == 0:
            return
        for i in range(links):
            link = int(used[i])
            if rising[link] > 0.0 and left[link] / rising[link] <= level * (1.0 + TIE):
                rising[link] = -rising[link]  # full
        for i in range(n):
            freeze(active[i], max(level, 0.0), link_ptr, link_idx, left, rising, rates)


@rare
def freeze(
    flow: int, level: float, link_ptr: Ints, link_idx: Ints, left: Floats, rising: Floats,
    rates: Floats,
) -> None:  # fmt: skip
    """Fix a flow at ``level`` if it still rises and crosses a link that is full."""
    if rates[flow] >= 0.0:
        return
    full = False
    for k in range(link_ptr[flow], link_ptr[flow + 1]):
        full |= rising[link_idx[k]] < 0.0
    if full:
        rates[flow] = level
        for k in range(link_ptr[flow], link_ptr[flow + 1]):
            left[link_idx[k]] -= level
            rising[link_idx[k]] -= math.copysign(1.0, rising[link_idx[k]])


@entry
def run_simply(
    order: Ints,
    start_s: Floats,
    size_bytes: Floats,
    link_ptr: Ints,
    link_idx: Ints,
    capacity: Floats,
    work: Floats,
    flows: Floats,
    active: Ints,
    finish_s: Floats,
) -> int:
    """What ``flow_events.run`` does. ``flows`` [3, n]: rates, bytes left, completion times."""
    rates, left, due = flows[0], flows[1], flows[2]
    arrived, n, completed = 0, 0, 0
    now_s = 0.0
    while arrived < len(order) or n > 0:
        first = start_s[order[arrived]] if arrived < len(order) else math.inf
        next_s = math.inf
        for i in range(n):
            next_s = min(next_s, due[active[i]])
        if next_s == math.inf and first == math.inf:
            break
        last_s, now_s = now_s, min(first, next_s)
        together_s = min(first, now_s + TOGETHER * abs(now_s))
        kept = 0
        for i in range(n):
            flow = active[i]
            if due[flow] <= together_s:
                finish_s[flow] = due[flow]
                completed += 1
            else:
                left[flow] = max(0.0, left[flow] - rates[flow] * (now_s - last_s))
                active[kept] = flow
                kept += 1
        n = kept
        while arrived < len(order) and start_s[order[arrived]] <= now_s:
            active[n] = order[arrived]
            left[order[arrived]] = size_bytes[order[arrived]]
            arrived += 1
            n += 1
        fill_all(active, n, link_ptr, link_idx, capacity, work, rates)
        for i in range(n):
            flow = active[i]
            due[flow] = now_s + left[flow] / rates[flow] if rates[flow] > 0.0 else math.inf
    return completed


def complete_simply(
    order: Ints, start_s: Floats, size_bytes: Floats, link_ptr: Ints, link_idx: Ints,
    capacity: Floats, finish_s: Floats,
) -> int:  # fmt: skip
    """``run_simply`` with room to work in."""
    n: Any = len(start_s)
    return run_simply(
        order, start_s, size_bytes, link_ptr, link_idx, capacity,
        np.zeros((3, len(capacity))), np.zeros((3, n)), np.zeros(n, np.int64), finish_s,
    )  # fmt: skip


@entry
def worst_violation(
    rates: Floats, link_ptr: Ints, link_idx: Ints, capacity: Floats, work: Floats
) -> float:
    """How far rates are from max-min fair, as a share: 0 if the certificate holds exactly.

    The certificate: no link carries more than its capacity, and every flow has a bottleneck, a link
    that is full and on which nobody is faster. Only max-min fair rates have one. Every flow has
    links. ``work`` [2, links] is written.
    """
    load, fastest = work[0], work[1]
    load[:] = 0.0
    fastest[:] = 0.0
    for flow in range(len(rates)):
        for k in range(link_ptr[flow], link_ptr[flow + 1]):
            load[link_idx[k]] += rates[flow]
            fastest[link_idx[k]] = max(fastest[link_idx[k]], rates[flow])
    worst = 0.0
    for link in range(len(capacity)):
        if load[link] > capacity[link]:
            over = load[link] - capacity[link]
            worst = max(worst, over / capacity[link] if capacity[link] > 0.0 else math.inf)
    for flow in range(len(rates)):
        nearest = math.inf
        for k in range(link_ptr[flow], link_ptr[flow + 1]):
            link = link_idx[k]
            if capacity[link] == 0.0:
                off = 0.0
            else:
                room = (capacity[link] - load[link]) / capacity[link]
                faster = (fastest[link] - rates[flow]) / capacity[link]
                off = max(room, faster)
            nearest = min(nearest, off)
        worst = max(worst, nearest)
    return worst
