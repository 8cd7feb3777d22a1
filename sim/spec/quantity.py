"""Reading a quantity, with units that people bring from elsewhere led to ours.

``sim.units`` says what a quantity is; this says what a user meant by ``30m``, ``60 rps`` or
``1,5 kW``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from sim.spec.nodes import show
from sim.units import EXAMPLE, UnitError, describe, parse_quantity

#: Dimension → a unit of elsewhere, in small letters → ours.
INSTEAD: Mapping[str, Mapping[str, str]] = {
    "time": {
        **dict.fromkeys(("msec", "msecs", "millisecond", "milliseconds"), "ms"),
        **dict.fromkeys(("sec", "secs", "second", "seconds"), "s"),
        **dict.fromkeys(("m", "mins", "minute", "minutes"), "min"),
        **dict.fromkeys(("hr", "hrs", "hour", "hours"), "h"),
        **dict.fromkeys(("day", "days"), "d"),
    },
    "rate": {
        **dict.fromkeys(("rps", "qps", "/sec", "/second", "per second", "requests/s"), "/s"),
        **dict.fromkeys(("rpm", "/minute", "per minute", "requests/min"), "/min"),
        **dict.fromkeys(("rph", "/hour", "per hour", "requests/h"), "/h"),
    },
    "power": {
        **dict.fromkeys(("watt", "watts"), "W"),
        **dict.fromkeys(("kilowatt", "kilowatts"), "kW"),
        **dict.fromkeys(("megawatt", "megawatts"), "MW"),
    },
    "money": dict.fromkeys(("$", "dollars", "us$"), "USD"),
    "money_per_energy": {
        "$/mwh": "USD/MWh",
        "$/kwh": "USD/kWh",
    },
    "money_per_power": {"$/kw": "USD/kW", "$/mw": "USD/MW", "$/w": "USD/W"},
    "money_per_time": {"$/year": "USD/year", "$/month": "USD/month", "$/h": "USD/h"},
    "life": dict.fromkeys(("y", "a", "yr", "yrs"), "years"),
}

_SPLIT = re.compile(r"([+-]?[0-9.]+)\s*(\S.*)")
_DECIMAL_COMMA = re.compile(r"[+-]?[0-9]+,[0-9]")


def read_quantity(value: Any, dimension: str) -> float:
    """The SI value of ``"30 min"``, as ``parse_quantity`` has it.

    Raises:
        UnitError: not a quantity of this dimension; the message shows what would be.
    """
    what = f"{describe(dimension)} such as '{EXAMPLE[dimension]}'"
    if isinstance(value, (bool, dict, list)):
        raise UnitError(f"expected {what}, not {show(value)}")
    try:
        return parse_quantity(value, dimension)
    except UnitError:
        if not isinstance(value, str):
            raise
        if _DECIMAL_COMMA.match(value):
            message = f"{show(value)}: a number has a decimal point and no other separators"
            raise UnitError(message) from None
        match = _SPLIT.fullmatch(value.strip())
        ours = INSTEAD.get(dimension, {}).get(match[2].lower()) if match else None
        if match is None or ours is None:
            raise
        message = f"{show(value)} is not {describe(dimension)}: write '{match[1]} {ours}'"
        raise UnitError(message) from None
