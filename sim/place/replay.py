"""One policy, one order of arrivals: what is placed, what is refused, the state at each step."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numba.core.errors import NumbaError
from numpy.typing import NDArray

from sim.errors import RackplanError
from sim.kernels.node_state import WHOLE
from sim.kernels.place_by_value import GRADED, SLOT
from sim.place.arrivals import arrivals
from sim.place.cluster import Cluster
from sim.place.loop import bounded, loop_of, uncompiled
from sim.place.rules import residents_of, rules_of
from sim.policies.base import kind_of
from sim.policies.scoring import Fleet, Refresh, Seen
from sim.rng import generator

#: Slots of the table of values; a power of two. A full one is emptied.
_SLOTS = 1 << 18
#: And of that of grades, also one; what falls on a slot takes the place of what was there.
_GRADES = 1 << 16
_NO_QUOTAS: Mapping[str, float] = MappingProxyType({})


@dataclass(frozen=True)
class Outcome:
    """What one replay did.

    Attributes:
        pods: [A] positions in the pod list, in the order of arrival.
        node: [A] where each is at the end; -1: nowhere.
        gpus: [A] the GPUs it got, as bits.
        why: [A] why it is nowhere (``sim.place.rules.REASONS``).
        shares: [K] of the GPUs that had arrived at each step.
        allocated: [K] part of all GPUs that was allocated then.
        states: K arrays of records of nodes.
        seconds: the replay itself, after the compilation.
    """

    pods: NDArray[np.int64]
    node: NDArray[np.int64]
    gpus: NDArray[np.int64]
    why: NDArray[np.int64]
    shares: tuple[float | None, ...]
    allocated: NDArray[np.float64]
    states: tuple[NDArray[np.void], ...]
    seconds: float


def replay(
    cluster: Cluster,
    policy: Any,
    seed: int,
    arrival: float | None,
    shares: Sequence[float | None],
    quotas: Mapping[str, float] = _NO_QUOTAS,
) -> Outcome:
    """Let pods arrive until demand is ``arrival`` of the GPUs; ``policy`` places each that fits.

    ``arrival`` None: each pod once, as listed. ``shares`` are the steps at which the state is
    noted: when demand has first reached that much, or at the end where it equals ``arrival``.
    ``quotas``: most GPUs of a tenant.
    """
    capacity = cluster.nodes.gpu_milli
    pods = arrivals(cluster.pods, capacity, arrival, seed)
    run = _Run(cluster, policy, seed, pods, quotas)
    demand = np.cumsum(cluster.pods.request[pods]) / capacity
    ends = [
        len(pods) if share is None or share == arrival
        else min(int(np.searchsorted(demand, share)) + 1, len(pods))
        for share in shares
    ]  # fmt: skip
    states: dict[int, NDArray[np.void]] = {}
    begun = time.perf_counter()
    for end in sorted({*ends, len(pods)}):
        run.until(end)
        if end in ends:
            states[end] = run.nodes.copy()
    seconds = time.perf_counter() - begun
    at_ends = tuple(states[end] for end in ends)
    free = np.array([float(state["left"].sum()) for state in at_ends])
    return Outcome(
        pods, run.where, run.bits, run.why, tuple(shares), 1.0 - free / capacity, at_ends, seconds
    )


class _Run:
    """The arrays of one replay, and the calls of the policy between stretches of it."""

    def __init__(
        self,
        cluster: Cluster,
        policy: Any,
        seed: int,
        pods: NDArray[np.int64],
        quotas: Mapping[str, float],
    ) -> None:
        n, s = len(cluster.idle), len(cluster.shapes)
        self.policy, self.pods, self.arrivals = policy, pods, cluster.shape[pods]
        self.names = (cluster.nodes.names, cluster.pods.names)
        self.nodes = cluster.idle.copy()
        self.shapes = cluster.shapes.copy()
        self.rank = generator(seed, "place/ranks").permutation(n)
        kept = (s, n) if bounded(type(policy)) else (0, 0)
        self.cached = (
            np.full((s, n), -np.inf),
            np.full(s, -1),
            np.zeros(n, dtype=np.int64),
            np.ascontiguousarray(cluster.allowed),
            np.full(kept, -np.inf),
            np.zeros(kept, dtype=np.int64),
        )
        self.where = np.full(len(pods), -1)
        self.bits = np.zeros(len(pods), dtype=np.int64)
        self.why = np.zeros(len(pods), dtype=np.int64)
        self.work = (np.empty(n), np.zeros(n, dtype=bool))
        self.rules = rules_of(cluster, pods, quotas)
        self.residents = residents_of(cluster, pods, self.shapes, self.bits)
        self.loop = loop_of(_class(policy))
        self.done = 0
        fleet = Fleet(
            _read_only(cluster.idle), cluster.types, cluster.shapes, cluster.allowed,
            cluster.typical, seed,
        )  # fmt: skip
        self.memory: Any = 0
        if hasattr(policy, "prepare"):
            self.memory = policy.prepare(fleet)
        self.every = getattr(self.memory, "refresh_every", 0)
        self.known: Any = self.memory.known if self.every else self.memory
        if hasattr(policy, "value"):
            self.table, self.epochs = np.zeros(_SLOTS, dtype=SLOT), np.ones(2, dtype=np.int64)
            scratch = np.zeros(2, dtype=cluster.idle.dtype)
            words = generator(0, "place/words").integers(1 << 63, size=WHOLE + 1, dtype=np.uint64)
            graded = np.zeros(_GRADES, dtype=GRADED)
            self.known = (self.known, self.table, self.epochs, scratch, words, graded)
        try:
            self._stretch(0, 0)
        except (NumbaError, KeyError) as error:  # KeyError: a record has no such field
            raise RackplanError(uncompiled(type(policy), error)) from error

    def until(self, end: int) -> None:
        """Go on until ``end`` pods have arrived."""
        while self.done < end:
            stop = end
            if self.every:
                stop = min(end, (self.done // self.every + 1) * self.every)
            self._stretch(self.done, stop)
            self.done = stop
            if self.every and stop % self.every == 0:
                self._refresh()

    def _stretch(self, begin: int, end: int) -> None:
        always = bool(getattr(self.policy, "draws", False))
        pod, node, gpu = self.loop(
            self.nodes, self.shapes, self.arrivals, (begin, end), self.rank, self.known,
            self.cached, always, self.work, (self.where, self.bits, self.why), self.rules,
            self.residents,
        )  # fmt: skip
        if pod >= 0:
            what = f"chose GPU {gpu}" if gpu >= 0 else "gave a score that is no finite number"
            raise RackplanError(
                f"policy {kind_of(self.policy)!r} {what} on node {self.names[0][node]} for pod "
                f"{self.names[1][self.pods[pod]]}, which "
                + ("does not fit there" if gpu >= 0 else "fits there")
            )

    def _refresh(self) -> None:
        counts = np.bincount(self.arrivals[: self.done], minlength=len(self.shapes))
        stale = self.memory.refresh(Seen(self.done, counts, _read_only(self.nodes)))
        if stale is Refresh.NOTHING:
            return
        if stale is Refresh.VALUES or not bounded(type(self.policy)):
            self.cached[1][:] = -1
        if hasattr(self.policy, "value"):
            self.epochs[0] += 1
            if stale is Refresh.VALUES:
                self.epochs[1] += 1
                self.table["key"] = 0


def _read_only(nodes: NDArray[np.void]) -> NDArray[np.void]:
    view = nodes.view()
    view.flags.writeable = False
    return view


def _class(policy: Any) -> Any:
    return type(policy)
