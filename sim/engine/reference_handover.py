"""Requests of the reference engine that one pool prefills and another decodes.

At the end of its prefill a request keeps its blocks and is routed to a replica of the other pool,
where a twin of it waits for blocks like any other request. Once those are reserved its KV may come;
when it is there, the first replica's blocks are free, and the twin decodes from the next boundary
on. Whatever ends it in between frees the blocks on both sides.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from sim.engine.environment import TRANSFER, OrderedEnvironment
from sim.engine.handover import PACED, PREFILLED, RESERVED, WITHDRAWN, Move
from sim.engine.reference_pools import PoolState
from sim.engine.replica import Replica
from sim.engine.request import DECODES, PREFILLS, Request


class Handover:
    """The part of the reference plane that has to do with two pools at once."""

    env: OrderedEnvironment
    replicas: list[Replica]
    pools: list[PoolState]
    live: dict[int, Request]
    moves: list[Move]

    _route: Callable[[Request, float], str | None]  # the outcome if it is refused
    _end: Callable[[Request, str, float], None]  # a request has its outcome, or is sent again
    _set_cancel: Callable[[Request], None]  # the client of a request may give up
    # ---- on the way ----------------------------------------------------------------------

    def last_part(self, request: Request, time_s: float, end_s: float) -> None:
        """Layer by layer the request goes to the other pool before its prefill has ended."""
        if self.pools[request.pool].by_layer:
            request.produced_s = (time_s, end_s)
            self._go_over(request, time_s)

    def prefilled(self, request: Request, time_s: float) -> None:
        """The prefill is no longer outstanding; the request goes to the other pool right away."""
        request.prefilled_s = time_s
        self._settle(request, whole=True)
        self.pools[request.pool].served(request, time_s)
        twin = request.twin
        if twin is None:
            self._go_over(request, time_s)
            return
        twin.prefilled_s = time_s
        if twin.reserved:
            move = Move(PREFILLED, time_s, request.identity, request.identity, prefilled_s=time_s)
            self.moves.append(move)

    def _go_over(self, request: Request, time_s: float) -> None:
        event = self.env.at(time_s, TRANSFER, request.identity)
        event.callbacks = [lambda _: self._hand_over(request, time_s)]

    def _hand_over(self, request: Request, now_s: float) -> None:
        if request.ended:
            return
        pool = self.pools[request.pool].decode
        assert pool is not None
        twin = self.live[request.identity] = request.to_decode(pool)
        refused = self._route(twin, now_s)
        if refused is not None:
            self._let_go(twin, now_s)
            self._end(twin, refused, now_s)
            return
        self._set_cancel(twin)

    def reserved(self, request: Request, time_s: float) -> None:
        """Its KV may come."""
        source = request.twin
        assert source is not None
        self.moves.append(
            Move(
                RESERVED, time_s, request.identity, request.identity, source.replica,
                request.replica, request.input_tokens, request.admitted_s, request.prefilled_s,
                *request.produced_s,
            )
        )  # fmt: skip

    def arrived(self, handle: int, time_s: float) -> None:
        """Its KV is there."""
        request = self.live[handle]
        self._let_go(request, time_s)
        self.replicas[request.replica].take_in(request, time_s)

    def lose(self, handle: int, time_s: float) -> None:
        """Its KV never comes."""
        request = self.live[handle]
        self.replicas[request.replica].withdraw(request, time_s)
        self._let_go(request, time_s)
        self._settle(request)
        self._end(request, "failed", time_s)

    def paced(self, replica: int, tokens: int, iteration_s: float, time_s: float) -> None:
        """Say how fast a replica over several servers works."""
        self.moves.append(Move(PACED, time_s, replica, tokens=tokens, to_s=iteration_s))

    def set_delays(self, replicas: Sequence[int], delays_s: Sequence[float], time_s: float) -> None:
        """Each token takes so much longer at replicas, from their next iteration on."""
        for replica, delay_s in zip(replicas, delays_s, strict=True):
            self.replicas[replica].set_delay(delay_s)

    # ---- what ends in between ------------------------------------------------------------

    def _let_go(self, request: Request, time_s: float) -> None:
        """The pool that prefills a request frees its blocks, if it has not yet."""
        source = request.twin
        if source is None:
            return
        if math.isnan(source.prefilled_s):
            self.replicas[source.replica].withdraw(source, time_s)
            self._settle(source)
        else:
            self.replicas[source.replica].release(source, time_s)
        source.twin = request.twin = None
        source.ended = True

    def _withdraw_move(self, request: Request, time_s: float) -> None:
        """If the KV of a request may have been on its way, it is not wanted any more."""
        if request.reserved:
            self.moves.append(Move(WITHDRAWN, time_s, request.identity, request.identity))

    def _lose(self, request: Request, time_s: float) -> None:
        """A replica that failed held it: it fails, wherever else it is."""
        twin = request.twin
        if request.role == PREFILLS and twin is not None:
            # Its KV is gone before the other pool had it.
            source, request = request, twin
            source.twin = request.twin = None
            source.ended = True
            self._settle(source)
            self._withdraw_move(request, time_s)
            self.replicas[request.replica].withdraw(request, time_s)
        elif request.role == DECODES:
            self._withdraw_move(request, time_s)
            self._let_go(request, time_s)
        self._settle(request)
        self._end(request, "failed", time_s)

    def _settle(self, request: Request, *, whole: bool = False) -> None:
        """Take away what a request has left of its outstanding work.

        A prefill that has ended (``whole``: just now) has nothing left.
        """
        if request.role == PREFILLS and not math.isnan(request.prefilled_s) and not whole:
            return
        state = self.pools[request.pool]
        state.settle(request)
