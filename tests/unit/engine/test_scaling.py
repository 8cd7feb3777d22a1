"""Replicas that come, go, are placed anew and move: every time here is worked out by hand.

Servers of 8 GPUs, replicas of 8 or 2; an iteration takes 0.25 s, and a replica that is placed is
loaded 2 s later.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from sim.catalog.arithmetic import kv_bytes_per_token_layer
from sim.check.scenario import PlannedEvent, Pool
from sim.perf.step import ReplicaModel
from sim.site.fabric.source import FabricSource
from sim.site.fabric.types import FabricPlan
from tests.engine_world import (
    Given,
    ListSink,
    constant_cost,
    model,
    policy,
    pool,
    scenario,
    serve,
    workload,
)

ENGINES = pytest.mark.parametrize("engine", ["reference", "compiled"])
WIDE = model(constant_cost(0.25), gpus=8)
SMALL = model(constant_cost(0.25), gpus=2)
RESTART_S = 2.0
FIRST_SERVER = 6  # in the electrical tree
NIC_BYTES_PER_S = 50e9
#: From GPU to GPU through one switch: NIC and half of the switch at either end, PCIe at both.
BETWEEN_S = 2 * (1e-6 + 0.25e-6) + 2 * 0.4e-6


def run_of(
    engine: str,
    pools: Sequence[Pool],
    events: Sequence[PlannedEvent],
    *,
    servers: int = 2,
    requests: Sequence[Sequence[dict[str, Any]]] = (),
    network: bool = False,
    until_s: float = 60.0,
) -> ListSink:
    loads = [workload(one.name, to=one.name) for one in pools]
    case = scenario(pools, loads, nodes=servers, duration_s=until_s, drain_s=1.0)
    plan = FabricPlan("single-switch", NIC_BYTES_PER_S, 1.0, None, NIC_BYTES_PER_S, 0.5e-6)
    case = replace(
        case,
        events=tuple(sorted(events, key=lambda event: event.at_s)),
        power=replace(case.power, restart_s=RESTART_S),
        fabric=FabricSource("single-switch", plan) if network else None,
        paths=policy("paths", "rail"),
    )
    given = [*requests, *[[]] * (len(pools) - len(requests))]
    return serve(
        case, [Given(rows or [{"arrival_s": until_s - 0.5}]) for rows in given], engine=engine
    )


def a_pool(name: str, kind: ReplicaModel, peak: int, starts: int, **more: Any) -> Pool:
    return replace(pool(kind, name=name, replicas=peak), starts=starts, **more)


def event(at_s: float, kind: str, name: str = "", count: int = 0, **more: Any) -> PlannedEvent:
    return PlannedEvent(at_s, kind, pool=name, replicas=count, **more)


def power(at_s: float, kind: str, server: int) -> PlannedEvent:
    return PlannedEvent(at_s, kind, FIRST_SERVER + server)


def told(sink: ListSink, *kinds: str) -> list[tuple[float, str, str]]:
    rows = sink.rows("events")
    return [(r["t_s"], r["kind"], r["entity"]) for r in rows if r["kind"] in kinds]


def details(sink: ListSink, kind: str) -> list[str]:
    return [row["detail"] for row in sink.rows("events") if row["kind"] == kind]


def servers_of(sink: ListSink) -> list[str]:
    return [row["node"] for row in sink.rows("replicas")]


def request(sink: ListSink) -> dict[str, Any]:
    return min(sink.rows("requests"), key=lambda row: float(row["arrival_s"]))


@ENGINES
def test_one_pool_grows_into_what_another_leaves(engine: str) -> None:
    pools = [a_pool("day", WIDE, 2, 2), a_pool("night", WIDE, 1, 0)]
    sink = run_of(engine, pools, [event(10.0, "scale", "day", 1), event(10.0, "scale", "night", 1)])
    assert told(sink, "replica-parked", "replica-added", "replica-returns", "replica-waits") == [
        (10.0, "replica-parked", "replica 1"),
        (10.0, "replica-added", "replica 2"),
        (12.0, "replica-returns", "replica 2"),
    ]
    assert servers_of(sink) == ["node-1", "", "node-2"]


@ENGINES
def test_who_comes_waits_until_a_request_of_another_is_done(engine: str) -> None:
    # From 1 s on ten tokens, the first at 1.25 s: until 3.5 s.
    rows = [{"arrival_s": 1.0, "output_tokens": 10}, {"arrival_s": 1.0, "output_tokens": 10}]
    pools = [a_pool("day", WIDE, 2, 2), a_pool("night", WIDE, 1, 0)]
    events = [event(2.0, "add", "night", 1), event(3.0, "remove", "day", 1)]
    sink = run_of(engine, pools, events, requests=[rows])
    assert told(sink, "replica-waits", "replica-parked", "replica-added", "replica-returns") == [
        (2.0, "replica-waits", "replica 2"),
        (3.5, "replica-parked", "replica 1"),
        (3.5, "replica-added", "replica 2"),
        (5.5, "replica-returns", "replica 2"),
    ]
    refused = [row for row in sink.rows("decisions") if row["subject"] == "night replica 0"]
    assert [(row["t_s"], row["accepted"]) for row in refused] == [(3.5, True)]
    assert "0 suitable GPUs are free" in details(sink, "replica-waits")[0]


@ENGINES
def test_a_failed_replica_is_placed_elsewhere_after_a_while_and_stays_there(engine: str) -> None:
    pools = [a_pool("chat", WIDE, 1, 1, replace_after_s=5.0)]
    sink = run_of(engine, pools, [power(10.0, "fail", 0), power(20.0, "restore", 0)])
    assert told(sink, "replica-fails", "replica-replaced", "replica-returns") == [
        (10.0, "replica-fails", "replica 0"),
        (15.0, "replica-replaced", "replica 0"),
        (17.0, "replica-returns", "replica 0"),
    ]
    assert servers_of(sink) == ["node-2"]
    assert details(sink, "replica-replaced") == [
        "on node-2, for node-1 did not come back: it is being loaded"
    ]


@ENGINES
def test_one_taken_away_that_fails_before_it_has_finished_gives_its_gpus_up(engine: str) -> None:
    pools = [a_pool("day", WIDE, 1, 1, replace_after_s=1.0), a_pool("night", WIDE, 1, 0)]
    rows = [{"arrival_s": 1.0, "output_tokens": 100}]
    events = [
        event(2.0, "remove", "day", 1), power(3.0, "fail", 0), power(5.0, "restore", 0),
        event(6.0, "add", "night", 1), event(10.0, "add", "day", 1),
    ]  # fmt: skip
    sink = run_of(engine, pools, events, servers=1, requests=[rows])
    assert told(sink, *(f"replica-{what}" for what in ("fails", "added", "returns", "waits"))) == [
        (3.0, "replica-fails", "replica 0"),
        (6.0, "replica-added", "replica 1"),
        (8.0, "replica-returns", "replica 1"),
        (10.0, "replica-waits", "replica 0"),
    ]
    assert request(sink)["outcome"] == "failed"
    assert servers_of(sink) == ["", "node-1"]


@ENGINES
def test_power_that_is_back_in_time_moves_nobody(engine: str) -> None:
    pools = [a_pool("chat", WIDE, 1, 1, replace_after_s=5.0)]
    # Twice for 4 s, which is not once for 5 s.
    events = [power(t, kind, 0) for t, kind in
              ((10.0, "fail"), (14.0, "restore"), (17.0, "fail"), (21.0, "restore"))]  # fmt: skip
    sink = run_of(engine, pools, events)
    assert told(sink, "replica-replaced", "replica-returns") == [
        (16.0, "replica-returns", "replica 0"),
        (23.0, "replica-returns", "replica 0"),
    ]
    assert servers_of(sink) == ["node-1"]


@ENGINES
def test_without_another_place_it_waits_for_its_own_power_or_for_gpus(engine: str) -> None:
    pools = [a_pool("chat", WIDE, 1, 1, replace_after_s=5.0), a_pool("other", WIDE, 1, 1)]
    back = run_of(engine, pools, [power(10.0, "fail", 0), power(30.0, "restore", 0)])
    assert told(back, "replica-waits", "replica-returns", "replica-replaced") == [
        (15.0, "replica-waits", "replica 0"),
        (32.0, "replica-returns", "replica 0"),
    ]
    free = run_of(engine, pools, [power(10.0, "fail", 0), event(20.0, "remove", "other", 1)])
    assert told(free, "replica-waits", "replica-returns", "replica-replaced") == [
        (15.0, "replica-waits", "replica 0"),
        (20.0, "replica-replaced", "replica 0"),
        (22.0, "replica-returns", "replica 0"),
    ]
    assert servers_of(free) == ["node-2", ""]


@ENGINES
def test_a_replica_that_loses_its_kv_computes_what_it_ran_anew(engine: str) -> None:
    rows = [{"arrival_s": 1.0, "output_tokens": 100}]
    moves = [event(10.1, "migrate", "chat", replica=0, kv="lost")]
    sink = run_of(engine, [pool(WIDE, name="chat")], moves, requests=[rows])
    # Loaded at 12.1 s: the iteration since 12.0 s, with token 45, is lost. One that recomputes all
    # the 44 tokens before delivers it at 12.35 s, 0.1 s late, and so are the others.
    assert told(sink, "replica-moves", "replica-moved") == [
        (10.1, "replica-moves", "replica 0"),
        (12.1, "replica-moved", "replica 0"),
    ]
    row = request(sink)
    assert (row["outcome"], row["preemptions"]) == ("completed", 1)
    assert row["end_s"] == pytest.approx(1.0 + 100 * 0.25 + 0.1, abs=1e-12)
    assert servers_of(sink) == ["node-2"]


@ENGINES
def test_kv_that_moves_holds_up_what_runs_for_as_long_as_it_takes(engine: str) -> None:
    rows = [{"arrival_s": 1.0, "input_tokens": 32, "output_tokens": 100}]
    moves = [event(10.1, "migrate", "chat", replica=0, kv="moved")]
    chat = pool(WIDE, name="chat")
    sink = run_of(engine, [chat], moves, requests=[rows], network=True)
    (sent,) = sink.rows("transfers")
    # At 12.1 s 44 tokens are delivered; the last of them is not in KV yet.
    llm = chat.llm.llm
    size = (32 + 43) * kv_bytes_per_token_layer(llm, "bf16", 8) * llm.layers  # of each rank
    took_s = size / NIC_BYTES_PER_S + BETWEEN_S
    assert sent["kind"] == "migration"
    assert sent["size_bytes"] == pytest.approx(8 * size, rel=1e-12)
    assert sent["start_s"] == 12.1
    assert sent["end_s"] - 12.1 == pytest.approx(took_s, rel=1e-6)
    row = request(sink)
    assert (row["outcome"], row["preemptions"]) == ("completed", 0)
    assert row["end_s"] - 26.0 == pytest.approx(took_s, rel=1e-6)
    assert servers_of(sink) == ["node-2"]


@ENGINES
def test_a_move_to_a_server_that_fails_leaves_the_replica_where_it_is(engine: str) -> None:
    pools = [pool(WIDE, name="chat"), a_pool("late", WIDE, 1, 0)]
    moves = [
        event(10.0, "migrate", "chat", replica=0, kv="lost"),
        power(11.0, "fail", 1),
        power(20.0, "restore", 1),
        event(30.0, "add", "late", 1),  # gets what was held for the move
    ]
    sink = run_of(engine, pools, moves)
    assert told(sink, "replica-moves", "migration-ends", "replica-moved", "replica-added") == [
        (10.0, "replica-moves", "replica 0"),
        (11.0, "migration-ends", "replica 0"),
        (30.0, "replica-added", "replica 1"),
    ]
    assert details(sink, "migration-ends") == ["it stays where it is: node-2 has no power"]
    assert servers_of(sink) == ["node-1", "node-2"]


@ENGINES
def test_gpus_held_for_a_move_are_nobody_elses(engine: str) -> None:
    pools = [pool(WIDE, name="chat"), a_pool("late", WIDE, 1, 0)]
    moves = [event(10.0, "migrate", "chat", replica=0, kv="lost"), event(11.0, "add", "late", 1)]
    sink = run_of(engine, pools, moves)
    assert told(sink, "replica-waits", "replica-moved", "replica-added") == [
        (11.0, "replica-waits", "replica 1"),
        (12.0, "replica-moved", "replica 0"),
        (12.0, "replica-added", "replica 1"),
    ]
    assert servers_of(sink) == ["node-2", "node-1"]


@ENGINES
def test_defragmenting_brings_free_gpus_together_and_then_stops(engine: str) -> None:
    # First fit: four small ones on each of two servers. The last two of the first four and the last
    # of the others leave: free are 4 and 2 of 8, and no wide one fits.
    pools = [
        pool(SMALL, name="a", replicas=2), a_pool("b", SMALL, 2, 2), pool(SMALL, name="c"),
        a_pool("d", SMALL, 3, 3), a_pool("wide", WIDE, 1, 0),
    ]  # fmt: skip
    events = [
        event(5.0, "remove", "b", 2),
        event(5.0, "remove", "d", 3),
        event(10.0, "defragment", count=4, kv="lost"),
        event(20.0, "add", "wide", 1),
        event(30.0, "defragment", count=4, kv="lost"),
    ]
    sink = run_of(engine, pools, events)
    # Of 9 groups 8 are small: no free GPU is lost on them. To the wide one all 10 are (10 / 9); if
    # the one on the second server moves to the first, 2 are.
    assert details(sink, "defragment") == [
        "1 replica set out: of the free GPUs 0.222 instead of 1.11 will be where no whole group "
        "can use them (mean over all groups)",
        "0 replicas set out",
    ]
    assert servers_of(sink) == ["node-1", "node-1", "", "", "node-1", "", "", "", "node-2"]
    assert told(sink, "replica-moved", "replica-added", "replica-waits") == [
        (12.0, "replica-moved", "replica 4"),
        (20.0, "replica-added", "replica 8"),
    ]


@ENGINES
def test_replicas_that_cannot_move_say_why(engine: str) -> None:
    pools = [a_pool("chat", WIDE, 2, 1)]
    moves = [
        event(10.0, "migrate", "chat", replica=0, kv="lost"),
        event(10.5, "migrate", "chat", replica=0, kv="lost"),
        event(10.5, "migrate", "chat", replica=1, kv="lost"),
        event(20.0, "add", "chat", 1),
        event(30.0, "migrate", "chat", replica=0, kv="lost"),
    ]
    sink = run_of(engine, pools, moves)
    on_its_way, away, full = details(sink, "migration-refused")
    assert on_its_way == "it is on its way already"
    assert away == "it does not serve"
    assert "0 suitable GPUs are free" in full
