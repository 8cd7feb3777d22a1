"""The page Placement: replicas of runs and pods of placements, and why they are where they are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from dashboard.frames.placement import placed, pods, pods_of, sentences
from dashboard.listing import list_results
from dashboard.load import RunView, read_run, read_view
from sim.engine.api import load_scenario, run_scenario
from sim.results.freeze import freeze
from sim.results.memory import MemorySink
from sim.results.parquet import ParquetSink
from tests.dashboard.conftest import chart_rows, damage, table, texts
from tests.unit.results.by_hand import fill, parts, summariser

App = Callable[..., AppTest]
BEACON = "![x](http://evil.example/p.png) <script>alert(1)</script>"
NODES = """\
sn,cpu_milli,memory_mib,gpu,model
n1,8000,64000,2,G1
n2,8000,64000,2,G1
n3,8000,64000,0,
"""
PODS = """\
name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec
p1,1000,1000,2,1000,
p2,1000,1000,1,1000,
p3,1000,1000,1,500,
p4,1000,1000,2,1000,
p5,1000,1000,1,1000,G9
p6,9000,1000,0,0,
"""
PLACEMENT = """\
rackplan: 1
kind: placement
name: few
nodes: nodes.csv
pods: pods.csv
arrival: list
policies: {placement: {kind: first-fit}}
"""


def decisions() -> dict[str, Any]:
    """Chat 0 at its first choice; chat 1 after two refusals for one reason and one for another."""
    rows = [
        (0.0, "chat replica 0", 0, "0 1 2 3", True, None, None),
        (0.0, "chat replica 1", 0, "0 1 2 3", False, "taken", "GPU 0 holds chat replica 0"),
        (0.0, "chat replica 1", 1, "1 2 3 4", False, "taken", BEACON),
        (0.0, "chat replica 1", 2, "6 7 8 9", False, "two-nodes", "no NVLink from 7 to 8"),
        (0.0, "chat replica 1", 3, "4 5 6 7", True, None, None),
        (5.0, "chat replica 1", 0, "full", False, "full", "routing, which is not placing"),
    ]
    time, subject, rank, suggestion, accepted, code, reason = zip(*rows, strict=True)
    return {
        "t_s": list(time),
        "role": ["placement"] * 5 + ["routing"],
        "policy": ["topology-aware"] * 5 + ["random"],
        "subject": list(subject),
        "rank": list(rank),
        "suggestion": list(suggestion),
        "accepted": list(accepted),
        "reason_code": list(code),
        "reason": list(reason),
    }


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with refusals, written by hand, and a placement of six pods on three nodes."""
    folder = tmp_path_factory.mktemp("placed") / "runs"
    sink = summariser(MemorySink())
    fill(sink, decisions=decisions())
    freeze(sink, parts()).save(folder / "by-hand")
    for name, text in (("nodes.csv", NODES), ("pods.csv", PODS), ("few.yaml", PLACEMENT)):
        (folder.parent / name).write_text(text)
    checked = load_scenario(folder.parent / "few.yaml")
    run_scenario(checked, 1, sink=ParquetSink(folder / "few"))
    return folder


@pytest.fixture
def run(root: Path) -> RunView:
    return read_run(list_results(root), "by-hand")


def test_refusals_are_counted_by_their_reason(run: RunView) -> None:
    found = placed(run)
    assert found.decisions == 5
    assert found.refusals[["reason_code", "n", "replicas"]].to_dict("records") == [
        {"reason_code": "taken", "n": 2, "replicas": 1},
        {"reason_code": "two-nodes", "n": 1, "replicas": 1},
    ]
    assert found.replicas[["replica", "gpus", "choice", "refused"]].to_dict("records") == [
        {"replica": "chat-0", "gpus": "0 to 3", "choice": 1, "refused": 0},
        {"replica": "chat-1", "gpus": "4 to 7", "choice": 4, "refused": 3},
    ]


