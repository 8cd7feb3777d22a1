"""Numbers as people read them: three digits, a unit, shares in percent, times in their own size."""

from __future__ import annotations

from sim.results.metrics import Metric
from sim.units import UNITS, format_si

#: Units that are easier to read than those that metrics are kept in: dimension → unit.
_SHOWN = {"energy_per_token": "kWh/Mtoken", "money_per_token": "USD/Mtoken", "energy": "kWh"}


def percent(share: float) -> str:
    """A share: ``12.3 %``, ``104 %``, ``0.05 %``."""
    value = 100.0 * share
    return f"{value:,.0f} %" if abs(value) >= 999.5 else f"{value:.3g} %"


def span(seconds: float) -> str:
    """A length of time: ``394 ms``, ``90.0 s``, ``30 min``, ``1.5 h``, ``7 d``."""
    for unit, factor, most in (("min", 60.0, 7200.0), ("h", 3600.0, 172_800.0)):
        if 120.0 <= seconds < most:
            return f"{seconds / factor:.3g} {unit}"
    return f"{seconds / 86400.0:.3g} d" if seconds >= 172_800.0 else format_si(seconds, "s")


def quantity(value: float, unit: str, dimension: str) -> str:
    """A value in ``unit`` of ``dimension``, in the size and unit that reads best."""
    if dimension == "fraction":
        return percent(value)
    if dimension in _SHOWN:
        table, shown = UNITS[dimension], _SHOWN[dimension]
        return f"{value * table[unit] / table[shown]:,.3g} {shown}"
    if dimension == "ratio":
        return f"{value:.3f}"
    if dimension == "money":
        return f"{value:,.0f} USD" if abs(value) >= 1000.0 else f"{value:.3g} USD"
    if dimension == "time" and value >= 120.0:
        return span(value)
    if unit == "tokens/s":
        return f"{value:,.0f} {unit}" if value >= 100.0 else f"{value:.3g} {unit}"
    if dimension == "goodput_per_power":
        return f"{value:,.3g} {unit}" if value < 1000.0 else f"{value:,.0f} {unit}"
    return format_si(value, unit)


def shown(metric: Metric) -> str:
    """A metric's value for people; "-" where it could not be measured."""
    if metric.value is None:
        return "-"
    return quantity(metric.value, metric.unit, metric.definition.dimension)
