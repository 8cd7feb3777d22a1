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
#: Part of a worth that rounding may add to a gain.
_ROUNDING = 1e-9

#: A state whose value is known; ``total`` has the price of ``epoch``, the refreshes so far plus 1.
SLOT = np.dtype(
    [("key", np.uint64), ("value", np.float64), ("total", np.float64), ("epoch", np.int64)],
    align=True,
)


#: A gain whose grade is known: the key is of the state, the shape of the pod and the epoch.
GRADED = np.dtype([("key", np.uint64), ("grade", np.float64)], align=True)


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


def pair(high: int, low: int) -> np.uint64:
    """A hash of two numbers that are not negative, the second below 2**44."""
    return mixed(_NONE, np.uint64(high << 44 | low))


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


def slot_of(key: np.uint64, state: Any, known: Any) -> int:
    """Where in the table the state under ``key`` is, valued now if it was not yet.

    A full table is emptied.
    """
    theirs, table, _, scratch, _, _ = known
    last = np.uint64(len(table) - 1)
    place = key & last
    for _probe in range(_PROBES):
        if table[place].key == key:
            return np.int64(place)  # type: ignore[return-value]
        if table[place].key == _NONE:
            break
        place = (place + np.uint64(1)) & last
    else:
        for other in range(len(table)):
            table[other].key = _NONE
    copy_sorted(state, scratch[1])
    slot = table[place]
    slot.key, slot.epoch = key, 0
    slot.value = value(scratch[1], theirs)
    return np.int64(place)  # type: ignore[return-value]


def worth(slot: Any, state: Any, known: Any, priced: bool) -> float:
    """What a valued state is worth, with its price (kept for an epoch) or without."""
    if not priced:
        return slot.value
    theirs, _, epochs, scratch, _, _ = known
    if slot.epoch != epochs[0]:
        copy_sorted(state, scratch[1])
        slot.total = slot.value + price(scratch[1], theirs)
        slot.epoch = epochs[0]
    return slot.total


def score_by_value(node: Any, pod: Any, known: Any) -> Choice:
    """The grade of what a pod gains on a node; a part of a GPU, on the GPU where it gains most."""
    return gain_by_value(node, pod, known, True)


def rate_by_value(node: Any, pod: Any, known: Any) -> float:
    """The score alone."""
    return kept_grade(node, pod, known, True)


def most_by_value(node: Any, pod: Any, known: Any) -> float:
    """No less than the score, whatever prices are: a price never rises when a pod comes."""
    return kept_grade(node, pod, known, False)


def kept_grade(node: Any, pod: Any, known: Any, priced: bool) -> float:
    """The grade of ``gain_by_value``, found once for all nodes in the same state."""
    epochs, words, kept = known[2], known[4], known[5]
    # Of the epochs, the first counts all refreshes, the second those of values.
    when = 2 * epochs[0] if priced else 2 * epochs[1] + 1
    state = pair(node.type, node.cpu_left) + spread_of(node, words)
    key = mixed(pair(pod.shape_id, when), state)
    slot = kept[key & np.uint64(len(kept) - 1)]
    if slot.key != key:
        slot.grade, _ = gain_by_value(node, pod, known, priced)
        slot.key = key
    return slot.grade


def gain_by_value(node: Any, pod: Any, known: Any, priced: bool) -> Choice:
    """The best grade of a pod on a node and the GPU for it; prices are left out if not ``priced``.

    Without prices the grade is that of a slightly larger gain, so that rounding cannot make it
    less than the grade with them.
    """
    table, words, after = known[1], known[4], known[3][0]
    spread = spread_of(node, words)
    key = pair(node.type, node.cpu_left) + spread
    base = worth(table[slot_of(key, node, known)], node, known, priced)
    if not priced:
        base -= _ROUNDING * (1.0 + abs(base))
    head = pair(node.type, node.cpu_left - pod.cpu)
    copy_sorted(node, after)
    if pod.kind != SHARED:
        take(after, pod, -1)
        slot = table[slot_of(head + spread_of(after, words), after, known)]
        return grade(worth(slot, after, known, priced) - base, known[0]), -1
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
        slot = table[slot_of(key, after, known)]
        found = grade(worth(slot, after, known, priced) - base, known[0])
        after.gpu_left[gpu] = left
        place = 0
        while node.gpu_left[place] != left:
            place += 1
        if found > best or (found == best and place < chosen):
            best, chosen = found, place
    return best, chosen
