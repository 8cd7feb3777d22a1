"""A study's points as frames: where they lie, what they set, what is known of each."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from dashboard.frames.quantities import Quantity, probability_words
from dashboard.frames.study import (
    UNDECIDED,
    Label,
    StoredRun,
    StoredStudy,
    StudyPoint,
    definition_of,
)
from dashboard.frames.study_answer import FRONT, standing, why_refused

#: Stated levels up to so many are categories on parallel axes.
_FEW_LEVELS = 8
_NUMBER = re.compile(r"(?P<number>[-+]?[0-9][0-9.]*(?:e[-+]?[0-9]+)?)(?: (?P<unit>\S+))?", re.I)


def scatter_frame(study: StoredStudy, x: Quantity, y: Quantity) -> pd.DataFrame:
    """One row for each point that measured both: ``number``, ``point``, ``settings``, ``x``,
    ``x_low``, ``x_high``, ``y``, …, ``x_words``, ``y_words``, ``standing``, ``why``."""
    rows = []
    for point in study.points:
        (xs, ys) = (quantity.at(point.number) for quantity in (x, y))
        if math.isnan(xs[0]) or math.isnan(ys[0]):
            continue
        rows.append(
            {
                **_of_point(study, point),
                **dict(zip(("x", "x_low", "x_high"), xs, strict=True)),
                **dict(zip(("y", "y_low", "y_high"), ys, strict=True)),
                "x_words": x.words[point.number],
                "y_words": y.words[point.number],
            }
        )
    names = ["number", "point", "settings", "standing", "why", "x", "x_low", "x_high",
             "y", "y_low", "y_high", "x_words", "y_words"]  # fmt: skip
    return pd.DataFrame(rows, columns=names)


def _of_point(study: StoredStudy, point: StudyPoint) -> dict[str, Any]:
    return {
        "number": point.number,
        "point": f"point {point.number}",
        "settings": point.words,
        "standing": standing(study, point),
        "why": why_refused(point) or ("may hold" if point.feasible == UNDECIDED else "–"),
    }


def front_line(study: StoredStudy, x: str, y: str, frame: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """The front in the order of ``x`` and how its steps go; empty if it is of other metrics."""
    goals = {metric: goal for goal, metric in study.objectives}
    if len(goals) != 2 or set(goals) != {x, y}:
        return frame.iloc[:0], "step-after"
    mine = frame[frame["standing"] == FRONT].sort_values("x")
    return mine, "step-after" if goals[x] == "minimise" else "step-before"


@dataclass(frozen=True)
class AxisScale:
    """How an axis of the study is drawn.

    Attributes:
        kind: "value", "log" or "category".
        title: with the unit.
        places: point → a number, or the text of its category.
        categories: in order; of "category" only.
    """

    kind: str
    title: str
    places: Mapping[int, float | str]
    categories: tuple[str, ...] = ()


def axis_scale(study: StoredStudy, index: int) -> AxisScale:
    """How axis ``index`` is drawn: as numbers where all labels are numbers of one unit."""
    axis = study.axes[index]
    labels = {point.number: point.labels[axis.name] for point in study.points}
    parsed = {number: _parsed(label) for number, label in labels.items()}
    units = {found[1] for found in parsed.values() if found is not None}
    numbers = [found[0] for found in parsed.values() if found is not None]
    if len(numbers) == len(labels) and len(units) == 1:
        (unit,) = units
        title = f"{axis.name} ({unit})" if unit else axis.name
        log = axis.is_log and min(numbers) > 0.0
        places = {number: found[0] for number, found in parsed.items() if found is not None}
        return AxisScale("log" if log else "value", title, places)
    levels = [str(label) for label, _ in axis.levels] or sorted(map(str, set(labels.values())))
    used = {str(label) for label in labels.values()}
    places_of = {number: str(label) for number, label in labels.items()}
    known = [level for level in levels if level in used]
    rest = [level for level in dict.fromkeys(places_of.values()) if level not in known]
    return AxisScale("category", axis.name, places_of, (*known, *rest))


def _parsed(label: Label) -> tuple[float, str] | None:
    """A label as a number and its unit; None if it is no number."""
    if isinstance(label, bool):
        return None
    if isinstance(label, (int, float)):
        return float(label), ""
    match = _NUMBER.fullmatch(label)
    try:
        return None if match is None else (float(match["number"]), match["unit"] or "")
    except ValueError:  # two points
        return None


def along_frame(study: StoredStudy, y: Quantity) -> pd.DataFrame:
    """One row a point of a study of one axis: ``place`` on the axis and ``y`` with its interval."""
    places = axis_scale(study, 0).places
    rows = []
    for point in study.points:
        value, low, high = y.at(point.number)
        if math.isnan(value):
            continue
        rows.append(
            {**_of_point(study, point), "place": places[point.number], "y": value, "y_low": low,
             "y_high": high, "y_words": y.words[point.number]}
        )  # fmt: skip
    names = ["number", "point", "settings", "standing", "why", "place", "y", "y_low", "y_high",
             "y_words"]  # fmt: skip
    return pd.DataFrame(rows, columns=names)


def limits_of(study: StoredStudy, y: Quantity) -> dict[str, float]:
    """Constraints on a metric: text → its threshold in the quantity's unit."""
    found: dict[str, float] = {}
    for point in study.points:
        for line in point.constraints:
            if line.metric == y.name:
                factor = definition_of(line.metric).factor
                found[line.text] = line.threshold / factor * y.factor
    return found


