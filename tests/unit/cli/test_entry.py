"""The entry point: what a terminal without Unicode gets, and Ctrl-C before a command runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sim.cli import main

BASE = Path(__file__).resolve().parents[2] / "broken" / "common" / "base.yaml"


def rackplan(*arguments: str | bytes, folder: Path, encoding: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of the command, as ASCII."""
    command = [sys.executable, "-c", "from sim.cli import main; main()", *arguments]
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, "PYTHONIOENCODING": encoding}, capture_output=True
    )
    return done.returncode, done.stdout.decode("ascii"), done.stderr.decode("ascii")


@pytest.mark.parametrize("encoding", ["ascii", "ascii:strict"])
def test_a_terminal_without_unicode_gets_escapes(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "é.yaml").write_bytes(BASE.read_bytes())
    code, out, _ = rackplan("check", "é.yaml", folder=tmp_path, encoding=encoding)
    assert (code, out) == (0, "\\xe9.yaml: ok\n")
    code, out, _ = rackplan("check", "é.yaml", "--json", folder=tmp_path, encoding=encoding)
    assert (code, json.loads(out)[0]["file"]) == (0, "é.yaml")
    code, out, _ = rackplan("schema", folder=tmp_path, encoding=encoding)
    assert code == 0
    assert "µs" in json.loads(out)["properties"]["duration"]["pattern"]
    assert rackplan("catalog", "gpu", "h100", folder=tmp_path, encoding=encoding)[0] == 0


def test_a_file_name_that_is_no_text_is_named_in_escapes(tmp_path: Path) -> None:
    code, out, err = rackplan("check", b"\xff.yaml", folder=tmp_path, encoding="utf-8")
    assert (code, out, err) == (2, "", "\\udcff.yaml: no such file\n")


def test_ctrl_c_before_a_command_runs_leaves_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("sim.cli.app.app", interrupted)
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 130
    assert capsys.readouterr() == ("", "")
