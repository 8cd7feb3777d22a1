"""The least that survives failures too: worst values against those of every failure by itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from sim.errors import RackplanError, ScenarioError
from sim.plan.kinds import How
from sim.plan.least.asked import LeastAsked
from sim.plan.least.find import make_plan
from sim.plan.least.question import Question, load_question
from sim.plan.least.worst import WorstRuns
from sim.plan.runs import Making, PlanRuns
from sim.plan.survives.find import load_losses
from sim.study.here import InThisProcess

#: Three racks on three PDUs; a replica takes a server, and placement spreads them over the racks.
BASE = """
rackplan: 1
name: three-racks
duration: 30 s
warm_up: 5 s
drain: 10 s
site: {halls: [{name: hall-a, rows: [{name: row-1, racks: [{type: dgx-h100-2, count: 3}]}]}]}
power: {ups: [{name: ups-a, rating: 90 kW}], pdus: {per_row: 3, rating: 30 kW}}
llms: [{name: llama-3.1-8b, precision: fp8}]
pools: [{name: chat, llm: llama-3.1-8b, tensor_parallel: 8, replicas: 2}]
workload:
  - name: chat
    pool: chat
    source: {input_tokens: 500, output_tokens: 10}
    rate: 20 /s
    slo: {ttft: 500 ms}
policies: {placement: {kind: failure-domain-aware}}
"""
STUDY = """
rackplan: 1
kind: study
name: any
base: base.yaml
question: {minimum: 'pools[chat].replicas', from: 1, to: 6, survives: [rack]}
subject_to: [chat.goodput_fraction >= 90 %]
seeds: 5
"""
LINE = "chat.goodput_fraction >= 90 %"


def asked(folder: Path, old: str = "", new: str = "") -> Question:
    (folder / "base.yaml").write_text(BASE)
    assert old in STUDY
    file = folder / "any.yaml"
    file.write_text(STUDY.replace(old, new) if old else STUDY)
    return load_question(file)


def making(folder: Path) -> Making:
    return Making(InThisProcess(), folder / "runs", "compiled")


def test_values_are_the_worst_of_every_failure(tmp_path: Path) -> None:
    """The same runs, made one by one by the question of what is survived."""
    question = asked(tmp_path)
    assert question.spec.failing is not None
    worst = WorstRuns(question, question.spec.failing, making(tmp_path))
    worst.see({0: 3, 1: 3})
    for point, replicas in ((0, 1), (1, 2)):
        text = STUDY.replace("minimum: 'pools[chat].replicas', from: 1, to: 6, ", "")
        (tmp_path / "each.yaml").write_text(text)
        losses = load_losses(tmp_path / "each.yaml", sets=(f"pools[chat].replicas={replicas}",))
        runs = PlanRuns(losses, making(tmp_path))
        runs.see(dict.fromkeys(range(4), 3))
        assert runs.making.made == 0
        each = [runs.values(failure)[LINE] for failure in range(4)]
        assert worst.values(point)[LINE] == [min(of_seed) for of_seed in zip(*each, strict=True)]
    # One replica is gone with its rack; of two in different racks one is always left.
    assert max(worst.values(0)[LINE]) < 0.2
    assert min(worst.values(1)[LINE]) > 0.9
    assert [one.kind for one in worst.failures(1)] == ["rack"] * 3
    named = worst.worst(0, LINE)
    assert named is not None
    assert named[0].startswith("row-1-rack-")


def test_the_answer_survives_and_the_one_before_does_not(tmp_path: Path) -> None:
    question = asked(tmp_path)
    answer = LeastAsked(question).answer(making(tmp_path), How())
    assert answer.plan.answer is not None
    assert answer.plan.answer.value == 2
    told = answer.told()
    assert told.asked.endswith("whatever one part fails")
    (failures,) = [part for part in told.parts if part.heading == "Failures"]
    said = failures.sentences
    assert "of 3 failures, one at a time (3 of kind rack), at 5.00 s, for good" in said[0]
    assert said[1] == f"{LINE} at 2: no failure is worse than none"  # all is served by either
    whole = make_plan(asked(tmp_path, ", survives: [rack]"), PlanRuns(question, making(tmp_path)))
    assert whole.answer is not None
    assert whole.answer.value == 1


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("survives: [rack]", "survives: [racks]", "no part called 'racks' (did you mean 'rack'?)"),
        (
            "survives: [rack]",
            "at: 10 s",
            "question.at: at of what? write survives: [ups] beside it",
        ),
        ("[rack]", "[rack], at: 40 s", "question.at: requests are measured until 30.0 s only"),
    ],
)
def test_mistakes_are_explained(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        asked(tmp_path, old, new)
    assert message in str(caught.value)


def test_steps_of_resources_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RackplanError, match="--shadow: of an answer that survives failures"):
        LeastAsked(asked(tmp_path)).answer(making(tmp_path), How(shadow=True))
