"""The answer to a question: bounds before any run, a search among what they leave, its evidence."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sim.engine.build import build
from sim.errors import BuildError, RackplanError
from sim.plan.least.conflict import Conflict, Conflicts, Holding, minimal, shared
from sim.plan.least.question import Question
from sim.plan.line_at import LineAt, line_at
from sim.plan.load import Loads, PoolLoad
from sim.plan.runs import PlanRuns
from sim.plan.search import ERROR, SCREEN, Found, Search, judged
from sim.spec.axes import Label
from sim.spec.question import MINIMUM
from sim.study.judge import NO, YES
from sim.study.seeds import binding_limits

#: What an answer is worth. Certain: the point meets every line and the one before it does not, both
#: with all looks at α. Likely: so by the means over all common seeds, and not certain.
#: Not certifiable: the points before are so near to saturation that no few seeds can tell.
CERTAIN, LIKELY, NOT_CERTIFIABLE = "certain", "likely", "not certifiable"
#: No point meets the lines: shown, or only so in the means.
NONE, NONE_LIKELY = "none", "none, likely"
#: Verdicts of points that were not run.
NOT_SERVED, NOT_BUILT, NEAR = "cannot be served", "cannot be built", "near saturation"
MEANS_ONLY = "means only"


@dataclass(frozen=True)
class PointAt:
    """A point: its value, what is known of it and from how many seeds, its loads.

    ``verdict``: "yes", "no", "undecided", or why it was not tested.
    """

    point: int
    value: Label
    verdict: str
    seeds: int
    lines: tuple[LineAt, ...]
    loads: tuple[PoolLoad, ...]
    reason: str = ""

    @property
    def worst(self) -> LineAt | None:
        """The line that misses by most, as a share of its limit; None if every mean holds."""
        missed = [line for line in self.lines if line.objective.margin(line.value) > 0.0]

        def by(line: LineAt) -> float:
            return line.objective.margin(line.value) / (abs(line.objective.limit) or 1e-9)

        return max(missed, key=by, default=None)


@dataclass(frozen=True)
class Plan:
    """An answer.

    Attributes:
        status: one of the words above.
        answer: the point; None if none meets the lines.
        low, high: values between which the answer lies, by certified points and bounds.
        bound: the value that nothing beyond can be served; None if no pool's load is known.
        certifiable: the first value that is not near saturation; None likewise.
        points: that have evidence or a reason, from the hardest to the easiest.
        binding: limits that bind in the runs of the last point that misses, the most frequent
            first, else of the answer; ``binding_at`` says of which.
        monotone: no point after the answer misses.
        made, found: runs that were made, and that were there.
        conflicts: where there is no answer, sets of lines that exclude each other.
        notes: sentences on what could not be known, or was left out.
    """

    question: Question
    status: str
    answer: PointAt | None
    low: Label | None
    high: Label | None
    bound: Label | None
    certifiable: Label | None
    points: tuple[PointAt, ...]
    binding: tuple[Mapping[str, Any], ...]
    binding_at: Label | None
    monotone: bool
    made: int
    found: int
    notes: tuple[str, ...]
    conflicts: tuple[Conflict, ...]

    def beside(self, step: int) -> PointAt | None:
        """What is known of the point so many after the answer."""
        if self.answer is None:
            return None
        at = self.answer.point + step
        return next((point for point in self.points if point.point == at), None)


def make_plan(question: Question, runs: PlanRuns) -> Plan:
    """Answer a question; nothing is written but the runs.

    Args:
        question: from ``load_question``.
        runs: of that question.

    Raises:
        RunFailed: a run came to no end.
        RackplanError: no point can be built, or a line cannot be measured.
        KeyboardInterrupt: Ctrl-C; runs that had finished stay, so that the same call goes on.
    """
    return _Planner(question, runs).plan()


class _Planner:
    """Puts an answer together."""

    def __init__(self, question: Question, runs: PlanRuns) -> None:
        self._question, self._runs = question, runs
        self._loads = Loads(question.objectives)
        self._loaded: dict[int, tuple[PoolLoad, ...]] = {}
        self._notes: list[str] = []
        self._rows: dict[int, PointAt] = {}
        self._known = False
        self._conflicts: tuple[Conflict, ...] = ()
        self._served: int | None = None
        self._certifiable: int | None = None
        self._least = 0  # nothing before it can be the answer, whatever runs say
        self._last = question.last  # nothing after it is looked at

    def plan(self) -> Plan:
        """Bounds, search, evidence."""
        question = self._question
        self._leave_out_the_easiest()
        self._served = served = self._first(0, lambda p: not self._why_not_served(p))
        easiest = self.loads(question.last)
        self._notes += [
            f"saturation of {load.pool} is not known: {load.unknown}; nothing is bounded by it"
            for load in easiest
            if load.unknown
        ]
        self._known = any(not load.unknown for load in easiest)
        self._least = served or 0
        if served is None:
            self._excluded(question.last, NOT_SERVED, self._why_not_served(question.last))
            return self._plan(NONE, None)
        first = self._first(served, lambda p: not any(x.near_saturation for x in self.loads(p)))
        if first is None:
            self._excluded(question.last, NEAR, self._why_near(question.last))
            return self._plan(NOT_CERTIFIABLE, None)
        self._certifiable = first
        first, last = self._buildable(first)
        found = self._search(first, last)
        if found.point is None:
            holding = Conflicts(
                question.objectives, self._runs, first, last, len(question.seeds)
            ).holding()
            together = shared(holding)
            if together is None:
                self._conflicts = minimal(holding)
                self._show_conflicts()
            elif together[1] < last:
                last = together[1]
                self._notes.append(self._only_up_to(holding, last))
                found = self._search(first, last)
        return self._told(found, first, last)

    def _leave_out_the_easiest(self) -> None:
        """Where the load is harder for the easiest points than for the hardest, leave those out.

        The most replicas that a contract bears, say: what draws least may be too few for the load.
        """
        for verdict, why in ((NOT_SERVED, self._why_not_served), (NEAR, self._why_near)):
            if not why(self._last) or why(0):
                continue
            fine, out = 0, self._last
            while out - fine > 1:
                middle = (fine + out) // 2
                fine, out = (fine, middle) if why(middle) else (middle, out)
            self._last = fine
            self._excluded(out, verdict, why(out))
            side = "above" if self._question.spec.goal == MINIMUM else "below"
            what = "cannot be served" if verdict == NOT_SERVED else "is not certifiable"
            value = self._question.label(out)
            self._notes.append(f"{value} and {side} {what}, and was left out: {why(out)}")

    def _search(self, first: int, last: int) -> Found:
        question = self._question
        seeds = len(question.seeds)
        near = self._known and self._last == question.last
        return Search(question.objectives, self._runs, first, last, seeds, near).run()

    def _only_up_to(self, holding: Sequence[Holding], last: int) -> str:
        """What to say of values that were left out because a line gets worse along the way."""
        value = self._question.values[last]
        worse = [one.objective.text for one in holding if one.last == last]
        to = "up" if self._question.spec.goal == MINIMUM else "down"
        return (
            f"{' and '.join(worse)}: holds {to} to {value} only, in the means over all common "
            "seeds; the answer was sought before it"
        )

    def _show_conflicts(self) -> None:
        """Rows of the points that tell where lines exclude each other."""
        for conflict in self._conflicts:
            for line in conflict.lines:
                for point in {line.first, line.last, line.nearest} - {None}:
                    assert point is not None
                    if point not in self._rows:
                        self._rows[point] = self._row(point, MEANS_ONLY)

    def loads(self, point: int) -> tuple[PoolLoad, ...]:
        """Loads of the pools at a point."""
        if point not in self._loaded:
            self._loaded[point] = tuple(self._loads.of(self._question.scenario(point)))
        return self._loaded[point]

    def _why_not_served(self, point: int) -> str:
        return next((load.infeasible for load in self.loads(point) if load.infeasible), "")

    def _why_near(self, point: int) -> str:
        near = [load for load in self.loads(point) if load.near_saturation]
        return "; ".join(
            f"{load.pool} is at {100 * load.utilisation:.3g} % of its saturation with "
            f"{load.replicas} replicas (β = {load.beta:.2f})"
            for load in near
        )

    def _first(self, low: int, fine: Callable[[int], bool]) -> int | None:
        """The first point from ``low`` on that is fine, by bisection; None if the last is not."""
        last = self._last
        if not fine(last):
            return None
        missing, holding = low - 1, last
        while holding - missing > 1:
            middle = (missing + holding) // 2
            if fine(middle):
                holding = middle
            else:
                missing = middle
        return holding

    def _buildable(self, first: int) -> tuple[int, int]:
        """The range of points that can be built: at one end there may be no place for all.

        Raises:
            RackplanError: neither end can be built.
        """
        last = self._last
        wrong = {point: self._why_not_built(point) for point in (first, last)}
        if wrong[first] and wrong[last]:
            raise RackplanError(f"{self._question.label(last)}: {wrong[last]}")
        if not wrong[first] and not wrong[last]:
            return first, last
        good, bad = (last, first) if wrong[first] else (first, last)
        while abs(good - bad) > 1:
            middle = (good + bad) // 2
            wrong[middle] = self._why_not_built(middle)
            good, bad = (good, middle) if wrong[middle] else (middle, bad)
        self._excluded(bad, NOT_BUILT, wrong[bad])
        side = "and below" if (bad < good) == (self._question.spec.goal == MINIMUM) else "and above"
        self._notes.append(f"{self._question.label(bad)} {side} cannot be built: {wrong[bad]}")
        if bad > good:
            return first, good
        self._least = good
        return good, last

    def _why_not_built(self, point: int) -> str:
        try:
            build(self._question.scenario(point), self._question.seeds[0])
        except BuildError as error:
            return str(error)
        return ""

    def _excluded(self, point: int, verdict: str, reason: str) -> None:
        value = self._question.values[point]
        self._rows[point] = PointAt(point, value, verdict, 0, (), self.loads(point), reason)

    def _told(self, found: Found, first: int, last: int) -> Plan:
        """The plan that a search leads to."""
        point = found.point
        near = first == self._certifiable and first > (self._served or 0)
        if point == first > 0 and point - 1 not in self._rows:
            if near:  # two seeds say how it looks, though not what it is
                self._runs.see({point - 1: min(SCREEN, len(self._question.seeds))})
                self._rows[point - 1] = self._row(point - 1, NEAR, self._why_near(point - 1))
            elif point == self._served:
                self._excluded(point - 1, NOT_SERVED, self._why_not_served(point - 1))
        for tested in found.tested.values():
            self._rows[tested.point] = self._row(tested.point, tested.answer)
        if not found.monotone:
            self._notes.append(
                "not monotone: a point after one that holds misses a line; the answer is the first "
                "of three in a row that hold over all common seeds"
            )
        if point is None:
            sure = found.monotone and found.tested[last].answer == NO
            return self._plan(NONE if sure else NONE_LIKELY, None, found)
        status = LIKELY
        if found.tested[point].answer == YES:
            below = found.tested.get(point - 1)
            if point == first:
                status = NOT_CERTIFIABLE if near else CERTAIN
            elif below is not None and below.answer == NO:
                status = CERTAIN
        return self._plan(status if found.monotone else LIKELY, point, found)

    def _row(self, point: int, verdict: str, reason: str = "") -> PointAt:
        """A point with the means over all its seeds that are there."""
        values = self._runs.values(point)
        _, lines = judged(self._question.objectives, self._runs.margins(point), ERROR)
        shown = tuple(
            line_at(
                seen, values[seen.objective.text], self._runs.measured(point, seen.objective.text)
            )
            for seen in lines
        )
        value, seeds = self._question.values[point], len(self._runs.seeds(point))
        return PointAt(point, value, verdict, seeds, shown, self.loads(point), reason)

    def _plan(self, status: str, point: int | None, found: Found | None = None) -> Plan:
        question = self._question
        points = tuple(self._rows[p] for p in sorted(self._rows))
        low, high = self._range(point, found)
        bound = self._served if self._known else None
        certifiable = self._certifiable if self._known else None
        at = self._bound_by(point, points)
        return Plan(
            question=question,
            status=status,
            answer=None if point is None else self._rows[point],
            low=low,
            high=high,
            bound=None if bound is None else question.values[bound],
            certifiable=None if certifiable is None else question.values[certifiable],
            points=points,
            binding=() if at is None else tuple(binding_limits(self._runs.results(at))),
            binding_at=None if at is None else question.values[at],
            monotone=found is None or found.monotone,
            made=self._runs.making.made,
            found=self._runs.making.found,
            notes=tuple(self._notes),
            conflicts=self._conflicts,
        )

    def _range(self, point: int | None, found: Found | None) -> tuple[Label | None, Label | None]:
        """The values between which the answer lies: after the last certain no, up to a yes."""
        if point is None or found is None:
            return None, None
        tested = found.tested.values()
        no = max((t.point for t in tested if t.answer == NO and t.point < point), default=None)
        yes = min((t.point for t in tested if t.answer == YES and t.point >= point), default=None)
        values = self._question.values
        low = values[self._least if no is None else no + 1]
        return low, None if yes is None else values[yes]

    def _bound_by(self, point: int | None, points: tuple[PointAt, ...]) -> int | None:
        """Of which point the runs show what limits it: the last that misses, else the answer."""
        ran = [p.point for p in points if p.seeds]
        before = [p for p in ran if point is None or p < point]
        return before[-1] if before else point
