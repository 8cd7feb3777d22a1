"""Isolation of tenants' replicas, whoever comes first, and what becomes of places on the way.

Servers of 8 GPUs; first-fit takes the first ones that are free, so that without isolation every
replica below would stand beside the one before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from sim.check.scenario import PlannedEvent, Pool, Scenario
from sim.engine.arbiter import RackPower
from sim.engine.build import build
from sim.engine.world import World
from sim.errors import BuildError
from sim.site.types import Site
from tests.engine_world import (
    DYADIC,
    NODE,
    Given,
    ListSink,
    model,
    policy,
    pool,
    scenario,
    serve,
    site,
    workload,
)  # fmt: skip

FIRST_SERVER = 6  # in the electrical tree


def racks_of_two(nodes: int) -> Site:
    one = site(nodes)
    racks = (nodes + 1) // 2
    return replace(
        one, rack_names=tuple(f"rack-{r + 1}" for r in range(racks)),
        rack_row=np.zeros(racks, np.int64), rack_types=one.rack_types * racks,
        node_rack=np.arange(nodes) // 2,
    )  # fmt: skip


def owned(
    name: str, tenant: str = "", isolation: str = "", gpus: int = 2, replicas: int = 1, **more: Any
) -> Pool:
    one = pool(model(DYADIC, gpus=gpus), name=name, replicas=replicas)
    return replace(one, tenant=tenant, isolation=isolation, **more)


def case_of(
    pools: Sequence[Pool], nodes: int = 6, events: Sequence[PlannedEvent] = (), **more: Any
) -> Scenario:
    loads = [workload(f"to-{one.name}", one.name) for one in pools]
    base = scenario(pools, loads, nodes=nodes, duration_s=60.0, drain_s=1.0)
    tree = replace(base.power, restart_s=1.0)
    made = replace(base, site=racks_of_two(nodes), power=tree, events=tuple(events))
    return replace(made, **more)


def servers(world: World) -> list[int]:
    return [placed.servers[0][0] for placed in world.replicas]


def refusals(world: World) -> list[str]:
    return [row["reason"] for row in world.decisions if row["reason_code"] == "isolation"]


@pytest.mark.parametrize(("level", "size"), [("node", 1), ("rack", 2), ("leaf", 3)])
class TestBothWaysRound:
    """What is isolated keeps away from others, and others keep away from it."""

    LEAVES = tuple((f"leaf-{server // 3 + 1}",) for server in range(6))

    def test_who_is_isolated_comes_second(self, level: str, size: int) -> None:
        case = case_of([owned("shop", "shop"), owned("bank", "bank", level)], leaves=self.LEAVES)
        world = build(case, 1)
        assert servers(world) == [0, size]
        name = {"node": "node-1", "rack": "rack-1", "leaf": "leaf-1"}[level]
        assert refusals(world) == [
            f"tenant bank is to have {name} to itself, and tenant shop has a replica there"
        ]

    def test_who_is_isolated_comes_first(self, level: str, size: int) -> None:
        pools = [owned("bank", "bank", level), owned("shop", "shop"), owned("chat")]
        world = build(case_of(pools, leaves=self.LEAVES), 1)
        assert servers(world) == [0, size, size]  # shop and chat share: neither is isolated
        name = {"node": "node-1", "rack": "rack-1", "leaf": "leaf-1"}[level]
        assert refusals(world) == [
            f"tenant bank has {name} to itself, and this replica is of tenant shop",
            f"tenant bank has {name} to itself, and this replica is of no tenant",
        ]

    def test_pools_of_one_tenant_share(self, level: str, size: int) -> None:
        pools = [owned("one", "bank", level), owned("two", "bank", "node"), owned("three", "bank")]
        world = build(case_of(pools, leaves=self.LEAVES), 1)
        assert servers(world) == [0, 0, 0]
        assert refusals(world) == []


def test_the_stricter_of_both_sides_holds() -> None:
    """Each is isolated, at another level: the shop's own rack keeps the bank out of it."""
    pools = [owned("bank", "bank", "node"), owned("shop", "shop", "rack"), owned("two", "bank")]
    world = build(case_of(pools), 1)
    assert servers(world) == [0, 2, 0]
    pools = [owned("shop", "shop", "rack"), owned("bank", "bank", "node"), owned("chat")]
    assert servers(build(case_of(pools), 1)) == [0, 2, 3]


def test_a_server_on_several_leaves_counts_in_all_of_them() -> None:
    leaves = (("a", "b"), ("b", "c"), ("c",), ("d",))
    world = build(case_of([owned("x"), owned("bank", "bank", "leaf")], 4, leaves=leaves), 1)
    assert servers(world) == [0, 2]  # node-2 shares leaf b with node-1


def test_without_a_place_the_message_tells_whose_isolation_it_is() -> None:
    case = case_of([owned("bank", "bank", "rack"), owned("shop", "shop")], nodes=2)
    with pytest.raises(BuildError) as caught:
        build(case, 1)
    assert str(caught.value) == (
        "pools[shop].replicas: replica 1 of 1 has no place: it needs 2 GPUs (tensor-parallel "
        "groups of 2 in one NVLink domain), 14 suitable GPUs are free, and first-fit found none "
        "that hold (12 × isolation, 1 × nvlink-domain; tenant bank has rack-1 to itself, and this "
        "replica is of tenant shop)"
    )


