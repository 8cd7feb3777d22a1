"""Series over time against brute force over the tables they summarise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pytest

from dashboard.frames.bins import minutes_per_bin
from dashboard.frames.overview import draw_series, latency_series
from dashboard.listing import list_results
from dashboard.load import RunView, read_run
from sim.errors import ResultError
from sim.results.bins import LATENCY_ERROR
from sim.results.freeze import freeze
from sim.results.memory import MemorySink
from tests.unit.results.by_hand import fill, parts, summariser


def view(root: Path, name: str) -> RunView:
    return read_run(list_results(root), name)


def test_fine_bins_hold_the_quantiles_of_their_arrivals(made: Path) -> None:
    run = view(made, "complete")
    result = run.result
    series = latency_series(run, "chat")
    rows = result.tables["requests"].to_pandas()
    ttft = rows["first_token_s"] - rows["arrival_s"]
    assert series.relative_error == 0.0
    assert series.objective_s == 2.0
    assert series.frame["n"].sum() + series.without == len(rows)
    for row in series.frame.itertuples():
        inside = (rows["arrival_s"] >= row.t_s) & (rows["arrival_s"] < row.t_s + series.bin_s)
        mine = ttft[inside].dropna()
        assert row.n == len(mine)
        assert row.p50 == pytest.approx(np.quantile(mine, 0.5))
        assert row.p99 == pytest.approx(np.quantile(mine, 0.99))


def test_bins_widen_until_a_quantile_means_something(made: Path) -> None:
    series = latency_series(view(made, "two"), "code")
    assert series.bin_s > latency_series(view(made, "two"), "chat").bin_s
    assert series.frame["n"].sum() >= 20


def test_counted_bins_are_within_the_stated_error_of_the_metrics(made: Path) -> None:
    run = view(made, "summary")
    result = run.result
    series = latency_series(run, "chat")
    assert series.bin_s == 60.0
    assert series.relative_error == LATENCY_ERROR
    assert list(series.frame["t_s"]) == [0.0, 60.0, 120.0, 180.0]
    p50 = result.metrics["chat.ttft_p50"].value
    assert p50 is not None
    assert series.frame["p50"].to_numpy() == pytest.approx(p50, rel=0.1)
    assert (series.frame["p99"] >= series.frame["p50"]).all()


def test_draw_per_bin_integrates_to_the_energy_of_the_table(made: Path) -> None:
    run = view(made, "complete")
    result = run.result
    draw = draw_series(run)
    rows = result.tables["power"]
    rows = rows.filter(pc.equal(rows.column("node"), 0)).to_pandas()
    time = np.append(rows["t_s"].to_numpy(), 30.0).clip(max=30.0)
    energy = (np.diff(time) * rows["in_mw"].to_numpy() / 1000.0).sum()
    assert (draw.frame["mean_w"] * draw.bin_s).sum() == pytest.approx(energy, rel=1e-9)
    assert (draw.frame["max_w"] >= draw.frame["mean_w"] - 1e-6).all()
    assert draw.budget_w == 45_000.0
    assert draw.rating_w is None


def test_the_highest_draw_of_the_window_is_the_metric(made: Path) -> None:
    run = view(made, "complete")
    result = run.result
    frame = draw_series(run).frame
    measured = frame[frame["t_s"] >= 5.0]
    assert measured["max_w"].max() == pytest.approx(result.metrics["peak_draw_w"].value)


def test_fine_draw_agrees_with_the_summary_per_minute(made: Path) -> None:
    run = view(made, "summary")
    result = run.result
    summary = result.tables["summary/power"].to_pandas()
    summary = summary[(summary["node"] == 0) & (summary["minute"] < 4)]
    draw = draw_series(run)
    assert draw.bin_s == 60.0
    assert draw.frame["max_w"].to_numpy() == pytest.approx(summary["max_w"].to_numpy())
    assert draw.frame["mean_w"].to_numpy() == pytest.approx(summary["mean_w"].to_numpy())


def test_a_minute_without_a_row_is_drawn_as_the_one_before_it(tmp_path: Path) -> None:
    kinds = ["utility", "ups", "server"]
    sink = summariser(MemorySink(), record="summary", power_kinds=kinds, duration_s=7200.0)
    power = {"node": [1, 0, 0, 0], "t_s": [0.0, 0.0, 90.0, 3600.0],
             "out_mw": [1, 1, 1, 1], "in_mw": [1, 4_000_000, 8_000_000, 1_000_000]}  # fmt: skip
    fill(sink, power=power)
    result = freeze(sink, parts(record="summary", duration_s=7200.0, simulated_s=7200.0))
    assert result.tables["summary/power"].num_rows < 10
    result.save(tmp_path / "by-hand")
    draw = draw_series(view(tmp_path, "by-hand"))
    assert draw.bin_s == 60.0
    expected = [4000.0, 6000.0, *[8000.0] * 58, *[1000.0] * 60]
    assert draw.frame["mean_w"].tolist() == expected
    assert draw.frame["t_s"].tolist() == [60.0 * minute for minute in range(120)]
    assert draw.frame["max_w"].tolist()[:3] == [4000.0, 8000.0, 8000.0]


def test_a_stopped_run_is_drawn_to_where_it_stopped(made: Path) -> None:
    run = view(made, "stopped.partial")
    result = run.result
    simulated_s = float(result.manifest["simulated_s"])
    draw = draw_series(run)
    assert draw.budget_w == 45_000.0
    assert draw.frame["mean_w"].notna().all()
    assert draw.frame["t_s"].max() < simulated_s <= draw.frame["t_s"].max() + draw.bin_s


def test_a_workload_without_a_request_is_missing_and_says_why(made: Path) -> None:
    with pytest.raises(ResultError, match="no request of chat arrived"):
        latency_series(view(made, "idle"), "chat")


@pytest.mark.parametrize("end_s", [60.0, 3600.0, 86_400.0, 30 * 86_400.0, 1e9])
def test_no_run_is_so_long_that_a_chart_has_more_bins_than_pixels(end_s: float) -> None:
    assert end_s / 60.0 / minutes_per_bin(end_s) <= 480
