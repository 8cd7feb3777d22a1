"""The page Validity: predictions beside measurements, and where a run stands."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from dashboard.frames.validity import (
    FITTED,
    KNOWN,
    OTHER,
    SHIPPED,
    constants,
    errors_of,
    key_of,
    points_frame,
    pool_rows,
    read_validation,
)
from dashboard.listing import list_results
from dashboard.load import Missing, RunView, Unreadable, part, read_run
from sim import paths
from sim.results.expected import outside_lengths
from sim.validate.points import shipped
from tests.dashboard.conftest import (
    SCENARIO,
    chart_rows,
    damage,
    make_run,
    specification,
    table,
    texts,
)

App = Callable[..., AppTest]
HOSTILE = '![x](http://evil.example/p.png) <script>alert("x")</script>'


def rows_of_file() -> list[dict[str, str]]:
    with (paths.data("validation") / "serving.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def off(rows: list[dict[str, str]], metric: str) -> Any:
    return np.abs([float(r[f"predicted_{metric}"]) / float(r[f"measured_{metric}"]) - 1
                   for r in rows if r[f"measured_{metric}"]])  # fmt: skip


def add_validation(root: Path, name: str = "mine") -> Path:
    return Path(shutil.copytree(paths.data("validation"), root / name))


@pytest.mark.parametrize("metric", ["tpot", "throughput", "ttft"])
def test_errors_are_those_of_the_shipped_file(metric: str) -> None:
    validation = shipped()
    frame = points_frame(validation, key_of(validation), metric)
    rows = rows_of_file()
    held = off([r for r in rows if r["class"] == "seen stack, held out"], metric)
    found = errors_of(frame[frame["kind"] == KNOWN])
    assert found.runs == len(held) == 386
    assert found.median == pytest.approx(np.median(held), rel=1e-5)
    assert found.p90 == pytest.approx(np.percentile(held, 90), rel=1e-5)
    assert found.within_25 == pytest.approx(np.mean(held <= 0.25))
    assert (frame["kind"] == FITTED).sum() == 524
    other = off([r for r in rows if r["class"].startswith("unseen")], metric)
    assert errors_of(frame[frame["kind"] == OTHER]).runs == len(other)


def test_the_region_is_what_a_pool_would_be_told() -> None:
    validation = shipped()
    frame = points_frame(validation, key_of(validation), "throughput")
    far = frame[~frame["inside"]]
    assert len(far) == 78
    scouts = frame[frame["llm"] == "llama-4-scout"]
    assert len(scouts) > 0
    assert not scouts["inside"].any()
    assert all("llama-4-scout (measured: " in text for text in scouts["outside"])
    assert (frame[frame["kind"] == FITTED]["inside"]).all()


def test_no_run_has_no_error() -> None:
    validation = shipped()
    frame = points_frame(validation, key_of(validation), "tpot")
    found = errors_of(frame[:0])
    assert found.runs == 0
    assert np.isnan(found.median)


def test_the_page_says_and_draws_how_far_off_and_on_which_data(app: App, made: Path) -> None:
    shown = app(made, "validity", run="complete")
    assert not shown.exception
    rows = [r for r in rows_of_file() if r["class"] == "seen stack, held out"]
    errors = off(rows, "tpot")
    said = texts(shown)
    sentence = next(text for text in said if "never used for fitting" in text)
    assert (
        f"386 runs of calibrated stacks: median error {100 * np.median(errors):.1f} %" in sentence
    )
    assert f"90 % within {100 * np.percentile(errors, 90):.0f} %" in sentence
    assert "16 outside the calibrated region" in sentence
    source = next(text for text in said if text.startswith("Measured: "))
    assert "aiconfigurator-core 0.12.0" in source
    assert "Apache-2.0" in source
    assert "524 more runs are of the half" in source
    against, errors = specification(shown, 0), specification(shown, 1)
    points = [one for one in against["layer"] if one["mark"]["type"] == "point"]
    assert [one["mark"]["filled"] for one in points] == [True, False]
    encoding = points[0]["encoding"]
    assert encoding["x"]["title"] == "measured TPOT (s, log scale)"
    assert encoding["y"]["title"] == "predicted TPOT (s, log scale)"
    assert encoding["x"]["scale"] == encoding["y"]["scale"]
    assert encoding["x"]["scale"]["type"] == "log"
    drawn = [row for rows in chart_rows(shown, 0) for row in rows if "setup" in row]
    assert len(drawn) == 386 + 38  # without those of the fit
    assert all(row["times"].startswith("measured ") for row in drawn)
    edge = [row for rows in chart_rows(shown, 1) for row in rows if row.get("mark") != "circle"]
    assert len([row for row in edge if "setup" in row]) == 13
    assert sum(one["mark"]["type"] == "area" for one in against["layer"]) == 2
    bands = [row for rows in chart_rows(shown, 1) for row in rows if set(row) == {"low", "high"}]
    assert sorted(row["high"] for row in bands) == [0.10, 0.25]
    (y,) = {one["encoding"]["y"]["title"] for one in errors["layer"] if "title" in
            one["encoding"].get("y", {})}  # fmt: skip
    assert y == "error: predicted over measured − 1"
    assert any("13 runs are off by more than 100 %" in text for text in texts(shown))


def test_choices_change_what_is_drawn(app: App, made: Path) -> None:
    shown = app(made, "validity", run="complete")
    shown.selectbox(key="quantity").select("throughput").run()
    assert not shown.exception
    drawn = [row for rows in chart_rows(shown, 0) for row in rows if "setup" in row]
    assert len(drawn) == 535
    assert any("111 runs without clients" in text for text in texts(shown))
    shown.selectbox(key="runs").select("all, also those of the fit").run()
    drawn = [row for rows in chart_rows(shown, 0) for row in rows if "setup" in row]
    assert len(drawn) == 1059
    shown.selectbox(key="size").select("tokens in").run()
    assert not shown.exception
    points = [one for one in specification(shown, 1)["layer"] if one["mark"]["type"] == "point"]
    assert points[0]["encoding"]["x"]["title"] == "input tokens of a request (log scale)"
    shown.selectbox(key="size").select("what was measured").run()
    assert not shown.exception


def test_choices_come_from_the_url(app: App, made: Path) -> None:
    shown = app(made, "validity", run="two", quantity="TTFT", size="tokens out")
    assert not shown.exception
    assert shown.selectbox(key="quantity").value == "TTFT"
    assert shown.selectbox(key="run").value == "two"
    assert any(text.startswith("TTFT of measured runs") for text in texts(shown))


def test_what_was_looked_at_on_latency_does_not_change_what_is_said_here(
    app: App, made: Path
) -> None:
    shown = app(made, "latency", run="complete")
    shown.selectbox(key="measure").select("TTFT").run()
    shown.switch_page("views/validity.py").run()
    assert shown.selectbox(key="quantity").value == "TPOT"


def view_of(root: Path, name: str) -> RunView:
    return read_run(list_results(root), name)


#: Requests as long as some that were measured; those of the other runs are too short.
LONG = SCENARIO.replace("input_tokens: 256, output_tokens: 64", "input_tokens: 2000, "
                        "output_tokens: 150").replace("rate: 20 /s", "rate: 2 /s")  # fmt: skip


def test_a_pool_inside_the_region_says_its_expected_errors(app: App, tmp_path: Path) -> None:
    make_run(tmp_path, "long", LONG)
    shown = app(tmp_path, "validity")
    assert not shown.exception
    assert "✓ This run: inside the calibrated region: chat" in texts(shown)
    entry = view_of(tmp_path, "long").manifest["pools"][0]["expected_error"]
    ((gpu, expected),) = entry.items()
    rows = next(
        rows for rows in (table(shown, place) for place in range(len(shown.dataframe)))
        if "region" in rows[0]
    )  # fmt: skip
    middle, high = expected["tpot"]
    assert rows[0]["TPOT"] == f"±{100 * middle:.1f} % (P90 {100 * high:.0f} %)"
    assert (rows[0]["pool"], rows[0]["GPU"], rows[0]["region"]) == ("chat", gpu, "inside")
    assert rows[0]["class"] == expected["class"]


@pytest.mark.parametrize("name", ["complete", "two", "idle", "stopped.partial", "summary"])
def test_lengths_are_judged_as_the_summary_does(made: Path, name: str) -> None:
    view = view_of(made, name)
    wanted = outside_lengths(view.result).get("chat", [])
    (row,) = pool_rows(view)
    assert row["why"] == "; ".join(wanted)
    assert row["region"] == ("outside" if wanted else "inside")
    assert bool(wanted) == (name not in ("idle", "summary"))  # where no request was recorded


def test_a_pool_outside_the_region_is_named(app: App, runs: Path) -> None:
    def change(manifest: dict[str, Any]) -> None:
        for entry in manifest["pools"][0]["expected_error"].values():
            entry["outside"] = [f"{HOSTILE} (measured: others)"]
        manifest["warnings"] = [HOSTILE]

    damage(runs, change)
    shown = app(runs, "validity")
    assert not shown.exception
    assert "! This run: outside the calibrated region: chat" in texts(shown)
    assert sum(HOSTILE in text for text in texts(shown)) == 2
    assert not any("evil.example" in element.value for element in shown.markdown)


def test_measured_step_times_are_not_of_the_fits(app: App, runs: Path) -> None:
    damage(runs, lambda manifest: manifest["pools"][0].update(expected_error={}, stack=None))
    shown = app(runs, "validity")
    assert not shown.exception
    assert "– This run: no pool has predicted step times" in texts(shown)


@pytest.mark.parametrize(
    "change",
    [
        lambda manifest: manifest["pools"][0].update(expected_error=3),
        lambda manifest: manifest["pools"][0].update(expected_error={"h100-sxm": {"tpot": "a"}}),
        lambda manifest: manifest["pools"][0].update(stack="../x"),
        lambda manifest: manifest["pools"][0].update(silicon=[1]),
    ],
)
def test_pools_with_foreign_values_have_a_reason(
    runs: Path, change: Callable[[dict[str, Any]], None]
) -> None:
    damage(runs, change)
    view = view_of(runs.resolve(), "complete")
    assert isinstance(part(lambda: pool_rows(view)), Missing)


@pytest.mark.parametrize("stated", [[1], {"constants": {"a": 3}}, {"own": {"file": 3}}, {"own": 1}])
def test_constants_with_foreign_values_have_a_reason(runs: Path, stated: object) -> None:
    damage(runs, lambda manifest: manifest.update(calibration=stated))
    view = view_of(runs.resolve(), "complete")
    assert isinstance(part(lambda: constants(view)), Missing)


def test_a_damaged_table_hides_only_the_pools(app: App, runs: Path) -> None:
    (runs / "complete" / "requests" / "part-00000.parquet").write_bytes(b"PAR1 no more")
    damage(runs, lambda manifest: manifest.update(calibration=[1]))
    shown = app(runs, "validity")
    assert not shown.exception
    assert "This run: not known" in texts(shown)
    assert len(shown.get("vega_lite_chart")) == 2


@pytest.mark.parametrize("name", ["idle", "stopped.partial"])
def test_odd_runs_are_told(app: App, made: Path, name: str) -> None:
    shown = app(made, "validity", run=name)
    assert not shown.exception
    assert len(shown.get("vega_lite_chart")) == 2


def test_without_a_run_the_product_is_shown(app: App, tmp_path: Path) -> None:
    shown = app(tmp_path, "validity")
    assert not shown.exception
    assert "No run to show yet" in texts(shown)
    assert len(shown.get("vega_lite_chart")) == 2


def test_a_validation_of_ones_own_is_offered(app: App, runs: Path) -> None:
    folder = add_validation(runs)
    lines = (folder / "serving.csv").read_text().splitlines()
    own = [lines[0], *(line for line in lines if ',"seen stack, held out",vllm-0.12-bf16' in line)]
    (folder / "serving.csv").write_text("\n".join(own).replace("qwen3-32b", HOSTILE) + "\n")
    assert list_results(runs.resolve()).names("run") == ("complete",)
    shown = app(runs, "validity", validation="mine")
    assert not shown.exception
    assert any("45 runs of calibrated stacks" in text for text in texts(shown))
    shown.selectbox(key="validation").select(SHIPPED).run()
    assert any("386 runs of calibrated stacks" in text for text in texts(shown))


def test_a_validation_without_a_run_is_told(app: App, runs: Path) -> None:
    (add_validation(runs) / "serving.csv").write_text("")
    shown = app(runs, "validity", validation="mine")
    assert not shown.exception
    assert "No predicted serving run" in texts(shown)


@pytest.mark.parametrize(
    ("file", "content", "reason"),
    [
        ("manifest.json", "{", "is not JSON"),
        ("manifest.json", '{"format": 5, "kind": "validation"}', "'every' or 'versions'"),
        ("serving.csv", "a,b\n1,2\n", "serving.csv:2: 'why_not'"),
        ("serving.csv", "\0\xff", "serving.csv"),
    ],
)
def test_a_damaged_validation_is_one_line(runs: Path, file: str, content: str, reason: str) -> None:
    (add_validation(runs) / file).write_text(content, encoding="latin-1")
    with pytest.raises(Unreadable, match=reason):
        read_validation(list_results(runs.resolve()), "mine")


def test_only_listed_validations_are_opened(runs: Path) -> None:
    with pytest.raises(Unreadable, match="there is no validation"):
        read_validation(list_results(runs.resolve()), "../runs/complete")
