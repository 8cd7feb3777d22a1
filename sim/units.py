"""Quantities with units at the file border; SI floats everywhere inside.

In YAML a quantity is a string with its unit (``400 Gb/s``, ``30 min``, ``17.3 kW``); a bare number
where a unit is due is an error that says so. Prefixes of bits and bytes are decimal (k = 1,000)
unless written binary (Ki = 1,024).
"""

from __future__ import annotations

import math
import re
from types import MappingProxyType

from sim.errors import RackplanError, did_you_mean

_SI = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
_BINARY = {"Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40}
_TIME = {
    "ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0,
    "min": 60.0, "h": 3600.0, "d": 86400.0,
}  # fmt: skip
_BYTES = {
    **{f"{p}B": f for p, f in {**_SI, **_BINARY}.items()},
    **{f"{p}b": f / 8 for p, f in {**_SI, **_BINARY}.items()},
}

#: dimension → unit → factor to the SI unit that the engine uses.
UNITS: MappingProxyType[str, dict[str, float]] = MappingProxyType(
    {
        "time": _TIME,
        "power": {"mW": 1e-3, **{f"{p}W": f for p, f in _SI.items()}},
        "energy": {
            **{f"{p}J": f for p, f in _SI.items()},
            **{f"{p}Wh": f * 3600.0 for p, f in _SI.items()},
        },
        "bytes": _BYTES,
        "bytes_per_s": {
            **{f"{u}/s": f for u, f in _BYTES.items()},
            **{f"{p}bps": f / 8 for p, f in _SI.items()},
        },
        "rate": {
            "/s": 1.0, "/min": 1 / 60.0, "/h": 1 / 3600.0, "/d": 1 / 86400.0,
            "req/s": 1.0, "req/min": 1 / 60.0, "req/h": 1 / 3600.0,
        },
        "tokens_per_s": {"tokens/s": 1.0, "tok/s": 1.0, "/s": 1.0},
        "frequency": {"Hz": 1.0, "kHz": 1e3, "MHz": 1e6, "GHz": 1e9},
        "flops": {f"{p}FLOP/s": f for p, f in {**_SI, "P": 1e15}.items()},
        "fraction": {"%": 0.01},
        "money_per_energy": {
            "USD/J": 1.0, "USD/kWh": 1 / 3.6e6, "USD/MWh": 1 / 3.6e9,
        },
        "money": {"USD": 1.0},
        "money_per_power": {"USD/W": 1.0, "USD/kW": 1e-3, "USD/MW": 1e-6},
        "money_per_time": {  # a year has 365 days
            "USD/s": 1.0, "USD/h": 1 / 3600.0, "USD/month": 12 / 31_536_000.0,
            "USD/year": 1 / 31_536_000.0,
        },
        "life": {"years": 1.0, "year": 1.0, "months": 1 / 12.0},  # kept in years
        "energy_per_token": {
            "J/token": 1.0, "Wh/token": 3600.0, "kWh/Mtoken": 3.6, "Wh/Mtoken": 3.6e-3,
        },
        "money_per_token": {"USD/token": 1.0, "USD/Mtoken": 1e-6},
        "goodput_per_power": {"/s/W": 1.0, "/s/kW": 1e-3, "/s/MW": 1e-6},
        "temperature": {"C": 1.0, "°C": 1.0},  # kept in °C
        "temperature_difference": {"K": 1.0},
        "mass": {"kg": 1.0, "t": 1e3},
        "volume": {"m3": 1.0, "L": 1e-3},
        "flow": {"m3/s": 1.0, "m3/h": 1 / 3600.0, "L/s": 1e-3, "L/min": 1e-3 / 60.0},
        "flow_per_power": {"L/min/kW": 1e-6 / 60.0},
        "heat_capacity": {"kJ/L/K": 1e6},  # of a volume
        "volume_per_energy": {"L/kWh": 1e-3 / 3.6e6, "m3/MWh": 1 / 3.6e9},
        "volume_per_token": {"L/token": 1e-3, "L/Mtoken": 1e-9},
        "carbon": {"gCO2": 1.0, "kgCO2": 1e3, "tCO2": 1e6},  # kept in grams
        "carbon_per_energy": {"gCO2/kWh": 1 / 3.6e6, "kgCO2/MWh": 1 / 3.6e6},
        "carbon_per_token": {"gCO2/token": 1.0, "gCO2/Mtoken": 1e-6, "kgCO2/Mtoken": 1e-3},
        "count": {"": 1.0},
        "ratio": {"": 1.0},
        "tokens": {"tokens": 1.0, "token": 1.0},
    }
)  # fmt: skip

#: dimension → an example that a message can show.
EXAMPLE: MappingProxyType[str, str] = MappingProxyType(
    {
        "time": "30 s", "power": "17.3 kW", "energy": "5 kWh", "bytes": "80 GB",
        "bytes_per_s": "400 Gb/s", "rate": "60 /s", "tokens_per_s": "5000 tokens/s",
        "frequency": "1410 MHz", "flops": "989 TFLOP/s", "fraction": "99 %",
        "money_per_energy": "80 USD/MWh", "money": "12 USD", "money_per_power": "6000 USD/kW",
        "money_per_time": "500000 USD/year", "life": "5 years", "energy_per_token": "2 kWh/Mtoken",
        "money_per_token": "0.2 USD/Mtoken", "goodput_per_power": "300 /s/MW", "count": "8",
        "ratio": "1.2",
        "tokens": "4096 tokens", "temperature": "18 C", "temperature_difference": "10 K",
        "mass": "1500 kg", "volume": "200 L", "flow": "375 L/min",
        "flow_per_power": "1.5 L/min/kW", "heat_capacity": "4.16 kJ/L/K",
        "volume_per_energy": "1.5 L/kWh", "volume_per_token": "2 L/Mtoken",
        "carbon": "50 kgCO2", "carbon_per_energy": "300 gCO2/kWh",
        "carbon_per_token": "400 gCO2/Mtoken",
    }
)  # fmt: skip

#: From here on whole digits are written as a power of ten: a float knows no more of them.
_BEYOND = 1e15
_NUMBER = re.compile(r"[+-]?(?:[0-9][0-9_]*\.?[0-9_]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")


class UnitError(RackplanError):
    """A quantity that cannot be read in the dimension its place asks for."""


def parse_quantity(value: object, dimension: str) -> float:
    """``"30 min"`` and ``"time"`` → ``1800.0``: the value in the SI unit of ``dimension``.

    ``fraction`` accepts ``"99 %"`` and bare numbers (0.99); ``count``, ``ratio`` and ``tokens``
    accept bare numbers; every other dimension needs its unit written out.

    Raises:
        UnitError: not a number with a unit of this dimension; the message shows what would be.
    """
    units = UNITS[dimension]
    example = EXAMPLE[dimension]
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise UnitError(f"expected {describe(dimension)} such as '{example}', not {value!r}")
    if isinstance(value, (int, float)):
        if dimension in ("fraction", "count", "ratio", "tokens"):
            return _finite(float(value), value)
        unit = example.split(" ", 1)[1]
        raise UnitError(f"needs a unit: write '{value} {unit}' ({describe(dimension)}) or similar")
    text = value.strip()
    match = _NUMBER.match(text)
    if match is None:
        raise UnitError(f"{value!r} is not {describe(dimension)}; write it like '{example}'")
    number = float(match.group().replace("_", ""))
    unit = text[match.end() :].strip()
    if unit == "" and dimension in ("fraction", "count", "ratio", "tokens"):
        return _finite(number, value)
    if unit == "":
        raise UnitError(f"{value!r} has no unit; write {describe(dimension)} like '{example}'")
    if unit not in units:
        elsewhere = [d for d, table in UNITS.items() if unit in table]
        known = did_you_mean(unit, units)
        hint = f" ({unit} is {describe(elsewhere[0])})" if elsewhere else known
        raise UnitError(f"{value!r} is not {describe(dimension)} like '{example}'{hint}")
    return _finite(number * units[unit], value)


def _finite(number: float, value: object) -> float:
    if not math.isfinite(number):
        raise UnitError(f"{value!r} is not a finite number")
    return number


def describe(dimension: str) -> str:
    """The dimension in words with its article, for messages."""
    words = {
        "bytes": "size in bytes",
        "bytes_per_s": "data rate",
        "count": "number",
        "money_per_energy": "price of energy",
        "money": "sum of money",
        "money_per_power": "price of power",
        "money_per_time": "cost per time",
        "life": "life in years",
        "volume_per_energy": "volume of water per energy",
        "carbon": "mass of CO2",
        "carbon_per_energy": "carbon intensity",
        "heat_capacity": "heat capacity of a volume",
    }
    noun = words.get(dimension, dimension.replace("_", " "))
    return f"an {noun}" if noun[0] in "aeio" else f"a {noun}"


def format_si(value: float, unit: str, digits: int = 3) -> str:
    """Three digits and an SI prefix: ``1.07 MW``, ``330 kW``, ``394 ms``.

    Seconds have no prefix above one; counts, tokens and shares get none at all.
    """
    if value == 0 or not math.isfinite(value):
        return f"{value:g} {unit}".strip()
    if unit == "%":
        return f"{value:.{2 if abs(value) < 99.995 else 1}f} %".replace(".00 %", " %")
    if unit in ("", "tokens"):
        written = f",.{digits}g" if abs(value) < 1 else ",.0f" if abs(value) < _BEYOND else ".3g"
        return f"{value:{written}} {unit}".strip()
    factor, prefix = prefix_of(value, unit, digits)
    if factor is None:
        return f"{value:.{digits}g} {unit}"
    return f"{_digits(value / factor, digits)} {prefix}{unit}"


def prefix_of(value: float, unit: str, digits: int = 3) -> tuple[float | None, str]:
    """The SI prefix that suits ``value``: its factor and sign; None and "" below all of them."""
    scales = [(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""), (1e-3, "m"), (1e-6, "µ")]
    if unit == "s" or "/" in unit:
        scales = [(1.0, ""), (1e-3, "m"), (1e-6, "µ")] if unit == "s" else scales[3:5]
    for factor, prefix in scales:
        # The next prefix starts where three digits would round up to 1,000 of this one.
        if abs(value) >= factor * (1 - 0.5 * 10.0**-digits):
            return factor, prefix
    return None, ""


def _digits(value: float, digits: int) -> str:
    if abs(value) >= _BEYOND:
        return f"{value:.{digits}g}"
    whole = len(str(int(abs(value))))
    return f"{value:,.{max(0, digits - whole)}f}"
