"""The best placement of given pods that any policy could have reached, as an integer program.

The pods that had arrived by the end are known, and any of them may be refused. Nodes of a type are
alike, and so are pods of a shape, so the program chooses how often each *pattern*, the pods of one
node (``sim.place.patterns``), is used on each type (Gilmore and Gomory, 1961):

    most Σ request·z   with   z_s ≤ Σ a_sp y_p,   z_s ≤ pods of s,   Σ_{p of t} y_p ≤ nodes of t

Where all patterns can be listed, HiGHS solves just that, and its bound is the truth. Else patterns
are generated: at prices π of the pods, the best one of each type is an integer program of one node
(arc flow over its GPUs, CPU and memory). Whatever the prices are,

    Σ pods_s·max(0, request_s - π_s) + Σ nodes_t·(worth of the best pattern of t at π)

is a bound for every placement (Lagrange), and the columns found so far give a real placement.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import gcd
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.errors import RackplanError
from sim.place.arcs import Arcs, new_solver
from sim.place.bound import free_milli
from sim.place.cluster import Cluster
from sim.place.patterns import Pattern, TooMany, every_pattern, fits

#: Patterns that are listed, of all types of nodes together, at most.
MOST_LISTED = 4000
#: Of the time left, what finding patterns gets; the rest is for choosing among them.
_FINDING = 0.6
#: How close to the best pattern a pattern need be, relative: the bound is from what is possible.
_CLOSE = 1e-3


@dataclass(frozen=True)
class Optimal:
    """What was found in the time.

    Attributes:
        found_milli: thousandths of GPUs that ``patterns`` allocate; a placement that holds.
        bound_milli: no placement allocates more.
        patterns: (type of node, pattern, nodes that have it), …
        listed: whether all patterns were known, so that nothing but time was in the way.
        seconds: that it took.
    """

    found_milli: int
    bound_milli: int
    patterns: tuple[tuple[int, Pattern, int], ...]
    listed: bool
    seconds: float

    @property
    def proven(self) -> bool:
        """Whether nothing better is possible."""
        return self.found_milli == self.bound_milli


def refuse_rules(cluster: Cluster, quotas: Mapping[str, float]) -> None:
    """Refuse what the program does not know: tenants.

    Raises:
        RackplanError: quotas, or pods that must be alone.
    """
    if quotas or cluster.pods.alone.any():
        what = "--quota" if quotas else f"isolation (pods of {cluster.pods.file})"
        raise RackplanError(f"--optimal: the integer program does not know {what}; leave one out")


def optimal(
    cluster: Cluster,
    pods: NDArray[np.int64],
    limit_s: float,
    start: NDArray[np.int64] | None = None,
) -> Optimal:
    """The best placement of ``pods`` (positions in the list) that is found in ``limit_s`` seconds.

    ``start``: the node of each (-1: none) in a placement that is known; nothing worse is found.
    """
    begun = time.perf_counter()
    shape = cluster.shape[pods]
    counts = np.bincount(shape, minlength=len(cluster.shapes))
    counts[cluster.shapes["request"] == 0] = 0  # they can wait until all others have a place
    master = _Master(cluster, counts)
    known = {} if start is None else _patterns_of(cluster, shape, start)
    for kind, pattern in known:
        master.add(kind, pattern)
    start_with = tuple((kind, pattern, times) for (kind, pattern), times in known.items())
    found, chosen = master.allocated(start_with), start_with
    bound, listed = free_milli(cluster, counts), _list_all(master)
    pricing = [] if listed else [_Pricing(master, kind) for kind in master.kinds]
    while True:
        left_s = begun + limit_s - time.perf_counter()
        lower, more = _generate(master, pricing, time.perf_counter() + _FINDING * left_s)
        left_s = begun + limit_s - time.perf_counter()
        allocated, patterns, most = master.choose(max(0.1 * limit_s, left_s))
        if allocated > found:
            found, chosen = allocated, patterns
        bound = min(bound, most if listed else lower)
        if not more or found >= bound or time.perf_counter() - begun > 0.9 * limit_s:
            break
    unit = gcd(*cluster.shapes["request"][counts > 0].tolist()) or 1
    whole = int(bound * (1.0 + 1e-9) + 1e-3) // unit * unit
    return Optimal(found, max(whole, found), chosen, listed, time.perf_counter() - begun)


def _patterns_of(
    cluster: Cluster, shape: NDArray[np.int64], node: NDArray[np.int64]
) -> Counter[tuple[int, Pattern]]:
    """(type, pattern) → nodes of a placement, in order of node."""
    on: dict[int, Counter[int]] = {}
    for s, n in zip(shape.tolist(), node.tolist(), strict=True):
        if n >= 0 and cluster.shapes["request"][s] > 0:
            on.setdefault(n, Counter())[s] += 1
    kinds = cluster.idle["type"].tolist()
    return Counter((kinds[n], tuple(sorted(pods.items()))) for n, pods in sorted(on.items()))


def _list_all(master: _Master) -> bool:
    """Add every pattern of every type, if there are few enough."""
    found: list[tuple[int, Pattern]] = []
    try:
        for kind in master.kinds:
            counts = np.where(master.may(kind), master.counts, 0).tolist()
            room = MOST_LISTED - len(found)
            found += [
                (kind, pattern)
                for pattern in every_pattern(master.node(kind), master.shapes, counts, room)
            ]
    except TooMany:
        return False
    for kind, pattern in found:
        master.add(kind, pattern)
    return True


def _generate(master: _Master, pricing: Sequence[_Pricing], until_s: float) -> tuple[float, bool]:
    """Add patterns as long as that helps; the lowest bound met, and whether more would help."""
    best = np.inf
    while pricing:
        prices, worth = master.prices()
        gain = np.maximum(0.0, master.shapes["request"] - prices)
        bound, added = float(master.counts @ gain), False
        for one in pricing:
            left_s = until_s - time.perf_counter()
            if left_s <= 0.0:
                return best, True
            most, pattern = one.best(prices, left_s)
            bound += master.nodes(one.kind) * most
            if pattern and one.worth(pattern, prices) > worth[one.kind] + 1e-6:
                added |= master.add(one.kind, pattern)
        best = min(best, bound)
        if not added:
            break
    return best, False


class _Master:
    """The choice among the patterns that are known."""

    def __init__(self, cluster: Cluster, counts: NDArray[np.int64]) -> None:
        self.shapes, self.counts, self._cluster = cluster.shapes, counts, cluster
        self.kinds = [
            kind
            for kind, one in enumerate(cluster.types.tolist())
            if cluster.idle[one]["gpus"] > 0 and self._fitting(kind).any()
        ]
        self._known: dict[tuple[int, Pattern], int] = {}  # → column
        self._lp = new_solver()
        for s, n in enumerate(counts.tolist()):
            self._lp.addRow(0.0, np.inf, 0, np.array([], np.int32), np.array([]))
            self._lp.addCol(
                -float(self.shapes["request"][s]), 0.0, float(n), 1, np.array([s], np.int32),
                np.array([-1.0]),
            )  # fmt: skip
        self._row = {kind: len(counts) + i for i, kind in enumerate(self.kinds)}
        for kind in self.kinds:
            nodes = float(self.nodes(kind))
            self._lp.addRow(-np.inf, nodes, 0, np.array([], np.int32), np.array([]))

    def node(self, kind: int) -> Any:
        """An idle node of a type."""
        return self._cluster.idle[self._cluster.types[kind]]

    def nodes(self, kind: int) -> int:
        """How many there are of a type."""
        return int(np.count_nonzero(self._cluster.idle["type"] == kind))

    def may(self, kind: int) -> NDArray[np.bool_]:
        """[S] shapes with pods that may run on a type."""
        return self._cluster.allowed[:, kind] & (self.counts > 0)

    def _fitting(self, kind: int) -> NDArray[np.bool_]:
        """[S] those of which one fits on a node."""
        shapes, node = self.shapes, self.node(kind)
        fit = (shapes["cpu"] <= node["cpu_left"]) & (shapes["mem"] <= node["mem_left"])
        return np.asarray(self.may(kind) & fit & (shapes["gpus"] <= node["gpus"]))

    def add(self, kind: int, pattern: Pattern) -> bool:
        """A pattern more; False: it is known, or cannot be shown to fit."""
        try:
            if (kind, pattern) in self._known or not fits(pattern, self.shapes, self.node(kind)):
                return False
        except TooMany:
            return False
        self._known[kind, pattern] = self._lp.getNumCol()
        rows = np.array([*(s for s, _ in pattern), self._row[kind]], np.int32)
        values = np.array([*(float(number) for _, number in pattern), 1.0])
        self._lp.addCol(0.0, 0.0, np.inf, len(rows), rows, values)
        return True

    def prices(self) -> tuple[NDArray[np.float64], dict[int, float]]:
        """[S] what one more pod's place is worth in fractions; and a node of each type."""
        self._lp.run()
        duals = np.array(self._lp.getSolution().row_dual)
        prices = np.maximum(0.0, duals[: len(self.counts)])
        return prices, {kind: max(0.0, -float(duals[row])) for kind, row in self._row.items()}

    def choose(self, limit_s: float) -> tuple[int, tuple[tuple[int, Pattern, int], ...], float]:
        """How often each pattern is used, in whole numbers; what that allocates, and its bound."""
        import highspy

        whole = new_solver()
        whole.passModel(self._lp.getLp())
        columns = np.array(list(self._known.values()), np.int32)
        kinds = np.full(len(columns), highspy.HighsVarType.kInteger)
        if len(columns):
            whole.changeColsIntegrality(len(columns), columns, kinds)
        whole.setOptionValue("time_limit", float(limit_s))
        whole.setOptionValue("mip_rel_gap", 0.0)
        whole.run()
        values = np.array(whole.getSolution().col_value)
        if not len(values) or not len(columns):
            return 0, (), np.inf if len(columns) else 0.0
        chosen = tuple(
            (kind, pattern, round(values[column]))
            for (kind, pattern), column in self._known.items()
            if round(values[column]) > 0
        )
        return self.allocated(chosen), chosen, -float(whole.getInfo().mip_dual_bound)

    def allocated(self, chosen: tuple[tuple[int, Pattern, int], ...]) -> int:
        """Thousandths of GPUs of the pods that have a place, counted anew in whole numbers."""
        room: Counter[int] = Counter()
        for kind in self.kinds:
            assert sum(times for k, _, times in chosen if k == kind) <= self.nodes(kind)
        for _, pattern, times in chosen:
            for s, number in pattern:
                room[s] += number * times
        return sum(
            min(places, int(self.counts[s])) * int(self.shapes["request"][s])
            for s, places in room.items()
        )


