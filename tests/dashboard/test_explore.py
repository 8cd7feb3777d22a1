"""The page Explore: what a study says, its pictures, and that no folder breaks it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from dashboard.charts.explore import scatter_chart
from dashboard.frames.explore import (
    along_frame,
    axis_scale,
    front_line,
    named_columns,
    parallel_frame,
    parallel_scales,
    reference,
    scatter_frame,
    settings_difference,
    unmeasured,
)
from dashboard.frames.quantities import quantities
from dashboard.frames.study import StoredStudy, read_study
from dashboard.frames.study_answer import answer, standings, why_refused
from dashboard.listing import list_results
from dashboard.load import Unreadable
from dashboard.style import Ink
from tests.dashboard.conftest import chart_rows, specification, table, texts
from tests.dashboard.made_studies import ONE_AXIS, TWO_GOALS, make_study

App = Callable[..., AppTest]
HOSTILE = "![x](http://evil.example/p.png)<script>alert(1)</script>"
INK = Ink("#000000", "#111111", "#000000", "#222222", "#FFFFFF")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two studies with their runs."""
    folder = tmp_path_factory.mktemp("explored") / "runs"
    folder.mkdir()
    make_study(folder, TWO_GOALS)
    make_study(folder, ONE_AXIS)
    return folder


@pytest.fixture
def two(root: Path) -> str:
    return next(path.name for path in root.glob("two-goals-*"))


@pytest.fixture
def one(root: Path) -> str:
    return next(path.name for path in root.glob("one-axis-*"))


@pytest.fixture
def own(root: Path, two: str, tmp_path: Path) -> Path:
    """A folder of its own with the study of two goals, without its runs."""
    shutil.copytree(root / two, tmp_path / "runs" / two)
    return tmp_path / "runs"


def study_of(root: Path, name: str) -> StoredStudy:
    return read_study(list_results(root), name)


def change(root: Path, name: str, how: Callable[[dict[str, Any]], None]) -> None:
    file = root / name / "study.json"
    content = json.loads(file.read_text())
    how(content)
    file.write_text(json.dumps(content))


def echarts(page: AppTest) -> dict[str, Any]:
    found = json.loads(page.get("echarts_chart")[0].proto.spec)
    assert isinstance(found, dict)
    return found


def test_points_and_intervals_are_those_of_the_runs(root: Path, two: str) -> None:
    """Brute force over the rows of the study."""
    study = study_of(root, two)
    found = quantities(study)
    assert list(found)[:2] == ["chat.ttft_p99", "energy_per_output_token"]
    frame = scatter_frame(study, found["chat.ttft_p99"], found["energy_per_output_token"])
    rows = pd.read_parquet(root / two / "study.parquet")
    means = rows.groupby("point")[["chat.ttft_p99", "energy_per_output_token"]].mean()
    assert len(frame) == len(means) == 6
    assert found["chat.ttft_p99"].unit == "ms"
    assert found["energy_per_output_token"].unit == "kWh/Mtoken"
    for row in frame.itertuples():
        assert row.x == pytest.approx(1e3 * means.loc[row.number, "chat.ttft_p99"])
        energy = means.loc[row.number, "energy_per_output_token"] / 3.6
        assert row.y == pytest.approx(energy)
        assert row.x_low <= row.x <= row.x_high


def test_the_front_is_what_no_feasible_point_beats(root: Path, two: str) -> None:
    study = study_of(root, two)
    found = quantities(study)
    names = ("chat.ttft_p99", "energy_per_output_token")
    frame = scatter_frame(study, *(found[name] for name in names))
    sure = frame[frame["number"].isin([p.number for p in study.points if p.feasible == "yes"])]
    brute = [
        row.number
        for row in sure.itertuples()
        if not ((sure["x"] <= row.x) & (sure["y"] <= row.y)
                & ((sure["x"] < row.x) | (sure["y"] < row.y))).any()
    ]  # fmt: skip
    line, step = front_line(study, *names, frame)
    assert sorted(line["number"]) == sorted(brute)
    assert list(line["x"]) == sorted(line["x"])
    assert step == "step-after"
    assert front_line(study, names[0], names[0], frame)[0].empty
    refused = [p for p in study.points if p.feasible == "no"]
    assert refused
    assert all(why_refused(p).startswith("peak_draw_w <= 15.2 kW: 15.") for p in refused)
    assert not any(why_refused(p) for p in study.points if p.feasible == "yes")


