"""The lines that a question is subject to: laid over its base, and as means over seeds."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from sim.check import check
from sim.check.scenario import Expectation, Scenario, serving
from sim.errors import Mark, Problem, ScenarioError
from sim.plan.margins import NoMean, Objective, chance_of, objective_of
from sim.plan.search import ERROR, FIRST
from sim.results.metrics import MetricDefinition, lookup
from sim.spec.expect import ExpectSpec
from sim.spec.merge import Change, apply_change
from sim.spec.nodes import Entry, Node, list_node, mapping_node
from sim.spec.reader import Source
from sim.study.points import Based, base_source, try_base
from sim.study.sequence import first_look, first_look_at_share
from sim.units import UnitError, parse_quantity

#: A line on a share of runs.
_CHANCE = re.compile(r"\s*P\((.+)\)\s*([<>=]+)\s*(\S.*)")
#: Its operators, and whether the share is to be large.
_BOUNDS = {"<=": False, "<": False, ">=": True, ">": True}


class Subject(Protocol):
    """A question as read, of any kind."""

    @property
    def mark(self) -> Mark:
        """Where the question is written."""
        ...

    @property
    def subject_to(self) -> Node | None:
        """The node of the lines that must hold; None: those that the base expects."""
        ...


class Changed(Subject, Based, Protocol):
    """A question with changes of its own to its base."""

    @property
    def changes(self) -> tuple[Change, ...]:
        """Before those of the command line."""
        ...


def source_of(spec: Changed, sets: Sequence[str], allow_outside: bool) -> Source:
    """The base with the study's own changes; it can be read with ``sets`` on top.

    Raises:
        ScenarioError: it cannot.
    """
    source = base_source(spec, allow_outside)
    try_base(source, ())
    root = source.root
    problems: list[Problem] = []
    for change in spec.changes:
        try:
            root = apply_change(root, change)
        except ScenarioError as error:
            problems.extend(error.problems)
    if problems:
        raise ScenarioError(problems)
    source = replace(source, root=root)
    try_base(source, sets)
    return source


def lines_of(spec: Subject) -> list[Change]:
    """What lays the lines over the base; of one on the share of runs the condition in brackets."""
    if spec.subject_to is None:
        return []
    assert isinstance(spec.subject_to.value, tuple)
    items = tuple(
        item if chance is None else Node(item.mark, chance.condition)
        for item, chance in zip(spec.subject_to.value, _chances(spec), strict=True)
    )
    return [Change("expect", list_node(spec.subject_to.mark, items))]


@dataclass(frozen=True)
class _Chance:
    """``P(condition) <= limit``: as written, and its parts."""

    text: str
    condition: str
    more: bool
    limit: float


def _chances(spec: Subject) -> list[_Chance | None]:
    """Of each line of ``subject_to``, what it says of a share of runs; None: it does not.

    Raises:
        ScenarioError: its limit is no share between 0 and 1.
    """
    if spec.subject_to is None:
        return []
    assert isinstance(spec.subject_to.value, tuple)
    found: list[_Chance | None] = []
    for index, item in enumerate(spec.subject_to.value):
        match = _CHANCE.fullmatch(item.value) if isinstance(item.value, str) else None
        if match is None:
            found.append(None)
            continue
        condition, operator, limit = match.groups()
        try:
            share = parse_quantity(limit, "fraction")
        except UnitError as error:
            raise ScenarioError(_at(item, index, f"{item.value}: {error}")) from None
        if operator not in _BOUNDS or not 0.0 < share < 1.0:
            message = (
                f"{item.value}: a share of runs is bounded by <= or >= and a limit between 0 % and "
                "100 %, such as P(trips > 0) <= 5 %; what must never happen is 'trips <= 0'"
            )
            raise ScenarioError(_at(item, index, message))
        text = f"P({condition.strip()}) {operator} {limit}"
        found.append(_Chance(text, condition, _BOUNDS[operator], share))
    return found


def _at(item: Node, index: int, message: str) -> list[Problem]:
    return [Problem(item.mark, f"subject_to[{index}]", message)]


def too_few_seeds(objectives: Sequence[Objective], seeds: int) -> tuple[str, ...]:
    """What to say where so few seeds can never show anything, or not that a share holds."""
    found = []
    least = first_look(ERROR / FIRST)
    if seeds < least:
        found.append(f"{seeds} seeds can certify nothing, whatever they show; {least} at least can")
    for line in objectives:
        least = first_look_at_share(line.limit, ERROR / FIRST) if line.chance else 0
        if seeds < least:
            found.append(
                f"{line.text}: {seeds} seeds cannot show that; {least} could, if none is against it"
            )
    return tuple(found)


def plain_runs(mark: Mark) -> list[Change]:
    """What makes runs of a plan: without ``expect``, with counts in place of every request.

    So runs do not depend on the lines, and another question finds them.
    """
    counts = {"level": "summary", "power": "minutes"}
    record = mapping_node(mark, {k: Entry(mark, Node(mark, v)) for k, v in counts.items()})
    return [Change("expect", list_node(mark, ())), Change("record", record)]


def checked(source: Source, sets: Sequence[str], changes: Sequence[Change]) -> Scenario:
    """The base with changes.

    Raises:
        ScenarioError: what is wrong with it.
    """
    return serving(check(source.document(sets, changes)), "the base of a study")


def checked_at(
    label: str, source: Source, sets: Sequence[str], changes: Sequence[Change]
) -> Scenario:
    """The base with the changes of one point.

    Raises:
        ScenarioError: what is wrong with it, with the point's label.
    """
    try:
        return checked(source, sets, changes)
    except ScenarioError as error:
        raise ScenarioError(at_label(problem, label) for problem in error.problems) from None


def at_label(problem: Problem, label: str) -> Problem:
    """A problem of one point only."""
    return Problem(problem.mark, problem.path, f"{problem.message} (at {label})")


def as_subject(spec: Subject, problem: Problem) -> Problem:
    """A problem of a line, called as the study calls it."""
    mine = spec.subject_to is not None and problem.path.startswith("expect")
    if not mine:
        return problem
    return Problem(problem.mark, f"subject_to{problem.path[len('expect') :]}", problem.message)


def objectives_of(
    spec: Subject, source: Source, sets: Sequence[str], scenario: Scenario
) -> tuple[Objective, ...]:
    """The lines as means over seeds.

    Raises:
        ScenarioError: there is none, or one is no such mean.
    """
    document = source.document(sets, lines_of(spec))
    checked = {line.text: line for line in scenario.expectations}
    found: dict[str, Objective] = {}
    problems = []
    chances = _chances(spec) or [None] * len(document.spec.expect)
    for i, (written, chance) in enumerate(zip(document.spec.expect, chances, strict=True)):
        try:
            if isinstance(written, ExpectSpec) and chance is not None:
                line = checked[written.text]
                found[chance.text] = chance_of(
                    chance.text, line, _definition(line, scenario), chance.limit, chance.more
                )
            elif isinstance(written, ExpectSpec):
                found[written.text] = _objective(checked[written.text], scenario)
            elif written is not None:
                message = "a plan compares no variants: expected text such as chat.ttft_p99 <= 2 s"
                raise NoMean(message)
        except NoMean as error:
            hint = "" if spec.subject_to is not None else "; or write subject_to: in the study"
            problem = Problem(document.mark(("expect", i)), f"expect[{i}]", f"{error}{hint}")
            problems.append(as_subject(spec, problem))
    if not found and not problems:
        message = "nothing has to hold: write subject_to: [chat.ttft_p99 <= 2 s], or expect: lines"
        problems.append(Problem(spec.mark, "subject_to", f"{message} in the base"))
    if problems:
        raise ScenarioError(problems)
    return tuple(found.values())


def _objective(line: Expectation, scenario: Scenario) -> Objective:
    return objective_of(line, _definition(line, scenario))


def _definition(line: Expectation, scenario: Scenario) -> MetricDefinition:
    return lookup(
        line.metric,
        workloads=[workload.name for workload in scenario.workloads],
        pools=[pool.name for pool in scenario.pools],
        power_nodes=[node.name for node in scenario.power.nodes],
    )
