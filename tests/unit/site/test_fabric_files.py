"""Networks in files and from functions: read, written, edited, refused."""

from __future__ import annotations

import json
from pathlib import Path

import networkx as nx
import numpy as np
import pytest

import sim
from sim.errors import DataError, ScenarioError
from sim.site.fabric.compile import compile_fabric, findings_of
from sim.site.fabric.files import digest, read_graph, write_graph
from sim.site.fabric.graph import fabric_graph, nic_names
from sim.site.fabric.types import VERTICES
from tests.unit.site.fabrics import built, plan_of, site_of

QUICKSTART = Path(__file__).resolve().parents[3] / "scenarios" / "quickstart.yaml"


@pytest.mark.parametrize("suffix", [".json", ".graphml"])
@pytest.mark.parametrize(("nodes", "node"), [(6, "dgx-h100"), (36, "tray")])
def test_a_file_gives_back_the_network(tmp_path: Path, suffix: str, nodes: int, node: str) -> None:
    site = site_of(nodes, node)
    plan = plan_of(radix=16)
    file = tmp_path / f"fabric{suffix}"
    write_graph(fabric_graph(site, plan), file)
    graph, found = read_graph(file, file.name, site)
    assert found == []
    assert findings_of(graph, site) == []
    back, fabric = compile_fabric(graph, site), built(site, plan)
    for field in ("names", "kinds", "link_from", "link_to", "capacity_bytes_per_s", "latency_s",
                  "cable_number", "merged", "out_ptr", "out_link", "gpu_nic"):  # fmt: skip
        assert np.array_equal(getattr(back, field), getattr(fabric, field)), field


def test_a_file_of_networkx_itself_is_read(tmp_path: Path) -> None:
    site = site_of(2)
    graph = fabric_graph(site, plan_of("single-switch", radix=None))
    (tmp_path / "own.json").write_text(json.dumps(nx.node_link_data(graph, edges="edges")))
    (tmp_path / "old.json").write_text(json.dumps(nx.node_link_data(graph, edges="links")))
    nx.write_graphml(graph, tmp_path / "own.graphml")
    for name in ("own.json", "old.json", "own.graphml"):
        back, found = read_graph(tmp_path / name, name, site)
        assert found == []
        assert digest(back) == digest(graph)


def test_switches_and_nics_are_enough(tmp_path: Path) -> None:
    site = site_of(4)
    edges = [{"source": nic, "target": f"leaf-{n % 2}", "rate": "400 Gb/s"}
             for n, nic in enumerate(nic_names(site))]  # fmt: skip
    edges.append({"source": "leaf-0", "target": "leaf-1", "rate": "800 Gb/s", "cables": 4})
    nodes = [{"id": nic, "kind": "nic"} for nic in nic_names(site)]
    nodes += [{"id": "leaf-0", "kind": "leaf"}, {"id": "leaf-1", "kind": "leaf"}]
    file = tmp_path / "fabric.json"
    file.write_text(json.dumps({"nodes": nodes, "edges": edges}))
    graph, found = read_graph(file, file.name, site)
    assert found == findings_of(graph, site) == []
    fabric = compile_fabric(graph, site)
    kinds = [VERTICES[kind] for kind in fabric.kinds]
    assert kinds.count("gpu") == 32
    assert kinds.count("nvswitch") == 4
    between = [
        link for link in fabric.out_of(fabric.vertex_of["leaf-0"])
        if fabric.names[fabric.link_to[link]] == "leaf-1"
    ]  # fmt: skip
    assert [fabric.link_name(link) for link in between] == [
        f"leaf-0 → leaf-1#{number}" for number in (1, 2, 3, 4)
    ]
    assert (fabric.capacity_bytes_per_s[between] == 100e9).all()