def test_a_replica_is_explained_as_the_command_does(run: RunView) -> None:
    from sim.policies.purpose import purpose
    from sim.results.explain import explain_replica, replica_named

    whole = run.result
    for name in ("chat-0", "chat-1"):
        told = sentences(run, name)
        purposed = explain_replica(
            whole, replica_named(whole, name), lambda kind: purpose("placement", kind)
        )
        assert [line for line in purposed if not line.startswith("Routing")] == told
    assert any("two-nodes, such as 6 7 8 9: no NVLink" in line for line in sentences(run, "chat-1"))


def test_the_page_says_how_many_are_where_they_were_wanted(app: App, root: Path) -> None:
    page = app(root, "placement", run="by-hand")
    assert not page.exception
    said = texts(page)
    assert (
        "1 of 2 replicas were put where topology-aware wanted them first; 3 suggestions were "
        "refused, mostly: taken." in said
    )
    assert any("its first choice" in text for text in said)
    bars = chart_rows(page, 0)[0]
    assert [(row["reason"], row["n"]) for row in bars] == [("taken", 2), ("two nodes", 1)]
    assert [row["replica"] for row in table(page, 0)] == ["chat-0", "chat-1"]


def test_reasons_are_shown_as_text(app: App, root: Path) -> None:
    page = app(root, "placement", run="by-hand")
    assert any(BEACON in str(row["such as"]) for row in table(page, 1)) or any(
        "GPU 0 holds" in str(row["such as"]) for row in table(page, 1)
    )
    assert not any("evil" in element.value for element in page.markdown)


def test_pods_are_counted_by_what_became_of_them(root: Path) -> None:
    view = read_view(list_results(root), "few")
    found = pods(view)
    rows = view.result.tables["placements"].to_pandas()
    assert dict(zip(found.outcomes["outcome"], found.outcomes["n"], strict=True)) == dict(
        rows["outcome"].value_counts()
    )
    assert found.outcomes["n"].sum() == 6
    placed_rows = rows[rows["outcome"] == "placed"]
    assert found.nodes["pods"].sum() == len(placed_rows)
    for node in found.nodes.itertuples():
        masks = placed_rows.loc[placed_rows["node"] == node.node, "gpu_bits"]
        union = 0
        for mask in masks:
            union |= int(mask)
        assert node.gpus == union.bit_count()
    for outcome in ("gpu", "cpu"):
        assert set(pods_of(view, outcome)["pod"]) == set(
            rows.loc[rows["outcome"] == outcome, "pod"]
        )


def test_a_placement_has_its_own_page(app: App, root: Path) -> None:
    page = app(root, "placement", run="few")
    assert not page.exception
    said = texts(page)
    assert any(text.startswith("first-fit placed ") and "of 6 pods" in text for text in said)
    assert [metric.label for metric in page.metric] == [
        "Not allocated",
        "… at 95 % of arrivals",
        "Fragmented",
        "Pods without a place",
    ]
    assert {row["outcome"] for row in chart_rows(page, 0)[0]} == {"placed", "gpu", "cpu"}


def test_other_pages_send_a_placement_to_its_own(app: App, root: Path) -> None:
    page = app(root, run="few")
    assert not page.exception
    assert "few is a placement" in texts(page)


@pytest.mark.parametrize("name", ["complete", "idle", "stopped.partial"])
def test_runs_without_refusals_say_so(app: App, made: Path, name: str) -> None:
    page = app(made, "placement", run=name)
    assert not page.exception
    said = texts(page)
    assert any(text.startswith("4 of 4 replicas were put where ") for text in said)
    assert any(text.startswith("None: every replica got the place") for text in said)
    assert ("What is here ends there; no objective is judged." in said) == ("partial" in name)


def test_a_broken_manifest_is_one_line(app: App, runs: Path) -> None:
    damage(runs, lambda manifest: manifest["tables"].update(decisions=99))
    page = app(runs, "placement", run="complete")
    assert not page.exception
    assert any("99" in text and "\n" not in text for text in texts(page))


def test_a_damaged_table_is_told(app: App, runs: Path) -> None:
    (runs / "complete" / "decisions" / "part-00000.parquet").write_bytes(b"PAR1 no more")
    page = app(runs, "placement", run="complete")
    assert not page.exception
    assert "Placements cannot be shown" in texts(page)
