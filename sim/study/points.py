"""The points of a study: what its axes span, each a checked scenario, before anything is run."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Protocol

from sim.check import check
from sim.check.scenario import Scenario, serving
from sim.errors import Mark, Problem, ScenarioError, UnknownName
from sim.results.metrics import MetricDefinition, lookup
from sim.spec.axes import Label, Level
from sim.spec.goals import GoalSpec
from sim.spec.merge import Change
from sim.spec.quantity import read_quantity
from sim.spec.reader import Source, open_source
from sim.spec.sampling import SEARCH
from sim.spec.study import MOST_POINTS, Asked, Chance, StudySpec, read_study
from sim.study.design import latin_hypercube
from sim.units import UnitError


class Based(Protocol):
    """A study of any kind, as read: what is said of its base."""

    @property
    def base(self) -> str:
        """The base as messages name it."""
        ...

    @property
    def base_mark(self) -> Mark:
        """Where it is named."""
        ...

    @property
    def root(self) -> Path:
        """The folder in whose tree everything must lie."""
        ...


@dataclass(frozen=True)
class Threshold:
    """A line whose probability is asked for; the threshold is in SI units."""

    text: str
    metric: str
    operator: str
    threshold: float


@dataclass(frozen=True)
class Point:
    """One point of the grid.

    Attributes:
        number: from 1, the last axis running fastest.
        labels: one of each axis.
        scenario: what is run.
        baseline: what it is compared with; None where the study has no baseline.
    """

    number: int
    labels: tuple[Label, ...]
    scenario: Scenario
    baseline: Scenario | None


@dataclass(frozen=True)
class Study:
    """A checked study.

    Attributes:
        spec: as read.
        axes: their names; ``points``: the grid, in order.
        seeds: of every point and baseline.
        metrics: full names that are looked at.
        chances: lines whose probability is asked for.
        constraints: lines that a feasible point holds to.
        maker: makes points of a study that finds them while it runs.
        ends: of such a study, what was checked beforehand: both ends of all axes.
    """

    spec: StudySpec
    axes: tuple[str, ...]
    points: tuple[Point, ...]
    seeds: tuple[int, ...]
    metrics: tuple[str, ...]
    chances: tuple[Threshold, ...]
    constraints: tuple[Threshold, ...] = ()
    maker: PointMaker | None = field(default=None, compare=False)
    ends: tuple[Point, ...] = field(default=(), compare=False)

    @property
    def name(self) -> str:
        """The study's name."""
        return self.spec.name

    @property
    def warnings(self) -> list[str]:
        """Every warning of the points, once, with the first point that has it."""
        found: dict[str, str] = {}
        for point in self.points or self.ends:
            for text in point.scenario.warnings:
                where = f"from point {point.number} on: {self.label(point)}"
                found.setdefault(text, text if point.number == 1 else f"{text} ({where})")
        return list(found.values())

    def label(self, point: Point) -> str:
        """A point in words: ``servers 20, policy none``."""
        return _in_words(self.axes, point.labels)


def load_study(
    path: str | os.PathLike[str],
    *,
    sets: Sequence[str] = (),
    seeds: int | None = None,
    allow_outside: bool = False,
) -> Study:
    """Read a study and check every point of it.

    Args:
        path: the study's file.
        sets: changes to the base, before those of the axes.
        seeds: how many; default: as the study says.
        allow_outside: let paths lead out of the folders that a study may use.

    Raises:
        ScenarioError: everything that is wrong, of the study and of all points together; a problem
            of several points is told once, with the points that have it.
    """
    spec = read_study(path, allow_outside=allow_outside)
    grid = _levels(spec)
    source = base_source(spec, allow_outside)
    try_base(source, sets)
    maker = PointMaker(spec, source, sets)
    points = maker.add(grid)
    first = points[0].scenario.seed
    count = spec.seeds if seeds is None else seeds
    searches = spec.sampling is not None and spec.sampling.kind == SEARCH
    goals = [goal.metric for goal in spec.objectives]
    return Study(
        spec=spec,
        axes=tuple(axis.name for axis in spec.axes),
        points=() if searches else points,
        seeds=tuple(range(first, first + count)),
        metrics=tuple(dict.fromkeys([*(asked.text for asked in spec.metrics), *goals])),
        chances=tuple(maker.chances.values()),
        constraints=tuple(maker.constraints.values()),
        maker=maker if searches else None,
        ends=points if searches else (),
    )


