"""What a study answers, in sentences, and what it says of each of its points."""

from __future__ import annotations

import math

from dashboard.frames.study import NO, UNDECIDED, YES, Line, StoredStudy, StudyPoint, definition_of
from sim.errors import UnknownName
from sim.results.metrics import Metric
from sim.results.wording import mean_in_words, quantity

#: Standings of a point, the best first.
BEST, FRONT, ALIKE, FEASIBLE, OPEN, REFUSED, POINT = (
    "best", "on the front", "not told apart from the best", "feasible", "undecided",
    "not feasible", "point",
)  # fmt: skip
#: Those that an answer names.
NAMED = (BEST, FRONT, ALIKE)
_MOST_LISTED = 8


def standing(study: StoredStudy, point: StudyPoint) -> str:
    """What the study says of a point: BEST, FRONT, …"""
    if point.number == study.best:
        return BEST
    if point.number in study.front:
        return FRONT
    if point.number in study.alike:
        return ALIKE
    return {YES: FEASIBLE, NO: REFUSED, UNDECIDED: OPEN}.get(point.feasible, POINT)


def standings(study: StoredStudy) -> dict[str, int]:
    """How many points there are of each standing that occurs, the best first."""
    found = [standing(study, point) for point in study.points]
    order = (BEST, FRONT, ALIKE, FEASIBLE, OPEN, REFUSED, POINT)
    return {one: found.count(one) for one in order if one in found}


def why_refused(point: StudyPoint) -> str:
    """The constraints that do not hold, with what was measured; "" if all may."""
    return "; ".join(
        line.text if line.value is None else f"{line.text}: {_measured(line, line.value)}"
        for line in point.broken
    )


def _measured(line: Line, value: float) -> str:
    try:
        definition = definition_of(line.metric)
    except UnknownName:  # a name of another version: its number is told bare
        return f"{value:g} {line.unit}".strip()
    return quantity(value, definition.unit, definition.dimension)


def answer(study: StoredStudy) -> tuple[str, list[str], str]:
    """The answer in a sentence, more lines, and the state it is shown in."""
    if not study.answered:
        sentence = (
            f"{len(study.points)} points, and no objective to choose by: state 'objective:' in the "
            "study to be told the best."
        )
        return sentence, _rest(study), "none"
    if len(study.objectives) > 1:
        return _front_answer(study)
    return _best_answer(study)


def _front_answer(study: StoredStudy) -> tuple[str, list[str], str]:
    wanted = " and ".join(f"{goal} {metric}" for goal, metric in study.objectives)
    if not study.front:
        return f"No point is worth having, to {wanted}: {study.why}.", _rest(study), "bad"
    points = [study.by_number[number] for number in study.front]
    first = study.objectives[0][1]
    points.sort(key=lambda p: _value(p.metrics.get(first)))
    ends = [points[0], points[-1]] if len(points) > 1 else points
    told = " to ".join(
        f"{' and '.join(_short(p.metrics.get(metric)) for _, metric in study.objectives)} "
        f"(point {p.number})"
        for p in ends
    )
    count = f"{len(points)} of {len(study.points)} points"
    verb = "is" if len(points) == 1 else "are"
    sentence = f"{count} {verb} worth having, to {wanted}: {told}."
    return sentence, _rest(study), "good" if study.outcome == "complete" else "near"


def _value(metric: Metric | None) -> float:
    return math.inf if metric is None or metric.value is None else metric.value


def _short(metric: Metric | None) -> str:
    if metric is None or metric.value is None:
        return "-"
    return quantity(metric.value, metric.unit, metric.definition.dimension)


def _best_answer(study: StoredStudy) -> tuple[str, list[str], str]:
    ((goal, metric),) = study.objectives
    wanted = f"{goal} {metric}"
    if study.best is None:
        return f"No best point to {wanted}: {study.why}.", _rest(study), "bad"
    best = study.by_number[study.best]
    value = mean_in_words(best.metrics.get(metric))
    lines = []
    if study.alike:
        listed = ", ".join(map(str, study.alike[:_MOST_LISTED]))
        more = len(study.alike) - _MOST_LISTED
        noun = "point" if len(study.alike) == 1 else "points"
        tail = f" and {more} more" if more > 0 else ""
        lines.append(f"Not told apart from it: {noun} {listed}{tail} (paired by seed, 95 %, Holm)")
    elif study.why:
        lines.append(f"Whether others are worse: {study.why}")
    else:
        others = sum(point.feasible == best.feasible for point in study.points) - 1
        if others > 0:
            lines.append(f"The {others} others that count are worse (paired by seed, 95 %, Holm)")
    if not study.certain:
        sentence = f"No point is shown to be feasible; the best undecided one to {wanted} is "
        return f"{sentence}{_named(best)}: {value}.", [*lines, *_rest(study)], "near"
    state = "good" if study.outcome == "complete" else "near"
    return f"Best to {wanted}: {_named(best)}: {value}.", [*lines, *_rest(study)], state


def _named(point: StudyPoint) -> str:
    return f"point {point.number} ({point.words})"


def _rest(study: StoredStudy) -> list[str]:
    """Feasible and not, what failed, what was not run."""
    lines = []
    if study.constraints:
        counts = {a: sum(p.feasible == a for p in study.points) for a in (YES, UNDECIDED, NO)}
        lines.append(
            f"Of {len(study.points)} points {counts[YES]} feasible, {counts[UNDECIDED]} undecided, "
            f"{counts[NO]} not feasible ({'; '.join(study.constraints)})"
        )
    for text in dict.fromkeys(text for point in study.points for text in point.probabilities):
        hit = [
            point.number
            for point in study.points
            if text in point.probabilities and point.probabilities[text].hits
        ]
        if hit:
            listed = ", ".join(map(str, hit[:_MOST_LISTED]))
            tail = f" and {len(hit) - _MOST_LISTED} more" if len(hit) > _MOST_LISTED else ""
            lines.append(
                f"{text} in at least one run of {len(hit)} of {len(study.points)} points: "
                f"{listed}{tail}"
            )
    failed = sum(len(point.failed) for point in study.points)
    if failed:
        lines.append(f"{failed} runs failed: their points are named below")
    if study.outcome != "complete":
        lines.append(f"Partial: {study.reason}. The same command goes on from here")
    return lines
