"""``rackplan cost``: what is printed, as JSON, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

import sim
from sim.check.scenario import Scenario
from sim.cli.cost import cost
from sim.errors import RackplanError, ScenarioError

FILE = "scenarios/quickstart.yaml"
SHORT = ("duration=20 s", "warm_up=5 s")
app = typer.Typer()
app.command()(cost)


def rackplan(*arguments: object) -> Result:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def words(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines()]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two seeds of the quickstart, and one of another rate."""
    folder = tmp_path_factory.mktemp("runs")
    made = []
    for name, seed, more in (("a", 1, ()), ("b", 2, ()), ("c", 1, ("workload[chat].rate=9 /s",))):
        scenario = sim.load_scenario(FILE, sets=[*SHORT, *more])
        assert isinstance(scenario, Scenario)
        made.append(sim.run_scenario(scenario, seed=seed).save(folder / name))
    return made


def test_a_scenario_alone() -> None:
    lines = words(rackplan(FILE).output)
    assert lines[0] == "What quickstart costs: 138 kW provisioned, 128 GPUs"
    assert "dgx-h100 servers 16 servers 310,000 4.96 M 5 years [1, 2]" in lines
    assert "in all 7.665 M" in lines
    assert any(line.startswith("GPUs without a replica stranded 11.2 kW 8.1 %") for line in lines)
    assert any("no run given: every GPU at its TDP" in line for line in lines)
    numbered = [line for line in lines if line.startswith("[")]
    assert [line.split()[0] for line in numbered] == [f"[{i}]" for i in range(1, len(numbered) + 1)]
    assert all("default (" in line and "source: " in line for line in numbered)


def test_what_is_stated_is_said_to_be() -> None:
    output = rackplan(FILE, "--set", "costs={nodes: {dgx-h100: 250000 USD}, ups: 300 USD/kW, "
                      "staff: 1200000 USD/year}").output  # fmt: skip
    assert "[1] costs.nodes.dgx-h100: stated" in words(output)
    assert "UPSs 500 kW 300 150 k 14 years" in " ".join(output.split())
    assert "staff 1 year 1.2 M 1.2 M" in " ".join(output.split())


def test_seeds_give_intervals(runs: list[Path]) -> None:
    one = rackplan(runs[0]).output
    assert "one seed: none" in one
    both = words(rackplan(*runs[:2]).output)
    (line,) = (line for line in both if line.startswith("USD per million tokens within SLO"))
    assert line.endswith("(2 seeds)")
    told = json.loads(rackplan(*runs[:2], "--json").output)
    usd = told["per_token"]["usd_per_mtoken_within_slo"]
    assert usd["low"] <= usd["value"] <= usd["high"]
    assert sum(part["mw"] for part in told["waterfall"]["parts"]) == 138_000_000
    assert told["waterfall"]["measured"]


def test_a_scenario_beside_runs_prices_them_anew(runs: list[Path]) -> None:
    sets = [option for one in SHORT for option in ("--set", one)]
    own = json.loads(rackplan(runs[0], "--json").output)
    prices = ["--set", "costs={nodes: {dgx-h100: 100000 USD}}"]
    dear = json.loads(rackplan(FILE, *sets, *prices, runs[0], "--json").output)
    assert dear["capital"]["groups_usd"]["servers"] == 1.6e6
    assert dear["draw_w"] == own["draw_w"]
    usd = "usd_per_mtoken_within_slo"
    assert dear["per_token"][usd]["value"] < own["per_token"][usd]["value"]


def test_the_folder_of_several_seeds_stands_for_its_runs(runs: list[Path]) -> None:
    folder = runs[0].parent / "several"
    folder.mkdir()
    content = {"kind": "seeds", "runs": {"1": "a", "2": "b"}}
    (folder / "manifest.json").write_text(json.dumps(content), encoding="utf-8")
    assert rackplan(folder, "--json").output == rackplan(*runs[:2], "--json").output


def refused(*arguments: object) -> str:
    with pytest.raises((RackplanError, ScenarioError)) as caught:
        rackplan(*arguments)
    return str(caught.value)


def test_refusals(runs: list[Path]) -> None:
    assert "there is no scenario file and no run folder nowhere" in refused("nowhere")
    assert "are of different scenarios" in refused(runs[0], runs[2])
    assert "seed 1 is named twice" in refused(runs[0], runs[0])
    assert "one scenario at a time" in refused(FILE, "scenarios/routing.yaml")
    assert "name its file too" in refused(runs[0], "--set", "costs.staff=1 USD/year")
    assert "they differ in 'site'" in refused("scenarios/routing.yaml", runs[0])
    assert "needs 'kind: serving'" in refused("scenarios/gpu-cluster.yaml")
