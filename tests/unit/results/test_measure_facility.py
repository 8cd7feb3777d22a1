"""Metrics of the facility from a run filled by hand: its numbers can be worked out on paper."""

from __future__ import annotations

from io import StringIO
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from sim import catalog
from sim.cli.summary import print_summary
from sim.results.freeze import freeze
from sim.results.memory import MemorySink
from sim.results.metrics import Metric
from sim.results.result import RunResult
from sim.site.cooling import cooling, size
from sim.site.facility import Facility
from sim.site.hours import Hours, flat
from tests.unit.results.by_hand import fill, parts, power_edges, power_nodes, requests, summariser

KWH = 3.6e6
TOKENS = 54_000
#: The window is [60, 600): nine minutes. At 330 s the site goes from 90 to 120 kW, with it a rack
#: of which liquid takes up 80 %, and one that is cooled by air.
PLANT = size(catalog.plant("modern"), 100e3, 80e3)
SITE_W = np.array([90e3] * 4 + [105e3] + [120e3] * 4)
LIQUID_W = 0.8 * (SITE_W - 40e3)
ENERGY_J = 60.0 * SITE_W.sum()


def nodes() -> dict[str, Any]:
    """A utility, two racks and a UPS; the racks' energies are 35 and what liquid tells."""
    own = power_nodes()
    own = {name: [*values[:2], values[2], values[2]] for name, values in own.items()}
    liquid_j = 60.0 * (LIQUID_W.sum() / 0.8)
    changes: dict[str, Any] = {
        "node": [0, 1, 2, 3],
        "name": ["utility", "ups-a", "row-1-rack-1", "row-1-rack-2"],
        "kind": ["utility", "ups", "rack", "rack"],
        "energy_j": [ENERGY_J, ENERGY_J, liquid_j, 35e3 * 540],
    }
    return {**own, **changes}


def draws() -> dict[str, Any]:
    """Changes of draw in mW; the second rack never changes, so its later minutes have no row."""
    rows = [
        (0, 0.0, 90e6), (1, 0.0, 88e6), (2, 0.0, 50e6), (3, 0.0, 35e6),
        (0, 330.0, 120e6), (1, 330.0, 118e6), (2, 330.0, 80e6),
    ]  # fmt: skip
    node, time_s, mw = (list(column) for column in zip(*rows, strict=True))
    return {"node": node, "t_s": time_s, "out_mw": mw, "in_mw": mw}


def run(facility: Facility, price: float | None = None, record: str = "full") -> RunResult:
    content = parts(facility=facility.plain(), price_usd_per_j=price, record=record)
    sink = summariser(MemorySink(), power_kinds=["utility", "ups", "rack", "rack"], record=record)
    edges = {**power_edges(), "child": [1, 2, 3], "parent": [0, 1, 1], "share": [1.0] * 3}
    fill(sink, requests(200), power_nodes=nodes(), power_edges=edges, power=draws())
    return freeze(sink, content)


def measured(
    facility: Facility, price: float | None = None, record: str = "full"
) -> dict[str, Metric]:
    return dict(run(facility, price, record).metrics)


def summary(facility: Facility, price: float) -> str:
    out = Console(file=StringIO(), width=100)
    print_summary(run(facility, price), out)
    assert isinstance(out.file, StringIO)
    return " ".join(out.file.getvalue().split())


def plant(bulb: Hours) -> Facility:
    return Facility(plant=PLANT, wet_bulb_c=bulb, liquid_share={"row-1-rack-1": 0.8})


@pytest.mark.parametrize("record", ["full", "summary"])
def test_pue_is_the_ratio_of_energies(record: str) -> None:
    metrics = measured(plant(flat(24.0)), record=record)
    flow = cooling(PLANT, SITE_W - LIQUID_W, LIQUID_W, 24.0)
    cooling_j = 60.0 * flow.total_w.sum()
    racks_j = 60.0 * (LIQUID_W / 0.8).sum() + 35e3 * 540
    expected = {
        "cooling_energy_j": cooling_j,
        "facility_energy_j": ENERGY_J + cooling_j,
        "pue": (ENERGY_J + cooling_j) / racks_j,
        "facility_peak_w": (SITE_W + flow.total_w).max(),
        "water_l": 60e3 * flow.water_m3_per_s.sum(),
        "water_per_mtoken": 60e3 * flow.water_m3_per_s.sum() / (TOKENS / 1e6),
    }
    for name, value in expected.items():
        assert metrics[name].value == pytest.approx(value, rel=1e-12), name
    assert metrics["energy_j"].value == ENERGY_J


