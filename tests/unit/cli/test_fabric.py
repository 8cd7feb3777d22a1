"""``rackplan show SCENARIO --fabric``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from sim.cli.show import show
from sim.errors import RackplanError

FILE = str(Path(__file__).resolve().parents[3] / "scenarios" / "quickstart.yaml")


@pytest.fixture
def app() -> typer.Typer:
    app = typer.Typer()
    app.command()(show)
    return app


def test_the_table_counts_what_there_is(app: typer.Typer) -> None:
    result = CliRunner().invoke(app, [FILE, "--fabric"])
    assert result.exit_code == 0
    words = [" ".join(line.split()) for line in result.output.splitlines()]
    assert words[0] == "Network of quickstart: rail-optimised, switches of 64 × 400 Gb/s"
    assert words[1] == "128 GPUs, 128 NICs, 16 hosts, 8 leaves, 4 spines, 16 NVLink domains"
    assert "leaf – spine 256 400 Gb/s 102.4 Tb/s" in words
    assert "once every leaf is full" in result.output
    assert "Bisection: 25.6 Tb/s one way" in result.output


def test_json_is_in_si_units(app: typer.Typer) -> None:
    sets = ["--set", "fabric={kind: leaf-spine, oversubscription: 3}"]
    result = CliRunner().invoke(app, [FILE, "--fabric", "--json", *sets])
    told = json.loads(result.output)
    assert told["kind"] == "leaf-spine"
    assert told["counts"]["leaf"] == 3  # six servers of eight NICs on each
    assert told["levels"][0]["worst"] == 3.0
    assert told["bisection_bytes_per_s"] < told["full_bisection_bytes_per_s"]


def test_what_is_written_can_be_named(app: typer.Typer, tmp_path: Path) -> None:
    file = tmp_path / "fabric.json"
    CliRunner().invoke(app, [FILE, "--fabric", "--write", str(file)])
    copy = tmp_path / "copy.yaml"
    text = Path(FILE).read_text(encoding="utf-8")
    copy.write_text(text.replace("fabric: {kind: rail-optimised, nic: 400 Gb/s, ",
                                 "fabric: {file: fabric.json}  # {"))  # fmt: skip
    result = CliRunner().invoke(app, [str(copy), "--fabric"])
    assert "Network of quickstart: from fabric.json" in result.output
    assert "8 leaves, 4 spines" in result.output


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([FILE, "--fabric", "--outages"], "ask for one of them"),
        ([FILE, "--fabric", "--tree"], "ask for one of them"),
        ([FILE, "--write", "a.json"], "goes with --fabric only"),
        ([".", "--fabric"], "is a run; --fabric asks a scenario"),
        ([FILE, "--fabric", "--write", "a.svg"], "ends in .json or .graphml"),
        ([FILE, "--fabric", "--write", "/no/such/folder/a.json"], "cannot be written"),
    ],
)
def test_refusals(app: typer.Typer, words: list[str], says: str) -> None:
    result = CliRunner().invoke(app, words)
    assert isinstance(result.exception, RackplanError)
    assert says in str(result.exception)


def test_a_scenario_without_a_network_is_told(app: typer.Typer, tmp_path: Path) -> None:
    copy = tmp_path / "copy.yaml"
    lines = Path(FILE).read_text(encoding="utf-8").splitlines()
    copy.write_text("\n".join(line for line in lines if not line.startswith("fabric:")))
    result = CliRunner().invoke(app, [str(copy), "--fabric"])
    assert isinstance(result.exception, RackplanError)
    assert "states no network; write 'fabric: {kind: rail-optimised}'" in str(result.exception)
