"""The cheapest mix that nothing excludes yet, as an integer program for HiGHS.

With y = 1 for the choice c of a pool p, n its replicas, R the pieces of hardware of kind k:

    least Σ price·R    with    Σ_c y_pc = 1,    least·y ≤ n ≤ most·y,    Σ gpus·n ≤ gpus_k·R_k,
    Σ power·R ≤ power,    Σ R ≤ racks,    Σ price·R ≤ cost,

and for each cut a disjunction: for a mix v that was refuted for want of replicas some pool has
another choice, or n ≥ v + 1 (a binary z with n ≥ (v + 1)·z). Of all mixes at the least price the
one is taken whose worst-off pool has most room, n over the replicas that its mean load keeps busy:
hardware that is paid for is used, and what evidence refutes it excludes most.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sim.place.arcs import new_solver
from sim.plan.mix.types import FEWER, MORE, OTHER, Choice, Cut, Kind, Mixes, Vector

#: What is made small: the price, the rated power, the number of racks, or replicas of a pool.
PRICE, POWER, RACKS = "price", "power", "racks"
#: The pieces of hardware that there are, as a limit that can be left out.
PIECES = "pieces"
#: Of the room of all pools together, beside that of the worst-off one.
_TOGETHER = 1e-3


@dataclass(frozen=True)
class Relaxed:
    """What is left out of a program: limits by name, lines by text, loads or ranges of pools."""

    limits: frozenset[str] = frozenset()
    loads: frozenset[int] = frozenset()
    ranges: frozenset[int] = frozenset()
    lines: frozenset[str] = frozenset()


@dataclass
class Program:
    """Programs over the same choices.

    Attributes:
        cuts: what evidence has excluded.
        solved: programs that were solved.
    """

    mixes: Mixes
    cuts: list[Cut] = field(default_factory=list)
    solved: int = 0

    def cheapest(
        self,
        least: Sequence[Sequence[int]],
        *,
        cuts: Sequence[Cut] | None = None,
        without: int | None = None,
        relaxed: Relaxed | None = None,
        small: str | int = PRICE,
    ) -> Vector | None:
        """The mix with the least price, and at that the most room; None if there is none.

        Args:
            least: replicas of each choice of each pool at least.
            cuts: instead of all.
            without: a kind of hardware that is not used.
            relaxed: what does not hold.
            small: what is made small in place of the price; a number: replicas of that pool.
        """
        used = self.cuts if cuts is None else list(cuts)
        one = _One(self.mixes, least, used, relaxed or Relaxed(), without)
        first = self._run(one, one.sum_of(small), least=True)
        if first is None:
            return None
        one.keep(one.sum_of(small), one.value(first, one.sum_of(small)) + 1e-6)
        return one.vector(self._run(one, one.room(), least=False) or first)

    def below(self, least: Sequence[Sequence[int]], price: float) -> Vector | None:
        """The mix with most room of those that cost less than ``price``; None if there is none."""
        one = _One(self.mixes, least, self.cuts, Relaxed(), None)
        one.keep(one.sum_of(PRICE), (price - self.mixes.tie) / one.unit)
        found = self._run(one, one.room(), least=False)
        return None if found is None else one.vector(found)

    def share_served(self, pool: int, least: Sequence[Sequence[int]], relaxed: Relaxed) -> float:
        """The share of a pool's load that can be served at most, without what is relaxed."""
        required, _, _ = ranges(self.mixes, least, self.cuts, Relaxed(ranges=relaxed.ranges))
        one = _One(self.mixes, least, self.cuts, relaxed, None)
        share = {one.n[pool, c]: 1.0 / low for c, low in enumerate(required[pool])}
        found = self._run(one, share, least=False)
        return 0.0 if found is None else one.value(found, share)

    def _run(self, one: _One, objective: dict[int, float], *, least: bool) -> list[float] | None:
        self.solved += 1
        return one.solve(objective, least)


