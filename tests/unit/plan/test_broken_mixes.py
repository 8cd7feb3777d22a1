"""Every question of ``tests/broken/mixes`` is refused with exactly the messages at its head."""

from __future__ import annotations

from pathlib import Path

import pytest

from sim.errors import ScenarioError
from sim.plan.kinds import load
from tests.unit.study.test_broken_studies import expected

FOLDER = Path(__file__).resolve().parents[2] / "broken" / "mixes"
#: Sound scenarios that the questions are about.
BASES = ("base.yaml", "pair.yaml")
FILES = sorted(file.name for file in FOLDER.glob("*.yaml") if file.name not in BASES)


def test_there_are_enough_of_them() -> None:
    assert len(FILES) >= 12


@pytest.mark.parametrize("file", FILES)
def test_a_broken_question_has_exactly_its_messages(
    file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(FOLDER)
    with pytest.raises(ScenarioError) as caught:
        load(file)
    assert [str(problem) for problem in caught.value.problems] == expected(file, FOLDER)
