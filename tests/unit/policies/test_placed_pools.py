"""Placement policies as scenarios name them: what is placed where, and what is refused."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from sim.engine.api import load_scenario
from sim.engine.build import build
from sim.engine.places import Places
from sim.errors import ScenarioError

SCENARIO = """\
# Test?
rackplan: 1
name: pair
duration: 10 s
site:
  halls: [{name: hall, rows: [{name: row, racks: [{type: dgx-h100-2, count: 4}]}]}]
fabric:
  {kind: rail-optimised, nic: 100 Gb/s, switch: {radix: 8, port: 100 Gb/s, latency: 500 ns}}
llms: [{name: llama-3.1-8b, precision: fp8}]
pools:
  - {name: pre, llm: llama-3.1-8b, tensor_parallel: 4, replicas: 4, decode: dec}
  - {name: dec, llm: llama-3.1-8b, tensor_parallel: 2, replicas: 8}
workload: [{name: chat, pool: pre, source: {input_tokens: 1, output_tokens: 1}, rate: 1 /s}]
policies: {placement: {kind: KIND}}
"""


def servers_of(folder: Path, kind: str) -> dict[str, list[list[int]]]:
    """Pool → the servers of each replica."""
    file = folder / "s.yaml"
    file.write_text(SCENARIO.replace("KIND", kind))
    world = build(load_scenario(file), 1)
    found: dict[str, list[list[int]]] = {"pre": [], "dec": []}
    for one in world.replicas:
        name = world.scenario.pools[one.pool].name
        found[name].append([server for server, _ in one.servers])
    return found


def test_a_pair_of_pools_shares_domains(tmp_path: Path) -> None:
    found = servers_of(tmp_path, "locality")
    assert found["pre"] == [[0], [1], [2], [3]]
    assert Counter(node for nodes in found["dec"] for node in nodes) == {0: 2, 1: 2, 2: 2, 3: 2}


def test_each_pool_is_apart(tmp_path: Path) -> None:
    found = servers_of(tmp_path, "failure-domain-aware")
    assert sorted(found["pre"]) == [[0], [2], [4], [6]]  # four racks
    assert sorted(found["dec"]) == [[node] for node in range(8)]


def test_power_counts_what_is_predicted(tmp_path: Path) -> None:
    """Racks have ratings without a ``power`` section, so both pools are spread over all four."""
    found = servers_of(tmp_path, "power-aware")
    assert sorted(nodes[0] // 2 for nodes in found["pre"]) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ("levels: [racks]", "levels are of utility, msb, ups, pdu, leaf, row, rack, node, not"),
        ("levels: []", "levels names one level or more, each once, not []"),
        ("levels: [rack, rack]", "levels names one level or more, each once"),
        ("levels: rack", "expected a list of words such as [rack, node], not 'rack'"),
        ("level: rack", "unknown key"),
    ],
)
def test_senseless_levels_are_refused(tmp_path: Path, parameters: str, message: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        servers_of(tmp_path, f"failure-domain-aware, {parameters}")
    assert message in str(caught.value)
    assert "s.yaml:14:" in str(caught.value)


def test_a_replica_that_moves_does_not_count_where_it_was(tmp_path: Path) -> None:
    """Four racks, four replicas: the only rack without another is the one it leaves."""
    file = tmp_path / "s.yaml"
    file.write_text(SCENARIO.replace("KIND", "failure-domain-aware, levels: [rack]"))
    places = Places(load_scenario(file), 1)
    for replica in range(4):
        places.take(replica, places.find(replica, 0.0))
    before = places.now[1].servers[0][0]
    assert places.find(1, 1.0).servers[0][0] // 2 == before // 2


def test_a_senseless_step_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="step must be above 0 and at most 100 %, not 0"):
        servers_of(tmp_path, "power-aware, step: 0")


def test_spread_and_affinity_name_what_they_mean_here(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="did you mean 'failure-domain-aware'"):
        servers_of(tmp_path, "spread")
    with pytest.raises(ScenarioError, match="did you mean 'locality'"):
        servers_of(tmp_path, "affinity")
