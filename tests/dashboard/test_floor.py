"""The page Floor over real runs: what it says, and that it never breaks."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from dashboard.charts.tiles import AIR, CAPTIONS, HEADROOM, IDLE, LIQUID, LOAD, STRANDED, TENANT
from tests.dashboard.conftest import chart_rows, damage, specification, table, texts

App = Callable[..., AppTest]
HOSTILE = "![x](http://evil.example/p.png)<script>alert(1)</script>"


@pytest.fixture
def houses(powered: Path, tmp_path: Path) -> Path:
    """A folder of its own with the run ``house``, to be damaged."""
    root = tmp_path / "runs"
    shutil.copytree(powered / "house", root / "house")
    return root


def tiles(page: AppTest) -> dict[str, dict[str, Any]]:
    """The tiles of the plan by their rack."""
    rows = next(rows for rows in chart_rows(page, 0) if rows and "text" in rows[0])
    return {row["rack"]: row for row in rows}


def show(page: AppTest, what: str) -> AppTest:
    page.selectbox(key="show").select(what).run()
    assert not page.exception
    return page


def test_the_floor_says_what_is_hot_idle_and_stranded(app: App, powered: Path) -> None:
    page = app(powered, "floor", run="house")
    assert not page.exception
    said = texts(page)
    assert "✓ Hottest: a-rack-1, 66.6 % of its limit" in said
    assert "27.5 kW of 41.3 kW at 22 s; 0 of 4 racks came to 90 % of theirs" in said
    assert "! 3 of 4 racks idle" in said
    assert "! 120 of 168 GPUs stranded" in said
    assert any("190 kW of rack limits stand behind them, in 3 of 4 racks" in text for text in said)


def test_tiles_show_the_load_of_the_moment_and_its_scale_is_fixed(app: App, powered: Path) -> None:
    page = app(powered, "floor", run="house", t="22 s")
    found = tiles(page)
    assert list(found) == ["a-rack-1", "a-rack-2", "b-rack-1", "w-rack-1"]
    assert found["a-rack-1"]["text"] == "67"
    assert found["a-rack-1"]["value"] == pytest.approx(100 * 27487.484 / 41300.0)
    assert found["a-rack-1"]["words"] == "27.5 kW of 41.3 kW, 66.6 %"
    assert not any(row["over"] for row in found.values())
    spec = specification(page, 0)
    paint = spec["layer"][0]["encoding"]
    colour = paint["color"]["condition"]
    assert colour["scale"] == {"scheme": "viridis", "domain": [0.0, 100.0], "clamp": True,
                               "reverse": False}  # fmt: skip
    assert colour["legend"]["title"] == "draw, % of the rack's limit"
    # Halls have lines of their own names, where there are several.
    assert paint["y"]["scale"]["domain"] == ["dry:", "a", "b", "wet:", "w"]
    assert [param["name"] for param in spec["params"]] == ["tile"]


def test_tiles_show_what_is_asked(app: App, powered: Path) -> None:
    page = app(powered, "floor", run="house", t="22 s")
    assert page.selectbox(key="show").options == [
        LOAD, HEADROOM, AIR, LIQUID, TENANT, IDLE, STRANDED
    ]  # fmt: skip
    left = tiles(show(page, HEADROOM))["a-rack-1"]
    assert left["text"] == "13.8"
    assert left["value"] == pytest.approx(100 * (1 - 27487.484 / 41300.0))
    heat = tiles(show(page, AIR))["w-rack-1"]
    assert heat["words"].endswith("of the hall's limit of 30.0 kW a rack")
    assert any("knows no temperature of a rack" in text for text in texts(page))
    wet = tiles(show(page, LIQUID))
    assert wet["w-rack-1"]["value"] == pytest.approx(heat["value"] * 30 / 0.15 * 0.85 / 150)
    # A hall without a limit has no share of one: a state of its own, not 0.
    assert wet["a-rack-1"]["value"] is None or math.isnan(wet["a-rack-1"]["value"])
    names = {rack: row["name"] for rack, row in tiles(show(page, TENANT)).items()}
    assert names == {"a-rack-1": "blue", "a-rack-2": "blue", "b-rack-1": "no replica",
                     "w-rack-1": "red"}  # fmt: skip
    assert tiles(show(page, IDLE))["b-rack-1"]["text"] == "100"
    free = tiles(show(page, STRANDED))
    assert [row["text"] for row in free.values()] == ["0", "24", "32", "64"]
    assert any(CAPTIONS[STRANDED] in text for text in texts(page))


def test_a_rack_has_its_time_line_nodes_and_replicas(app: App, powered: Path) -> None:
    page = app(powered, "floor", run="house", rack="a-rack-2", t="15 s")
    assert page.selectbox(key="rack").value == "a-rack-2"
    spec = specification(page, 1)
    titles = {
        layer["encoding"][channel]["title"]
        for layer in spec["layer"] for channel in ("x", "y")
        if layer["encoding"].get(channel, {}).get("title")
    }  # fmt: skip
    assert titles == {"draw (kW)", "simulated time (s)"}
    labels = {row["label"] for rows in chart_rows(page, 1) for row in rows if row.get("label")}
    assert labels == {"warm-up", "rating 41.3 kW", "ups-a failed"}
    servers, replicas = table(page, 0), table(page, 1)
    assert [row["node"] for row in servers] == ["node-1", "node-2", "node-3", "node-4"]
    assert {row["rating"] for row in servers} == {"19.8 kW"}
    assert [row["replica"] for row in replicas] == list(range(32, 40))
    assert {row["tenant"] for row in replicas} == {"blue"}
    page.selectbox(key="rack").select("b-rack-1").run()
    assert not page.exception
    assert any("No replica has a GPU in this rack" in text for text in texts(page))


def test_a_rack_or_moment_that_is_not_there_gives_way(app: App, powered: Path) -> None:
    page = app(powered, "floor", run="house", rack="../../etc", t="99:99", show="nothing")
    assert not page.exception
    assert page.selectbox(key="rack").value == "a-rack-1"
    assert page.select_slider(key="t").value == "29 s"
    assert page.selectbox(key="show").value == LOAD


def test_play_steps_through_the_run_and_stops_at_its_end(app: App, powered: Path) -> None:
    page = app(powered, "floor", run="house", t="37 s")
    page.button(key="play").click().run()
    assert not page.exception
    assert page.button(key="play").label == "Stop"
    assert page.select_slider(key="t").value == "38 s"
    page.run()
    assert page.select_slider(key="t").value == "39 s"
    assert page.button(key="play").label == "Play"
    page.run()
    assert page.select_slider(key="t").value == "39 s"
    page.button(key="play").click().run()
    assert page.select_slider(key="t").value == "0 s"


def test_a_button_goes_to_the_hottest_moment(app: App, powered: Path) -> None:
    page = app(powered, "floor", run="house", t="3 s")
    page.button(key="hottest").click().run()
    assert page.select_slider(key="t").value == "22 s"


def test_a_row_of_45_racks_is_three_lines(app: App, powered: Path) -> None:
    page = app(powered, "floor", run="long")
    assert not page.exception
    assert len(tiles(page)) == 45
    lines = specification(page, 0)["layer"][0]["encoding"]["y"]["scale"]["domain"]
    assert lines == ["r 1–15", "r 16–30", "r 31–45"]
    assert LIQUID not in page.selectbox(key="show").options
    heat = tiles(show(page, AIR))["r-rack-1"]
    assert heat["words"].endswith("no limit is stated for its hall")


@pytest.mark.parametrize("name", ["idle", "stopped.partial", "unlimited"])
def test_every_kind_of_run_has_a_floor(app: App, made: Path, name: str) -> None:
    page = app(made, "floor", run=name)
    assert not page.exception
    assert any("Hottest: r-rack-1" in text for text in texts(page))
    assert "! 28 of 32 GPUs stranded" in texts(page)
    assert len(page.get("vega_lite_chart")) == 2
    if name == "idle":
        assert "! 1 of 1 racks idle" in texts(page)
        assert any("100 % of all GPU time" in text for text in texts(page))


def test_a_damaged_table_hides_only_its_part(app: App, houses: Path) -> None:
    (houses / "house" / "replicas" / "part-00000.parquet").write_bytes(b"PAR1 no more")
    page = app(houses, "floor", run="house")
    assert not page.exception
    said = texts(page)
    assert "✓ Hottest: a-rack-1, 66.6 % of its limit" in said
    assert "– What is stranded is not known" in said
    assert any("cannot be read as Parquet" in text for text in said)
    assert len(page.get("vega_lite_chart")) == 2
    show(page, TENANT)
    assert len(page.get("vega_lite_chart")) == 1


def test_damaged_draws_leave_what_replicas_say(app: App, houses: Path) -> None:
    (houses / "house" / "power" / "part-00000.parquet").write_bytes(b"PAR1 no more")
    page = app(houses, "floor", run="house")
    assert not page.exception
    assert "– What is hot is not known" in texts(page)
    assert "! 120 of 168 GPUs stranded" in texts(page)
    assert page.button(key="hottest").disabled
    assert tiles(show(page, STRANDED))["b-rack-1"]["text"] == "32"


@pytest.mark.parametrize(
    "change",
    [
        lambda manifest: manifest["resolved"].update(site={}),
        lambda manifest: manifest["resolved"]["site"]["halls"][0].update(rows=3),
        lambda manifest: manifest["resolved"]["site"]["halls"][0]["rows"][0]["racks"][0].update(
            type="no-such-rack"
        ),
    ],
)
def test_a_site_that_cannot_be_built_is_one_line(
    app: App, houses: Path, change: Callable[[dict[str, Any]], None]
) -> None:
    damage(houses, change, "house")
    page = app(houses, "floor", run="house")
    assert not page.exception
    assert "The floor cannot be shown" in texts(page)


def test_names_of_files_are_shown_as_text(app: App, houses: Path) -> None:
    def change(manifest: dict[str, Any]) -> None:
        for hall in manifest["resolved"]["site"]["halls"]:
            hall["name"] = HOSTILE + hall["name"]
        manifest["resolved"]["pools"][0]["tenant"] = HOSTILE

    damage(houses, change, "house")
    page = app(houses, "floor", run="house", show=TENANT)
    assert not page.exception
    assert tiles(page)["a-rack-1"]["name"] == HOSTILE
    assert not any("evil" in element.value for element in page.markdown)


def test_back_to_a_run_and_its_moment(app: App, made: Path) -> None:
    """What the URL newly asks for goes before what is offered for another run."""
    page = app(made, "floor", run="summary")
    moments = page.select_slider(key="t").options
    page.select_slider(key="t").set_value(moments[-1]).run()
    page.selectbox(key="run").select("complete").run()
    assert page.select_slider(key="t").value != moments[-1]
    page.query_params["run"] = "summary"
    page.query_params["t"] = moments[-1]
    page.run()
    assert not page.exception
    assert page.selectbox(key="run").value == "summary"
    assert page.select_slider(key="t").value == moments[-1]
