"""How far any policy could get: linear programs over what arrives (HiGHS).

Pods of each shape are spread over types of nodes in fractions. GPUs are packed exactly
(``sim.place.arcs``), patterns are taken in fractions. CPU and memory are summed over the nodes of a
type. The whole list is known beforehand. So no policy leaves less unallocated than "free", which
may refuse any pod; and none that refuses nothing until demand is ``alpha`` of the GPUs leaves less
than the bound with that condition. The largest alpha for which that is possible is the yardstick:
who drops pods earlier may be below it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.place.arcs import Arcs, new_solver
from sim.place.arrivals import arrivals
from sim.place.cluster import Cluster
from sim.place.report import spread

#: A share of the GPUs so small that the largest alpha is known well enough.
_CLOSE = 0.0005


@dataclass(frozen=True)
class Bound:
    """Parts of all GPUs that no policy can allocate, under one order of arrivals.

    Attributes:
        free: if any pod may be refused.
        alpha: demand, as part of the GPUs, until which nothing need be refused in the relaxation.
        no_drop: if nothing is refused before that.
    """

    free: float
    alpha: float
    no_drop: float


def bounds(cluster: Cluster, seeds: Sequence[int], arrival: float | None) -> dict[str, Any]:
    """The bounds of each seed, as JSON: percent, mean and standard deviation."""
    capacity = cluster.nodes.gpu_milli
    found = []
    for seed in seeds:
        pods = arrivals(cluster.pods, capacity, arrival, seed)
        found.append(bound_of(cluster, pods))
    free = spread([100 * one.free for one in found])
    alpha = spread([100 * one.alpha for one in found])
    no_drop = spread([100 * one.no_drop for one in found])
    return {
        "free_unallocated_pct": free,
        "no_drop_until_arrival_pct": alpha,
        "no_drop_unallocated_pct": no_drop,
        "sentence": (
            f"Bound: no policy leaves less than {free['mean']:.2f} %; none that refuses no pod "
            f"before {alpha['mean']:.1f} % have arrived, the most that is possible, less than "
            f"{no_drop['mean']:.2f} %"
        ),
    }


def bound_of(cluster: Cluster, pods: NDArray[np.int64]) -> Bound:
    """The bounds for pods in this order of arrival."""
    capacity = cluster.nodes.gpu_milli
    shape = cluster.shape[pods]
    program = _Program(cluster, np.bincount(shape, minlength=len(cluster.shapes)))
    free = 1.0 - program.most(np.zeros(len(cluster.shapes))) / capacity
    demand = np.cumsum(cluster.pods.request[pods]) / capacity

    def first(share: float) -> NDArray[np.float64]:
        count = int(np.searchsorted(demand, share, side="right"))
        return np.bincount(shape[:count], minlength=len(cluster.shapes)).astype(np.float64)

    low, high = 0.0, min(1.0, float(demand[-1])) + _CLOSE
    best = 1.0 - free
    while high - low > _CLOSE:
        middle = 0.5 * (low + high)
        if (found := program.most(first(middle))) >= 0.0:
            low, best = middle, found / capacity
        else:
            high = middle
    return Bound(free, low, 1.0 - best)


def free_milli(cluster: Cluster, counts: NDArray[np.int64]) -> float:
    """Thousandths of GPUs that are allocated at most of ``counts`` [S] pods, any refused."""
    return _Program(cluster, counts).most(np.zeros(len(counts)))


class _Program:
    """The linear program of one list of arrivals; solved again for other least numbers of pods."""

    def __init__(self, cluster: Cluster, counts: NDArray[np.int64]) -> None:
        import highspy

        self._counts = counts
        arcs = Arcs(cluster.shapes, counts)
        for kind, one in enumerate(cluster.types.tolist()):
            nodes = int(np.count_nonzero(cluster.idle["type"] == kind))
            arcs.add_type(cluster.idle[one], nodes, cluster.allowed[:, kind])
        self._solver = new_solver()
        self._solver.passModel(arcs.program())
        self._optimal = highspy.HighsModelStatus.kOptimal
        self._infeasible = highspy.HighsModelStatus.kInfeasible
        self._empty = not arcs.shape_of  # no pod fits on any node

    def most(self, least: NDArray[np.float64]) -> float:
        """Thousandths of GPUs allocated at most with ``least`` [S] pods placed; -1: impossible."""
        from sim.errors import RackplanError

        if self._empty:
            return -1.0 if (least > 0).any() else 0.0
        for s, (low, high) in enumerate(zip(least.tolist(), self._counts.tolist(), strict=True)):
            self._solver.changeRowBounds(s, low, float(high))
        self._solver.run()
        status = self._solver.getModelStatus()
        if status == self._optimal:
            return float(self._solver.getInfo().objective_function_value)
        if status == self._infeasible:
            return -1.0
        raise RackplanError(f"the bound could not be computed: HiGHS says {status.name}")
