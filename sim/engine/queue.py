"""The waiting queue of a replica, by priority; in each class those preempted, then by arrival."""

from __future__ import annotations

from bisect import bisect_left, insort

from sim.engine.request import Request


class WaitingQueue:
    """Requests by key; a preempted one returns to the front of its class, as in vLLM.

    That is the place of its arrival too, unless others overtook it on the way from another pool.
    """

    __slots__ = ("_arrivals", "_items", "_returns")

    def __init__(self) -> None:
        self._items: list[tuple[tuple[int, int], Request]] = []
        self._arrivals = self._returns = 0

    def __len__(self) -> int:
        return len(self._items)

    def add(self, request: Request) -> None:
        """A new arrival: last of its class."""
        request.key = (request.priority, self._arrivals)
        self._arrivals += 1
        self._insert(request)

    def put_back(self, request: Request) -> None:
        """A preempted request: first of its class."""
        self._returns -= 1
        request.key = (request.priority, self._returns)
        self._insert(request)

    def _insert(self, request: Request) -> None:
        request.waiting = True
        # Keys are unique within a queue, so requests themselves are never compared.
        insort(self._items, (request.key, request))

    def head(self) -> Request:
        """The request that is admitted next."""
        return self._items[0][1]

    def pop(self) -> Request:
        """Take the head out."""
        request = self._items.pop(0)[1]
        request.waiting = False
        return request

    def remove(self, request: Request) -> None:
        """Take ``request`` out, wherever it stands."""
        place = bisect_left(self._items, (request.key,))
        if self._items[place][1] is not request:
            raise AssertionError("the queue holds another request under this key")
        del self._items[place]
        request.waiting = False

    def oldest_to_shed(self, priority: int) -> Request | None:
        """The oldest never admitted request of the least urgent class, not above ``priority``."""
        candidates = [r for _, r in self._items if not r.admitted and r.priority >= priority]
        return max(candidates, key=lambda r: (r.priority, -r.key[1]), default=None)
