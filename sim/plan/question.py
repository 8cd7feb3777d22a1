"""A checked question: points from the hardest to the easiest, lines that must hold, seeds."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field

from sim.check import check
from sim.check.scenario import Expectation, Scenario, serving
from sim.errors import Mark, Problem, ScenarioError
from sim.plan.margins import NoMean, Objective, objective_of
from sim.results.metrics import lookup
from sim.spec.axes import Label
from sim.spec.expect import ExpectSpec
from sim.spec.merge import Change, change_of
from sim.spec.nodes import Entry, Node, list_node, mapping_node
from sim.spec.question import MINIMUM, QuestionSpec, read_question
from sim.spec.reader import Source
from sim.study.points import base_source, try_base


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

    def scenario(self, point: int, sets: Sequence[str] = ()) -> Scenario:
        """What is run at a point: without ``expect``, and with counts in place of every request.

        So runs do not depend on the lines, and another question finds them. ``sets``: changes to
        this point, as ``--set`` takes them.

        Raises:
            ScenarioError: this value makes no sense.
        """
        key = (point, "\n".join(sets))
        if key not in self._made:
            spec, label = self.spec, self.label(point)
            changes = [*_value(spec, self.values[point]), *_plain_runs(spec.mark)]
            try:
                document = self._source.document(self._sets, [*changes, *map(change_of, sets)])
                self._made[key] = serving(check(document), "the base of a study")
            except ScenarioError as error:
                raise ScenarioError(_at(p, label) for p in error.problems) from None
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
    source = base_source(spec, allow_outside)
    try_base(source, sets)
    ends = [_end(spec, source, sets, value) for value in (spec.values[0], spec.values[-1])]
    _refuse(spec, [end if isinstance(end, list) else [] for end in ends])
    easiest = ends[-1] if spec.goal == MINIMUM else ends[0]
    assert isinstance(easiest, Scenario)
    objectives = _objectives(spec, source, sets, easiest)
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
        easiest.warnings,
        source,
        tuple(sets),
    )


def _value(spec: QuestionSpec, value: object) -> list[Change]:
    """What a point sets: the value, and what comes with each one of it."""
    assert isinstance(value, (int, float, str))
    changes = [Change(spec.where, Node(spec.mark, value))]
    for where, number in spec.each:
        assert isinstance(value, int)
        changes.append(Change(where, Node(spec.mark, number * value)))
    return changes


def _plain_runs(mark: Mark) -> list[Change]:
    counts = {"level": "summary", "power": "minutes"}
    record = mapping_node(mark, {k: Entry(mark, Node(mark, v)) for k, v in counts.items()})
    return [Change("expect", list_node(mark, ())), Change("record", record)]


def _lines(spec: QuestionSpec) -> list[Change]:
    return [] if spec.subject_to is None else [Change("expect", spec.subject_to)]


def _checked(source: Source, sets: Sequence[str], changes: Sequence[Change]) -> Scenario:
    return serving(check(source.document(sets, changes)), "the base of a study")


def _end(
    spec: QuestionSpec, source: Source, sets: Sequence[str], value: object
) -> Scenario | list[Problem]:
    """The scenario of an end with the lines to hold, or what is wrong with it."""
    try:
        return _checked(source, sets, [*_value(spec, value), *_lines(spec)])
    except ScenarioError as error:
        return [_as_subject(spec, problem) for problem in error.problems]


def _refuse(spec: QuestionSpec, wrong: Sequence[Sequence[Problem]]) -> None:
    """Raise what is wrong with the ends, with the one that has it unless both have.

    Raises:
        ScenarioError: if anything is.
    """
    found = []
    for problems, value in zip(wrong, (spec.values[0], spec.values[-1]), strict=True):
        for problem in problems:
            common = all(problem in others for others in wrong)
            found.append(problem if common else _at(problem, f"{spec.where} {value}"))
    if found:
        raise ScenarioError(dict.fromkeys(found))


def _at(problem: Problem, label: str) -> Problem:
    return Problem(problem.mark, problem.path, f"{problem.message} (at {label})")


def _as_subject(spec: QuestionSpec, problem: Problem) -> Problem:
    """A problem of a line, called as the study calls it."""
    mine = spec.subject_to is not None and problem.path.startswith("expect")
    if not mine:
        return problem
    return Problem(problem.mark, f"subject_to{problem.path[len('expect') :]}", problem.message)


def _objectives(
    spec: QuestionSpec, source: Source, sets: Sequence[str], scenario: Scenario
) -> tuple[Objective, ...]:
    """The lines as means over seeds.

    Raises:
        ScenarioError: there is none, or one is no such mean.
    """
    document = source.document(sets, _lines(spec))
    checked = {line.text: line for line in scenario.expectations}
    found: dict[str, Objective] = {}
    problems = []
    for i, written in enumerate(document.spec.expect):
        try:
            if isinstance(written, ExpectSpec):
                found[written.text] = _objective(checked[written.text], scenario)
            elif written is not None:
                message = "a plan compares no variants: expected text such as chat.ttft_p99 <= 2 s"
                raise NoMean(message)
        except NoMean as error:
            hint = "" if spec.subject_to is not None else "; or write subject_to: in the study"
            problem = Problem(document.mark(("expect", i)), f"expect[{i}]", f"{error}{hint}")
            problems.append(_as_subject(spec, problem))
    if not found and not problems:
        message = "nothing has to hold: write subject_to: [chat.ttft_p99 <= 2 s], or expect: lines"
        problems.append(Problem(spec.mark, "subject_to", f"{message} in the base"))
    if problems:
        raise ScenarioError(problems)
    return tuple(found.values())


def _objective(line: Expectation, scenario: Scenario) -> Objective:
    definition = lookup(
        line.metric,
        workloads=[workload.name for workload in scenario.workloads],
        pools=[pool.name for pool in scenario.pools],
        power_nodes=[node.name for node in scenario.power.nodes],
    )
    return objective_of(line, definition)
