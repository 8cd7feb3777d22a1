"""Meters: integrals of piecewise constant quantities, exact at every change.

Nothing is sampled. A quantity is held from one change to the next, so its integral is a sum of
products; the measurement window is cut out exactly by reading every meter at both of its ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class Integral:
    """The integral of a piecewise constant value over time, and its part inside the window."""

    __slots__ = ("_opened", "since_s", "total", "value", "window")

    def __init__(self) -> None:
        self.value = 0.0
        self.since_s = 0.0
        self.total = 0.0
        self._opened = 0.0
        self.window = 0.0

    def set(self, value: float, time_s: float) -> None:
        """From ``time_s`` on the quantity is ``value``."""
        self.total += self.value * (time_s - self.since_s)
        self.value = value
        self.since_s = time_s

    def read(self, time_s: float) -> float:
        """The integral up to ``time_s``."""
        self.set(self.value, time_s)
        return self.total

    def open_window(self, time_s: float) -> None:
        """The measurement window starts."""
        self._opened = self.read(time_s)

    def close_window(self, time_s: float) -> None:
        """The measurement window ends: ``window`` is the integral inside it."""
        self.window = self.read(time_s) - self._opened


#: Why the head of a queue was not admitted: indices of ``ReplicaMeters.blocked``.
BLOCKS, SEQUENCES, TOKENS, HELD = range(4)


class ReplicaMeters:
    """What one replica did.

    The counts and the energy by workload cover the whole run; integrals also know the window.
    """

    __slots__ = (
        "blocked", "busy", "cap_bound", "decode_tokens", "draw", "iterations", "kv_tokens",
        "preemptions", "prefill_tokens", "running", "waiting",
    )  # fmt: skip

    def __init__(self) -> None:
        self.busy = Integral()  # 1 during an iteration → s
        self.cap_bound = Integral()  # 1 while a cap keeps the clock below the locked one → s
        self.draw = Integral()  # mW of all its GPUs → mJ
        self.kv_tokens = Integral()  # tokens in KV at the start of the iteration → token·s
        self.waiting = Integral()  # requests → request·s
        self.running = Integral()
        self.blocked = (Integral(), Integral(), Integral(), Integral())
        self.iterations = 0
        self.prefill_tokens = 0
        self.decode_tokens = 0
        self.preemptions = 0

    def integrals(self) -> tuple[Integral, ...]:
        """Every integral, for the ends of the window."""
        return (
            self.busy, self.cap_bound, self.draw, self.kv_tokens, self.waiting, self.running,
            *self.blocked,
        )  # fmt: skip


@dataclass(slots=True)
class Attribution:
    """Which workloads a replica's draw is charged to: (workload, share); the rest is idle draw."""

    shares: Sequence[tuple[int, float]] = ()
    since_s: float = 0.0
    draw_mw: int = 0


class WorkloadMeters:
    """GPU energy by workload, in mJ, and delivered tokens.

    The decode share of an iteration is split over its decoding sequences, the prefill share over
    its chunks by tokens. The draw of idle replicas is charged to nobody.
    """

    def __init__(self, workloads: int, replicas: int) -> None:
        self._energy_mj = [0.0] * workloads
        self._opened = [0.0] * workloads
        self.window_mj = [0.0] * workloads
        self._charge = [Attribution() for _ in range(replicas)]
        self.delivered = [0] * workloads  # whole run so far
        self._delivered_before = [0] * workloads
        self.window_delivered = [0] * workloads

    def set(
        self, replica: int, draw_mw: int, shares: Sequence[tuple[int, float]], time_s: float
    ) -> None:
        """From ``time_s`` on ``replica`` draws ``draw_mw`` on account of ``shares``."""
        charge = self._charge[replica]
        energy_mj = charge.draw_mw * (time_s - charge.since_s)
        for workload, share in charge.shares:
            self._energy_mj[workload] += share * energy_mj
        charge.shares, charge.since_s, charge.draw_mw = shares, time_s, draw_mw

    def _settle(self, time_s: float) -> None:
        for replica, charge in enumerate(self._charge):
            self.set(replica, charge.draw_mw, charge.shares, time_s)

    def open_window(self, time_s: float) -> None:
        """The measurement window starts."""
        self._settle(time_s)
        self._opened = list(self._energy_mj)
        self._delivered_before = list(self.delivered)

    def close_window(self, time_s: float) -> None:
        """The measurement window ends."""
        self._settle(time_s)
        self.window_mj = [
            now - then for now, then in zip(self._energy_mj, self._opened, strict=True)
        ]
        self.window_delivered = [
            now - then for now, then in zip(self.delivered, self._delivered_before, strict=True)
        ]
