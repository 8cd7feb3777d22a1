"""The floor: units (pint is the oracle), named randomness, errors, paths."""

from __future__ import annotations

import math
import pickle
from pathlib import Path

import numpy as np
import pint
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim import errors
from sim.errors import Mark, Problem, RackplanError, ScenarioError, did_you_mean
from sim.paths import data, share
from sim.rng import KeyedBits, generator
from sim.units import EXAMPLE, UNITS, UnitError, format_si, parse_quantity

UREG = pint.UnitRegistry()
#: Our spelling → pint's, where they differ, and the unit in which the engine counts.
SPELLING = {"min": "minute", "h": "hour", "d": "day", "us": "microsecond"}
BASE = {"time": "s", "power": "W", "energy": "J", "bytes": "byte", "frequency": "Hz"}


@pytest.mark.parametrize(
    ("dimension", "unit"), [(d, u) for d in BASE for u in UNITS[d] if not u.endswith("bps")]
)
def test_factors_agree_with_pint(dimension: str, unit: str) -> None:
    theirs = SPELLING.get(unit, unit)
    if dimension == "bytes":
        prefix, kind = unit[:-1], {"B": "byte", "b": "bit"}[unit[-1]]
        theirs = prefix + kind
    expected = UREG.Quantity(3.0, theirs).to(BASE[dimension]).magnitude
    assert parse_quantity(f"3 {unit}", dimension) == pytest.approx(expected, rel=1e-12)


def test_data_rates_agree_with_pint() -> None:
    assert parse_quantity("400 Gb/s", "bytes_per_s") == 50e9
    assert parse_quantity("400 Gbps", "bytes_per_s") == 50e9
    assert parse_quantity("1 GiB/s", "bytes_per_s") == 2**30


@pytest.mark.parametrize("dimension", sorted(EXAMPLE))
def test_every_example_can_be_read(dimension: str) -> None:
    assert math.isfinite(parse_quantity(EXAMPLE[dimension], dimension))


@pytest.mark.parametrize(
    ("value", "dimension", "message"),
    [
        (30, "time", "needs a unit: write '30 s' (a time) or similar"),
        ("30", "time", "'30' has no unit; write a time like '30 s'"),
        ("30 kW", "time", "'30 kW' is not a time like '30 s' (kW is a power)"),
        (
            "30 sek",
            "time",
            "'30 sek' is not a time like '30 s' (known: d, h, min, ms, ns, s, us, µs)",
        ),
        ("soon", "time", "'soon' is not a time; write it like '30 s'"),
        (True, "power", "expected a power such as '17.3 kW', not True"),
        ("1e999 W", "power", "'1e999 W' is not a finite number"),
    ],
)
def test_messages(value: object, dimension: str, message: str) -> None:
    with pytest.raises(UnitError) as caught:
        parse_quantity(value, dimension)
    assert str(caught.value) == message


@given(st.text(max_size=20), st.sampled_from(sorted(UNITS)))
def test_any_text_is_a_number_or_a_unit_error(text: str, dimension: str) -> None:
    try:
        value = parse_quantity(text, dimension)
    except UnitError:
        return
    assert math.isfinite(value)


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        (1_068_000, "W", "1.07 MW"),
        (330_000, "W", "330 kW"),
        (999_600, "W", "1.00 MW"),
        (0.394, "s", "394 ms"),
        (95.0, "s", "95.0 s"),
        (0, "W", "0 W"),
        (31442, "", "31,442"),
        (990e12, "tokens", "990,000,000,000,000 tokens"),
        (1e300, "tokens", "1e+300 tokens"),
        (1e300, "W", "1e+288 TW"),
    ],
)
def test_numbers_are_shown_with_three_digits(value: float, unit: str, shown: str) -> None:
    assert format_si(value, unit) == shown


def test_streams_are_independent_of_each_other_and_of_order() -> None:
    first = generator(1, "workload/a/arrivals").random(1000)
    second = generator(1, "workload/b/arrivals").random(1000)
    assert np.array_equal(first, generator(1, "workload/a/arrivals").random(1000))
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.1
    assert not np.array_equal(first, generator(2, "workload/a/arrivals").random(1000))


def test_keyed_bits_are_uniform_and_keyed() -> None:
    bits = KeyedBits(7, "routing")
    counts = np.bincount([bits.below(i, 10) for i in range(20_000)], minlength=10)
    # Chi-square with 9 degrees of freedom stays below 27.9 in 99.9 % of cases; the key is fixed.
    assert ((counts - 2000) ** 2 / 2000).sum() < 27.9
    assert bits.bits(5) == KeyedBits(7, "routing").bits(5)
    assert bits.bits(5) != KeyedBits(8, "routing").bits(5)
    pairs = [bits.two_below(i, 4) for i in range(8000)]
    cells = np.bincount([4 * a + b for a, b in pairs], minlength=16)
    assert ((cells - 500) ** 2 / 500).sum() < 37.7  # 15 degrees of freedom, 99.9 %


def test_problems_are_sorted_and_said_once() -> None:
    later = Problem(Mark("a.yaml", 9, 1), "site", "late")
    sooner = Problem(Mark("a.yaml", 2, 4), "name", "soon")
    error = ScenarioError([later, sooner, later])
    assert str(error) == "a.yaml:2:4: name: soon\na.yaml:9:1: site: late"


def test_names_are_suggested_by_spelling() -> None:
    assert did_you_mean("Llama-3.1-70B", ["llama-3.1-70b"]) == " (did you mean 'llama-3.1-70b'?)"
    assert did_you_mean("zzz", ["a", "b"]) == " (known: a, b)"


def test_shipped_folders_are_found() -> None:
    assert data("hardware").is_dir()
    assert (share("scenarios") / "quickstart.yaml").is_file()
    with pytest.raises(RackplanError, match="lacks its 'nothing' folder"):
        share("nothing")
    assert isinstance(data(), Path)


@pytest.mark.parametrize(
    "error",
    [
        errors.ScenarioError([errors.Problem(errors.Mark("a.yaml", 1, 2), "pools", "none")]),
        errors.DataError("trace.csv", "is empty", 3),
        errors.BuildError("pools[0]", "does not fit"),
        errors.SimulationError(1.5, "replica 0", "stuck"),
        errors.UnknownName("GPU", "h100", ["h100-sxm"]),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_cross_to_another_process(error: errors.RackplanError) -> None:
    there = pickle.loads(pickle.dumps(error))
    assert type(there) is type(error)
    assert str(there) == str(error)
    assert vars(there) == vars(error)
