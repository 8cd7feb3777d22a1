"""Tenants of pools: what is resolved, which leaves servers are on, and what is warned of."""

from __future__ import annotations

from pathlib import Path

import networkx as nx
import pytest

from sim.check import check
from sim.check.scenario import Scenario
from sim.errors import ScenarioError
from sim.site.fabric.source import Edit
from sim.spec import read

BASE = Path(__file__).resolve().parents[2] / "broken" / "common" / "base.yaml"
CHAT = "{name: chat, llm: llama-3.1-70b, tensor_parallel: 4, replicas: 2%s}"
BANK = "{name: bank, llm: llama-3.1-70b, tensor_parallel: 4, replicas: 2%s}"
#: Two leaves, of four servers each.
NETWORK = "fabric: {kind: leaf-spine, switch: {radix: 64, port: 400 Gb/s, latency: 500 ns}}\n"


def checked(
    folder: Path, chat: str, bank: str, more: str = "", edit: Edit | None = None
) -> Scenario:
    file = folder / "s.yaml"
    text = BASE.read_text().replace("pools:", "x-pools:")
    file.write_text(f"{text}pools: [{CHAT % chat}, {BANK % bank}]\n{more}")
    scenario = check(read(str(file)), edit)
    assert isinstance(scenario, Scenario)
    return scenario


def test_what_nobody_states_is_not_in_the_resolved_scenario(tmp_path: Path) -> None:
    plain = checked(tmp_path, "", "")
    assert {"tenant", "isolation"}.isdisjoint(plain.resolved["pools"][1])
    bank = checked(tmp_path, "", ", tenant: bank, isolation: rack").resolved["pools"][1]
    assert (bank["tenant"], bank["isolation"]) == ("bank", "rack")


def test_leaves_are_looked_up_where_a_pool_is_to_have_its_own(tmp_path: Path) -> None:
    stated = ", tenant: bank, isolation: %s"
    assert checked(tmp_path, "", stated % "rack", NETWORK).leaves == ()
    leaves = checked(tmp_path, "", stated % "leaf", NETWORK).leaves
    assert leaves == (("leaf-1",),) * 4 + (("leaf-2",),) * 4


def test_a_server_is_on_a_leaf_for_each_rail(tmp_path: Path) -> None:
    """Switches of 8 ports: rails of four servers, so the ninth leaf begins with the fifth."""
    rails = NETWORK.replace("leaf-spine", "rail-optimised").replace("64", "8")
    leaves = checked(tmp_path, "", ", tenant: bank, isolation: leaf", rails).leaves
    assert leaves[0] == leaves[3] == tuple(f"leaf-{n}" for n in range(1, 9))
    assert leaves[4] == leaves[7] == tuple(f"leaf-{n}" for n in range(9, 17))


def test_what_changes_nothing_is_warned_of(tmp_path: Path) -> None:
    named = ", tenant: bank"
    assert checked(tmp_path, "", named).warnings[0] == (
        "pools[bank].tenant: has no effect: no pool states 'isolation'"
    )
    alone = checked(tmp_path, named, f"{named}, isolation: node").warnings[0]
    assert alone == "pools[bank].isolation: has no effect: every pool is of tenant bank"
    for chat in ("", ", tenant: shop"):
        apart = checked(tmp_path, chat, f"{named}, isolation: node").warnings
        assert not any("no effect" in text for text in apart)


def test_a_graph_in_which_a_server_is_on_no_leaf(tmp_path: Path) -> None:
    """Everything is joined, but the last server hangs from the spine."""

    def edit(graph: nx.Graph) -> nx.Graph:
        graph.edges["leaf-1", "spine-1"]["cables"] -= 8  # makes room for it
        for number in range(1, 9):
            nic = f"row-1-rack-2-node-4-nic-{number}"
            graph.add_edge(nic, "spine-1", **graph.edges[nic, "leaf-2"])
            graph.remove_edge(nic, "leaf-2")
        return graph

    with pytest.raises(ScenarioError) as caught:
        checked(tmp_path, "", ", tenant: bank, isolation: leaf", NETWORK, edit)
    assert [problem.message for problem in caught.value.problems] == [
        "row-1-rack-2-node-4 is on no leaf of this network; write 'isolation: rack'"
    ]
