"""The best node without scoring all: for policies whose prices change often.

A refresh of prices makes every score out of date, but not what a pod gains without prices, and a
price can only take from that (``most_by_value``). So those bounds are kept, and only nodes whose
bound is no less than the best score found are scored anew.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sim.kernels.node_state import NEVER, fits
from sim.kernels.place_by_value import most_by_value, rate_by_value
from sim.kernels.placing import best_of


def rebound(nodes: Any, pod: Any, known: Any, cached: Any) -> int:
    """Bring a shape's bounds up to date; the node whose bound is no finite number, or -1."""
    scores, evaluated, changed, allowed, bounds, epochs = cached
    shape = pod.shape_id
    seen = evaluated[shape]
    for n in range(len(nodes)):
        if changed[n] > seen:
            node = nodes[n]
            most = NEVER
            if allowed[shape, node.type] and fits(node, pod):
                most = most_by_value(node, pod, known)
                if not abs(most) < np.inf:
                    return n
            scores[shape, n], bounds[shape, n], epochs[shape, n] = most, most, 0
    evaluated[shape] = pod.arrival
    return -1


def choose_by_bound(
    nodes: Any, pod: Any, rank: Any, known: Any, cached: Any, always: bool, work: Any
) -> tuple[int, bool]:
    """As ``placing.choose_by_score``, and with its result; it scores fewer nodes."""
    bad = rebound(nodes, pod, known, cached)
    if bad >= 0:
        return bad, False
    scores, _, _, _, bounds, epochs = cached
    shape, epoch, barred = pod.shape_id, known[2][0], work[1]
    first = best_of(scores[shape], rank, barred)  # the best of old scores is a good first guess
    if first < 0:
        return -1, True
    best, largest, least = -1, NEVER, 0
    for i in range(-1, len(nodes)):
        n = i if i >= 0 else first
        most = bounds[shape, n]
        if barred[n] or most < largest or (most == largest and rank[n] >= least):
            continue
        if epochs[shape, n] != epoch:
            found = rate_by_value(nodes[n], pod, known)
            if not abs(found) < np.inf:
                return n, False
            scores[shape, n], epochs[shape, n] = found, epoch
        value = scores[shape, n]
        if value > largest or (value == largest and rank[n] < least):
            best, largest, least = n, value, rank[n]
    return best, True
