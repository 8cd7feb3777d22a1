"""The cooling plant as a load of the electrical tree, minute by minute, under both engines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sim
from sim.check.scenario import Scenario
from sim.results.result import RunResult
from sim.site.cooling import cooling

#: Few, long iterations on all GPUs: much draw to cool for few events of the reference engine.
FEW = """\
llms: [{name: llama-3.1-70b, precision: bf16}]
pools: [{name: chat, llm: llama-3.1-70b, tensor_parallel: 8, replicas: 4}]
workload:
  - name: chat
    pool: chat
    source: {input_tokens: 4000, output_tokens: 30}
    rate: 1 /s"""
#: So many requests that the draw is steady, and late telemetry sees its peak.
BUSY = FEW.replace("rate: 1 /s", "rate: 3 /s")
SCENARIO = """\
rackplan: 1
name: cooled
duration: 6 min
warm_up: 1 min
drain: 1 min
site:
  halls: [{{name: hall-a, rows: [{{name: row-1, racks: [{{type: dgx-h100-2, count: 2}}]}}]}}]
power:
  utility: {{budget: {budget}}}
  generators: {generators}
  msbs: [{{name: msb-a, rating: 200 kW}}, {{name: msb-b, rating: 200 kW}}]
  ups:
    - {{name: a, rating: 80 kW, fed_by: msb-a, battery: 10 min}}
    - {{name: b, rating: 80 kW, fed_by: msb-b}}
  pdus: {{per_row: 2, rating: 80 kW, redundancy: 2N}}
cooling: {{weather: {{wet_bulb: 24 C}}{fed_by}}}
{serving}
    profile: [{{from: 0 s, times: 1}}, {{from: 2 min, times: 4}}]
