"""The facility: cascades, transfers, batteries, generators, restarts; one thing at a time."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import sim
from sim import catalog
from sim.catalog.protection import Thermal

BASE = """\
rackplan: 1
name: facility
duration: 2 min
drain: 1 min
site:
  halls: [{{name: hall-a, rows: [{{name: row-1, racks: [{{type: dgx-h100-2, count: 2}}]}}]}}]
power: {power}
llms: [{{name: llama-3.1-8b, precision: fp8}}]
pools: [{{name: chat, llm: llama-3.1-8b, tensor_parallel: 1, replicas: 32}}]
workload: [{{name: chat, pool: chat, source: synthetic-chat, rate: 40 /s}}]
events: {events}
"""
#: The same site under few, long iterations, which the reference engine is through with soon.
LONG = (
    BASE.replace("llama-3.1-8b, precision: fp8", "llama-3.1-70b, precision: bf16")
    .replace("llama-3.1-8b, tensor_parallel: 1, replicas: 32",
             "llama-3.1-70b, tensor_parallel: 8, replicas: 4")
    .replace("synthetic-chat, rate: 40 /s",
             "{{input_tokens: 200, output_tokens: 200}}, rate: 4 /s")
)  # fmt: skip
Events = list[tuple[float, str, str]]


def happened(
    tmp_path: Path, power: str, events: str, engine: str = "compiled", base: str = BASE
) -> tuple[Events, Any]:
    """(time, kind, entity) of what the facility did, and the run."""
    file = tmp_path / "facility.yaml"
    file.write_text(base.format(power=power, events=events))
    result = sim.run_scenario(sim.load_scenario(file), engine=engine)
    silent = ("window-opens", "window-closes", "run-ends")
    rows = result.tables["events"].to_pylist()
    return [(r["t_s"], r["kind"], r["entity"]) for r in rows if r["kind"] not in silent], result


def of(found: Events, *kinds: str) -> Events:
    return [event for event in found if event[1] in kinds]


TWO_N = "pdus: {per_row: 2, rating: 80 kW, redundancy: 2N}, restart: 20 s"


@pytest.mark.parametrize("engine", ["reference", "compiled"])
def test_a_dual_fed_row_survives_the_loss_of_one_side(tmp_path: Path, engine: str) -> None:
    power = "{ups: [{name: a, rating: 80 kW}, {name: b, rating: 80 kW}], " + TWO_N + "}"
    found, result = happened(tmp_path, power, "[{at: 1 min, fail: a}]", engine, LONG)
    assert found == [(60.0, "fails", "a"), (60.0, "loses-power", "a"),
                     (60.0, "loses-power", "row-1-pdu-a")]  # fmt: skip
    assert result.metrics["failed"].value == 0
    nodes = {node["name"]: node for node in result.tables["power_nodes"].to_pylist()}
    assert nodes["b"]["peak_w"] > 1.9 * nodes["a"]["peak_w"]


@pytest.mark.parametrize("engine", ["reference", "compiled"])
def test_both_sides_lost_is_dark_and_replicas_return_after_a_restart(
    tmp_path: Path, engine: str
) -> None:
    power = "{ups: [{name: a, rating: 80 kW}, {name: b, rating: 80 kW}], " + TWO_N + "}"
    script = "[{at: 30 s, fail: a}, {at: 40 s, fail: b}, {at: 50 s, restore: b}]"
    base = BASE.replace("duration: 2 min", "duration: 80 s")
    found, result = happened(tmp_path, power, script, engine, base)
    assert len(of(found, "replica-fails")) == 32
    assert {time_s for time_s, *_ in of(found, "replica-fails")} == {40.0}
    assert {time_s for time_s, *_ in of(found, "replica-returns")} == {70.0}
    failed = result.metrics["failed"].value
    # 30 s without a replica at 40 requests a second, and what was in flight.
    assert 1100 < failed < 1500
    late = [row for row in result.tables["requests"].to_pylist() if row["arrival_s"] > 70.0]
    assert len(late) > 300
    assert {row["outcome"] for row in late} == {"completed"}
    rack = next(n for n in result.tables["power_nodes"].to_pylist() if n["kind"] == "rack")
    draws = [r for r in result.tables["power"].to_pylist() if r["node"] == rack["node"]]
    assert [r["out_mw"] for r in draws if 40.0 <= r["t_s"] < 50.0] == [0.0]


def test_a_breaker_that_moves_its_load_can_take_the_other_down(tmp_path: Path) -> None:
    """A cascade out of the model: no rule says that b follows a."""
    breaker = "breaker: {preset: msb, rating: 14 kW}"
    power = "{ups: [{name: a, rating: 80 kW, " + breaker + "}, {name: b, rating: 80 kW, " + breaker
    found, result = happened(tmp_path, power + "}], " + TWO_N + "}", "[{at: 20 s, fail: a}]")
    (tripped,) = of(found, "trips")
    assert tripped[2] == "b"
    assert result.metrics["trips"].value == 1  # that of a is a failure by the script
    assert 20.0 < tripped[0] < 90.0
    assert len(of(found, "replica-fails")) == 32
    assert result.metrics["goodput_fraction"].value < 1.0


def test_a_reserve_takes_over_at_once(tmp_path: Path) -> None:
    power = ("{ups: [{name: a, rating: 80 kW, reserve: r}, {name: r, rating: 80 kW}], "
             "pdus: {per_row: 1, rating: 80 kW}}")  # fmt: skip
    found, result = happened(tmp_path, power, "[{at: 1 min, fail: a}]")
    assert found == [(60.0, "fails", "a"), (60.0, "loses-power", "a")]
    nodes = {node["name"]: node for node in result.tables["power_nodes"].to_pylist()}
    assert nodes["r"]["peak_w"] == pytest.approx(nodes["a"]["peak_w"], rel=0.2)
    assert result.metrics["failed"].value == 0


GENERATOR = (
    "generators: [{name: gen, rating: 100 kW, start: 12 s}], msbs: [{name: m, rating: 100 kW}]"
)


def test_a_battery_bridges_the_start_of_a_generator(tmp_path: Path) -> None:
    power = (
        "{"
        + GENERATOR
        + (", ups: [{name: a, rating: 80 kW, battery: 1 min}], pdus: {per_row: 1, rating: 80 kW}}")
    )
    script = "[{at: 30 s, fail: utility}, {at: 1 min, restore: utility}]"
    found, result = happened(tmp_path, power, script)
    told = of(found, "on-battery", "starts", "on-mains", "stops", "battery-empty")
    assert told == [(30.0, "on-battery", "a"), (42.0, "starts", "gen"), (42.0, "on-mains", "a"),
                    (60.0, "stops", "gen")]  # fmt: skip
    assert result.metrics["failed"].value == 0


@pytest.mark.parametrize("engine", ["reference", "compiled"])
def test_a_generator_trips_where_it_carries_too_much(tmp_path: Path, engine: str) -> None:
    """It starts cold, and opens when its breaker says; mains that return find everything again."""
    gear = (
        "generators: [{name: gen, rating: 11 kW, start: 12 s, breaker: mccb}], "
        "msbs: [{name: m, rating: 100 kW}]"
    )
    ups = "ups: [{name: a, rating: 80 kW, battery: 1 min}]"
    power = "{" + gear + ", " + ups + ", pdus: {rating: 80 kW, per_row: 1}}"
    script = "[{at: 10 s, fail: utility}, {at: 170 s, restore: utility}]"
    found, result = happened(tmp_path, power, script, engine, LONG)
    (trip,) = of(found, "trips")
    assert trip[2] == "gen"
    nodes = {node["name"]: node["node"] for node in result.tables["power_nodes"].to_pylist()}
    rows = [r for r in result.tables["power"].to_pylist() if r["node"] == nodes["gen"]]
    thermal = catalog.breaker("mccb").element
    assert isinstance(thermal, Thermal)
    heat, energy_j = 0.0, 0.0
    for row, after in pairwise(rows):
        start_s, end_s = max(row["t_s"], 22.0), min(after["t_s"], trip[0])
        if end_s > start_s:
            load = row["out_mw"] / 11e6
            heat = thermal.after(heat, load, end_s - start_s)
            energy_j += row["out_mw"] / 1000 * (end_s - start_s)
    assert heat == pytest.approx(thermal.trip_heat, rel=1e-6)
    assert result.metrics["generator_energy_j"].value == pytest.approx(energy_j)
    assert result.metrics["trips"].value == 1


def test_a_battery_that_is_too_small_does_not(tmp_path: Path) -> None:
    power = (
        "{"
        + GENERATOR
        + (
            ", ups: [{name: a, rating: 30 kW, battery: 5 s}], pdus: {per_row: 1, rating: 80 kW}, "
            "restart: 10 s}"
        )
    )
    found, result = happened(tmp_path, power, "[{at: 30 s, fail: utility}]")
    (empty,) = of(found, "battery-empty")
    assert 33.0 < empty[0] < 42.0  # loaded by less than its rating, it lasts longer than 5 s
    assert of(found, "starts") == [(42.0, "starts", "gen")]
    assert {time_s for time_s, *_ in of(found, "replica-returns")} == {52.0}
    assert result.metrics["failed"].value > 0


def test_an_overloaded_ups_goes_to_bypass_and_then_lets_go(tmp_path: Path) -> None:
    power = ("{ups: [{name: a, rating: 22 kW, product: riello-dlp}], "
             "pdus: {per_row: 1, rating: 80 kW}}")  # fmt: skip
    found, _ = happened(tmp_path, power, "[]")
    told = [kind for _, kind, _ in of(found, "to-bypass", "drops-load")]
    assert told == ["to-bypass", "drops-load"]


def test_energy_is_conserved_through_an_outage(tmp_path: Path) -> None:
    """What the utility takes in is what servers take in and what is lost on the way."""
    power = "{ups: [{name: a, rating: 80 kW}, {name: b, rating: 80 kW}], " + TWO_N + "}"
    _, result = happened(tmp_path, power, "[{at: 30 s, fail: a}, {at: 50 s, restore: a}]")
    rows, end_s = result.tables["power"].to_pylist(), 180.0
    nodes = {n["node"]: n for n in result.tables["power_nodes"].to_pylist()}
    taken = dict.fromkeys(nodes, 0.0)
    given = dict.fromkeys(nodes, 0.0)
    for node in nodes:
        mine = [r for r in rows if r["node"] == node]
        for row, after in zip(mine, [*mine[1:], {"t_s": end_s}], strict=True):
            taken[node] += row["in_mw"] * (after["t_s"] - row["t_s"])
            given[node] += row["out_mw"] * (after["t_s"] - row["t_s"])
    utility = next(n for n in nodes if nodes[n]["kind"] == "utility")
    servers = sum(taken[n] for n in nodes if nodes[n]["kind"] == "server")
    lost = sum(taken[n] - given[n] for n in nodes if nodes[n]["kind"] in ("ups", "pdu", "rack"))
    assert given[utility] == pytest.approx(servers + lost, rel=1e-9)


def test_a_battery_charges_while_it_has_input_and_only_then(tmp_path: Path) -> None:
    """Empty at about 40 s, 10 s of mains at 80 s: a tenth of its charge, not all of it."""
    power = ("{ups: [{name: a, rating: 30 kW, "
             "battery: {ride_through: 8 s, recharge: 100 s, recharge_share: 10 %}}], "
             "pdus: {per_row: 1, rating: 80 kW}, restart: 1 s}")  # fmt: skip
    script = "[{at: 30 s, fail: utility}, {at: 80 s, restore: utility}, {at: 90 s, fail: utility}]"
    found, result = happened(tmp_path, power, script)
    first, second = (time_s for time_s, *_ in of(found, "battery-empty"))
    assert 38.0 < first < 60.0
    assert 0.05 < (second - 90.0) / (first - 30.0) < 0.15
    nodes = {node["name"]: node["node"] for node in result.tables["power_nodes"].to_pylist()}
    charging = [
        row["in_mw"] - row["out_mw"]
        for row in result.tables["power"].to_pylist()
        if row["node"] == nodes["a"] and 81.0 < row["t_s"] < 90.0
    ]
    assert min(charging) > 3_000_000  # a tenth of the rating, beside its losses


def test_powered_gpus_of_a_replica_that_restarts_are_parked(tmp_path: Path) -> None:
    power = "{ups: [{name: a, rating: 80 kW}, {name: b, rating: 80 kW}], " + TWO_N + "}"
    script = "[{at: 30 s, fail: row-1-rack-1}, {at: 40 s, restore: row-1-rack-1}]"
    _, result = happened(tmp_path, power, script)
    nodes = {node["name"]: node["node"] for node in result.tables["power_nodes"].to_pylist()}
    server = nodes["row-1-rack-1-node-1"]
    rows = [row for row in result.tables["power"].to_pylist() if row["node"] == server]
    dark = [row["out_mw"] for row in rows if 30.0 <= row["t_s"] < 40.0]
    restarting = [row["out_mw"] for row in rows if 40.0 <= row["t_s"] < 60.0]
    assert dark == [0]
    node = sim.load_scenario(tmp_path / "facility.yaml").site.node_types[0]
    assert restarting == [pytest.approx((node.base_w + 8 * 70.0) * 1000, rel=0.05)]


def test_misses_of_an_outage_are_blamed_on_it(tmp_path: Path) -> None:
    from sim.results.verdict import verdict

    power = "{ups: [{name: a, rating: 80 kW}, {name: b, rating: 80 kW}], " + TWO_N + "}"
    _, result = happened(
        tmp_path, power, "[{at: 30 s, fail: row-1-rack-1}, {at: 31 s, fail: row-1-rack-2}]"
    )
    assert "their replica lost power, or no replica of pool chat was serving" in str(
        verdict(result)
    )


@pytest.mark.parametrize("engine", ["reference", "compiled"])
def test_replicas_come_when_they_are_loaded_and_go_when_they_have_finished(
    tmp_path: Path, engine: str
) -> None:
    """The one that is added has its GPU from the start, parked; the one that goes drops nothing."""
    power = "{ups: [{name: a, rating: 80 kW}], pdus: {rating: 80 kW, redundancy: N}, restart: 20 s}"
    script = (
        "[{at: 30 s, remove: {pool: chat, replicas: 31}}, "
        "{at: 70 s, add: {pool: chat, replicas: 2}}]"
    )
    found, result = happened(tmp_path, power, script, engine)
    assert of(found, "replica-removed") == [
        (30.0, "replica-removed", f"replica {n}") for n in range(1, 32)
    ]
    parked = of(found, "replica-parked")
    assert {entity for *_, entity in parked} == {f"replica {n}" for n in range(1, 32)}
    assert all(30.0 <= time_s < 70.0 for time_s, *_ in parked)
    assert of(found, "replica-added", "replica-returns") == [
        (70.0, "replica-added", "replica 1"), (70.0, "replica-added", "replica 2"),
        (90.0, "replica-returns", "replica 1"), (90.0, "replica-returns", "replica 2"),
    ]  # fmt: skip
    rows = result.tables["requests"].to_pylist()
    assert {row["outcome"] for row in rows} == {"completed"}  # nothing is lost by a removal
    between = [row for row in rows if 30.0 < row["arrival_s"] < 90.0]
    assert {row["replica"] for row in between} == {0}
    assert {row["replica"] for row in rows if row["arrival_s"] > 90.0} == {0, 1, 2}


@pytest.mark.parametrize("engine", ["reference", "compiled"])
def test_a_budget_holds_from_its_time_on(tmp_path: Path, engine: str) -> None:
    """A minute over a budget that nobody keeps; the least headroom is what counts."""
    power = "{utility: {budget: 80 kW}, pdus: {rating: 80 kW, redundancy: N}}"
    script = (
        "[{at: 30 s, budget: {node: utility, to: 1 kW}}, "
        "{at: 90 s, budget: {node: utility, to: 70 kW}}]"
    )
    found, result = happened(tmp_path, power, script, engine, LONG)
    assert of(found, "budget-changes") == [
        (30.0, "budget-changes", "utility"), (90.0, "budget-changes", "utility")
    ]  # fmt: skip
    metrics = result.metrics
    assert metrics["over_budget_s"].value == pytest.approx(60.0, abs=1e-9)
    rows = result.tables["power"].to_pylist()
    utility = [row for row in rows if row["node"] == 0]
    states = zip(utility, [*utility[1:], {"t_s": 180.0}], strict=True)
    drawn_w = [row["in_mw"] / 1000 for row, after in states
               if row["t_s"] < 90.0 and after["t_s"] > 30.0]  # fmt: skip
    assert metrics["headroom_w"].value == pytest.approx(1000.0 - max(drawn_w), abs=1e-6)
    node = result.tables["power_nodes"].to_pylist()[0]
    assert (node["budget_w"], node["limit_w"]) == (1000.0, 1000.0)
    assert node["peak_w"] >= node["nearest_w"] == pytest.approx(max(drawn_w))


def test_a_controller_sees_the_budget_of_the_moment(tmp_path: Path) -> None:
    """The contract falls below what is drawn: clocks follow, and rise when it is lifted."""
    file = tmp_path / "facility.yaml"
    power = "{utility: {budget: 80 kW}, pdus: {rating: 80 kW, redundancy: N}}"
    script = (
        "[{at: 30 s, budget: {node: utility, to: 14 kW}}, "
        "{at: 60 s, budget: {node: utility, to: 80 kW}}]"
    )
    text = BASE.format(power=power, events=script)
    file.write_text(text + "policies: {power: {kind: dynamo, watch: utility}}\n"
                    "actuation: {clock: {delay: 1 s}}\n")  # fmt: skip
    result = sim.run_scenario(sim.load_scenario(file))
    acted = [row["t_s"] for row in result.tables["decisions"].to_pylist() if row["role"] == "power"]
    # A reading arrives every 2 s, at these times as well; the script comes first.
    assert (min(acted), max(acted)) == (30.0, 60.0)
