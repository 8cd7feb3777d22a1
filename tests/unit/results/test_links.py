"""The tables of links: names, tiers, quantiles, what idles; metrics; runs without them."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sim.results.links import link_rows, link_tables, tier_rows
from sim.results.measure_links import no_traffic
from sim.results.parquet import ParquetSink
from sim.results.result import open_run
from sim.results.schema import to_batch
from sim.site.fabric.types import VERTICES, Fabric
from tests.unit.results.traffic import run_over, run_with, small_fabric, traffic

FLOWS = 400


@pytest.fixture(scope="module")
def fabric() -> Fabric:
    return small_fabric()


def test_rows_name_what_carried_something(fabric: Fabric) -> None:
    meters = traffic(fabric, FLOWS)
    rows = link_rows(fabric, meters)
    assert to_batch("links", rows).num_rows == len(meters.link) == 160
    for number, name, tier in zip(rows["link"], rows["name"], rows["tier"], strict=True):
        ends = name.partition("#")[0].split(" → ")
        assert [fabric.vertex_of[end] for end in ends] == [
            fabric.link_from[number], fabric.link_to[number],
        ]  # fmt: skip
        kinds = [VERTICES[fabric.kinds[fabric.vertex_of[end]]] for end in ends]
        assert tier == " → ".join(kinds)
    order = np.argsort(rows["saturated_s"])
    assert (rows["max_use"][order[-50:]] == 1.0).all()
    assert (rows["p50_use"] <= rows["p95_use"]).all()
    assert (rows["p99_use"] <= rows["max_use"]).all()
    np.testing.assert_allclose(
        rows["mean_use"], rows["bytes"] / (rows["capacity_bytes_per_s"] * 540.0), rtol=1e-12
    )


def test_tiers_have_all_links_and_conserve_bytes(fabric: Fabric) -> None:
    meters = traffic(fabric, FLOWS)
    tiers = tier_rows(fabric, meters)
    assert to_batch("link_tiers", tiers).num_rows == 12
    assert tiers["tier"][:2] == ["gpu → nvswitch", "nvswitch → gpu"]
    assert tiers["links"].sum() == fabric.links == 352
    assert tiers["used_links"].sum() == 160
    of = {name: k for k, name in enumerate(tiers["tier"])}
    for tier in ("gpu → nic", "nic → leaf", "leaf → nic", "nic → gpu"):
        assert tiers["bytes"][of[tier]] == pytest.approx(FLOWS * 8e9, rel=1e-9)
    assert tiers["bytes"][of["leaf → spine"]] == pytest.approx(
        tiers["bytes"][of["spine → leaf"]], rel=1e-9
    )
    assert tiers["held_flows"].sum() == FLOWS
    k = of["nic → leaf"]
    assert tiers["mean_use"][k] == pytest.approx(
        FLOWS * 8e9 / (tiers["capacity_bytes_per_s"][k] * 540.0), rel=1e-9
    )
    rows = link_rows(fabric, meters)
    mine = np.array(rows["tier"]) == "nic → leaf"
    assert tiers["saturated_s"][k] == rows["saturated_s"][mine].max()
    assert tiers["saturated_links"][k] == (rows["saturated_s"][mine] > 0.0).sum()


def test_a_link_that_is_down_all_the_time_has_no_utilisation(fabric: Fabric) -> None:
    meters = traffic(fabric, FLOWS, "leaf-1/spine-1#1")
    rows = link_rows(fabric, meters)
    down = np.flatnonzero(rows["down_s"] > 0.0)
    assert [rows["name"][k] for k in down] == ["leaf-1 → spine-1#1", "spine-1 → leaf-1#1"]
    batch = to_batch("links", rows)
    for name in ("mean_use", "p50_use", "p95_use", "p99_use", "max_use"):
        assert batch.column(name).null_count == 2
    assert (rows["down_s"][down] == 540.0).all()
    assert tier_rows(fabric, meters)["down_links"].tolist() == [0] * 10 + [1, 1]


def test_meters_of_another_network_are_refused(fabric: Fabric) -> None:
    meters = dataclasses.replace(traffic(fabric, 1), links=7)
    with pytest.raises(ValueError, match=r"^the network has 352 directed links, the meters 7$"):
        link_tables(fabric, meters)


def test_a_run_says_how_busy_its_network_was(fabric: Fabric, tmp_path: Path) -> None:
    meters = traffic(fabric, FLOWS)
    result = run_with(fabric, meters, ParquetSink(tmp_path / "run"))
    rows = link_rows(fabric, meters)
    for found in (result, open_run(tmp_path / "run")):
        assert found.metrics["busiest_link_use"].value == max(rows["mean_use"])
        assert found.metrics["link_saturated_s"].value == max(rows["saturated_s"])
        assert found.tables["links"].num_rows == 160


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"resolved": {}}, "the scenario states no network"),
        ({}, "nothing crosses the network in this run"),
        ({"simulated_s": 30.0},
         "the run has no measurement window: it ended before its warm-up did"),
    ],
)  # fmt: skip
def test_without_links_there_is_a_reason(changes: dict[str, Any], reason: str) -> None:
    result = run_over({}, **changes)
    for name in ("busiest_link_use", "link_saturated_s"):
        metric = result.metrics[name]
        assert (metric.value, metric.reason) == (None, reason)


def test_a_network_that_idles_says_so(fabric: Fabric) -> None:
    result = run_with(fabric, traffic(fabric, 0))
    reason = "nothing crossed the network in the measurement window"
    assert no_traffic(result) == reason
    assert result.metrics["busiest_link_use"].reason == reason
    assert result.tables["link_tiers"].column("links").to_pylist()[0] == 32


def test_a_run_from_before_links_were_measured_still_opens(fabric: Fabric, tmp_path: Path) -> None:
    folder = tmp_path / "old"
    run_with(fabric, traffic(fabric, 5), ParquetSink(folder))
    manifest = json.loads((folder / "manifest.json").read_text())
    for table in ("links", "link_tiers"):
        del manifest["tables"][table]
        for file in (folder / table).iterdir():
            file.unlink()
        (folder / table).rmdir()
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "metrics.json").unlink()
    old = open_run(folder)
    assert "links" not in old.tables
    metric = old.metrics["link_saturated_s"]
    assert metric.value is None
    assert metric.reason == "the run was made by a rackplan that did not measure links"