_Levels = tuple[Level, ...]


class PointMaker:
    """Makes points, numbered from 1 on, each a checked scenario.

    Attributes:
        chances, constraints: the study's lines by their text, once a point was made.
    """

    def __init__(self, spec: StudySpec, source: Source, sets: Sequence[str]) -> None:
        self._spec, self._source, self._sets = spec, source, sets
        self._grid: list[_Levels] = []
        self.chances: dict[str, Threshold] = {}
        self.constraints: dict[str, Threshold] = {}

    def fresh(self) -> PointMaker:
        """One that has made no point yet."""
        return PointMaker(self._spec, self._source, self._sets)

    def add(self, grid: Sequence[_Levels]) -> tuple[Point, ...]:
        """The next points.

        Raises:
            ScenarioError: everything that is wrong with them together.
        """
        before = len(self._grid)
        self._grid.extend(grid)
        found, baseline = _Found(self._spec, self._grid, len(grid)), self._spec.baseline
        points = []
        for number, levels in enumerate(grid, start=before + 1):
            changes = [change for level in levels for change in level.changes]
            scenario = found.checked(number, self._source, self._sets, changes, "")
            other = None
            if baseline is not None:
                both = [*changes, *baseline]
                other = found.checked(number, self._source, self._sets, both, "baseline")
            labels = tuple(level.label for level in levels)
            if scenario is not None and (other is not None or baseline is None):
                points.append(Point(number, labels, scenario, other))
        self.chances |= found.lines_of(points, self._spec.chances)
        self.constraints |= found.lines_of(points, self._spec.constraints)
        found.look_up(points)
        found.raise_problems()
        return tuple(points)


def _levels(spec: StudySpec) -> list[_Levels]:
    """The points: the grid, the last axis running fastest, or those that are drawn.

    Of a search, what is checked before it: both ends of every axis.

    Raises:
        ScenarioError: it is too large.
    """
    if spec.sampling is not None and spec.sampling.kind == SEARCH:
        ends = [axis.ends for axis in spec.axes]
        return [tuple(low for low, _ in ends), tuple(high for _, high in ends)]
    if spec.sampling is not None:
        return latin_hypercube(spec.axes, spec.sampling)
    count = 1
    for axis in spec.axes:
        count *= len(axis.levels)
    if count > MOST_POINTS:
        sizes = " × ".join(str(len(axis.levels)) for axis in spec.axes)
        message = f"{sizes} = {count:,} points; a study has {MOST_POINTS:,} at most"
        mark = spec.axes[0].levels[0].changes[0].value.mark
        raise ScenarioError([Problem(mark, "axes", message)])
    return list(product(*(axis.levels for axis in spec.axes)))


def base_source(spec: Based, allow_outside: bool) -> Source:
    """The base as read, blaming the study where it cannot be.

    Raises:
        ScenarioError: as ``open_source``.
    """
    try:
        return open_source(spec.base, allow_outside=allow_outside, root=spec.root)
    except ScenarioError as error:
        if any(problem.mark != Mark(spec.base) for problem in error.problems):
            raise
        raise ScenarioError(
            Problem(spec.base_mark, "base", f"{spec.base}: {problem.message}")
            for problem in error.problems
        ) from None


def try_base(source: Source, sets: Sequence[str]) -> None:
    """Let problems of the base's own file come as they are, and once.

    Raises:
        ScenarioError: what keeps the base from being read. What only makes no sense may be what
            the axes put right.
    """
    if source.problems:
        raise ScenarioError(source.problems)
    source.document(sets)


