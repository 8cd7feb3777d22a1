"""Capital, annuities and yearly costs: hand-worked numbers, sums, messages, monotone properties."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sim
from sim import catalog
from sim.check.scenario import Scenario
from sim.cost import (
    Bill,
    CostError,
    PriceBook,
    built_of,
    capital_of,
    capital_recovery_factor,
    price_of_node,
    yearly_of,
)
from sim.errors import ScenarioError
from sim.site.fabric.count import NetworkParts, count_network
from sim.spec.costs import CostsSpec

QUICKSTART = "scenarios/quickstart.yaml"  # 16 dgx-h100 in 4 racks, 138 kW contracted
#: Round prices for what the bill has, so that sums can be done by hand.
ROUND = (
    "costs={nodes: {dgx-h100: 300000 USD}, switch_port: 1000 USD, cable: 500 USD, "
    "building: 5000 USD/kW, plant: 7000 USD/kW, discount_rate: 10 %, server_life: 4 years, "
    "network_life: 5 years, facility_life: 10 years, maintenance: 2 %, staff: 100000 USD/year}"
)


def load(*sets: str) -> Scenario:
    scenario = sim.load_scenario(QUICKSTART, sets=list(sets))
    assert isinstance(scenario, Scenario)
    return scenario


def totals(bill: Bill) -> dict[str, float]:
    return {group: bill.of(group) for group in bill.groups}


@pytest.mark.parametrize(
    ("rate", "years", "factor"),
    [(0.10, 10, 0.162745), (0.10, 1, 1.10), (0.07, 5, 0.243891), (0.0, 8, 0.125)],
)
def test_the_capital_recovery_factor(rate: float, years: float, factor: float) -> None:
    assert capital_recovery_factor(rate, years) == pytest.approx(factor, abs=1e-6)


@given(rate=st.floats(0.0, 0.5), years=st.floats(0.5, 40.0))
@settings(max_examples=200, deadline=None)
def test_payments_are_worth_the_capital(rate: float, years: float) -> None:
    whole = math.floor(years) + 1
    paid = capital_recovery_factor(rate, whole)
    worth = sum(paid / (1.0 + rate) ** year for year in range(1, whole + 1))
    assert worth == pytest.approx(1.0, rel=1e-9)
    assert capital_recovery_factor(rate, years) >= capital_recovery_factor(rate, years + 1.0)
    assert capital_recovery_factor(rate + 0.01, years) > capital_recovery_factor(rate, years)


@pytest.mark.parametrize(("rate", "years"), [(-0.1, 5.0), (0.1, 0.0), (0.1, math.nan)])
def test_no_annuity_of_nonsense(rate: float, years: float) -> None:
    with pytest.raises(ValueError, match="needs a rate"):
        capital_recovery_factor(rate, years)


def test_capital_by_hand() -> None:
    capital = capital_of(load(ROUND))
    # 16 servers; 8 leaves and 4 spines of 64 ports; 128 NICs and 256 uplinks; 138 kW.
    assert totals(capital) == {
        "servers": 16 * 300e3,
        "network": 768 * 1000.0 + 384 * 500.0,
        "building": 138 * 5000.0,
        "plant": 138 * 7000.0,
    }
    assert capital.total_usd == 4.8e6 + 0.96e6 + 138 * 12e3
    assert all(line.total_usd == line.number * line.unit_price_usd for line in capital.lines)
    assert all(line.origins[0].stated for line in capital.lines)


def test_a_year_by_hand() -> None:
    year = yearly_of(load(ROUND, "price={electricity: 100 USD/MWh}"), 100e3)
    servers = 4.8e6 * 0.1 / (1 - 1.1**-4)
    network = 0.96e6 * 0.1 / (1 - 1.1**-5)
    facility = 138 * 12e3 * 0.1 / (1 - 1.1**-10)
    found = totals(year)
    assert found["servers"] == pytest.approx(servers, rel=1e-12)
    assert found["network"] == pytest.approx(network, rel=1e-12)
    assert found["building"] + found["plant"] == pytest.approx(facility, rel=1e-12)
    assert found["maintenance"] == pytest.approx(0.02 * (4.8e6 + 0.96e6 + 138 * 12e3))
    assert found["staff"] == pytest.approx(100e3, rel=1e-12)
    assert found["energy"] == pytest.approx(0.1 * 8760 * 100)  # 100 kW all year
    assert year.total_usd == pytest.approx(sum(found.values()), rel=1e-12)
    assert year.per_hour_usd == pytest.approx(year.total_usd / 8760, rel=1e-12)
    with pytest.raises(ValueError, match="capital has no hour"):
        _ = capital_of(load()).per_hour_usd


def test_without_a_network_it_is_a_share_of_the_servers() -> None:
    scenario = load("fabric=null", "costs={nodes: {dgx-h100: 300000 USD}, network_share: 10 %}")
    assert capital_of(scenario).of("network") == pytest.approx(480e3)


def test_racks_may_be_priced_whole_and_upss_apart() -> None:
    plain = capital_of(load(ROUND))
    scenario = load(ROUND, "costs.racks={dgx-h100-4: 1000000 USD}", "costs.ups=200 USD/kW")
    capital = capital_of(scenario)
    assert capital.of("servers") == 4e6
    rated_kw = sum(n.rating_w or 0 for n in scenario.power.nodes if n.kind == "ups") / 1e3
    assert rated_kw > 0
    assert capital.of("ups") == pytest.approx(200 * rated_kw)
    assert "ups" not in plain.groups
    assert price_of_node("dgx-h100", PriceBook(scenario.costs)).total_usd == 300e3


def test_unstated_power_is_the_racks_ratings() -> None:
    capital = capital_of(load(ROUND, "power=null", "expect=[]"))
    assert capital.of("building") == pytest.approx(4 * 41.3 * 5000)
    notes = [line.note for line in capital.lines if line.group in ("building", "plant")]
    assert notes == ["no provisioned power is stated: the racks' ratings"] * 2


@pytest.mark.parametrize("name", catalog.names("node"))
def test_every_server_of_the_catalog_has_a_price_with_its_source(name: str) -> None:
    (line,) = price_of_node(name).lines
    assert (line.number, line.unit, line.group) == (1, "servers", "servers")
    assert 1e3 < line.total_usd < 1e6
    origin = line.origins[0]
    assert origin.source
    assert origin.address
    assert origin.mark in ("read", "assumed")
    assert origin.text.startswith("default")


def test_a_type_without_a_price_says_how_to_state_one() -> None:
    with pytest.raises(CostError) as caught:
        price_of_node("my-type")
    assert str(caught.value) == (
        "no price is known of a server of type 'my-type': state it, "
        "'costs: {nodes: {my-type: 250000 USD}}'"
    )
    book = PriceBook(CostsSpec.model_validate({"nodes": {"my-type": "250000 USD"}}))
    assert price_of_node("my-type", book).total_usd == 250e3


def test_a_gigawatt_costs_about_what_epoch_reckons() -> None:
    """Epoch AI: 38 bn of capital and 8.5 bn a year for 1 GW of GB200 racks. Of ours only the lives
    and the share for maintenance are from there."""
    rows = "[{name: row, racks: [{type: gb200-nvl72, count: 76}]}]"  # 76 × 132 kW = 10 MW
    scenario = load(f"site={{halls: [{{name: hall, rows: {rows}}}]}}", "power=null", "fabric=null",
                    "pools[chat].replicas=4", "expect=[]")  # fmt: skip
    scale = 1e9 / (76 * 132e3)
    assert scale * capital_of(scenario).total_usd == pytest.approx(38e9, rel=0.1)
    draw_w = 0.8 * 76 * 132e3  # 0.6 bn for energy at 86.1 USD/MWh are 0.8 GW
    assert scale * yearly_of(scenario, draw_w).total_usd == pytest.approx(8.5e9, rel=0.1)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("costs={nodes: {dgx-h10: 1 USD}}", "unknown node type 'dgx-h10' (did you mean 'dgx-h100'"),
        ("costs={racks: {dgx-h100: 1 USD}}", "unknown rack type 'dgx-h100' (did you mean"),
        ("costs={nodes: {dgx-h100: 250000}}", "needs a unit: write '250000 USD'"),
        ("costs={nodes: {dgx-h100: 250000 $}}", "write '250000 USD'"),
        ("costs={plant: 6 USD}", "is not a price of power like '6000 USD/kW' (USD is a sum of"),
        ("costs={server_life: 5 y}", "is not a life in years: write '5 years'"),
        ("costs={server_life: 0 years}", "must be above 0 years"),
        ("costs={discount_rate: 200 %}", "must be at most 100 %"),
        ("costs={gpu: 1 USD}", "unknown key 'gpu'"),
    ],
)
def test_messages(setting: str, message: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        load(setting)
    assert message in str(caught.value)
    assert len(caught.value.problems) == 1


def test_a_price_that_nothing_has_is_warned_of() -> None:
    scenario = load("costs={nodes: {dgx-b200: 500000 USD}}")
    assert "costs.nodes.dgx-b200: the site has no server of this type" in scenario.warnings
    assert scenario.resolved["costs"] == {"nodes": {"dgx-b200": 500e3}}
    assert "costs" not in load().resolved


BASE = built_of(load())


@settings(max_examples=100, deadline=None)
@given(
    rate=st.floats(0.0, 0.3), life=st.floats(1.0, 20.0), draw=st.floats(0.0, 1e6),
    price=st.floats(1.0, 1e6),
)  # fmt: skip
def test_dearer_parts_longer_lives_and_more_draw(
    rate: float, life: float, draw: float, price: float
) -> None:
    def year(**changes: float) -> float:
        at = {"rate": rate, "life": life, "draw": draw, "price": price} | changes
        costs = CostsSpec.model_validate(
            {
                "nodes": {"dgx-h100": f"{at['price']} USD"},
                "discount_rate": at["rate"],
                "server_life": f"{at['life']} years",
            }
        )
        return yearly_of(replace(BASE, book=PriceBook(costs)), at["draw"]).total_usd

    now = year()
    assert year(price=2 * price) > now
    assert year(rate=rate + 0.05) > now
    assert year(life=life + 1.0) < now
    assert year(draw=draw + 1e4) > now


@pytest.mark.parametrize("draw_w", [-1.0, math.inf, math.nan])
def test_no_year_at_an_impossible_draw(draw_w: float) -> None:
    with pytest.raises(ValueError, match="a draw is finite"):
        yearly_of(load(), draw_w)


def graph_parts(scenario: Scenario) -> NetworkParts:
    """The same network counted vertex by vertex from its graph."""
    assert scenario.fabric is not None
    given = scenario.fabric.graph(scenario.site)
    return count_network(replace(scenario.fabric, plan=None, given=given), scenario.site)


@pytest.mark.parametrize(
    "fabric",
    ["{kind: rail-optimised}", "{kind: leaf-spine, oversubscription: 3}", "{kind: single-switch}",
     "{kind: fat-tree, switch: {name: qm9700, radix: 16}}", "{kind: none}"],
)  # fmt: skip
def test_the_network_of_a_plan_is_that_of_its_graph(fabric: str) -> None:
    scenario = load(f"fabric={fabric}")
    assert scenario.fabric is not None
    parts, counted = count_network(scenario.fabric, scenario.site), graph_parts(scenario)
    assert (parts.switches, parts.cables) == (counted.switches, counted.cables)
    assert parts.ports >= counted.ports  # some of a switch stay empty
