"""The integer arithmetic: twins equal bit for bit, splits exact, tree flow against brute force."""

from __future__ import annotations

import dataclasses
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim import catalog
from sim.catalog.types import Loss
from sim.site import (
    HallPlan,
    PowerNode,
    PowerPlan,
    PowerTree,
    RowPlan,
    UpsPlan,
    build_power_tree,
    build_site,
    intake,
    loss_in_mw,
    loss_in_mw_array,
    server_load,
    server_out_mw,
    server_out_mw_array,
    split,
    tree_flow,
)
from sim.site.types import IntArray

MILLIWATTS = st.integers(0, 10**12)
COEFFICIENT = st.floats(0, 0.1)
LOSSES = st.builds(Loss, st.floats(1e3, 1e9), COEFFICIENT, COEFFICIENT, COEFFICIENT)


@given(st.lists(st.tuples(MILLIWATTS, st.none() | LOSSES), min_size=1))
def test_the_array_twin_of_loss_is_equal(cases: list[tuple[int, Loss | None]]) -> None:
    columns = np.array([dataclasses.astuple(intake(loss)) for _, loss in cases]).T
    out_mw = np.array([out for out, _ in cases], dtype=np.int64)
    array = loss_in_mw_array(out_mw, *columns)
    assert array.dtype == np.int64
    assert array.tolist() == [loss_in_mw(out, loss) for out, loss in cases]


@given(LOSSES, st.floats(0, 2))
def test_the_polynomial_is_the_loss_curve_without_a_division(loss: Loss, load: float) -> None:
    # A division would be what every change of a draw waits for, at every node up to the utility.
    rating_mw = loss.rating_w * 1000.0
    out_mw = int(load * rating_mw)
    x = out_mw / rating_mw
    divided_mw = out_mw + round(rating_mw * (loss.a + x * (loss.b + x * loss.c)))
    assert abs(loss_in_mw(out_mw, loss) - divided_mw) <= 1


@given(LOSSES, MILLIWATTS, MILLIWATTS)
def test_more_out_is_never_less_in(loss: Loss, one: int, other: int) -> None:
    low, high = sorted((one, other))
    assert loss_in_mw(low, loss) <= loss_in_mw(high, loss)
    assert loss_in_mw(low, loss) >= low


def test_loss_by_hand() -> None:
    # 100 kW at half load: 50 kW + 100 kW x (0.01 + 0.005 + 0.005) = 52 kW
    assert loss_in_mw(50_000_000, Loss(100e3, 0.01, 0.01, 0.02)) == 52_000_000
    assert loss_in_mw(0, Loss(100e3, 0.01, 0.01, 0.02)) == 1_000_000
    assert loss_in_mw(7, None) == 7


def test_half_a_milliwatt_goes_to_the_even_one() -> None:
    loss = Loss(1000.0, 2.5e-6, 0.0, 0.0)
    assert [loss_in_mw(out_mw, loss) for out_mw in range(4)] == [2, 4, 4, 6]


@given(st.lists(st.integers(0, 20_000_000), min_size=1))
def test_the_array_twin_of_the_server_is_equal(draws: list[int]) -> None:
    node = catalog.node_type("dgx-h100")
    load = server_load(node)
    one = np.ones(len(draws))
    array = server_out_mw_array(
        np.array(draws, dtype=np.int64), load.base_mw * one, load.fan_per_mw2 * one
    )
    assert array.dtype == np.int64
    assert array.tolist() == [server_out_mw(node, draw) for draw in draws]


@given(st.sampled_from(sorted(catalog.names("node"))), st.floats(0, 1.5))
def test_the_fans_follow_the_cube_without_a_division(name: str, load: float) -> None:
    # A division would be what every change of a server's draw waits for.
    node = catalog.node_type(name)
    tdp_mw = node.gpus * catalog.gpu(node.gpu).tdp_w * 1000.0
    draw_mw = int(load * tdp_mw)
    fan_mw = node.fan_w * 1000.0 * (draw_mw / tdp_mw) ** 3
    divided_mw = draw_mw + round(node.base_w * 1000.0 + fan_mw)
    assert abs(server_out_mw(node, draw_mw) - divided_mw) <= 1


def test_server_by_hand() -> None:
    node = catalog.node_type("dgx-h100")
    assert server_out_mw(node, 0) == round(node.base_w * 1000)
    half = 8 * 350_000
    assert server_out_mw(node, half) == half + round((node.base_w + node.fan_w / 8) * 1000)


@given(MILLIWATTS, st.lists(st.integers(0, 256), max_size=4))
def test_a_split_sums_exactly(mw: int, cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), 256]
    shares = [high - low for low, high in pairwise(edges)]
    parts = split(mw, shares)
    assert sum(parts) == mw
    assert all(part >= 0 for part in parts)
    assert all(
        abs(256 * part - mw * share) < 256 * len(shares)
        for part, share in zip(parts, shares, strict=True)
    )