def _in_words(axes: Sequence[str], labels: Sequence[Label]) -> str:
    return ", ".join(f"{name} {label}" for name, label in zip(axes, labels, strict=True))


class _Found:
    """Gathers problems with the points that have them."""

    def __init__(self, spec: StudySpec, grid: Sequence[_Levels], looked_at: int) -> None:
        self._spec, self._grid, self._looked_at = spec, grid, looked_at
        self._where: dict[tuple[Problem, str], list[int]] = {}

    def checked(
        self, number: int, source: Source, sets: Sequence[str], changes: Sequence[Change], side: str
    ) -> Scenario | None:
        """The scenario of a point, or of its baseline; None where it is wrong."""
        try:
            return serving(check(source.document(sets, changes)), "the base of a study")
        except ScenarioError as error:
            for problem in error.problems:
                # What the point itself has is not told of its baseline again.
                if not side or number not in self._where.get((problem, ""), ()):
                    self._add(problem, number, side)
        return None

    def _add(self, problem: Problem, number: int, side: str = "") -> None:
        self._where.setdefault((problem, side), []).append(number)

    def look_up(self, points: Sequence[Point]) -> None:
        """Look up every metric at every point."""
        for point in points:
            for asked in self._spec.metrics:
                self._definition(asked, asked.text, point)
            for goal in self._spec.objectives:
                self._definition(goal, goal.metric, point)

    def lines_of(self, points: Sequence[Point], asked: Sequence[Chance]) -> dict[str, Threshold]:
        """Lines by their text, looked up at every point."""
        found: dict[str, Threshold] = {}
        for point in points:
            for chance in asked:
                definition = self._definition(chance, chance.line.metric, point)
                if definition is None:
                    continue
                threshold = self._threshold(chance, definition, point)
                if threshold is not None:
                    line = chance.line
                    found[chance.text] = Threshold(
                        chance.text, line.metric, line.operator, threshold
                    )
        return found

    def _definition(
        self, asked: Asked | GoalSpec, name: str, point: Point
    ) -> MetricDefinition | None:
        for scenario, side in ((point.scenario, ""), (point.baseline, "baseline")):
            if scenario is None:
                continue
            try:
                definition = lookup(
                    name,
                    workloads=[workload.name for workload in scenario.workloads],
                    pools=[pool.name for pool in scenario.pools],
                    power_nodes=[node.name for node in scenario.power.nodes],
                )
            except UnknownName as error:
                self._add(Problem(asked.mark, asked.path, str(error)), point.number, side)
                return None
        return definition

    def _threshold(
        self, chance: Chance, definition: MetricDefinition, point: Point
    ) -> float | None:
        try:
            return read_quantity(chance.line.quantity, definition.dimension)
        except UnitError as error:
            message = f"{chance.line.metric}: {error}"
            self._add(Problem(chance.mark, chance.path, message), point.number)
        return None

    def raise_problems(self) -> None:
        """Raise everything found, if anything.

        Raises:
            ScenarioError: with the points behind each message, unless it is all of them.
        """
        if self._where:
            raise ScenarioError(
                Problem(
                    problem.mark, problem.path, f"{problem.message}{self._which(numbers, side)}"
                )
                for (problem, side), numbers in self._where.items()
            )

    def _which(self, numbers: list[int], side: str) -> str:
        of = "the baseline of " if side else ""
        if len(numbers) == self._looked_at:
            return " (the baseline of every point)" if side else ""
        axes = [axis.name for axis in self._spec.axes]
        labels = [level.label for level in self._grid[numbers[0] - 1]]
        words = _in_words(axes, labels)
        if len(numbers) == 1:
            return f" ({of}point {numbers[0]}: {words})"
        listed = ", ".join(str(number) for number in numbers)
        return f" ({of}points {listed} of {len(self._grid)}; the first: {words})"
