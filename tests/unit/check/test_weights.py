"""Weights, storage and parts of the network that are sound: what is warned of, what is resolved."""

from __future__ import annotations

from pathlib import Path

import pytest

import sim
from sim.check.scenario import Scenario

BASE = """\
rackplan: 1
name: w
duration: 2 min
site: {halls: [{name: h, rows: [{name: row, racks: [{type: dgx-h100-2, count: 2}]}]}]}
power:
  utility: {rating: 100 kW}
  ups: [{name: ups-a, rating: 100 kW}]
  pdus: {per_row: 1, rating: 100 kW}
llms: [{name: llama-3.1-8b, precision: fp8}]
workload: [{name: w, pool: p, source: synthetic-chat, rate: 1 /s}]
"""
POOL = "pools: [{name: p, llm: llama-3.1-8b, replicas: 4, weights: %s}]\n"
FABRIC = "fabric: {kind: rail-optimised}\n"


def load(folder: Path, more: str, **options: object) -> Scenario:
    file = folder / "w.yaml"
    file.write_text(BASE + more)
    return sim.load_scenario(file, **options)  # type: ignore[arg-type]


def test_shares_are_what_a_rank_holds(tmp_path: Path) -> None:
    scenario = load(tmp_path, FABRIC + "storage: {nodes: 1}\n" + POOL % "storage")
    weights = scenario.pools[0].weights
    assert weights is not None
    assert (weights.source, weights.boot_s, weights.multicast, weights.cold) == (
        "storage", 30.0, False, False,
    )  # fmt: skip
    (whole,) = weights.stage_bytes["h100-sxm"]
    assert whole == pytest.approx(dict(scenario.pools[0].models["h100-sxm"].memory)["weights"])
    assert scenario.storage.nic_bytes_per_s == 50e9  # the server's
    assert scenario.storage.read_bytes_per_s is None
    assert scenario.warnings == ()
    assert scenario.resolved["pools"][0]["weights"] == {
        "source": "storage", "boot_s": 30.0, "multicast": False, "cold": False,
    }  # fmt: skip
    assert scenario.resolved["storage"]["nodes"] == 1
    assert scenario.resolved["policies"]["paths"]["kind"] == "rail"


def test_who_states_nothing_resolves_as_ever(tmp_path: Path) -> None:
    scenario = load(tmp_path, "pools: [{name: p, llm: llama-3.1-8b, replicas: 4}]\n")
    assert "storage" not in scenario.resolved
    assert "weights" not in scenario.resolved["pools"][0]
    assert "paths" not in scenario.resolved["policies"]
    assert not scenario.moves


@pytest.mark.parametrize(
    ("more", "warning"),
    [
        (FABRIC + "storage: {nodes: 1}\npools: [{name: p, llm: llama-3.1-8b, replicas: 4}]\n",
         "storage: no pool loads from it; one does with 'weights: {from: storage}'"),
        (FABRIC + POOL % "peers",
         "pools[p].weights: without storage nodes a replica waits while no other of its pool is "
         "loaded, for ever if all are down at once; 'storage: {nodes: 2}' states some"),
        (FABRIC + "storage: {local: 10 GB/s}\n" + POOL % "local"
         + "events: [{at: 1 s, fail: leaf-1/spine-1}]\n",
         "fabric: checked and kept, but nothing of this scenario crosses it, so what happens to "
         "leaf-1/spine-1 changes nothing"),
    ],
)  # fmt: skip
def test_what_is_warned_of(tmp_path: Path, more: str, warning: str) -> None:
    assert warning in load(tmp_path, more).warnings


def test_a_restart_that_means_nothing_is_warned_of(tmp_path: Path) -> None:
    more = FABRIC + "storage: {nodes: 1}\n" + POOL % "storage"
    scenario = load(tmp_path, more, sets=["power.restart=2 min"])
    assert "power.restart: means nothing: every pool states its 'weights'" in scenario.warnings


def test_events_tell_power_from_network(tmp_path: Path) -> None:
    script = (
        "events:\n"
        "  - {at: 1 s, fail: ups-a}\n"
        "  - {at: 2 s, fail: leaf-1}\n"
        "  - {at: 3 s, fail: row-rack-1-node-1}\n"  # a server of both: its power
        "  - {at: 4 s, fail: leaf-1}\n"
        "  - {at: 5 s, restore: row-rack-2-node-2-nic-8/leaf-8}\n"
    )
    more = FABRIC + "storage: {nodes: 1}\n" + POOL % "storage" + script
    scenario = load(tmp_path, more)
    events = [(event.kind, event.part, event.node >= 0) for event in scenario.events]
    assert events == [
        ("fail", "", True), ("fail-part", "leaf-1", False), ("fail", "", True),
        ("fail-part", "leaf-1", False), ("restore-part", "row-rack-2-node-2-nic-8/leaf-8", False),
    ]  # fmt: skip
    assert scenario.power.nodes[scenario.events[2].node].kind == "server"
    assert "events[3].fail: leaf-1 has failed already, by events[1]" in scenario.warnings
    warning = "events[4].restore: row-rack-2-node-2-nic-8/leaf-8 has not failed by then"
    assert warning in scenario.warnings


def test_a_link_that_is_named_from_its_other_end_is_the_same(tmp_path: Path) -> None:
    more = FABRIC + "storage: {nodes: 1}\n" + POOL % "storage"
    one, other = "row-rack-1-node-1-nic-1/leaf-1", "leaf-1/row-rack-1-node-1-nic-1"
    script = (
        f"events: [{{at: 1 s, fail: {one}}}, {{at: 2 s, restore: {other}}},\n"
        f"  {{at: 3 s, fail: {one}}}, {{at: 4 s, fail: {other}}}]\n"
    )
    told = [w for w in load(tmp_path, more + script).warnings if w.startswith("events")]
    assert told == [f"events[3].fail: {other} has failed already, by events[2]"]


@pytest.mark.parametrize(
    "part", ["row-rack-1-node-2-gpu-3", "row-rack-1-node-2-nvswitch",
             "row-rack-1-node-2-nvswitch/row-rack-1-node-2-gpu-3"],
)  # fmt: skip
def test_a_gpu_that_only_the_network_misses_is_told(tmp_path: Path, part: str) -> None:
    more = FABRIC + "storage: {nodes: 1}\n" + POOL % "storage"
    script = f"events: [{{at: 1 s, fail: {part}}}, {{at: 2 s, restore: {part}}}]\n"
    told = [w for w in load(tmp_path, more + script).warnings if w.startswith("events")]
    assert told == [
        "events[0].fail: only what is sent over the network misses it: replicas go on computing "
        "with it; a server that fails, 'fail: row-rack-1-node-2', takes its replicas down"
    ]


def test_events_of_an_idle_network_are_told_and_change_nothing(tmp_path: Path) -> None:
    more = FABRIC + "pools: [{name: p, llm: llama-3.1-8b, replicas: 4}]\n"
    script = "events: [{at: 1 s, fail: leaf-1}, {at: 2 s, restore: leaf-1}]\n"
    plain = sim.run_scenario(load(tmp_path, more))
    result = sim.run_scenario(load(tmp_path, more + script))
    rows = [(r["t_s"], r["kind"], r["entity"]) for r in result.tables["events"].to_pylist()]
    assert rows[1:3] == [(1.0, "fails", "leaf-1"), (2.0, "is restored", "leaf-1")]
    assert result.tables["requests"].equals(plain.tables["requests"])
