"""The page Latency over real runs: its numbers against brute force, and that it never breaks."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from streamlit.testing.v1 import AppTest

from dashboard.frames.latency import MEASURES, distribution, misses, series
from dashboard.frames.requests import story, worst
from dashboard.frames.split import HANDED_PARTS, ttft_split
from dashboard.listing import list_results
from dashboard.load import RunView, read_run
from dashboard.style import BAD
from sim.errors import ResultError
from sim.results.bins import LATENCY_ERROR
from sim.results.wording import shown
from tests.dashboard.conftest import (
    SCENARIO,
    chart_rows,
    damage,
    make_run,
    specification,
    table,
    texts,
)
from tests.dashboard.networked import SCENARIO as HANDED

App = Callable[..., AppTest]


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs that miss: TTFT of some, by another pool; queues that time out; failed replicas."""
    root = tmp_path_factory.mktemp("slow") / "runs"
    make_run(root, "handed", HANDED)
    slo = "timeout: 300 ms\n    slo: {ttft: 60 ms}"
    late = SCENARIO.replace("slo: {ttft: 2 s, tpot: 60 ms}", slo)
    many = ["pools[chat].replicas=1", "workload[chat].rate=250 /s"]
    make_run(root, "late", late, sets=many)
    make_run(root, "late-summary", late, sets=[*many, "record=summary"])
    return root


def view(root: Path, name: str) -> RunView:
    return read_run(list_results(root), name)


def requests(run: RunView) -> pd.DataFrame:
    rows = run.result.tables["requests"].to_pandas()
    rows["ttft"] = rows["first_token_s"] - rows["arrival_s"]
    inside = (rows["arrival_s"] >= run.warm_up_s) & (rows["arrival_s"] < run.duration_s)
    rows["measured"] = inside
    return rows


def axis_titles(spec: dict[str, Any]) -> set[str]:
    encodings = [layer["encoding"] for layer in spec["layer"]]
    titles = {encoding.get(c, {}).get("title") for encoding in encodings for c in ("x", "y")}
    return {title for title in titles if title}


# ---- frames ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(MEASURES))
def test_quantiles_of_a_distribution_are_the_metrics(made: Path, name: str) -> None:
    run = view(made, "complete")
    found = distribution(run, "chat", MEASURES[name])
    for quantile, share in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99)):
        value = run.metrics[f"chat.{MEASURES[name].word}_{quantile}"].value
        assert value is not None
        assert found.quantile(share) == pytest.approx(value, rel=found.relative_error + 1e-12)
    assert found.frame["share"].is_monotonic_increasing
    assert found.frame["share"].iloc[-1] == pytest.approx(1.0)
    assert (found.frame["share"] + found.frame["beyond"]).to_numpy() == pytest.approx(1.0)


def test_only_measured_requests_are_in_a_distribution(slow: Path) -> None:
    run = view(slow, "handed")
    rows = requests(run)
    ttft = rows.loc[rows["measured"], "ttft"].dropna()
    found = distribution(run, "chat", MEASURES["TTFT"])
    assert found.n == len(ttft) < len(rows)
    assert found.within is not None
    low, high = found.within
    exact = (ttft <= 0.2).mean()
    assert low <= exact <= high
    assert 0.0 < exact < 1.0
    assert high - low < 0.2
    values = np.sort(ttft.to_numpy())
    at = np.interp(found.frame["value_s"], values, np.arange(1, len(values) + 1) / len(values))
    assert np.abs(at - found.frame["share"]).max() < 0.1


@pytest.mark.parametrize(("name", "column"), [("TTFT", "ttft"), ("queue", "queue")])
def test_quantiles_over_time_are_those_of_the_rows(slow: Path, name: str, column: str) -> None:
    run = view(slow, "late")
    rows = requests(run)
    rows["queue"] = rows["admitted_s"] - rows["arrival_s"] - rows["ingress_s"]
    found = series(run, "chat", MEASURES[name])
    assert found.relative_error == 0.0
    for row in found.frame.itertuples():
        inside = (rows["arrival_s"] >= row.t_s) & (rows["arrival_s"] < row.t_s + found.bin_s)
        mine = rows.loc[inside, column].dropna()
        assert row.n == len(mine)
        if len(mine):
            assert row.p99 == pytest.approx(np.quantile(mine, 0.99), abs=1e-9)
    counted = series(view(slow, "late-summary"), "chat", MEASURES[name])
    assert counted.relative_error == LATENCY_ERROR
    assert counted.frame["n"].sum() == found.frame["n"].sum()


