"""UPSs as banks of modules, and reserves: what the loss of one does, and what an idle one takes."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from sim import catalog
from sim.cli.summary_outages import outage_sentence
from tests.unit.engine.test_facility import LONG, happened, of

BANK = "modules: {count: 5, needed: 4}, product: riello-dlp"
ONE_PDU = "pdus: {per_row: 1, rating: 80 kW}, restart: 20 s"


def bank(rating: str, gear: str = BANK) -> str:
    return "{ups: [{name: a, rating: " + rating + ", " + gear + "}], " + ONE_PDU + "}"


def modules(*at_s: int, word: str = "fail") -> str:
    return ", ".join(f"{{at: {at} s, {word}: a.module}}" for at in at_s)


@pytest.mark.parametrize("engine", ["reference", "compiled"])
def test_the_loss_of_one_module_of_n_plus_one_is_carried(tmp_path: Path, engine: str) -> None:
    found, result = happened(tmp_path, bank("24 kW"), f"[{modules(30)}]", engine, LONG)
    assert found == [(30.0, "module-fails", "a")]
    assert outage_sentence(result) == "Outages: a lost modules"
    row = next(r for r in result.tables["events"].to_pylist() if r["kind"] == "module-fails")
    assert row["detail"] == "4 of 5, 4 are needed"
    assert result.metrics["failed"].value == 0


@pytest.mark.parametrize("engine", ["reference", "compiled"])
def test_too_few_modules_are_overloaded_by_what_each_carries(tmp_path: Path, engine: str) -> None:
    """About 23 kW on 3 modules of 6 kW: the table's shares of each step add up to bypass."""
    found, result = happened(tmp_path, bank("24 kW"), f"[{modules(30, 40)}]", engine, LONG)
    (bypass,) = of(found, "to-bypass")
    assert result.metrics["failed"].value == 0
    node = next(n for n in result.tables["power_nodes"].to_pylist() if n["name"] == "a")
    rows = [r for r in result.tables["power"].to_pylist() if r["node"] == node["node"]]
    table, used = catalog.ups_product("riello-dlp").inverter, 0.0
    for row, after in pairwise(rows):
        start_s, end_s = max(row["t_s"], 40.0), min(after["t_s"], bypass[0])
        if end_s > start_s:
            used = table.after(used, row["out_mw"] / 18e6, end_s - start_s)
    assert used == pytest.approx(1.0, abs=1e-6)
    assert bypass[0] > 45.0
    back = f"[{modules(30, 40)}, {modules(50, word='restore')}]"
    found, _ = happened(tmp_path, bank("24 kW"), back, engine, LONG)
    assert not of(found, "to-bypass")


def test_without_its_last_module_a_bank_is_in_bypass_or_dark(tmp_path: Path) -> None:
    gear = "modules: {count: 2, needed: 1}"
    found, result = happened(tmp_path, bank("40 kW", gear), f"[{modules(30, 40)}]", base=LONG)
    assert of(found, "to-bypass") == [(40.0, "to-bypass", "a")]
    assert result.metrics["failed"].value == 0
    power = bank("40 kW", gear + ", battery: 5 min")
    script = f"[{{at: 20 s, fail: utility}}, {modules(30, 40)}]"
    found, result = happened(tmp_path, power, script, base=LONG)
    assert of(found, "drops-load") == [(40.0, "drops-load", "a")]
    assert result.metrics["failed"].value > 0


def test_modules_of_a_ups_that_has_failed_take_nothing_more_with_them(tmp_path: Path) -> None:
    gear = "modules: {count: 2, needed: 1}"
    script = f"[{{at: 20 s, fail: a}}, {modules(30, 40)}, {{at: 50 s, restore: a}}]"
    found, _ = happened(tmp_path, bank("40 kW", gear), script, base=LONG)
    assert not of(found, "to-bypass", "drops-load")
    assert len(of(found, "module-fails")) == 2
    assert {time_s for time_s, *_ in of(found, "replica-returns")} == {70.0}


def test_each_module_has_its_own_fixed_losses(tmp_path: Path) -> None:
    """Four instead of five: a fifth of the no-load loss less, the load's share of it as before."""
    _, result = happened(tmp_path, bank("26 kW"), f"[{modules(60)}]", "reference", LONG)
    node = next(n for n in result.tables["power_nodes"].to_pylist() if n["name"] == "a")
    assert node["loss_rating_w"] == pytest.approx(26e3 * 5 / 4)
    rows = [r for r in result.tables["power"].to_pylist() if r["node"] == node["node"]]
    for row in rows:
        rating_mw = 26e6 * (5 if row["t_s"] < 60.0 else 4) / 4
        x = row["out_mw"] / rating_mw
        lost = rating_mw * (node["loss_a"] + node["loss_b"] * x + node["loss_c"] * x * x)
        assert row["in_mw"] - row["out_mw"] == pytest.approx(lost, abs=1.0)
    assert {row["t_s"] < 60.0 for row in rows} == {True, False}


@pytest.mark.parametrize("engine", ["reference", "compiled"])
def test_a_reserve_that_carries_nothing_still_takes_its_no_load_loss(
    tmp_path: Path, engine: str
) -> None:
    power = ("{ups: [{name: a, rating: 80 kW, reserve: r}, {name: r, rating: 80 kW}], "
             "pdus: {per_row: 1, rating: 80 kW}}")  # fmt: skip
    _, result = happened(tmp_path, power, "[]", engine, LONG)
    nodes = {node["name"]: node for node in result.tables["power_nodes"].to_pylist()}
    rows = [r for r in result.tables["power"].to_pylist() if r["node"] == nodes["r"]["node"]]
    idle_mw = round(80e6 * nodes["r"]["loss_a"])
    assert [(r["t_s"], r["out_mw"], r["in_mw"]) for r in rows] == [(0.0, 0, idle_mw)]
    assert nodes["r"]["energy_j"] == pytest.approx(idle_mw / 1000 * 120.0)
    assert nodes["utility"]["energy_j"] == pytest.approx(
        nodes["a"]["energy_j"] + nodes["r"]["energy_j"]
    )