def test_the_page_answers_first_and_draws_the_objectives(app: App, root: Path, two: str) -> None:
    page = app(root, "explore", study=two)
    assert not page.exception
    study = study_of(root, two)
    said = texts(page)
    assert any(
        text.startswith(f"{len(study.front)} of 6 points ") and "worth having" in text
        for text in said
    )
    assert answer(study)[0] in said
    spec = specification(page, 0)
    titles = {
        layer["encoding"][channel].get("title")
        for layer in spec["layer"]
        for channel in ("x", "y")
        if channel in layer["encoding"]
    }
    assert titles == {"chat.ttft_p99 (ms)", "energy_per_output_token (kWh/Mtoken)"}
    assert page.selectbox(key="point").value == str(study.front[0])
    option = echarts(page)
    assert option["animation"] is False
    kinds = [axis["type"] for axis in option["parallelAxis"]]
    # Two stated levels and the policies are categories, the range is logarithmic.
    assert kinds[:3] == ["category", "log", "category"]
    assert sum(len(series["data"]) for series in option["series"]) == 6


def test_a_chosen_point_shows_its_settings_and_its_runs(app: App, root: Path, two: str) -> None:
    study = study_of(root, two)
    other = next(p for p in study.points if p.number not in study.front)
    page = app(root, "explore", study=two, point=str(other.number))
    assert not page.exception
    against = reference(study, other)
    assert against is not None
    assert against.number in study.front
    assert page.code[0].value == settings_difference(study, other, against)
    assert f"against point {against.number}, of the front the one most alike:" in texts(page)
    assert f"+workload[chat].rate: {other.labels['workload[chat].rate']}" in page.code[0].value
    links = [link.proto for link in page.get("page_link")]
    seeds = [link for link in links if link.label.startswith("seed ")]
    assert [link.label for link in seeds] == ["seed 1", "seed 2"]
    listed = list_results(root).names("run")
    for link, run in zip(seeds, (r for r in study.runs if r.point == other.number), strict=True):
        assert run.folder in listed
        assert run.folder in str(link)
    assert any(link.label == f"Compare it with point {against.number}" for link in links)


def test_runs_that_are_not_there_are_not_linked(app: App, own: Path, two: str) -> None:
    page = app(own, "explore", study=two)
    assert not page.exception
    assert not [link for link in page.get("page_link") if link.proto.label.startswith("seed ")]
    assert any("are not in this folder" in text for text in texts(page))


def test_one_axis_is_drawn_along_it_with_intervals(app: App, root: Path, one: str) -> None:
    page = app(root, "explore", study=one)
    assert not page.exception
    study = study_of(root, one)
    assert any(text.startswith("Best to minimise chat.ttft_p99: point ") for text in texts(page))
    spec = specification(page, 0)
    axes = [layer["encoding"]["x"] for layer in spec["layer"] if "x" in layer["encoding"]]
    assert {axis["title"] for axis in axes} == {"pools[chat].replicas"}
    quantity = quantities(study)["chat.ttft_p99"]
    frame = along_frame(study, quantity)
    assert list(frame["place"]) == [1.0, 2.0, 3.0, 4.0]
    content = json.loads((root / one / "study.json").read_text())["points"]
    metrics = [point["metrics"]["chat.ttft_p99"] for point in content]
    assert list(frame["y_low"]) == pytest.approx([1e3 * metric["low"] for metric in metrics])
    assert list(frame["y_high"]) == pytest.approx([1e3 * metric["high"] for metric in metrics])
    sent = [rows for rows in chart_rows(page, 0) if rows and "y_high" in rows[0]]
    assert any(len(rows) == 4 for rows in sent)
    assert not page.get("echarts_chart")
    assert "P(chat.ttft_p99 > 40 ms)" in quantities(study) or "P(trips > 0)" in " ".join(
        row["what"] for row in table(page, 0)
    )