def test_weather_changes_on_the_hour() -> None:
    """The run begins at the 57th minute of an hour: of the window, minutes 1 and 2 are cold."""
    metrics = measured(plant(Hours((0.0, 28.0), lead_min=57)))
    bulbs = np.array([0.0] * 2 + [28.0] * 7)
    flow = cooling(PLANT, SITE_W - LIQUID_W, LIQUID_W, bulbs)
    assert metrics["cooling_energy_j"].value == pytest.approx(60.0 * flow.total_w.sum(), rel=1e-12)


def test_cost_and_carbon_weigh_each_hour_by_its_energy() -> None:
    """Without cooling: two minutes at 100 and seven at -20 USD/MWh; carbon the other way round."""
    facility = Facility(
        price_usd_per_j=Hours((100 / 1e3 / KWH, -20 / 1e3 / KWH), 57),
        carbon_g_per_j=Hours((200 / KWH, 400 / KWH), 57),
    )
    metrics = measured(facility)
    early, late = 60.0 * SITE_W[:2].sum() / KWH, 60.0 * SITE_W[2:].sum() / KWH
    assert metrics["energy_cost"].value == pytest.approx(0.1 * early - 0.02 * late, rel=1e-12)
    grams = 200 * early + 400 * late
    assert metrics["carbon_g"].value == pytest.approx(grams, rel=1e-12)
    assert metrics["carbon_per_mtoken"].value == pytest.approx(grams / 0.054, rel=1e-12)
    assert metrics["pue"].reason == "no cooling is stated"


def test_with_cooling_cost_and_carbon_are_on_all_energy() -> None:
    facility = plant(flat(24.0))
    facility = Facility(**{**vars(facility), "carbon_g_per_j": flat(300 / KWH)})
    metrics = measured(facility, price=0.08 / KWH)
    total_kwh = metrics["facility_energy_j"].value / KWH
    assert metrics["energy_cost"].value == pytest.approx(0.08 * total_kwh, rel=1e-12)
    per_million = 0.08 * total_kwh / 0.054
    assert metrics["energy_cost_per_mtoken"].value == pytest.approx(per_million, rel=1e-12)
    assert metrics["carbon_g"].value == pytest.approx(300 * total_kwh, rel=1e-12)


def test_what_is_not_stated_is_null_with_a_reason() -> None:
    metrics = measured(Facility())
    reasons = {
        name: metrics[name].reason
        for name in ("pue", "water_l", "facility_peak_w", "energy_cost", "carbon_per_mtoken")
    }
    assert reasons == {
        "pue": "no cooling is stated",
        "water_l": "no cooling is stated",
        "facility_peak_w": "no cooling is stated",
        "energy_cost": "no energy price is stated",
        "carbon_per_mtoken": "no carbon intensity is stated",
    }
    assert all(metrics[name].value is None for name in reasons)


def test_a_warmer_hour_never_lowers_pue() -> None:
    values = [measured(plant(flat(bulb)))["pue"].value for bulb in (-5.0, 10.0, 18.0, 27.0)]
    assert values == sorted(values)
    assert values[-1] > values[0]


def test_the_summary_says_what_the_facility_takes() -> None:
    facility = Facility(**{**vars(plant(flat(24.0))), "carbon_g_per_j": flat(300 / KWH)})
    text = summary(facility, price=0.08 / KWH)
    assert "Cooling: PUE 1." in text
    assert "Price: " in text
    assert "USD/Mtoken (cooling included)" in text
    assert "gCO2/Mtoken (average, not marginal)" in text
    assert "L/Mtoken (evaporated on site)" in text


def test_the_summary_says_nothing_of_what_is_not_stated() -> None:
    text = summary(Facility(), price=0.08 / KWH)
    assert not [word for word in ("Cooling:", "Carbon:", "Water:", "Price:") if word in text]
    assert "USD/Mtoken" in text


def test_heat_beyond_the_plant_leaves_its_metrics_null() -> None:
    small = size(catalog.plant("modern"), 10e3, 80e3)
    facility = Facility(**{**vars(plant(flat(24.0))), "plant": small})
    metrics = measured(facility, price=0.08 / KWH)
    for name in ("pue", "facility_energy_j", "water_per_mtoken", "energy_cost"):
        assert metrics[name].value is None
        assert metrics[name].reason.startswith("the air loop carries from 0 to 1.2 x its design")
    assert metrics["energy_j"].value == ENERGY_J
