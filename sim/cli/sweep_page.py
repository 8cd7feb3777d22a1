"""A study as one page: its answer, every point, and a chart of the front or of each axis."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from sim.cli.sweep_answer import answer_lines
from sim.plan.report import page_of, write_report
from sim.plan.told import BAD, GOOD, OPEN, POINTS, Chart, Part, Series, Table, Told
from sim.results.metrics import Metric
from sim.results.wording import mean_in_words
from sim.spec.goals import GoalSpec
from sim.study.judge import NO, UNDECIDED, YES
from sim.study.sweep import PointResult, StudyResult

#: Charts against axes, and points that are named in a chart, at most.
_MOST_AXES, _MOST_NAMES = 4, 12


def write_study_page(path: Path, result: StudyResult, file: str) -> None:
    """Write the page.

    Raises:
        RackplanError: it cannot be written.
    """
    from sim import __version__

    footer = (
        f"rackplan {__version__}, rackplan sweep {file}: {len(result.rows)} runs on the "
        f"{result.engine} engine; the same command finds them again"
    )
    write_report(path, page_of(result.study.name, told_of_study(result), (), footer))


def told_of_study(result: StudyResult) -> Told:
    """What a study says."""
    study = result.study
    lines = list(answer_lines(result))
    headline = lines[0] if lines else f"{len(result.points)} points, {len(result.rows)} runs"
    failed = (
        f"{len(p.failed)} runs of point {p.point.number} failed: {p.failed[0][2]}"
        for p in result.points
        if p.failed
    )
    warnings = (*study.warnings, *failed)
    return Told(
        asked=f"{study.name}: {', '.join(study.axes)} of {study.spec.base}, {len(study.seeds)} "
        "seeds each",
        headline=headline,
        meant=_meant(result),
        reasons=tuple(lines[1:]),
        parts=(
            Part("Points", (), (_table(result),), tuple(_charts(result))),
            Part("Validity warnings", tuple(warnings) or ("none",)),
        ),
    )


def _meant(result: StudyResult) -> str:
    if result.failed:
        return BAD
    found = result.verdict
    sure = found is not None and (found.front or (found.best is not None and found.certain))
    return GOOD if sure and result.complete else OPEN


def _marked(result: StudyResult) -> set[int]:
    """Numbers of the points that are the answer."""
    found = result.verdict
    if found is None:
        return set()
    return set(found.front) or ({found.best} if found.best is not None else set())


def _table(result: StudyResult) -> Table:
    study, marked = result.study, _marked(result)
    constrained = bool(study.constraints)
    rows = tuple(
        (
            str(point.point.number),
            *map(str, point.point.labels),
            *(mean_in_words(point.metrics.get(name)) for name in study.metrics),
            *((point.feasible,) if constrained else ()),
        )
        for point in result.points
    )
    columns = ("point", *study.axes, *study.metrics, *(("feasible",) if constrained else ()))
    chosen = [i for i, point in enumerate(result.points) if point.point.number in marked]
    return Table(
        columns,
        rows,
        left=frozenset({len(columns) - 1}) if constrained else frozenset(),
        words={YES: GOOD, NO: BAD, UNDECIDED: OPEN},
        chosen=frozenset(chosen),
        note="mean over the seeds ± 95 %; marked: the best point, or the front by the means",
    )


def _charts(result: StudyResult) -> Iterator[Chart]:
    """The front of two objectives, or the objective along each axis of numbers."""
    goals = result.study.spec.objectives
    if len(goals) > 1:
        first, second = goals[:2]
        yield _scatter(result, first, second)
    elif goals:
        for index, axis in enumerate(result.study.axes[:_MOST_AXES]):
            labels = [point.point.labels[index] for point in result.points]
            if all(isinstance(label, (int, float)) for label in labels):
                yield _along(result, goals[0], axis, [float(label) for label in labels])


def _scatter(result: StudyResult, first: GoalSpec, second: GoalSpec) -> Chart:
    shown = [
        point
        for point in result.points
        if point.feasible != NO and _known(point, first) and _known(point, second)
    ]
    held = " of the points that may be feasible" if result.study.constraints else ""
    return Chart(
        f"{first.text} and {second.text}{held}: the front is marked",
        POINTS,
        _title(shown, first),
        _title(shown, second),
        (_series(result, shown, [_value(p, first) for p in shown], second),),
    )


def _along(result: StudyResult, goal: GoalSpec, axis: str, xs: list[float]) -> Chart:
    pairs = [(p, x) for p, x in zip(result.points, xs, strict=True) if _known(p, goal)]
    shown = [point for point, _ in pairs]
    return Chart(
        f"{goal.metric} along {axis}",
        POINTS,
        axis,
        _title(shown, goal),
        (_series(result, shown, [x for _, x in pairs], goal),),
    )


def _series(
    result: StudyResult, shown: list[PointResult], xs: list[float], goal: GoalSpec
) -> Series:
    marked = _marked(result)
    chosen = [i for i, point in enumerate(shown) if point.point.number in marked]
    named = set(chosen[:_MOST_NAMES])
    return Series(
        "point",
        tuple(_value(point, goal) for point in shown),
        x=tuple(xs),
        names=tuple(str(p.point.number) if i in named else "" for i, p in enumerate(shown)),
        chosen=frozenset(chosen),
    )


def _metric(point: PointResult, goal: GoalSpec) -> Metric | None:
    return point.metrics.get(goal.metric)


def _known(point: PointResult, goal: GoalSpec) -> bool:
    metric = _metric(point, goal)
    return metric is not None and metric.value is not None


def _value(point: PointResult, goal: GoalSpec) -> float:
    metric = _metric(point, goal)
    assert metric is not None
    assert metric.value is not None
    return float(metric.value)


def _title(shown: list[PointResult], goal: GoalSpec) -> str:
    metric = _metric(shown[0], goal) if shown else None
    return f"{goal.metric} ({metric.unit})" if metric is not None and metric.unit else goal.metric
