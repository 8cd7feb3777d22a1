"""Axes and limits of the charts, apart from any run."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from dashboard.charts.axes import Window, clock_of, log_axis, power_unit
from dashboard.charts.overview import draw_chart, far_limits, latency_chart
from dashboard.frames.overview import Draw, Latency
from dashboard.style import Ink

INK = Ink(text="#111111", faint="#222222", band="#333333", grid="#444444", page="#555555")


def latency(p50: list[float], p99: list[float], objective_s: float | None) -> Latency:
    frame = pd.DataFrame({"t_s": 60.0 * np.arange(len(p50)), "n": 100, "p50": p50, "p99": p99})
    return Latency(frame, 60.0, 0.0, objective_s, 0)


def draw(watts: list[float], budget_w: float | None, rating_w: float | None = None) -> Draw:
    frame = pd.DataFrame({"t_s": 60.0 * np.arange(len(watts)), "mean_w": watts, "max_w": watts})
    return Draw(frame, 60.0, budget_w, rating_w)


@pytest.mark.parametrize(
    ("end_s", "title", "last"),
    [
        (30.0, "simulated time (s)", 30.0),
        (600.0, "simulated time (min)", 10.0),
        (10_800.0, "simulated time (hh:mm)", 180.0),
        (3 * 86_400.0, "simulated time (days+hh:mm)", 4320.0),
        (400 * 86_400.0, "simulated time (days+hh:mm)", None),
    ],
)
def test_the_clock_fits_the_length_of_the_run(end_s: float, title: str, last: float | None) -> None:
    clock = clock_of(end_s)
    assert clock.title == title
    assert 3 <= len(clock.ticks) <= 9
    assert clock.ticks[-1] <= end_s / clock.unit_s
    assert last is None or clock.ticks[-1] == last


@pytest.mark.parametrize("values", [[0.05, 0.2, 2.0], [0.1], [1e-5, 1e3], [0.99, 1.01]])
def test_log_ticks_are_few_and_inside(values: list[float]) -> None:
    axis = log_axis(values, "TTFT (s)").to_dict()
    low, high = axis["scale"]["domain"]
    ticks = axis["axis"]["values"]
    assert low < min(values) <= max(values) < high
    assert 2 <= len(ticks) <= 12
    assert all(low <= tick <= high for tick in ticks)


@pytest.mark.parametrize(
    ("watts", "unit"), [(10.0, "W"), (9_999.0, "kW"), (1.2e6, "MW"), (3e9, "GW")]
)
def test_power_is_in_the_unit_that_reads_best(watts: float, unit: str) -> None:
    factor, found = power_unit(watts)
    assert found == unit
    assert 1.0 <= watts / factor < 1000.0


def test_an_empty_bin_breaks_the_line_and_a_lone_one_is_a_point() -> None:
    nan = float("nan")
    series = latency([0.1, nan, 0.1, nan, 0.1, 0.1], [0.2, nan, 0.2, nan, 0.2, 0.2], None)
    spec = latency_chart(series, Window(360.0, 0.0), INK).to_dict()
    points = [layer for layer in spec["layer"] if layer["mark"]["type"] == "circle"]
    assert len(points) == 2
    rows = spec["datasets"][points[0]["data"]["name"]]
    assert [row["time"] for row in rows] == [0.5, 2.5]


def test_a_limit_far_above_the_data_is_not_drawn() -> None:
    series = latency([0.01] * 3, [0.02] * 3, 60.0)
    assert "objective" not in json.dumps(latency_chart(series, Window(180.0, 0.0), INK).to_dict())
    power = draw([100.0] * 3, budget_w=400.0, rating_w=1e6)
    assert far_limits(power) == {"rating": 1e6}
    text = json.dumps(draw_chart(power, Window(180.0, 0.0), INK).to_dict())
    assert "budget 400 W" in text
    assert "rating" not in text


def test_the_name_of_a_limit_evades_the_line_above_it() -> None:
    def baseline(watts: float) -> str:
        spec = draw_chart(draw([watts] * 8, budget_w=100.0), Window(480.0, 0.0), INK).to_dict()
        marks = [layer["mark"] for layer in spec["layer"] if layer["mark"]["type"] == "text"]
        return str(marks[-1]["baseline"])

    assert baseline(105.0) == "top"
    assert baseline(95.0) == "bottom"


def test_the_warm_up_is_shaded_unless_it_is_too_short_to_see() -> None:
    series = draw([1.0] * 10, budget_w=None)
    shaded = json.dumps(draw_chart(series, Window(600.0, 60.0), INK).to_dict())
    assert "warm-up" in shaded
    assert "warm-up" not in json.dumps(draw_chart(series, Window(600.0, 6.0), INK).to_dict())


def test_draw_of_zero_is_a_chart_too() -> None:
    spec = draw_chart(draw([0.0], budget_w=None), Window(60.0, 0.0), INK).to_dict()
    assert "site draw (W)" in json.dumps(spec)
