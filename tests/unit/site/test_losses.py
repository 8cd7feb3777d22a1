"""The loss of a feed: who is fed by whom afterwards, and how long the survivor carries it."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from sim import catalog
from sim.site import HallPlan, MsbPlan, PowerPlan, RowPlan, UpsPlan, build_power_tree, build_site
from sim.site.guards import Guard, guards_of
from sim.site.losses import AfterLoss, after_loss, bridges, time_left_s, tolerance
from sim.site.types import PowerTree, RatedBreaker, UpsGear

KW = 1_000_000  # milliwatts
SITE = build_site([HallPlan("hall-a", (RowPlan("row-1", (("dgx-h100-2", 2),)),))])
PLAN = PowerPlan(
    None, None, (UpsPlan("ups-a", 250e3, None), UpsPlan("ups-b", 250e3, None)), 2, None, None, "2N"
)
#: Survivor's load: what A, B, C and D of power.md carry it for on mains, and A on battery.
PRODUCTS = ("galaxy-vxl", "riello-dlp", "ups2000-g", "firstline")
TABLE = {
    80: (math.inf, math.inf, math.inf, math.inf, math.inf),
    100: (math.inf, math.inf, math.inf, math.inf, math.inf),
    125: (600.0, 30.0, 60.0, 30.0, 0.5),
    150: (60.0, 10.0, 3.0, 0.0, 0.5),
}


def guards(product: str) -> list[Guard]:
    gear = UpsGear(catalog.ups_product(product))
    plan = replace(PLAN, ups=(UpsPlan("ups-a", 100e3, None, gear=gear),), redundancy="N")
    return list(guards_of(build_power_tree(SITE, plan)))


@pytest.mark.parametrize(("percent", "seconds"), TABLE.items())
def test_the_published_table_of_survivors(percent: int, seconds: tuple[float, ...]) -> None:
    """One of two UPSs is lost at 40, 50, 62.5 and 75 % of the rating of each."""
    before_mw = percent * KW // 2
    for product, mains_s in zip(PRODUCTS, seconds, strict=False):
        held = tolerance(guards(product), True, percent * KW, before_mw)
        assert held.carried_s("mains") == mains_s, product
    on_battery = tolerance(guards("galaxy-vxl"), True, percent * KW, before_mw)
    assert on_battery.carried_s("battery") == seconds[-1]


def test_where_the_fourth_product_goes_to_bypass_it_is_held_there() -> None:
    held = tolerance(guards("firstline"), True, 150 * KW, 75 * KW)
    assert (held.mains_s, held.bypass_s) == (0.0, 10.0)


def test_time_to_act_is_what_is_left_when_the_overload_shows() -> None:
    assert time_left_s(10.0, 2.0, 2.0) == 4.0
    assert time_left_s(3.0, 2.0, 2.0) == -3.0
    assert time_left_s(math.inf, 2.0, 2.0) == math.inf


def test_nothing_is_said_of_a_ups_without_a_product() -> None:
    breaker = RatedBreaker(catalog.breaker("mccb"), 100e3)
    plan = replace(PLAN, ups=(UpsPlan("a", 100e3, None, breaker=breaker),), redundancy="N")
    own = guards_of(build_power_tree(SITE, plan))
    held = tolerance(own, True, 300 * KW, 50 * KW)
    assert held.carried_s("mains") is None
    assert held.breaker_s == own[0].seconds_left(own[0].steady(50 * KW), 300 * KW, True)
    assert tolerance(own, False, 300 * KW, 50 * KW).carried_s("mains") == held.breaker_s
    assert tolerance([], False, 300 * KW, 50 * KW).carried_s("mains") is None


def carried(tree: PowerTree, after: AfterLoss) -> dict[str, int]:
    out = after.out_mw(np.full(len(tree.server_index), 5 * KW, dtype=np.int64))
    kept = ("ups", "pdu", "rack", "msb")
    pairs = zip(tree.nodes, out.tolist(), strict=True)
    return {node.name: mw for node, mw in pairs if node.kind in kept}


def index(tree: PowerTree, name: str) -> int:
    return [node.name for node in tree.nodes].index(name)


def test_the_other_side_carries_all_of_a_dual_fed_row() -> None:
    tree = build_power_tree(SITE, PLAN)
    whole = carried(tree, AfterLoss(-1, tree, frozenset(), ()))
    one = carried(tree, after_loss(tree, index(tree, "ups-a")))
    assert one["ups-a"] == one["row-1-pdu-a"] == 0
    assert one["row-1-pdu-b"] == whole["row-1-pdu-a"] + whole["row-1-pdu-b"]
    assert one["ups-b"] > 1.99 * whole["ups-b"]
    assert one["row-1-rack-1"] == whole["row-1-rack-1"]


def test_without_another_side_racks_are_dark_and_a_reserve_takes_over() -> None:
    single = replace(PLAN, redundancy="N", ups=(UpsPlan("ups-a", 250e3, None),), pdus_per_row=1)
    tree = build_power_tree(SITE, single)
    assert set(carried(tree, after_loss(tree, index(tree, "ups-a"))).values()) == {0}
    reserved = (UpsPlan("ups-a", 250e3, None, reserve="ups-r"), UpsPlan("ups-r", 250e3, None))
    tree = build_power_tree(SITE, replace(single, ups=reserved))
    before = carried(tree, AfterLoss(-1, tree, frozenset(), ()))
    after = carried(tree, after_loss(tree, index(tree, "ups-a")))
    assert (before["ups-r"], after["ups-r"]) == (0, before["ups-a"])


def test_a_ups_behind_a_lost_switchboard_goes_on_on_its_battery_at_first() -> None:
    gear = UpsGear(battery=catalog.protection.Battery(300.0))
    ups = (UpsPlan("ups-a", 250e3, None, gear=gear), UpsPlan("ups-b", 250e3, None))
    msbs = (MsbPlan("msb-a", 500e3), MsbPlan("msb-b", 500e3))
    tree = build_power_tree(SITE, replace(PLAN, ups=ups, msbs=msbs))
    after = after_loss(tree, index(tree, "msb-a"))
    assert after.bridged == (index(tree, "ups-a"),)
    assert after_loss(tree, index(tree, "msb-b")).bridged == ()
    assert carried(tree, after)["ups-b"] > 0
    assert carried(tree, after)["ups-a"] == 0


def test_a_battery_that_ends_first_hands_its_load_to_the_other_which_then_ends_sooner() -> None:
    """Equal loads of half the rating: 20 s and 80 s alone, but twice the load once A is empty."""
    ups = tuple(
        UpsPlan(name, 100e3, None, gear=UpsGear(battery=catalog.protection.Battery(ride_s)))
        for name, ride_s in (("ups-a", 10.0), ("ups-b", 40.0))
    )
    tree = build_power_tree(SITE, replace(PLAN, ups=ups, msbs=(MsbPlan("msb", 500e3),)))
    a, b = index(tree, "ups-a"), index(tree, "ups-b")
    servers_mw = np.full(len(tree.server_index), 25 * KW, dtype=np.int64)
    before_mw = AfterLoss(-1, tree, frozenset(), ()).out_mw(servers_mw)
    after = after_loss(tree, index(tree, "msb"))
    watch = {node: [one for one in guards_of(tree) if one.node == node] for node in (a, b)}
    alone = {node: 100 * KW / int(before_mw[node]) for node in (a, b)}
    ends = bridges(after, tree, watch, servers_mw, before_mw)
    assert ends[a] == pytest.approx(10.0 * alone[a], rel=1e-12)
    doubled_mw = int(after_loss(tree, index(tree, "msb"), frozenset({b}), frozenset({a}))
                     .out_mw(servers_mw)[b])  # fmt: skip
    charge = 1.0 - ends[a] / (40.0 * alone[b])
    assert ends[b] == pytest.approx(ends[a] + charge * 40.0 * 100 * KW / doubled_mw, rel=1e-12)
    assert ends[b] < 0.66 * 40.0 * alone[b]
