"""The page Fabric over real runs: its numbers against the tables, and that it never breaks."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from dashboard.charts.fabric import quoted, rate, tiers_graph
from dashboard.frames import fabric as frames
from dashboard.listing import list_results
from dashboard.load import RunView, read_run
from dashboard.style import Ink
from sim.errors import ResultError
from tests.dashboard.conftest import chart_rows, damage, make_run, specification, table, texts
from tests.dashboard.networked import SCENARIO as HANDED

App = Callable[..., AppTest]
TIER = "nic → leaf"


@pytest.fixture(scope="module")
def networked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose KV crosses a network, the same stopped, and one without links over time."""
    root = tmp_path_factory.mktemp("networked") / "runs"
    make_run(root, "handed", HANDED)
    make_run(root, "stopped", HANDED, sets=["duration=10 min"], stop_s=12.0)
    shutil.copytree(root / "handed", root / "older")
    manifest = json.loads((root / "older" / "manifest.json").read_text())
    del manifest["tables"]["summary/links"]
    (root / "older" / "manifest.json").write_text(json.dumps(manifest))
    shutil.rmtree(root / "older" / "summary" / "links")
    return root


def view(root: Path, name: str) -> RunView:
    return read_run(list_results(root), name)


# ---- frames ----------------------------------------------------------------------------------


def test_slots_of_a_run_add_up_to_its_links(networked: Path) -> None:
    run = view(networked, "handed")
    links = run.result.tables["links"].to_pandas().set_index("link")
    slots = run.result.tables["summary/links"].to_pandas()
    assert set(slots["slot_s"]) == {1.0}
    assert (slots["mean_use"] <= slots["max_use"] + 1e-9).all()
    assert slots["start_s"].max() < run.duration_s
    window = slots[slots["start_s"] >= run.warm_up_s]
    carried = (window["mean_use"] * window["slot_s"]).groupby(window["link"]).sum()
    carried = carried.reindex(links.index).fillna(0.0) * links["capacity_bytes_per_s"]
    assert carried.to_numpy() == pytest.approx(links["bytes"].to_numpy(), rel=1e-9)
    full = window.groupby("link")["saturated_s"].sum().reindex(links.index).fillna(0.0)
    assert full.to_numpy() == pytest.approx(links["saturated_s"].to_numpy(), abs=1e-9)
    assert full.max() > 1.0


def test_use_over_time_has_a_row_for_each_slot(networked: Path) -> None:
    run = view(networked, "handed")
    links = frames.links_of(run, TIER)
    found, width = frames.over_time(run, links["link"], 32)
    assert width == 1.0
    assert list(found["t_s"]) == list(np.arange(20.0))
    slots = run.result.tables["summary/links"].to_pandas()
    slots = slots[slots["link"].isin(links["link"])]
    for row in found.itertuples():
        mine = slots[slots["start_s"] == row.t_s]
        assert row.mean == pytest.approx(mine["mean_use"].sum() / 32)
        assert row.max == (mine["max_use"].max() if len(mine) else 0.0)
        assert row.full == pytest.approx(mine["saturated_s"].sum() / 32)
    alone, _ = frames.over_time(run, links["link"].head(1), 1)
    assert alone["full"].sum() > 0.0


def test_an_older_run_says_that_it_has_no_links_over_time(networked: Path) -> None:
    run = view(networked, "older")
    with pytest.raises(ResultError, match="over time was not recorded"):
        frames.over_time(run, [0], 1)
    moved, width = frames.under_way(run)
    transfers = run.result.tables["transfers"].to_pandas()
    transfers = transfers[transfers["end_s"] < run.end_s]
    assert (moved["bytes_per_s"] * width).sum() >= transfers["size_bytes"].sum() * (1 - 1e-9)
    busy = (transfers["end_s"] - transfers["start_s"]).sum()
    assert (moved["under_way"] * width).sum() >= busy * (1 - 1e-9)


