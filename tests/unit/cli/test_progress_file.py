"""``rackplan run --progress FILE``: how far a run is, for a program that watches."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sim.cli.app import app
from sim.cli.progress_file import ProgressFile
from sim.errors import RackplanError


def test_the_file_says_how_far_and_then_where(tmp_path: Path) -> None:
    file = tmp_path / "progress.json"
    told = ProgressFile(file)
    drawn: list[tuple[float, float]] = []
    progress = told.following(lambda now_s, all_s: drawn.append((now_s, all_s)))
    assert not file.exists()
    progress(1.0, 10.0)
    first = json.loads(file.read_text())
    assert (first["simulated_s"], first["total_s"]) == (1.0, 10.0)
    progress(2.0, 10.0)  # at once: not written yet, but not lost
    assert json.loads(file.read_text())["simulated_s"] == 1.0
    told.ended("tiny-0-s1", "complete")
    last = json.loads(file.read_text())
    assert last["simulated_s"] == 2.0
    assert (last["result"], last["outcome"]) == ("tiny-0-s1", "complete")
    assert drawn == [(1.0, 10.0), (2.0, 10.0)]
    assert [path.name for path in tmp_path.iterdir()] == ["progress.json"]


def test_without_a_file_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    told = ProgressFile(None)
    told.following(lambda now_s, all_s: None)(1.0, 2.0)
    told.ended("x", "complete")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    told = ProgressFile(tmp_path / "gone" / "progress.json")
    with pytest.raises(RackplanError, match=r"--progress .*cannot be written: no such file"):
        told.ended("x", "complete")


def test_it_is_of_a_single_run() -> None:
    done = CliRunner().invoke(app, ["run", "x.yaml", "--seeds", "2", "--progress", "p.json"])
    assert isinstance(done.exception, RackplanError)
    assert "--progress is of a single run" in str(done.exception)