class _Pricing:
    """The pattern of one type of node that is worth most."""

    def __init__(self, master: _Master, kind: int) -> None:
        import highspy

        self.kind = kind
        node, shapes = master.node(kind), master.shapes
        arcs = Arcs(shapes, np.where(master.may(kind), master.counts, 0))
        arcs.add_type(node, 1, master.may(kind))
        self._columns, self._of = list(arcs.shape_of), list(arcs.shape_of.values())
        self._program = arcs.program()
        self._program.integrality_ = [highspy.HighsVarType.kInteger] * self._program.num_col_
        mine = shapes[self._of]
        alike = (mine["gpus"] == mine["gpus"][:, None]) & (
            mine["gpu_milli"] == mine["gpu_milli"][:, None]
        )
        lighter = (mine["cpu"] <= mine["cpu"][:, None]) & (mine["mem"] <= mine["mem"][:, None])
        enough = master.counts[self._of] >= int(node["left"]) // np.maximum(1, mine["request"])
        #: [i, j] whether j could always stand in for i, were it worth as much.
        self._stands_in = alike & lighter & enough

    def best(self, prices: NDArray[np.float64], limit_s: float) -> tuple[float, Pattern]:
        """What no pattern is worth more than, and the best one found."""
        worth = prices[self._of]
        first = np.arange(len(worth)) < np.arange(len(worth))[:, None]
        better = (worth > worth[:, None]) | ((worth == worth[:, None]) & first)
        useful = (worth > 0.0) & ~(self._stands_in & better).any(axis=1)
        costs, upper = np.zeros(self._program.num_col_), np.full(self._program.num_col_, np.inf)
        costs[self._columns], upper[self._columns] = worth, np.where(useful, np.inf, 0.0)
        self._program.col_cost_, self._program.col_upper_ = costs, upper
        solver = new_solver()  # a used one goes on counting its time
        solver.passModel(self._program)
        solver.setOptionValue("mip_rel_gap", _CLOSE)
        solver.setOptionValue("time_limit", float(limit_s))
        solver.run()
        values = solver.getSolution().col_value
        pattern = tuple(
            (s, round(values[column]))
            for column, s in zip(self._columns, self._of, strict=True)
            if len(values) and round(values[column]) > 0
        )
        return float(solver.getInfo().mip_dual_bound), pattern

    @staticmethod
    def worth(pattern: Pattern, prices: NDArray[np.float64]) -> float:
        """A pattern at prices."""
        return float(sum(prices[s] * number for s, number in pattern))
