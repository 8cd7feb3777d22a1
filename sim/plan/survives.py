"""What single failures do to a site: each is run under the common seeds and judged by the lines.

A failure counts as survived if every line holds while it lasts; as it is a claim about each of n
failures, each has 1/n of the error of 5 %, so that all verdicts hold together. What a failure costs
is the paired difference to the site without it, under the same arrivals.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from sim.check.scenario import Scenario
from sim.errors import Problem, ScenarioError, did_you_mean
from sim.plan.line_at import LineAt, line_at
from sim.plan.lines import (
    as_subject,
    at_label,
    checked,
    lines_of,
    objectives_of,
    plain_runs,
    source_of,
)
from sim.plan.margins import Objective
from sim.plan.runs import PlanRuns
from sim.plan.search import ERROR, Tested, certify
from sim.site.fabric.types import LEVELS, VERTICES, Fabric
from sim.spec.merge import Change, change_of
from sim.spec.nodes import Entry, Node, list_node, mapping_node
from sim.spec.reader import Source
from sim.spec.survives import Failing, SurvivesSpec, read_survives
from sim.study.intervals import Interval
from sim.study.seeds import binding_limits
from sim.study.sequence import seen
from sim.units import format_si

#: Kinds of the power tree that may fail as such; "row" and "hall" are all racks of one.
_POWER = ("utility", "generator", "msb", "ups", "cooling", "pdu", "rack", "server")
KINDS = (*_POWER, "row", "hall", *LEVELS)
#: The point at which nothing fails.
WHOLE = 0


@dataclass(frozen=True)
class Failure:
    """What fails at once, as messages call it; ``kind``: as the study asked for it."""

    label: str
    kind: str
    names: tuple[str, ...]


@dataclass(frozen=True)
class Losses:
    """A checked study: point 0 is the whole site, point i the i-th failure.

    Attributes:
        spec: as read.
        failures: in order.
        objectives: the lines that must hold.
        seeds: common to all points.
        at_s, until_s: when each fails and is whole again; None: for good.
        warnings: of the base.
    """

    spec: SurvivesSpec
    failures: tuple[Failure, ...]
    objectives: tuple[Objective, ...]
    seeds: tuple[int, ...]
    at_s: float
    until_s: float | None
    warnings: tuple[str, ...]
    _source: Source
    _sets: tuple[str, ...]
    _made: dict[tuple[int, str], Scenario] = field(default_factory=dict, compare=False)

    @property
    def name(self) -> str:
        """The study's name."""
        return self.spec.name

    def label(self, point: int) -> str:
        """A point in words."""
        return "nothing fails" if point == WHOLE else f"{self.failures[point - 1].label} fails"

    def scenario(self, point: int, sets: Sequence[str] = ()) -> Scenario:
        """What is run at a point, with changes as ``--set`` takes them.

        Raises:
            ScenarioError: it makes no sense.
        """
        key = (point, "\n".join(sets))
        if key not in self._made:
            changes = [*plain_runs(self.spec.mark), *map(change_of, sets)]
            if point != WHOLE:
                changes.append(self._events(self.failures[point - 1]))
            try:
                self._made[key] = checked(self._source, self._sets, changes)
            except ScenarioError as error:
                label = self.label(point)
                raise ScenarioError(at_label(p, label) for p in error.problems) from None
        return self._made[key]

    def _events(self, failure: Failure) -> Change:
        """The base's own events, and this failure."""
        mark = self.spec.mark
        own = self._source.document(self._sets).root.at(("events",))
        events = list(own.value) if own is not None and isinstance(own.value, tuple) else []
        moments = [("fail", self.at_s)]
        if self.until_s is not None:
            moments.append(("restore", self.until_s))
        for what, at_s in moments:
            for name in failure.names:
                entries = {"at": f"{at_s!r} s", what: name}
                events.append(
                    mapping_node(mark, {k: Entry(mark, Node(mark, v)) for k, v in entries.items()})
                )
        return Change("events", list_node(mark, tuple(events)))


