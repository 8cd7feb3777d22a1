"""What a site costs by the second whatever it does, and by the joule: what a run's metrics need."""

from __future__ import annotations

from typing import Any

from sim.check.scenario import Scenario
from sim.cost.bill import HOURS_PER_YEAR
from sim.cost.built import built_of
from sim.cost.prices import CostError
from sim.cost.tco import yearly_of


def cost_rates(scenario: Scenario) -> dict[str, Any]:
    """Capital, maintenance and staff in USD/s, and the price of energy where none is stated, USD/J.

    Without the price of a server ``fixed_usd_per_s`` is None and ``reason`` says how to state it.
    """
    try:
        built = built_of(scenario)
        fixed = yearly_of(built, 0.0).total_usd / (HOURS_PER_YEAR * 3600.0)
    except CostError as error:
        return {"fixed_usd_per_s": None, "electricity_usd_per_j": None, "reason": str(error)}
    electricity = built.book.electricity.value
    return {"fixed_usd_per_s": fixed, "electricity_usd_per_j": electricity, "reason": ""}
