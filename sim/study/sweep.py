"""A study: every point and its baseline under every seed, and what they say together.

Runs are kept by the content of their scenario, so equal ones are made once, runs that are there are
not made again, and a study that was stopped goes on where it was. A run that fails is a row with
its message; the others go on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from sim.results.expectations import OPERATORS, ExpectationLike
from sim.results.metrics import Metric
from sim.study.across import across
from sim.study.difference import Difference, difference
from sim.study.executor import Executor
from sim.study.goals import Candidate, Verdict, feasible, verdict
from sim.study.intervals import share_bounds
from sim.study.judge import Judged, judge
from sim.study.losses import Loss, SeedLoss, losses_over, seed_losses
from sim.study.making import BASELINE, NOT_RUN, POINT, Making, RunFacts, scenarios_of
from sim.study.points import Point, PointMaker, Study, Threshold
from sim.study.search import Search
from sim.study.sides import ONE_SEED, PAIRED, Side


@dataclass(frozen=True)
class Row:
    """One run of the study; ``facts`` None = it failed or was not run, and ``message`` says why."""

    point: Point
    side: str
    seed: int
    facts: RunFacts | None
    message: str
    losses: Mapping[str, Mapping[str, SeedLoss]]  # workload → its losses, of side POINT only

    @property
    def not_run(self) -> bool:
        """Whether the budget was spent before."""
        return self.facts is None and self.message == NOT_RUN

    @property
    def failed(self) -> bool:
        """Whether it ran and came to no end."""
        return self.facts is None and not self.not_run


@dataclass(frozen=True)
class Probability:
    """In how many of the runs something held, and what that says of all runs.

    ``low`` and ``high`` are Clopper and Pearson's 95 % bounds, None where no run could be judged;
    ``reason`` says why not, or what is not counted.
    """

    hits: int
    runs: int
    low: float | None
    high: float | None
    reason: str = ""


@dataclass(frozen=True)
class PointResult:
    """A point over its seeds.

    Attributes:
        metrics: full name → the mean over the seeds, with its interval.
        chances: line → its probability.
        changes: full name → the point less its baseline, paired by seed.
        losses: workload → loss by name, against the baseline.
        slice_s: what the worst losses are of, in seconds; None = the run is too short.
        expectations: of the scenario, judged over the seeds.
        failed: (side, seed, message) of runs that failed.
        constraints: of the study, judged over the seeds.
        not_run: how many runs the budget left out.
    """

    point: Point
    metrics: Mapping[str, Metric]
    chances: Mapping[str, Probability]
    changes: Mapping[str, Difference]
    losses: Mapping[str, Mapping[str, Loss]]
    slice_s: float | None
    expectations: tuple[Judged, ...]
    failed: tuple[tuple[str, int, str], ...]
    constraints: tuple[Judged, ...] = ()
    not_run: int = 0

    @property
    def feasible(self) -> str:
        """Whether all constraints hold: yes, no or undecided."""
        return feasible(self.constraints)


@dataclass(frozen=True)
class StudyResult:
    """All of a study: every run, and every point over its seeds."""

    study: Study
    engine: str
    rows: tuple[Row, ...]
    points: tuple[PointResult, ...]
    verdict: Verdict | None = None
    stopped: bool = False  # a search did not come to its end

    @property
    def complete(self) -> bool:
        """Whether every run came to its end."""
        return not (self.failed or self.not_run or self.stopped)

    @property
    def failed(self) -> int:
        """How many rows failed."""
        return sum(row.failed for row in self.rows)

    @property
    def not_run(self) -> int:
        """How many rows the budget left out."""
        return sum(row.not_run for row in self.rows)


def run_study(
    study: Study,
    executor: Executor,
    *,
    out: Path,
    engine: str,
    fresh: bool = False,
    notice: Callable[[str], None] = lambda text: None,
    ended: Callable[[str, bool], None] = lambda name, ran: None,
) -> StudyResult:
    """Run what is not there yet, then put it together; nothing is written but the runs.

    Args:
        study: from ``load_study``.
        executor, out, engine, fresh, notice: as for ``run_seeds``.
        ended: takes (name of a run, whether it ran just now) once its results are there.

    Raises:
        ResultError: a folder is in the way, or cannot be written.
        KeyboardInterrupt: Ctrl-C; runs that had finished stay, so that the same call goes on.
    """
    making = Making(
        study, executor, out=out, engine=engine, fresh=fresh, notice=notice, ended=ended
    )
    stopped = False
    if study.maker is None:
        making.make(study.points)
    else:
        study, stopped = _searched(study, study.maker, making, notice)
    making.sum_up()
    rows = tuple(_rows(study, making))
    points = tuple(_points(study, rows))
    return StudyResult(study, engine, rows, points, _verdict(study, points, rows), stopped)


def _searched(
    study: Study, maker: PointMaker, making: Making, notice: Callable[[str], None]
) -> tuple[Study, bool]:
    """The study with the points that a search asked for and made, and whether it was cut short."""
    search, maker = Search(study), maker.fresh()
    points: list[Point] = []
    while (asked := search.ask()) and not making.spent:
        batch = maker.add(asked)
        making.make(batch)
        rows = tuple(_rows(replace(study, points=batch), making))
        search.tell(_candidates(study, _points(replace(study, points=batch), rows), rows))
        points.extend(batch)
    cut = bool(asked)
    if cut:
        notice(f"the search stopped after {len(points)} points: its budget is spent")
    return replace(study, points=tuple(points)), cut


def _rows(study: Study, making: Making) -> Iterator[Row]:
    """One row a run, by point, side and seed, whatever the order in which they ended."""
    for point, side, _ in scenarios_of(study.points):
        for seed in study.seeds:
            facts, message = making.end(point.number, side, seed)
            losses: dict[str, dict[str, SeedLoss]] = {}
            if side == POINT and point.baseline is not None:
                losses = _losses(facts, making.end(point.number, BASELINE, seed)[0])
            yield Row(point, side, seed, facts, message, losses)


def _losses(run: RunFacts | None, baseline: RunFacts | None) -> dict[str, dict[str, SeedLoss]]:
    if run is None or baseline is None:
        return {}
    return {
        workload: seed_losses(mine, baseline.workloads[workload])
        for workload, mine in run.workloads.items()
        if workload in baseline.workloads
    }


def _points(study: Study, rows: tuple[Row, ...]) -> Iterator[PointResult]:
    by_point: dict[int, list[Row]] = {}
    for row in rows:
        by_point.setdefault(row.point.number, []).append(row)
    for point in study.points:
        yield _together(study, point, by_point[point.number])


def _together(study: Study, point: Point, rows: list[Row]) -> PointResult:
    """What the runs of a point say together."""
    sides = {
        side: {row.seed: row.facts for row in rows if row.side == side and row.facts is not None}
        for side in (POINT, BASELINE)
    }
    runs = {seed: facts.metrics for seed, facts in sides[POINT].items()}
    failed = tuple((row.side, row.seed, row.message) for row in rows if row.failed)
    lost = sum(row.side == POINT and row.facts is None for row in rows)
    metrics = across(runs) if runs else {}
    not_run = sum(row.not_run for row in rows)
    why = "failed or were not made" if not_run else "failed"

    def judged(lines: Iterable[ExpectationLike]) -> tuple[Judged, ...]:
        return tuple(judge(lines, metrics, len(runs), lost, why))

    losses = [row.losses for row in rows if row.losses]
    return PointResult(
        point=point,
        metrics={name: metrics[name] for name in study.metrics if name in metrics},
        chances={line.text: _probability(line, runs, lost, why) for line in study.chances},
        changes=_changes(study, sides) if point.baseline is not None else {},
        losses={
            workload: losses_over(
                {row.seed: row.losses[workload] for row in rows if workload in row.losses}
            )
            for workload in dict.fromkeys(name for of_run in losses for name in of_run)
        },
        slice_s=_slice_s(sides[POINT]),
        expectations=judged(point.scenario.expectations),
        failed=failed,
        constraints=judged(study.constraints),
        not_run=not_run,
    )


def _candidates(
    study: Study, points: Iterable[PointResult], rows: Iterable[Row]
) -> list[Candidate]:
    """The points as the objectives see them."""
    runs: dict[int, dict[int, Mapping[str, Metric]]] = {}
    for row in rows:
        if row.side == POINT and row.facts is not None:
            runs.setdefault(row.point.number, {})[row.seed] = row.facts.metrics
    return [
        Candidate(
            found.point.number,
            found.feasible,
            tuple(_mean(found, goal.metric) for goal in study.spec.objectives),
            runs.get(found.point.number, {}),
        )
        for found in points
    ]


def _mean(found: PointResult, name: str) -> float | None:
    metric = found.metrics.get(name)
    return None if metric is None else metric.value


def _verdict(
    study: Study, points: tuple[PointResult, ...], rows: tuple[Row, ...]
) -> Verdict | None:
    if not study.spec.objectives:
        return None
    return verdict(study.spec.objectives, _candidates(study, points, rows))


def _probability(
    line: Threshold, runs: Mapping[int, Mapping[str, Metric]], failed: int, why: str = "failed"
) -> Probability:
    """In how many runs the line holds; runs in which it cannot be measured do not count."""
    holds = OPERATORS[line.operator]
    known = [metrics[line.metric].si for metrics in runs.values()]
    judged = [holds(value, line.threshold) for value in known if value is not None]
    reasons = [m[line.metric].reason for m in runs.values() if m[line.metric].value is None]
    if failed:
        reasons.append(f"{failed} of {failed + len(runs)} runs {why} and are not counted")
    reason = "; ".join(dict.fromkeys(reasons))
    if not judged:
        return Probability(0, 0, None, None, reason)
    bounds = share_bounds(sum(judged), len(judged))
    return Probability(sum(judged), len(judged), bounds.low, bounds.high, reason)


def _changes(study: Study, sides: Mapping[str, Mapping[int, RunFacts]]) -> dict[str, Difference]:
    """Each metric of a point less that of its baseline, under the seeds that both have."""
    seeds = tuple(sorted(sides[POINT].keys() & sides[BASELINE].keys()))
    if not seeds:
        return {}
    a, b = (
        Side(side, {}, {seed: facts.metrics for seed, facts in sides[side].items()}, ())
        for side in (BASELINE, POINT)
    )
    pairing = PAIRED if len(seeds) > 1 else ONE_SEED
    return {name: difference(name, a, b, pairing, seeds) for name in study.metrics}


def _slice_s(runs: Mapping[int, RunFacts]) -> float | None:
    """How long the slices are; the same under every seed."""
    every = (facts.slices for run in runs.values() for facts in run.workloads.values())
    return next((slices.length_s for slices in every if slices is not None), None)
