"""What a study was for: which points hold to its constraints, and which of them is best.

A point is feasible by its constraints over its seeds: yes, no or undecided, as lines of ``expect:``
are judged. The best is the feasible point whose objective has the least mean (or the largest). That
another one is worse is tested by seed, paired, against the best, with Holm's correction for the
number of points; those that stand the test of "no difference" are not told apart from it. With
several objectives, a point is on the front if no other feasible one is at least as good in all of
them and better in one, by their means.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sim.results.metrics import Metric
from sim.spec.goals import GoalSpec
from sim.study.difference import difference
from sim.study.intervals import CONFIDENCE, holm
from sim.study.judge import NO, UNDECIDED, YES, Judged
from sim.study.sides import ONE_SEED, PAIRED, Side

BySeed = Mapping[int, Mapping[str, Metric]]

#: How a best point was chosen, beside the definitions of metrics over seeds.
BEST = (
    "the feasible point with the best mean of the objective; others are not told apart from it "
    "where paired differences by seed do not exclude 0 (Student's t, 95 %, Holm over the points)"
)
FRONT = (
    "feasible points that no other feasible one, by the means, equals in all objectives and beats "
    "in one"
)


@dataclass(frozen=True)
class Candidate:
    """A point as the objectives see it.

    Attributes:
        feasible: whether all constraints hold.
        means: of the objectives, in their order; None = not measured.
        by_seed: its runs.
    """

    number: int
    feasible: str
    means: tuple[float | None, ...]
    by_seed: BySeed


@dataclass(frozen=True)
class Verdict:
    """What a study answers.

    Attributes:
        best: number of the point; None where no point may be feasible, or objectives are several.
        certain: whether that point is feasible; else it is undecided.
        alike: numbers of the points that are not told apart from the best.
        front: numbers of the points that no other beats; of several objectives only.
        reason: why there is no answer, or what limits it; "" otherwise.
    """

    best: int | None
    certain: bool
    alike: tuple[int, ...]
    front: tuple[int, ...]
    reason: str = ""


def feasible(judged: Sequence[Judged]) -> str:
    """Whether all lines hold: no if one does not, undecided if one is; yes where there is none."""
    answers = {line.answer for line in judged}
    return next((answer for answer in (NO, UNDECIDED) if answer in answers), YES)


def verdict(goals: Sequence[GoalSpec], candidates: Sequence[Candidate]) -> Verdict | None:
    """The answer of a study; None if it has no objective."""
    if not goals:
        return None
    measured = [c for c in candidates if None not in c.means and c.by_seed]
    certain = [c for c in measured if c.feasible == YES]
    if len(goals) > 1:
        found = tuple(c.number for c in certain if not _beaten(c, certain, goals))
        return Verdict(None, bool(found), (), found, "" if found else _why_none(candidates))
    chosen = certain or [c for c in measured if c.feasible == UNDECIDED]
    if not chosen:
        return Verdict(None, False, (), (), _why_none(candidates))
    (goal,) = goals
    best = min(chosen, key=lambda c: (_costs(c, goals)[0], c.number))
    alike, reason = _alike(goal, best, [c for c in chosen if c is not best])
    if not certain:
        reason = "; ".join(part for part in ("no point is shown to be feasible", reason) if part)
    return Verdict(best.number, bool(certain), alike, (), reason)


def _why_none(candidates: Sequence[Candidate]) -> str:
    if not any(c.by_seed for c in candidates):
        return "no point has a run that came to its end"
    if all(None in c.means for c in candidates if c.by_seed):
        return "no point has measured the objective"
    return "no point holds to the constraints"


def _costs(candidate: Candidate, goals: Sequence[GoalSpec]) -> list[float]:
    """The objectives, less is better."""
    pairs = zip(goals, candidate.means, strict=True)
    return [goal.sign * mean for goal, mean in pairs if mean is not None]


def _beaten(one: Candidate, others: Sequence[Candidate], goals: Sequence[GoalSpec]) -> bool:
    mine = _costs(one, goals)
    for other in others:
        theirs = _costs(other, goals)
        if theirs != mine and all(a <= b for a, b in zip(theirs, mine, strict=True)):
            return True
    return False


def _alike(
    goal: GoalSpec, best: Candidate, others: Sequence[Candidate]
) -> tuple[tuple[int, ...], str]:
    """Points that are not told apart from the best, and why that cannot be asked."""
    if not others:
        return (), ""
    if len(best.by_seed) < 2:
        return (), "one seed: nothing says how far points are apart by chance"
    tested: dict[int, float] = {}
    for other in others:
        seeds = tuple(sorted(best.by_seed.keys() & other.by_seed.keys()))
        a, b = (Side("", {}, c.by_seed, ()) for c in (best, other))
        pairing = PAIRED if len(seeds) > 1 else ONE_SEED
        p = difference(goal.metric, a, b, pairing, seeds).p if seeds else None
        tested[other.number] = 1.0 if p is None else p
    corrected = holm(list(tested.values()))
    level = 1.0 - CONFIDENCE
    return tuple(n for n, p in zip(tested, corrected, strict=True) if p >= level), ""
