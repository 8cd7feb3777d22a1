"""Who can send to whom: what a check finds in a graph is what paths find flow by flow."""

from __future__ import annotations

from typing import Any

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.errors import PartitionError, UnknownName
from sim.policies.base import policies
from sim.policies.paths.base import PathView, Routes, choose_path
from sim.rng import KeyedBits
from sim.site.build import gpu_names
from sim.site.fabric.compile import compile_fabric, findings_of
from sim.site.fabric.failures import NetworkState
from sim.site.fabric.graph import inside, nic_names
from tests.unit.site.fabrics import site_of

SITE = site_of(3)
NICS = nic_names(SITE)
LINK: dict[str, Any] = {"bytes_per_s": 1e9, "latency_s": 0.0, "cables": 1, "together": False}


def no_path(graph: nx.Graph, starts: list[int]) -> tuple[str, str] | None:
    """Two GPUs without a path, of those that start there; by asking for each."""
    network = NetworkState(compile_fabric(graph, SITE))
    policy = policies("paths")["shortest"]()
    routes, load = Routes(network), np.zeros(network.fabric.links)
    for one in starts:
        for other in range(network.fabric.gpus):
            if one == other:
                continue
            try:
                view = PathView(routes, one, other, 0, 0, load)
                choose_path(policy, view, policy.new_state(), KeyedBits(1, "paths"))
            except PartitionError:
                return network.fabric.names[one], network.fabric.names[other]
    return None


@st.composite
def graphs(draw: st.DrawFn) -> nx.Graph:
    """Three servers on up to four leaves, few of which are joined; some links inside are gone."""
    graph = inside(SITE)
    leaves = [f"leaf-{n}" for n in range(draw(st.integers(1, 4)))]
    graph.add_nodes_from(leaves, kind="leaf")
    per_nic = draw(st.booleans())
    of = draw(st.lists(st.sampled_from(leaves), min_size=24, max_size=24))
    for n, nic in enumerate(NICS):
        graph.add_edge(nic, of[n if per_nic else n // 8 * 8 + n % 2], **LINK)
    for one, other in draw(st.lists(st.tuples(*[st.sampled_from(leaves)] * 2), max_size=3)):
        if one != other:
            graph.add_edge(one, other, **LINK)
    if draw(st.booleans()):
        for name in draw(st.lists(st.sampled_from([n for n in graph if "gpu" in n]), max_size=6)):
            for other in list(graph.adj[name]):
                if "nvswitch" not in other and draw(st.booleans()):
                    graph.remove_edge(name, other)
    graph.remove_nodes_from([leaf for leaf in leaves if not graph.adj[leaf]])
    return graph


@settings(deadline=None, max_examples=60)
@given(graphs())
def test_a_graph_without_findings_has_all_paths_and_others_lack_one(graph: nx.Graph) -> None:
    found = [one.message for one in findings_of(graph, SITE) if "no way to any" not in one.message]
    missing = no_path(graph, list(range(24)))
    assert bool(found) == (missing is not None), (found, missing)


def test_servers_do_not_join_switches() -> None:
    graph = inside(SITE)
    for n, nic in enumerate(NICS):
        leaf = ("a", "ab"[n % 2], "b")[n // 8]
        graph.add_node(leaf, kind="leaf")
        graph.add_edge(nic, leaf, **LINK)
    (found,) = findings_of(graph, SITE)
    assert found.message == (
        f"{gpu_names(SITE)[0]} cannot send to {gpu_names(SITE)[16]}: they have no switches "
        "in common, and servers do not route for others; give the switches between them a link"
    )
    graph.add_edge("a", "b", **LINK)
    assert findings_of(graph, SITE) == []
    assert no_path(graph, [0, 8, 16]) is None


@pytest.mark.parametrize("part", ["a/b/leaf-1", "leaf-1/a/b", "leaf-1/x#1", "x#1/leaf-1#1"])
def test_names_with_the_marks_of_parts_can_be_failed(part: str) -> None:
    graph = inside(SITE)
    graph.add_node("leaf-1", kind="leaf")
    for nic in NICS:
        graph.add_edge(nic, "leaf-1", **LINK)
    for name in ("a/b", "x#1"):
        graph.add_node(name, kind="spine")
        graph.add_edge("leaf-1", name, **LINK)
    network = NetworkState(compile_fabric(graph, SITE))
    assert len(network.fail(part)) == 2
    assert len(network.restore(part)) == 2
    with pytest.raises(UnknownName, match="unknown cable of leaf-1/x#1 '2'"):
        network.fail("leaf-1/x#1#2")
