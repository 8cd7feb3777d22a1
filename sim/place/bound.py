"""How far any policy could get: linear programs over what arrives (HiGHS).

Pods of each shape are spread over types of nodes in fractions. GPUs are packed exactly: for each
type an arc-flow graph (Valério de Carvalho, 1999) over the thousandths of a GPU holds every way to
fill one with the parts that pods ask for, in descending order of size; patterns are taken in
fractions. CPU and memory are summed over the nodes of a type. The whole list is known beforehand.
So no policy leaves less unallocated than "free", which may refuse any pod; and none that refuses
nothing until demand is ``alpha`` of the GPUs leaves less than the bound with that condition. The
largest alpha for which that is possible is the yardstick: who drops pods earlier may be below it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.kernels.node_state import WHOLE
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


@contextmanager
def _silent() -> Iterator[None]:
    """Keep what C writes out of standard output: HiGHS 1.16 greets before it can be told not to."""
    sys.stdout.flush()
    kept = os.dup(1)
    try:
        with open(os.devnull, "wb") as nothing:
            os.dup2(nothing.fileno(), 1)
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


class _Program:
    """The linear program of one list of arrivals; solved again for other least numbers of pods."""

    def __init__(self, cluster: Cluster, counts: NDArray[np.int64]) -> None:
        import highspy

        with _silent():
            self._solver = highspy.Highs()  # type: ignore[no-untyped-call]
        self._solver.setOptionValue("output_flag", False)
        self._counts = counts
        shapes, idle = cluster.shapes, cluster.idle
        self._columns: list[tuple[float, list[int], list[float]]] = []
        self._rows: list[tuple[float, float]] = [(0.0, float(n)) for n in counts]
        self._infinity = highspy.kHighsInf
        for kind, one in enumerate(cluster.types.tolist()):
            nodes = int(np.count_nonzero(idle["type"] == kind))
            self._add_type(idle[one], nodes, shapes, cluster.allowed[:, kind])
        self._pass(highspy)

    def _row(self, low: float, high: float) -> int:
        self._rows.append((low, high))
        return len(self._rows) - 1

    def _add_type(
        self, node: Any, nodes: int, shapes: NDArray[np.void], allowed: NDArray[np.bool_]
    ) -> None:
        """The pods that may run on a type of node, and the ways to fill its GPUs."""
        fits = allowed & (shapes["cpu"] <= node["cpu_left"]) & (shapes["mem"] <= node["mem_left"])
        fits &= (shapes["gpus"] <= node["gpus"]) & (self._counts > 0)
        cpu = self._row(-self._infinity, float(node["cpu_left"]) * nodes)
        memory = self._row(-self._infinity, float(node["mem_left"]) * nodes)
        gpus = self._row(-self._infinity, float(node["gpus"]) * nodes)
        sizes = sorted(
            {int(s["gpu_milli"]) for s in shapes[fits] if 0 < s["gpu_milli"] < WHOLE}, reverse=True
        )
        packed = {size: self._row(0.0, 0.0) for size in sizes}
        for s in np.flatnonzero(fits).tolist():
            pod = shapes[s]
            rows, values = [s, cpu, memory], [1.0, float(pod["cpu"]), float(pod["mem"])]
            if pod["gpu_milli"] == WHOLE:
                rows.append(gpus)
                values.append(float(pod["gpus"]))
            elif pod["gpus"]:
                rows.append(packed[int(pod["gpu_milli"])])
                values.append(-float(pod["gpus"]))
            self._columns.append((float(pod["request"]), rows, values))
        if sizes:
            self._add_arcs(sizes, packed, gpus)

    def _add_arcs(self, sizes: list[int], packed: dict[int, int], gpus: int) -> None:
        """Flow of GPUs from 0 to full, along parts in descending order of size."""
        reached: dict[int, int] = {0: self._row(-self._infinity, 0.0)}  # out less in: from ``gpus``
        arcs: set[tuple[int, int]] = set()
        for size in sizes:
            # Items of one size go one after the other from every point reached by larger ones.
            for start in sorted(reached):
                at = start
                while at + size <= WHOLE and (at, size) not in arcs:
                    arcs.add((at, size))
                    at += size
                    if at not in reached:
                        reached[at] = self._row(-self._infinity, 0.0)
        for at, size in sorted(arcs):
            self._columns.append(
                (0.0, [reached[at], reached[at + size], packed[size]], [1.0, -1.0, 1.0])
            )
        # GPUs that pods with parts use enter at 0.
        self._columns.append((0.0, [gpus, reached[0]], [1.0, -1.0]))

    def _pass(self, highspy: Any) -> None:
        program = highspy.HighsLp()
        program.num_col_, program.num_row_ = len(self._columns), len(self._rows)
        program.sense_ = highspy.ObjSense.kMaximize
        program.col_cost_ = np.array([cost for cost, _, _ in self._columns])
        program.col_lower_ = np.zeros(len(self._columns))
        program.col_upper_ = np.full(len(self._columns), self._infinity)
        program.row_lower_ = np.array([low for low, _ in self._rows])
        program.row_upper_ = np.array([high for _, high in self._rows])
        program.a_matrix_.format_ = highspy.MatrixFormat.kColwise
        program.a_matrix_.start_ = np.cumsum([0, *(len(rows) for _, rows, _ in self._columns)])
        program.a_matrix_.index_ = np.concatenate([rows for _, rows, _ in self._columns])
        program.a_matrix_.value_ = np.concatenate([values for _, _, values in self._columns])
        self._solver.passModel(program)
        self._optimal = highspy.HighsModelStatus.kOptimal
        self._infeasible = highspy.HighsModelStatus.kInfeasible

    def most(self, least: NDArray[np.float64]) -> float:
        """Thousandths of GPUs allocated at most with ``least`` [S] pods placed; -1: impossible."""
        from sim.errors import RackplanError

        for s, (low, high) in enumerate(zip(least.tolist(), self._counts.tolist(), strict=True)):
            self._solver.changeRowBounds(s, low, float(high))
        self._solver.run()
        status = self._solver.getModelStatus()
        if status == self._optimal:
            return float(self._solver.getInfo().objective_function_value)
        if status == self._infeasible:
            return -1.0
        raise RackplanError(f"the bound could not be computed: HiGHS says {status.name}")
