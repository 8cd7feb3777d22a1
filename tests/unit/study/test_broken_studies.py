"""Every study of ``tests/broken/studies``, and every question beside it, is refused.

Each with exactly the messages at its head.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sim.errors import ScenarioError
from sim.plan.kinds import load
from sim.plan.least.question import load_question
from sim.study.points import load_study

FOLDER = Path(__file__).resolve().parents[2] / "broken" / "studies"
FILES = sorted(file.name for file in FOLDER.glob("*.yaml"))


QUESTIONS = FOLDER.with_name("questions")
#: Questions of growth: until when, and what to order when.
GROWTH = FOLDER.with_name("growth")
#: Sound scenarios that the questions are about.
BASES = ("base.yaml", "peaks.yaml", "silent.yaml")


def expected(file: str, folder: Path = FOLDER) -> list[str]:
    lines = (folder / file).read_text(encoding="utf-8").splitlines()
    marked = [line.removeprefix("#> ") for line in lines if line.startswith("#> ")]
    return [f"{file}:{line}" if re.match(r"\d+:\d+:", line) else line for line in marked]


def test_there_are_enough_of_them() -> None:
    assert len(FILES) >= 15


@pytest.mark.parametrize("file", FILES)
def test_a_broken_study_has_exactly_its_messages(
    file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(FOLDER)
    with pytest.raises(ScenarioError) as caught:
        load_study(file)
    assert [str(problem) for problem in caught.value.problems] == expected(file)


@pytest.mark.parametrize(
    "file", sorted(f.name for f in QUESTIONS.glob("*.yaml") if f.name not in BASES)
)
def test_a_broken_question_has_exactly_its_messages(
    file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(QUESTIONS)
    with pytest.raises(ScenarioError) as caught:
        load_question(file)
    assert [str(problem) for problem in caught.value.problems] == expected(file, QUESTIONS)


@pytest.mark.parametrize(
    "file", sorted(f.name for f in GROWTH.glob("*.yaml") if f.name not in BASES)
)
def test_a_broken_question_of_growth_has_exactly_its_messages(
    file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(GROWTH)
    with pytest.raises(ScenarioError) as caught:
        load(file)
    assert [str(problem) for problem in caught.value.problems] == expected(file, GROWTH)
