"""Storage nodes in the network: their ports, their disks, their place in files and on paths."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import networkx as nx
import numpy as np
import pytest

import sim
from sim.errors import BuildError, PartitionError
from sim.policies.base import policies
from sim.policies.paths.base import PathView, Routes, choose_path
from sim.rng import KeyedBits
from sim.site import Site
from sim.site.fabric.compile import compile_fabric, findings_of
from sim.site.fabric.failures import NetworkState
from sim.site.fabric.files import read_graph, write_graph
from sim.site.fabric.graph import fabric_graph
from sim.site.fabric.measure import measure_fabric
from sim.site.fabric.types import Fabric, FabricPlan, Storage
from tests.unit.site.fabrics import site_of

GIGABIT = 1e9 / 8


def storage_of(nodes: int = 2, **more: float | int | None) -> Storage:
    rates = {"nic_bytes_per_s": 400 * GIGABIT, "read_bytes_per_s": 20e9}
    return Storage(nodes=nodes, **{**rates, **more})  # type: ignore[arg-type]


def plan_of(kind: str, storage: Storage, radix: int | None = 64) -> FabricPlan:
    return FabricPlan(kind, None, 1.0, radix, 400 * GIGABIT, 5e-7, storage=storage)


def built(site: Site, plan: FabricPlan) -> tuple[nx.Graph, Fabric]:
    graph = fabric_graph(site, plan)
    assert findings_of(graph, site, plan.storage) == []
    return graph, compile_fabric(graph, site, plan.storage)


def leaves_of(graph: nx.Graph, name: str) -> dict[str, int]:
    return {there: edge["cables"] for there, edge in graph.adj[name].items()}


def used(graph: nx.Graph) -> Counter[str]:
    """Ports in use of every switch."""
    ports: Counter[str] = Counter()
    for one, other, edge in graph.edges(data=True):
        for end in (one, other):
            ports[end] += edge["cables"] if graph.nodes[end]["kind"] in ("leaf", "spine") else 0
    return +ports


def test_on_rails_storage_takes_the_ports_of_more_servers_in_turn() -> None:
    graph, fabric = built(site_of(4), plan_of("rail-optimised", storage_of(10)))
    places = [next(iter(leaves_of(graph, f"storage-{n}"))) for n in range(1, 11)]
    assert places == [f"leaf-{n}" for n in (1, 2, 3, 4, 5, 6, 7, 8, 1, 2)]
    leaf = used(graph)
    assert [leaf[f"leaf-{n}"] - 32 for n in range(1, 9)] == [6, 6, 5, 5, 5, 5, 5, 5]
    assert measure_fabric(fabric).counts["storage"] == 10


def test_a_unit_that_is_full_makes_storage_open_another() -> None:
    alone, _ = built(site_of(32), plan_of("rail-optimised", Storage()))
    graph, _ = built(site_of(32), plan_of("rail-optimised", storage_of(2)))
    assert [sum(k == "leaf" for _, k in g.nodes(data="kind")) for g in (alone, graph)] == [8, 16]
    assert list(leaves_of(graph, "storage-1")) == ["leaf-9"]
    assert max(used(graph).values()) <= 64


@pytest.mark.parametrize(
    ("servers", "nics", "leaf"), [(3, 4, "leaf-1"), (4, 1, "leaf-2"), (3, 9, "leaf-2")]
)
def test_elsewhere_all_nics_of_a_storage_node_stand_on_one_leaf(
    servers: int, nics: int, leaf: str
) -> None:
    graph, fabric = built(site_of(servers), plan_of("leaf-spine", storage_of(1, nics=nics)))
    assert leaves_of(graph, "storage-1") == {leaf: nics}
    assert max(used(graph).values()) <= 64
    row = next(row for row in measure_fabric(fabric).cables if row.lower == "storage")
    assert (row.count, row.total_bytes_per_s) == (nics, nics * 400 * GIGABIT)


def test_one_switch_has_ports_for_storage_or_is_refused() -> None:
    graph, _ = built(site_of(2), plan_of("single-switch", storage_of(3), None))
    assert graph.nodes["leaf-1"]["ports"] == 19 == used(graph)["leaf-1"]
    with pytest.raises(BuildError, match=r"has 19 NICs \(3 of storage nodes\), more than the 18"):
        fabric_graph(site_of(2), plan_of("single-switch", storage_of(3), 18))


def test_disks_are_vertices_of_the_arrays_only() -> None:
    site = site_of(2)
    storage = storage_of(2, local_bytes_per_s=5e9)
    graph, fabric = built(site, plan_of("leaf-spine", storage))
    assert not [name for name in graph if name.endswith("-disks")]
    for name, rate in (("storage-2", 20e9), ("row-rack-1-node-2", 5e9)):
        vertex = fabric.reads_from(name)
        assert fabric.names[vertex] == f"{name}-disks"
        (link,) = fabric.out_of(vertex)
        assert fabric.names[fabric.link_to[link]] == name
        assert fabric.capacity_bytes_per_s[link] == rate
    plain = compile_fabric(graph, site, storage_of(2, read_bytes_per_s=None))
    assert plain.names[plain.reads_from("storage-2")] == "storage-2"


@pytest.mark.parametrize("suffix", [".json", ".graphml"])
def test_a_file_brings_storage_back(tmp_path: Path, suffix: str) -> None:
    site, storage = site_of(2), storage_of(2, nics=2)
    graph, fabric = built(site, plan_of("rail-optimised", storage))
    file = tmp_path / f"fabric{suffix}"
    write_graph(graph, file)
    again, found = read_graph(file, "fabric", site)
    assert found == []
    assert findings_of(again, site, storage) == []
    same = compile_fabric(again, site, storage)
    assert same.names == fabric.names
    np.testing.assert_array_equal(same.link_from, fabric.link_from)
    np.testing.assert_array_equal(same.capacity_bytes_per_s, fabric.capacity_bytes_per_s)


def test_a_name_of_disks_is_taken() -> None:
    site, storage = site_of(2), storage_of(1)
    graph = fabric_graph(site, plan_of("leaf-spine", storage))
    graph.add_node("storage-1-disks", kind="leaf")
    graph.add_edge("storage-1-disks", "leaf-1", bytes_per_s=1e9, latency_s=0.0, cables=1)
    (problem,) = findings_of(graph, site, storage)
    assert problem.message == "'storage-1-disks' is the name of the disks of storage-1"


@pytest.mark.parametrize("kind", ["rail", "ecmp", "shortest", "adaptive", "random"])
@pytest.mark.parametrize("read", [20e9, None])
def test_nothing_passes_through_a_storage_node(kind: str, read: float | None) -> None:
    site, storage = site_of(2), storage_of(1, nics=2, read_bytes_per_s=read)
    _, fabric = built(site, plan_of("rail-optimised", storage))
    state = NetworkState(fabric)
    routes = Routes(state)
    policy = policies("paths")[kind]()

    def path(source: int, target: int) -> list[str]:
        view = PathView(routes, source, target, 0, 0, np.zeros(fabric.links))
        links = choose_path(policy, view, policy.new_state(), KeyedBits(1, "policy/paths"))
        return [fabric.names[fabric.link_to[link]] for link in links]

    gpu = fabric.vertex_of["row-rack-1-node-1-gpu-1"]
    source = fabric.reads_from("storage-1")
    way = path(source, gpu)
    assert way == ["storage-1"] * (read is not None) + ["leaf-1", way[-2], way[-1]]
    # Its two NICs stand on leaves that nothing else joins once the spines are dead.
    for name in fabric.names:
        if name.startswith("spine"):
            state.fail(name)
    nics = [fabric.vertex_of[f"row-rack-1-node-{n}-gpu-{n}"] for n in (1, 2)]
    for host in ("row-rack-1-node-1", "row-rack-1-node-2"):
        state.fail(host)
        state.fail(f"{host}-nvswitch")
    with pytest.raises(PartitionError):
        path(*nics)
    assert path(source, nics[0])[-1] == "row-rack-1-node-1-gpu-1"
    assert path(source, nics[1])[-1] == "row-rack-1-node-2-gpu-2"


def test_a_function_joins_storage_where_no_network_is_stated(tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    file.write_text(
        "rackplan: 1\nname: s\nduration: 1 min\n"
        "site: {halls: [{name: h, rows: [{name: row, racks: [{type: dgx-h100-2}]}]}]}\n"
        "storage: {nodes: 1, read: 20 GB/s}\n"
        "llms: [{name: llama-3.1-8b, precision: fp8}]\n"
        "pools: [{name: p, llm: llama-3.1-8b, replicas: 2, weights: storage}]\n"
        "workload: [{name: w, pool: p, source: synthetic-chat, rate: 1 /s}]\n"
    )

    def switch(graph: nx.Graph) -> nx.Graph:
        graph.add_node("leaf-1", kind="leaf")
        ends = [name for name, kind in graph.nodes(data="kind") if kind in ("nic", "storage")]
        for name in ends:
            graph.add_edge(name, "leaf-1", bytes_per_s=50e9, latency_s=0.0, cables=1)
        return graph

    scenario = sim.load_scenario(file, fabric=switch)
    assert scenario.fabric is not None
    fabric = scenario.fabric.build(scenario.site)
    assert fabric.names[fabric.reads_from("storage-1")] == "storage-1-disks"
    assert scenario.moves
