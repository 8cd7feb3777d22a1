"""Every shipped study that asks a question checks, and has an answer (shortened)."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from sim.paths import share
from sim.plan.growth.build_out_asked import BuildOutAnswer, BuildOutAsked
from sim.plan.growth.until_asked import UntilAnswer
from sim.plan.kinds import KINDS, How, load
from sim.plan.least.asked import LeastAnswer, LeastAsked
from sim.plan.mix.asked import MixAnswer
from sim.plan.runs import Making
from sim.spec.question import asked_of
from sim.spec.study import asks_question
from tests.unit.study.works import InProcess

STUDIES = sorted((share("scenarios") / "studies").glob("*.yaml"))
#: Studies that ask a question → its kind; kind → studies that ask it.
ASKED = {file: asked_of(file, tuple(KINDS)) for file in STUDIES if asks_question(file)}
ASKING = {kind: [file for file in ASKED if ASKED[file] == kind] for kind in KINDS}
QUESTIONS = [file for key in ("minimum", "maximum", "survives", "upgrade") for file in ASKING[key]]
#: What of a study's base is run here.
SHORT = ("duration=40 s", "warm_up=20 s")


@pytest.mark.parametrize("file", QUESTIONS, ids=lambda file: file.stem)
def test_a_plan_asks_a_question_and_has_an_answer(file: Path, tmp_path: Path) -> None:
    first = file.read_text().splitlines()[0]
    assert first.startswith("# ")
    assert first.endswith("?")
    asked = load(file, sets=SHORT, seeds=2)
    assert asked.name == file.stem
    answer = asked.answer(Making(InProcess(), tmp_path, "compiled"), How())
    told = answer.told()
    assert file.stem in told.asked
    assert told.parts
    assert json.loads(json.dumps(answer.content(), allow_nan=False))["name"] == file.stem
    if isinstance(answer, LeastAnswer):
        assert isinstance(asked, LeastAsked)
        plan = answer.plan
        assert plan.answer is not None
        assert plan.bound is not None
        # Nothing trips in so short a run, so there the first value holds.
        rare = any(line.chance for line in asked.question.objectives)
        assert rare or 0 < plan.answer.point < asked.question.last


@pytest.mark.parametrize("file", ASKING["cheapest"], ids=lambda file: file.stem)
def test_a_mix_asks_a_question_and_has_an_answer(file: Path, tmp_path: Path) -> None:
    first = file.read_text().splitlines()[0]
    assert first.startswith("# ")
    assert first.endswith("?")
    asked = load(file, sets=SHORT, seeds=2)
    assert asked.name == file.stem
    answer = asked.answer(Making(InProcess(), tmp_path, "compiled"), How())
    assert isinstance(answer, MixAnswer)
    plan = answer.plan
    assert plan.best is not None
    assert plan.found.complete
    assert plan.found.bound <= plan.best.cost.price
    assert file.stem in answer.told().asked
    assert json.loads(json.dumps(answer.content(), allow_nan=False))["name"] == file.stem
    if file.stem == "prefill-to-decode":
        (steps,) = plan.stairs.values()
        prefills, decodes = (n for _, n in plan.best.seen.vector)
        assert any((step.first, step.second) == (prefills, decodes) for step in steps)


@pytest.mark.parametrize("file", ASKING["until"], ids=lambda file: file.stem)
def test_a_study_of_growth_asks_a_question_and_has_a_month(file: Path, tmp_path: Path) -> None:
    first = file.read_text().splitlines()[0]
    assert first.startswith("# ")
    assert first.endswith("?")
    asked = load(file, sets=("duration=15 s", "warm_up=5 s"), seeds=2)
    assert asked.name == file.stem
    answer = asked.answer(Making(InProcess(), tmp_path, "compiled"), How())
    assert isinstance(answer, UntilAnswer)
    assert answer.found is not None
    assert answer.found.middle is not None
    assert answer.found.middle > answer.forecast.start


@pytest.mark.parametrize("file", ASKING["build_out"], ids=lambda file: file.stem)
def test_a_build_out_asks_a_question_and_has_a_schedule(file: Path, tmp_path: Path) -> None:
    """Its first year; ``make test-deep`` does all of it."""
    first = file.read_text().splitlines()[0]
    assert first.startswith("# ")
    assert first.endswith("?")
    asked = load(file)
    assert isinstance(asked, BuildOutAsked)
    assert asked.name == file.stem
    year = replace(
        asked,
        spec=replace(asked.spec, months=12),
        forecast=replace(asked.forecast, curves=asked.forecast.curves[:, :12]),
    )
    answer = year.answer(Making(InProcess(), tmp_path, "compiled"), How())
    assert all(plan.optimal for plan in answer.plans.values())
    assert answer.plans["p90"].orders.sum() > 0
    assert answer.told().parts[0].tables[0].rows


@pytest.mark.deep
@pytest.mark.parametrize("file", ASKING["build_out"], ids=lambda file: file.stem)
def test_a_build_out_is_solved_to_its_end(file: Path, tmp_path: Path) -> None:
    answer = load(file).answer(Making(InProcess(), tmp_path, "compiled"), How())
    assert isinstance(answer, BuildOutAnswer)
    assert all(plan.optimal and plan.gap <= 1e-6 for plan in answer.plans.values())
    assert {limit.name: limit.binds for limit in answer.limits} == {
        "lead times of units": True, "supply": True, "power contract": True,
        "lead time of power": True, "space": False,
    }  # fmt: skip
    page = (share("scenarios").parent / "docs" / "growth.md").read_text(encoding="utf-8")
    told = answer.told()
    assert "\n".join([told.headline, *told.reasons]) in page


def test_every_kind_of_question_has_a_study() -> None:
    assert all(ASKING.values())