def ranges(
    mixes: Mixes, least: Sequence[Sequence[int]], cuts: Sequence[Cut], relaxed: Relaxed
) -> tuple[list[list[int]], list[list[int]], list[Cut]]:
    """Least and most replicas of each choice, and the cuts that no such range can say."""
    low = [
        [choice.first if p in relaxed.loads else n for choice, n in zip(of, of_least, strict=True)]
        for p, (of, of_least) in enumerate(zip(mixes.choices, least, strict=True))
    ]
    high = [[choice.most for choice in choices] for choices in mixes.choices]
    held = [
        cut for cut in cuts if not relaxed.loads & cut.at.keys() and cut.line not in relaxed.lines
    ]
    for p in relaxed.ranges:
        refuted = [cut.at[p][1] + 1 for cut in held if p in cut.at]
        high[p] = [max(most, n, *refuted) for most, n in zip(high[p], low[p], strict=True)]
    several = []
    for cut in held:
        if len(cut.at) != 1 or cut.side == OTHER:
            several.append(cut)
            continue
        ((p, (c, n)),) = cut.at.items()
        if cut.side == MORE:
            low[p][c] = max(low[p][c], n + 1)
        else:
            high[p][c] = min(high[p][c], n - 1)
    return low, high, several


def _pieces(kind: Kind, without: bool, relaxed: bool) -> float:
    if without:
        return 0.0
    return math.inf if relaxed else kind.most


