"""Networks in files and from functions: read, written, edited, refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

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
        ("a.graphml", '<graphml>\n<graph edgedefault="directed"/></graphml>', 2, "edgedefault"),
        ("a.graphml", "<html>\n</html>", 1, "is not GraphML: it begins with <html>, not <graphml>"),
        ("a.graphml", '<graphml><graph>\n<edge directed="true"/></graph></graphml>', 2, "both"),
        ("a.graphml", "<graphml>\n<graph/>\n<graph/></graphml>", 3, "a second <graph>"),
        (
            "a.graphml",
            '<graphml><graph><node id="a">\n<graph/></node></graph></graphml>',
            2,
            "a second <graph>: a network is one, with no graph in a node",
        ),
        (
            "a.graphml",
            '<graphml><graph><node id="a">\n<data key="kind">leaf</data>\n'
            '<data key="kind">nic</data></node></graph></graphml>',
            3,
            "'kind' is there twice",
        ),
        ("a.json", '{"nodes": [],\n}', 1, "is not JSON: nothing after ',' before '}'"),
        ("a.json", '{"nodes": [\n{},\n]}', 2, "is not JSON: nothing after ',' before ']'"),
        ("a.json", '{"nodes": [],\n"nodes": []}', 2, "'nodes' is there twice"),
        (
            "a.json",
            '{"edges": [\n{"rate": "1 Gb/s", "rate": "2 Gb/s"}]}',
            2,
            "edges[0]: 'rate' is there twice",
        ),
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


def small() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Vertices and edges of two servers on one leaf."""
    nics = nic_names(site_of(2))
    nodes = [{"id": nic, "kind": "nic"} for nic in nics] + [{"id": "leaf-1", "kind": "leaf"}]
    return nodes, [{"source": nic, "target": "leaf-1", "rate": "400 Gb/s"} for nic in nics]


def said_of(tmp_path: Path, nodes: Any, edges: Any) -> list[str]:
    file = tmp_path / "fabric.json"
    file.write_text(json.dumps({"nodes": nodes, "edges": edges}))
    graph, found = read_graph(file, file.name, site_of(2))
    return [f"{one.at}: {one.message}" for one in found or findings_of(graph, site_of(2))]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"bytes_per_s": 10**400}, "bytes_per_s: must be from 1 B/s to 1000 TB/s, not inf"),
        ({"bytes_per_s": 1e308}, "bytes_per_s: must be from 1 B/s to 1000 TB/s, not 1e+308"),
        ({"bytes_per_s": 5e-324}, "bytes_per_s: must be from 1 B/s to 1000 TB/s, not 5e-324"),
        ({"bytes_per_s": 0}, "bytes_per_s: must be above 0, not 0"),
        ({"bytes_per_s": 1, "latency": "11 s"}, "latency: must be at most 10 s, not '11 s'"),
        ({"bytes_per_s": 1, "latency_s": -1}, "latency_s: must be at least 0, not -1"),
        ({"bytes_per_s": 1, "cables": 10**400}, "cables: expected a number of cables, 1 to 1,024"),
    ],
)
def test_numbers_beyond_reason_are_refused(
    tmp_path: Path, change: dict[str, Any], says: str
) -> None:
    nodes, edges = small()
    assert said_of(tmp_path, nodes, edges) == []
    edges[0] = {"source": edges[0]["source"], "target": "leaf-1", **change}
    (said,) = said_of(tmp_path, nodes, edges)
    assert said.startswith(f"edges[0].{says}")


def test_integers_longer_than_python_reads_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text('{"nodes": [{"id": "a", "kind": "leaf", "ports": %s}]}' % ("9" * 5000))
    _, (found,) = read_graph(file, file.name, site_of(2))
    assert found.message == "expected a whole number from 1, not inf"


def test_a_switch_that_joins_nobody_is_named(tmp_path: Path) -> None:
    nodes, edges = small()
    nodes += [{"id": "a", "kind": "spine"}, {"id": "b", "kind": "spine"}]
    edges.append({"source": "a", "target": "b", "rate": "1 Gb/s"})
    assert said_of(tmp_path, nodes, edges) == [
        f"nodes[{at}]: {name} has no way to any GPU: give it a link, or leave it out"
        for at, name in ((17, "a"), (18, "b"))
    ]


def test_the_name_of_an_nvswitch_is_taken(tmp_path: Path) -> None:
    nodes, edges = small()
    nodes.append({"id": "row-rack-1-node-1-nvswitch", "kind": "spine"})
    edges.append({"source": nodes[-1]["id"], "target": "leaf-1", "rate": "1 Gb/s"})
    (said,) = said_of(tmp_path, nodes, edges)
    assert said == (
        "nodes[17]: 'row-rack-1-node-1-nvswitch' is the name of an nvswitch that is added to the "
        "servers: give this spine another"
    )


def test_defaults_of_graphml_count(tmp_path: Path) -> None:
    nodes, edges = small()
    key = '<key id="{}" for="{}" attr.name="{}" attr.type="{}"><default>{}</default></key>'
    lines = [
        "<graphml>",
        key.format("k", "node", "kind", "string", "nic"),
        key.format("r", "edge", "rate", "string", "400 Gb/s"),
        key.format("c", "edge", "cables", "int", "4"),
        '<graph edgedefault="undirected">',
        *(f'<node id="{one["id"]}"/>' for one in nodes[:-1]),
        '<node id="leaf-1"><data key="k">leaf</data></node>',
        f'<edge source="{edges[0]["source"]}" target="leaf-1"><data key="c">2</data></edge>',
        *(f'<edge source="{one["source"]}" target="leaf-1"/>' for one in edges[1:]),
        "</graph></graphml>",
    ]
    file = tmp_path / "a.graphml"
    file.write_text("\n".join(lines))
    graph, found = read_graph(file, file.name, site_of(2))
    assert found == findings_of(graph, site_of(2)) == []
    told = [graph.edges[one["source"], "leaf-1"] for one in edges]
    assert [one["cables"] for one in told] == [2] + [4] * 15
    assert {one["bytes_per_s"] for one in told} == {50e9}


def test_more_digits_than_python_prints_are_refused_from_a_function() -> None:
    def endless(graph: nx.Graph) -> nx.Graph:
        graph.edges["leaf-1", "spine-1"]["cables"] = 10**5000
        return graph

    with pytest.raises(ScenarioError, match="1 to 1,024, not a number of thousands of digits"):
        sim.load_scenario(QUICKSTART, fabric=endless)


def test_numbers_of_numpy_are_numbers() -> None:
    def counted(graph: nx.Graph) -> nx.Graph:
        graph.edges["leaf-1", "spine-1"].update(cables=np.int64(4), bytes_per_s=np.int32(10**9))
        return graph

    scenario = sim.load_scenario(QUICKSTART, fabric=counted)
    assert scenario.fabric is not None
    link = scenario.fabric.graph(scenario.site).edges["leaf-1", "spine-1"]
    assert (link["cables"], link["bytes_per_s"]) == (4, 1e9)


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
