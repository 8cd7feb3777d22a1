"""Requests of the reference engine on their way from their senders to their pools."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

from simpy.events import Event

from sim.engine.arrivals import Feed, Row
from sim.engine.environment import ARRIVAL, OrderedEnvironment
from sim.engine.request import Request
from sim.engine.world import ROW_BITS
from sim.workload.plan import UserPath


class Senders:
    """The part of the reference plane in which requests are sent and pass their path."""

    env: OrderedEnvironment
    feeds: Sequence[Feed]  # by workload, as the next two
    paths: Sequence[UserPath]
    pool_of: Sequence[int]
    live: dict[int, Request]
    #: By id: rows whose request has not reached its pool, and when it is sent. Of the rows that
    #: follow no other only the next one of each workload.
    coming: dict[int, tuple[Row, float]]

    _enter: Callable[[Request, float], None]  # a request reaches its pool

    def _schedule_next(self, workload: int) -> None:
        row = self.feeds[workload].next_open()
        if row is not None:
            self._schedule(workload, row, row.arrival_s)

    def _schedule(self, workload: int, row: Row, sent_s: float) -> None:
        """A request is sent at ``sent_s`` and reaches its pool when it has passed its path."""
        identity = (workload << ROW_BITS) | row.number
        self.coming[identity] = (row, sent_s)
        event = self.env.at(sent_s + self.paths[workload].ingress_s, ARRIVAL, identity)
        event.callbacks = [partial(self._on_arrival, workload, row)]

    def _on_arrival(self, workload: int, row: Row, _: Event) -> None:
        sent_s = self.coming.pop((workload << ROW_BITS) | row.number)[1]
        if not math.isnan(row.arrival_s):
            self._schedule_next(workload)
        self._enter(self._take(workload, row, sent_s), self.env.now)

    def _take(self, workload: int, row: Row, sent_s: float) -> Request:
        """The request of a row, which is live from now on."""
        request = Request(
            identity=(workload << ROW_BITS) | row.number,
            workload=workload,
            row=row.number,
            pool=self.pool_of[workload],
            priority=row.priority,
            arrival_s=sent_s,
            input_tokens=row.input_tokens,
            output_tokens=row.output_tokens,
            prefix_block_tokens=row.prefix_block_tokens,
            prefix_ids=row.prefix_ids,
            session=row.session,
        )
        request.cancel_s = sent_s + row.cancel_after_s
        self.live[request.identity] = request
        return request

    def take_senders(self, time_s: float) -> None:
        """The run ends: what was sent before ``time_s`` and has not reached its pool is live."""
        for identity, (row, sent_s) in self.coming.items():
            workload = identity >> ROW_BITS
            while sent_s < time_s:
                self._take(workload, row, sent_s)
                next_row = None
                if not math.isnan(row.arrival_s):
                    next_row = self.feeds[workload].next_open()
                if next_row is None:
                    break
                row, sent_s = next_row, next_row.arrival_s
        for request in self.live.values():
            request.away = request.away and request.sent_s >= time_s
