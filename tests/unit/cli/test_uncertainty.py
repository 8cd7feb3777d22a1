"""``run --uncertainty`` from the command line: output, JSON, exit codes, samples that are lost."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from sim.cli.run import run
from sim.cli.show import show
from tests.unit.study.works import InProcess, scenario_file

app = typer.Typer()
for command in (run, show):
    app.command(command.__name__)(command)


@pytest.fixture
def scenario(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tiny scenario in an empty folder; samples run in this process."""
    monkeypatch.chdir(tmp_path)
    lose(monkeypatch)
    return scenario_file(tmp_path)


def lose(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """The workers of these runs die."""
    monkeypatch.setattr(
        "sim.study.local.LocalExecutor", lambda jobs, **options: InProcess(lost=list(names))
    )


def rackplan(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_ranges_stand_behind_the_summary_and_show_repeats_them(scenario: Path) -> None:
    made = rackplan("run", scenario, "--uncertainty", 4)
    assert made.exit_code == 0, made.output
    assert "4 samples under seed 1" in made.stdout
    assert "in 3 of 5 cases" in made.stdout.replace("\n", " ").replace("  ", " ")
    assert "✓ chat.ttft_p99 <= 2 s  (in 4 of 4 samples)" in made.stdout
    names = sorted(path.name for path in Path("runs").iterdir())
    (folder,) = [name for name in names if name.endswith("-u4")]
    assert len(names) == 6
    shown = rackplan("show", folder)
    assert shown.exit_code == 0
    assert made.stdout.endswith(shown.stdout)
    again = rackplan("run", scenario, "--uncertainty", 4)
    assert again.stdout == made.stdout
    assert "4 samples: already in runs, taken as found" in again.stderr


def test_json_has_both_intervals(scenario: Path) -> None:
    made = rackplan("run", scenario, "--seeds", 2, "--uncertainty", 4, "--json")
    content = json.loads(made.stdout)
    ttft = content["metrics"]["chat.ttft_p99"]
    assert ttft["low"] < ttft["value"] < ttft["high"]
    assert ttft["calibration_low"] < ttft["calibration_high"]
    assert content["calibration"]["samples"] == [1, 2, 3, 4]
    assert re.search(r"-s1-2-u4$", content["calibration"]["folder"])


def test_a_lost_sample_exits_with_3_and_the_rest_is_shown(
    scenario: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lose(monkeypatch, "sample 2")
    made = rackplan("run", scenario, "--uncertainty", 5)
    assert made.exit_code == 3
    assert "Sample 2 failed: its worker was killed by SIGKILL" in made.stdout
    assert "4 samples under seed 1" in made.stdout


@pytest.mark.parametrize("seeds", [1, 2])
def test_with_too_few_samples_the_fitted_result_is_shown_all_the_same(
    scenario: Path, monkeypatch: pytest.MonkeyPatch, seeds: int
) -> None:
    lose(monkeypatch, "sample 2", "sample 3")
    made = rackplan("run", scenario, "--uncertainty", 5, "--seeds", seeds)
    assert made.exit_code == 3
    assert "of its requests missed" in made.stdout
    assert "2 of 5 samples of the calibration failed" in made.stderr


def test_samples_need_the_first_seed(scenario: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lose(monkeypatch, "seed 1")
    made = rackplan("run", scenario, "--uncertainty", 4, "--seeds", 3)
    assert made.exit_code == 3
    assert "Seed 1 failed" in made.stdout
    assert "seed 1 failed, so samples under it have nothing to stand beside" in made.stderr


def test_what_cannot_be_sampled_is_said(scenario: Path) -> None:
    made = rackplan("run", scenario, "--uncertainty", 4, "--set", "calibration.sample=2")
    assert "leave calibration.sample at 0, not 2" in str(made.exception)
