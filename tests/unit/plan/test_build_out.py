"""Build-outs worked by hand: lead times, ends of life, power before racks, room, shortfalls."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sim.plan.growth.build_out_limits import (
    LEAD_OF_POWER,
    LEAD_OF_UNITS,
    POWER,
    SPACE,
    SUPPLY,
    limits,
    physics,
    waits,
)
from sim.plan.growth.schedule import SECONDS_A_MONTH
from tests.unit.plan.build_outs import START, build_out, contract, solved, there, unit


def test_what_is_ordered_serves_after_its_lead_time() -> None:
    """Month 1 comes too soon for 2 months of lead: 5 fall short whatever is paid."""
    spec = build_out(4, unit(lead=2, installed=(there(1),)))
    found = solved(spec, 10, 15, 15, 15)
    assert found.orders.tolist() == [[1, 0, 0, 0]]
    assert found.in_service.tolist() == [[1, 1, 2, 2]]
    assert found.short.tolist() == [0, 5, 0, 0]
    # In service for 2 of 50 months: 48 of them are left at the end.
    assert found.costs.hardware == pytest.approx(100.0)
    assert found.costs.residual == pytest.approx(96.0)
    assert found.costs.total == pytest.approx(4.0 + 5 * 1000.0)
    assert found.gap == pytest.approx(0.0, abs=1e-9)
    assert physics(spec, START, found.load).short.sum() == pytest.approx(5.0)
    (limit,) = limits(spec, START, found)
    # Ordered in month 1 it serves 3 months, for 2 USD more, and nothing falls short.
    assert (limit.name, limit.short) == (LEAD_OF_UNITS, 0.0)
    assert limit.saving_usd == pytest.approx(5000.0 - 2.0)


def test_an_order_waits_until_it_must_be_placed_and_is_discounted() -> None:
    spec = build_out(5, unit(lead=1, installed=(there(1),)), discount=0.21)
    found = solved(spec, 10, 10, 10, 15, 15)
    assert found.orders.tolist() == [[0, 0, 1, 0, 0]]
    worth = 1.21 ** (-np.arange(6) / 12)
    assert found.costs.total == pytest.approx(100 * worth[2] - 100 * (48 / 50) * worth[5])
    assert waits(spec, START, found) == []


def test_waiting_with_what_is_ordered_now_costs_what_then_falls_short() -> None:
    spec = build_out(3, unit(lead=1, installed=(there(1),)))
    found = solved(spec, 10, 20, 20)
    (wait,) = waits(spec, START, found)
    assert (wait.what, wait.number) == ("box", 1)
    # 10 fall short in month 1, and the unit serves a month less, of its 50.
    assert wait.costs_usd == pytest.approx(10 * 1000.0 - 2.0)


def test_units_at_the_end_of_their_life_are_replaced_in_time() -> None:
    """In service since 8 months for 10: month 2 is the first without them."""
    spec = build_out(4, unit(lead=1, life=10, installed=(there(2, months=8),)))
    found = solved(spec, 20, 20, 20, 20)
    assert found.orders.tolist() == [[0, 2, 0, 0]]
    assert found.ended.tolist() == [[0, 0, 2, 0]]
    assert found.retired.sum() == 0
    assert found.in_service.tolist() == [[2, 2, 2, 2]]


def test_what_was_ordered_ends_too() -> None:
    found = solved(build_out(5, unit(life=2)), 10, 10, 10, 10, 10)
    assert found.orders[0].sum() == 3
    assert found.in_service.tolist() == [[1, 1, 1, 1, 1]]
    assert found.ended[0].sum() == 2


def test_power_is_ordered_before_the_racks_that_need_it() -> None:
    """Power takes 3 months and racks 1: the step goes out in month 0, the rack in month 2."""
    one = unit(lead=1, installed=(there(1),))
    spec = build_out(5, one, contract=contract(lead=3))
    found = solved(spec, 10, 10, 10, 20, 20)
    assert found.steps.tolist() == [1, 0, 0, 0, 0]
    assert found.orders.tolist() == [[0, 0, 1, 0, 0]]
    assert found.contract_w.tolist() == [10e3, 10e3, 10e3, 20e3, 20e3]
    assert found.costs.contract == pytest.approx(2 * 12.0 / 12)
    assert [(wait.what, wait.number) for wait in waits(spec, START, found)] == [
        ("contracted power", 1)
    ]
    late = replace(spec, contract=contract(lead=4))
    found = solved(late, 10, 10, 10, 20, 20)
    assert found.short.tolist() == [0, 0, 0, 10, 0]
    without = {limit.name: limit.short for limit in limits(late, START, found)}
    assert without == {POWER: 0.0, LEAD_OF_POWER: 0.0, LEAD_OF_UNITS: 10.0}


def test_the_utility_gives_so_much_and_so_many_steps_a_month() -> None:
    spec = build_out(3, unit(), contract=contract(most=1, most_w=30e3, fee_usd=5.0))
    found = solved(spec, 10, 40, 40)
    assert found.steps.tolist() == [1, 1, 0]
    assert found.in_service.tolist() == [[1, 3, 3]]
    assert found.short.tolist() == [0, 10, 10]
    assert found.costs.contract == pytest.approx(2 * 5.0 + (1 + 2 + 2) * 1.0)


def test_a_larger_unit_takes_the_place_of_a_smaller_one() -> None:
    small, large = unit(name="small", installed=(there(1),)), unit(name="large", capacity=20.0)
    spec = build_out(4, small, large, racks=((None, 1),))
    found = solved(spec, 10, 10, 20, 20)
    assert found.orders.tolist() == [[0, 0, 0, 0], [0, 0, 1, 0]]
    assert found.retired.tolist() == [[0, 0, 1, 0], [0, 0, 0, 0]]
    assert found.racks.tolist() == [1, 1, 1, 1]
    grown = replace(spec, racks=((None, 1), (START + 2, 2)), types=(small,))
    assert solved(grown, 10, 10, 20, 20).short.sum() == 0.0
    (space,) = limits(replace(grown, racks=((None, 1),)), START,
                      solved(replace(grown, racks=((None, 1),)), 10, 10, 20, 20))  # fmt: skip
    assert (space.name, space.short) == (SPACE, 0.0)


def test_idle_units_that_cost_are_retired_and_do_not_come_back() -> None:
    """Two are kept over the quiet month 1: a new one costs 100 less what is left, so 2 here."""
    dear = unit(maintenance_usd=5.0, life=50, price_usd=100.0, installed=(there(2),))
    found = solved(build_out(3, dear), 20, 10, 20)
    assert found.in_service.tolist() == [[2, 1, 2]]  # retired, and a new one for 2 USD
    assert found.orders.tolist() == [[0, 0, 1]]
    kept = solved(build_out(3, replace(dear, price_usd=1000.0)), 20, 10, 20)
    assert kept.in_service.tolist() == [[2, 2, 2]]


def test_falling_short_may_be_cheaper() -> None:
    spec = build_out(2, unit(price_usd=1000.0, life=2), shortfall_usd=10.0)
    found = solved(spec, 0, 3)
    assert found.orders.sum() == 0
    assert found.costs.total == pytest.approx(30.0)
    assert physics(spec, START, found.load).short.sum() == 0.0


def test_energy_is_paid_by_the_month() -> None:
    spec = build_out(2, unit(mean_w=1e3), energy_usd_per_j=0.1 / 3.6e6)
    found = solved(spec, 10, 10)
    assert pytest.approx(730.5) == SECONDS_A_MONTH / 3600
    assert found.costs.running == pytest.approx(2 * 730.5 * 0.1)


def test_supply_is_limited_in_number_and_in_time() -> None:
    spec = build_out(4, unit(most=1, orders_from=START + 1, orders_until=START + 2))
    found = solved(spec, 10, 20, 20, 40)
    assert found.orders.tolist() == [[0, 1, 1, 0]]
    assert found.short.tolist() == [10, 10, 0, 20]
    (supply,) = limits(spec, START, found)
    assert (supply.name, supply.short) == (SUPPLY, 0.0)


def test_orders_that_would_arrive_after_the_end_are_not_placed() -> None:
    found = solved(build_out(2, unit(lead=3)), 10, 10)
    assert found.orders.sum() == 0
    assert found.short.tolist() == [10, 10]