@pytest.mark.parametrize(
    ("name", "text", "line", "says"),
    [
        ("a.json", "[]", 1, "expected node-link data"),
        ("a.json", "{}", 0, "holds no vertex"),
        ("a.json", '{"nodes": 3}', 1, "nodes: expected a list"),
        ("a.json", '{\n"nodes": [\n1]}', 3, "nodes[0]: expected a mapping"),
        ("a.json", '{\n"vertices": []}', 2, "unknown key 'vertices' (known: nodes, edges, graph)"),
        ("a.json", '{"nodes": []}\n{}', 2, "is not JSON: extra data"),
        ("a.json", '{"nodes": [', 1, "is not JSON"),
        ("a.json", '{"graph": ' + "[" * 100_000, 0, "is nested too deeply"),
        ("a.json", '{"multigraph": true}', 1, "multigraph: expected false"),
        ("a.graphml", "<graphml/>", 0, "holds no vertex"),
        ("a.graphml", '<!DOCTYPE x [<!ENTITY a "b">]>\n<graphml/>', 1, "a document type"),
        ("a.graphml", '<g>\n<graph edgedefault="directed"/></g>', 2, "edgedefault"),
        ("a.graphml", "", 1, "is not GraphML: no element found"),
        ("a.graphml", '<?xml version="1.0" encoding="klingon"?><a/>', 0, "is not GraphML"),
    ],
)
def test_files_that_are_no_network_say_why(
    tmp_path: Path, name: str, text: str, line: int, says: str
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError) as caught:
        read_graph(tmp_path / name, name, site_of(2))
    assert says in str(caught.value)
    assert caught.value.line == line


def test_a_nic_without_a_cable_is_named() -> None:
    def unplugged(graph: nx.Graph) -> nx.Graph:
        graph.remove_edge("row-1-rack-1-node-2-nic-3", "leaf-3")
        return graph

    with pytest.raises(ScenarioError, match="row-1-rack-1-node-2-nic-3 is joined to no switch: "):
        sim.load_scenario(QUICKSTART, fabric=unplugged)


def test_half_a_character_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b'{\n"nodes": ["\xff"]}')
    with pytest.raises(DataError, match=r"a\.json:2: is not UTF-8 text"):
        read_graph(tmp_path / "a.json", "a.json", site_of(2))


def test_a_function_edits_the_network() -> None:
    def thinner(graph: nx.Graph) -> nx.Graph:
        graph.remove_node("spine-4")
        for _, _, about in graph.edges("leaf-1", data=True):
            about["bytes_per_s"] /= 2
        return graph

    plain = sim.load_scenario(QUICKSTART)
    edited = sim.load_scenario(QUICKSTART, fabric=thinner)
    assert plain.fabric is not None
    assert edited.fabric is not None
    assert edited.fabric.kind == "function"
    before, after = plain.fabric.build(plain.site), edited.fabric.build(edited.site)
    assert "spine-4" in before.vertex_of
    assert "spine-4" not in after.vertex_of
    ends = after.vertex_of["leaf-1"], after.vertex_of["spine-1"]
    (link, *_) = [one for one in after.out_of(ends[0]) if after.link_to[one] == ends[1]]
    assert after.capacity_bytes_per_s[link] == 25e9
    assert plain.resolved["fabric"] == {
        "kind": "rail-optimised", "nic": 50e9, "oversubscription": 1.0
    }  # fmt: skip
    assert edited.resolved["fabric"].keys() - plain.resolved["fabric"].keys() == {"graph"}
    again = sim.load_scenario(QUICKSTART, fabric=thinner)
    assert again.resolved == edited.resolved


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (lambda graph: None, "returned NoneType: it must return an undirected networkx.Graph"),
        (lambda graph: nx.DiGraph(graph), "returned DiGraph"),
        (lambda graph: nx.MultiGraph(graph), "returned MultiGraph"),
        (lambda graph: nx.Graph(), "lacks 128 of the site's GPUs"),
    ],
)
def test_a_function_that_returns_no_network_is_told(edit: object, says: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        sim.load_scenario(QUICKSTART, fabric=edit)  # type: ignore[arg-type]
    assert says in str(caught.value)
    assert "quickstart.yaml:18:9: fabric: " in str(caught.value)


def test_a_link_without_a_rate_from_a_function_is_named() -> None:
    def careless(graph: nx.Graph) -> nx.Graph:
        graph.add_edge("leaf-1", "leaf-2")
        graph.remove_node("spine-1")
        return graph

    with pytest.raises(ScenarioError) as caught:
        sim.load_scenario(QUICKSTART, fabric=careless)
    message = "the graph of the function 'careless': leaf-1/leaf-2.rate: a link needs its rate"
    assert message in str(caught.value)


def test_a_function_that_cuts_somebody_off_is_told_whom() -> None:
    def cut(graph: nx.Graph) -> nx.Graph:
        graph.remove_nodes_from([f"leaf-{number}" for number in range(1, 9)])
        return graph

    with pytest.raises(ScenarioError, match="row-1-rack-1-node-2-gpu-1 and 119 more GPUs cannot"):
        sim.load_scenario(QUICKSTART, fabric=cut)