def test_gaps_between_tokens_have_no_time(made: Path) -> None:
    with pytest.raises(ResultError, match="over the whole run, not over time"):
        series(view(made, "complete"), "chat", MEASURES["ITL"])


def test_misses_are_counted_by_cause(slow: Path) -> None:
    run = view(slow, "late")
    rows = requests(run)
    rows = rows[rows["measured"]]
    found = misses(run, "chat")
    assert found.arrivals == len(rows)
    assert found.n == (~rows["met"]).sum()
    by_key = dict(zip(found.frame["key"], found.frame["n"], strict=True))
    assert by_key["timed-out"] == (rows["outcome"] == "timed-out").sum() > 0
    assert by_key["ttft"] == ((rows["outcome"] == "completed") & (rows["ttft"] > 0.06)).sum() > 0
    assert list(found.frame["n"]) == sorted(found.frame["n"], reverse=True)
    assert found.frame["share"].sum() == pytest.approx(found.n / found.arrivals)
    assert set(found.frame["label"]) >= {"TTFT above 60.0 ms", "timed out waiting"}
    assert found.worst is not None
    assert found.worst[2] == pytest.approx(found.n / found.arrivals)  # one minute has them all


def test_parts_of_ttft_add_up_and_are_the_metrics(slow: Path) -> None:
    run = view(slow, "handed")
    rows = requests(run)
    found = ttft_split(run, "chat")
    assert found.parts == HANDED_PARTS
    for row in found.frame.to_dict("records"):
        inside = (rows["arrival_s"] >= row["t_s"]) & (rows["arrival_s"] < row["t_s"] + found.bin_s)
        mine = rows.loc[inside, "ttft"].dropna()
        assert row["n"] == len(mine)
        assert sum(row[part] for part in found.parts) == pytest.approx(mine.mean())
    measured = found.frame[found.frame["t_s"] >= run.warm_up_s]
    weights = measured["n"] / measured["n"].sum()
    for part in ("queue", "prefill", "room", "transfer", "first_decode"):
        value = run.metrics[f"chat.ttft_{part}_mean"].value
        assert (measured[part] * weights).sum() == pytest.approx(value, abs=1e-9)


@pytest.mark.parametrize("name", ["complete", "summary"])
def test_parts_of_one_pool_add_up(made: Path, name: str) -> None:
    run = view(made, name)
    found = ttft_split(run, "chat")
    assert list(found.parts) == ["path", "queue", "prefill"]
    total = sum((found.frame[part] * found.frame["n"]).sum() for part in found.parts)
    latency = run.result.tables["summary/latency"].to_pandas()
    ttft = latency[(latency["metric"] == "ttft") & (latency["minute"] * 60.0 < run.end_s)]
    assert total == pytest.approx(ttft["sum_s"].sum())
    assert (found.frame["prefill"] > 0.0).all()


def test_the_worst_come_first_and_are_complete(slow: Path) -> None:
    run = view(slow, "late")
    rows = requests(run).set_index("request_id")
    listed = worst(run, "chat", "ttft")
    assert 0 < len(listed) <= 50
    kept = rows.loc[listed["request_id"]]
    for name in ("replica", "input_tokens", "output_tokens", "attempts"):
        assert listed[name].fillna(-1).tolist() == kept[name].fillna(-1).tolist(), name
    several = (kept["outcome"] == "completed") & (kept["output_tokens"] > 1)
    tpot = (kept["end_s"] - kept["first_token_s"]) / (kept["output_tokens"] - 1)
    np.testing.assert_allclose(listed["tpot_s"], tpot.where(several))
    shown = listed["ttft_s"].fillna(np.inf).to_numpy()
    assert (np.diff(shown[np.isfinite(shown)]) <= 0.0).all()
    timed_out = worst(run, "chat", "ttft", "timed-out")
    assert len(timed_out) == min(100, (rows["outcome"] == "timed-out").sum())
    assert set(timed_out["key"]) == {"timed-out"}
    assert set(worst(run, "chat", "ttft", "ttft")["key"]) == {"ttft"}
    # Without rows of requests everything is known of them all the same.
    pd.testing.assert_frame_equal(worst(view(slow, "late-summary"), "chat", "ttft"), listed)