def named_columns(frame: pd.DataFrame, quantities: Mapping[str, Quantity]) -> pd.DataFrame:
    """A frame for a file: ``x`` is called as its quantity, with the unit, and so are its ends."""
    names = {
        f"{column}{end}": f"{one.title}{end.replace('_', ' ')}"
        for column, one in quantities.items()
        for end in ("", "_low", "_high")
    }
    words = [f"{column}_words" for column in quantities]
    return frame.drop(columns=words).rename(columns=names)


def parallel_scales(study: StoredStudy) -> list[AxisScale]:
    """How the axes are drawn side by side: a few stated levels lie evenly, whatever their size."""
    scales = []
    for index, axis in enumerate(study.axes):
        found = axis_scale(study, index)
        if found.kind != "category" and 0 < len(axis.levels) <= _FEW_LEVELS:
            levels = tuple(str(label) for label, _ in axis.levels)
            places = {point.number: str(point.labels[axis.name]) for point in study.points}
            found = AxisScale("category", axis.name, places, levels)
        scales.append(found)
    return scales


def parallel_frame(study: StoredStudy, shown: Sequence[Quantity]) -> pd.DataFrame:
    """One row a point that measured any of ``shown``: its place on each axis, then the numbers."""
    scales = parallel_scales(study)
    rows = []
    for point in study.points:
        numbers = [quantity.at(point.number)[0] for quantity in shown]
        if all(map(math.isnan, numbers)):
            continue
        rows.append([point.number, standing(study, point),
                     *(scale.places[point.number] for scale in scales), *numbers])  # fmt: skip
    titles = [*(scale.title for scale in scales), *(quantity.title for quantity in shown)]
    return pd.DataFrame(rows, columns=_different(["point", "standing", *titles]))


def _different(names: Sequence[str]) -> list[str]:
    """Names of columns: an axis may be called as a metric is."""
    found: list[str] = []
    for name in names:
        while name in found:
            name += "'"
        found.append(name)
    return found


def settings_text(study: StoredStudy, point: StudyPoint) -> str:
    """What a point sets in the base, as YAML."""
    settings: dict[str, str] = {}
    for axis in study.axes:
        settings.update(axis.settings(point.labels[axis.name]))
    # The values are YAML as it is written in a study.
    return "\n".join(f"{path}: {' '.join(value.split())}" for path, value in settings.items())


