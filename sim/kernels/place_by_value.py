"""Scores of a policy that values what is left on a node: the gain of putting a pod there.

``value`` and ``grade`` stand for a policy's functions. A value depends on the node's type, the CPU
left and what is left of each GPU, whichever GPU it is; so it is computed once for each such state,
for however many nodes are or would be in it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sim.kernels.keyed_bits import mixed
from sim.kernels.node_state import SHARED, WHOLE, Choice, take

_NONE = np.uint64(0)
_PROBES = 64

#: A state whose value is known; ``total`` has the price of ``epoch``, the refreshes so far plus 1.
SLOT = np.dtype(
    [("key", np.uint64), ("value", np.float64), ("total", np.float64), ("epoch", np.int64)],
    align=True,
)


def value(node: Any, known: Any) -> float:
    """Stands for a policy's: what is left on a node is worth this much."""
    raise NotImplementedError


def price(node: Any, known: Any) -> float:
    """Stands for a policy's: the part of the worth that ``refresh`` changes; not kept."""
    raise NotImplementedError


def grade(gain: float, known: Any) -> float:
    """Stands for a policy's: the score of a gain (after less before)."""
    raise NotImplementedError


def no_price(node: Any, known: Any) -> float:
    """A policy without one."""
    return 0.0


def no_grade(gain: float, known: Any) -> float:
    """A policy without one: the gain itself."""
    return gain


def spread_of(node: Any, words: Any) -> np.uint64:
    """The part of a state's key that stands for its GPUs, in whatever order they are."""
    total = _NONE
    for gpu in range(node.gpus):
        total += words[node.gpu_left[gpu]]
    return total


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


def worth(key: np.uint64, state: Any, known: Any) -> float:
    """Value and price of the state under ``key``: kept, or found now; a full table is emptied."""
    theirs, table, epochs, scratch, _, _ = known
    epoch, last = epochs[0], np.uint64(len(table) - 1)
    place = key & last
    for _probe in range(_PROBES):
        slot = table[place]
        if slot.key == key:
            if slot.epoch != epoch:
                copy_sorted(state, scratch[1])
                slot.total = slot.value + price(scratch[1], theirs)
                slot.epoch = epoch
            return slot.total
        if slot.key == _NONE:
            break
        place = (place + np.uint64(1)) & last
    else:
        for other in range(len(table)):
            table[other].key = _NONE
    copy_sorted(state, scratch[1])
    slot = table[place]
    slot.key = key
    slot.value = value(scratch[1], theirs)
    slot.total = slot.value + price(scratch[1], theirs)
    slot.epoch = epoch
    return slot.total


def score_by_value(node: Any, pod: Any, known: Any) -> Choice:
    """The grade of what a pod gains on a node; a part of a GPU, on the GPU where it gains most."""
    words, after = known[4], known[3][0]
    typed = np.uint64(node.type)
    spread = spread_of(node, words)
    kept = known[5][node.index]  # the node's own state, which many shapes are tried on
    key = mixed(typed, np.uint64(node.cpu_left)) + spread
    if kept.key != key or kept.epoch != known[2][0]:
        kept.total = worth(key, node, known)
        kept.key, kept.epoch = key, known[2][0]
    base = kept.total
    head = mixed(typed, np.uint64(node.cpu_left - pod.cpu))
    if pod.kind != SHARED:
        copy_sorted(node, after)
        take(after, pod, -1)
        gain = worth(head + spread_of(after, words), after, known) - base
        return grade(gain, known[0]), -1
    copy_sorted(node, after)
    after.cpu_left -= pod.cpu
    after.left -= pod.gpu_milli
    best, chosen = -np.inf, -1
    for gpu in range(node.gpus):  # of equal GPUs the last in descending order, then tighter ones
        left = after.gpu_left[gpu]
        if left < pod.gpu_milli:
            break
        if gpu + 1 < node.gpus and after.gpu_left[gpu + 1] == left:
            continue
        after.gpu_left[gpu] = left - pod.gpu_milli
        after.free = node.free - (left == WHOLE)
        key = head + spread - words[left] + words[left - pod.gpu_milli]
        found = grade(worth(key, after, known) - base, known[0])
        after.gpu_left[gpu] = left
        place = 0
        while node.gpu_left[place] != left:
            place += 1
        if found > best or (found == best and place < chosen):
            best, chosen = found, place
    return best, chosen


def mark_priced(nodes: Any, known: Any, priced: Any, changed: Any, stamp: int) -> None:
    """After a change of prices: nodes whose scores it may change count as changed.

    A pod takes from a node, so where nothing has a price, nothing has one afterwards; what had none
    before either keeps its scores. ``priced`` [N] remembers which had one.
    """
    theirs, state = known[0], known[3][0]
    for n in range(len(nodes)):
        copy_sorted(nodes[n], state)
        now = price(state, theirs) != 0.0
        if now or priced[n]:
            changed[n] = stamp
        priced[n] = now
