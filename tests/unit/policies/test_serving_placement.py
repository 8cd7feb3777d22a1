"""Placement by topology, power, failure domains and locality, with answers worked out by hand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest

from sim.policies.base import PlacementView, ToCome
from sim.rng import KeyedBits
from sim.site import HallPlan, RowPlan, Site, build_site
from sim.site.fabric.compile import compile_fabric
from sim.site.fabric.graph import fabric_graph
from sim.site.fabric.leaves import Leaves
from sim.site.fabric.types import Fabric, FabricPlan
from sim.site.load import server_out_mw, tree_flow
from sim.site.power import build_power_tree
from sim.site.types import PowerPlan, PowerTree, UpsPlan
from tests.engine_world import policy

RNG = KeyedBits(1, "policy/placement/pool")


def row(racks: int, kind: str = "dgx-h100-2") -> Site:
    """One row; racks of two servers of eight GPUs, each server an NVLink domain."""
    return build_site([HallPlan("hall", (RowPlan("row", ((kind, racks),)),))])


def fabric(site: Site, radix: int, over: float = 1.0, kind: str = "rail-optimised") -> Fabric:
    """A network of small switches."""
    port = site.node_types[0].nic_bytes_per_s
    return compile_fabric(fabric_graph(site, FabricPlan(kind, None, over, radix, port, 5e-7)), site)


def four_servers_a_leaf(site: Site) -> Leaves:
    """Rail-optimised: two racks share each group of eight leaves."""
    return Leaves(partial(fabric, site, 8))


def server(number: int, *gpus: int) -> tuple[int, ...]:
    """GPUs of a server: all, or those that are named."""
    return tuple(8 * number + gpu for gpu in gpus or range(8))


def view(
    site: Site, taken: Sequence[int] = (), *, tensor: int = 4, stages: int = 1, **more: Any
) -> PlacementView:
    """What a placer sees where ``taken`` and what is ``placed`` is not free."""
    allowed = np.ones(site.gpus, dtype=bool)
    allowed[list(taken)] = False
    for places in more.get("placed", {}).values():
        allowed[[gpu for place in places for gpu in place]] = False
    return PlacementView(site, allowed, tensor, stages, "pool", 0, **more)


def first(kind: str, what: PlacementView, **parameters: Any) -> tuple[int, ...]:
    """The best suggestion."""
    chooser = policy("placement", kind, **parameters)
    return next(iter(chooser.decide(what, chooser.new_state(), RNG)))


def placed(kind: str, site: Site, count: int, **more: Any) -> list[tuple[int, ...]]:
    """Replicas of one pool, one after the other."""
    parameters = more.pop("parameters", {})
    found: list[tuple[int, ...]] = []
    for _ in range(count):
        found.append(first(kind, view(site, placed={"pool": tuple(found)}, **more), **parameters))
    return found


def by_rack(site: Site, places: Sequence[tuple[int, ...]]) -> dict[int, int]:
    """Rack → replicas that have a GPU there."""
    racks = site.node_rack[site.gpu_node]
    return Counter(rack for place in places for rack in set(racks[list(place)].tolist()))


# ---- topology --------------------------------------------------------------------------------


def test_further_stages_go_to_the_same_rack_then_the_same_leaf_then_the_fullest() -> None:
    site = row(4)
    busy = (*server(0, 0, 1, 2, 3), *server(6, 0, 1, 2, 3))  # half of servers 0 and 6 is free
    half = server(0, 4, 5, 6, 7)
    leaves = four_servers_a_leaf(site)
    beside = view(site, busy, stages=2, leaves=leaves)
    assert first("topology-aware", beside) == half + server(1, 0, 1, 2, 3)  # its rack, not 6
    alone = view(site, busy + server(1), stages=2, leaves=leaves)
    assert first("topology-aware", alone) == half + server(2, 0, 1, 2, 3)  # its leaves, not 6
    unknown = view(site, busy + server(1), stages=2)
    assert first("topology-aware", unknown) == half + server(6, 4, 5, 6, 7)  # the next fullest


def test_further_stages_take_the_fewest_links() -> None:
    """Three levels of 16-port switches: a server a leaf, pods of up to eight leaves."""
    site = row(10)
    leaves = Leaves(partial(fabric, site, 16, kind="fat-tree"))
    busy = [gpu for node in range(20) if node not in (1, 4, 18) for gpu in server(node)]
    busy += server(18, 0, 1, 2, 3)
    assert first("topology-aware", view(site, busy, stages=3, leaves=leaves)) == (
        server(18, 4, 5, 6, 7) + server(1)  # nothing is near 18: of 1 and 4 the first
    )
    pair = view(site, (*busy, *server(4, 0)), tensor=8, stages=2, leaves=leaves)
    assert list(policy("placement", "topology-aware").decide(pair, None, RNG)) == []
    near = view(site, busy, tensor=4, stages=4, leaves=leaves)
    assert list(policy("placement", "topology-aware").decide(near, None, RNG))[1] == (
        server(1) + server(4)  # one pod, and not half of 18, which is fuller
    )


def test_stages_have_gpus_of_one_type() -> None:
    site = build_site([HallPlan("hall", (RowPlan("row", (("dgx-h100-2", 1), ("dgx-h200-2", 1))),))])
    busy = (*server(1), *server(2, 0, 1, 2, 3))
    assert list(policy("placement", "topology-aware").decide(
        view(site, busy, stages=3), None, RNG
    )) == [server(2, 4, 5, 6, 7) + server(3), server(3) + server(2, 4, 5, 6, 7)]  # fmt: skip


# ---- power -----------------------------------------------------------------------------------


def tree_of(site: Site, limits_w: dict[str, float], redundancy: str = "N") -> PowerTree:
    """Two PDUs (racks alternate) on two UPSs, with the limits that are named and no others."""
    ups = (UpsPlan("ups-a", 1e6, None), UpsPlan("ups-b", 1e6, None))
    tree = build_power_tree(site, PowerPlan(None, None, ups, 2, None, None, redundancy))
    nodes = tuple(
        replace(node, rating_w=None, budget_w=limits_w.get(node.name)) for node in tree.nodes
    )
    return replace(tree, nodes=nodes)


def test_two_pdus_of_different_headroom() -> None:
    """Racks 0 and 2 hang on PDU a, 1 and 3 on b; a may carry 60 kW, b 40.

    A server takes 3.5 kW at rest (losses and fans included), 5.8 with four GPUs at 600 W and 8.8
    with eight. So each PDU carries 13.9 kW before the first replica, and four on a, one a server,
    leave it below b with one: 13.9 + 4 · 2.3 of 60 is 39 %, 13.9 + 2.3 of 40 is 40 %. A fifth would
    bring a to 44 %, so it goes to b; the sixth, with which b would carry 46 %, to a.
    """
    site = row(4)
    tree = tree_of(site, {"row-pdu-a": 60e3, "row-pdu-b": 40e3})
    more = {"power": tree, "draw_w": {"pool": {"h100-sxm": 600.0}}}
    found = placed("power-aware", site, 6, **more)
    racks = [int(site.node_rack[site.gpu_node[place[0]]]) for place in found]
    assert [rack % 2 for rack in racks] == [0, 0, 0, 0, 1, 0]
    assert len({place[0] // 8 for place in found[:4]}) == 4
    # Without limits nothing but packing decides.
    free = {**more, "power": tree_of(site, {})}
    assert by_rack(site, placed("power-aware", site, 4, **free)) == {0: 4}


def test_a_place_is_judged_by_the_most_loaded_node_above_it() -> None:
    """Every suggestion against the whole tree, computed from the top for each of them."""
    site = row(6)
    limits = {"row-pdu-a": 50e3, "row-pdu-b": 40e3, "ups-a": 70e3, "ups-b": 60e3}
    limits |= {"row-rack-1": 11e3, "row-rack-4": 14e3, "utility": 120e3}
    tree = tree_of(site, limits)
    others = {"pool": (server(0, 0, 1, 2, 3), server(5, 4, 5, 6, 7)), "other": (server(6),)}
    draw_w = {"pool": {"h100-sxm": 500.0}}  # of the other pool nothing is known: TDP
    what = view(site, placed=others, power=tree, draw_w=draw_w)

    def loads(place: tuple[int, ...]) -> list[float]:
        gpu_w = np.full(site.gpus, site.gpu_types[0].parked_w)
        gpu_w[[*place, *(gpu for own in others["pool"] for gpu in own)]] = 500.0
        gpu_w[list(server(6))] = site.gpu_types[0].tdp_w
        out = [
            server_out_mw(kind, round(1000 * gpu_w[site.gpu_node == node].sum()))
            for node, kind in enumerate(site.node_types)
        ]
        carried, taken = tree_flow(tree, np.array(out))
        rack = int(site.node_rack[site.gpu_node[place[0]]])
        side = "ab"[rack % 2]
        above = {site.rack_names[rack], f"row-pdu-{side}", f"ups-{side}", "utility"}
        found = [
            (taken if node.kind == "utility" else carried)[at] / 1000 / limits[node.name]
            for at, node in enumerate(tree.nodes)
            if node.name in above and node.name in limits
        ]
        return sorted(found, reverse=True)

    suggested = list(policy("placement", "power-aware", step=1e-4).decide(what, None, RNG))
    assert len(suggested) == 11  # of twelve servers one is full
    known = [[round(load / 1e-4) for load in loads(place)] for place in suggested]
    assert len({tuple(load) for load in known}) > 4
    assert known == sorted(known)


def test_two_feeds_split_the_load() -> None:
    """With 2N each PDU carries half of every rack: only limits of racks tell racks apart."""
    site = row(4)
    limits = {"row-pdu-a": 600e3, "row-pdu-b": 200e3}
    packed = placed("power-aware", site, 3, power=tree_of(site, limits, "2N"))
    assert by_rack(site, packed) == {0: 3}
    limits |= dict.fromkeys(("row-rack-1", "row-rack-2", "row-rack-3", "row-rack-4"), 25e3)
    even = placed("power-aware", site, 4, power=tree_of(site, limits, "2N"))
    assert by_rack(site, even) == dict.fromkeys(range(4), 1)


def test_what_draws_little_leaves_headroom() -> None:
    """Two racks of equal limits: in one a pool of 200 W, in the other one of 700 W a GPU."""
    site = row(2)
    limits = {"row-rack-1": 20e3, "row-rack-2": 20e3}
    draw_w = {"heavy": {"h100-sxm": 700.0}, "light": {"h100-sxm": 200.0}}
    for heavy, light in ((0, 2), (2, 0)):
        others = {"heavy": (server(heavy),), "light": (server(light),)}
        what = view(site, placed=others, power=tree_of(site, limits), draw_w=draw_w)
        assert site.gpu_node[first("power-aware", what)[0]] == light + 1


# ---- failure domains -------------------------------------------------------------------------


def test_six_replicas_over_three_racks() -> None:
    site = row(3)
    found = placed("failure-domain-aware", site, 6)
    assert by_rack(site, found) == {0: 2, 1: 2, 2: 2}
    assert sorted(site.gpu_node[[place[0] for place in found]].tolist()) == [0, 1, 2, 3, 4, 5]
    assert by_rack(site, placed("topology-aware", site, 6)) == {0: 4, 1: 2}


@pytest.mark.parametrize(("levels", "rack"), [(("rack",), 2), (("pdu", "rack"), 1)])
def test_the_first_level_decides(levels: tuple[str, ...], rack: int) -> None:
    """PDU a (racks 0, 2, 4) has three replicas, b (1, 3, 5) one; only rack 2 has none."""
    site = row(6)
    mine = (server(0), server(8), server(2, 0, 1, 2, 3), server(9))
    taken = [gpu for node in (1, 3, 6, 7, 10, 11) for gpu in server(node)]
    what = view(site, taken, placed={"pool": mine}, power=tree_of(site, {}))
    best = first("failure-domain-aware", what, levels=levels)
    assert site.node_rack[site.gpu_node[best[0]]] == rack


def test_replicas_are_spread_over_leaves_before_racks() -> None:
    """Five racks of two servers, four servers a leaf: the last rack has leaves of its own."""
    site = row(5)
    found = placed("failure-domain-aware", site, 3, leaves=four_servers_a_leaf(site))
    assert by_rack(site, found) == {0: 1, 2: 1, 4: 1}
    racks = placed("failure-domain-aware", site, 3, parameters={"levels": ("rack",)})
    assert by_rack(site, racks) == {0: 1, 1: 1, 2: 1}


def test_one_of_two_feeds_counts_half() -> None:
    """Four PDUs, racks on a and b or c and d: one replica below a and b is a half at either."""
    site = row(4)
    tree = build_power_tree(site, PowerPlan(None, None, (), 4, None, None, "2N"))
    found = placed(
        "failure-domain-aware", site, 4, power=tree, parameters={"levels": ("pdu",)}, tensor=8
    )
    pairs = Counter(
        tuple(
            sorted(
                tree.nodes[parent].name
                for child, parent, _ in tree.edges
                if tree.nodes[child].name == site.rack_names[site.node_rack[place[0] // 8]]
            )
        )
        for place in found
    )
    assert pairs == {("row-pdu-a", "row-pdu-b"): 2, ("row-pdu-c", "row-pdu-d"): 2}


def test_servers_of_one_domain_are_apart() -> None:
    """NVL72: eighteen servers of four GPUs in one domain."""
    site = row(1, "gb200-nvl72")
    found = placed("failure-domain-aware", site, 3)
    assert found == [(0, 1, 2, 3), (4, 5, 6, 7), (8, 9, 10, 11)]
    two = placed("failure-domain-aware", site, 3, tensor=2)
    assert two == [(0, 1), (4, 5), (8, 9)]
    assert placed("topology-aware", site, 3, tensor=2) == [(0, 1), (2, 3), (4, 5)]


# ---- locality --------------------------------------------------------------------------------


def test_replicas_go_near_their_partners_and_are_balanced() -> None:
    """Prefill replicas on servers 0 and 4, which share no leaf (0 to 3, 4 to 7 do)."""
    site = row(4)
    leaves = four_servers_a_leaf(site)
    fixed = {"prefill": (server(0, 0, 1, 2, 3), server(4, 0, 1, 2, 3))}
    order = [
        server(0, 4, 5, 6, 7),  # the domain of the first
        server(4, 4, 5, 6, 7),  # that of the second, which has nobody yet
        server(1, 0, 1, 2, 3),  # both domains are full: the rack of the first
        server(5, 0, 1, 2, 3),
        server(1, 4, 5, 6, 7),  # and again
        server(5, 4, 5, 6, 7),
        server(2, 0, 1, 2, 3),  # both racks are full: its leaves
        server(6, 0, 1, 2, 3),
    ]
    own: tuple[tuple[int, ...], ...] = ()
    for best in order:
        what = view(
            site, placed={**fixed, "pool": own}, partners=("prefill",), leaves=leaves
        )  # fmt: skip
        assert first("locality", what) == best
        own += (best,)


def test_the_fewest_links_where_no_leaf_is_shared() -> None:
    """A server a leaf, pods of eight: the partner is in the last pod."""
    site = row(10)
    leaves = Leaves(partial(fabric, site, 16, kind="fat-tree"))
    apart = [node for node in range(20) if leaves.hops[node, 19] > 2]
    assert 0 in apart
    near = min(node for node in range(20) if node not in apart)
    taken = [gpu for node in (near, 18) for gpu in server(node)]
    what = view(
        site, taken, placed={"other": (server(19),)}, partners=("other",), leaves=leaves, tensor=8
    )
    assert first("locality", what) == server(near + 1)
    assert first("topology-aware", what) == server(0)


@pytest.mark.parametrize("network", [False, True])
def test_who_comes_first_leaves_room_for_its_partners(network: bool) -> None:
    """Eight GPUs a server: each replica of four leaves the other four to its partner.

    Where rails are known (GPU k on leaf k), they are used by turns.
    """
    site = row(2)
    leaves = four_servers_a_leaf(site) if network else None
    anywhere = np.ones(site.gpus, dtype=bool)
    own: tuple[tuple[int, ...], ...] = ()
    for number in range(4):
        free = anywhere.copy()
        free[[gpu for place in own for gpu in place]] = False
        to_come = {"pool": ToCome(4 - number, 4, free), "other": ToCome(4, 4, free)}
        what = view(site, placed={"pool": own}, partners=("other",), to_come=to_come, leaves=leaves)
        own += (first("locality", what),)
    lower, upper = (0, 1, 2, 3), (4, 5, 6, 7)
    halves = (lower, upper, lower, upper) if network else (lower,) * 4
    assert own == tuple(server(node, *half) for node, half in enumerate(halves))


def test_room_in_the_rack_where_the_domain_has_none() -> None:
    """Replicas that fill a server, two servers a rack: one of each pool in every rack."""
    site = row(3)
    free = np.ones(site.gpus, dtype=bool)
    to_come = {"pool": ToCome(3, 8, free), "other": ToCome(3, 8, free)}
    what = view(site, tensor=8, partners=("other",), to_come=to_come)
    assert first("locality", what) == server(0)
    after = free.copy()
    after[:8] = False
    to_come = {"pool": ToCome(2, 8, after), "other": ToCome(3, 8, after)}
    what = view(site, tensor=8, placed={"pool": (server(0),)}, partners=("other",), to_come=to_come)
    assert first("locality", what) == server(2)


def test_without_partners_it_packs() -> None:
    site = row(3)
    what = view(site, server(0, 0, 1), tensor=2)
    place = policy("placement", "locality")
    packed = policy("placement", "topology-aware")
    assert list(place.decide(what, None, RNG)) == list(packed.decide(what, None, RNG))
