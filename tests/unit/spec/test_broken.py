"""Every scenario of ``tests/broken`` is refused with exactly the messages at its head.

A message stands in a line ``#> 12:5: pools[0].llm: …``, without the file's name, or with it where
the place is in another file.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sim.check import check
from sim.errors import ScenarioError
from sim.spec import read

FOLDER = Path(__file__).resolve().parents[2] / "broken"
FILES = sorted(file.name for file in FOLDER.glob("*.yaml"))

#: What no user should ever read: names of our classes, of pydantic's, of Python's types.
_INTERNALS = re.compile(
    r"Spec\b|pydantic|Traceback|<class|NoneType|\bdict\b|\btuple\b|Error\b|validat|https?://"
)


def refusals(file: str) -> list[str]:
    with pytest.raises(ScenarioError) as caught:
        check(read(file))
    return [str(problem) for problem in caught.value.problems]


def expected(file: str) -> list[str]:
    lines = (FOLDER / file).read_text(encoding="utf-8").splitlines()
    marked = [line.removeprefix("#> ") for line in lines if line.startswith("#> ")]
    return [f"{file}:{line}" if re.match(r"\d+:\d+:", line) else line for line in marked]


def test_there_are_enough_of_them() -> None:
    assert len(FILES) >= 100


@pytest.mark.parametrize("file", FILES)
def test_broken_scenario_has_exactly_its_messages(
    file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(FOLDER)
    messages = refusals(file)
    assert messages == expected(file)
    for message in messages:
        assert "\n" not in message
        assert not _INTERNALS.search(message)


def test_the_base_they_change_is_sound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(FOLDER)
    scenario = check(read("common/base.yaml"))
    assert scenario.warnings == ()
    assert scenario.site.gpus == 64
