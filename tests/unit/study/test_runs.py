"""What a run that cannot be written comes to: a sentence, and no fault of its scenario."""

from __future__ import annotations

from pathlib import Path

import pytest

from sim.check import check
from sim.spec.reader import read
from sim.study import runs
from sim.study.runs import Run, run_one
from tests.unit.plan.questions import BASE


def run_at(folder: Path, target: Path) -> Run:
    (folder / "tiny.yaml").write_text(BASE)
    return Run("a run", check(read(folder / "tiny.yaml")), 1, "compiled", target)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    end = run_one(run_at(tmp_path, tmp_path / "file" / "run"), lambda share: None)
    assert end.folder is None
    assert end.message.startswith(f"cannot write results to {tmp_path / 'file' / 'run'}: ")
    assert not end.input_wrong


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(runs, "run_scenario", full)
    end = run_one(run_at(tmp_path, tmp_path / "runs" / "run"), lambda share: None)
    assert end.message == "files cannot be read or written: [Errno 28] No space left on device"
    assert not end.input_wrong
    assert list((tmp_path / "runs").iterdir()) == []  # nothing half-made is left
