"""Random sites that trip, change over, fail, restart and load: both engines tell the same story."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from sim import catalog
from sim.catalog.protection import Battery, Breaker, Electronic, Overload, Thermal, UpsProduct
from sim.check.scenario import PlannedEvent, Pool
from sim.engine.run import run
from sim.engine.world import World
from sim.errors import SimulationError
from sim.site import build_power_tree
from sim.site.types import (
    GeneratorPlan,
    Modules,
    MsbPlan,
    PowerPlan,
    PowerTree,
    RatedBreaker,
    UpsGear,
    UpsPlan,
)
from tests.property.engine_pair import CANDIDATE, REFERENCE, PlainSink
from tests.property.random_cases import seeded_case
from tests.property.random_retries import with_retries
from tests.property.random_weights import with_weights
from tests.property.standstills import SAID, STANDSTILLS, that_end

#: Quick ones, so that something happens within seconds.
ELEMENTS = (Thermal(1.44, 5.0), Thermal(1.1, 0.7), Electronic(1.15, 2.0, 9.0))
TABLES = (
    Overload(((1.0, math.inf), (1.25, 3.0), (1.5, 0.4)), 0.05, 20.0),
    Overload(((1.12, math.inf), (1.5, 1.0)), 0.0, 0.0),
    catalog.ups_product("galaxy-vxl").inverter,
)


def random_site(rng: Random, world: World) -> World:
    """The same world under another electrical tree, in which something happens."""
    scenario = world.scenario
    most_w = sum(node.max_w for node in scenario.site.node_types)

    def breaker() -> RatedBreaker | None:
        if rng.randrange(2):
            return None
        device = Breaker("x", rng.choice(ELEMENTS), rng.choice([1.5, 8.0]))
        return RatedBreaker(device, most_w * rng.choice([0.1, 0.2, 0.4, 1.0]))

    def ups(name: str, reserve: str | None = None) -> UpsPlan:
        product = UpsProduct("x", *(rng.choice(TABLES) for _ in range(3)))
        battery = Battery(rng.choice([0.3, 4.0]), rng.choice([1.0, 1.2]), rng.choice([3.0, 1e4]))
        modules = rng.choice([None, Modules(3, 2), Modules(5, 4), Modules(2, 1)])
        gear = UpsGear(rng.choice([None, product]), rng.choice([None, battery]), modules)
        rating_w = most_w * rng.choice([0.08, 0.15, 0.3, 1.0])
        return UpsPlan(name, rating_w, None, None, reserve, breaker(), gear)

    msbs = [MsbPlan(f"msb-{n}", most_w, None, breaker()) for n in range(rng.choice([0, 1, 2]))]
    reserve = rng.choice([None, None, "ups-r"])
    all_ups = [ups("ups-a", reserve), ups("ups-b", reserve)] + ([ups("ups-r")] if reserve else [])
    plan = PowerPlan(
        utility_budget_w=most_w / 4, utility_rating_w=None, ups=tuple(all_ups),
        pdus_per_row=2, pdu_rating_w=most_w, pdu_budget_w=None, redundancy=rng.choice(["N", "2N"]),
        msbs=tuple(msbs),
        generators=(GeneratorPlan("gen", most_w, rng.choice([0.0, 0.7, 3.0])),) if msbs else (),
        utility_breaker=breaker(), pdu_breaker=breaker(), rack_breaker=breaker(),
        restart_s=rng.choice([0.0, 0.5, 5.0]),
    )  # fmt: skip
    power = build_power_tree(scenario.site, plan)
    end_s = min(scenario.duration_s, 30.0)
    events: list[PlannedEvent] = []
    for _ in range(rng.choice([0, 1, 3])):
        node, time_s = rng.randrange(len(power.nodes)), rng.uniform(0.0, end_s)
        events.append(PlannedEvent(time_s, "fail", node))
        events.append(PlannedEvent(time_s + rng.choice([0.0, 0.2, 4.0]), "restore", node))
    events += module_events(rng, power, {event.node for event in events}, end_s)
    for _ in range(rng.choice([0, 0, 2])):
        node, budget_w = rng.randrange(len(power.nodes)), most_w * rng.choice([0.05, 0.2, 0.5])
        time_s = rng.uniform(0.0, end_s)
        events.append(PlannedEvent(time_s, "budget", node, budget_w=budget_w))
    pools = tuple(random_fleet(rng, pool, end_s, events) for pool in scenario.pools)
    events = [event for event in events if event.at_s < world.horizon_s]
    ordered = tuple(sorted(events, key=lambda event: event.at_s))
    scenario = replace(scenario, power=power, pools=pools, events=ordered)
    return replace(world, scenario=scenario)


def random_fleet(rng: Random, pool: Pool, end_s: float, events: list[PlannedEvent]) -> Pool:
    """Some of a pool's replicas come later, some go, some come back at once."""
    if rng.randrange(2):
        return pool
    starts = there = rng.randint(1, pool.replicas)
    for time_s in sorted(rng.uniform(0.0, end_s) for _ in range(rng.choice([1, 2, 4]))):
        change = rng.randint(-there, pool.replicas - there)
        if change:
            kind = "add" if change > 0 else "remove"
            events.append(PlannedEvent(time_s, kind, pool=pool.name, replicas=abs(change)))
            there += change
    return replace(pool, starts=starts)


