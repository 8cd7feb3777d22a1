"""``rackplan show SCENARIO --outages``: lines, JSON, refusals."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from sim.cli import show
from sim.errors import RackplanError

FILE = str(Path(__file__).resolve().parents[3] / "scenarios" / "ups-failure.yaml")
SMALL = ["--set", "power.ups[ups-a].rating=105 kW", "--set", "power.ups[ups-b].rating=105 kW"]
POLCA = ["--set", "policies.power={kind: polca, watch: ups}"]


@pytest.fixture
def app() -> typer.Typer:
    table = typer.Typer()
    table.command("show")(show.show)
    return table


def shown(app: typer.Typer, *words: str) -> str:
    result = CliRunner().invoke(app, [FILE, "--outages", *words])
    assert result.exit_code == 0, result.exception
    return result.stdout


def test_a_survivor_that_holds_out(app: typer.Typer) -> None:
    text = shown(app)
    assert (
        "overload in full after up to 6.00 s (2 × 2.00 s telemetry period + 2.00 s delay)" in text
    )
    assert "ups-a (and 1 alike) lost\n" in text
    assert "  ups-b: 47.6 % → 95.2 % of 145 kW\n" in text
    assert "galaxy-vxl, on mains: for ever; on battery: its charge, 5.25 min\n" in text
    assert "brake" not in text  # nothing to be helped


def test_a_survivor_that_does_not(app: typer.Typer) -> None:
    text = shown(app, *SMALL, *POLCA)
    assert (
        "galaxy-vxl, on mains: 60.0 s (54.0 s left to act), then 60.0 s in bypass; "
        "on battery: 500 ms (over before it is seen)"
    ) in text
    (clocks,) = {line.strip() for line in text.splitlines() if "clocks to" in line}
    assert clocks.startswith(
        "clocks to 93 % after 40.0 s: on mains: in time, not enough; on battery: 45.5 s too late"
    )
    assert "no power policy: nobody commands anything" in shown(app, *SMALL)


def test_that_the_cooling_plant_is_left_out_is_said_where_the_tree_feeds_it(
    app: typer.Typer,
) -> None:
    text = shown(app, "--set", "cooling={weather: {wet_bulb: 18 C}, fed_by: utility}")
    assert "The cooling plant, which the tree feeds, is left out of the loads." in text
    assert "cooling" not in shown(app)


def test_what_nothing_is_stated_of_is_said(app: typer.Typer) -> None:
    bare = ["--set", "power.ups=[{name: a, rating: 80 kW}, {name: b, rating: 80 kW}]"]
    text = shown(app, *bare, "--set", "power.pdus.breaker=null", "--set", "events=[]")
    assert "no product stated: how long it carries what is not known" in text
    assert "no breaker stated" in text


def test_json_has_everything(app: typer.Typer) -> None:
    found = json.loads(shown(app, *SMALL, *POLCA, "--json"))
    assert [loss["name"] for loss in found] == [
        "msb-a", "msb-b", "ups-a", "ups-b", "row-1-pdu-a", "row-1-pdu-b",
    ]  # fmt: skip
    ups = next(one for one in found[2]["survivors"] if one["name"] == "ups-b")
    assert ups["tolerance"]["mains_s"] == 60.0
    assert ups["left_s"] == {"mains": 54.0, "battery": -5.5}
    assert [one["actuator"] for one in ups["helps"]] == ["clock", "brake"]
    pdu = next(one for one in found[2]["survivors"] if one["name"] == "row-1-pdu-b")
    assert pdu["tolerance"]["breaker_s"] == "for ever"
    assert pdu["tolerance"]["mains_s"] is None


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([FILE, "--outages", "--tree"], "ask for one of them"),
        ([FILE, "--set", "seed=2"], "goes with --outages or --fabric only"),
        ([".", "--outages"], "is a run; --outages asks a scenario"),
    ],
)
def test_refusals(app: typer.Typer, words: list[str], says: str) -> None:
    result = CliRunner().invoke(app, words)
    assert isinstance(result.exception, RackplanError)
    assert says in str(result.exception)
