"""The front against brute force, its ties, and what it refuses."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.cost.pareto import pareto_front, pareto_mask
from sim.errors import RackplanError, UnknownName


def brute_force(values: list[list[float]], directions: tuple[str, ...]) -> list[bool]:
    """The definition, pair by pair."""
    signs = [1 if way in ("lower", "min") else -1 for way in directions]
    costs = [[sign * value for sign, value in zip(signs, row, strict=True)] for row in values]

    def dominated(row: list[float]) -> bool:
        return any(
            all(a <= b for a, b in zip(other, row, strict=True)) and other != row
            for other in costs
            if not any(map(math.isnan, other))
        )

    return [not any(map(math.isnan, row)) and not dominated(row) for row in costs]


@st.composite
def clouds(draw: st.DrawFn) -> tuple[list[list[float]], tuple[str, ...]]:
    width = draw(st.integers(1, 4))
    number = st.one_of(  # few values, so that ties are the rule
        st.integers(0, 3).map(float), st.floats(-1e6, 1e6), st.just(math.nan), st.just(math.inf)
    )
    rows = draw(st.lists(st.lists(number, min_size=width, max_size=width), max_size=25))
    ways = st.sampled_from(["lower", "higher", "min", "max"])
    return rows, tuple(draw(ways) for _ in range(width))


@given(clouds())
@settings(max_examples=150, deadline=None)
def test_the_front_is_what_brute_force_finds(
    cloud: tuple[list[list[float]], tuple[str, ...]],
) -> None:
    rows, ways = cloud
    values = np.array(rows, dtype=float).reshape(len(rows), len(ways))
    assert pareto_mask(values, ways).tolist() == brute_force(rows, ways)


def test_a_front_by_hand() -> None:
    #          cheap, slow   equal twin   dominated    dear, fast   dearer, no faster
    values = [[1.0, 9.0], [1.0, 9.0], [2.0, 9.0], [5.0, 2.0], [6.0, 2.0]]
    assert pareto_mask(values, ("lower", "lower")).tolist() == [True, True, False, True, False]
    assert pareto_mask(values, ("higher", "higher")).tolist() == [False, False, True, False, True]


def study() -> pa.Table:
    """Three points of two seeds each, a baseline, and a point whose one run failed."""
    rows = [
        # point, clock, side, seed, cost, goodput, status
        (0, "low", "point", 1, 1.0, 90.0, "finished"),
        (0, "low", "point", 2, 3.0, 92.0, "finished"),
        (0, "low", "baseline", 1, 0.0, 100.0, "finished"),
        (1, "mid", "point", 1, 2.0, 91.0, "finished"),
        (1, "mid", "point", 2, 2.0, 91.0, "finished"),
        (2, "high", "point", 1, 4.0, 99.0, "finished"),
        (2, "high", "point", 2, 4.0, 97.0, "finished"),
        (3, "top", "point", 1, None, None, "finished"),
        (3, "top", "point", 2, 1.0, 99.0, "finished"),
        (4, "off", "point", 1, 9.0, 1.0, "finished"),
        (4, "off", "point", 2, None, None, "failed"),
    ]
    names = ("point", "clock", "side", "seed", "cost", "goodput", "status")
    table = pa.table(dict(zip(names, map(list, zip(*rows, strict=True)), strict=True)))
    return table.set_column(0, "point", table.column("point").cast(pa.int32()))


def test_a_study_is_judged_by_its_means_and_without_its_baseline() -> None:
    found = pareto_front(study(), {"cost": "lower", "goodput": "max"})
    assert found.objectives == {"cost": "lower", "goodput": "higher"}
    assert found.unknown == (3,)  # one of its seeds has no cost
    assert found.points.column("point").to_pylist() == [0, 1, 2, 4]
    assert found.points.column("cost").to_pylist() == [2.0, 2.0, 4.0, 9.0]
    # The first two tie at 2 USD and 91 %: both stay.
    assert found.points.column("front").to_pylist() == [True, True, True, False]
    assert found.front.select(["point", "clock"]).to_pylist() == [
        {"point": 0, "clock": "low"},
        {"point": 1, "clock": "mid"},
        {"point": 2, "clock": "high"},
    ]


def test_no_point_is_a_front_too() -> None:
    nobody = study().slice(0, 0)
    found = pareto_front(nobody, {"cost": "lower"})
    assert found.front.num_rows == 0


@pytest.mark.parametrize(
    ("objectives", "error", "message"),
    [
        ({}, RackplanError, "needs at least one objective"),
        ({"costs": "lower"}, UnknownName, "unknown objective 'costs' (did you mean 'cost'?)"),
        ({"clock": "lower"}, RackplanError, "objective 'clock' is string, not a number"),
        ({"cost": "down"}, UnknownName, "unknown direction 'down'"),
    ],
)
def test_messages(objectives: dict[str, str], error: type[Exception], message: str) -> None:
    with pytest.raises(error) as caught:
        pareto_front(study(), objectives)
    assert message in str(caught.value)


def test_a_table_of_something_else_is_refused() -> None:
    with pytest.raises(RackplanError, match="no column 'point'"):
        pareto_front(pa.table({"cost": [1.0]}), {"cost": "lower"})
    with pytest.raises(ValueError, match=r"needs \[n, 2\] values"):
        pareto_mask([[1.0], [2.0]], ("lower", "lower"))
