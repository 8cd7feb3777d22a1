"""What a step more buys, against runs of the points themselves."""

from __future__ import annotations

import math

import pytest

from sim.plan.least.find import make_plan
from sim.plan.least.question import Question
from sim.plan.least.shadow import RATE_STEP, Shadows, Worth, _ratio, shadows, steps_of
from sim.plan.runs import PlanRuns
from sim.study.intervals import Interval, student
from tests.unit.plan.questions import BASE, asked, runs_of

POWER = "power:\n  utility: {budget: 60 kW}\n"


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> tuple[Question, PlanRuns, Shadows]:
    """The plan of five replicas, and what steps from four of them buy."""
    folder = tmp_path_factory.mktemp("shadow")
    question = asked(folder, base=BASE + POWER)
    runs = runs_of(question, folder / "runs")
    worth = shadows(make_plan(question, runs), runs)
    assert worth is not None
    return question, runs, worth


def of(worth: Shadows, text: str) -> Worth:
    return next(one for one in worth.worths if one.step.text.startswith(text))


def test_one_more_replica_is_the_next_point(
    found: tuple[Question, PlanRuns, Shadows],
) -> None:
    question, runs, worth = found
    assert (worth.at, worth.workload, worth.seeds) == (4, "chat", 6)
    four, five = (runs.values(point)[worth.line.text] for point in (3, 4))
    step = of(worth, "one more replica")
    pairs = [after - before for before, after in zip(four, five, strict=True)]
    assert step.change == pytest.approx(math.fsum(pairs) / 6)
    assert step.interval == student(pairs).interval
    # The first order of what the rate does: by the same runs at a little less load.
    slower = runs.changed(3, ["workload[chat].rate=98 /s"], question.seeds)
    less = [seed[worth.line.text] for seed in slower["workload[chat].rate=98 /s"]]
    slope = (math.fsum(four) - math.fsum(less)) / (100.0 * RATE_STEP)
    if step.rate_per_s is not None:
        assert step.rate_per_s == pytest.approx(-math.fsum(pairs) / slope)


def test_what_does_not_bind_is_proved_by_equal_runs(
    found: tuple[Question, PlanRuns, Shadows],
) -> None:
    _, _, worth = found
    for text in ("25 % more power", "memory_utilisation"):
        step = of(worth, text)
        assert step.equal
        assert (step.change, step.interval) == (0.0, Interval(0.0, 0.0))
    assert not of(worth, "one more replica").equal


def test_steps_are_of_what_is_stated(found: tuple[Question, PlanRuns, Shadows]) -> None:
    question, _, _ = found
    changes = [step.change for step in steps_of(question.scenario(3))]
    assert changes[0] == "pools[chat].replicas=5"
    assert changes[-1] == "power.utility.budget=75000 W"
    assert any("max_sequences: 320" in change for change in changes)
    (full,) = {step.text for step in steps_of(question.scenario(3)) if "memory" in step.text}
    assert full == "memory_utilisation 0.92 of chat"


def test_the_jackknife_of_a_ratio() -> None:
    value, interval = _ratio([2.0, 4.0, 6.0, 4.0], [1.0, 2.0, 3.0, 2.0])
    assert value == 2.0
    assert interval.high - interval.low < 1e-9
    value, interval = _ratio([2.0, 4.5, 5.5, 4.0], [1.0, 2.0, 3.0, 2.0])
    assert interval.low < value == 2.0 < interval.high
