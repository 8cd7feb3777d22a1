"""Loads to come, and when they exceed a capacity."""

from __future__ import annotations

import math
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from sim.errors import Mark, RackplanError, ScenarioError
from sim.plan.growth.crossing import EXCEEDED, NOT_WITHIN, WITHIN, Capacity, Crossing, crossing
from sim.plan.growth.forecast import auto_ets, drift, forecast, has_extra, seasonal
from sim.plan.growth.history import read_peaks
from sim.spec.growth import GrowthSpec, History, Launch, Stated
from sim.spec.months import month_text, read_month, read_span

NEEDS_EXTRA = pytest.mark.skipif(
    find_spec("statsforecast") is None, reason="needs statsforecast, the extra `forecast`"
)
START = read_month("2027-01")
HERE = Mark("study.yaml", 3, 1)


def stated(
    *launches: tuple[str, float], load: float = 100.0, rates: tuple[float, ...] = (0.0, 0.02, 0.05)
) -> GrowthSpec:
    low, middle, high = rates
    known = tuple(Launch(read_month(m), size, HERE, "launches[0]") for m, size in launches)
    return GrowthSpec("/s", Stated(START, load, (low, middle, high), ""), known)


def history(folder: Path, text: str, season: int | None = None) -> History:
    (folder / "peaks.csv").write_text(text)
    return History("peaks.csv", folder / "peaks.csv", HERE, season)


def table(loads: list[float], first: str = "2024-01") -> str:
    start = read_month(first)
    rows = [f"{month_text(start + index)},{load}" for index, load in enumerate(loads)]
    return "\n".join(["month,peak", *rows])


def test_months_and_spans_are_read_and_shown() -> None:
    assert month_text(read_month("2026-12") + 1) == "2027-01"
    assert (read_span("18 months"), read_span("2 years"), read_span("1 month")) == (18, 24, 1)


def test_stated_growth_compounds_and_launches_come_on_top() -> None:
    made = forecast(stated(("2027-03", 50.0)), 4)
    assert made.curves[0].tolist() == [100, 100, 150, 150, 150]
    assert made.curves[1] == pytest.approx([100, 102, 154.04, 156.1208, 158.243216])
    assert made.months == ["2027-01", "2027-02", "2027-03", "2027-04", "2027-05"]


@pytest.mark.parametrize("month", ["2027-01", "2026-05", "2027-06"])
def test_a_launch_outside_the_months_is_refused(month: str) -> None:
    with pytest.raises(ScenarioError, match=f"{month} is not within 2027-02 to 2027-05"):
        forecast(stated((month, 50.0)), 4)


def test_what_ends_may_not_take_more_than_there_is() -> None:
    assert forecast(stated(("2027-03", -60.0)), 4).curves[0, 2] == 40.0
    with pytest.raises(RackplanError, match="below 0 in 2027-03"):
        forecast(stated(("2027-03", -101.0)), 4)


def test_the_crossing_by_hand() -> None:
    """1.02^h > 1.1 from h = 5 on, 1.05^h > 1.04 from h = 1 on, and the P10 does not grow."""
    found = crossing(forecast(stated(), 12), Capacity(110.0, 104.0, 115.0))
    assert found == Crossing(WITHIN, START + 1, START + 5, None)


def test_a_load_that_is_above_the_capacity_has_exceeded_it() -> None:
    found = crossing(forecast(stated(), 12), Capacity(99.0, 99.0, 101.0))
    assert (found.status, found.middle, found.latest) == (EXCEEDED, START, None)


def test_a_load_equal_to_the_capacity_still_fits() -> None:
    assert crossing(forecast(stated(), 12), Capacity(100.0, 100.0, 100.0)).middle == START + 1


def test_nothing_is_exceeded_within_few_months() -> None:
    found = crossing(forecast(stated(), 4), Capacity(110.0, 109.0, math.inf))
    assert found == Crossing(NOT_WITHIN, START + 2, None, None)


def test_a_peak_of_the_past_counts(tmp_path: Path) -> None:
    loads = [100.0] * 20
    loads[4] = 150.0
    spec = GrowthSpec("/s", history(tmp_path, table(loads)), ())
    found = crossing(forecast(spec, 6), Capacity(120.0, 120.0, 120.0))
    assert (found.status, found.middle) == (EXCEEDED, read_month("2024-05"))


def test_a_history_is_read(tmp_path: Path) -> None:
    text = "peak,month\n" + "\n".join(f"{n + 1}.5,2024-{n + 1:02d}" for n in range(12)) + "\n\n"
    peaks = read_peaks(history(tmp_path, text))
    assert (month_text(peaks.first), month_text(peaks.last)) == ("2024-01", "2024-12")
    assert peaks.loads.tolist() == [n + 0.5 for n in range(1, 13)]


