"""Requests of the compiled engine that one pool prefills and another decodes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.engine.handover import PACED, PREFILLED, RESERVED, WITHDRAWN, Move
from sim.engine.plane import Stop
from sim.kernels import between, control, layout
from sim.kernels.followers import refresh_arrivals
from sim.kernels.layout import NONE
from sim.kernels.rows import ALL, PACE, STOP
from sim.kernels.state import Ints, State


class Handover:
    """The part of the compiled plane that says what moves between pools, and learns of it."""

    state: State
    _table: Ints
    _moves: list[Move]

    _answer: Callable[[int], None]  # do what a kernel asked for
    _drain: Callable[[], None]  # hand on what rows are filled
    _drain_power: Callable[[], None]  # hand on what rows the tree has filled
    _feed_orphans: Callable[[], None]  # load the followers of requests that have ended

    def _take_moves(self) -> None:
        """Take over what moves the kernels have noted."""
        whole = self.state.all[0]
        for row in self.state.move[: int(whole["moves"])]:
            self._moves.append(_move(row))
        whole["moves"] = 0

    def _stop_for_moves(self) -> Stop:
        moves, self._moves = tuple(self._moves), []
        return Stop("moves", moves[0].time_s, moves)

    def _hand_over(self) -> None:
        """``advance`` came to a request that goes to the pool that decodes it."""
        code = between.hand_over(self._table)
        if code != layout.DONE:
            self._answer(code)

    def _leave(self) -> None:
        """``advance`` came to a client that gives up while its request is between two pools."""
        between.leave(self._table, layout.CANCELLED, float(self.state.all[0]["between_s"]))

    def arrived(self, handle: int, time_s: float) -> None:
        """The KV of a prompt is there."""
        between.arrive_kv(self._table, handle, time_s)

    def lose(self, handle: int, time_s: float) -> None:
        """The KV of a prompt never comes."""
        if self.state.all[0]["rows"] >= len(self.state.out):
            self._drain()
        between.lose_kv(self._table, handle, time_s)
        if self.state.all[0]["orphans"]:
            self._feed_orphans()
        refresh_arrivals(self._table)

    def set_delays(self, replicas: Sequence[int], delays_s: Sequence[float], time_s: float) -> None:
        """Each token takes so much longer at replicas, from their next iteration on."""
        them, theirs = np.array(replicas, np.int64), np.array(delays_s, np.float64)
        control.set_delays(self._table, them, theirs, time_s)

    def _without_doubles(self, slots: NDArray[Any]) -> NDArray[Any]:
        """``slots`` [n] without those whose request has another at the pool that decodes it."""
        if len(self.state.handover) == 1:
            return slots
        parting = self.state.request["role"][slots] == layout.PREFILLS
        doubles = parting & (self.state.handover["peer"][slots] != NONE)
        kept: NDArray[Any] = slots[~doubles]
        return kept


def _move(row: np.void) -> Move:
    if row["kind"] == PACE:
        t_s, tokens, first_s = float(row["t_s"]), int(row["tokens"]), float(row["to_s"])
        return Move(PACED, t_s, int(row["slot"]), tokens=tokens, to_s=first_s)
    what = float(row["t_s"]), int(row["slot"]), int(row["request_id"])
    if row["kind"] == STOP:
        return Move(WITHDRAWN, *what)
    if row["kind"] == ALL:
        return Move(PREFILLED, *what, prefilled_s=float(row["prefilled_s"]))
    return Move(
        RESERVED, *what, int(row["source"]), int(row["target"]), int(row["tokens"]),
        float(row["admitted_s"]), float(row["prefilled_s"]), float(row["from_s"]),
        float(row["to_s"]),
    )  # fmt: skip