def test_probabilities_and_changes_against_the_baseline(root: Path, one: str) -> None:
    study = study_of(root, one)
    found = quantities(study)
    content = json.loads((root / one / "study.json").read_text())["points"]
    share = content[0]["probabilities"]["chat.ttft_p99 > 40 ms"]
    value, low, high = found["P(chat.ttft_p99 > 40 ms)"].at(1)
    assert value == pytest.approx(100.0 * share["hits"] / share["runs"])
    assert (low, high) == pytest.approx((100.0 * share["low"], 100.0 * share["high"]))
    moved = content[0]["changes"]["peak_draw_w"]
    assert found["change of peak_draw_w"].values[1].value == pytest.approx(moved["change"])
    losses = [name for name in found if name.endswith("_loss")]
    assert "chat.goodput_loss" in losses
    # The last point is its own baseline.
    assert found["chat.e2e_p50_loss"].at(4)[0] == 0.0


def test_axes_are_numbers_of_one_unit_or_categories(root: Path, two: str) -> None:
    study = study_of(root, two)
    replicas, rate, policy = (axis_scale(study, index) for index in range(3))
    assert (replicas.kind, rate.kind, policy.kind) == ("value", "log", "category")
    assert rate.title == "workload[chat].rate (/s)"
    assert all(10.0 <= float(place) <= 60.0 for place in rate.places.values())
    assert policy.categories == ("round-robin", "least-outstanding-tokens")
    found = quantities(study)
    shown = list(found.values())
    frame = parallel_frame(study, shown)
    assert [scale.kind for scale in parallel_scales(study)] == ["category", "log", "category"]
    assert len(frame.columns) == 2 + 3 + len(shown)


def test_a_study_that_its_budget_cut_short(app: App, tmp_path: Path) -> None:
    root = tmp_path / "runs"
    root.mkdir()
    name = make_study(root, f"{TWO_GOALS}budget: {{runs: 5}}\n")
    assert name.endswith(".partial")
    page = app(root, "explore", study=name)
    assert not page.exception
    said = " ".join(texts(page))
    assert "Partial: 7 of 12 runs were not made (budget)" in said
    study = study_of(root, name)
    found = quantities(study)
    missing = unmeasured(study, found["chat.ttft_p99"], found["energy_per_output_token"])
    assert [row["why"] for row in missing] == ["2 of its runs were not made (budget)"] * 3
    assert sum(standings(study).values()) == 6
    chosen = app(root, "explore", study=name, point=missing[0]["point"])
    assert not chosen.exception
    assert "2 of its runs were not made (budget)" in texts(chosen)


def test_failed_points_are_listed(app: App, own: Path, two: str) -> None:
    def fail(content: dict[str, Any]) -> None:
        content["outcome"] = "partial"
        content["points"][1]["metrics"] = {}
        content["points"][1]["failed"] = [{"side": "point", "seed": 1, "reason": HOSTILE}]
        content["answer"] = {"best": None, "certain": False, "alike": [], "front": [],
                             "reason": "no point holds to the constraints"}  # fmt: skip

    change(own, two, fail)
    page = app(own, "explore", study=two)
    assert not page.exception
    assert any("no point holds to the constraints" in text for text in texts(page))
    tables = [frame.value.to_dict("records") for frame in page.dataframe]
    assert any(row.get("why") == HOSTILE and row.get("seed") == "1" for t in tables for row in t)
    assert any(f"failed: seed 1 (point): {HOSTILE}" == row.get("why") for t in tables for row in t)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        (lambda c: c.update(points=[]), "has no point"),
        (lambda c: c.pop("points"), "'points'"),
        (lambda c: c["answer"].update(front=[99]), "its answer names points it lacks"),
        (lambda c: c["points"][0]["labels"].pop("policies.routing"), "one label for each axis"),
        (lambda c: c["points"][0].update(point=2), "two points have the same number"),
        (lambda c: c["points"][0]["metrics"]["chat.ttft_p99"].update(value=float("nan")), "NaN"),
        (lambda c: c["points"][0]["metrics"].update({"chat.nonsense": {"value": 1, "unit": "s"}}),
         "unknown metric"),
        (lambda c: c["points"][0]["metrics"]["chat.ttft_p99"].update(unit="h"), "is in 'h'"),
        (lambda c: c.update(objectives=[{"worsen": "x"}]), "an objective to 'worsen'"),
    ],
)  # fmt: skip
def test_damaged_studies_say_what_is_wrong(
    own: Path, two: str, how: Callable[[dict[str, Any]], None], said: str
) -> None:
    change(own, two, how)
    with pytest.raises(Unreadable, match=said):
        study_of(own, two)