def test_a_requests_parts_are_its_life(slow: Path) -> None:
    run = view(slow, "handed")
    number = int(worst(run, "chat", "ttft")["request_id"][0])
    found = story(run, number)
    row = requests(run).set_index("request_id").loc[number]
    parts = found.parts.set_index("part")["seconds"]
    assert parts.sum() == pytest.approx(row["end_s"] - row["arrival_s"])
    assert parts.drop("decode").sum() == pytest.approx(row["ttft"])
    assert parts["transfer"] > 0.0
    assert len(found.transfers) == 1


def test_a_request_without_a_first_token_was_not_decoded(slow: Path) -> None:
    run = view(slow, "late")
    number = int(worst(run, "chat", "ttft", "timed-out")["request_id"][0])
    found = story(run, number)
    row = requests(run).set_index("request_id").loc[number]
    assert list(found.parts["part"]) == ["ingress", "until it ended"]
    assert found.parts["seconds"].sum() == pytest.approx(row["end_s"] - row["arrival_s"])
    assert found.parts["seconds"].sum() == pytest.approx(0.3)


# ---- the page --------------------------------------------------------------------------------


def test_the_answer_comes_first(app: App, slow: Path) -> None:
    page = app(slow, "latency", run="handed")
    assert not page.exception
    run = view(slow, "handed")
    rows = requests(run)
    rows = rows[rows["measured"]]
    missed = int((~rows["met"]).sum())
    said = texts(page)
    assert any(text.endswith(f" {missed} missed") and "of chat met every" in text for text in said)
    assert any("Main cause: TTFT above 200 ms" in text for text in said)
    assert any("within the objective of 200 ms" in text for text in said)
    assert axis_titles(specification(page, 0)) == {
        "TTFT (s, log scale)",
        "share of requests within",
    }
    assert axis_titles(specification(page, 1)) == {"TTFT (s, log scale)", "simulated time (s)"}
    assert axis_titles(specification(page, 2)) == {"mean TTFT (s)", "simulated time (s)"}
    assert axis_titles(specification(page, 3)) == {"requests that missed"}
    drawn = {row["part"] for rows in chart_rows(page, 2) for row in rows if "part" in row}
    assert drawn >= {"prefill", "transfer", "first decode"}


@pytest.mark.parametrize(("measure", "word"), [("TTFT", "ttft"), ("end-to-end", "e2e")])
def test_the_chart_names_the_quantiles_that_the_sentence_says(
    app: App, slow: Path, measure: str, word: str
) -> None:
    run = view(slow, "handed")
    page = app(slow, "latency", run="handed", measure=measure)
    named = {row["label"] for rows in chart_rows(page, 0) for row in rows if "label" in row}
    half, most = (shown(run.metrics[f"chat.{word}_{quantile}"]) for quantile in ("p50", "p99"))
    assert {f"p50 {half}", f"p99 {most}"} <= named
    assert any(f"half within {half}, 99 % within {most}" in text for text in texts(page))


def test_measure_tail_and_request_are_in_the_url(app: App, slow: Path) -> None:
    number = str(worst(view(slow, "handed"), "chat", "ttft")["number"][0])
    page = app(slow, "latency", run="handed", measure="queue", tail="True", request=number)
    assert not page.exception
    assert page.selectbox(key="measure").value == "queue"
    assert axis_titles(specification(page, 0)) == {
        "queueing time (s, log scale)", "took longer (log scale)",
    }  # fmt: skip
    assert f"Request {number} of chat" in texts(page)
    assert any("no objective is stated for it" in text for text in texts(page))
    transfers = table(page, 1)
    assert [row["outcome"] for row in transfers] == ["arrived"]
    page.selectbox(key="measure").select("ITL").run()
    assert not page.exception
    assert any("counted over the whole run, not over time" in text for text in texts(page))


def test_a_cause_filters_the_list(app: App, slow: Path) -> None:
    page = app(slow, "latency", run="late")
    assert not page.exception
    page.selectbox(key="cause").select("timed-out").run()
    assert not page.exception
    assert {row["why it missed"] for row in table(page, 0)} == {"timed out waiting"}
    edges = {row["key"]: row["edge"] for rows in chart_rows(page, 3) for row in rows}
    assert [key for key, edge in edges.items() if edge != BAD] == ["timed-out"]


def test_without_rows_the_drill_down_says_how_to_get_them(app: App, slow: Path) -> None:
    number = str(worst(view(slow, "late-summary"), "chat", "ttft")["number"][0])
    page = app(slow, "latency", run="late-summary", request=number)
    assert not page.exception
    assert any("--set record=full" in text for text in texts(page))
    assert table(page, 0)[0]["prompt (tokens)"] == 256