def load_losses(
    path: str | os.PathLike[str],
    *,
    sets: Sequence[str] = (),
    seeds: int | None = None,
    allow_outside: bool = False,
) -> Losses:
    """Read such a study, find what may fail, and check every point of it.

    Raises:
        ScenarioError: everything that is wrong.
    """
    spec = read_survives(path, allow_outside=allow_outside)
    source = source_of(spec, sets, allow_outside)
    try:
        base = checked(source, sets, lines_of(spec))
    except ScenarioError as error:
        raise ScenarioError(as_subject(spec, p) for p in error.problems) from None
    objectives = objectives_of(spec, source, sets, base)
    failures = tuple(_failures(spec, base))
    at_s = base.warm_up_s if spec.at_s is None else spec.at_s
    if at_s >= base.duration_s:
        message = f"requests are measured until {format_si(base.duration_s, 's')} only"
        raise ScenarioError([Problem(spec.mark, "question.at", message)])
    found = Losses(
        spec=spec,
        failures=failures,
        objectives=objectives,
        seeds=tuple(range(base.seed, base.seed + (spec.seeds if seeds is None else seeds))),
        at_s=at_s,
        until_s=None if spec.for_s is None else at_s + spec.for_s,
        warnings=base.warnings,
        _source=source,
        _sets=tuple(sets),
    )
    for point in range(1, len(failures) + 1):
        found.scenario(point)
    return found


def _failures(spec: SurvivesSpec, base: Scenario) -> Iterator[Failure]:
    """Every failure that is asked for, once.

    Raises:
        ScenarioError: something has no such part.
    """
    parts = _Parts(base)
    problems: list[Problem] = []
    seen: set[frozenset[str]] = set()
    found: list[Failure] = []
    for item in spec.failing:
        for failure in parts.of(item, problems):
            if frozenset(failure.names) not in seen:
                seen.add(frozenset(failure.names))
                found.append(failure)
    if not spec.failing:
        message = "missing: what may fail, such as survives: [ups, pdu, leaf]"
        problems.append(Problem(spec.mark, "question.survives", message))
    if problems:
        raise ScenarioError(problems)
    yield from found


class _Parts:
    """The parts of a site by kind and by name."""

    def __init__(self, base: Scenario) -> None:
        self._base = base
        self._nodes = {node.name: node.kind for node in base.power.nodes}
        self._fabric: Fabric | None = None

    def of(self, item: Failing, problems: list[Problem]) -> Iterator[Failure]:
        """The failures that an item asks for; what there is none of goes to ``problems``."""
        first = item.names[0]
        if item.together:
            for name in item.names:
                self._known(name, item, problems)
            yield Failure(" + ".join(item.names), "together", item.names)
        elif first in KINDS:
            found = list(self._of_kind(first))
            if not found:
                network = first in LEVELS and self._base.fabric is None
                why = "the base has no 'fabric'" if network else f"the base has no {first}"
                problems.append(Problem(item.mark, item.path, why))
            yield from found
        elif self._known(first, item, problems):
            yield Failure(first, self._nodes.get(first, "part"), (first,))

    def _of_kind(self, kind: str) -> Iterator[Failure]:
        site = self._base.site
        if kind in LEVELS:
            fabric = self._network()
            for name, code in zip(fabric.names, fabric.kinds, strict=True) if fabric else ():
                if VERTICES[int(code)] == kind:
                    yield Failure(name, kind, (name,))
        elif kind in ("row", "hall"):
            rows = site.rack_row
            groups = rows if kind == "row" else site.row_hall[rows]
            names = site.row_names if kind == "row" else site.hall_names
            for at, name in enumerate(names):
                racks = [site.rack_names[int(r)] for r in (groups == at).nonzero()[0]]
                yield Failure(name, kind, tuple(racks))
        else:
            for node in self._base.power.nodes:
                if node.kind == kind:
                    yield Failure(node.name, kind, (node.name,))

    def _network(self) -> Fabric | None:
        if self._fabric is None and self._base.fabric is not None:
            self._fabric = self._base.fabric.build(self._base.site)
        return self._fabric

    def _known(self, name: str, item: Failing, problems: list[Problem]) -> bool:
        """Whether a name is of a part; links and cables are left to the check of events."""
        fabric = self._network()
        names = [*self._nodes, *(fabric.names if fabric else ())]
        if name in names or "/" in name or name.removesuffix(".module") in self._nodes:
            return True
        hint = did_you_mean(name, [*KINDS, *names])
        message = f"the base has no part called {name!r}{hint}"
        problems.append(Problem(item.mark, item.path, message))
        return False


