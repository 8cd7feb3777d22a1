"""Plans of small sites against exhaustive evaluation, and what they say at the edges."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pytest

from sim.check.scenario import Scenario
from sim.errors import BuildError, RackplanError, ScenarioError
from sim.plan.least.content import content_of
from sim.plan.least.find import (
    CERTAIN,
    LIKELY,
    NEAR,
    NONE,
    NONE_LIKELY,
    NOT_BUILT,
    NOT_CERTIFIABLE,
    NOT_SERVED,
    Plan,
    make_plan,
)
from sim.plan.least.question import Question
from sim.plan.runs import RunFailed
from sim.study.judge import NO, YES
from sim.study.local import LocalExecutor
from tests.unit.plan.questions import BASE, QUESTION, answered, asked, exhaustive, runs_of
from tests.unit.study.works import InProcess

RATE = QUESTION.replace(
    "{minimum: 'pools[chat].replicas', from: 1, to: 6}",
    "{maximum: 'workload[chat].rate', from: 90 /s, to: 140 /s, step: 15 %}",
)


def assert_as_exhaustive(question: Question, plan: Plan, out: Path) -> None:
    expected, runs = exhaustive(question, out, plan)
    if expected is None:
        assert plan.answer is None
        assert plan.status in (NONE, NONE_LIKELY)
        return
    assert plan.answer is not None
    assert plan.answer.point == expected
    assert all(
        line.objective.margin(line.value) <= 0.0 for line in plan.answer.lines
    )  # never infeasible on the common seeds
    assert plan.made <= runs


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs that several tests take as found."""
    return tmp_path_factory.mktemp("runs")


def test_the_least_replicas(tmp_path: Path, out: Path) -> None:
    question = asked(tmp_path)
    plan = answered(question, out)
    assert plan.status in (CERTAIN, LIKELY)
    assert plan.answer is not None
    before = plan.beside(-1)
    assert before is not None
    assert before.worst is not None
    assert before.worst.objective.text == "chat.ttft_p99 <= 150 ms"
    assert plan.binding_at == before.value
    assert sum(limit["seeds"] for limit in plan.binding) == before.seeds
    assert plan.bound == 3
    assert_as_exhaustive(question, plan, out)


def test_the_largest_rate(tmp_path: Path) -> None:
    question = asked(tmp_path, text=RATE)
    assert question.values == ("140 /s", "136.9 /s", "119.0 /s", "103.5 /s", "90 /s")
    plan = answered(question, tmp_path / "runs")
    assert_as_exhaustive(question, plan, tmp_path / "runs")
    after, before = plan.beside(1), plan.beside(-1)
    assert plan.answer is not None
    assert after is not None
    assert before is not None
    rates = [float(str(point.value).split()[0]) for point in (after, plan.answer, before)]
    assert rates == sorted(rates)


def test_the_least_racks(tmp_path: Path) -> None:
    """With each rack come four replicas, of eight GPUs each."""
    counted = "site.halls[hall-a].rows[row-1].racks[0].count"
    text = QUESTION.replace("pools[chat].replicas", counted).replace(
        "from: 1, to: 6", "from: 1, to: 4, each: {'pools[chat].replicas': 4}"
    )
    question = asked(
        tmp_path, "pools[chat].tensor_parallel=8", "workload[chat].rate=900 /s", text=text
    )
    assert [question.scenario(p).pools[0].replicas for p in range(4)] == [4, 8, 12, 16]
    plan = answered(question, tmp_path / "runs")
    assert plan.answer is not None
    assert plan.answer.loads[0].replicas == 4 * int(plan.answer.value)
    assert_as_exhaustive(question, plan, tmp_path / "runs")


