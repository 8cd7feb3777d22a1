"""``rackplan check``, ``schema`` and ``new``: output, exit codes, and what they do not import."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from sim.check import check as check_document
from sim.cli import check, new, run, schema
from sim.errors import RackplanError
from sim.spec import read

BROKEN = Path(__file__).resolve().parents[2] / "broken"


@pytest.fixture
def app() -> typer.Typer:
    table = typer.Typer()
    table.command("check")(check.check)
    table.command("run")(run.run)
    table.command("schema")(schema.schema)
    table.command("new")(new.new)
    return table


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_new_writes_a_scenario_without_warnings(app: typer.Typer, folder: Path) -> None:
    result = CliRunner().invoke(app, ["new", "my-site"])
    assert result.exit_code == 0
    assert result.stdout == (
        "wrote my-site.yaml; next: rackplan check my-site.yaml, then rackplan run my-site.yaml\n"
    )
    scenario = check_document(read("my-site.yaml"))
    assert (scenario.name, scenario.warnings) == ("my-site", ())


@pytest.mark.parametrize("command", ["run", "check"])
def test_help_shows_brackets_as_they_are_typed(app: typer.Typer, command: str) -> None:
    result = CliRunner().invoke(app, [command, "--help"])
    assert result.exit_code == 0
    assert "pools[chat].replicas=30" in re.sub(r"\x1b\[[0-9;]*m", "", result.stdout)


def test_new_overwrites_nothing(app: typer.Typer, folder: Path) -> None:
    Path("mine.yaml").write_text("precious")
    result = CliRunner().invoke(app, ["new", "mine"])
    assert isinstance(result.exception, RackplanError)
    assert str(result.exception) == "mine.yaml is there already; choose another name, or move it"
    assert Path("mine.yaml").read_text() == "precious"


@pytest.mark.parametrize("name", ["../up", "Big", "", "a b", ".hidden"])
def test_new_takes_names_only(app: typer.Typer, folder: Path, name: str) -> None:
    result = CliRunner().invoke(app, ["new", name])
    assert isinstance(result.exception, RackplanError)
    assert "is not a scenario's name" in str(result.exception)
    assert list(folder.iterdir()) == []


def test_check_says_ok_and_warns_on_stderr(app: typer.Typer, folder: Path) -> None:
    CliRunner().invoke(app, ["new", "a"])
    result = CliRunner().invoke(app, ["check", "a.yaml", "--set", "fabric.kind=fat-tree"])
    assert result.exit_code == 0
    assert result.stdout == "a.yaml: ok\n"
    assert result.stderr == (
        "a.yaml: warning: fabric: checked and kept, but nothing of this scenario crosses it\n"
    )


def test_check_remarks_on_the_margin_of_control(app: typer.Typer, folder: Path) -> None:
    CliRunner().invoke(app, ["new", "a"])
    control = [
        "--set",
        "policies.power={kind: polca, watch: utility}",
        "--set",
        "telemetry.period=1 s",
    ]
    result = CliRunner().invoke(app, ["check", "a.yaml", *control])
    assert result.stderr == ""
    ok, remark = result.stdout.splitlines()
    assert ok == "a.yaml: ok"
    assert remark.startswith("a.yaml: policies.power: a surge is acted on up to 9.00 s")


def test_check_lists_every_problem_of_every_file(app: typer.Typer, folder: Path) -> None:
    CliRunner().invoke(app, ["new", "a"])
    result = CliRunner().invoke(
        app, ["check", "none.yaml", "a.yaml", "--set", "duration=10", "--set", "seed=x"]
    )
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.splitlines() == [
        "none.yaml: no such file",
        "--set duration=10: duration: needs a unit: write '10 s' (a time) or similar",
        "--set seed=x: seed: expected a whole number, not 'x'",
    ]


def test_check_json(app: typer.Typer, folder: Path) -> None:
    CliRunner().invoke(app, ["new", "a"])
    Path("b.yaml").write_text("extends: a.yaml\nseed: -1\n")
    result = CliRunner().invoke(app, ["check", "a.yaml", "b.yaml", "--json"])
    assert result.exit_code == 2
    assert result.stderr == ""
    assert json.loads(result.stdout) == [
        {"file": "a.yaml", "ok": True, "problems": [], "warnings": [], "remarks": []},
        {
            "file": "b.yaml",
            "ok": False,
            "problems": [
                {
                    "file": "b.yaml",
                    "line": 2,
                    "column": 7,
                    "path": "seed",
                    "message": "must be at least 0, not -1",
                }
            ],
            "warnings": [],
            "remarks": [],
        },
    ]


def test_paths_outside_need_leave(app: typer.Typer, folder: Path) -> None:
    CliRunner().invoke(app, ["new", "a"])
    Path("in").mkdir()
    Path("in/b.yaml").write_text("extends: ../a.yaml\n")
    assert CliRunner().invoke(app, ["check", "in/b.yaml"]).exit_code == 2
    assert CliRunner().invoke(app, ["check", "in/b.yaml", "--allow-outside"]).exit_code == 0


def test_schema_prints_json(app: typer.Typer) -> None:
    result = CliRunner().invoke(app, ["schema"])
    assert result.exit_code == 0
    assert json.loads(result.stdout)["title"] == "rackplan scenario"


def test_checking_imports_nothing_heavy() -> None:
    code = (
        "import sys; from sim.spec import read; from sim.check import check\n"
        f"check(read({str(BROKEN / 'common' / 'base.yaml')!r}))\n"
        "print([m for m in ('numba', 'cupy', 'streamlit', 'simpy', 'duckdb') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
