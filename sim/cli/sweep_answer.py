"""What a study answers, in words: the best point, those like it, the front, what is missing."""

from __future__ import annotations

from collections.abc import Iterator

from sim.results.wording import mean_in_words
from sim.spec.goals import GoalSpec
from sim.study.goals import Verdict
from sim.study.sweep import PointResult, StudyResult

#: At most so many points are listed in a sentence.
_LISTED = 12


def answer_lines(result: StudyResult) -> Iterator[str]:
    """One sentence a line; none for a study without an objective."""
    found = result.verdict
    if found is not None:
        goals = result.study.spec.objectives
        yield from _front(result, found) if len(goals) > 1 else _best(result, found, goals[0])
    if result.not_run:
        yield (
            f"Not run (budget): {result.not_run} of {len(result.rows)} runs; the same command goes "
            "on from here"
        )
    if result.stopped:
        yield (
            f"The search stopped after {len(result.points)} points (budget); the same command goes "
            "on from here"
        )


def _best(result: StudyResult, found: Verdict, goal: GoalSpec) -> Iterator[str]:
    by_number = {point.point.number: point for point in result.points}
    if found.best is None:
        yield f"No best point to {goal.text}: {found.reason}"
        return
    best = by_number[found.best]
    value = mean_in_words(best.metrics.get(goal.metric))
    if found.certain:
        yield f"Best to {goal.text}: {_point(result, best)}: {value}"
    else:
        yield f"No point is shown to be feasible; best of the undecided to {goal.text}: " + (
            f"{_point(result, best)}: {value}"
        )
    if found.alike:
        listed = ", ".join(map(str, found.alike[:_LISTED]))
        more = len(found.alike) - _LISTED
        tail = f" and {more} more" if more > 0 else ""
        noun = "point" if len(found.alike) == 1 else "points"
        yield f"Not told apart from it: {noun} {listed}{tail} (paired by seed, 95 %, Holm)"
    elif "one seed" in found.reason:
        yield f"Whether others are worse is not known: {found.reason}"
    else:
        others = sum(point.feasible == best.feasible for point in result.points) - 1
        if others > 0:
            yield f"The {others} others that count are worse (paired by seed, 95 %, Holm)"


def _front(result: StudyResult, found: Verdict) -> Iterator[str]:
    goals = result.study.spec.objectives
    wanted = " and ".join(goal.text for goal in goals)
    if not found.front:
        yield f"No front to {wanted}: {found.reason}"
        return
    yield f"Front to {wanted}, by the means ({len(found.front)} of {len(result.points)} points):"
    by_number = {point.point.number: point for point in result.points}
    for number in found.front:
        point = by_number[number]
        values = ", ".join(mean_in_words(point.metrics.get(goal.metric)) for goal in goals)
        yield f"  {_point(result, point)}: {values}"


def _point(result: StudyResult, found: PointResult) -> str:
    return f"point {found.point.number} ({result.study.label(found.point)})"
