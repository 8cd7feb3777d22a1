"""The first point of an ordered line of points that meets every objective, and evidence for it.

Points are numbered from the hardest to the easiest: whatever holds at one is taken to hold at all
that follow, and a guard looks whether it does. Two common seeds find the place (no claim is made of
them); then the point and the one before it get one seed after another until a confidence sequence
decides, or the seeds are used up; then the means over all common seeds have the last word, so that
no answer is ever infeasible on them.

Every tested point has an error of its own, which together are α: the first six α/8 each, all later
ones what is left. A point meets the lines only if each of them does, so none needs a correction; it
fails if one does, which is a choice among m, so each has 1/m of the error there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from sim.plan.margins import Objective
from sim.study.intervals import Interval
from sim.study.judge import NO, UNDECIDED, YES
from sim.study.sequence import first_look, seen, seen_share

ERROR = 0.05
#: Common seeds that find the place.
SCREEN = 2
#: The first looks at a tested point after the first that can decide are this many seeds apart.
_STEP = 2
#: The first tested points have 1/FIRST of the error each, so many of them.
FIRST, _SHARES = 8.0, 6
#: How much further each look beyond an undecided neighbour is, to say how wide the answer is.
_FURTHER = (2, 4)


class Evidence(Protocol):
    """Where margins come from."""

    def see(self, wanted: Mapping[int, int]) -> None:
        """Make sure that so many common seeds of each point are there."""
        ...

    def margins(self, point: int) -> Mapping[str, Sequence[float]]:
        """Line → its margin under each seed seen so far, in their order; above 0 is a miss."""
        ...


@dataclass(frozen=True)
class LineSeen:
    """A line at a point: its mean margin, the interval, and what that decides."""

    objective: Objective
    mean: float
    interval: Interval  # at 95 %, at any look
    answer: str


@dataclass(frozen=True)
class Tested:
    """A point after some seeds; ``error``: of its answer, 0 if it was only looked at."""

    point: int
    seeds: int
    answer: str
    lines: tuple[LineSeen, ...]
    error: float = 0.0

    @property
    def holds(self) -> bool:
        """Whether every mean meets its line."""
        return all(line.mean <= 0.0 for line in self.lines)

    @property
    def worst(self) -> LineSeen:
        """The line that is nearest to its limit or furthest beyond, as a share of the limit."""
        return max(self.lines, key=lambda line: line.mean / (abs(line.objective.limit) or 1e-9))


@dataclass
class Found:
    """What a search says.

    Attributes:
        point: the first that holds; None if none does.
        tested: points with evidence, ``screened``: those that were only looked at.
        monotone: every point after it that was looked at holds too.
    """

    point: int | None
    tested: dict[int, Tested]
    screened: dict[int, Tested]
    monotone: bool = True

    def at(self, point: int) -> Tested | None:
        """All there is of a point."""
        return self.tested.get(point) or self.screened.get(point)


def judged(
    objectives: Sequence[Objective], margins: Mapping[str, Sequence[float]], error: float
) -> tuple[str, tuple[LineSeen, ...]]:
    """Whether a point meets every line, with ``error`` over all looks at it."""
    lines = tuple(_line(line, margins[line.text], error, len(objectives)) for line in objectives)
    answers = {line.answer for line in lines}
    found = NO if NO in answers else YES if answers == {YES} else UNDECIDED
    return found, lines


def _line(objective: Objective, values: Sequence[float], error: float, lines: int) -> LineSeen:
    found = UNDECIDED
    if objective.chance:
        return _chance(objective, values, error, lines)
    if objective.never:
        # The mean of what is never below 0 is above it as soon as one value is.
        if any(value > 0.0 for value in values):
            found = NO
        elif len(values) >= first_look(error):
            found = YES
    elif seen(values, error, objective.spread_floor).interval.high <= 0.0:
        found = YES
    elif seen(values, error / lines, objective.spread_floor).interval.low > 0.0:
        found = NO
    shown = seen(values, ERROR, objective.spread_floor)
    return LineSeen(objective, shown.mean, shown.interval, found)


def _chance(objective: Objective, values: Sequence[float], error: float, lines: int) -> LineSeen:
    """As ``_line`` of a share of runs: counts of hits, whose spread is that of a binomial."""
    limit, more = objective.limit, objective.more
    hits = sum(round(limit - value if more else value + limit) for value in values)

    def margins(level: float) -> Interval:
        share = seen_share(hits, len(values), level, limit)
        if more:
            return Interval(limit - share.high, limit - share.low)
        return Interval(share.low - limit, share.high - limit)

    found = UNDECIDED
    if margins(error).high <= 0.0:
        found = YES
    elif margins(error / lines).low > 0.0:
        found = NO
    return LineSeen(objective, math.fsum(values) / len(values), margins(ERROR), found)


def certify(
    objectives: Sequence[Objective],
    evidence: Evidence,
    errors: Mapping[int, float],
    most: int,
    looked: dict[int, Tested],
) -> dict[int, Tested]:
    """Test points side by side, each until it is decided or ``most`` seeds are used up.

    Args:
        errors: point → the error of all looks at it.
        looked: point → the last look at it; looks are added.
    """
    tested: dict[int, Tested] = {}
    while len(tested) < len(errors):
        looks = {p: _next_look(looked.get(p), errors[p], most) for p in errors if p not in tested}
        evidence.see(looks)
        for point, seeds in looks.items():
            margins = {k: v[:seeds] for k, v in evidence.margins(point).items()}
            answer, lines = judged(objectives, margins, errors[point])
            looked[point] = Tested(point, seeds, answer, lines, errors[point])
            if answer != UNDECIDED or seeds == most:
                tested[point] = looked[point]
    return tested


def _next_look(before: Tested | None, error: float, most: int) -> int:
    """How many seeds the next look at a point that is being tested has."""
    least = first_look(error)
    seeds = least if before is None or before.error == 0.0 else before.seeds + _STEP
    return min(most, seeds)


def share_of(index: int, error: float = ERROR) -> float:
    """The error of the point that is tested as number ``index`` (from 0); all are ``error``."""
    if index < _SHARES:
        return error / FIRST
    later = index - _SHARES + 1
    return error * (1.0 - _SHARES / FIRST) * 6.0 / (math.pi * later) ** 2


@dataclass
class Search:
    """One search.

    Attributes:
        first, last: the hardest and the easiest point that may be the answer.
        most: common seeds that a point gets at most.
        near: the answer is expected just after ``first``, so it is sought from there.
    """

    objectives: Sequence[Objective]
    evidence: Evidence
    first: int
    last: int
    most: int
    near: bool
    error: float = ERROR
    tested: dict[int, Tested] = field(default_factory=dict)
    screened: dict[int, Tested] = field(default_factory=dict)

    def run(self) -> Found:
        """Find the first point that holds."""
        point = self._settled(self._place())
        if point is None:
            return self._found(None)
        point = self._by_sample(point)
        if point is None:
            return self._found(None)
        self._certify(point, point - 1, point + 1)
        monotone = all(self._holds_after(point + j) for j in (1, 2))
        if not monotone:
            point = self._scanned(point)
            if point is None:
                return Found(None, self.tested, self.screened, False)
            self._certify(point, point - 1, point + 1)
        self._widen(point)
        return self._found(point, monotone)

    def _found(self, point: int | None, monotone: bool = True) -> Found:
        return Found(point, self.tested, self.screened, monotone)

    def _mean_ok(self, point: int, seeds: int) -> bool:
        """Whether the means over the first common seeds hold."""
        self.evidence.see({point: seeds})
        margins = {k: v[:seeds] for k, v in self.evidence.margins(point).items()}
        _, lines = judged(self.objectives, margins, self.error)
        self.screened[point] = looked = Tested(point, seeds, UNDECIDED, lines)
        return looked.holds

    def _place(self) -> int:
        """Where the two first common seeds change from missing to holding; ``last`` if nowhere."""
        seeds = min(SCREEN, self.most)
        missing, holding = self.first - 1, self.last
        if self.near:
            step, point = 1, self.first
            while point < self.last and not self._mean_ok(point, seeds):
                missing, point, step = point, min(point + step, self.last), 2 * step
            holding = point
        while holding - missing > 1:
            middle = (missing + holding) // 2
            if self._mean_ok(middle, seeds):
                holding = middle
            else:
                missing = middle
        return holding

    def _certify(self, *points: int) -> None:
        """Test points side by side, each until it is decided or the seeds are used up."""
        inside = dict.fromkeys(p for p in points if self.first <= p <= self.last)
        waiting = {p: self._share(i) for i, p in enumerate(
            (p for p in inside if p not in self.tested), start=len(self.tested))}  # fmt: skip
        self.tested |= certify(self.objectives, self.evidence, waiting, self.most, self.screened)

    def _share(self, index: int) -> float:
        return share_of(index, self.error)

    def _good(self, point: int) -> bool:
        """Whether a point holds by its evidence, or where that is not enough by the sample."""
        self._certify(point)
        answer = self.tested[point].answer
        return answer == YES or (answer == UNDECIDED and self._mean_ok(point, self.most))

    def _settled(self, point: int) -> int | None:
        """The first good point, sought from ``point`` on in steps that double; None: not one."""
        self._certify(point, point - 1)
        step = 1
        if self._good(point):
            holding, missing = point, self.first - 1
            while holding > self.first:
                at = max(self.first, holding - step)
                if not self._good(at):
                    missing = at
                    break
                holding, step = at, 2 * step
        else:
            missing, holding = point, self.last + 1
            while missing < self.last:
                at = min(self.last, missing + step)
                if self._good(at):
                    holding = at
                    break
                missing, step = at, 2 * step
            if holding > self.last:
                return None
        while holding - missing > 1:
            middle = (missing + holding) // 2
            if self._good(middle):
                holding = middle
            else:
                missing = middle
        return holding

    def _by_sample(self, point: int) -> int | None:
        """The answer by the means over all common seeds, from ``point`` on."""
        while not self._mean_ok(point, self.most):
            if point == self.last:
                return None
            point += 1
        while point > self.first and not self._refuted(point - 1):
            if not self._mean_ok(point - 1, self.most):
                break
            point -= 1
        return point

    def _refuted(self, point: int) -> bool:
        return point in self.tested and self.tested[point].answer == NO

    def _holds_after(self, point: int) -> bool:
        """Whether a point after the answer holds; the last word has the whole sample."""
        if point > self.last:
            return True
        known = self.tested.get(point)
        if known is not None and known.answer != NO and known.holds:
            return True
        if known is None and self._mean_ok(point, min(SCREEN, self.most)):
            return True
        return self._mean_ok(point, self.most)

    def _scanned(self, point: int) -> int | None:
        """Where points do not hold in order: the first of three in a row that do."""
        around = range(max(self.first, point - 3), min(self.last, point + 6) + 1)
        self.evidence.see(dict.fromkeys(around, self.most))
        holds = {p: self._mean_ok(p, self.most) for p in around}
        for p in around:
            if all(holds.get(q, q > self.last) for q in (p, p + 1, p + 2)):
                return p
        return None

    def _widen(self, point: int) -> None:
        """Test points ever further off until decided ones stand on both sides, a few at most."""
        for side in (-1, 1):
            at = point if side > 0 else point - 1
            decided = YES if side > 0 else NO
            for further in _FURTHER:
                known = self.tested.get(at)
                if known is None or known.answer == decided:
                    break
                at += side * further
                self._certify(at)
