"""A checked question: points from the hardest to the easiest, lines that must hold, seeds."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sim.check.scenario import Scenario
from sim.errors import Mark, Problem, ScenarioError
from sim.plan.failing import failures_of, moment_of
from sim.plan.lines import (
    as_subject,
    at_label,
    checked,
    checked_at,
    lines_of,
    objectives_of,
    plain_runs,
    source_of,
    too_few_seeds,
)
from sim.plan.margins import Objective
from sim.spec.axes import Label
from sim.spec.merge import Change, change_of, steps_of
from sim.spec.nodes import Node, Scalar
from sim.spec.question import MINIMUM, QuestionSpec, read_question
from sim.spec.reader import Source


@dataclass(frozen=True)
class Question:
    """A checked question.

    Point 0 is the hardest: the least value of a minimum, the largest of a maximum.

    Attributes:
        spec: as read.
        values: of the points.
        objectives: the lines that must hold.
        seeds: common to all points, in the order in which they are used.
        warnings: of the easiest point.
    """

    spec: QuestionSpec
    values: tuple[Label, ...]
    objectives: tuple[Objective, ...]
    seeds: tuple[int, ...]
    warnings: tuple[str, ...]
    _source: Source
    _sets: tuple[str, ...]
    _made: dict[tuple[int, str], Scenario] = field(default_factory=dict, compare=False)

    @property
    def name(self) -> str:
        """The study's name."""
        return self.spec.name

    @property
    def last(self) -> int:
        """The easiest point."""
        return len(self.values) - 1

    def label(self, point: int) -> str:
        """A point in words: ``pools[chat].replicas 30``."""
        return f"{self.spec.where} {self.values[point]}"

    def events(self, point: int) -> list[Any]:
        """The events of a point, as written."""
        changes = _value(self.spec, self.values[point])
        return list(self._source.document(self._sets, changes).tree.get("events") or ())

    def scenario(self, point: int, sets: Sequence[str] = ()) -> Scenario:
        """What is run at a point: without ``expect``, and with counts in place of every request.

        So runs do not depend on the lines, and another question finds them. ``sets``: changes to
        this point, as ``--set`` takes them.

        Raises:
            ScenarioError: this value makes no sense.
        """
        key = (point, "\n".join(sets))
        if key not in self._made:
            changes = _value(self.spec, self.values[point])
            changes += [*plain_runs(self.spec.mark), *map(change_of, sets)]
            label = self.label(point)
            self._made[key] = checked_at(label, self._source, self._sets, changes)
        return self._made[key]


def load_question(
    path: str | os.PathLike[str],
    *,
    sets: Sequence[str] = (),
    seeds: int | None = None,
    allow_outside: bool = False,
) -> Question:
    """Read a question and check both ends of it.

    Args:
        path: the study's file.
        sets: changes to the base.
        seeds: that a point gets at most; default: as the study says.
        allow_outside: let paths lead out of the folders that a study may use.

    Raises:
        ScenarioError: everything that is wrong, of the study and of both ends.
    """
    spec = read_question(path, allow_outside=allow_outside)
    return checked_question(spec, sets=sets, seeds=seeds, allow_outside=allow_outside)


def checked_question(
    spec: QuestionSpec, *, sets: Sequence[str], seeds: int | None, allow_outside: bool
) -> Question:
    """Check both ends of a question that has been read.

    Raises:
        ScenarioError: everything that is wrong with them.
    """
    _refuse_set_of_sought(spec, sets)
    source = source_of(spec, sets, allow_outside)
    ends = [_end(spec, source, sets, value) for value in (spec.values[0], spec.values[-1])]
    _refuse(spec, [end if isinstance(end, list) else [] for end in ends])
    easiest = ends[-1] if spec.goal == MINIMUM else ends[0]
    assert isinstance(easiest, Scenario)
    other = ends[0] if easiest is ends[-1] else ends[-1]
    if isinstance(other, Scenario) and other.resolved == easiest.resolved:
        message = f"{spec.where} changes nothing of what is run: every value has the same answer"
        raise ScenarioError([Problem(spec.mark, f"question.{spec.goal}", message)])
    objectives = objectives_of(spec, source, sets, easiest)
    if spec.failing is not None:
        moment_of(spec.failing, easiest)
        failures_of(spec.failing, easiest)
    values = [value for value in spec.values if isinstance(value, (int, float, str))]
    ordered = values if spec.goal == MINIMUM else values[::-1]
    count = spec.seeds if seeds is None else seeds
    if count < 2:
        raise ScenarioError([Problem(Mark("--seeds"), "", "a plan needs 2 seeds at least")])
    return Question(
        spec,
        tuple(ordered),
        objectives,
        tuple(range(easiest.seed, easiest.seed + count)),
        (*easiest.warnings, *too_few_seeds(objectives, count)),
        source,
        tuple(sets),
    )


def _refuse_set_of_sought(spec: QuestionSpec, sets: Sequence[str]) -> None:
    """Refuse a change that every point would overwrite.

    Raises:
        ScenarioError: there is one.
    """
    sought = {spec.where: "is what is sought"}
    sought |= {path: "comes with each one of what is sought" for path, _, _ in spec.each}
    for text in sets:
        where = text.partition("=")[0].strip()
        for path, why in sought.items():
            if steps_of(where) == steps_of(path):
                message = f"{path} {why}, so that this would change nothing; change the study"
                raise ScenarioError([Problem(Mark("--set"), where, message)])


def _value(spec: QuestionSpec, value: object) -> list[Change]:
    """What a point sets: the value, and what comes with each one of it."""
    assert isinstance(value, (int, float, str))
    changes = [Change(spec.where, Node(spec.mark, value))]
    for where, number, unit in spec.each:
        assert isinstance(value, int)
        much = number * value
        scalar: Scalar = f"{much:f} {unit}" if unit else int(much)
        changes.append(Change(where, Node(spec.mark, scalar)))
    return changes


def _end(
    spec: QuestionSpec, source: Source, sets: Sequence[str], value: object
) -> Scenario | list[Problem]:
    """The scenario of an end with the lines to hold, or what is wrong with it."""
    try:
        return checked(source, sets, [*_value(spec, value), *lines_of(spec)])
    except ScenarioError as error:
        return [as_subject(spec, problem) for problem in error.problems]


def _refuse(spec: QuestionSpec, wrong: Sequence[Sequence[Problem]]) -> None:
    """Raise what is wrong with the ends, with the one that has it unless both have.

    Raises:
        ScenarioError: if anything is.
    """
    found = []
    for problems, value in zip(wrong, (spec.values[0], spec.values[-1]), strict=True):
        for problem in problems:
            common = all(problem in others for others in wrong)
            found.append(problem if common else at_label(problem, f"{spec.where} {value}"))
    if found:
        raise ScenarioError(dict.fromkeys(found))
