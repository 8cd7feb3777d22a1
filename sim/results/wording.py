"""Numbers as people read them: three digits, a unit, shares in percent, times in their own size."""

from __future__ import annotations

import math

from sim.results.metrics import Metric
from sim.units import UNITS, format_si, prefix_of

#: Units that are easier to read than those that metrics are kept in: dimension → unit.
_SHOWN = {"energy_per_token": "kWh/Mtoken", "money_per_token": "USD/Mtoken", "energy": "kWh"}


def percent(share: float) -> str:
    """A share: ``12.3 %``, ``104 %``, ``0.05 %``."""
    value = 100.0 * share
    return f"{value:,.0f} %" if 999.5 <= abs(value) < 1e15 else f"{value:.3g} %"


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


def plus_minus(value: float, half: float, unit: str, dimension: str) -> str:
    """``141.02 ± 0.53 kW``: both in the unit that suits the larger, the second to two digits."""
    factor, shown_unit = scale(max(abs(value), half), unit, dimension)
    shown_half = half * factor
    digits = 2 if shown_half < 1.0 else 1 if shown_half < 9.95 else 0
    if 0.0 < shown_half < 0.1:
        digits = 1 - math.floor(math.log10(shown_half))
    text = f"{value * factor:,.{digits}f} ± {shown_half:,.{digits}f} {shown_unit}"
    return text.rstrip()


def scale(value: float, unit: str, dimension: str) -> tuple[float, str]:
    """What to multiply values of the size of ``value`` with, and the unit they are in then."""
    if dimension == "fraction":
        return 100.0, "%"
    if dimension in _SHOWN:
        table, shown_unit = UNITS[dimension], _SHOWN[dimension]
        return table[unit] / table[shown_unit], shown_unit
    if dimension == "time":
        for factor, name, least in ((86400.0, "d", 172_800.0), (3600.0, "h", 7200.0),
                                    (60.0, "min", 120.0)):  # fmt: skip
            if value >= least:
                return 1.0 / factor, name
    if unit in ("", "tokens", "tokens/s") or dimension in ("money", "goodput_per_power"):
        return 1.0, unit
    prefix, sign = prefix_of(value, unit)
    return (1.0, unit) if prefix is None else (1.0 / prefix, f"{sign}{unit}")


def shown(metric: Metric) -> str:
    """A metric's value for people; "-" where it could not be measured."""
    if metric.value is None:
        return "-"
    return quantity(metric.value, metric.unit, metric.definition.dimension)


def mean_in_words(metric: Metric | None) -> str:
    """``0.35 ± 0.02 s``; "-" where it was not measured."""
    if metric is None or metric.value is None:
        return "-"
    if metric.low is None or metric.high is None:
        return shown(metric)
    half = max(metric.value - metric.low, metric.high - metric.value)
    return plus_minus(metric.value, half, metric.unit, metric.definition.dimension)
