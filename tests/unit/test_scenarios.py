"""Every shipped scenario says its question, checks, and runs (shortened)."""

from __future__ import annotations

from pathlib import Path

import pytest

import sim
from sim.paths import share

FILES = sorted(share("scenarios").glob("*.yaml"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_it_asks_a_question_and_runs(file: Path) -> None:
    first = file.read_text().splitlines()[0]
    assert first.startswith("# ")
    assert first.endswith("?")
    scenario = sim.load_scenario(file, sets=["duration=40 s", "warm_up=20 s"])
    assert scenario.name == file.stem
    result = sim.run_scenario(scenario)
    assert result.outcome == "complete"
    assert result.metrics["arrivals"].value > 0
    assert result.metrics["peak_draw_w"].value > 1000


def test_there_are_four() -> None:
    assert len(FILES) >= 4
