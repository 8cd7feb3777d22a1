"""Best points and fronts: hand-worked cases, and fronts against a search of all pairs."""

from __future__ import annotations

import random

from sim.errors import Mark
from sim.spec.goals import MAXIMISE, MINIMISE, GoalSpec
from sim.study.goals import Candidate, Verdict, feasible, verdict
from sim.study.judge import NO, UNDECIDED, YES, Judged
from tests.unit.study.works import metrics

LEAST = GoalSpec(MINIMISE, "chat.e2e_p50", Mark("x"), "objective.minimise")
MOST = GoalSpec(MAXIMISE, "chat.e2e_p50", Mark("x"), "objective.maximise")
SECOND = GoalSpec(MAXIMISE, "chat.ttft_p50", Mark("x"), "objectives[1].maximise")


def candidate(number: int, *values: float, answer: str = YES) -> Candidate:
    """A point with an e2e latency of so many seconds under each seed."""
    by_seed = {seed: metrics(e2e_p50=value) for seed, value in enumerate(values)}
    mean = sum(values) / len(values) if values else None
    return Candidate(number, answer, (mean,), by_seed)


def answered(goal: GoalSpec, *candidates: Candidate) -> Verdict:
    found = verdict([goal], candidates)
    assert found is not None
    return found


def test_the_best_is_told_apart_where_pairs_do() -> None:
    """Seeds differ by far more than points: only in pairs is 2 better than 3, and 4 like it."""
    seeds = (1.0, 5.0, 9.0, 3.0, 7.0)
    worse = [value + shift for value, shift in zip(seeds, (0.5, 0.6, 0.4, 0.5, 0.6), strict=True)]
    alike = [value + shift for value, shift in zip(seeds, (0.3, -0.2, 0.2, 0.1, -0.3), strict=True)]
    points = [candidate(3, *worse), candidate(2, *seeds), candidate(4, *alike)]
    assert answered(LEAST, *points) == Verdict(2, True, (4,), ())
    assert answered(MOST, *points) == Verdict(3, True, (), ())


def test_holm_takes_the_number_of_points_into_account() -> None:
    """One difference of p = 0.03 tells a point apart from the best, ten such do not."""
    seeds = [0.0] * 8
    shifted = [0.1, 0.9, -0.2, 0.5, 0.8, 0.0, 0.6, 0.2]  # t = 2.6 of 7, p = 0.035
    best = candidate(0, *seeds)
    assert answered(LEAST, best, candidate(1, *shifted)).alike == ()
    many = [candidate(n, *shifted) for n in range(1, 11)]
    assert answered(LEAST, best, *many).alike == tuple(range(1, 11))


def test_only_feasible_points_count_and_undecided_ones_at_need() -> None:
    no = candidate(1, 1.0, 1.1, answer=NO)
    maybe = candidate(2, 2.0, 2.1, answer=UNDECIDED)
    yes = candidate(3, 3.0, 3.1)
    assert answered(LEAST, no, maybe, yes).best == 3
    found = answered(LEAST, no, maybe)
    assert (found.best, found.certain) == (2, False)
    assert found.reason == "no point is shown to be feasible"
    assert answered(LEAST, no).reason == "no point holds to the constraints"
    assert answered(LEAST, candidate(1)).reason == "no point has a run that came to its end"
    lost = Candidate(1, YES, (None,), {1: metrics(e2e_p50=None)})
    assert answered(LEAST, lost).reason == "no point has measured the objective"
    assert answered(LEAST, candidate(1, 2.0), candidate(2, 3.0)).reason.startswith("one seed")
    assert verdict([], [yes]) is None


def test_equal_points_are_alike_and_the_first_is_the_best() -> None:
    found = answered(LEAST, candidate(2, 1.0, 2.0), candidate(1, 1.0, 2.0))
    assert (found.best, found.alike) == (1, (2,))


def test_a_front_is_what_no_pair_refutes() -> None:
    draw = random.Random(7)
    for _ in range(50):
        points = [
            Candidate(n, draw.choice([YES, YES, NO, UNDECIDED]),
                      (draw.randrange(6), draw.randrange(6)), {1: {}})
            for n in range(12)
        ]  # fmt: skip
        allowed = [p for p in points if p.feasible == YES]
        expected = []
        for p in allowed:
            (a, b), beaten = p.means, False
            for q in allowed:
                (c, d) = q.means
                assert a is not None and b is not None and c is not None and d is not None  # noqa: PT018
                beaten |= (c <= a and d >= b) and (c < a or d > b)
            if not beaten:
                expected.append(p.number)
        found = verdict([LEAST, SECOND], points)
        assert found is not None
        assert list(found.front) == expected
        assert (found.best, bool(found.reason)) == (None, not expected)


def test_feasible_is_the_worst_answer() -> None:
    def line(answer: str) -> Judged:
        return Judged("", "", "<=", 0.0, None, None, None, "", answer, answer == YES, "")

    assert feasible([]) == YES
    assert feasible([line(YES), line(YES)]) == YES
    assert feasible([line(YES), line(UNDECIDED)]) == UNDECIDED
    assert feasible([line(UNDECIDED), line(NO), line(YES)]) == NO
