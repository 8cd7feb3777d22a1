"""The seam between the control plane (SimPy, few events) and the data plane (every request).

``engine.reference`` implements it with one event per iteration: the executable specification that
any faster implementation must equal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sim.engine.handover import Move
from sim.engine.wiring import Wiring
from sim.engine.world import PlacedReplica


@dataclass(frozen=True)
class Stop:
    """Why ``advance`` returned: "done" (nothing is left before ``until``), "power" (a guard of the
    electrical tree is at its limit at ``time_s``, and nothing at ``time_s`` was handled yet),
    "moves" (KV of prompts may be sent from now on, or is not wanted any more; or a replica that
    spans servers works at another pace) or "parked" (a replica has finished what it held, and is
    down).
    """

    code: str
    time_s: float
    moves: tuple[Move, ...] = ()


class ServingPlane(Protocol):
    """Serves requests: routing, queues, batches, KV blocks, draw. Times are float64 seconds."""

    def advance(self, until_s: float) -> Stop:
        """Handle every event strictly before ``until_s``, in the stated order of equal times.

        Returns early at the first event that only the control plane can answer. Decisions up to
        there are written down when it returns.
        """
        ...

    def set_clocks(self, replicas: Sequence[int], level: int, time_s: float) -> None:
        """Lock the clocks of replicas to a level at ``time_s`` (≥ every time handled so far)."""
        ...

    def set_caps(self, replicas: Sequence[int], cap_mw: int | None, time_s: float) -> None:
        """Each GPU of replicas draws at most ``cap_mw`` (None: no cap) from ``time_s`` on.

        Every run of iterations takes the highest clock level, from the locked one down, at which
        it keeps to the cap; the lowest where none does. The running iteration changes at once.
        """
        ...

    def set_admission(self, replica: int, admits: bool, held_mw: int | None, time_s: float) -> None:
        """A replica admits requests at its boundaries, or holds those that wait in its queue.

        What runs goes on; who was preempted waits as well. While it is held and without work, its
        LLM is unloaded (its cache of prompts is lost) and each GPU draws ``held_mw``; None: it
        stays loaded.
        """
        ...

    def is_busy(self, replica: int) -> bool:
        """Whether a replica is in an iteration."""
        ...

    def due_guards(self, time_s: float) -> Sequence[int]:
        """The guards of the electrical tree that are at their limit by ``time_s``."""
        ...

    def give_up(self, guard: int, time_s: float) -> None:
        """A guard is at its limit at ``time_s``; it is off from then on."""
        ...

    def switch_guard(self, guard: int, on: bool, charging: bool, time_s: float) -> None:
        """A guard is on duty from ``time_s`` on, or off it; a battery off duty charges or rests."""
        ...

    def resize_guard(self, guard: int, rating_mw: int, time_s: float) -> None:
        """A guard, one of a UPS's tables, is of another rating from ``time_s`` on."""
        ...

    def rewire(self, wiring: Wiring, time_s: float) -> None:
        """The electrical tree is connected otherwise from ``time_s`` on."""
        ...

    def fail(self, replica: int, gpu_mw: int, time_s: float) -> None:
        """A replica is down: its requests fail, its KV is lost, each GPU draws ``gpu_mw``."""
        ...

    def restore(self, replica: int, time_s: float) -> None:
        """A replica that was down serves again, empty."""
        ...

    def drain(self, replica: int, gpu_mw: int, time_s: float) -> None:
        """A replica takes no more requests and finishes those it holds.

        Then it is down, each GPU draws ``gpu_mw``, and the ``events`` table says so.
        """
        ...

    def reopen(self, replica: int, time_s: float) -> None:
        """A replica that has not finished yet takes requests again."""
        ...

    def arrived(self, handle: int, time_s: float) -> None:
        """The KV of a prompt that may move is at its target (``Move.handle``).

        The source frees its blocks now; the target decodes from its next boundary on.
        """
        ...

    def lose(self, handle: int, time_s: float) -> None:
        """The KV of a prompt that may move never comes: the request fails."""
        ...

    def set_delays(self, replicas: Sequence[int], delays_s: Sequence[float], time_s: float) -> None:
        """Each token takes so many seconds longer at replicas, from their next iteration on."""
        ...

    def stand(self, replica: int, placed: PlacedReplica, time_s: float) -> None:
        """A replica that is down, frozen or at rest has these GPUs from now on.

        Those that it leaves draw what parked GPUs do. One that is down may have none, or some of
        another type; once it serves it does at its highest clock, without a cap, and admits, and
        nothing makes its tokens late.
        """
        ...

    def freeze(self, replica: int, time_s: float) -> int:
        """Nothing of a replica's running iteration goes on, and its GPUs idle.

        What its cache keeps of prompts that nobody uses is lost.

        Returns:
            Tokens in KV of what it runs; 0: it is at rest, and not frozen.
        """
        ...

    def thaw(self, replica: int, time_s: float) -> None:
        """What is left of a frozen iteration goes on."""
        ...

    def interrupt(self, replica: int, time_s: float) -> None:
        """A replica loses all KV: what it runs is preempted, and computed again as it admits."""
        ...

    def is_down(self, replica: int) -> bool:
        """Whether a replica serves nobody, and has nothing loaded."""
        ...

    def change_limit(self, node: int, limit_mw: int, time_s: float) -> None:
        """What a node of the electrical tree draws is compared with another limit from now on."""
        ...

    def judged_mj(self, time_s: float) -> NDArray[np.float64]:
        """[nodes of the electrical tree] energy up to ``time_s``, mJ, of what is judged.

        That is what a utility takes in and what any other node delivers. ``time_s`` is at least
        every time handled so far, and nothing before it may be pending. Changes nothing.
        """
        ...

    def peek(self) -> float:
        """Time of the next event, inf when nothing is pending."""
        ...

    def in_flight(self) -> int:
        """Requests that have reached their pool and not ended (or wait to be sent again)."""
        ...

    def open_window(self, time_s: float) -> None:
        """The measurement window starts (no event before ``time_s`` may be pending)."""
        ...

    def close_window(self, time_s: float) -> None:
        """The measurement window ends (no event before ``time_s`` may be pending)."""
        ...

    def finish(self, time_s: float) -> None:
        """The run ends: what was sent before and has not ended is unfinished; meters are written.

        Requests that are still on their way to their pool are among them.
        """
        ...