def module_events(
    rng: Random, power: PowerTree, whole: set[int], end_s: float
) -> list[PlannedEvent]:
    """Modules of banks that fail, one by one, and mostly return; not where the bank does itself."""
    events: list[PlannedEvent] = []
    for index, node in enumerate(power.nodes):
        if node.ups is None or node.ups.modules is None or index in whole:
            continue
        for _ in range(rng.randrange(node.ups.modules.count + 1)):
            time_s = rng.uniform(0.0, end_s)
            events.append(PlannedEvent(time_s, "fail-module", index))
            if rng.randrange(3):
                later_s = time_s + rng.choice([0.0, 0.5, 5.0])
                events.append(PlannedEvent(later_s, "restore-module", index))
    return events


def served(world: World, engine: str) -> dict[str, list[dict[str, Any]]]:
    """All rows of a run; of one that a faulty policy ends, what it said."""
    sink = PlainSink()
    try:
        run(world, sink, engine=engine)
    except SimulationError as error:
        return {"error": [{"message": str(error)}]}
    return {name: sink.rows(name) for name in sink.tables}


def same(one: Any, two: Any) -> bool:
    """Times of trips are equal to a part in 10^9, and whatever follows from them."""
    if isinstance(one, float) and isinstance(two, float):
        return math.isclose(one, two, rel_tol=1e-8, abs_tol=1e-7)
    return bool(one == two)


def in_order(name: str, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of requests by id: of two that end at times a rounding apart either may come first."""
    if name in ("requests", "attempts"):
        return sorted(rows, key=lambda row: (row["request_id"], row.get("attempt", 0)))
    return rows


def world_of(seed: int) -> World:
    """A random world in which something happens; clients of a third send again, half load."""
    case = seeded_case(seed, prefixes=seed % 2 == 1)
    if seed % 3 == 0:
        case = with_retries(Random(~seed), case)
    world = random_site(Random(seed), case.world)
    return with_weights(Random(seed), world) if seed % 2 == 0 else world


def check_sites(first: int, count: int, seen: Counter[str]) -> None:
    for seed in that_end("sites", range(first, first + count)):
        world = world_of(seed)
        one, two = served(world, REFERENCE), served(world, CANDIDATE)
        assert sorted(one) == sorted(two), seed
        if "error" in one:
            assert one == two, seed
            continue
        for row in one["events"]:
            seen[row["kind"]] += 1
        for row in one.get("transfers", []):
            seen[f"weights-{row['outcome']}"] += 1
        for name in ("events", "requests", "attempts", "decisions", "power_nodes", "replicas",
                     "transfers"):  # fmt: skip
            rows, others = (in_order(name, tables.get(name, [])) for tables in (one, two))
            assert len(rows) == len(others), (seed, name)
            for row, other in zip(rows, others, strict=True):
                unequal = {
                    key: (row[key], other[key]) for key in row if not same(row[key], other[key])
                }
                assert not unequal, (seed, name, row, unequal)
        conserve(one, seed)


def conserve(tables: dict[str, list[dict[str, Any]]], seed: int) -> None:
    """No request is lost or doubled, whatever happens; time goes forward in every table."""
    ids = [row["request_id"] for row in tables["requests"]]
    assert len(ids) == len(set(ids)), seed
    times = [row["t_s"] for row in tables["events"]]
    assert times == sorted(times), seed


@pytest.mark.parametrize("first", range(0, 60, 20))
def test_random_sites(first: int) -> None:
    seen: Counter[str] = Counter()
    check_sites(first, 20, seen)
    assert {
        "trips", "fails", "replica-fails", "replica-returns", "replica-removed", "replica-parked",
        "replica-added", "budget-changes", "module-fails", "module-returns", "weights-load",
        "weights-arrived",
    } <= seen.keys()  # fmt: skip


@pytest.mark.deep
@pytest.mark.parametrize("seed", STANDSTILLS["sites"])
def test_time_that_stands_still(seed: int) -> None:
    one, two = (served(world_of(seed), engine) for engine in (REFERENCE, CANDIDATE))
    assert SAID in one["error"][0]["message"]
    assert one == two


@pytest.mark.deep
@pytest.mark.parametrize("first", range(1000, 2000, 100))
def test_a_thousand_random_sites(first: int) -> None:
    seen: Counter[str] = Counter()
    check_sites(first, 100, seen)
    kinds = {
        "trips", "to-bypass", "drops-load", "on-battery", "battery-empty", "on-mains", "starts",
        "stops", "fails", "is restored", "replica-fails", "replica-returns", "replica-removed",
        "replica-parked", "replica-added", "replica-stays", "budget-changes", "weights-load",
        "weights-wait", "partition", "weights-arrived", "weights-withdrawn", "weights-unfinished",
    }  # fmt: skip
    assert kinds <= seen.keys()
