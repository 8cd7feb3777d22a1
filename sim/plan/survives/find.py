"""What single failures do to a site: each is run under the common seeds and judged by the lines.

A failure counts as survived if every line holds while it lasts; as it is a claim about each of n
failures, each has 1/n of the error of 5 %, so that all verdicts hold together. What a failure costs
is the paired difference to the site without it, under the same arrivals.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sim.check.scenario import Scenario
from sim.errors import ScenarioError
from sim.plan.failing import Failure, Moment, failures_of, moment_of
from sim.plan.line_at import LineAt, line_at
from sim.plan.lines import (
    as_subject,
    checked,
    checked_at,
    lines_of,
    objectives_of,
    plain_runs,
    source_of,
)
from sim.plan.margins import Objective
from sim.plan.runs import PlanRuns
from sim.plan.search import ERROR, Tested, certify
from sim.spec.merge import change_of
from sim.spec.reader import Source
from sim.spec.survives import SurvivesSpec, read_survives
from sim.study.intervals import Interval
from sim.study.seeds import binding_limits
from sim.study.sequence import seen

#: The point at which nothing fails.
WHOLE = 0


@dataclass(frozen=True)
class Losses:
    """A checked study: point 0 is the whole site, point i the i-th failure.

    Attributes:
        spec: as read.
        failures: in order.
        objectives: the lines that must hold.
        seeds: common to all points.
        moment: when each fails.
        warnings: of the base.
    """

    spec: SurvivesSpec
    failures: tuple[Failure, ...]
    objectives: tuple[Objective, ...]
    seeds: tuple[int, ...]
    moment: Moment
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
                own = self._source.document(self._sets).tree.get("events")
                change = self.moment.with_failure(own, self.failures[point - 1])
                changes.append(change_of(change))
            label = self.label(point)
            self._made[key] = checked_at(label, self._source, self._sets, changes)
        return self._made[key]


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
    failures = failures_of(spec.failing, base)
    moment = moment_of(spec.failing, base)
    found = Losses(
        spec=spec,
        failures=failures,
        objectives=objectives,
        seeds=tuple(range(base.seed, base.seed + (spec.seeds if seeds is None else seeds))),
        moment=moment,
        warnings=base.warnings,
        _source=source,
        _sets=tuple(sets),
    )
    for point in range(1, len(failures) + 1):
        found.scenario(point)
    return found


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
