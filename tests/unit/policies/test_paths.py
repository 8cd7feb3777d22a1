"""Paths: whole, loop-free, shortest where they should be, even, and around what is dead."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.errors import PartitionError, RackplanError, UnknownName
from sim.policies.base import policies
from sim.policies.paths.base import Path, PathView, Routes, choose_path, holds
from sim.rng import KeyedBits
from sim.site.fabric.failures import NetworkState
from sim.site.fabric.graph import fabric_graph
from sim.site.fabric.types import LEVELS, VERTICES, Fabric
from tests.unit.site.fabrics import built, plan_of, site_of

KINDS = tuple(policies("paths"))
RNG = KeyedBits(7, "paths")
SITES = {
    "rails": (64, plan_of(radix=32)),
    "tree": (16, plan_of("fat-tree", radix=32, over=3)),
    "three": (32, plan_of(radix=16)),
    "one": (8, plan_of("single-switch", radix=None)),
    "parallel": (64, plan_of()),
}


@cache
def fabric_of(name: str) -> Fabric:
    nodes, plan = SITES[name]
    return built(site_of(nodes), plan)


@dataclass
class Network:
    """A network to ask for paths, with its failures and its load."""

    state: NetworkState
    routes: Routes
    load: np.ndarray

    @classmethod
    def of(cls, name: str) -> Network:
        state = NetworkState(fabric_of(name))
        return cls(state, Routes(state), np.zeros(state.fabric.links))

    def path(self, kind: str, source: int, target: int, flow: int = 0, **keys: Any) -> Path:
        policy = policies("paths")[kind](**keys)
        view = PathView(self.routes, source, target, flow, flow, self.load)
        chosen = choose_path(policy, view, policy.new_state(), RNG)
        assert chosen == choose_path(policy, view, policy.new_state(), KeyedBits(7, "paths"))
        assert holds(view, chosen)
        return chosen

    def names(self, path: Path) -> list[str]:
        fabric = self.state.fabric
        ends = [fabric.link_from[path[0]], *(fabric.link_to[link] for link in path)]
        return [fabric.names[end] for end in ends]

    def kinds(self, path: Path) -> list[str]:
        fabric = self.state.fabric
        return [VERTICES[fabric.kinds[fabric.link_to[link]]] for link in path]

    def hops(self, path: Path) -> int:
        """Links of the network between servers."""
        outside = {"leaf", "spine", "core"}
        fabric = self.state.fabric
        ends = [
            {VERTICES[fabric.kinds[fabric.link_from[link]]],
             VERTICES[fabric.kinds[fabric.link_to[link]]]}
            for link in path
        ]  # fmt: skip
        return sum(bool(pair & outside) for pair in ends)


def gpu(node: int, number: int) -> int:
    """A GPU by its server and its number in it, both from 0."""
    return 8 * node + number


def test_there_are_five() -> None:
    assert KINDS == ("adaptive", "ecmp", "rail", "random", "shortest")


@pytest.mark.parametrize("kind", KINDS)
def test_links_of_the_network_follow_the_levels(kind: str) -> None:
    rails = Network.of("rails")  # units of 16 servers
    assert rails.hops(rails.path(kind, gpu(0, 3), gpu(15, 3))) == 2
    assert rails.hops(rails.path(kind, gpu(0, 3), gpu(16, 3))) == 4
    tree = Network.of("tree")
    assert tree.hops(tree.path(kind, gpu(0, 1), gpu(1, 6))) == 2
    assert tree.hops(tree.path(kind, gpu(0, 1), gpu(15, 6))) == 4
    three = Network.of("three")  # units of 8 servers, a pod for each
    assert three.hops(three.path(kind, gpu(0, 1), gpu(7, 1))) == 2
    assert three.hops(three.path(kind, gpu(0, 1), gpu(31, 1))) == 6
    one = Network.of("one")
    assert one.hops(one.path(kind, gpu(0, 1), gpu(7, 2))) == 2


@pytest.mark.parametrize("kind", KINDS)
def test_a_domain_is_crossed_on_nvlink(kind: str) -> None:
    rails = Network.of("rails")
    path = rails.path(kind, gpu(3, 0), gpu(3, 7))
    assert rails.kinds(path) == ["nvswitch", "gpu"]
    assert rails.path(kind, gpu(3, 0), gpu(3, 0)) == ()


def test_rail_forwards_where_that_saves_links() -> None:
    rails = Network.of("rails")
    plain = rails.path("ecmp", gpu(0, 2), gpu(9, 5))
    railed = rails.path("rail", gpu(0, 2), gpu(9, 5))
    assert rails.hops(plain) == 4
    assert rails.kinds(plain) == ["nic", "leaf", "spine", "leaf", "nic", "gpu"]
    assert rails.hops(railed) == 2
    fabric = rails.state.fabric
    assert rails.kinds(railed) == ["nvswitch", "gpu", "nic", "leaf", "nic", "gpu"]
    assert fabric.link_to[railed[1]] == gpu(0, 5)
    # To another unit every rail is as far: nothing is forwarded.
    assert rails.path("rail", gpu(0, 2), gpu(40, 5)) == rails.path("ecmp", gpu(0, 2), gpu(40, 5))


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(sorted(SITES)),
    st.sampled_from(KINDS),
    st.integers(0, 10**6),
    st.integers(0, 10**6),
    st.integers(0, 2**40),
    st.lists(st.integers(0, 10**6), max_size=4),
)
def test_paths_are_whole_and_shortest_whatever_is_dead(
    name: str, kind: str, one: int, other: int, flow: int, dead: list[int]
) -> None:
    network = Network.of(name)
    fabric = network.state.fabric
    source, target = one % fabric.gpus, other % fabric.gpus
    for part in dead:
        switches = np.flatnonzero(fabric.kinds >= VERTICES.index("leaf"))
        if part % 2:
            network.state.fail(fabric.cable_name(part % len(fabric.merged)))
        elif len(switches) > 1:
            network.state.fail(fabric.names[switches[part % len(switches)]])
    expected = shortest_by_networkx(network, source, target, hosts=source // 8 == target // 8)
    if expected is None:
        expected = shortest_by_networkx(network, source, target, hosts=True)
    try:
        path = network.path(kind, source, target, flow)
    except PartitionError as error:
        named = error.entity in (fabric.names[source], fabric.names[target])
        assert (expected, named) == (None, True)
        return
    if kind == "rail" or "nvswitch" in network.kinds(path):
        assert expected is None or network.hops(path) <= expected
    else:
        assert len(path) == expected


def shortest_by_networkx(network: Network, source: int, target: int, *, hosts: bool) -> int | None:
    """The links of a shortest path over switches and the two servers only."""
    fabric, state = network.state.fabric, network.state
    kinds = [VERTICES[kind] for kind in fabric.kinds]
    graph = nx.Graph()
    own = {fabric.names[fabric.gpu_node[end] + np.flatnonzero(
        fabric.kinds == VERTICES.index("node"))[0]] for end in (source, target)}  # fmt: skip

    def passes(vertex: int) -> bool:
        if vertex in (source, target) or kinds[vertex] in (*LEVELS, "nvswitch"):
            return True
        name = fabric.names[vertex].partition("-nic-")[0]
        return (kinds[vertex] == "nic" or (hosts and kinds[vertex] == "node")) and name in own

    graph.add_nodes_from((source, target))
    for link in range(0, fabric.links, 2):
        ends = int(fabric.link_from[link]), int(fabric.link_to[link])
        if state.alive[link] and all(map(passes, ends)):
            graph.add_edge(*ends)
    try:
        return int(nx.shortest_path_length(graph, source, target))
    except nx.NetworkXNoPath:
        return None


def uplinks(network: Network, paths: Iterator[Path]) -> Counter[str]:
    """How many paths leave each leaf over each cable."""
    fabric = network.state.fabric
    leaf, spine = VERTICES.index("leaf"), VERTICES.index("spine")
    return Counter(
        fabric.link_name(link)
        for path in paths
        for link in path
        if fabric.kinds[fabric.link_from[link]] == leaf
        and fabric.kinds[fabric.link_to[link]] == spine
    )


@pytest.mark.parametrize("kind", ["ecmp", "random"])
def test_hashes_spread_evenly(kind: str) -> None:
    network = Network.of("parallel")  # 32 uplinks of leaf-1, four to each of eight spines
    flows = 6400
    paths = (
        network.path(kind, gpu(n % 32, 0), gpu(32 + n // 32 % 32, 0), n, **keys)
        for n in range(flows)
        for keys in ({"queue_pairs": 10**6} if kind == "ecmp" else {},)
    )
    counts = uplinks(network, paths)
    assert len(counts) == 32
    mean = flows / 32
    # Chi squared with 31 degrees of freedom: above 62 once in a thousand draws.
    assert sum((n - mean) ** 2 / mean for n in counts.values()) < 62


def test_ecmp_collides_as_balls_in_bins() -> None:
    network = Network.of("parallel")
    pairs = itertools.product(range(32), range(32, 64))
    idle = []
    for _ in range(0, 1024, 32):
        some = itertools.islice(pairs, 32)
        paths = (network.path("ecmp", gpu(a, 0), gpu(b, 0)) for a, b in some)
        idle.append(32 - len(uplinks(network, paths)))
    # 32 flows on 32 equal links leave 32 (1 - 1/32)^32 of them idle, give or take.
    assert np.mean(idle) == pytest.approx(32 * (1 - 1 / 32) ** 32, abs=1.0)


def test_ecmp_keeps_a_pair_on_its_path_and_queue_pairs_part_it() -> None:
    network = Network.of("parallel")
    one = {network.path("ecmp", gpu(0, 0), gpu(40, 0), flow) for flow in range(50)}
    assert len(one) == 1
    four = {network.path("ecmp", gpu(0, 0), gpu(40, 0), n, queue_pairs=4) for n in range(50)}
    assert 2 <= len(four) <= 4
    drawn = {network.path("random", gpu(0, 0), gpu(40, 0), flow) for flow in range(50)}
    assert len(drawn) > 20


def test_seeds_draw_other_paths() -> None:
    network = Network.of("parallel")
    policy = policies("paths")["ecmp"]()
    view = PathView(network.routes, gpu(0, 0), gpu(40, 0), 0, 0, network.load)
    found = {choose_path(policy, view, None, KeyedBits(seed, "paths")) for seed in range(20)}
    assert len(found) > 10


def test_adaptive_fills_every_uplink_once_before_any_twice() -> None:
    network = Network.of("parallel")
    chosen = []
    for flow in range(32):
        path = network.path("adaptive", gpu(flow, 0), gpu(32 + flow, 0), flow)
        network.load[list(path)] += 50e9
        chosen.append(path)
    counts = uplinks(network, iter(chosen))
    assert len(counts) == 32
    assert set(counts.values()) == {1}


def test_adaptive_avoids_a_full_link_further_on() -> None:
    network = Network.of("tree")
    fabric = network.state.fabric
    free = network.path("adaptive", gpu(0, 0), gpu(15, 0))
    full = [
        link for link in range(fabric.links)
        if fabric.names[fabric.link_from[link]] != network.names(free)[3]
        and VERTICES[fabric.kinds[fabric.link_from[link]]] == "spine"
    ]  # fmt: skip
    network.load[full] = 50e9
    for flow in range(20):
        again = network.path("adaptive", gpu(0, 0), gpu(15, 0), flow)
        assert network.names(again)[3] == network.names(free)[3]


@pytest.mark.parametrize("kind", KINDS)
def test_a_dead_cable_link_or_switch_is_gone_around_and_comes_back(kind: str) -> None:
    network = Network.of("parallel")
    before = network.path(kind, gpu(0, 0), gpu(40, 0))
    fabric = network.state.fabric
    cable = fabric.cable_name(before[2] // 2)
    assert "#" in cable
    for part in (cable, cable.partition("#")[0], network.names(before)[3]):
        died = network.state.fail(part)
        assert len(died)
        assert before[2] in died
        assert not network.state.alive[before[2]]
        assert network.state.capacity_bytes_per_s[before[2]] == 0.0
        after = network.path(kind, gpu(0, 0), gpu(40, 0))
        assert after != before
        assert network.hops(after) == network.hops(before)
        assert set(network.state.restore(part)) == set(died)
        assert network.path(kind, gpu(0, 0), gpu(40, 0)) == before


@pytest.mark.parametrize("kind", KINDS)
def test_a_dead_nic_is_gone_around_inside_the_server(kind: str) -> None:
    network = Network.of("tree")
    network.state.fail("row-rack-1-node-1-nic-1")
    path = network.path(kind, gpu(0, 0), gpu(15, 0))
    names = network.names(path)
    assert "row-rack-1-node-1-nic-1" not in names
    assert names[1] == ("row-rack-1-node-1-nvswitch" if kind == "rail" else "row-rack-1-node-1")


@pytest.mark.parametrize("kind", KINDS)
def test_a_partition_names_the_end_that_is_cut_off(kind: str) -> None:
    network = Network.of("tree")
    leaf = "leaf-3"
    network.state.fail(leaf)
    cut = [
        end for end in range(network.state.fabric.gpus)
        if (leaf in network.names(Network.of("tree").path("ecmp", end, gpu(15, 0)))
            if end // 8 < 14 else False)
    ]  # fmt: skip
    assert cut
    for source, target in ((cut[0], gpu(15, 0)), (gpu(15, 0), cut[0])):
        with pytest.raises(PartitionError) as caught:
            network.path(kind, source, target)
        name = network.state.fabric.names[cut[0]]
        assert caught.value.entity == name
        assert str(caught.value).startswith(f"{name}: no path from ")
        assert str(caught.value).endswith("it is cut off from the network; failed: leaf-3")


def test_a_network_in_two_pieces_says_so() -> None:
    network = Network.of("rails")
    for spine in range(network.state.fabric.kinds.tolist().count(VERTICES.index("spine"))):
        network.state.fail(f"spine-{spine + 1}")
    assert network.hops(network.path("ecmp", gpu(0, 0), gpu(5, 0))) == 2
    with pytest.raises(PartitionError, match="the network is in pieces; failed: spine-1, "):
        network.path("ecmp", gpu(0, 0), gpu(40, 0))
    # Over NVLink a server still reaches every rail of its own unit.
    assert network.hops(network.path("rail", gpu(0, 0), gpu(5, 7))) == 2


def test_a_cable_of_nvlink_takes_its_share() -> None:
    network = Network.of("rails")
    edge = "row-rack-1-node-1-gpu-1/row-rack-1-node-1-nvswitch"
    (up, _) = network.path("ecmp", gpu(0, 0), gpu(0, 1))
    whole = network.state.capacity_bytes_per_s[up]
    network.state.fail(f"{edge}#18")
    assert network.state.capacity_bytes_per_s[up] == pytest.approx(whole * 17 / 18)
    for number in range(1, 18):
        network.state.fail(f"{edge}#{number}")
    assert network.state.capacity_bytes_per_s[up] == 0.0
    assert network.kinds(network.path("ecmp", gpu(0, 0), gpu(0, 1)))[0] == "node"


@pytest.mark.parametrize(
    ("part", "says"),
    [
        ("leaf-99", "unknown part of the network 'leaf-99' (did you mean 'leaf-"),
        ("leaf-1/leaf-2", "unknown link of leaf-1 to 'leaf-2'"),
        ("leaf-1/spine-1#9", "unknown cable of leaf-1/spine-1 '9' (known: 1, 2, 3, 4)"),
        ("leaf-1/spine-1#0", "unknown cable of leaf-1/spine-1 '0'"),
    ],
)
def test_what_is_not_there_cannot_fail(part: str, says: str) -> None:
    with pytest.raises(UnknownName) as caught:
        Network.of("rails" if "99" in part else "parallel").state.fail(part)
    assert says in str(caught.value)


def test_a_policy_cannot_suggest_nonsense() -> None:
    network = Network.of("one")

    class Lost:
        def new_state(self) -> None: ...

        def decide(self, view: PathView, state: None, rng: KeyedBits) -> Iterator[Path]:
            yield ()
            yield (0, 0)
            yield (10**9,)

    view = PathView(network.routes, 0, 9, 0, 0, network.load)
    with pytest.raises(RackplanError, match="Lost suggests no path that holds"):
        choose_path(Lost(), view, None, RNG)


def test_hosts_have_paths_too() -> None:
    network = Network.of("rails")
    fabric = network.state.fabric
    host = fabric.vertex_of["row-rack-1-node-1"]
    path = network.path("ecmp", host, gpu(40, 0))
    assert network.kinds(path)[:2] == ["nic", "leaf"]
    graph = fabric_graph(site_of(64), SITES["rails"][1])
    assert len(path) == nx.shortest_path_length(graph, fabric.names[host], fabric.names[gpu(40, 0)])