LONG = table([100.0] * 24)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "peaks.csv:1:1: expected the columns month,peak, not nothing"),
        (LONG.replace("peak", "load"),
         "peaks.csv:1:1: expected the columns month,peak, not month, load"),
        (LONG.replace("2024-05,100.0", "2024-05,100 /s"),
         "peaks.csv:6:1: peak: expected a number without a unit, not '100 /s'"),
        (LONG.replace("2024-05,100.0", "2024-05,0"), "peaks.csv:6:1: peak: must be above 0, not 0"),
        (LONG.replace("2024-05,100.0", "May 2024,100"),
         "peaks.csv:6:1: month: expected a month such as 2026-12, not 'May 2024'"),
        (LONG.replace("2024-05,100.0", "2024-05"), "peaks.csv:6:1: expected 2 values, not 1"),
        (LONG.replace("2024-05,100.0\n", ""),
         "peaks.csv:6:1: month: 2024-05 missing: nothing is made up for a gap"),
        (LONG.replace("2024-05,100.0\n2024-06,100.0\n", ""),
         "peaks.csv:6:1: month: 2024-05 to 2024-06 missing"),
        (LONG.replace("2024-05", "2024-04"),
         "peaks.csv:6:1: month: 2024-04 after 2024-04: months must ascend, each once"),
        (table([1.0] * 11), "study.yaml:3:1: growth.history: peaks.csv has 11 months; a forecast "
                            "needs 12 at least; state the growth's quantiles instead"),
    ],
)  # fmt: skip
def test_a_history_that_cannot_be_used_is_refused(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        read_peaks(history(tmp_path, text))
    assert str(caught.value).startswith(told)


def test_every_wrong_row_is_told(tmp_path: Path) -> None:
    """A gap too, but not one that is the echo of a month that cannot be read."""
    text = LONG.replace("2024-05,100.0", "2024-05,x").replace("2024-08,100.0\n", "")
    with pytest.raises(ScenarioError) as caught:
        read_peaks(history(tmp_path, text))
    assert [problem.mark.line for problem in caught.value.problems] == [6, 9]
    with pytest.raises(ScenarioError) as caught:
        read_peaks(history(tmp_path, LONG.replace("2024-08", "2024-8")))
    assert [problem.mark.line for problem in caught.value.problems] == [9]


def test_a_season_needs_two_years(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"has 23 months; 'season: yearly' needs 24 at least$"):
        read_peaks(history(tmp_path, table([100.0] * 23), season=12))
    assert len(read_peaks(history(tmp_path, LONG, season=12)).loads) == 24


def test_steady_growth_goes_on(tmp_path: Path) -> None:
    """Without surprises all quantiles are the same, whatever made them."""
    loads = [100.0 * 1.03**n for n in range(30)]
    made = forecast(GrowthSpec("/s", history(tmp_path, table(loads)), ()), 12)
    for curve in made.curves:
        assert curve == pytest.approx([loads[-1] * 1.03**n for n in range(13)], rel=1e-6)


def test_the_drift_widens_with_its_surprises_and_is_the_same_each_time() -> None:
    logs = 5.0 + np.cumsum(np.random.default_rng(1).normal(0.02, 0.05, 36))
    low, middle, high = drift(logs, 24)
    assert (np.diff(high - low) > 0.0).all()
    assert (low < middle).all()
    assert (middle < high).all()
    assert np.array_equal(drift(logs, 24), [low, middle, high])
    # Of normal surprises: n of them, and n times the error of a median, 1.25 of a mean's; 80 %
    # lie within 1.28 deviations.
    deviation, n = np.diff(logs).std(), 24
    spread = deviation * np.hypot(np.sqrt(n), 1.2533 * n / np.sqrt(len(logs) - 1))
    assert (high - low)[n - 1] == pytest.approx(2 * 1.2816 * spread, rel=0.25)


def test_the_unit_of_the_load_does_not_matter() -> None:
    logs = np.log(50.0) + np.cumsum(np.random.default_rng(1).normal(0.02, 0.05, 36))
    assert drift(logs + np.log(3600.0), 24) == pytest.approx(drift(logs, 24) + np.log(3600.0))


def test_a_season_is_found_beside_a_trend() -> None:
    at = np.arange(48)
    lift = 0.2 * np.sin(2 * np.pi * at / 12)
    found = seasonal(3.0 + 0.02 * at[:36] + lift[:36], 12, 12)
    assert found == pytest.approx(lift, abs=1e-9)


def test_which_forecast_was_used_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sim.plan.growth.forecast.has_extra", lambda: False)
    spec = GrowthSpec("/s", history(tmp_path, LONG), ())
    made = forecast(spec, 6)
    assert made.method.startswith("24 months of peaks.csv: median drift")
    assert "rackplan[forecast]" in made.notes[0]


@NEEDS_EXTRA
def test_auto_ets_goes_with_the_drift_where_there_is_enough(tmp_path: Path) -> None:
    assert has_extra()
    loads = (100.0 * np.exp(np.cumsum(np.random.default_rng(1).normal(0.02, 0.05, 24)))).tolist()
    made = forecast(GrowthSpec("/s", history(tmp_path, table(loads)), ()), 6)
    assert "mean of AutoETS and median drift" in made.method
    logs = np.log(loads)
    halves = 0.5 * (auto_ets(logs, 6) + drift(logs, 6))
    assert np.log(made.curves[:, 1:]) == pytest.approx(halves)
    few = forecast(GrowthSpec("/s", history(tmp_path, table(loads[:23])), ()), 6)
    assert "AutoETS was not used" in few.notes[0]


@NEEDS_EXTRA
def test_auto_ets_does_not_depend_on_the_unit() -> None:
    logs = np.log(50.0) + np.cumsum(np.random.default_rng(1).normal(0.02, 0.05, 36))
    assert auto_ets(logs + np.log(3600.0), 24) == pytest.approx(
        auto_ets(logs, 24) + np.log(3600.0), abs=1e-6
    )
