"""Doubly linked lists of requests: a replica's running list, and its queue by class of priority.

A request is in one list at a time, so one pair of links serves both. The running list is in order
of admission: its tail is whom a preemption takes. A preempted request is always the first of its
class again, because nobody of its class who came later was admitted before it.
"""

from __future__ import annotations

from sim.kernels.jit import kernel
from sim.kernels.layout import NONE, PRIORITIES, WAITING
from sim.kernels.state import State


@kernel
def run_append(s: State, r: int, slot: int) -> None:
    """The last admitted."""
    replica, request = s.replica[r], s.request[slot]
    request.previous = replica.tail
    request.next = NONE
    if replica.tail == NONE:
        replica.head = slot
    else:
        s.request[replica.tail].next = slot
    replica.tail = slot
    replica.running += 1


@kernel
def run_insert(s: State, r: int, slot: int) -> None:
    """The last admitted, but before a sequence that is partially prefilled."""
    replica, request = s.replica[r], s.request[slot]
    after = replica.part
    if after == NONE:
        run_append(s, r, slot)
        return
    before = s.request[after].previous
    request.previous = before
    request.next = after
    s.request[after].previous = slot
    if before == NONE:
        replica.head = slot
    else:
        s.request[before].next = slot
    replica.running += 1


@kernel
def run_remove(s: State, r: int, slot: int) -> None:
    """Take a running sequence out."""
    replica, request = s.replica[r], s.request[slot]
    if request.previous == NONE:
        replica.head = request.next
    else:
        s.request[request.previous].next = request.next
    if request.next == NONE:
        replica.tail = request.previous
    else:
        s.request[request.next].previous = request.previous
    replica.running -= 1


@kernel
def queue_append(s: State, r: int, slot: int) -> None:
    """A new arrival: last of its class."""
    replica, request = s.replica[r], s.request[slot]
    queue = s.queue[r, request.priority]
    request.state = WAITING
    request.next = NONE
    request.previous = NONE
    if (replica.classes >> request.priority) & 1:
        request.previous = queue.tail
        s.request[queue.tail].next = slot
    else:
        queue.head = slot
        replica.classes |= 1 << request.priority
    queue.tail = slot
    replica.waiting += 1


@kernel
def queue_push_front(s: State, r: int, slot: int) -> None:
    """A preempted request: first of its class."""
    replica, request = s.replica[r], s.request[slot]
    queue = s.queue[r, request.priority]
    request.state = WAITING
    request.previous = NONE
    request.next = NONE
    if (replica.classes >> request.priority) & 1:
        request.next = queue.head
        s.request[queue.head].previous = slot
    else:
        queue.tail = slot
        replica.classes |= 1 << request.priority
    queue.head = slot
    replica.waiting += 1


@kernel
def queue_remove(s: State, r: int, slot: int) -> None:
    """Take a waiting request out, wherever it stands."""
    replica, request = s.replica[r], s.request[slot]
    queue = s.queue[r, request.priority]
    if request.previous == NONE:
        queue.head = request.next
    else:
        s.request[request.previous].next = request.next
    if request.next == NONE:
        queue.tail = request.previous
    else:
        s.request[request.next].previous = request.previous
    if queue.head == NONE:
        replica.classes &= ~(1 << request.priority) & 0xFF
    replica.waiting -= 1


@kernel
def queue_head(s: State, r: int) -> int:
    """Who is admitted next; somebody waits."""
    classes = s.replica[r].classes
    priority = 0
    while not (classes >> priority) & 1:
        priority += 1
    return s.queue[r, priority].head


@kernel
def oldest_to_shed(s: State, r: int, priority: int) -> int:
    """The oldest never admitted request of the least urgent class, not above ``priority``."""
    classes = s.replica[r].classes
    for urgency in range(PRIORITIES - 1, priority - 1, -1):
        if (classes >> urgency) & 1:
            slot = s.queue[r, urgency].head
            while slot != NONE:
                # NaN = never admitted, the only value that differs from itself.
                if s.request[slot].admitted_s != s.request[slot].admitted_s:
                    return slot
                slot = s.request[slot].next
    return NONE


@kernel
def lane_append(s: State, r: int, which: int, slot: int) -> None:
    """The last of those that are parting, or coming in."""
    lane, request = s.lane[r, which], s.request[slot]
    request.previous = lane.tail
    request.next = NONE
    if lane.tail == NONE:
        lane.head = slot
    else:
        s.request[lane.tail].next = slot
    lane.tail = slot


@kernel
def lane_remove(s: State, r: int, which: int, slot: int) -> None:
    """Take a sequence out of its lane, wherever it stands."""
    lane, request = s.lane[r, which], s.request[slot]
    if request.previous == NONE:
        lane.head = request.next
    else:
        s.request[request.previous].next = request.next
    if request.next == NONE:
        lane.tail = request.previous
    else:
        s.request[request.next].previous = request.previous
