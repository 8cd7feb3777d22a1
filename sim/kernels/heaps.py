"""Binary heaps in rows of arrays: steps to come of one replica, and events to come of all.

A *step heap* is a row of integers ``[size, key₁, key₂, …]`` with key = step << SLOT_BITS | slot.
An *event heap* is a row of ``ALARM`` records whose size its owner keeps; (t, order) ascends.
"""

from __future__ import annotations

from sim.kernels.jit import kernel
from sim.kernels.layout import FAR, SLOT_BITS, SLOT_MASK
from sim.kernels.state import Ints, Record, Records


@kernel
def step_push(heap: Ints, row: int, step: int, slot: int) -> None:
    """Add ``slot`` at ``step``."""
    heap[row, 0] += 1
    step_rise(heap, row, heap[row, 0], (step << SLOT_BITS) | slot)


@kernel
def step_rise(heap: Ints, row: int, hole: int, key: int) -> None:
    """Put ``key`` into the hole or where it belongs above."""
    while hole > 1 and heap[row, hole >> 1] > key:
        heap[row, hole] = heap[row, hole >> 1]
        hole >>= 1
    heap[row, hole] = key


@kernel
def step_fill(heap: Ints, row: int, hole: int, key: int) -> None:
    """Put ``key``, which was the last of all, where it belongs now that there is a hole.

    It belongs far below nearly always, so the hole goes down to the end without asking for the
    key, and what nobody can predict, which child comes first, is no branch.
    """
    size = heap[row, 0]
    child = 2 * hole
    while child <= size:
        left, right = heap[row, child], heap[row, child + 1]
        second = (child < size) & (right < left)
        child += int(second)
        heap[row, hole] = right if second else left
        hole = child
        child = 2 * hole
    step_rise(heap, row, hole, key)


@kernel
def first_step(heap: Ints, row: int) -> int:
    """The smallest step, ``FAR`` if there is none."""
    return heap[row, 1] >> SLOT_BITS if heap[row, 0] > 0 else FAR


@kernel
def first_slot(heap: Ints, row: int) -> int:
    """The slot with the smallest step, any slot if there is none."""
    return heap[row, 1] & SLOT_MASK


@kernel
def step_pop(heap: Ints, row: int) -> int:
    """Take the slot with the smallest step out."""
    slot = first_slot(heap, row)
    last = heap[row, heap[row, 0]]
    heap[row, 0] -= 1
    if heap[row, 0] > 0:
        step_fill(heap, row, 1, last)
    return slot


@kernel
def step_remove(heap: Ints, row: int, slot: int) -> None:
    """Take ``slot`` out, wherever it is: a search over at most ``max_sequences`` keys."""
    place = 1
    while heap[row, place] & SLOT_MASK != slot:
        place += 1
    last = heap[row, heap[row, 0]]
    heap[row, 0] -= 1
    if place <= heap[row, 0]:
        step_fill(heap, row, place, last)


@kernel
def earlier(one: Record, t: float, order: int) -> bool:
    """Whether ``one`` is before (t, order)."""
    return one.t_s < t or (one.t_s == t and one.order < order)


@kernel
def place_event(heap: Records, row: int, place: int, t: float, order: int, slot: int) -> None:
    """Write an entry."""
    entry = heap[row, place]
    entry.t_s = t
    entry.order = order
    entry.slot = slot


@kernel
def copy_event(heap: Records, row: int, to: int, place: int) -> None:
    """Copy the entry at ``place``."""
    entry = heap[row, place]
    place_event(heap, row, to, entry.t_s, entry.order, entry.slot)


@kernel
def event_push(heap: Records, row: int, size: int, t: float, order: int, slot: int) -> None:
    """Add an entry to a heap of ``size`` entries, which start at place 1."""
    place = size + 1
    while place > 1 and not earlier(heap[row, place >> 1], t, order):
        copy_event(heap, row, place, place >> 1)
        place >>= 1
    place_event(heap, row, place, t, order, slot)


@kernel
def event_pop(heap: Records, row: int, size: int) -> None:
    """Take the first of ``size`` entries out."""
    last = heap[row, size]
    t, order, slot = last.t_s, last.order, last.slot
    size -= 1
    place = 1
    while 2 * place <= size:
        child = 2 * place
        other = heap[row, child + 1]
        if child < size and earlier(other, heap[row, child].t_s, heap[row, child].order):
            child += 1
        if not earlier(heap[row, child], t, order):
            break
        copy_event(heap, row, place, child)
        place = child
    place_event(heap, row, place, t, order, slot)
