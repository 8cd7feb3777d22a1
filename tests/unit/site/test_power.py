"""Wiring of the power tree: order, names, shares, feeds, provisioned power, refusals."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from sim.errors import BuildError
from sim.site import (
    GeneratorPlan,
    HallPlan,
    MsbPlan,
    PowerPlan,
    PowerTree,
    RowPlan,
    Site,
    UpsPlan,
    build_power_tree,
    build_site,
)

UPS_A, UPS_B = UpsPlan("ups-a", 250e3, None), UpsPlan("ups-b", 250e3, 200e3)
PLAN = PowerPlan(
    utility_budget_w=150e3,
    utility_rating_w=None,
    ups=(UPS_A, UPS_B),
    pdus_per_row=2,
    pdu_rating_w=250e3,
    pdu_budget_w=120e3,
    redundancy="2N",
)


def site_of(*counts: int) -> Site:
    rows = tuple(RowPlan(f"row-{i + 1}", (("dgx-h100-2", n),)) for i, n in enumerate(counts))
    return build_site([HallPlan("hall-a", rows)])


def parents(tree: PowerTree, name: str) -> list[tuple[str, int]]:
    index = [node.name for node in tree.nodes].index(name)
    return [(tree.nodes[p].name, share) for child, p, share in tree.edges if child == index]


PLANS = [
    None,
    PLAN,
    dataclasses.replace(PLAN, redundancy="N"),
    dataclasses.replace(PLAN, ups=()),
    dataclasses.replace(PLAN, pdus_per_row=4),
    dataclasses.replace(PLAN, pdus_per_row=3, redundancy="N", ups=(UPS_A,)),
    dataclasses.replace(PLAN, pdus_per_row=0),
    dataclasses.replace(PLAN, pdus_per_row=0, redundancy="N", ups=()),
    dataclasses.replace(PLAN, pdu_rating_w=None),
]


@pytest.mark.parametrize("plan", PLANS)
def test_every_tree_is_in_order_and_whole(plan: PowerPlan | None) -> None:
    site = site_of(3, 4)
    tree = build_power_tree(site, plan)
    assert tree.nodes[0].kind == "utility"
    assert len({node.name for node in tree.nodes}) == len(tree.nodes)
    assert all(child > parent for child, parent, _ in tree.edges)
    shares = np.zeros(len(tree.nodes), dtype=int)
    for child, _, share in tree.edges:
        shares[child] += share
    assert shares[0] == 0
    assert set(shares[1:].tolist()) == {256}
    servers = [tree.nodes[i] for i in tree.server_index.tolist()]
    assert tuple(node.name for node in servers) == site.node_names
    assert all(node.kind == "server" and node.loss is not None for node in servers)
    racks = [node for node in tree.nodes if node.kind == "rack"]
    assert tuple(node.name for node in racks) == site.rack_names
    assert tree.stated == (plan is not None)


def test_two_n_feeds_each_rack_from_a_and_b() -> None:
    tree = build_power_tree(site_of(3, 4), PLAN)
    for rack in ("row-2-rack-1", "row-2-rack-4"):
        assert parents(tree, rack) == [("row-2-pdu-a", 128), ("row-2-pdu-b", 128)]
    assert parents(tree, "row-2-pdu-a") == [("ups-a", 256)]
    assert parents(tree, "row-2-pdu-b") == [("ups-b", 256)]
    assert parents(tree, "ups-b") == [("utility", 256)]
    assert parents(tree, "row-1-rack-2-node-2") == [("row-1-rack-2", 256)]


def test_two_n_with_four_pdus_alternates_over_pairs() -> None:
    tree = build_power_tree(site_of(3), dataclasses.replace(PLAN, pdus_per_row=4))
    fed = [[name for name, _ in parents(tree, f"row-1-rack-{i}")] for i in (1, 2, 3)]
    assert fed == [
        ["row-1-pdu-a", "row-1-pdu-b"],
        ["row-1-pdu-c", "row-1-pdu-d"],
        ["row-1-pdu-a", "row-1-pdu-b"],
    ]


def test_single_feed_alternates_over_the_rows_pdus() -> None:
    tree = build_power_tree(site_of(3), dataclasses.replace(PLAN, redundancy="N"))
    assert [parents(tree, f"row-1-rack-{i}") for i in (1, 2, 3)] == [
        [("row-1-pdu-a", 256)],
        [("row-1-pdu-b", 256)],
        [("row-1-pdu-a", 256)],
    ]


def test_pdus_are_counted_over_the_site() -> None:
    plan = dataclasses.replace(PLAN, pdus_per_row=1, redundancy="N")
    tree = build_power_tree(site_of(1, 1, 1), plan)
    fed = [parents(tree, f"row-{i}-pdu-a")[0][0] for i in (1, 2, 3)]
    assert fed == ["ups-a", "ups-b", "ups-a"]


def test_without_ups_the_pdus_hang_from_the_utility() -> None:
    tree = build_power_tree(site_of(1), dataclasses.replace(PLAN, ups=()))
    assert parents(tree, "row-1-pdu-a") == parents(tree, "row-1-pdu-b") == [("utility", 256)]


def test_without_pdus_the_racks_hang_from_the_upss() -> None:
    tree = build_power_tree(site_of(1), dataclasses.replace(PLAN, pdus_per_row=0))
    assert parents(tree, "row-1-rack-1") == [("ups-a", 128), ("ups-b", 128)]


def test_limits_and_losses_are_those_of_the_plan_and_the_catalog() -> None:
    tree = build_power_tree(site_of(1), PLAN)
    by_name = {node.name: node for node in tree.nodes}
    assert (by_name["utility"].budget_w, by_name["utility"].rating_w) == (150e3, None)
    assert (by_name["ups-b"].budget_w, by_name["ups-b"].rating_w) == (200e3, 250e3)
    assert by_name["row-1-pdu-a"].budget_w == 120e3
    assert by_name["row-1-rack-1"].rating_w == 20.9e3
    assert by_name["row-1-rack-1"].loss is None
    assert by_name["utility"].loss is None
    for name in ("ups-a", "row-1-pdu-a"):
        loss = by_name[name].loss
        assert loss is not None
        assert loss.rating_w == 250e3
        assert loss.a > 0


def test_an_unrated_pdu_loses_as_if_sized_for_its_racks() -> None:
    tree = build_power_tree(site_of(3), dataclasses.replace(PLAN, pdu_rating_w=None))
    pdu = next(node for node in tree.nodes if node.name == "row-1-pdu-a")
    assert pdu.rating_w is None
    assert pdu.loss is not None
    assert pdu.loss.rating_w == pytest.approx(3 * 20.9e3)


@pytest.mark.parametrize(
    ("plan", "watts"),
    [
        (PLAN, 150e3),
        (dataclasses.replace(PLAN, utility_rating_w=1e6), 150e3),
        (dataclasses.replace(PLAN, utility_budget_w=None, utility_rating_w=1e6), 1e6),
        (dataclasses.replace(PLAN, utility_budget_w=None), 500e3),
        (dataclasses.replace(PLAN, utility_budget_w=None, ups=()), 500e3),
        (dataclasses.replace(PLAN, utility_budget_w=None, ups=(), pdu_rating_w=None), None),
        (None, None),
    ],
)
def test_provisioned_power(plan: PowerPlan | None, watts: float | None) -> None:
    assert build_power_tree(site_of(1), plan).provisioned_w == watts


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        (
            dataclasses.replace(PLAN, redundancy="N+1"),
            "power.pdus.redundancy: must be N or 2N, not 'N+1'",
        ),
        (
            dataclasses.replace(PLAN, pdus_per_row=27),
            "power.pdus.per_row: must be from 0 to 26, not 27",
        ),
        (
            dataclasses.replace(PLAN, pdus_per_row=3),
            "power.pdus.per_row: 2N feeds each rack from a pair of PDUs; 3 is odd",
        ),
        (
            dataclasses.replace(PLAN, ups=(UPS_A,)),
            "power.ups: 2N needs two UPSs or none; 'ups-a' would carry both feeds",
        ),
        (
            dataclasses.replace(PLAN, ups=(), pdus_per_row=0),
            "power.pdus.per_row: 2N needs two PDUs per row, or two UPSs, to feed a rack twice",
        ),
        (
            dataclasses.replace(PLAN, ups=(UPS_A, UPS_B, UpsPlan("ups-c", 1e5, None))),
            "power.ups: 3 UPSs for 2 PDUs (2 per row): nothing would hang from ups-c",
        ),
        (
            dataclasses.replace(PLAN, ups=(UPS_A, UpsPlan("row-1-rack-1", 1e5, None))),
            "power.ups[1].name: the name 'row-1-rack-1' is both a ups's and a rack's; "
            "names in the power tree are unique",
        ),
        (
            dataclasses.replace(PLAN, ups=(UPS_A, UPS_A)),
            "power.ups[1].name: the name 'ups-a' is both a ups's and a ups's; "
            "names in the power tree are unique",
        ),
    ],
)
def test_impossible_plans(plan: PowerPlan, message: str) -> None:
    with pytest.raises(BuildError) as caught:
        build_power_tree(site_of(1), plan)
    assert str(caught.value) == message


def standby(tree: PowerTree, name: str) -> list[str]:
    """What stands by behind a node."""
    index = [node.name for node in tree.nodes].index(name)
    return [tree.nodes[parent].name for child, parent in tree.standby if child == index]


MSBS = (MsbPlan("msb-a", 500e3), MsbPlan("msb-b", 500e3))


def test_switchboards_stand_between_utility_and_upss_in_turn() -> None:
    tree = build_power_tree(site_of(3), dataclasses.replace(PLAN, msbs=MSBS))
    assert parents(tree, "msb-b") == [("utility", 256)]
    assert parents(tree, "ups-a") == [("msb-a", 256)]
    assert parents(tree, "ups-b") == [("msb-b", 256)]
    assert tree.nodes[1].loss is not None
    named = dataclasses.replace(UPS_A, fed_by="msb-b")
    tree = build_power_tree(site_of(3), dataclasses.replace(PLAN, msbs=MSBS, ups=(named, UPS_B)))
    assert parents(tree, "ups-a") == [("msb-b", 256)]


def test_without_upss_pdus_hang_from_switchboards() -> None:
    tree = build_power_tree(site_of(3), dataclasses.replace(PLAN, msbs=MSBS, ups=()))
    assert parents(tree, "row-1-pdu-a") == [("msb-a", 256)]
    assert parents(tree, "row-1-pdu-b") == [("msb-b", 256)]


def test_generators_stand_by_behind_switchboards() -> None:
    plan = dataclasses.replace(
        PLAN,
        msbs=MSBS,
        generators=(
            GeneratorPlan("gen-1", 1e6, 12.0),
            GeneratorPlan("gen-2", 5e5, 9.0, ("msb-b",)),
        ),
    )
    tree = build_power_tree(site_of(3), plan)
    assert standby(tree, "msb-a") == ["gen-1"]
    assert standby(tree, "msb-b") == ["gen-1", "gen-2"]
    generator = next(node for node in tree.nodes if node.name == "gen-2")
    assert (generator.kind, generator.rating_w, generator.start_s) == ("generator", 5e5, 9.0)


def test_a_reserve_carries_nothing_and_stands_by_for_the_loads_of_others() -> None:
    """Block redundancy: one UPS more, which takes over whatever hangs from one that failed."""
    ups = (
        dataclasses.replace(UPS_A, reserve="ups-r"),
        dataclasses.replace(UPS_B, reserve="ups-r"),
        UpsPlan("ups-r", 250e3, None),
    )
    tree = build_power_tree(site_of(3), dataclasses.replace(PLAN, ups=ups, redundancy="N"))
    assert parents(tree, "row-1-pdu-a") == [("ups-a", 256)]
    assert standby(tree, "row-1-pdu-a") == ["ups-r"]
    assert standby(tree, "row-1-pdu-b") == ["ups-r"]
    assert parents(tree, "ups-r") == [("utility", 256)]
    assert tree.provisioned_w == PLAN.utility_budget_w


@pytest.mark.parametrize(
    ("changes", "path", "message"),
    [
        (
            {"msbs": MSBS, "ups": (dataclasses.replace(UPS_A, fed_by="msb-c"), UPS_B)},
            "power.ups[0].fed_by", "unknown switchboard 'msb-c' (did you mean 'msb-b'?)",
        ),
        (
            {"ups": (UPS_A, dataclasses.replace(UPS_B, reserve="ups-c"))},
            "power.ups[1].reserve", "unknown UPS 'ups-c'",
        ),
        (
            {"ups": (dataclasses.replace(UPS_A, reserve="ups-b"),
                     dataclasses.replace(UPS_B, reserve="ups-a"))},
            "power.ups[0].reserve", "'ups-a' is a reserve itself",
        ),
        (
            {"generators": (GeneratorPlan("gen", 1e6, 12.0),)},
            "power.generators", "state them as `msbs`",
        ),
        (
            {"msbs": MSBS, "generators": (GeneratorPlan("gen", 1e6, 12.0, ("msb-x",)),)},
            "power.generators[0].feeds", "unknown switchboard 'msb-x'",
        ),
    ],
)  # fmt: skip
def test_parts_that_do_not_fit(changes: dict[str, Any], path: str, message: str) -> None:
    with pytest.raises(BuildError) as caught:
        build_power_tree(site_of(3), dataclasses.replace(PLAN, **changes))
    assert caught.value.path == path
    assert message in str(caught.value)
