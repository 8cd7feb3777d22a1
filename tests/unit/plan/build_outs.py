"""Small build-outs for tests, with loads as plain numbers; month 0 is 2027-01."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from sim.errors import Mark
from sim.plan.growth.build_out import solve
from sim.plan.growth.schedule import Schedule
from sim.spec.build_out import Batch, BuildOutSpec, Contract, UnitType
from sim.spec.growth import GrowthSpec, Stated
from sim.spec.months import read_month

START = read_month("2027-01")
HERE = Mark("test")
#: Nothing in these tests asks how the load grows.
GROWTH = GrowthSpec("", Stated(START, 1.0, (0.0, 0.0, 0.0), ""), ())


def unit(**changes: Any) -> UnitType:
    """A unit that serves 10, for 100 USD, without lead time, for 50 months."""
    one = UnitType(
        name="box", capacity=10.0, power_w=10e3, mean_w=None, racks=1, price_usd=100.0, lead=0,
        life=50, maintenance_usd=0.0, most=None, orders_from=None, orders_until=None, installed=(),
    )  # fmt: skip
    return replace(one, **changes)


def there(count: int, months: int = 0) -> Batch:
    """Units in service for so many months already."""
    return Batch(count, START - months, HERE)


def contract(**changes: Any) -> Contract:
    """10 kW, more by 10 kW at once and for 12 USD a year."""
    return replace(Contract(10e3, 10e3, 0, 12.0, 0.0, None, None), **changes)


def build_out(months: int, *types: UnitType, **changes: Any) -> BuildOutSpec:
    """Units alone, nothing discounted, a shortfall of 1 for a month at 1,000 USD."""
    spec = BuildOutSpec(
        file="test", name="test", months=months, plan_for="p90", discount=0.0,
        shortfall_usd=1000.0, energy_usd_per_j=None, types=types, contract=None, racks=None,
        growth=GROWTH,
    )  # fmt: skip
    return replace(spec, **changes)


def solved(spec: BuildOutSpec, *load: float) -> Schedule:
    """The best schedule for a load in each month."""
    assert len(load) == spec.months
    found = solve(spec, START, np.array(load, float))
    assert found.optimal
    return found