policies: {{power: {policy}}}
events: {events}
"""
Rows = list[dict[str, Any]]


def scenario(tmp_path: Path, **words: str) -> Scenario:
    file = tmp_path / "cooled.yaml"
    words = {
        "budget": "100 kW", "fed_by": ", fed_by: msb-a", "policy": "{kind: none}", "events": "[]",
        "generators": "[]", "serving": FEW,
    } | words  # fmt: skip
    file.write_text(SCENARIO.format(**words))
    return sim.load_scenario(file)


def node(result: RunResult, name: str) -> dict[str, Any]:
    return next(n for n in result.tables["power_nodes"].to_pylist() if n["name"] == name)


def rows(result: RunResult, name: str) -> Rows:
    index = node(result, name)["node"]
    return [row for row in result.tables["power"].to_pylist() if row["node"] == index]


def mean_w(changes: Rows, key: str, start_s: float, end_s: float) -> float:
    """The mean of a draw over a span, from every change of it."""
    ends = [row["t_s"] for row in changes[1:]] + [float("inf")]
    held = (
        (min(end, end_s) - max(row["t_s"], start_s), row[key])
        for row, end in zip(changes, ends, strict=True)
    )
    return sum(s * mw for s, mw in held if s > 0.0) / (end_s - start_s) / 1000.0


@pytest.mark.parametrize("engine", ["reference", "compiled"])
def test_the_plant_draws_what_the_heat_of_the_minute_before_takes(
    tmp_path: Path, engine: str
) -> None:
    found = scenario(tmp_path)
    result = sim.run_scenario(found, engine=engine)
    plant, utility = rows(result, "cooling"), rows(result, "utility")
    assert [row["t_s"] for row in plant][:6] == [0.0, 60.0, 120.0, 180.0, 240.0, 300.0]
    assert found.facility.plant is not None
    for minute, row in enumerate(plant[1:6], start=1):
        span = (60.0 * (minute - 1), 60.0 * minute)
        heat_w = mean_w(utility, "in_mw", *span) - mean_w(plant, "in_mw", *span)
        drawn = cooling(found.facility.plant, heat_w, 0.0, 24.0)
        assert row["in_mw"] / 1000.0 == pytest.approx(float(drawn.total_w), rel=1e-6)
    assert plant[5]["in_mw"] > 1.05 * plant[1]["in_mw"]  # the load has grown


def test_both_engines_meter_the_same(tmp_path: Path) -> None:
    events = "[{at: 150 s, fail: msb-a}, {at: 200 s, restore: msb-a}]"
    found = scenario(tmp_path, events=events)
    one, two = (sim.run_scenario(found, engine=e) for e in ("reference", "compiled"))
    for a, b in zip(
        one.tables["power_nodes"].to_pylist(), two.tables["power_nodes"].to_pylist(), strict=True
    ):
        for key in ("energy_j", "mean_w", "peak_w", "energy_total_j"):
            assert a[key] == pytest.approx(b[key], rel=1e-9), (a["name"], key)
    assert rows(one, "cooling") == rows(two, "cooling")
    for name in ("pue", "cooling_energy_j", "facility_energy_j", "facility_peak_w"):
        assert one.metrics[name].value == pytest.approx(two.metrics[name].value, rel=1e-9)


def test_its_energy_is_within_the_utilitys_and_counted_once(tmp_path: Path) -> None:
    fed = sim.run_scenario(scenario(tmp_path))
    beside = sim.run_scenario(scenario(tmp_path, fed_by=""))
    plant, utility = node(fed, "cooling"), node(fed, "utility")
    metrics = {name: metric.value for name, metric in fed.metrics.items()}
    assert metrics["cooling_energy_j"] == plant["energy_j"]
    assert metrics["facility_energy_j"] == utility["energy_j"]
    racks_j = sum(n["energy_j"] for n in fed.tables["power_nodes"].to_pylist()
                  if n["kind"] == "rack")  # fmt: skip
    assert metrics["pue"] == pytest.approx(utility["energy_j"] / racks_j)
    # Beside the tree it is the same plant, a minute sooner, without the switchboard's loss on it.
    was = {name: metric.value for name, metric in beside.metrics.items()}
    assert metrics["pue"] == pytest.approx(was["pue"], rel=0.02)
    more_j = utility["energy_j"] - node(beside, "utility")["energy_j"]
    assert more_j > plant["energy_j"]  # the loss of what it takes
    assert more_j == pytest.approx(plant["energy_j"], rel=0.05)
    assert node(fed, "msb-a")["mean_w"] > node(fed, "msb-b")["mean_w"] + 0.9 * plant["mean_w"]


def test_with_what_feeds_it_the_plant_is_dead(tmp_path: Path) -> None:
    events = "[{at: 150 s, fail: msb-a}, {at: 200 s, restore: msb-a}]"
    result = sim.run_scenario(scenario(tmp_path, events=events))
    drawn = {row["t_s"]: row["in_mw"] for row in rows(result, "cooling")}
    assert drawn[150.0] == 0
    assert 180.0 not in drawn  # still nothing
    assert drawn[200.0] > 0
    told = [row for row in result.tables["events"].to_pylist() if row["entity"] == "cooling"]
    assert [(row["t_s"], row["kind"]) for row in told] == [
        (150.0, "loses-power"),
        (200.0, "has-power"),
    ]


@pytest.mark.parametrize("engine", ["reference", "compiled"])
def test_on_generators_there_is_as_much_heat(tmp_path: Path, engine: str) -> None:
    found = scenario(
        tmp_path, events="[{at: 2 min, fail: utility}]",
        generators="[{name: gen, rating: 200 kW, start: 0 s}]",
    )  # fmt: skip
    result = sim.run_scenario(found, engine=engine)
    plant, gen = rows(result, "cooling"), rows(result, "gen")
    heat_w = mean_w(gen, "out_mw", 120.0, 180.0) - mean_w(plant, "in_mw", 120.0, 180.0)
    assert found.facility.plant is not None
    drawn = cooling(found.facility.plant, heat_w, 0.0, 24.0)
    after = next(row for row in plant if row["t_s"] == 180.0)
    assert after["in_mw"] / 1000.0 == pytest.approx(float(drawn.total_w), rel=1e-6)
    assert heat_w > 10_000.0


def test_a_controller_of_the_utility_sees_cooling_and_slows_the_gpus(tmp_path: Path) -> None:
    """A budget just above the peak without cooling: only with it is there anything to act on."""
    alone = sim.run_scenario(scenario(tmp_path, fed_by="", serving=BUSY))
    peak_w = node(alone, "utility")["peak_w"]
    budget = f"{1.01 * peak_w / 1000:.3f} kW"
    dynamo = "{kind: dynamo, watch: utility}"
    commands = [
        sim.run_scenario(scenario(tmp_path, fed_by=fed, budget=budget, policy=dynamo, serving=BUSY))
        .metrics["clock_commands"]
        .value
        for fed in ("", ", fed_by: msb-a")
    ]
    assert commands[0] == 0
    assert (commands[1] or 0) > 0


def test_the_first_minute_carries_the_idle_site(tmp_path: Path) -> None:
    found = scenario(tmp_path)
    first = rows(sim.run_scenario(found), "cooling")[0]
    assert found.facility.plant is not None
    full = float(
        cooling(found.facility.plant, found.facility.plant.air.design_w, 0.0, 24.0).total_w
    )
    assert 0.1 * full < first["in_mw"] / 1000.0 < 0.8 * full
    assert np.isfinite(full)


@pytest.mark.parametrize("record", ["full", "{level: full, power: minutes}"])
@pytest.mark.parametrize("engine", ["reference", "compiled"])
def test_on_a_generator_the_heat_is_carried_and_counts_in_pue(
    tmp_path: Path, engine: str, record: str
) -> None:
    """Mains are lost at 90 s, in the middle of a minute, for good; all runs on a generator then."""
    scenario(tmp_path, events="[{at: 90 s, fail: utility}]", fed_by=", fed_by: msb-b")
    found = sim.load_scenario(
        tmp_path / "cooled.yaml",
        sets=[
            "power.generators=[{name: g, rating: 200 kW, start: 0 s}]", f"record={record}",
            "power.restart=0 s",
        ],
    )  # fmt: skip
    result = sim.run_scenario(found, engine=engine)
    own, racks = node(result, "g"), [node(result, f"row-1-rack-{n}") for n in (1, 2)]
    utility_j = node(result, "utility")["energy_j"]
    whole_j, it_j = utility_j + own["energy_j"], sum(rack["energy_j"] for rack in racks)
    assert own["energy_j"] > 5.0 * utility_j
    assert result.metrics["pue"].value == pytest.approx(whole_j / it_j, rel=1e-12)
    assert whole_j / it_j > 1.05
    minutes = {
        row["minute"]: row["mean_w"]
        for row in result.tables["summary/power"].to_pylist()
        if row["node"] == own["node"]
    }
    assert minutes[0] == 0.0
    assert minutes[1] * 60.0 + sum(minutes[m] * 60.0 for m in range(2, 6)) == pytest.approx(
        own["energy_j"], rel=1e-9
    )
    cooled = {
        row["minute"]: row["mean_w"]
        for row in result.tables["summary/power"].to_pylist()
        if row["node"] == node(result, "cooling")["node"]
    }
    assert cooled[5] > 1.05 * cooled[1]  # the load has grown meanwhile
