"""A study: every point and its baseline under every seed, and what they say together.

Runs are kept by the content of their scenario, so equal ones are made once, runs that are there are
not made again, and a study that was stopped goes on where it was. A run that fails is a row with
its message; the others go on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from sim.check.scenario import Scenario
from sim.engine.first_compile import prepare
from sim.errors import RackplanError, ResultError
from sim.results.expectations import OPERATORS
from sim.results.folders import run_folder_name
from sim.results.metrics import Metric
from sim.results.result import open_run
from sim.study.across import across
from sim.study.difference import Difference, difference
from sim.study.executor import Executor
from sim.study.intervals import share_bounds
from sim.study.judge import Judged, judge
from sim.study.losses import Loss, SeedLoss, WorkloadFacts, facts_of, losses_over, seed_losses
from sim.study.points import Point, Study, Threshold
from sim.study.runs import Run, RunEnd, execute, those_there
from sim.study.sides import ONE_SEED, PAIRED, Side

#: The two sides of a point.
POINT, BASELINE = "point", "baseline"


@dataclass(frozen=True)
class RunFacts:
    """What a study keeps of a run: its folder's name, the metrics asked for, its workloads."""

    folder: str
    metrics: Mapping[str, Metric]
    workloads: Mapping[str, WorkloadFacts]


