"""A collective alone on a fabric: bound by its closed form, its NICs, or what they share."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from sim.on_fabric import OnFabric, route, time_on_fabric
from sim.perf.collectives.flows import Plan, plan_collective
from sim.perf.collectives.ops import OPS
from sim.policies.base import policies
from sim.site.fabric.failures import NetworkState
from sim.site.fabric.types import VERTICES, Fabric
from tests.unit.site.fabrics import built, plan_of, site_of


@pytest.fixture(scope="module")
def rails() -> Fabric:
    """Two servers of 8 H100, a leaf for each rail."""
    return built(site_of(2), plan_of())


def alone(
    op: str, size: float, ranks: Sequence[int], fabric: Fabric, kind: str = "rail", **keys: int
) -> tuple[Plan, OnFabric]:
    plan = plan_collective(op, size, ranks, fabric, "h100-sxm")
    return plan, time_on_fabric(plan, NetworkState(fabric), policies("paths")[kind](**keys))


def test_two_servers_on_rails_send_a_share_over_every_nic(rails: Fabric) -> None:
    plan, on = alone("all-reduce", 8e9, range(16), rails)
    # 2(N − 1)/N · S/8 over each NIC of 50 GB/s; NVLink's (1 + 1/8) S at 450 GB/s is as long.
    assert on.flows_s == pytest.approx(8e9 / 8 / 50e9, rel=1e-9)
    assert on.time_s == plan.alone.time_s > on.flows_s


def test_one_rail_takes_as_long_as_eight_for_an_eighth(rails: Fabric) -> None:
    _, spread = alone("all-reduce", 8e9, range(16), rails)
    plan, one = alone("all-reduce", 8e9, [0, 8], rails)
    assert one.flows_s == pytest.approx(8 * spread.flows_s, rel=1e-9)
    assert one.time_s > 5 * spread.time_s
    assert VERTICES[rails.kinds[rails.link_from[one.busiest_link]]] in ("nic", "leaf", "gpu")
    assert plan.alone.basis == ("1 GPUs in each domain: only 8 were measured over a network",)


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("kind", ["rail", "ecmp", "adaptive", "random", "shortest"])
def test_the_closed_form_is_the_floor_and_the_busiest_link_a_bound(op: str, kind: str) -> None:
    fabric = built(site_of(8), plan_of("fat-tree", radix=32, over=3))
    ranks = [0, 40] if op == "point-to-point" else range(64)
    plan, on = alone(op, 1e8, ranks, fabric, kind)
    assert on.time_s >= plan.alone.time_s
    assert on.time_s >= plan.alone.latency_s + on.flows_s
    assert on.flows_s >= on.busiest_s * (1 - 1e-9)


def test_an_oversubscribed_tree_binds_below_the_closed_form() -> None:
    times = []
    for over in (1.0, 3.0):
        fabric = built(site_of(8), plan_of("fat-tree", radix=32, over=over))
        plan, on = alone("all-to-all", 1e9, range(64), fabric)
        times.append(on.time_s)
        slower = on.time_s > 1.5 * plan.alone.time_s
        assert slower == (over > 1.0)
    assert times[1] > 1.5 * times[0]


def test_a_dead_leaf_sends_a_rail_over_others(rails: Fabric) -> None:
    plan = plan_collective("all-reduce", 8e9, range(16), rails, "h100-sxm")
    network, policy = NetworkState(rails), policies("paths")["rail"]()
    whole = time_on_fabric(plan, network, policy)
    network.fail("leaf-1")
    routed = route(plan, network, policy)
    assert network.alive[routed.link_idx].all()
    assert time_on_fabric(plan, network, policy).flows_s >= 1.9 * whole.flows_s


def test_a_domain_needs_no_network(rails: Fabric) -> None:
    plan, on = alone("all-gather", 9e8, range(8), rails)
    assert on.flows_s == pytest.approx(0.875 * 9e8 / 450e9, rel=1e-9)
    assert VERTICES[rails.kinds[rails.link_to[on.busiest_link]]] == "nvswitch"
    assert on.time_s == plan.alone.time_s
