"""The page Scenario: what exactly ran, and on what."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from dashboard.frames import scenario as frames
from dashboard.listing import list_results
from dashboard.load import read_view
from sim.catalog.library import load
from sim.check import check
from sim.paths import share
from sim.place.run import run_placement
from sim.results.manifest import versions
from sim.results.parquet import ParquetSink
from sim.spec import read, read_text
from tests.dashboard.conftest import damage, table, texts

App = Callable[..., AppTest]


@pytest.fixture(scope="module")
def placed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with the run of a placement."""
    root = tmp_path_factory.mktemp("placed") / "runs"
    scenario = check(read(share("scenarios") / "gpu-cluster.yaml", sets=["arrival=96 %"]))
    inputs = {"nodes: gpu-cluster-nodes.csv": "ab" * 32, "policy: mine": None}
    run_placement(scenario, 7, ParquetSink(root / "few"), inputs)  # type: ignore[arg-type]
    return root


def test_the_yaml_is_what_ran(app: App, made: Path) -> None:
    page = app(made, "scenario", run="over-budget")
    assert not page.exception
    view = read_view(list_results(made), "over-budget")
    text = page.code[0].value
    assert page.code[0].language == "yaml"
    assert "budget: 15 kW" in text  # as --set had it
    assert check(read_text(text, folder=made)).resolved == view.manifest["resolved"]
    page.selectbox(key="form").select("resolved").run()
    assert not page.exception
    assert "duration_s: 30.0" in page.code[0].value


def test_it_says_what_ran_and_how_to_make_it_again(app: App, made: Path) -> None:
    page = app(made, "scenario", run="complete")
    assert (
        "tiny under seed 0: 40.0 s simulated of 32 GPUs, measured from 5.00 s to 30.0 s, recorded: "
        "every request."
    ) in texts(page)
    assert page.code[1].value == "rackplan run complete.yaml --seed 0"
    assert any("the tables are equal byte by byte" in text for text in texts(page))
    (link,) = (one.proto for one in page.get("page_link") if "Change" in one.proto.label)
    assert "run=complete" in link.query_string


def test_sources_have_their_licences(app: App, made: Path) -> None:
    page = app(made, "scenario", run="complete")
    known = load().sources
    rows = {row["source"]: row for row in table(page, 0)}
    manifest = read_view(list_results(made), "complete").manifest
    assert list(rows) == list(manifest["sources"])
    for name, row in rows.items():
        assert row["licence"] == known[name].licence
        assert row["address"] == known[name].address


def test_versions_are_compared_with_those_here(app: App, runs: Path) -> None:
    damage(runs, lambda manifest: manifest["versions"].update(numpy="1.0", code="0" * 16))
    rows, same = frames.version_rows(read_view(list_results(runs), "complete"))
    assert not same
    by = {row["what"]: row for row in rows}
    assert by["numpy"] == {
        "what": "numpy", "made with": "1.0", "here": versions()["numpy"], "same": "✕"
    }  # fmt: skip
    assert by["digest of code and data"]["same"] == "✕"
    assert by["rackplan"]["same"] == "✓"
    page = app(runs, "scenario", run="complete")
    assert any("it was made with other versions" in text for text in texts(page))


def test_rows_of_tables_and_digests_are_those_of_the_manifest(made: Path, placed: Path) -> None:
    view = read_view(list_results(made), "complete")
    rows = {row["table"]: row for row in frames.table_rows(view)}
    assert {name: row["rows"] for name, row in rows.items()} == {
        name: f"{count:,}" for name, count in view.manifest["tables"].items()
    }
    assert rows["transfers"]["note"] == "not recorded, or nothing happened"
    assert len(frames.calibration_rows(view)) == len(view.manifest["calibration"]["constants"])
    assert frames.input_rows(view) == []
    assert frames.input_rows(read_view(list_results(placed), "few")) == [
        {"used by": "nodes", "file": "gpu-cluster-nodes.csv", "SHA-256": "ab" * 32},
        {"used by": "policy", "file": "mine", "SHA-256": "unknown"},
    ]


def test_a_placement_is_shown(app: App, placed: Path) -> None:
    page = app(placed, "scenario", run="few")
    assert not page.exception
    said = texts(page)
    assert "gpu-cluster under seed 7: 420 pods listed, 108 nodes, 512 GPUs." in said
    assert "No speed or draw was predicted." in said
    assert page.code[1].value == "rackplan run few.yaml --seed 7"
    assert "kind: placement" in page.code[0].value


@pytest.mark.parametrize("name", ["stopped.partial", "idle", "summary", "unlimited"])
def test_other_runs_are_shown(app: App, made: Path, name: str) -> None:
    page = app(made, "scenario", run=name)
    assert not page.exception
    assert any(text.startswith("tiny under seed 0: ") for text in texts(page))
    assert ("stopped before its end" in " ".join(texts(page))) == (name == "stopped.partial")


def test_a_run_that_kept_only_its_resolved_form(app: App, runs: Path) -> None:
    damage(runs, lambda manifest: manifest.pop("written"))
    page = app(runs, "scenario", run="complete")
    assert not page.exception
    assert page.selectbox(key="form").options == ["resolved"]
    assert any("as it was written it was not kept" in text for text in texts(page))
    assert any("no shipped one is the same" in text for text in texts(page))


def test_an_older_run_of_a_shipped_scenario_is_told_by_its_meaning(app: App, placed: Path) -> None:
    import json
    import shutil

    root = placed.parent / "older"
    scenario = check(read(share("scenarios") / "gpu-cluster.yaml"))
    shutil.copytree(placed, root)
    file = root / "few" / "manifest.json"
    manifest = json.loads(file.read_text())
    del manifest["written"]
    manifest["resolved"] = json.loads(json.dumps(scenario.resolved))
    file.write_text(json.dumps(manifest))
    page = app(root, "scenario", run="few")
    assert not page.exception
    assert page.code[1].value == "rackplan run scenarios/gpu-cluster.yaml --seed 7"


def test_a_damaged_part_hides_only_itself(app: App, runs: Path) -> None:
    damage(runs, lambda manifest: manifest.update(calibration={"constants": 3}, sources=3))
    page = app(runs, "scenario", run="complete")
    assert not page.exception
    assert sum("are not what a run writes" in text for text in texts(page)) == 2
    assert page.code[1].value == "rackplan run complete.yaml --seed 0"