@dataclass(frozen=True)
class Cost:
    """What a failure does to a line: failed less whole, paired by seed, at 95 % at any look.

    ``equal``: no run differs.
    """

    change: float
    interval: Interval
    equal: bool


@dataclass(frozen=True)
class Survived:
    """One point.

    Attributes:
        failure: None of the site as it is.
        seeds: how many; ``answer``: "yes", "no" or "undecided", of all verdicts together at 95 %.
        lines: at this point; ``costs``: by their texts.
        binding: what limits most of its runs.
    """

    failure: Failure | None
    seeds: int
    answer: str
    lines: tuple[LineAt, ...]
    costs: Mapping[str, Cost]
    binding: str

    @property
    def holds(self) -> bool:
        """Whether every line holds in the means."""
        return all(line.objective.margin(line.value) <= 0.0 for line in self.lines)

    @property
    def worst_margin(self) -> float:
        """Of the line that misses by most, or holds by least, as a share of its limit."""
        return max(
            line.objective.margin(line.value) / (abs(line.objective.limit) or 1e-9)
            for line in self.lines
        )


@dataclass(frozen=True)
class Survival:
    """All points of a study."""

    losses: Losses
    whole: Survived
    failed: tuple[Survived, ...]


def survive(losses: Losses, runs: PlanRuns) -> Survival:
    """Run every failure until its verdict is certain or the seeds are used up.

    Raises:
        RunFailed: a run came to no end; those that did stay.
        RackplanError: a line cannot be measured.
    """
    points = range(len(losses.failures) + 1)
    error = ERROR / len(points)
    tested = certify(
        losses.objectives, runs, dict.fromkeys(points, error), len(losses.seeds), looked={}
    )
    most = max(one.seeds for one in tested.values())
    runs.see({WHOLE: most})  # each failure is compared with the whole site under its own seeds
    found = [_survived(losses, runs, tested[point]) for point in points]
    return Survival(losses, found[0], tuple(found[1:]))


def _survived(losses: Losses, runs: PlanRuns, tested: Tested) -> Survived:
    point, seeds = tested.point, tested.seeds
    values = {text: one[:seeds] for text, one in runs.values(point).items()}
    whole = {text: one[:seeds] for text, one in runs.values(WHOLE).items()}
    limits = binding_limits(runs.results(point))
    return Survived(
        failure=None if point == WHOLE else losses.failures[point - 1],
        seeds=seeds,
        answer=tested.answer,
        lines=tuple(
            line_at(
                line,
                values[line.objective.text],
                runs.measured(point, line.objective.text),
            )
            for line in tested.lines
        ),
        costs={
            line.text: _cost(values[line.text], whole[line.text], line.spread_floor)
            for line in losses.objectives
        },
        binding="none" if not limits else str(limits[0]["label"]),
    )


def _cost(after: Sequence[float], before: Sequence[float], floor: float) -> Cost:
    differences = [b - a for a, b in zip(before, after, strict=True)]
    found = seen(differences, ERROR, floor)
    return Cost(found.mean, found.interval, all(one == 0.0 for one in differences))