def test_values_that_cannot_be_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Values at an end that have no place are left out, and named."""

    def only(fine: range) -> None:
        def build(scenario: Scenario, seed: int) -> None:
            if scenario.pools[0].replicas not in fine:
                raise BuildError("pools[0]", "no place")

        monkeypatch.setattr("sim.plan.least.find.build", build)

    only(range(1, 4))
    few = answered(asked(tmp_path), tmp_path / "runs")
    assert (few.answer, few.points[-1].value, few.points[-1].verdict) == (None, 4, NOT_BUILT)
    assert few.notes == ("pools[chat].replicas 4 and above cannot be built: pools[0]: no place",)
    only(range(6, 9))
    many = answered(asked(tmp_path), tmp_path / "runs")
    assert many.answer is not None
    assert (many.answer.value, many.status, many.low) == (6, CERTAIN, 6)
    assert many.notes == ("pools[chat].replicas 5 and below cannot be built: pools[0]: no place",)
    only(range(0))
    with pytest.raises(RackplanError, match=r"replicas 6: pools\[0\]: no place"):
        answered(asked(tmp_path), tmp_path / "runs")


def test_other_lines_take_the_same_runs(tmp_path: Path, out: Path) -> None:
    answered(asked(tmp_path), out)
    other = answered(asked(tmp_path, text=QUESTION.replace("150 ms", "160 ms")), out)
    assert other.found > 10
    assert other.made <= 12


def test_even_the_last_misses(tmp_path: Path, out: Path) -> None:
    plan = answered(asked(tmp_path, text=QUESTION.replace("150 ms", "20 ms")), out)
    assert plan.status == NONE
    assert plan.answer is None
    assert (plan.points[-1].value, plan.points[-1].verdict) == (6, NO)


@pytest.mark.deep
@pytest.mark.parametrize("case", range(100))
def test_random_small_sites(case: int, tmp_path: Path) -> None:
    """Least replicas, by one line or two, or the largest rate, against every point and seed."""
    rng = np.random.default_rng(case)
    replicas = int(rng.integers(2, 12))
    sets = [
        f"workload[chat].rate={replicas * rng.uniform(12, 30):.4g} /s",
        f"workload[chat].source={{input_tokens: {rng.integers(300, 3000)}, "
        f"output_tokens: {rng.integers(5, 120)}}}",
        f"workload[chat].burstiness={{cv: {rng.choice([1, 2])}}}",
        "policies.routing={kind: "
        + str(rng.choice(["random", "round-robin", "power-of-two"]))
        + "}",
    ]
    line = f"chat.ttft_p99 <= {rng.integers(100, 600)} ms"
    text = QUESTION.replace("chat.ttft_p99 <= 150 ms", line).replace("to: 6", "to: 20")
    if case % 4 == 2:
        text = text.replace(line, f"{line}, chat.tpot_p90 <= {rng.integers(8, 30)} ms")
    if case % 4 == 3:
        del sets[0]  # the rate is what is sought
        sought = "{maximum: 'workload[chat].rate', from: 20 /s, to: 200 /s, step: 13 %}"
        text = RATE.replace("chat.ttft_p99 <= 150 ms", line).replace(
            "{maximum: 'workload[chat].rate', from: 90 /s, to: 140 /s, step: 15 %}", sought
        )
    question = asked(tmp_path, *sets, text=text)
    plan = answered(question, tmp_path / "runs")
    assert_as_exhaustive(question, plan, tmp_path / "runs")


def test_what_cannot_be_served_is_not_run(tmp_path: Path) -> None:
    plan = answered(asked(tmp_path, "workload[chat].rate=900 /s"), tmp_path / "runs")
    assert (plan.status, plan.made) == (NONE, 0)
    (point,) = plan.points
    assert (point.value, point.verdict) == (6, NOT_SERVED)
    assert point.reason.startswith("chat: more tokens arrive than iterations take (148 requests")


def test_the_first_holds_already(tmp_path: Path) -> None:
    plan = answered(asked(tmp_path, "workload[chat].rate=2 /s"), tmp_path / "runs")
    assert plan.answer is not None
    assert (plan.answer.value, plan.answer.verdict, plan.status) == (1, YES, CERTAIN)
    assert plan.beside(-1) is None


def test_near_saturation_nothing_is_certified(tmp_path: Path) -> None:
    """Loose lines hold right up to saturation, where few seeds say nothing."""
    text = QUESTION.replace("chat.ttft_p99 <= 150 ms", "chat.ttft_p99 <= 60 s")
    plan = answered(asked(tmp_path, "workload[chat].rate=112 /s", text=text), tmp_path / "runs")
    assert plan.answer is not None
    assert plan.status == NOT_CERTIFIABLE
    assert (plan.answer.value, plan.answer.verdict) == (4, YES)
    before = plan.beside(-1)
    assert before is not None
    assert (before.verdict, before.seeds) == (NEAR, 2)
    assert "chat is at 95.6 % of its saturation with 3 replicas" in before.reason
    text = text.replace("to: 6", "to: 3")
    plan = answered(asked(tmp_path, "workload[chat].rate=112 /s", text=text), tmp_path / "runs")
    assert (plan.status, plan.answer, plan.made) == (NOT_CERTIFIABLE, None, 0)


def test_of_a_closed_loop_nothing_is_known_before(tmp_path: Path) -> None:
    closed = BASE.replace("    rate: 100 /s\n    burstiness: {cv: 2}\n", "    clients: 40\n")
    question = asked(tmp_path, base=closed)
    plan = answered(question, tmp_path / "runs")
    assert plan.bound is None
    assert plan.notes == (
        "saturation of chat is not known: chat is a closed loop: its rate follows from the "
        "answers; nothing is bounded by it",
    )
    assert_as_exhaustive(question, plan, tmp_path / "runs")


def test_it_goes_on_where_a_lost_worker_stopped_it(tmp_path: Path) -> None:
    question = asked(tmp_path)
    name = "pools[chat].replicas 4, seed 2"
    dying = InProcess(lost=[name])
    with pytest.raises(RunFailed, match="seed 2: its worker was killed by SIGKILL") as caught:
        make_plan(question, runs_of(question, tmp_path / "runs", dying))
    assert not caught.value.input_wrong
    assert name in dying.ran
    plan = answered(question, tmp_path / "runs")
    whole = answered(question, tmp_path / "other")
    assert (plan.found, plan.made + plan.found) == (len(dying.ran) - 1, whole.made)
    told, other = content_of(plan), content_of(whole)
    assert told == other


def test_a_worker_killed_in_the_middle_changes_nothing(tmp_path: Path) -> None:
    text = QUESTION.replace("seeds: 6", "seeds: 2").replace("from: 1", "from: 4")
    question = asked(tmp_path, text=text)
    executor = LocalExecutor(1)
    killed: list[str] = []

    def ended(name: str, ran: bool) -> None:
        assert executor.workers
        if not killed:
            os.kill(executor.workers[0], signal.SIGKILL)
            killed.append(name)

    with executor.kept():
        plan = make_plan(question, runs_of(question, tmp_path / "r", executor, ended))
    assert killed
    expected = answered(question, tmp_path / "other")
    assert (plan.status, plan.answer) == (expected.status, expected.answer)
    assert executor.workers == []


def test_what_cannot_be_measured(tmp_path: Path) -> None:
    question = asked(tmp_path, "workload[chat].rate=0.001 /s")
    with pytest.raises(RackplanError, match="no request of it arrived in the window"):
        answered(question, tmp_path / "runs")


def test_a_question_that_changes_nothing_is_refused(tmp_path: Path) -> None:
    text = QUESTION.replace("pools[chat].replicas", "x-foo")
    with pytest.raises(
        ScenarioError, match=r"question\.minimum: x-foo changes nothing of what is run"
    ):
        asked(tmp_path, text=text)


def test_what_is_sought_cannot_be_set(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"pools\[chat\]\.replicas is what is sought"):
        asked(tmp_path, "pools[chat].replicas=3")


def test_too_few_seeds_to_certify_anything_are_said(tmp_path: Path) -> None:
    few = asked(tmp_path, text=QUESTION.replace("seeds: 6", "seeds: 4"))
    assert "4 seeds can certify nothing, whatever they show; 5 at least can" in few.warnings
    assert not any("certify" in text for text in asked(tmp_path).warnings)
