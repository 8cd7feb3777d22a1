"""The page Capacity: answers of plans, and where the provisioned power of a run stayed."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from streamlit.testing.v1 import AppTest

from dashboard.frames.capacity import chart_frame, part_rows, read_plan, stranded
from dashboard.listing import PLAN, list_results
from dashboard.load import Missing, RunView, Unreadable, part, read_run
from sim.plan.answer_files import Evidence, Question, save
from sim.plan.kinds import How, load
from sim.plan.runs import Making
from sim.plan.told import LINE, OPEN, Chart, Part, Series, Table, Told
from sim.study.here import InThisProcess
from tests.dashboard.conftest import chart_rows, damage, specification, table, texts

App = Callable[..., AppTest]
HOSTILE = '![x](http://evil.example/p.png) <script>alert("x")</script>'
STATED = """
rackplan: 1
kind: study
name: until
question: {until: {capacity: 110 /s, low: 104 /s, high: 115 /s}}
growth: {start: 2027-01, load: 100 /s, per: month, p10: 0 %, p50: 2 %, p90: 5 %}
within: 12 months
"""


def leave_plan(root: Path, text: str = STATED) -> str:
    """Ask and save; the name of the folder."""
    file = root.parent / "until.yaml"
    file.write_text(text)
    answer = load(file).answer(Making(InThisProcess(), root, "compiled"), How())
    question = Question("until", file.name, text)
    return save(root, question, answer, Evidence("compiled", 0)).name


def leave_told(root: Path, told: Told) -> str:
    class Fixed:
        answered = True

        def content(self) -> dict[str, object]:
            return {}

        def told(self) -> Told:
            return told

    question = Question("told", f"{HOSTILE}.yaml", f"name: {HOSTILE}\n", (HOSTILE,), 3)
    return save(root, question, Fixed(), Evidence(HOSTILE, 5), told.parts).name


@pytest.fixture
def root(runs: Path) -> Path:
    """One run, and one answered plan."""
    leave_plan(runs)
    return runs


def marks(spec: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [one for one in spec["layer"] if one["mark"]["type"] == kind]


def frames(page: AppTest, place: int, *columns: str) -> list[list[dict[str, Any]]]:
    """The rows of those frames of a chart that have these columns."""
    found = chart_rows(page, place)
    return [rows for rows in found if rows and set(columns) <= set(rows[0])]


def test_an_answer_says_until_when_and_draws_it(app: App, root: Path) -> None:
    shown = app(root, "capacity")
    assert not shown.exception
    said = texts(shown)
    assert any(
        text.startswith("! UNTIL 2027-05  by P50; 2027-06 is the first month that does not fit")
        for text in said
    )
    assert any(text.startswith("Capacity: 110 /s, between 104 and 115 /s\n") for text in said)
    fan = specification(shown, 0)
    line = marks(fan, "line")[0]
    assert line["encoding"]["y"]["title"] == "peak load (/s)"
    assert line["encoding"]["x"]["title"] == "month"
    assert len(marks(fan, "area")) == 1
    rows = frames(shown, 0, "at", "low", "high")[0]
    for month, row in enumerate(rows):
        assert row["low"] == pytest.approx(100.0)
        assert row["y"] == pytest.approx(100.0 * 1.02**month)
        assert row["high"] == pytest.approx(100.0 * 1.05**month)
    limits = [row for found in chart_rows(shown, 0) for row in found if set(row) == {"name", "y"}]
    assert {row["name"]: row["y"] for row in limits} == {
        "capacity": 110.0, "its low end": 104.0, "its high end": 115.0,
    }  # fmt: skip
    # The ring is on the first month above the capacity.
    assert [one for one in marks(fan, "point") if one.get("transform")]
    (ring,) = [row for row in rows if row["chosen"]]
    assert (ring["x"], ring["y"] > 110.0) == ("2027-06", True)
    assert shown.code[0].value == STATED.strip()
    first = table(shown, 0)[0]
    assert first == {"month": "2027-01", "P10 (/s)": "100", "P50 (/s)": "100", "P90 (/s)": "100"}


def test_not_within_the_months_asked_about_is_a_result(app: App, runs: Path) -> None:
    leave_plan(runs, STATED.replace("capacity: 110 /s, low: 104 /s, high: 115 /s",
                                    "capacity: 400 /s"))  # fmt: skip
    shown = app(runs, "capacity")
    assert not shown.exception
    assert any(text.startswith("✓ NOT WITHIN 12 months") for text in texts(shown))
    assert not [one for one in marks(specification(shown, 0), "point") if one.get("transform")]


def test_without_a_run_the_plan_is_shown(app: App, root: Path) -> None:
    shutil.rmtree(root / "complete")
    shown = app(root, "capacity")
    assert not shown.exception
    assert "No run to show yet" in texts(shown)
    assert any(text.startswith("! UNTIL") for text in texts(shown))


@pytest.mark.parametrize("name", ["../../etc", "complete"])
def test_a_plan_that_the_url_made_up_is_refused(app: App, root: Path, name: str) -> None:
    shown = app(root, "capacity", plan=name)
    assert not shown.exception
    assert "No plan of that name here" in texts(shown)


def test_the_plan_that_looks_ahead_is_shown_first(app: App, root: Path) -> None:
    """The page asks until when; a newer answer to another question is in the box."""
    ahead = list_results(root).names(PLAN)[0]
    other = leave_told(root, Told("How many?", "LEAST 4 replicas", OPEN, (), ()))
    later = (root / ahead / "manifest.json").stat().st_mtime + 100.0
    os.utime(root / other / "manifest.json", (later, later))
    shown = app(root, "capacity")
    assert shown.selectbox(key="plan").value == ahead
    assert shown.selectbox(key="plan").options == [other, ahead]


def test_plans_and_runs_are_chosen_apart(app: App, root: Path) -> None:
    other = leave_plan(root, STATED.replace("name: until", "name: other"))
    shown = app(root, "capacity", plan=other, run="complete")
    assert not shown.exception
    assert shown.selectbox(key="plan").value == other
    assert shown.selectbox(key="run").value == "complete"
    assert set(shown.selectbox(key="plan").options) == set(
        list_results(root.resolve()).names("plan")
    )


def test_names_in_an_answer_are_text(app: App, runs: Path) -> None:
    chart = Chart(HOSTILE, LINE, HOSTILE, HOSTILE, (Series(HOSTILE, (1.0, 2.0), (HOSTILE, "b")),),
                  ((HOSTILE, 1.5),), HOSTILE)  # fmt: skip
    rows = Table((HOSTILE, HOSTILE), ((HOSTILE, "1"),), title=HOSTILE, note=HOSTILE)
    one = Part(HOSTILE, (HOSTILE,), (rows,), (chart, chart))
    leave_told(runs, Told(HOSTILE, HOSTILE, OPEN, (HOSTILE,), (one, one)))
    shown = app(runs, "capacity")
    assert not shown.exception
    assert f"! {HOSTILE}" in texts(shown)
    assert (
        len(shown.get("vega_lite_chart")) == 9
    )  # two parts of two charts, told and in the expander, and the waterfall
    rendered = [*shown.markdown, *shown.caption]
    assert not any("evil.example" in element.value for element in rendered)


def test_too_many_values_are_not_drawn(app: App, runs: Path) -> None:
    many = tuple(float(index) for index in range(6000))
    chart = Chart("many", LINE, "x", "y", (Series("a", many, many),))
    leave_told(runs, Told("asked", "ANSWER", OPEN, (), (Part("P", charts=(chart,)),)))
    shown = app(runs, "capacity", run="complete")
    assert not shown.exception
    assert "6,000 values: too many to draw" in texts(shown)
    assert len(shown.get("vega_lite_chart")) == 1


def test_a_damaged_answer_hides_only_itself(app: App, root: Path) -> None:
    (name,) = list_results(root.resolve()).names("plan")
    (root / name / "answer.json").write_text("{")
    shown = app(root, "capacity")
    assert not shown.exception
    assert f"{name} cannot be shown" in texts(shown)
    assert any("is not JSON" in text for text in texts(shown))
    assert any(text.startswith("Stranded: ") for text in texts(shown))


@pytest.mark.parametrize(
    ("file", "content", "reason"),
    [
        ("answer.json", '{"content": {}, "told": 3}', "told: expected an object"),
        ("manifest.json", '{"format": 5, "kind": "plan"}', "'answered' is missing"),
        ("manifest.json", '{"format": 99, "kind": "plan"}', "was written in format 99"),
        ("manifest.json", "[" * 200_000, "nested too deeply"),
    ],
)
def test_a_damaged_answer_is_one_line(root: Path, file: str, content: str, reason: str) -> None:
    listing = list_results(root.resolve())
    (name,) = listing.names("plan")
    (root / name / file).write_text(content)
    with pytest.raises(Unreadable, match=reason) as caught:
        read_plan(listing, name)
    assert "\n" not in str(caught.value)


def test_an_answer_written_again_is_read_again(root: Path) -> None:
    listing = list_results(root.resolve())
    (name,) = listing.names("plan")
    assert read_plan(listing, name).answered
    file = root / name / "manifest.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"answered": False}))
    assert not read_plan(listing, name).answered
    with pytest.raises(Unreadable, match="there is no plan"):
        read_plan(listing, "complete")


def test_numbers_of_a_chart_leave_as_they_are() -> None:
    chart = Chart("t", LINE, "month", "load (/s)", (Series("a", (1.0, 2.0), ("2027-01", "2027-02"),
                  low=(0.5, 1.5), high=(2.0, 3.0)),))  # fmt: skip
    frame = chart_frame(chart)
    assert list(frame["load (/s)"]) == [1.0, 2.0]
    assert list(frame["month"]) == ["2027-01", "2027-02"]
    assert list(frame["high"]) == [2.0, 3.0]
    assert "name" not in frame


def run(root: Path, name: str) -> RunView:
    return read_run(list_results(root), name)


@pytest.mark.parametrize("name", ["complete", "over-budget", "two", "summary", "idle", "unlimited",
                                  "stopped.partial"])  # fmt: skip
def test_parts_of_the_power_sum_exactly(made: Path, name: str) -> None:
    view = run(made, name)
    found = stranded(view)
    assert sum(part.mw for part in found.fall.parts) == found.fall.provisioned_mw
    assert all(part.mw >= 0 for part in found.fall.parts)
    assert found.stranded_w + found.spent_w + found.useful_w == pytest.approx(found.provisioned_w)
    assert all(row["definition"] for row in part_rows(found))


def test_what_was_drawn_is_what_the_meters_say(made: Path) -> None:
    view = run(made, "complete")
    found = stranded(view)
    nodes = pq.read_table(made / "complete" / "power_nodes").to_pylist()
    (utility,) = [node for node in nodes if node["kind"] == "utility"]
    drawn_w = utility["energy_j"] / view.measured_s
    assert found.provisioned_w == utility["budget_w"] == 45_000.0
    assert found.drawn_w == pytest.approx(drawn_w, rel=1e-6)
    rows = pq.read_table(made / "complete" / "replicas").to_pylist()
    counts = pq.read_table(made / "complete" / "summary" / "counts").to_pandas()
    assert (counts[counts["measured"]]["cause"] == "met").all()
    # Every request met its objectives, so GPUs in iterations drew only useful power.
    idle = next(part for part in found.fall.parts if part.name == "GPUs idle").watts
    gpus_w = sum(row["energy_j"] for row in rows) / view.measured_s
    assert found.useful_w == pytest.approx(gpus_w - idle, rel=1e-6)


def test_the_waterfall_is_drawn_with_every_part_and_its_definition(app: App, made: Path) -> None:
    shown = app(made, "capacity", run="complete")
    assert not shown.exception
    assert "No plan to show yet" in texts(shown)
    assert any("rackplan plan scenarios/studies/until-when.yaml" in text for text in texts(shown))
    bars = marks(specification(shown, 0), "bar")[0]
    assert bars["encoding"]["x"]["title"] == "power (kW)"
    rows = frames(shown, 0, "part", "from", "value")[0]
    assert rows[0]["x"] == "provisioned"
    assert rows[0]["value"] == 45.0
    assert sum(row["value"] for row in rows[1:]) == pytest.approx(45.0)
    for before, after in pairwise(rows[:-1]):  # each begins where one ended
        assert after["from"] == pytest.approx(before["y"])
    assert rows[-1]["value"] == pytest.approx(rows[-2]["y"])
    said = "\n".join(texts(shown))
    for row in part_rows(stranded(run(made, "complete"))):
        assert row["definition"] in said
    assert "drawn on average: " in said
    assert "at peak " in said


def test_a_damaged_table_hides_only_the_waterfall(app: App, root: Path) -> None:
    (root / "complete" / "replicas" / "part-00000.parquet").write_bytes(b"PAR1 no more")
    shown = app(root, "capacity")
    assert not shown.exception
    assert any(text.startswith("! UNTIL") for text in texts(shown))
    assert not any(text.startswith("Stranded: ") for text in texts(shown))
    assert any("cannot be read as Parquet" in text for text in texts(shown))


@pytest.mark.parametrize(
    "change",
    [
        lambda manifest: manifest["window"].update(measured_s=0.0),
        lambda manifest: manifest.update(resolved={}),
        lambda manifest: manifest["resolved"].update(site={"halls": [3]}),
        lambda manifest: manifest.update(pools=[{"name": "chat"}]),
        lambda manifest: manifest.pop("facility"),
        lambda manifest: manifest.pop("network"),
        lambda manifest: manifest["resolved"]["site"]["halls"][0]["rows"][0]["racks"][0].update(
            type=HOSTILE
        ),
    ],
)
def test_a_manifest_with_foreign_values_has_a_reason(
    runs: Path, change: Callable[[dict[str, Any]], None]
) -> None:
    damage(runs, change)
    view = run(runs.resolve(), "complete")
    found = part(lambda: stranded(view))
    assert isinstance(found, Missing)
    assert found.reason
    assert "\n" not in found.reason