@pytest.mark.parametrize("text", ["{", "[]", "[" * 100_000, "\0"])
def test_broken_files_are_one_line_on_the_page(app: App, own: Path, two: str, text: str) -> None:
    (own / two / "study.json").write_text(text)
    page = app(own, "explore", study=two)
    assert not page.exception
    assert f"{two} cannot be shown" in texts(page)
    assert not page.get("vega_lite_chart")


def test_a_damaged_table_takes_only_the_links_away(app: App, own: Path, two: str) -> None:
    (own / two / "study.parquet").write_bytes(b"no parquet")
    page = app(own, "explore", study=two)
    assert not page.exception
    assert any(text.startswith("Its runs are not known: study.parquet") for text in texts(page))
    assert page.get("vega_lite_chart")


@pytest.mark.parametrize("kind", ["link", "folder of links", "pipe"])
def test_a_table_that_is_no_file_of_its_own_is_not_read(
    own: Path, two: str, tmp_path: Path, kind: str
) -> None:
    """A pipe would keep the page waiting for ever; a link may lead out of the root."""
    file, outside = own / two / "study.parquet", tmp_path / "outside.parquet"
    file.rename(outside)
    if kind == "link":
        file.symlink_to(outside)
    elif kind == "pipe":
        os.mkfifo(file)
    else:
        file.mkdir()
        (file / "part.parquet").symlink_to(outside)
    study = study_of(own, two)
    assert not study.runs
    assert "is not a file of its own" in study.runs_missing


def test_text_of_files_is_text(app: App, own: Path, two: str) -> None:
    def hostile(content: dict[str, Any]) -> None:
        content.update(name=HOSTILE, base=HOSTILE, engine=HOSTILE)
        content["constraints"] = [HOSTILE]
        for point in content["points"]:
            point["labels"]["policies.routing"] = HOSTILE
            point["constraints"][0]["text"] = HOSTILE

    change(own, two, hostile)
    file = own / two / "manifest.json"
    manifest = json.loads(file.read_text())
    manifest["points"][0]["warnings"] = [HOSTILE]
    file.write_text(json.dumps(manifest))
    page = app(own, "explore", study=two)
    assert not page.exception
    assert not page.markdown
    assert any(HOSTILE in text for text in texts(page))
    assert HOSTILE in page.code[0].value
    assert f"! {HOSTILE}" in texts(page)


def test_no_study_at_all(app: App, made: Path) -> None:
    page = app(made, "explore")
    assert not page.exception
    assert "No study to show yet" in texts(page)


def test_points_beyond_the_axes_are_drawn_at_the_edge(root: Path, two: str) -> None:
    """The axes are made for the points that may be feasible."""
    study = study_of(root, two)
    found = quantities(study)
    x, y = found["chat.ttft_p99"], found["energy_per_output_token"]
    frame = scatter_frame(study, x, y)
    far = int(frame.loc[frame["standing"] == "not feasible", "number"].iloc[0])
    frame.loc[frame["number"] == far, "x"] = 1e6
    spec = scatter_chart(frame, x, y, frame.iloc[:0], "step-after", 0, INK).to_dict()
    low, high = spec["layer"][0]["encoding"]["x"]["scale"]["domain"]
    sent = [row for rows in spec["datasets"].values() for row in rows]
    assert len(sent) == len(frame)
    assert {row["x"] for row in sent if row["number"] == far} == {high}
    assert all(low <= row["x"] <= high for row in sent)
    # Files have the numbers as they are, with their names and units.
    file = named_columns(frame, {"x": x, "y": y})
    assert file["chat.ttft_p99 (ms)"].max() == 1e6
    assert "energy_per_output_token (kWh/Mtoken) low" in file
    assert not [name for name in file if name.startswith(("x", "y"))]
    assert high < 1e3


def test_what_the_url_asks_for_in_vain_is_told(app: App, root: Path, two: str) -> None:
    page = app(root, "explore", study=two, point="99", x="zz")
    assert not page.exception
    told = next(text for text in texts(page) if text.startswith("The address asks for"))
    assert "point=99" in told
    assert "x=zz" in told
    assert page.selectbox(key="x").value == "chat.ttft_p99"


def test_another_study_starts_afresh(app: App, root: Path, two: str, one: str) -> None:
    study = study_of(root, one)
    page = app(root, "explore", study=two, point="1")
    page.selectbox(key="study").set_value(one).run()
    assert not page.exception
    assert page.selectbox(key="point").value == str(study.best)
    assert page.selectbox(key="y").value == "chat.ttft_p99"
