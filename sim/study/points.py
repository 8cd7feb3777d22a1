"""The points of a study: what its axes span, each a checked scenario, before anything is run."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Protocol

from sim.check import check
from sim.check.scenario import Scenario, serving
from sim.errors import Mark, Problem, ScenarioError, UnknownName
from sim.results.metrics import MetricDefinition, lookup
from sim.spec.axes import Label
from sim.spec.merge import Change
from sim.spec.quantity import read_quantity
from sim.spec.reader import Source, open_source
from sim.spec.study import Asked, Chance, StudySpec, read_study
from sim.units import UnitError

#: A larger grid is a slip of the keyboard.
MOST_POINTS = 10_000


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
    """

    spec: StudySpec
    axes: tuple[str, ...]
    points: tuple[Point, ...]
    seeds: tuple[int, ...]
    metrics: tuple[str, ...]
    chances: tuple[Threshold, ...]

    @property
    def name(self) -> str:
        """The study's name."""
        return self.spec.name

    @property
    def warnings(self) -> list[str]:
        """Every warning of the points, once, with the first point that has it."""
        found: dict[str, str] = {}
        for point in self.points:
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
    found = _Found(spec, _levels(spec))
    source = base_source(spec, allow_outside)
    try_base(source, sets)
    points = []
    for number, levels in enumerate(found.grid, start=1):
        changes = [change for level in levels for change in level[1]]
        scenario = found.checked(number, source, sets, changes, "")
        baseline = None
        if spec.baseline is not None:
            baseline = found.checked(number, source, sets, [*changes, *spec.baseline], "baseline")
        labels = tuple(label for label, _ in levels)
        if scenario is not None and (baseline is not None or spec.baseline is None):
            points.append(Point(number, labels, scenario, baseline))
    chances = found.asked_of(points)
    found.raise_problems()
    first = points[0].scenario.seed
    count = spec.seeds if seeds is None else seeds
    return Study(
        spec=spec,
        axes=tuple(axis.name for axis in spec.axes),
        points=tuple(points),
        seeds=tuple(range(first, first + count)),
        metrics=tuple(asked.text for asked in spec.metrics),
        chances=tuple(chances),
    )


_Levels = list[tuple[Label, tuple[Change, ...]]]


def _levels(spec: StudySpec) -> list[_Levels]:
    """The grid, the last axis running fastest.

    Raises:
        ScenarioError: it is too large.
    """
    count = 1
    for axis in spec.axes:
        count *= len(axis.levels)
    if count > MOST_POINTS:
        sizes = " × ".join(str(len(axis.levels)) for axis in spec.axes)
        message = f"{sizes} = {count:,} points; a study has {MOST_POINTS:,} at most"
        mark = spec.axes[0].levels[0].changes[0].value.mark
        raise ScenarioError([Problem(mark, "axes", message)])
    return [
        [(level.label, level.changes) for level in levels]
        for levels in product(*(axis.levels for axis in spec.axes))
    ]


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

    def __init__(self, spec: StudySpec, grid: list[_Levels]) -> None:
        self._spec, self.grid = spec, grid
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

    def asked_of(self, points: Sequence[Point]) -> list[Threshold]:
        """Look up every metric at every point; the lines whose probability is asked for."""
        chances: dict[str, Threshold] = {}
        for point in points:
            for asked in self._spec.metrics:
                self._definition(asked, asked.text, point)
            for chance in self._spec.chances:
                definition = self._definition(chance, chance.line.metric, point)
                if definition is None:
                    continue
                threshold = self._threshold(chance, definition, point)
                if threshold is not None:
                    line = chance.line
                    chances[chance.text] = Threshold(
                        chance.text, line.metric, line.operator, threshold
                    )
        return list(chances.values())

    def _definition(self, asked: Asked, name: str, point: Point) -> MetricDefinition | None:
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
        if len(numbers) == len(self.grid):
            return " (the baseline of every point)" if side else ""
        axes = [axis.name for axis in self._spec.axes]
        labels = [label for label, _ in self.grid[numbers[0] - 1]]
        words = _in_words(axes, labels)
        if len(numbers) == 1:
            return f" ({of}point {numbers[0]}: {words})"
        listed = ", ".join(str(number) for number in numbers)
        return f" ({of}points {listed} of {len(self.grid)}; the first: {words})"
