"""The page Power over real runs: what it says, and that it never breaks."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from streamlit.testing.v1 import AppTest

from dashboard import limits_said
from dashboard.clock import told
from dashboard.listing import list_results
from dashboard.load import read_run
from tests.dashboard.conftest import chart_rows, damage, specification, table, texts

App = Callable[..., AppTest]
HOSTILE = '![x](http://evil.example/p.png)<script>alert(1)</script>"];'


@pytest.fixture
def houses(powered: Path, tmp_path: Path) -> Path:
    """A folder of its own with the run ``house``, to be damaged."""
    root = tmp_path / "runs"
    shutil.copytree(powered / "house", root / "house")
    return root


def bars(page: AppTest) -> dict[str, dict[str, Any]]:
    """The bars of the ladder by their node."""
    rows = next(rows for rows in chart_rows(page, 0) if rows and "beside" in rows[0])
    return {row["name"]: row for row in rows}


def titles(spec: dict[str, Any]) -> set[str]:
    return {
        layer["encoding"][channel]["title"]
        for layer in spec["layer"]
        for channel in ("x", "y")
        if layer["encoding"].get(channel, {}).get("title")
    }


def test_a_budget_that_was_cut_is_said_first(app: App, powered: Path) -> None:
    page = app(powered, "power", run="house")
    assert not page.exception
    said = texts(page)
    assert "✕ utility was over its limit by 79.6 %" in said
    assert any(
        "above it for 15.0 s in one stretch from 25 s to 40 s, the longest 15.0 s at 25 s" in text
        for text in said
    )
    assert "✕ ups-a out for 10.0 s" in said
    assert "ups-a failed 10 s to 20 s" in said
    assert "– No power control" in said
    assert page.select_slider(key="t").value == "29 s"
    assert page.selectbox(key="node").value == "utility"


def test_the_ladder_shows_each_node_against_its_limit(app: App, powered: Path) -> None:
    page = app(powered, "power", run="house", t="15 s")
    found = bars(page)
    assert list(found)[:4] == ["utility", "ups-a", "a-pdu-a", "a-rack-1"]
    assert found["ups-a"]["beside"] == "✕ failed, 0 W"
    assert found["a-pdu-a"]["beside"] == "– draws nothing"
    assert found["a-rack-1"]["fed"] == "a-pdu-a and a-pdu-b"
    assert found["a-rack-1"]["label"].endswith("a-rack-1 (2 feeds)")
    assert found["a-rack-1"]["label"].count("\N{EM SPACE}") == 3
    spec = specification(page, 0)
    assert titles(spec) == {"highest draw in the bin, % of the limit (budget, else rating)"}
    # The rating of 400 kW stands at 133 % of the budget of 300 kW.
    ticks = [
        row["use"] for rows in chart_rows(page, 0) for row in rows if set(row) == {"label", "use"}
    ]
    assert ticks == []
    page.select_slider(key="t").set_value("30 s").run()
    assert bars(page)["utility"]["state"] == "bad"
    assert bars(page)["utility"]["beside"].startswith("✕ ")
    assert bars(page)["ups-a"]["state"] == "good"
    assert any("highest draw at 30 s" in text for text in texts(page))
    page.selectbox(key="bars").select("Each node's own peak").run()
    assert not page.exception
    assert bars(page)["ups-a"]["use"] == pytest.approx(100 * 50984.535 / 300e3)


def test_time_line_and_lane_have_one_axis(app: App, powered: Path) -> None:
    page = app(powered, "power", run="house", node="utility", t="15 s")
    line, lane = specification(page, 1), specification(page, 2)
    assert titles(line) == {"draw (kW)", "simulated time (s)"}
    for spec in (line, lane):
        scales = [layer["encoding"]["x"]["scale"]["domain"] for layer in spec["layer"]
                  if "scale" in layer["encoding"].get("x", {})]  # fmt: skip
        assert scales
        assert all(scale == [0.0, 40.0] for scale in scales)
    extents = {
        (layer["encoding"]["y"]["axis"]["minExtent"], layer["encoding"]["y"]["axis"]["maxExtent"])
        for spec in (line, lane) for layer in spec["layer"]
        if "minExtent" in (layer["encoding"].get("y", {}).get("axis") or {})
    }  # fmt: skip
    assert len(extents) == 1
    labels = {row["label"] for rows in chart_rows(page, 1) for row in rows if row.get("label")}
    assert labels == {"warm-up", "budget 60.0 kW", "rating 400 kW", "ups-a failed"}
    steps = next(rows for rows in chart_rows(page, 1) if rows and set(rows[0]) == {"time", "limit"})
    assert [(row["time"], row["limit"]) for row in steps] == [(0, 300), (25, 60), (40, 60)]
    kinds = {row["kind"] for row in chart_rows(page, 2)[0]}
    assert kinds == {"fails", "loses-power", "has-power", "is restored", "budget-changes"}


def test_a_server_can_be_chosen(app: App, powered: Path) -> None:
    page = app(powered, "power", run="house", node="a-rack-1-node-3")
    assert not page.exception
    assert any(text.startswith("a-rack-1-node-3: mean and peak") for text in texts(page))


def test_a_small_tree_has_a_single_line_diagram(app: App, powered: Path) -> None:
    page = app(powered, "power", run="house", bars="Single-line diagram", t="15 s")
    assert not page.exception
    dot = page.get("graphviz_chart")[0].proto.spec
    assert 'label="ups-a\\nfailed"' in dot
    assert 'n1 -> n3 [label="0 W", style=dotted];' in dot
    assert len(page.get("vega_lite_chart")) == 2
    many = app(powered, "power", run="long")
    assert "Single-line diagram" not in many.selectbox(key="bars").options
    assert any("more racks peaked lower" in text for text in texts(many))


def test_what_controllers_did_is_told(app: App, powered: Path) -> None:
    page = app(powered, "power", run="controlled")
    assert not page.exception
    said = texts(page)
    assert "✕ r-pdu-a was over its limit by 25.4 %" in said
    assert any(text.startswith("! Power control acted: ") for text in said)
    assert any("the brake was on for 49.0 s" in text for text in said)
    watching, clocks, actions = (table(page, place) for place in range(3))
    assert [row["node"] for row in watching] == ["r-pdu-a"]
    assert watching[0]["brakes"] == 1
    assert {row["pool"]: row["time capped"] for row in clocks} == {
        "batch": "100 %",
        "chat": "100 %",
    }
    steps = {row["step"] for row in actions}
    assert {"decides", "clock-commanded", "clock-acted", "brake-on", "brake-off"} <= steps
    assert {row["controller"] for row in actions} == {"r-pdu-a"}


def test_two_outages_are_not_added_up(powered: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = read_run(list_results(powered), "house")
    found = pd.DataFrame(
        [("ups-a", 3.0, 6.0), ("utility", 8.0, 9.0), ("ups-a", 5.0, 7.5)],
        columns=["entity", "start_s", "end_s"],
    )
    found = found.assign(state="failed", label=found["entity"] + " failed")
    monkeypatch.setattr(limits_said, "bands", lambda run: found)
    assert limits_said.outages(run).title == "✕ ups-a out for 4.50 s, utility for 1.00 s"


def test_a_moment_of_the_warm_up_is_named_so(made: Path) -> None:
    run = read_run(list_results(made), "complete")  # 5 s of warm-up
    assert told(run, 4.9) == "4.9 s (warm-up)"
    assert told(run, 5.0) == "5 s"


@pytest.mark.parametrize("name", ["idle", "stopped.partial", "unlimited"])
def test_every_kind_of_run_has_a_page(app: App, made: Path, name: str) -> None:
    page = app(made, "power", run=name)
    assert not page.exception
    said = texts(page)
    assert any(text.startswith("✓ Never over a limit; nearest: ") for text in said)
    assert "✓ No outage" in said
    assert any("No event of the facility, of a breaker" in text for text in said)
    assert any("scenarios/power-control.yaml" in text for text in said)
    assert len(page.get("vega_lite_chart")) == 2
    if name == "unlimited":
        assert any("the scenario states no power" in text for text in said)
        assert bars(page)["utility"]["beside"].endswith("no limit")
        assert bars(page)["utility"]["state"] == "none"


def test_another_run_is_shown_at_its_own_worst_moment(app: App, powered: Path) -> None:
    page = app(powered, "power", run="house")
    page.selectbox(key="run").select("controlled").run()
    assert not page.exception
    assert page.selectbox(key="node").value == "r-pdu-a"
    assert page.select_slider(key="t").value == "4 s"


def test_a_moment_that_was_chosen_stays(app: App, powered: Path) -> None:
    page = app(powered, "power", run="house", t="15 s")
    page.selectbox(key="run").select("controlled").run()
    assert page.select_slider(key="t").value == "15 s"
    page.button(key="worst").click().run()
    assert page.select_slider(key="t").value == "4 s"


@pytest.mark.parametrize(
    ("damaged", "charts", "words"),
    [
        ("events", 2, "Outages are not known"),
        ("over_limit", 3, "What was over its limit is not known"),
        ("power", 1, "cannot be read as Parquet"),
        ("controllers", 3, "What controllers did is not known"),
        ("decisions", 3, "cannot be read as Parquet"),
        ("power_edges", 0, "The electrical tree cannot be shown"),
    ],
)
def test_a_damaged_table_hides_only_its_part(
    app: App, powered: Path, tmp_path: Path, damaged: str, charts: int, words: str
) -> None:
    root = tmp_path / "runs"
    shutil.copytree(powered / "controlled", root / "controlled")
    for file in (root / "controlled" / damaged).iterdir():
        file.write_bytes(b"PAR1 no more")
    page = app(root, "power", run="controlled")
    assert not page.exception
    assert any(words in text for text in texts(page))
    assert len(page.get("vega_lite_chart")) == charts


@pytest.mark.parametrize(
    "change",
    [
        lambda manifest: manifest["resolved"].update(events=[{"budget": 3}]),
        lambda manifest: manifest["resolved"].update(power="yes"),
        lambda manifest: manifest.pop("resolved"),
    ],
)
def test_a_manifest_with_foreign_values_never_breaks_the_page(
    app: App, houses: Path, change: Callable[[dict[str, Any]], None]
) -> None:
    damage(houses, change, "house")
    page = app(houses, "power", run="house", bars="Single-line diagram")
    assert not page.exception
    assert texts(page)


def test_names_of_tables_are_shown_as_text(app: App, houses: Path) -> None:
    for column in ("entity", "detail"):
        (file,) = (houses / "house" / "events").iterdir()
        rows = pq.read_table(file)
        words = pc.binary_join_element_wise(rows[column].cast(pa.string()), HOSTILE, " ")
        place = rows.schema.get_field_index(column)
        pq.write_table(rows.set_column(place, rows.schema.field(column), words), file)
    page = app(houses, "power", run="house", t="15 s")
    assert not page.exception
    assert any(f"ups-a {HOSTILE} failed 10 s to 20 s" in text for text in texts(page))
    assert any(HOSTILE in row["what"] for row in chart_rows(page, 2)[0])
    assert not any("evil" in element.value for element in page.markdown)


def test_what_the_address_asks_for_in_vain_is_told(app: App, powered: Path) -> None:
    page = app(powered, "power", run="house", node="nonsense")
    assert not page.exception
    assert "The address asks for what is not here: node=nonsense" in texts(page)
    assert not any("asks for what" in text for text in texts(app(powered, "power", run="house")))