@dataclass(frozen=True)
class Row:
    """One run of the study; ``facts`` None = it failed, and ``message`` says why."""

    point: Point
    side: str
    seed: int
    facts: RunFacts | None
    message: str
    losses: Mapping[str, Mapping[str, SeedLoss]]  # workload → its losses, of side POINT only


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
    """

    point: Point
    metrics: Mapping[str, Metric]
    chances: Mapping[str, Probability]
    changes: Mapping[str, Difference]
    losses: Mapping[str, Mapping[str, Loss]]
    slice_s: float | None
    expectations: tuple[Judged, ...]
    failed: tuple[tuple[str, int, str], ...]


@dataclass(frozen=True)
class StudyResult:
    """All of a study: every run, and every point over its seeds."""

    study: Study
    engine: str
    rows: tuple[Row, ...]
    points: tuple[PointResult, ...]

    @property
    def failed(self) -> int:
        """How many rows failed."""
        return sum(row.facts is None for row in self.rows)


Key = tuple[int, str, int]  # number of the point, side, seed


def runs_of(study: Study, out: Path, engine: str) -> dict[Key, Run]:
    """Every run that the study needs; equal ones are one.

    Raises:
        RackplanError: two different scenarios would have the same folder.
    """
    by_folder: dict[Path, Run] = {}
    runs: dict[Key, Run] = {}
    for point, side, scenario in _scenarios(study):
        for seed in study.seeds:
            folder = out / run_folder_name(scenario.name, scenario.resolved, seed)
            whose = "'s baseline" if side == BASELINE else ""
            name = f"point {point.number}{whose}, seed {seed}"
            run = by_folder.setdefault(folder, Run(name, scenario, seed, engine, folder))
            if run.scenario.resolved != scenario.resolved:
                raise RackplanError(
                    f"{name} and {run.name} differ and would both be written to {folder}: "
                    "give the base another name"
                )
            runs[point.number, side, seed] = run
    return runs


def _scenarios(study: Study) -> Iterator[tuple[Point, str, Scenario]]:
    for point in study.points:
        yield point, POINT, point.scenario
        if point.baseline is not None:
            yield point, BASELINE, point.baseline


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
    keyed = runs_of(study, out, engine)
    runs = list({run.folder: run for run in keyed.values()}.values())
    wanted = _wanted(study)
    facts = {} if fresh else dict(_found(runs, wanted))
    if facts:
        notice(f"{len(facts)} of {len(runs)} runs: already in {out}, taken as found")
    todo = [run for run in runs if run.name not in facts]
    if todo:
        prepare(engine, notice)
    messages: dict[str, str] = {}
    for name in facts:
        ended(name, False)
    with closing(execute(todo, executor)) as outcomes:
        for run, end in outcomes:
            if end.folder is None:
                messages[run.name] = _one_line(end)
                notice(f"{run.name} failed: {end.message}")
            else:
                facts[run.name] = _facts(end.folder, wanted)
            ended(run.name, True)
    rows = tuple(_rows(study, keyed, facts, messages))
    return StudyResult(study, engine, rows, tuple(_points(study, rows)))


def _found(runs: Sequence[Run], wanted: Sequence[str]) -> Iterator[tuple[str, RunFacts]]:
    """What there is of runs whose results are there and whole."""
    there = those_there(runs)
    for run in runs:
        if run.name in there:
            with suppress(ResultError):  # a damaged table: a new run replaces it
                yield run.name, _facts(run.folder, wanted)


def _one_line(end: RunEnd) -> str:
    return end.message.partition("\n")[0]


def _wanted(study: Study) -> tuple[str, ...]:
    """Every metric that the study looks at, in order."""
    names = [*study.metrics, *(chance.metric for chance in study.chances)]
    names += [line.metric for point in study.points for line in point.scenario.expectations]
    # The interval of a share of requests needs to know of how many.
    good = [name for name in names if name.rpartition(".")[2] == "goodput_fraction"]
    return tuple(dict.fromkeys((*names, *(f"{n.removesuffix('goodput_fraction')}arrivals"
                                          for n in good))))  # fmt: skip


def _facts(folder: Path, wanted: Sequence[str]) -> RunFacts:
    run = open_run(folder)
    metrics = {name: run.metrics[name] for name in wanted if name in run.metrics}
    return RunFacts(folder.name, metrics, facts_of(run))


def _rows(
    study: Study,
    runs: Mapping[Key, Run],
    facts: Mapping[str, RunFacts],
    messages: Mapping[str, str],
) -> Iterator[Row]:
    """One row a run, by point, side and seed, whatever the order in which they ended."""
    for point, side, _ in _scenarios(study):
        for seed in study.seeds:
            name = runs[point.number, side, seed].name
            losses: dict[str, dict[str, SeedLoss]] = {}
            if side == POINT and point.baseline is not None:
                other = facts.get(runs[point.number, BASELINE, seed].name)
                losses = _losses(facts.get(name), other)
            yield Row(point, side, seed, facts.get(name), messages.get(name, ""), losses)


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
    failed = tuple((row.side, row.seed, row.message) for row in rows if row.facts is None)
    lost = sum(side == POINT for side, _, _ in failed)
    metrics = across(runs) if runs else {}
    losses = [row.losses for row in rows if row.losses]
    return PointResult(
        point=point,
        metrics={name: metrics[name] for name in study.metrics if name in metrics},
        chances={line.text: _probability(line, runs, lost) for line in study.chances},
        changes=_changes(study, sides) if point.baseline is not None else {},
        losses={
            workload: losses_over(
                {row.seed: row.losses[workload] for row in rows if workload in row.losses}
            )
            for workload in dict.fromkeys(name for of_run in losses for name in of_run)
        },
        slice_s=_slice_s(sides[POINT]),
        expectations=tuple(judge(point.scenario.expectations, metrics, len(runs), lost)),
        failed=failed,
    )


def _probability(
    line: Threshold, runs: Mapping[int, Mapping[str, Metric]], failed: int
) -> Probability:
    """In how many runs the line holds; runs in which it cannot be measured do not count."""
    holds = OPERATORS[line.operator]
    known = [metrics[line.metric].si for metrics in runs.values()]
    judged = [holds(value, line.threshold) for value in known if value is not None]
    reasons = [m[line.metric].reason for m in runs.values() if m[line.metric].value is None]
    if failed:
        reasons.append(f"{failed} of {failed + len(runs)} runs failed and are not counted")
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