def test_an_odd_milliwatt_goes_to_the_last_feed() -> None:
    assert split(1001, (128, 128)) == (500, 501)
    assert split(1001, (256,)) == (1001,)


def brute_force(tree: PowerTree, server_out: IntArray) -> tuple[list[int], list[int]]:
    """What each node delivers and takes in, by recursion from the top, one node at a time."""
    draws = dict(zip(tree.server_index.tolist(), server_out.tolist(), strict=True))
    feeds: dict[int, list[tuple[int, int]]] = {}
    for child, parent, share in tree.edges:
        feeds.setdefault(child, []).append((parent, share))

    @cache
    def delivered(node: int) -> int:
        if node in draws:
            return draws[node]
        total = 0
        for child, parents in feeds.items():
            if node not in [parent for parent, _ in parents]:
                continue
            parts = split(taken(child), [share for _, share in parents])
            total += sum(
                part for part, (parent, _) in zip(parts, parents, strict=True) if parent == node
            )
        return total

    @cache
    def taken(node: int) -> int:
        return loss_in_mw(delivered(node), tree.nodes[node].loss)

    nodes = range(len(tree.nodes))
    return [delivered(node) for node in nodes], [taken(node) for node in nodes]


UPS = tuple(UpsPlan(f"ups-{letter}", 1e6, None) for letter in "abcd")
PLANS = st.one_of(
    st.none(),
    st.builds(
        PowerPlan,
        utility_budget_w=st.none(),
        utility_rating_w=st.none(),
        ups=st.sampled_from([(), UPS[:2], UPS]),
        pdus_per_row=st.sampled_from([2, 4]),
        pdu_rating_w=st.sampled_from([None, 3e5]),
        pdu_budget_w=st.none(),
        redundancy=st.sampled_from(["N", "2N"]),
    ),
)


@given(st.data(), PLANS, st.lists(st.integers(1, 3), min_size=2, max_size=3))
def test_flow_equals_brute_force(
    data: st.DataObject, plan: PowerPlan | None, racks: list[int]
) -> None:
    rows = tuple(RowPlan(f"row-{i}", (("dgx-h100-2", n),)) for i, n in enumerate(racks))
    site = build_site([HallPlan("hall-a", rows)])
    tree = build_power_tree(site, plan)
    servers = len(site.node_names)
    drawn = data.draw(st.lists(st.integers(0, 15_000_000), min_size=servers, max_size=servers))
    server_out = np.array(drawn, dtype=np.int64)
    out_mw, in_mw = tree_flow(tree, server_out)
    assert (out_mw.tolist(), in_mw.tolist()) == brute_force(tree, server_out)
    # Nothing appears or vanishes: what the utility takes is the servers' draw and every loss.
    assert in_mw[0] == server_out.sum() + (in_mw - out_mw).sum()


def test_flow_of_three_uneven_feeds() -> None:
    nodes = (
        PowerNode("utility", "utility", None, None, None),
        *(PowerNode(f"ups-{i}", "ups", 1e5, None, Loss(1e5, 0.01, 0.01, 0.02)) for i in range(3)),
        PowerNode("server", "server", None, None, None),
    )
    edges = ((1, 0, 256), (2, 0, 256), (3, 0, 256), (4, 1, 100), (4, 2, 100), (4, 3, 56))
    tree = PowerTree(nodes, edges, np.array([4]), None, True)
    server_out = np.array([12_345_679])
    out_mw, in_mw = tree_flow(tree, server_out)
    assert out_mw[1:4].tolist() == [4_822_530, 4_822_530, 2_700_619]
    assert (out_mw.tolist(), in_mw.tolist()) == brute_force(tree, server_out)


def test_draws_of_the_wrong_shape_are_refused() -> None:
    site = build_site([HallPlan("a", (RowPlan("r", (("dgx-h100-2", 1),)),))])
    tree = build_power_tree(site, None)
    with pytest.raises(ValueError, match=r"\(3,\) draws for \(2,\) servers"):
        tree_flow(tree, np.zeros(3, dtype=np.int64))


def test_losing_a_share_moves_it_to_the_other_feed() -> None:
    site = build_site([HallPlan("a", (RowPlan("r", (("dgx-h100-2", 2),)),))])
    plan = PowerPlan(None, None, UPS[:2], 2, 1e5, None, "2N")
    tree = build_power_tree(site, plan)
    server_out = np.array([9_000_000, 8_000_001, 7_000_000, 6_000_003])
    both, _ = tree_flow(tree, server_out)
    moved = {128: {True: 0, False: 256}}
    racks = {i for i, node in enumerate(tree.nodes) if node.kind == "rack"}
    pdu_a = next(i for i, node in enumerate(tree.nodes) if node.name == "r-pdu-a")
    edges = tuple(
        (child, parent, moved[share][parent == pdu_a] if child in racks else share)
        for child, parent, share in tree.edges
    )
    one, _ = tree_flow(dataclasses.replace(tree, edges=edges), server_out)
    assert one[pdu_a] == 0
    assert one[pdu_a + 1] == both[pdu_a] + both[pdu_a + 1]
