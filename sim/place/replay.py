"""One policy, one order of arrivals: what is placed, what is refused, and the state at each step."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.place.arrivals import arrivals
from sim.place.cluster import Cluster, typical_pods
from sim.place.loop import loop_of
from sim.policies.scoring import Fleet, Refresh, Seen
from sim.rng import generator

#: Slots of the table of values; a power of two. A full one is emptied.
_SLOTS = 1 << 19


@dataclass(frozen=True)
class Outcome:
    """What one replay did.

    Attributes:
        pods: [A] positions in the pod list, in the order of arrival.
        node: [A] where each was put; -1: refused.
        gpus: [A] the GPUs it got, as bits.
        shares: [K] of the GPUs that had arrived at each step.
        allocated: [K] part of all GPUs that was allocated then.
        states: K arrays of records of nodes.
        seconds: the replay itself, after the compilation.
    """

    pods: NDArray[np.int64]
    node: NDArray[np.int64]
    gpus: NDArray[np.int64]
    shares: tuple[float, ...]
    allocated: NDArray[np.float64]
    states: tuple[NDArray[np.void], ...]
    seconds: float


def replay(
    cluster: Cluster, policy: Any, seed: int, arrival: float, shares: Sequence[float]
) -> Outcome:
    """Let pods arrive until demand is ``arrival`` of the GPUs, each placed by ``policy`` or refused.

    ``shares`` are the steps at which the state is noted: when demand has first reached that much,
    or at the end, if that is what was asked for.
    """
    capacity = cluster.nodes.gpu_milli
    pods = arrivals(cluster.pods, capacity, arrival, seed)
    run = _Run(cluster, policy, seed, cluster.shape[pods])
    demand = np.cumsum(cluster.pods.request[pods]) / capacity
    ends = [
        len(pods) if share >= arrival else int(np.searchsorted(demand, share)) + 1
        for share in shares
    ]
    ends = [min(end, len(pods)) for end in ends]
    states = []
    begun = time.perf_counter()
    for end in sorted({*ends, len(pods)}):
        run.until(end)
        if end in ends:
            states.append((end, run.nodes.copy()))
    seconds = time.perf_counter() - begun
    by_end = dict(states)
    placed = np.cumsum(np.where(run.where >= 0, cluster.pods.request[pods], 0)) / capacity
    return Outcome(
        pods=pods,
        node=run.where,
        gpus=run.bits,
        shares=tuple(shares),
        allocated=np.array([placed[end - 1] for end in ends]),
        states=tuple(by_end[end] for end in ends),
        seconds=seconds,
    )


class _Run:
    """The arrays of one replay, and the calls of the policy between stretches of it."""

    def __init__(
        self, cluster: Cluster, policy: Any, seed: int, shape_of: NDArray[np.int64]
    ) -> None:
        n, s = len(cluster.idle), len(cluster.shapes)
        self.policy, self.arrivals = policy, shape_of
        self.nodes = cluster.idle.copy()
        self.shapes = cluster.shapes.copy()
        self.rank = generator(seed, "place/ranks").permutation(n)
        self.cached = (
            np.full((s, n), -np.inf),
            np.full((s, n), -1),
            np.full(s, -1),
            np.zeros(n, dtype=np.int64),
            np.ascontiguousarray(cluster.allowed),
        )
        self.where = np.full(len(shape_of), -1)
        self.bits = np.zeros(len(shape_of), dtype=np.int64)
        self.work = np.empty(n)
        self.loop = loop_of(type(policy))
        self.done = 0
        idle = cluster.idle.view()
        idle.flags.writeable = False
        fleet = Fleet(
            idle, cluster.types, cluster.shapes, cluster.allowed, typical_pods(cluster), seed
        )
        self.theirs = policy.prepare(fleet) if hasattr(policy, "prepare") else 0
        self.known: Any = self.theirs
        if hasattr(policy, "value"):
            self.keys, values = np.zeros(_SLOTS, dtype=np.uint64), np.empty(_SLOTS)
            self.known = (self.theirs, self.keys, values, np.zeros(3, dtype=cluster.idle.dtype))
        self.every = getattr(policy, "refresh_every", 0)
        self.always = bool(getattr(policy, "draws", False))
        self._stretch(0, 0)  # compiles

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
        self.loop(
            self.nodes, self.shapes, self.arrivals, (begin, end), self.rank, self.known,
            self.cached, self.always, self.work, (self.where, self.bits),
        )  # fmt: skip

    def _refresh(self) -> None:
        counts = np.bincount(self.arrivals[: self.done], minlength=len(self.shapes))
        nodes = self.nodes.view()
        nodes.flags.writeable = False
        stale = self.policy.refresh(self.theirs, Seen(self.done, counts, nodes))
        if stale is not Refresh.NOTHING:
            self.cached[2][:] = -1
        if stale is Refresh.VALUES:
            self.keys[:] = 0
