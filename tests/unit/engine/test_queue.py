"""The waiting queue: priority, preempted ones first, then the order of arrival."""

from __future__ import annotations

from sim.engine.queue import WaitingQueue
from sim.engine.request import Request


def request(identity: int, priority: int = 1) -> Request:
    """A request that differs from others by its id."""
    return Request(identity, 0, identity, 0, priority, 0.0, 16, 4)


def order(queue: WaitingQueue) -> list[int]:
    """Empty a queue: ids in the order of admission."""
    found = []
    while queue:
        found.append(queue.pop().identity)
    return found


def test_classes_by_priority_then_by_arrival() -> None:
    queue = WaitingQueue()
    for one in (request(1), request(2, 0), request(3), request(4, 2), request(5, 0)):
        queue.add(one)
    assert order(queue) == [2, 5, 1, 3, 4]


def test_preempted_requests_are_prepended_whatever_their_arrival() -> None:
    """vLLM prepends whom it preempts.

    Where KV comes from another pool a later arrival may have overtaken an earlier one; the last
    preempted is first all the same, in both engines.
    """
    queue = WaitingQueue()
    early, late, third, urgent = request(1), request(2), request(3), request(4, 0)
    for one in (early, late, third, urgent):
        queue.add(one)
    for one in (early, late):
        queue.remove(one)
    queue.put_back(early)
    queue.put_back(late)
    assert order(queue) == [4, 2, 1, 3]