def settings_difference(study: StoredStudy, point: StudyPoint, other: StudyPoint) -> str:
    """The unified difference of what two points set, every line of it."""
    a, b = (settings_text(study, one).splitlines() for one in (other, point))
    names = (f"point {other.number}", f"point {point.number}")
    return "\n".join(difflib.unified_diff(a, b, *names, lineterm="", n=1000))


def reference(study: StoredStudy, chosen: StudyPoint) -> StudyPoint | None:
    """What a point is set against: the best one, or the nearest on the front, or the first."""
    if study.best is not None:
        other = study.by_number[study.best]
    elif study.front:
        on_front = [study.by_number[number] for number in study.front]
        rest = [point for point in on_front if point is not chosen]
        if not rest:
            return None
        other = max(rest, key=lambda p: _shared(p.labels, chosen.labels))
    else:
        other = study.points[0]
    return None if other is chosen else other


def reference_words(study: StoredStudy) -> str:
    """Why that one."""
    if study.best is not None:
        return "the best one"
    return "of the front the one most alike" if study.front else "the first one"


def _shared(a: Mapping[str, Label], b: Mapping[str, Label]) -> int:
    return sum(a[axis] == b[axis] for axis in a)


def default_point(study: StoredStudy) -> StudyPoint:
    """What is shown before a point is chosen."""
    if study.best is not None:
        return study.by_number[study.best]
    if study.front:
        return study.by_number[study.front[0]]
    measured = (p for p in study.points if any(m.value is not None for m in p.metrics.values()))
    return next(measured, study.points[0])


def runs_of(study: StoredStudy, point: StudyPoint, side: str) -> list[StoredRun]:
    """The runs of a point, by seed."""
    return [run for run in study.runs if run.point == point.number and run.side == side]


def unmeasured(study: StoredStudy, x: Quantity, y: Quantity) -> list[dict[str, str]]:
    """The points that a scatter lacks, and why."""
    rows = []
    for point in study.points:
        if not any(math.isnan(quantity.at(point.number)[0]) for quantity in (x, y)):
            continue
        why = _why_unmeasured(point, (x, y))
        rows.append({"point": str(point.number), "why": why, "settings": point.words})
    return rows


def _why_unmeasured(point: StudyPoint, wanted: Sequence[Quantity]) -> str:
    failed = [f"seed {seed} ({side}): {message}" for side, seed, message in point.failed]
    if failed:
        return f"failed: {'; '.join(failed[:2])}"
    if point.not_run:
        return f"{point.not_run} of its runs were not made (budget)"
    reasons = (q.values[point.number].reason for q in wanted if point.number in q.values)
    return "; ".join(dict.fromkeys(r for r in reasons if r)) or "not measured"


def point_table(study: StoredStudy, shown: Sequence[Quantity]) -> pd.DataFrame:
    """Every point as a row of words."""
    axes = [axis.name for axis in study.axes]
    columns = ["point", "standing", *axes, *(one.name for one in shown)]
    if study.constraints:
        columns.append("not feasible because")
    rows = []
    for point in study.points:
        row: list[Any] = [point.number, standing(study, point)]
        row += [str(point.labels[axis]) for axis in axes]
        row += [one.words.get(point.number, "-") for one in shown]
        rows.append([*row, why_refused(point)] if study.constraints else row)
    return pd.DataFrame(rows, columns=_different(columns))


def detail_rows(point: StudyPoint, found: Mapping[str, Quantity]) -> list[dict[str, str]]:
    """All that is known of a point, a row each."""
    rows = [
        {"what": one.name, "mean ± 95 %": one.words[point.number], "is": one.definition}
        for one in found.values()
        if point.number in one.words
    ]
    lacking = [
        {"what": f"P({text})", "mean ± 95 %": probability_words(interval), "is": interval.reason}
        for text, interval in point.probabilities.items()
        if f"P({text})" not in found
    ]
    return [*rows, *lacking]