class _One:
    """One program: columns, rows, and what they mean."""

    def __init__(
        self,
        mixes: Mixes,
        least: Sequence[Sequence[int]],
        cuts: Sequence[Cut],
        relaxed: Relaxed,
        without: int | None,
    ) -> None:
        self._mixes = mixes
        self.unit = max(kind.price for kind in mixes.kinds) or 1.0
        self._columns: list[tuple[float, float, bool]] = []
        self._rows: list[tuple[dict[int, float], float, float]] = []
        self._least, self._most, several = ranges(mixes, least, cuts, relaxed)
        self.y: dict[tuple[int, int], int] = {}
        self.n: dict[tuple[int, int], int] = {}
        for pool, choices in enumerate(mixes.choices):
            for c, choice in enumerate(choices):
                self._add_choice(pool, c, choice, without)
            ones = {self.y[pool, c]: 1.0 for c in range(len(choices))}
            self._rows.append((ones, 1.0, 1.0))
        self._pieces = [
            self._column(0.0, _pieces(kind, k == without, PIECES in relaxed.limits))
            for k, kind in enumerate(mixes.kinds)
        ]
        self._hold(relaxed)
        for cut in several:
            self._add_cut(cut)

    def _column(self, low: float, high: float, whole: bool = True) -> int:
        self._columns.append((low, high, whole))
        return len(self._columns) - 1

    def _add_choice(self, pool: int, c: int, choice: Choice, without: int | None) -> None:
        low, high = self._least[pool][c], self._most[pool][c]
        possible = low <= high and choice.kind != without
        y = self.y[pool, c] = self._column(0.0, float(possible))
        n = self.n[pool, c] = self._column(0.0, float(high) if possible else 0.0)
        self._rows.append(({n: 1.0, y: -float(low)}, 0.0, math.inf))
        self._rows.append(({n: 1.0, y: -float(high)}, -math.inf, 0.0))

    def _hold(self, relaxed: Relaxed) -> None:
        """Hardware holds the replicas, and the limits hold."""
        mixes, limits = self._mixes, self._mixes.limits
        for k, kind in enumerate(mixes.kinds):
            gpus = {
                self.n[p, c]: float(choice.gpus)
                for p, choices in enumerate(mixes.choices)
                for c, choice in enumerate(choices)
                if choice.kind == k
            }
            self._rows.append(({**gpus, self._pieces[k]: -float(kind.gpus)}, -math.inf, 0.0))
        for name, most in (
            (POWER, limits.power_w / 1e3), (RACKS, limits.racks), (PRICE, limits.cost / self.unit),
        ):  # fmt: skip
            if math.isfinite(most) and name not in relaxed.limits:
                self.keep(self.sum_of(name), most)

    def _add_cut(self, cut: Cut) -> None:
        """Some pool has another choice, or more or fewer replicas."""
        row: dict[int, float] = {}
        needed = 1.0
        for pool, (c, refuted) in cut.at.items():
            y, n = self.y[pool, c], self.n[pool, c]
            row[y] = row.get(y, 0.0) - 1.0
            needed -= 1.0
            high = self._most[pool][c]
            if cut.side != FEWER and refuted < high:
                z = self._column(0.0, 1.0)
                self._rows.append(({n: 1.0, z: -float(refuted + 1)}, 0.0, math.inf))
                row[z] = 1.0
            if cut.side != MORE and refuted > 1:
                z = self._column(0.0, 1.0)
                self._rows.append(({n: 1.0, z: float(high - refuted + 1)}, -math.inf, float(high)))
                # Without the choice its 0 replicas would be "fewer", which says no more.
                row[z] = 1.0
        self._rows.append((row, needed, math.inf))

    def sum_of(self, what: str | int) -> dict[int, float]:
        """Column → how much of it one has: kilowatts, racks, the price in the dearest piece's."""
        if isinstance(what, int):
            return {n: 1.0 for (pool, _), n in self.n.items() if pool == what}
        return {
            column: self._of(kind, what)
            for column, kind in zip(self._pieces, self._mixes.kinds, strict=True)
        }

    def _of(self, kind: Kind, what: str) -> float:
        if what == PRICE:
            return kind.price / self.unit
        return kind.power_w / 1e3 if what == POWER else 1.0

    def keep(self, columns: dict[int, float], most: float) -> None:
        """A sum stays below."""
        self._rows.append((columns, -math.inf, most))

    def room(self) -> dict[int, float]:
        """What is made large: the room of the worst-off pool, and a little that of all."""
        worst = self._column(0.0, math.inf, whole=False)
        objective = {worst: 1.0}
        for pool, choices in enumerate(self._mixes.choices):
            rooms = {self.n[pool, c]: 1.0 / self._busy(choice) for c, choice in enumerate(choices)}
            self._rows.append(({**rooms, worst: -1.0}, 0.0, math.inf))
            for n, room in rooms.items():
                objective[n] = _TOGETHER * room
        return objective

    @staticmethod
    def _busy(choice: Choice) -> float:
        return choice.need if choice.need > 0.0 else float(max(1, choice.least))

    def value(self, found: Sequence[float], columns: dict[int, float]) -> float:
        """A sum at a solution."""
        return math.fsum(weight * found[column] for column, weight in columns.items())

    def vector(self, found: Sequence[float]) -> Vector:
        """The mix that a solution means."""
        return tuple(
            next(
                (c, round(found[self.n[pool, c]]))
                for c in range(len(choices))
                if found[self.y[pool, c]] > 0.5
            )
            for pool, choices in enumerate(self._mixes.choices)
        )

    def solve(self, objective: dict[int, float], least: bool) -> list[float] | None:
        """The values of the columns at the optimum; None if nothing is feasible."""
        import highspy

        solver = new_solver()
        solver.passModel(self._lp(objective, least))
        solver.setOptionValue("mip_rel_gap", 0.0)
        solver.run()
        status = solver.getModelStatus()
        if status == highspy.HighsModelStatus.kOptimal:
            return list(solver.getSolution().col_value)
        assert status == highspy.HighsModelStatus.kInfeasible, status
        return None

    def _lp(self, objective: dict[int, float], least: bool) -> Any:
        import highspy

        program: Any = highspy.HighsLp()
        program.num_col_, program.num_row_ = len(self._columns), len(self._rows)
        sense = highspy.ObjSense
        program.sense_ = sense.kMinimize if least else sense.kMaximize
        program.col_cost_ = np.array([objective.get(c, 0.0) for c in range(len(self._columns))])
        program.col_lower_ = np.array([low for low, _, _ in self._columns])
        program.col_upper_ = np.array([high for _, high, _ in self._columns])
        kinds = highspy.HighsVarType
        program.integrality_ = [
            kinds.kInteger if whole else kinds.kContinuous for _, _, whole in self._columns
        ]
        program.row_lower_ = np.array([low for _, low, _ in self._rows])
        program.row_upper_ = np.array([high for _, _, high in self._rows])
        program.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
        program.a_matrix_.start_ = np.cumsum([0, *(len(row) for row, _, _ in self._rows)])
        columns = [column for row, _, _ in self._rows for column in row]
        values = [value for row, _, _ in self._rows for value in row.values()]
        program.a_matrix_.index_ = np.array(columns, dtype=np.int32)
        program.a_matrix_.value_ = np.array(values, dtype=np.float64)
        return program
