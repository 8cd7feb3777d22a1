"""Scores of a policy that values what is left on a node: the gain of putting a pod there.

``value`` and ``grade`` stand for a policy's functions. A value depends on the node's type, the CPU
left and what is left of each GPU, whichever GPU it is; so it is computed once for each such state,
for however many nodes are or would be in it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sim.kernels.keyed_bits import mixed
from sim.kernels.node_state import SHARED, Choice, take

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_NONE = np.uint64(0)


def value(node: Any, known: Any) -> float:
    """Stands for a policy's: what is left on a node is worth this much."""
    raise NotImplementedError


def price(node: Any, known: Any) -> float:
    """Stands for a policy's: the part of the worth that ``refresh`` changes; not kept."""
    raise NotImplementedError


def grade(gain: float) -> float:
    """Stands for a policy's: the score of a gain (after less before)."""
    raise NotImplementedError


def no_price(node: Any, known: Any) -> float:
    """A policy without one."""
    return 0.0


def no_grade(gain: float) -> float:
    """A policy without one: the gain itself."""
    return gain


def kept_value(node: Any, known: Any, keys: Any, values: Any) -> float:
    """``value`` of a state, from the table if it is there; a full table is emptied."""
    key = mixed(np.uint64(node.type), np.uint64(node.cpu_left))
    for gpu in range(node.gpus):
        key = mixed(key, np.uint64(node.gpu_left[gpu]))
    if key == _NONE:
        key = _GOLDEN
    last = np.uint64(len(keys) - 1)
    place = key & last
    for _ in range(64):
        if keys[place] == key:
            return values[place]
        if keys[place] == _NONE:
            break
        place = (place + np.uint64(1)) & last
    else:
        keys[:] = _NONE
    found = value(node, known)
    keys[place] = key
    values[place] = found
    return found


def copy_sorted(node: Any, to: Any) -> None:
    """The state of a node, its GPUs in descending order of what is left of them."""
    to.index, to.type, to.cpu_left, to.mem_left = (
        node.index, node.type, node.cpu_left, node.mem_left,
    )  # fmt: skip
    to.gpus, to.left, to.free, to.pods = node.gpus, node.left, node.free, node.pods
    for gpu in range(node.gpus):
        left = node.gpu_left[gpu]
        place = gpu
        while place > 0 and to.gpu_left[place - 1] < left:
            to.gpu_left[place] = to.gpu_left[place - 1]
            place -= 1
        to.gpu_left[place] = left


def score_by_value(node: Any, pod: Any, known: Any) -> Choice:
    """The grade of what a pod gains on a node; a part of a GPU, on the GPU where it gains most."""
    theirs, keys, values, scratch = known
    before, taken, after = scratch[0], scratch[1], scratch[2]
    copy_sorted(node, before)
    base = kept_value(before, theirs, keys, values) + price(before, theirs)
    best, chosen = -np.inf, -1
    if pod.kind != SHARED:
        copy_sorted(node, taken)
        take(taken, pod, -1)
        copy_sorted(taken, after)
        return grade(kept_value(after, theirs, keys, values) + price(after, theirs) - base), -1
    for gpu in range(node.gpus):
        left = node.gpu_left[gpu]
        seen = left < pod.gpu_milli
        for other in range(gpu):
            seen = seen or node.gpu_left[other] == left
        if seen:
            continue
        copy_sorted(node, taken)
        for place in range(node.gpus):
            if taken.gpu_left[place] == left:
                take(taken, pod, place)
                break
        copy_sorted(taken, after)
        found = grade(kept_value(after, theirs, keys, values) + price(after, theirs) - base)
        if found > best:
            best, chosen = found, gpu
    return best, chosen