def test_a_policy_is_asked_again_where_all_that_it_says_breaks_isolation() -> None:
    """Stages go to the fullest servers, so each suggestion has node-1, which is the bank's."""
    staged = replace(owned("shop", "shop", gpus=4), pipeline_parallel=3)
    case = case_of([owned("bank", "bank", "node", gpus=4), staged], nodes=3)
    world = build(replace(case, placement=policy("placement", "topology-aware")), 1)
    assert [server for server, _ in world.replicas[1].servers] == [1, 2]
    ranks = [row["rank"] for row in world.decisions if row["subject"] == "shop replica 0"]
    assert ranks == [0, 3]  # three suggestions were refused, the fourth is of the second asking


def places_of(sink: ListSink, subject: str) -> list[tuple[float, int]]:
    """(time, server) of each place that a replica was given."""
    return [
        (row["t_s"], int(row["suggestion"].split()[0]) // NODE.gpus)
        for row in sink.rows("decisions")
        if row["role"] == "placement" and row["subject"] == subject and row["accepted"]
    ]


ENGINES = pytest.mark.parametrize("engine", ["reference", "compiled"])


@ENGINES
class TestDuringARun:
    def test_gpus_held_for_a_move_are_hardware_of_who_moves(self, engine: str) -> None:
        """The shop's replica sets out to node-2 at 10 s, there at 11 s; bank comes between."""
        pools = [owned("shop", "shop", gpus=5), owned("bank", "bank", "node", starts=0)]
        events = [
            PlannedEvent(10.0, "migrate", pool="shop", replica=0, kv="lost"),
            PlannedEvent(10.5, "add", pool="bank", replicas=1),
        ]
        sink = serve(case_of(pools, 4, events), [Given([])] * 2, engine=engine)
        assert places_of(sink, "shop replica 0") == [(0.0, 0), (10.0, 1)]
        assert places_of(sink, "bank replica 0") == [(10.5, 2)]

    def test_who_moves_away_leaves_the_server_to_others(self, engine: str) -> None:
        pools = [owned("shop", "shop", gpus=5), owned("bank", "bank", "node", starts=0)]
        events = [
            PlannedEvent(10.0, "migrate", pool="shop", replica=0, kv="lost"),
            PlannedEvent(11.5, "add", pool="bank", replicas=1),
        ]
        sink = serve(case_of(pools, 4, events), [Given([])] * 2, engine=engine)
        assert places_of(sink, "bank replica 0") == [(11.5, 0)]

    def test_who_is_down_keeps_its_place_from_others(self, engine: str) -> None:
        """Nor does an isolated one that failed let others in; there is none left, so they wait."""
        pools = [owned("bank", "bank", "rack"), owned("shop", "shop", starts=0)]
        events = [
            PlannedEvent(5.0, "fail", FIRST_SERVER),
            PlannedEvent(10.0, "add", pool="shop", replicas=1),
            PlannedEvent(20.0, "remove", pool="bank", replicas=1),
        ]
        sink = serve(case_of(pools, 2, events), [Given([])] * 2, engine=engine)
        # It comes once the bank's replica is taken away, on the server that has power.
        assert places_of(sink, "shop replica 0") == [(20.0, 1)]
        waits = next(row for row in sink.rows("events") if row["kind"] == "replica-waits")
        assert (waits["t_s"], waits["entity"]) == (10.0, "replica 1")
        assert "tenant bank has rack-1 to itself" in waits["detail"]

    def test_who_fails_on_its_way_out_gives_its_gpus_up(self, engine: str) -> None:
        """It was removed at 1 s, has work until it fails at 2 s; its place is free, and it can come
        back elsewhere."""
        gone = owned("gone", gpus=8, starts=1)
        after = owned("after", gpus=8, starts=0)
        events = [
            PlannedEvent(1.0, "remove", pool="gone", replicas=1),
            PlannedEvent(2.0, "fail", FIRST_SERVER),
            PlannedEvent(5.0, "add", pool="gone", replicas=1),
            PlannedEvent(8.0, "restore", FIRST_SERVER),
            PlannedEvent(9.0, "add", pool="after", replicas=1),
        ]
        work = Given([{"arrival_s": 0.5, "input_tokens": 1, "output_tokens": 2000}])
        sink = serve(case_of([gone, after], 2, events), [work, Given([])], engine=engine)
        kinds = [(row["t_s"], row["kind"]) for row in sink.rows("events")]
        assert (2.0, "replica-fails") in kinds
        assert places_of(sink, "gone replica 0") == [(0.0, 0), (5.0, 1)]
        assert places_of(sink, "after replica 0") == [(9.0, 0)]


def test_the_loss_of_power_supplies_counts_in_what_a_rack_is_planned_for() -> None:
    """A rating is of what a rack delivers to its servers, so of what these take in."""
    one = site(1)
    out_w = 1500.0 + 8 * 700.0 + 900.0
    in_w = out_w + 13_200.0 * (0.01 + 0.02 * out_w / 13_200 + 0.02 * (out_w / 13_200) ** 2)

    def refused(rating_w: float) -> bool:
        rack = replace(one.rack_types[0], rating_w=rating_w)
        return RackPower(replace(one, rack_types=(rack,))).refuse(tuple(range(8))) is not None

    assert refused((out_w + in_w) / 2)
    assert refused(in_w - 1.0)
    assert not refused(in_w + 1.0)
