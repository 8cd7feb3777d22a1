"""Sound facilities: what ``check`` makes of plants, weather, prices, carbon and CDUs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from sim.check import Scenario, check
from sim.check.cooling import full_heat_w
from sim.errors import ScenarioError
from sim.site.facility import Facility, facility_of
from sim.site.hours import Hours
from sim.site.weather import wet_bulb_c
from sim.spec import read_text
from sim.units import UNITS
from tests.unit.site.test_hours import rows

BASE = yaml.safe_load(
    """
    rackplan: 1
    name: base
    duration: 10 min
    site: {halls: [{name: hall-a, rows: [{name: row-1, racks: [{type: dgx-h100-4, count: 2}]}]}]}
    power: {utility: {budget: 90 kW}}
    llms: [{name: llama-3.1-70b, precision: fp8}]
    pools: [{name: chat, llm: llama-3.1-70b, tensor_parallel: 4, replicas: 16}]
    workload: [{name: chat, pool: chat, source: synthetic-chat, rate: 8 /s}]
    """
)
NVL72 = {
    "site": {
        "halls": [{"name": "a", "rows": [{"name": "row-1", "racks": [{"type": "gb200-nvl72"}]}]}]
    },
    "power": {"utility": {"budget": "150 kW"}},
}
HOURS = {"file": "h.csv", "column": "v", "start": "2023-06-01T00:30Z"}


def checked(folder: Path = Path(), **changes: Any) -> Scenario:
    text = yaml.safe_dump({**BASE, **changes}, allow_unicode=True)
    return check(read_text(text, file="f.yaml", folder=folder))


def cooled(**changes: Any) -> dict[str, Any]:
    return {"cooling": {"weather": {"wet_bulb": "18 C"}, **changes}}


def test_nothing_stated_is_nothing() -> None:
    scenario = checked()
    assert scenario.facility == Facility()
    assert scenario.price_usd_per_j is None
    assert not {"cooling", "carbon"} & set(scenario.resolved)


def test_a_plant_is_built_for_the_site_at_full_draw() -> None:
    scenario = checked(**cooled(plant={"preset": "older", "air_supply": "16 C", "pumps": 0.05}))
    plant = scenario.facility.plant
    assert plant is not None
    air_w, liquid_w = full_heat_w(scenario.site, scenario.power)
    assert (plant.air.design_w, plant.liquid.design_w) == (air_w, 0.0) == (air_w, liquid_w)
    assert air_w == pytest.approx(8 * 10_200, rel=0.005)
    assert plant.air.supply_c == 16.0
    assert plant.air.moving == pytest.approx(0.10 + 0.05 + 0.02)
    assert plant.liquid.supply_c == 32.0
    assert scenario.facility.wet_bulb_c == Hours((18.0,), flat=True)
    assert scenario.resolved["cooling"]["plant"]["air_supply_c"] == 16.0
    assert "cdu-checklist" in checked(**cooled()).sources


def test_a_word_stands_for_a_preset() -> None:
    short, long = (checked(**cooled(plant=plant)) for plant in ("older", {"preset": "older"}))
    assert short.facility == long.facility
    assert short.resolved == long.resolved


def test_a_larger_plant_may_be_stated() -> None:
    plant = checked(**cooled(air_capacity="100 kW", liquid_capacity="20 kW")).facility.plant
    assert plant is not None
    assert (plant.air.design_w, plant.liquid.design_w) == (100e3, 20e3)


def test_liquid_takes_its_share_of_a_rack() -> None:
    scenario = checked(**NVL72, pools=[{**BASE["pools"][0], "replicas": 18}], **cooled())
    assert scenario.facility.liquid_share == {"row-1-rack-1": 0.85}
    plant = scenario.facility.plant
    assert plant is not None
    whole_w = plant.air.design_w + plant.liquid.design_w
    assert plant.liquid.design_w == pytest.approx(0.85 * whole_w, rel=1e-12)
    assert scenario.warnings == (
        "cooling.cdus: not stated, so nothing limits the 102 kW of liquid heat",
    )


@pytest.mark.parametrize(
    "cdus", [{"rating": "110 kW"}, {"per_row": 2, "rating": "60 kW", "flow": "75 L/min"}]
)
def test_cdus_that_carry_their_row(cdus: dict[str, Any]) -> None:
    assert checked(**NVL72, **cooled(cdus=cdus)).warnings == ()


def test_cdus_without_liquid_racks_have_no_effect() -> None:
    (warning,) = checked(**cooled(cdus={"rating": "110 kW"})).warnings
    assert warning == "cooling.cdus: has no effect: no rack of the site gives heat to liquid"


def test_hours_of_price_and_carbon(tmp_path: Path) -> None:
    (tmp_path / "h.csv").write_text(rows("80", "-3"))
    scenario = checked(
        tmp_path,
        price={"electricity": {**HOURS, "unit": "USD/MWh"}},
        carbon={**HOURS, "unit": "gCO2/kWh", "start": "2023-06-01T00:00Z"},
    )
    facility = scenario.facility
    assert scenario.price_usd_per_j is None
    assert facility.price_usd_per_j == Hours((80 * UNITS["money_per_energy"]["USD/MWh"],), 30)
    assert facility.carbon_g_per_j == Hours((80 * UNITS["carbon_per_energy"]["gCO2/kWh"],), 0)
    assert set(facility.files) == {"price.electricity", "carbon"}
    assert scenario.resolved["carbon"]["file"] == "h.csv"
    assert scenario.warnings == ()


def test_held_gaps_and_mixed_years_are_said(tmp_path: Path) -> None:
    (tmp_path / "h.csv").write_text(rows("80", ""))
    (tmp_path / "c.csv").write_text(rows("300", "310").replace("2023", "2022"))
    scenario = checked(
        tmp_path,
        duration="40 min",
        price={"electricity": {**HOURS, "unit": "USD/MWh", "gaps": "hold"}},
        carbon={**HOURS, "file": "c.csv", "unit": "gCO2/kWh", "start": "2022-06-01T00:30Z"},
    )
    assert scenario.warnings == (
        "price.electricity: 1 of the run's 2 hours are missing; the last value held",
        "price: hours of different years: price.electricity 2023, carbon 2022",
    )


def test_dry_bulb_and_humidity_give_a_wet_bulb(tmp_path: Path) -> None:
    (tmp_path / "h.csv").write_text(rows("24", "30"))
    dry = {**HOURS, "unit": "C"}
    weather = {"dry_bulb": dry, "relative_humidity": "50 %"}
    facility = checked(tmp_path, duration="40 min", cooling={"weather": weather}).facility
    assert facility.wet_bulb_c is not None
    assert facility.wet_bulb_c.values == tuple(wet_bulb_c([24.0, 30.0], 0.5).tolist())
    assert facility.wet_bulb_c.lead_min == 30
    flat = checked(cooling={"weather": {**weather, "dry_bulb": "24 C"}}).facility.wet_bulb_c
    assert flat == Hours(facility.wet_bulb_c.values[:1], flat=True)


def test_limits_that_are_kept_say_nothing() -> None:
    site = yaml.safe_load(yaml.safe_dump(BASE["site"]))
    site["halls"][0]["limits"] = {
        "racks": 2, "rack_units": 42, "rack_power": "41.3 kW", "rack_weight": "670 kg",
        "weight": "1340 kg", "rack_air_heat": "41 kW", "rack_liquid_heat": "0 W",
    }  # fmt: skip
    assert checked(site=site).warnings == ()


def test_a_facility_is_kept_in_a_manifest() -> None:
    facility = checked(**NVL72, **cooled()).facility
    assert facility_of(facility.plain()) == facility
    assert facility_of(Facility().plain()) == Facility()


def test_events_that_change_nothing_are_told() -> None:
    power = {"utility": {"budget": "90 kW"}, "pdus": {"rating": "90 kW"}}
    events = [
        {"at": "1 min", "fail": "row-1-pdu-a"},
        {"at": "3 min", "restore": "row-1-pdu-a"},
        {"at": "2 min", "fail": "row-1-pdu-a"},
        {"at": "4 min", "restore": "row-1-pdu-a"},
        {"at": "4 min", "fail": "row-1-pdu-a"},
    ]
    told = [w for w in checked(power=power, events=events).warnings if w.startswith("events")]
    assert told == [
        "events[2].fail: row-1-pdu-a has failed already, by events[0]",
        "events[3].restore: row-1-pdu-a has not failed by then, and has no breaker that could "
        "have opened",
    ]


def test_events_are_part_of_what_a_scenario_means() -> None:
    plain, changed = checked(), checked(events=[{"at": "1 min", "fail": "utility"}])
    assert "events" not in plain.resolved
    assert changed.resolved["events"] == [{"at": 60.0, "fail": "utility"}]


def test_a_pool_has_places_for_all_that_come() -> None:
    events = [
        {"at": "2 min", "add": {"pool": "chat", "replicas": 3}},
        {"at": "1 min", "remove": {"pool": "chat", "replicas": 2}},
    ]
    (pool,) = checked(events=events, pools=[{**BASE["pools"][0], "replicas": 15}]).pools
    assert (pool.replicas, pool.starts) == (16, 15)
    events[0]["at"] = "30 s"  # before two have gone: 18 at a time
    with pytest.raises(ScenarioError, match="18 replicas x 4 GPUs"):
        checked(events=events, pools=[{**BASE["pools"][0], "replicas": 15}])


def test_retries_that_cannot_be_are_told() -> None:
    retry = {
        "attempts": 3,
        "wait": "10 s",
        "outcomes": ["failed", "shed", "queue-full", "timed-out"],
    }
    load = {**BASE["workload"][0], "retry": retry, "cancel": {"after": "5 s"}}
    scenario = checked(workload=[load])
    place = "workload[chat].retry"
    assert [w for w in scenario.warnings if w.startswith(place)] == [
        f"{place}.outcomes[1]: no request ends as 'shed': pool 'chat' sheds nothing (shed: oldest)",
        f"{place}.outcomes[2]: no request ends as 'queue-full': pool 'chat' has no max_queue",
        f"{place}.outcomes[3]: no request ends as 'timed-out': the workload has no timeout",
        f"{place}: nobody sends again: clients give up after 5.00 s, before the wait of at least "
        "10.0 s is over",
    ]
    assert scenario.workloads[0].retry.waits_s == (10.0, 20.0)
    assert scenario.resolved["workload"][0]["retry"]["wait_s"] == 10.0
    assert "retry" not in checked().resolved["workload"][0]
