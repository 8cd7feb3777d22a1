"""Switches and cables of built-in networks: published clusters, and the rules behind them."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest

from sim import catalog
from sim.errors import BuildError
from sim.site.fabric.graph import fabric_graph
from sim.site.fabric.measure import measure_fabric
from sim.site.fabric.types import LEVELS, VERTICES, Fabric
from tests.unit.site.fabrics import built, plan_of, site_of

NIC_BYTES_PER_S = 50e9


def switches(fabric: Fabric) -> list[int]:
    return [int((fabric.kinds == VERTICES.index(kind)).sum()) for kind in LEVELS]


def cables(fabric: Fabric, lower: str, upper: str) -> int:
    rows = measure_fabric(fabric).cables
    return sum(row.count for row in rows if (row.lower, row.upper) == (lower, upper))


@pytest.mark.parametrize("name", catalog.names("superpod"))
def test_published_clusters_come_out(name: str) -> None:
    told = catalog.entry("superpod", name)
    fabric = built(site_of(told.count("nodes"), told.word("node")), plan_of())
    assert switches(fabric) == [told.count(key) for key in ("leaves", "spines", "cores")]
    managed = told.count("node_cables") - told.count("manager_cables")
    assert cables(fabric, "nic", "leaf") == managed
    assert cables(fabric, "leaf", "spine") == told.count("leaf_cables")
    assert cables(fabric, "spine", "core") == told.count("core_cables")


@pytest.mark.parametrize("nodes", [32, 64, 96, 128, 256, 512])
def test_whole_units_are_even_and_not_blocking(nodes: int) -> None:
    site = site_of(nodes)
    graph = fabric_graph(site, plan_of())
    for name, about in graph.nodes.items():
        if about["kind"] not in LEVELS:
            continue
        used = dict.fromkeys(("nic", *LEVELS), 0)
        for other, edge in graph.adj[name].items():
            used[graph.nodes[other]["kind"]] += edge["cables"]
        assert sum(used.values()) <= 64
        if about["kind"] == "leaf":
            assert used["nic"] == used["spine"] == 32
        if about["kind"] == "spine" and nodes > 256:
            assert used["leaf"] == used["core"] == 32
    measured = measure_fabric(built(site, plan_of()))
    assert measured.bisection_bytes_per_s == pytest.approx(nodes * 8 * NIC_BYTES_PER_S / 2)
    assert [level.oversubscription for level in measured.levels] == pytest.approx(
        [1.0] * len(measured.levels)
    )


@pytest.mark.parametrize(("nodes", "kind"), [(64, "rail-optimised"), (64, "fat-tree")])
def test_every_pair_of_leaves_has_as_many_paths(nodes: int, kind: str) -> None:
    graph = fabric_graph(site_of(nodes), plan_of(kind))
    leaves = [name for name, about in graph.nodes.items() if about["kind"] == "leaf"]
    counts = {
        sum(
            graph.edges[one, spine]["cables"] * graph.edges[spine, other]["cables"]
            for spine in nx.common_neighbors(graph, one, other)
            if graph.nodes[spine]["kind"] == "spine"
        )
        for i, one in enumerate(leaves)
        for other in leaves[:i]
    }
    assert len(counts) == 1
    assert counts.pop() > 0


@pytest.mark.parametrize("nodes", [64, 512])
def test_the_network_outlives_any_one_spine(nodes: int) -> None:
    graph = fabric_graph(site_of(nodes), plan_of())
    network = graph.subgraph(n for n, about in graph.nodes.items() if about["kind"] in LEVELS)
    for spine in ("spine-1", "spine-8", "core-1") if nodes > 256 else ("spine-1", "spine-8"):
        rest = network.copy()
        rest.remove_node(spine)
        assert nx.is_connected(rest)


@pytest.mark.parametrize(
    ("over", "radix", "down", "up"),
    [(1, 64, 32, 32), (2, 64, 42, 21), (3, 64, 48, 16), (4, 64, 48, 12), (1.5, 64, 36, 24),
     (7, 64, 56, 8), (1, 40, 20, 20), (3, 40, 30, 10)],
)  # fmt: skip
def test_ports_of_a_leaf_follow_the_oversubscription(
    over: float, radix: int, down: int, up: int
) -> None:
    site = site_of(2 * down)
    graph = fabric_graph(site, plan_of(over=over, radix=radix))
    leaf = graph.adj["leaf-1"]
    sums = {"nic": 0, "spine": 0}
    for other, edge in leaf.items():
        sums[graph.nodes[other]["kind"]] += edge["cables"]
    assert sums == {"nic": down, "spine": up}
    (level, *_) = measure_fabric(built(site, plan_of(over=over, radix=radix))).levels
    assert level.oversubscription == pytest.approx(over)
    assert level.worst == pytest.approx(over)


def test_oversubscription_narrows_the_middle() -> None:
    site = site_of(96)  # two units of 48
    measured = measure_fabric(built(site, plan_of(over=3)))
    assert measured.full_bisection_bytes_per_s == pytest.approx(48 * 8 * NIC_BYTES_PER_S)
    assert measured.bisection_bytes_per_s == pytest.approx(48 * 8 * NIC_BYTES_PER_S / 3)


def test_a_ratio_as_suggested_is_taken() -> None:
    (level, *_) = measure_fabric(built(site_of(60), plan_of(over=1.36364))).levels
    assert level.oversubscription == pytest.approx(15 / 11)


def test_slower_nics_need_fewer_uplinks() -> None:
    graph = fabric_graph(site_of(84), plan_of(nic=25e9))
    sums = {"nic": 0, "spine": 0}
    for other, edge in graph.adj["leaf-1"].items():
        sums[graph.nodes[other]["kind"]] += edge["cables"]
    assert sums == {"nic": 42, "spine": 21}


def test_parallel_cables_may_be_fewer() -> None:
    few = built(site_of(64), plan_of())
    many = built(site_of(64), plan_of(cables=1))
    assert switches(few) == [16, 8, 0]
    assert switches(many) == [16, 32, 0]
    assert cables(few, "leaf", "spine") == cables(many, "leaf", "spine") == 512


def test_one_leaf_has_nothing_above_it() -> None:
    fabric = built(site_of(4), plan_of("fat-tree"))
    assert switches(fabric) == [1, 0, 0]
    measured = measure_fabric(fabric)
    assert measured.levels == ()
    assert measured.bisection_bytes_per_s == measured.full_bisection_bytes_per_s


def test_a_domain_is_a_network_of_its_own() -> None:
    site = site_of(18, "tray")
    fabric = built(site, plan_of("nvlink-domain"))
    assert switches(fabric) == [0, 0, 0]
    assert int((fabric.kinds == VERTICES.index("nvswitch")).sum()) == 1
    (nvlink,) = [row for row in measure_fabric(fabric).cables if row.upper == "nvswitch"]
    assert nvlink.count == 72 * 18
    assert nvlink.total_bytes_per_s == pytest.approx(72 * catalog.gpu("gb200").link_bytes_per_s)
    assert measure_fabric(fabric).bisection_bytes_per_s is None


def test_a_single_switch_joins_every_nic() -> None:
    fabric = built(site_of(16), plan_of("single-switch", radix=None))
    assert switches(fabric) == [1, 0, 0]
    assert cables(fabric, "nic", "leaf") == 128
    measured = measure_fabric(fabric)
    assert measured.bisection_bytes_per_s == pytest.approx(64 * NIC_BYTES_PER_S)


@pytest.mark.parametrize(
    ("nodes", "plan", "path", "says"),
    [
        (64, plan_of(over=1.37), "fabric.oversubscription",
         "1.37; near it are 1.36364 (30 down, 22 up) and 1.37037 (37 down, 27 up)"),
        (64, plan_of(over=100), "fabric.oversubscription", "near it are 63 (63 down, 1 up)"),
        (64, plan_of(cables=3), "fabric.cables", "write 1 or 2 or 4"),
        (512, plan_of(cables=2), "fabric.cables", "of three levels"),
        (512, plan_of("leaf-spine"), "fabric.kind", "at most 2,048 NICs, and the site has 4,096"),
        (64, plan_of("fat-tree", radix=8), "fabric.switch", "more than the 4 ports"),
        (64, plan_of(radix=4), "fabric.switch", "reach at most 16 NICs"),
        (64, plan_of("single-switch"), "fabric.switch", "512 NICs, more than the 64 ports"),
        (64, plan_of(nic=100e9), "fabric.nic", "800 Gb/s are faster"),
        (64, plan_of("nvlink-domain"), "fabric.kind", "64 NVLink domains"),
    ],
)  # fmt: skip
def test_what_cannot_be_built_is_told(nodes: int, plan: object, path: str, says: str) -> None:
    with pytest.raises(BuildError) as caught:
        fabric_graph(site_of(nodes), plan)  # type: ignore[arg-type]
    assert caught.value.path == path
    assert says in str(caught.value)


def test_rails_keep_to_their_leaf() -> None:
    fabric = built(site_of(64), plan_of())
    leaf_of = {}
    for gpu in range(fabric.gpus):
        (up,) = [
            link for link in fabric.out_of(int(fabric.gpu_nic[gpu]))
            if fabric.kinds[fabric.link_to[link]] == VERTICES.index("leaf")
        ]  # fmt: skip
        leaf_of[gpu] = fabric.names[fabric.link_to[up]]
    for gpu, leaf in leaf_of.items():
        node, rail = gpu // 8, gpu % 8
        assert fabric.gpu_rail[gpu] == rail
        assert leaf == f"leaf-{node // 32 * 8 + rail + 1}"


def test_arrays_agree_with_each_other() -> None:
    fabric = built(site_of(64), plan_of(over=3))
    assert fabric.links == 2 * len(fabric.merged)
    assert (fabric.link_from[::2] == fabric.link_to[1::2]).all()
    assert (fabric.link_to[::2] == fabric.link_from[1::2]).all()
    assert sorted(fabric.out_link.tolist()) == list(range(fabric.links))
    for vertex in (0, 600, len(fabric.names) - 1):
        assert (fabric.link_from[fabric.out_of(vertex)] == vertex).all()
    assert fabric.out_ptr[-1] == fabric.links
    for array in (fabric.capacity_bytes_per_s, fabric.out_link, fabric.latency_s):
        assert not array.flags.writeable
    assert (fabric.capacity_bytes_per_s > 0).all()
    names = [fabric.link_name(link) for link in range(fabric.links)]
    assert len(set(names)) == fabric.links
    assert np.array_equal(fabric.gpu_node, np.repeat(np.arange(64), 8))
