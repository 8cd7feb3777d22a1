"""``rackplan show RUN --links``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from sim.cli.show import show
from sim.errors import RackplanError
from sim.results.parquet import ParquetSink
from tests.unit.results.traffic import run_over, run_with, small_fabric, traffic

FILE = str(Path(__file__).resolve().parents[3] / "scenarios" / "quickstart.yaml")


@pytest.fixture
def app() -> typer.Typer:
    app = typer.Typer()
    app.command()(show)
    return app


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A run in which a cable is lost and others are full."""
    fabric = small_fabric()
    place = tmp_path_factory.mktemp("runs") / "busy"
    run_with(fabric, traffic(fabric, 400, "leaf-1/spine-1#1"), ParquetSink(place))
    return str(place)


def test_tiers_come_first_and_then_what_was_full_longest(app: typer.Typer, folder: str) -> None:
    result = CliRunner().invoke(app, [folder, "--links", "--top", "4"])
    assert result.exit_code == 0
    lines = result.output.splitlines()
    assert max(map(len, lines)) <= 100
    words = [" ".join(line.split()) for line in lines]
    assert words[0] == "Links of by-hand, seed 7, over 9 min after 60.0 s of warm-up"
    assert words[1] == "tier links used carried mean max full links full held down"
    assert words[2] == "gpu → nvswitch 32 0 0 B 0 % 0 % - 0 0 0"
    assert words[10].startswith("nic → leaf 32 32 3.20 TB 0.37 % 100 %")
    assert words[12].startswith("leaf → spine 16 15")
    assert words[12].endswith(" 1")  # down
    assert "The first 4, full longest first, then busiest:" in result.output
    assert words[16] == "link rate carried mean P95 max full flows held"
    assert len([line for line in words if "400 Gb/s" in line]) == 4


def test_what_was_down_has_a_column(app: typer.Typer, folder: str) -> None:
    lines = CliRunner().invoke(app, [folder, "--links", "--top", "200"]).output.splitlines()
    assert max(map(len, lines)) <= 100
    words = [" ".join(line.split()) for line in lines]
    assert words[16] == "link rate carried mean P95 max full flows held down"
    assert "leaf-1 → spine-1#1 400 Gb/s 0 B - - - - 0 0 9 min" in words


def test_json_has_the_rows_of_the_tables(app: typer.Typer, folder: str) -> None:
    result = CliRunner().invoke(app, [folder, "--links", "--json", "--top", "200"])
    told = json.loads(result.output)
    assert (told["run"], told["reason"]) == ("busy", None)
    assert sum(tier["links"] for tier in told["tiers"]) == 352
    assert sum(tier["held_flows"] for tier in told["tiers"]) == 400
    full = [link["saturated_s"] for link in told["links"]]
    assert full == sorted(full, reverse=True)
    (one, other) = [link for link in told["links"] if link["down_s"]]
    assert one["mean_use"] is other["mean_use"] is None
    assert {one["name"], other["name"]} == {"leaf-1 → spine-1#1", "spine-1 → leaf-1#1"}


def test_links_that_were_never_full_are_shown_by_use(app: typer.Typer, tmp_path: Path) -> None:
    fabric = small_fabric()
    slow = traffic(fabric, 1)
    slow.use_s[:, -2] += slow.use_s[:, -1]
    slow.use_s[:, -1] = 0.0
    run_with(fabric, slow, ParquetSink(tmp_path / "calm"))
    result = CliRunner().invoke(app, [str(tmp_path / "calm"), "--links"])
    assert f"No link was full. The busiest {len(slow.link)} of {len(slow.link)}" in result.output


@pytest.mark.parametrize(
    ("fabric", "says"),
    [
        (True, "No single links to show: nothing crossed the network in the "
         "measurement window."),
        (False, "No links to show: the scenario states no network."),
    ],
)  # fmt: skip
def test_a_run_without_traffic_says_so(
    app: typer.Typer, tmp_path: Path, fabric: bool, says: str
) -> None:
    place = tmp_path / "idle"
    if fabric:
        run_with(small_fabric(), traffic(small_fabric(), 0), ParquetSink(place))
    else:
        run_over({}, ParquetSink(place), resolved={})
    result = CliRunner().invoke(app, [str(place), "--links"])
    assert result.exit_code == 0
    assert says in result.output
    told = json.loads(CliRunner().invoke(app, [str(place), "--links", "--json"]).output)
    assert told["links"] == []
    assert told["reason"] in says
    assert bool(told["tiers"]) == fabric


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--links", "--tree"], "--tree and --links show different things: ask for one of them"),
        (["--links", "--fabric"],
         "--links is of a run, --fabric of a scenario: ask for one of them"),
        (["--links", "--outages"],
         "--links is of a run, --outages of a scenario: ask for one of them"),
        (["--top", "3"], "--top says how many links to list: it goes with --links only"),
        (["--links", "--top", "0"], "--top takes a number from 1 on, not 0"),
    ],
)  # fmt: skip
def test_refusals(app: typer.Typer, words: list[str], says: str) -> None:
    result = CliRunner().invoke(app, [FILE, *words])
    assert isinstance(result.exception, RackplanError)
    assert str(result.exception) == says


def test_a_scenario_is_no_run(app: typer.Typer) -> None:
    result = CliRunner().invoke(app, [FILE, "--links"])
    assert isinstance(result.exception, RackplanError)
    assert str(result.exception) == (
        f"{FILE} is a scenario; --links asks a run: rackplan run {FILE}, then rackplan show RUN "
        "--links"
    )
