"""The page Overview over real runs: what it says, and that it never breaks."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from sim.results.result import open_run
from tests.dashboard.conftest import chart_rows, damage, specification, table, texts

App = Callable[..., AppTest]


def axis_titles(spec: dict[str, Any]) -> set[str]:
    found = set()
    for layer in spec["layer"]:
        for channel in ("x", "y"):
            title = layer["encoding"].get(channel, {}).get("title")
            if title is not None:
                found.add(title)
    return found


def labels(app: AppTest, place: int) -> set[str]:
    """Names of limits and bands in a chart, which travel as data."""
    return {row["label"] for rows in chart_rows(app, place) for row in rows if row.get("label")}


def test_a_complete_run_is_judged_and_drawn(app: App, made: Path) -> None:
    page = app(made, run="complete")
    assert not page.exception
    said = texts(page)
    assert "✓ Objectives met" in said
    assert "✓ Within its power budget" in said
    assert "✓ 2 of 2 expectations hold" in said
    assert any(text.startswith("Binding limit: ") for text in said)
    assert [metric.label for metric in page.metric] == [
        "Goodput",
        "TTFT p99",
        "Peak draw",
        "Goodput per MW",
    ]
    assert page.metric[0].value == "100 %"
    assert re.fullmatch(r"[\d.]+ ms", page.metric[1].value)
    assert re.fullmatch(r"[\d.]+ kW", page.metric[2].value)
    assert page.metric[2].delta.endswith("% of 45\\.0 kW".replace("%", "\\%"))
    assert page.metric[3].value.endswith("/s/MW")


def test_charts_name_their_quantities_and_units_and_draw_their_limits(app: App, made: Path) -> None:
    page = app(made, run="complete")
    latency, draw = specification(page, 0), specification(page, 1)
    assert axis_titles(latency) == {"TTFT (s, log scale)", "simulated time (s)"}
    assert axis_titles(draw) == {"site draw (kW)", "simulated time (s)"}
    assert labels(page, 0) == {"warm-up", "objective 2.00 s"}
    assert labels(page, 1) == {"warm-up", "budget 45.0 kW"}
    scales = [
        layer["encoding"]["x"]["scale"]["domain"]
        for spec in (latency, draw)
        for layer in spec["layer"]
        if "scale" in layer["encoding"].get("x", {})
    ]
    assert scales
    assert all(scale == [0.0, 30.0] for scale in scales)


def test_metrics_carry_their_definitions(app: App, made: Path) -> None:
    metrics = open_run(made / "complete").metrics
    shown = {metric.label: metric.help for metric in app(made, run="complete").metric}
    assert shown["Goodput"] == metrics["goodput_fraction"].definition.definition
    assert shown["Peak draw"] == metrics["peak_draw_w"].definition.definition


def test_the_objectives_table_has_a_row_per_objective(app: App, made: Path) -> None:
    rows = table(app(made, run="complete"), 0)
    assert [(row["workload"], row["latency"], row["objective"]) for row in rows] == [
        ("chat", "TTFT", "2.00 s"),
        ("chat", "TPOT", "60.0 ms"),
    ]
    assert all(row["p99 of objective"].endswith("% ✓") for row in rows)


def test_a_run_over_its_budget_says_so_though_objectives_are_met(app: App, made: Path) -> None:
    page = app(made, run="over-budget")
    assert not page.exception
    said = texts(page)
    assert "✓ Objectives met" in said
    assert "✕ Over its power budget" in said
    assert "✕ 1 of 2 expectations failed" in said
    assert any(text.startswith("Binding limit: power: utility peaked at") for text in said)
    failed = [row for row in table(page, 1) if row[""] == "✕"]
    assert [row["expected"] for row in failed] == ["over_budget_s <= 0 s"]


def test_no_objectives_is_a_verdict_of_its_own(app: App, made: Path) -> None:
    page = app(made, run="no-objectives")
    assert not page.exception
    said = texts(page)
    assert "– No objectives stated" in said
    assert "– No expectations stated" in said
    assert not any("✓ Objectives" in text for text in said)
    assert {row["objective"] for row in table(page, 0)} == {"none stated"}
    assert "no TTFT objective is stated" in page.metric[1].delta
    assert labels(page, 0) == {"warm-up"}


def test_unlimited_power_has_no_rule_and_no_goodput_per_megawatt(app: App, made: Path) -> None:
    page = app(made, run="unlimited")
    assert not page.exception
    assert "– Power is unlimited" in texts(page)
    assert page.metric[3].value == "–"
    assert "provisioned power is unknown" in page.metric[3].help
    assert labels(page, 1) == {"warm-up"}


def test_a_partial_run_is_shown_but_not_judged(app: App, made: Path) -> None:
    page = app(made, run="stopped.partial")
    assert not page.exception
    said = texts(page)
    assert "! Not whole" in said
    assert "! 2 expectations not judged" in said
    assert not any(text.startswith("✓") for text in said)
    assert "! Within its power budget so far" in said
    assert len(page.get("vega_lite_chart")) == 2
    marks = [cell for place in (0, 1) for row in table(page, place) for cell in row.values()]
    assert not any("✓" in cell or "✕" in cell for cell in marks)


def test_a_run_without_a_request_says_what_is_missing(app: App, made: Path) -> None:
    page = app(made, run="idle")
    assert not page.exception
    said = texts(page)
    assert "– Nothing to judge" in said
    assert any(text.startswith("no request of chat arrived. Look at its rate") for text in said)
    assert page.metric[1].value == "–"
    assert page.metric[1].delta == "not measured"
    assert len(page.get("vega_lite_chart")) == 1


def test_the_worst_workload_is_named_and_charted_first(app: App, made: Path) -> None:
    page = app(made, run="two")
    assert not page.exception
    assert "✕ Objectives missed by 1 of 2 workloads" in texts(page)
    assert page.metric[1].label == "TTFT p99, worst workload"
    assert page.metric[1].delta.startswith("code")
    workload = page.selectbox(key="workload")
    assert workload.value == "code"
    assert "objective 5.00 ms" in labels(page, 0)
    workload.select("chat").run()
    assert not page.exception
    assert "objective 2.00 s" in labels(page, 0)


def test_a_run_of_summaries_only_is_charted_with_its_error(app: App, made: Path) -> None:
    page = app(made, run="summary")
    assert not page.exception
    assert len(page.get("vega_lite_chart")) == 2
    assert any("bins of 60 s, each within 0.995 %" in text for text in texts(page))


def test_choosing_a_run_shows_it(app: App, made: Path) -> None:
    page = app(made)
    page.selectbox(key="run").select("over-budget").run()
    assert not page.exception
    assert "✕ Over its power budget" in texts(page)


@pytest.mark.parametrize(
    "hostile",
    ["../../etc", "..%2f..", "/etc", "nope", "<img src=x onerror=alert(1)>", "a" * 5000],
)
def test_a_run_that_the_url_made_up_is_refused_in_words(app: App, made: Path, hostile: str) -> None:
    page = app(made, run=hostile)
    assert not page.exception
    said = texts(page)
    assert "No run of that name here" in said
    assert page.selectbox(key="run").value in {folder.name for folder in made.iterdir()}
    assert any(text.startswith("Binding limit: ") for text in said)
    page.selectbox(key="run").select("two").run()
    assert "No run of that name here" not in texts(page)


def test_a_run_that_is_removed_while_it_is_open_is_told(app: App, made: Path, runs: Path) -> None:
    """Another run takes its place, which must not be taken for it."""
    shutil.copytree(made / "two", runs / "two")
    page = app(runs, run="complete")
    assert "No run of that name here" not in texts(page)
    shutil.rmtree(runs / "complete")
    page.run()
    assert not page.exception
    assert page.selectbox[0].value == "two"
    said = texts(page)
    assert "No run of that name here" in said
    assert f"'complete' is not in {runs}." in said


def test_an_empty_root_says_how_to_get_a_run(app: App, tmp_path: Path) -> None:
    page = app(tmp_path)
    assert not page.exception
    assert "No run to show yet" in texts(page)
    assert any("rackplan run scenarios/quickstart.yaml" in text for text in texts(page))


def test_a_missing_root_says_so(app: App, tmp_path: Path) -> None:
    page = app(tmp_path / "gone")
    assert not page.exception
    assert any("gone cannot be read: No such file or directory" in text for text in texts(page))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "is not JSON"),
        ("[1, 2]", "is not the manifest of a run"),
        ("[" * 200_000, "nested too deeply"),
        ('{"format": 99}', "was written in format 99"),
        ("\0", "is not JSON"),
    ],
)
def test_a_damaged_manifest_is_one_line(app: App, runs: Path, content: str, reason: str) -> None:
    (runs / "complete" / "manifest.json").write_text(content)
    page = app(runs)
    assert not page.exception
    assert "complete cannot be shown" in texts(page)
    assert any(reason in text and "\n" not in text for text in texts(page))


@pytest.mark.parametrize(
    "change",
    [
        lambda manifest: manifest.update(workloads=[]),
        lambda manifest: manifest.update(workloads=[{"name": "chat"}]),
        lambda manifest: manifest.update(power={}),
        lambda manifest: manifest.update(expectations=[3]),
        lambda manifest: manifest["window"].update(duration_s=1e300, warm_up_s=-1e300),
        lambda manifest: manifest["workloads"][0]["objectives"].update(ttft=0),
        lambda manifest: manifest["tables"].update({"power_nodes": 99}),
    ],
)
def test_a_manifest_with_foreign_values_never_breaks_the_page(
    app: App, runs: Path, change: Callable[[dict[str, Any]], None]
) -> None:
    damage(runs, change)
    page = app(runs)
    assert not page.exception
    assert texts(page)


def test_one_damaged_table_hides_only_its_own_chart(app: App, runs: Path) -> None:
    (runs / "complete" / "requests" / "part-00000.parquet").write_bytes(b"PAR1 no more")
    page = app(runs)
    assert not page.exception
    assert len(page.get("vega_lite_chart")) == 1
    assert any("cannot be read as Parquet" in text for text in texts(page))


def test_text_of_a_manifest_is_shown_as_text(app: App, runs: Path) -> None:
    beacon = "![x](http://evil.example/p.png) <script>alert(1)</script> https://evil.example"
    damage(runs, lambda manifest: manifest.update(scenario=beacon, warnings=[beacon]))
    page = app(runs)
    assert not page.exception
    assert any(f"scenario {beacon}" in text for text in texts(page))
    assert f"! {beacon}" in texts(page)
    rendered = [element.value for element in page.markdown]
    rendered += [str(metric.help) + str(metric.label) + str(metric.delta) for metric in page.metric]
    assert not any("evil" in text for text in rendered)


def test_the_page_follows_a_run_that_was_made_again(app: App, runs: Path, made: Path) -> None:
    page = app(runs)
    assert "✓ Within its power budget" in texts(page)
    for file in (runs / "complete").iterdir():
        if file.suffix == ".json":
            file.write_bytes((made / "over-budget" / file.name).read_bytes())
    nodes = Path("power_nodes", "part-00000.parquet")
    (runs / "complete" / nodes).write_bytes((made / "over-budget" / nodes).read_bytes())
    page.run()
    assert "✕ Over its power budget" in texts(page)
