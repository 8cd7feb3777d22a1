"""Programs over types of nodes for HiGHS: pods in numbers, parts of GPUs packed by arc flow.

For each type of node an arc-flow graph (Valério de Carvalho, 1999) over the thousandths of a GPU
holds every way to fill one with the parts that pods ask for, in descending order of size.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.kernels.node_state import WHOLE


def new_solver() -> Any:
    """A HiGHS that writes nothing, on one thread.

    All solvers of a process share one pool of threads, and one that asks for another number than
    the first fails; workers have one core each.
    """
    import highspy

    with _silent():
        solver = highspy.Highs()  # type: ignore[no-untyped-call]
    solver.setOptionValue("output_flag", False)
    solver.setOptionValue("threads", 1)
    return solver


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


class Arcs:
    """Rows and columns; the first S rows count the pods of each shape.

    Attributes:
        shape_of: column → the shape of which it counts pods; columns of flows have none.
    """

    def __init__(self, shapes: NDArray[np.void], counts: NDArray[np.int64]) -> None:
        """``counts`` [S]: pods of each shape at most."""
        self._shapes, self._counts = shapes, counts
        self._columns: list[tuple[float, list[int], list[float]]] = []
        self._rows: list[tuple[float, float]] = [(0.0, float(n)) for n in counts]
        self.shape_of: dict[int, int] = {}

    def _row(self, low: float, high: float) -> int:
        self._rows.append((low, high))
        return len(self._rows) - 1

    def add_type(self, node: Any, nodes: int, allowed: NDArray[np.bool_]) -> None:
        """The pods that may run on ``nodes`` nodes of a type, and the ways to fill its GPUs.

        ``allowed`` [S]: which shapes may, by their wishes.
        """
        shapes = self._shapes
        fits = allowed & (shapes["cpu"] <= node["cpu_left"]) & (shapes["mem"] <= node["mem_left"])
        fits &= (shapes["gpus"] <= node["gpus"]) & (self._counts > 0)
        cpu = self._row(-np.inf, float(node["cpu_left"]) * nodes)
        memory = self._row(-np.inf, float(node["mem_left"]) * nodes)
        gpus = self._row(-np.inf, float(node["gpus"]) * nodes)
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
            self.shape_of[len(self._columns)] = s
            self._columns.append((float(pod["request"]), rows, values))
        if sizes:
            self._add_arcs(sizes, packed, gpus)

    def _add_arcs(self, sizes: list[int], packed: dict[int, int], gpus: int) -> None:
        """Flow of GPUs from 0 to full, along parts in descending order of size."""
        reached: dict[int, int] = {0: self._row(-np.inf, 0.0)}  # out less in: from ``gpus``
        arcs: set[tuple[int, int]] = set()
        for size in sizes:
            # Items of one size go one after the other from every point reached by larger ones.
            for start in sorted(reached):
                at = start
                while at + size <= WHOLE and (at, size) not in arcs:
                    arcs.add((at, size))
                    at += size
                    if at not in reached:
                        reached[at] = self._row(-np.inf, 0.0)
        for at, size in sorted(arcs):
            self._columns.append(
                (0.0, [reached[at], reached[at + size], packed[size]], [1.0, -1.0, 1.0])
            )
        # GPUs that pods with parts use enter at 0.
        self._columns.append((0.0, [gpus, reached[0]], [1.0, -1.0]))

    def program(self) -> Any:
        """All of it as HiGHS takes it: the most thousandths of GPUs, in fractions."""
        import highspy

        program = highspy.HighsLp()
        program.num_col_, program.num_row_ = len(self._columns), len(self._rows)
        program.sense_ = highspy.ObjSense.kMaximize
        program.col_cost_ = np.array([cost for cost, _, _ in self._columns])
        program.col_lower_ = np.zeros(len(self._columns))
        program.col_upper_ = np.full(len(self._columns), np.inf)
        program.row_lower_ = np.array([low for low, _ in self._rows])
        program.row_upper_ = np.array([high for _, high in self._rows])
        program.a_matrix_.format_ = highspy.MatrixFormat.kColwise
        program.a_matrix_.start_ = np.cumsum([0, *(len(rows) for _, rows, _ in self._columns)])
        rows = [row for _, rows, _ in self._columns for row in rows]
        values = [value for _, _, values in self._columns for value in values]
        program.a_matrix_.index_ = np.array(rows, dtype=np.int32)
        program.a_matrix_.value_ = np.array(values, dtype=np.float64)
        return program