def test_tiles_are_the_pairs_of_ends(networked: Path) -> None:
    run = view(networked, "handed")
    links = frames.links_of(run, TIER)
    found = frames.heat_map(run, TIER, links)
    assert (found.row_title, found.column_title) == ("nic, by server", "leaf")
    assert set(found.rows) <= {"r-rack-1-node-1", "r-rack-1-node-2"}
    assert len(found.cells) == len(set(zip(found.cells["row"], found.cells["column"], strict=True)))
    assert found.cells["links"].sum() == len(links)
    assert found.cells["full"].max() == pytest.approx(links["saturated_s"].max() / run.measured_s)
    assert found.cells["held"].sum() == links["held_flows"].sum()
    back = frames.heat_map(run, "leaf → nic", frames.links_of(run, "leaf → nic"))
    assert (back.row_title, back.column_title) == ("nic, by server", "leaf")  # the same way round


@pytest.mark.parametrize(
    ("names", "most", "expected"),
    [
        (["leaf-1", "leaf-2"], 64, ["leaf-1", "leaf-2"]),
        (["r-rack-1-node-1-nic-1", "r-rack-1-node-1-nic-2"], 64, ["r-rack-1-node-1"] * 2),
        ([f"r-rack-1-node-{i}-nic-1" for i in (1, 2, 3)], 2, ["r-rack-1"] * 3),
        ([f"leaf-{i}" for i in (1, 2, 10, 3)], 2,
         ["leaf-1 to leaf-2", "leaf-1 to leaf-2", "leaf-3 to leaf-10", "leaf-3 to leaf-10"]),
    ],
)  # fmt: skip
def test_many_ends_are_grouped(names: list[str], most: int, expected: list[str]) -> None:
    assert frames._fitted(names, most)[0] == expected


def test_links_inside_a_server_are_told_apart_by_their_place() -> None:
    inner = ["r-rack-1-node-1-gpu-1", "r-rack-1-node-1-gpu-2"]
    outer = ["r-rack-1-node-1-nic-1", "r-rack-1-node-1-nic-2"]
    (rows, by), (columns, _) = frames._grouped(inner, outer)
    assert (rows, by, columns) == (["r-rack-1-node-1"] * 2, "server", ["gpu-1", "gpu-2"])


def test_what_was_held_up_is_the_table_of_transfers(networked: Path) -> None:
    run = view(networked, "handed")
    (held,) = frames.held_up(run)
    rows = run.result.tables["transfers"].to_pandas()
    rows = rows[rows["outcome"] == "arrived"]
    assert (held.kind, held.n) == ("kv", len(rows))
    assert held.took_s == pytest.approx((rows["end_s"] - rows["start_s"]).mean())
    assert held.alone_s == pytest.approx(rows["alone_s"].mean())
    assert held.bound_n == rows["bound"].value_counts().iloc[0]


def test_rates_are_in_bits() -> None:
    assert [rate(value) for value in (5e10, 1.25e8, 2e11, 0.0)] == [
        "400 Gb/s", "1 Gb/s", "1.6 Tb/s", "0 b/s",
    ]  # fmt: skip


def test_the_graph_escapes_names() -> None:
    hostile = 'a" URL="javascript:alert(1)\\'
    tiers = pd.DataFrame(
        [{"tier": f"{hostile} → leaf", "links": 2, "used_links": 1, "mean_use": 0.5, "max_use": 1.0,
          "capacity_bytes_per_s": 1e9, "saturated_s": 1.0}]
    )  # fmt: skip
    dot = tiers_graph(tiers, "", Ink("#000", "#111", "#222", "#333", "#444"))
    assert quoted(hostile) == r'"a\" URL=\"javascript:alert(1)\\"'
    assert f'{quoted(hostile)} -> "leaf"' in dot
    assert '" URL' not in dot.replace('\\"', "")


# ---- the page --------------------------------------------------------------------------------


def test_the_answer_names_the_fullest_tier(app: App, networked: Path) -> None:
    page = app(networked, "fabric", run="handed")
    assert not page.exception
    tiers = view(networked, "handed").result.tables["link_tiers"].to_pandas()
    full = tiers.loc[tiers["saturated_s"].idxmax()]
    said = texts(page)
    assert any(text.startswith(f"{full['tier']} was full: ") for text in said)
    moved = view(networked, "handed").result.tables["transfers"].to_pandas()
    moved = moved[(moved["kind"] == "kv") & (moved["outcome"] == "arrived")]
    bound = moved["bound"].value_counts()
    words = f"In the whole run {len(moved):,} transfers of KV took"
    assert any(words in text and f"set the rate of {bound.max():,}" in text for text in said)
    assert page.selectbox(key="tier").value == full["tier"]
    scales = [
        layer["encoding"]["color"]["scale"]["domain"]
        for layer in specification(page, 0)["layer"]
        if "scale" in layer["encoding"].get("color", {})
    ]
    assert scales == [[0.0, 1.0]]
    use = specification(page, 1)["layer"]
    assert {layer["encoding"]["y"].get("title") for layer in use if "y" in layer["encoding"]} >= {
        "use of capacity"
    }
    names = list(view(networked, "handed").result.tables["link_tiers"].to_pandas()["tier"])
    assert [row["tier"] for row in table(page, 1)] == names


