"""A build-out as it is asked and told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sim.errors import ScenarioError
from sim.plan.growth.build_out_asked import BuildOutAnswer
from sim.plan.kinds import How, load
from sim.plan.runs import Making
from sim.plan.told import BAD, GOOD, OPEN, Table
from sim.study.here import InThisProcess
from tests.unit.plan.questions import BASE

STUDY = """
rackplan: 1
kind: study
name: build
question:
  build_out:
    horizon: 12 months
    discount: 0 %
    shortfall: 1000 USD
    types:
      - {name: box, capacity: 10 /s, power: 10 kW, price: 100 USD, lead_time: 2 months,
         life: 50 months, installed: [{count: 1, since: 2026-01}]}
    power: {contract: 10 kW, step: 10 kW, lead_time: 4 months, price: 12 USD}
growth: {start: 2027-01, load: 8 /s, per: month, p10: 0 %, p50: 1 %, p90: 5 %}
"""


def answer(folder: Path, text: str = STUDY) -> BuildOutAnswer:
    (folder / "build.yaml").write_text(text)
    asked = load(folder / "build.yaml")
    assert asked.name == "build"
    made = asked.answer(Making(InThisProcess(), folder, "compiled"), How())
    assert isinstance(made, BuildOutAnswer)
    return made


def rows(made: BuildOutAnswer, heading: str) -> tuple[tuple[str, ...], ...]:
    (part,) = [part for part in made.told().parts if part.heading.startswith(heading)]
    (table,) = part.tables
    assert isinstance(table, Table)
    return table.rows


def test_the_orders_of_both_plans_stand_side_by_side(tmp_path: Path) -> None:
    """8 · 1.05^5 = 10.2 in 2027-06; by P50 the load never passes 10."""
    made = answer(tmp_path)
    assert rows(made, "Orders") == (
        ("2027-02", "10.0 kW of power", "1", "-", "2027-06", "12 USD a year"),
        ("2027-04", "box", "1", "-", "2027-06", "100 USD"),
    )
    told = made.told()
    assert told.headline.startswith("CARRIED  P90 plan: ")
    assert told.meant == GOOD
    assert told.reasons == ("Nothing has to be ordered in 2027-01: all can wait for the next plan",)
    content = json.loads(json.dumps(made.content()))
    assert content["status"] == "carried"
    assert content["plans"]["p90"]["orders"]["box"][3] == 1
    assert sum(content["plans"]["p50"]["orders"]["box"]) == 0
    # 10 USD in service for 7 of its 50 months: 14 of its 100; and 7 months of a step at 1 USD.
    assert content["plans"]["p90"]["total_usd"] == pytest.approx(14.0 + 7.0)
    assert content["plans"]["p90"]["gap"] <= 1e-6


def test_orders_for_now_come_first(tmp_path: Path) -> None:
    """8.4 · 1.05^4 = 10.21 in month 4, when power ordered now is there: 210 USD, less 3 saved."""
    made = answer(tmp_path, STUDY.replace("load: 8 /s", "load: 8.4 /s"))
    told = made.told()
    assert told.reasons[0].startswith("Order now, in 2027-01")
    assert told.reasons[1] == (
        "  10.0 kW of contracted power; a month later costs 207 USD more "
        "(the P50 plan orders 0 now)"
    )
    assert made.content()["order_now"][0]["number"] == 1


def test_what_no_money_avoids_is_said_with_what_stands_in_the_way(tmp_path: Path) -> None:
    made = answer(tmp_path, STUDY.replace("load: 8 /s", "load: 9.9 /s"))
    assert not made.answered
    told = made.told()
    assert told.headline.startswith("SHORT in ")
    assert told.meant == BAD
    (short,) = [part for part in told.parts if part.heading == "Shortfalls"]
    assert "no money avoids" in short.sentences[1]
    assert short.tables[0].rows[0][0] == "2027-02"
    limits = {row[0]: row[2] for row in rows(made, "What binds")}
    assert set(limits) == {"power contract", "lead time of power", "lead times of units"}
    # 9.9 · 1.05 = 10.395 in month 1: units take 2 months even with all the power.
    assert float(limits["power contract"]) == pytest.approx(0.395, abs=1e-3)


def test_to_fall_short_by_choice_is_an_answer(tmp_path: Path) -> None:
    made = answer(tmp_path, STUDY.replace("shortfall: 1000 USD", "shortfall: 1 USD"))
    assert made.answered
    assert made.told().meant == OPEN
    assert "as that is cheaper" in made.told().headline


def test_charts_show_load_capacity_and_power(tmp_path: Path) -> None:
    _, _, *_ = charts = [chart for part in answer(tmp_path).told().parts for chart in part.charts]
    assert [series.name for series in charts[0].series] == [
        "load, P90", "load, P50", "capacity, P90 plan", "capacity, P50 plan",
    ]  # fmt: skip
    assert charts[1].series[0].y[-1] == 20.0


MOST = """
rackplan: 1
kind: study
name: row
base: tiny.yaml
question: {maximum: 'workload[chat].rate', from: 20 /s, to: 24 /s, step: 10 %}
subject_to: [chat.ttft_p99 <= 150 ms]
seeds: 4
"""


def test_a_capacity_is_measured_by_another_study(tmp_path: Path) -> None:
    """All 24 /s that are asked about fit on 5 replicas: 4.8 for each, and the load needs two."""
    (tmp_path / "tiny.yaml").write_text(BASE.replace("duration: 30 s", "duration: 12 s"))
    (tmp_path / "row.yaml").write_text(MOST)
    measured = "capacity_from: {study: row.yaml, units: 5}"
    made = answer(tmp_path, STUDY.replace("capacity: 10 /s", measured))
    assert made.spec.types[0].capacity == pytest.approx(4.8)
    assert made.content()["capacities"]["box"] == {
        "each": pytest.approx(4.8),
        "study": str(tmp_path / "row.yaml"),
    }
    assert made.plans["p90"].capacity[0] == pytest.approx(4.8)
    told = made.told().parts[-1].sentences[0]
    assert told.startswith("box: 4.8 /s each, of the 24 /s that ")
    assert made.plans["p90"].orders.sum() >= 2


def test_a_capacity_is_a_maximum_in_the_unit_of_the_growth(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(BASE)
    wrong = MOST.replace("maximum: 'workload[chat].rate'", "minimum: 'pools[chat].replicas'")
    (tmp_path / "row.yaml").write_text(wrong.replace(" /s,", ",").replace(" 10 %", " 1"))
    text = STUDY.replace("capacity: 10 /s", "capacity_from: {study: row.yaml, units: 5}")
    with pytest.raises(ScenarioError, match="asks for the minimum in plain numbers; a capacity is"):
        answer(tmp_path, text)


def test_options_that_do_not_apply_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "build.yaml"
    file.write_text(STUDY)
    with pytest.raises(ScenarioError, match="--set: a build-out has no base"):
        load(file, sets=["seed=2"])
    with pytest.raises(ScenarioError, match="--shadow"):
        load(file).answer(Making(InThisProcess(), tmp_path, "compiled"), How(shadow=True))