def test_runs_with_several_workloads_keep_them_apart(app: App, made: Path) -> None:
    page = app(made, "latency", run="two", workload="chat")
    assert not page.exception
    assert page.selectbox(key="workload").value == "chat"
    page.selectbox(key="run").select("complete").run()
    assert not page.exception
    page.selectbox(key="run").select("two").run()
    page.selectbox(key="workload").select("code").run()
    assert not page.exception
    assert any("TTFT above 5.00 ms" in text for text in texts(page))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("idle", "no request of chat arrived in the measurement window"),
        ("no-objectives", "No objective is stated"),
        ("stopped.partial", "A partial run: it stopped"),
    ],
)
def test_empty_and_partial_runs_are_explained(app: App, made: Path, name: str, words: str) -> None:
    page = app(made, "latency", run=name)
    assert not page.exception
    assert any(words in text for text in texts(page))


def test_one_damaged_table_hides_only_its_own_part(app: App, runs: Path) -> None:
    (runs / "complete" / "summary" / "counts" / "part-00000.parquet").write_bytes(b"PAR1 no")
    page = app(runs, "latency", run="complete")
    assert not page.exception
    assert any("cannot be read as Parquet" in text for text in texts(page))
    assert len(page.get("vega_lite_chart")) == 3  # of four, the misses


def test_a_broken_manifest_is_one_line(app: App, runs: Path) -> None:
    (runs / "complete" / "manifest.json").write_text("{")
    page = app(runs, "latency")
    assert not page.exception
    assert "complete cannot be shown" in texts(page)


@pytest.mark.parametrize("value", [-1, "soon", float("nan")])
def test_an_objective_that_no_scenario_states_is_told(app: App, runs: Path, value: Any) -> None:
    damage(runs, lambda manifest: manifest["workloads"][0]["objectives"].update(ttft=value))
    page = app(runs, "latency", run="complete")
    assert not page.exception
    assert texts(page)


def test_hostile_names_are_text(app: App, runs: Path) -> None:
    beacon = "![x](http://evil.example/p.png)<script>alert(1)</script>"

    def change(manifest: dict[str, Any]) -> None:
        manifest.update(scenario=beacon, warnings=[beacon])

    damage(runs, change)
    page = app(runs, "latency", run="complete", cause=beacon, request=beacon, measure=beacon)
    assert not page.exception
    assert not any("evil" in element.value for element in page.markdown)
    assert page.selectbox(key="measure").value == "TTFT"


def test_a_cause_of_the_url_is_taken_or_told(app: App, slow: Path) -> None:
    page = app(slow, "latency", run="late", cause="timed-out")
    assert page.selectbox(key="cause").value == "timed-out"
    page = app(slow, "latency", run="late", cause="nonsense")
    assert page.selectbox(key="cause").value == "every cause"
    assert any(text.endswith("is not here: cause=nonsense") for text in texts(page))


def test_a_cause_that_was_clicked_stays_when_its_chart_was_away(app: App, slow: Path) -> None:
    page = app(slow, "latency", run="late")
    page.selectbox(key="cause").select("timed-out").run()
    page.switch_page("views/power.py").run()
    page.session_state["picked-cause-misses-chart"] = "timed-out"  # as a click had left it
    page.switch_page("views/latency.py").run()
    assert not page.exception
    assert page.selectbox(key="cause").value == "timed-out"


def test_what_was_told_is_gone_with_the_next_choice(app: App, made: Path) -> None:
    page = app(made, "latency", run="two", workload="nix")
    told = "is not here: workload=nix"
    assert any(text.endswith(told) for text in texts(page))
    other = next(w for w in ("chat", "code") if w != page.selectbox(key="workload").value)
    page.selectbox(key="workload").select(other).run()
    assert not any(text.endswith(told) for text in texts(page))


def test_a_minute_without_a_count_is_a_gap(app: App, runs: Path, made: Path) -> None:
    shutil.copytree(made / "summary", runs / "summary")
    (file,) = (runs / "summary" / "summary" / "latency").iterdir()
    rows = pq.read_table(file).to_pandas()
    rows.loc[rows["minute"] == 1, "n"] = 0
    pq.write_table(pa.Table.from_pandas(rows, pq.read_schema(file), preserve_index=False), file)
    found = series(view(runs, "summary"), "chat", MEASURES["TTFT"]).frame
    assert found["n"][1] == 0
    assert np.isnan(found["p99"][1])
    assert not app(runs, "overview", run="summary").exception
