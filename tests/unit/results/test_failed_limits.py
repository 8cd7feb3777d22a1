"""What requests failed by: power, the network, or weights that were not there; and what helps."""

from __future__ import annotations

from pathlib import Path

import pytest

from sim.cli.summary_parts import ttft_sentences
from sim.engine.api import load_scenario, run_scenario
from sim.results.network_advice import faster_network
from sim.results.verdict import Verdict, verdict

SCENARIO = """\
rackplan: 1
name: failing
duration: 30 s
warm_up: 1 s
site: {halls: [{name: hall, rows: [{name: row, racks: [{type: dgx-h100-2, count: 1}]}]}]}
power: {restart: 2 s}
fabric: {kind: single-switch, nic: 100 Gb/s, switch: {radix: 64, port: 100 Gb/s, latency: 500 ns}}
storage: {nodes: 1, local: 4 GB/s}
llms: [{name: llama-3.1-8b, precision: bf16}]
pools:
  - {name: pre, llm: llama-3.1-8b, tensor_parallel: 1, replicas: 8, decode: dec, weights: local}
  - {name: dec, llm: llama-3.1-8b, tensor_parallel: 1, replicas: 8}
workload:
  - {name: chat, pool: pre, source: {input_tokens: 500, output_tokens: 5}, rate: 40 /s,
     slo: {ttft: 500 ms, tpot: 50 ms}}
"""
CUT = "events=[{at: 10 s, fail: leaf-1}, {at: 20 s, restore: leaf-1}]"
DARK = "events=[{at: 10 s, fail: utility}, {at: 11 s, restore: utility}]"


def judged(folder: Path, *sets: str) -> Verdict:
    file = folder / "s.yaml"
    file.write_text(SCENARIO)
    return verdict(run_scenario(load_scenario(file, sets=sets)))


def shares(found: Verdict) -> dict[str, float]:
    return {
        limit.kind: limit.share
        for limit in found.limits
        if limit.kind in ("outage", "partition", "weights")
    }


def test_kv_without_a_path_is_not_an_outage_of_power(tmp_path: Path) -> None:
    found = judged(tmp_path, CUT)
    assert found.binding is not None
    assert found.binding.kind == "partition"
    assert found.binding.sentence.startswith("failures of the network: ")
    assert "no path was left for their KV from pool pre to dec" in found.binding.sentence
    assert found.next_step.startswith("a second way around what failed")
    assert shares(found) == {"outage": 0.0, "partition": pytest.approx(10 / 29, abs=0.05)}


def test_failures_while_weights_load_are_told_from_those_without_power(tmp_path: Path) -> None:
    # A second without power and 30 s of boot, then 16 GB for each of 8 GPUs over 4 GB/s: 32 s.
    found = judged(tmp_path, DARK, "duration=60 s")
    both = shares(found)
    assert both["outage"] == pytest.approx(31 / 59, abs=0.05)
    assert both["weights"] == pytest.approx(19 / 59, abs=0.05)
    assert "partition" not in both


def test_a_cold_start_names_the_weights_and_what_is_faster(tmp_path: Path) -> None:
    cold = "pools[pre].weights={from: local, start: cold, boot: 0 s}"
    found = judged(tmp_path, cold)
    assert found.binding is not None
    assert found.binding.kind == "weights"
    assert found.next_step == "faster disks: --set 'storage.local=8 GB/s'"
    stored = judged(tmp_path, cold.replace("local", "storage"), "storage.read=1 GB/s")
    assert stored.next_step == (
        "more storage nodes: --set storage.nodes=2, or replicas that serve each other: "
        "--set 'pools[pre].weights={from: peers, multicast: true}'"
    )


def test_without_rows_of_requests_failures_are_outages(tmp_path: Path) -> None:
    assert shares(judged(tmp_path, CUT, "record=summary")).keys() == {"outage"}


def test_faster_nics_are_not_advised_beyond_the_ports_of_the_switch() -> None:
    def advice(**fabric: object) -> str:
        return faster_network({"resolved": {"fabric": {"nic": 12.5e9, **fabric}}}, "nic → leaf")

    faster = "faster NICs: --set 'fabric.nic=200 Gb/s'"
    assert advice() == faster
    assert advice(switch={"port": 50e9}) == faster
    assert advice(switch={"port": 12.5e9}) == f"{faster} --set 'fabric.switch.port=200 Gb/s'"
    assert advice(switch={"name": "one"}) == f"{faster}, if the ports of its switch: are as fast"
    assert advice(nic=None) == "a network with faster NICs, or both pools in the same servers"


def test_one_path_for_all_is_left_before_uplinks_are_bought() -> None:
    def advice(paths: str) -> str:
        fabric = {"nic": 12.5e9, "oversubscription": 4.0}
        policies = {"paths": {"kind": paths}}
        return faster_network(
            {"resolved": {"fabric": fabric, "policies": policies}}, "leaf → spine"
        )

    assert advice("shortest").endswith("--set 'policies.paths={kind: ecmp}'")
    assert advice("ecmp").endswith("or more uplinks: --set fabric.oversubscription=2")


@pytest.mark.parametrize(
    ("path", "word"),
    [("[]", "earlier attempts"),
     ("[{kind: network, latency: 1 ms}]", "ingress and earlier attempts")],
)  # fmt: skip
def test_waits_before_the_last_attempt_are_not_called_a_way(
    path: str, word: str, tmp_path: Path
) -> None:
    file = tmp_path / "s.yaml"
    file.write_text(SCENARIO)
    again = "workload[chat].retry={attempts: 3, wait: 5 s}"
    sets = [again, CUT, f"workload[chat].path={path}"]
    (line,) = ttft_sentences(run_scenario(load_scenario(file, sets=sets)))
    assert f" = {word} " in line