def test_a_pair_in_the_url_is_shown_alone(app: App, networked: Path) -> None:
    run = view(networked, "handed")
    links = frames.links_of(run, TIER)
    pair = str(links["pair"][0])
    page = app(networked, "fabric", run="handed", tier=TIER, pair=pair, links="peak use")
    assert not page.exception
    assert f"{pair} over time" in texts(page)
    assert {row["link"] for row in table(page, 0)} == set(links["name"][links["pair"] == pair])
    chosen = [row["pair"] for rows in chart_rows(page, 0) for row in rows if row.get("chosen")]
    assert set(chosen) == {pair}
    page.selectbox(key="tier").select("leaf → spine").run()
    assert not page.exception
    assert page.selectbox(key="pair").value == "the whole tier"


def test_the_graph_is_behind_a_switch(app: App, networked: Path) -> None:
    page = app(networked, "fabric", run="handed")
    assert not page.get("graphviz_chart")
    page.toggle(key="picture").set_value(True).run()
    assert not page.exception
    assert len(page.get("graphviz_chart")) == 1


def test_an_older_run_is_shown_with_its_transfers(app: App, networked: Path) -> None:
    page = app(networked, "fabric", run="older")
    assert not page.exception
    said = texts(page)
    assert any("over time was not recorded" in text for text in said)
    assert "Transfers under way" in said
    assert len(page.get("vega_lite_chart")) == 2


def test_a_partial_run_is_shown(app: App, networked: Path) -> None:
    page = app(networked, "fabric", run="stopped.partial")
    assert not page.exception
    assert any(text.startswith("A partial run: it stopped") for text in texts(page))
    assert len(page.get("vega_lite_chart")) == 2


@pytest.mark.parametrize("name", ["complete", "idle"])
def test_without_a_network_the_page_says_how_to_get_one(app: App, made: Path, name: str) -> None:
    page = app(made, "fabric", run=name)
    assert not page.exception
    said = texts(page)
    assert "No link was measured" in said
    assert any("The scenario states no network" in text and "fabric:" in text for text in said)


def copied(networked: Path, tmp_path: Path) -> Path:
    root = tmp_path / "runs"
    shutil.copytree(networked / "handed", root / "complete")
    return root


@pytest.mark.parametrize(
    ("name", "charts"), [("links", 0), ("summary/links", 1), ("link_tiers", 0), ("transfers", 2)]
)
def test_a_damaged_table_is_told(
    app: App, networked: Path, tmp_path: Path, name: str, charts: int
) -> None:
    root = copied(networked, tmp_path)
    (root / "complete" / name / "part-00000.parquet").write_bytes(b"PAR1 no more")
    page = app(root, "fabric", run="complete")
    assert not page.exception
    assert len(page.get("vega_lite_chart")) == charts
    if name != "transfers":
        assert any("cannot be read as Parquet" in text for text in texts(page))


def test_a_broken_manifest_is_one_line(app: App, runs: Path) -> None:
    (runs / "complete" / "manifest.json").write_text("[1]")
    page = app(runs, "fabric")
    assert not page.exception
    assert "complete cannot be shown" in texts(page)


def test_hostile_names_are_text(app: App, networked: Path, tmp_path: Path) -> None:
    root = copied(networked, tmp_path)
    beacon = "![x](http://evil.example/p.png)<script>alert(1)</script>"
    damage(root, lambda manifest: manifest.update(scenario=beacon, warnings=[beacon]))
    page = app(root, "fabric", run="complete", tier=beacon, pair=beacon, links=beacon)
    assert not page.exception
    assert not any("evil" in element.value for element in page.markdown)
    assert page.selectbox(key="links").value == "peak use"
