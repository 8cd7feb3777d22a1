"""What a site costs, and what of its power is stranded: arithmetic on a checked scenario and runs.

``capital_of(scenario)``, ``yearly_of(scenario, draw_w)`` and ``price_of_node("dgx-h100")`` give a
``Bill``: itemised lines, each with its number, unit price, total and where the price is from.
"""

from __future__ import annotations

from sim.cost.bill import Bill, Line, Origin
from sim.cost.built import Built, built_of
from sim.cost.prices import CostError, PriceBook
from sim.cost.tco import capital_of, capital_recovery_factor, price_of_node, yearly_of

__all__ = [
    "Bill",
    "Built",
    "CostError",
    "Line",
    "Origin",
    "PriceBook",
    "built_of",
    "capital_of",
    "capital_recovery_factor",
    "price_of_node",
    "yearly_of",
]
