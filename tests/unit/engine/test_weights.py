"""Weights of replicas that start: every time here is worked out by hand.

Servers of 8 GPUs with 8 NICs of 50 GB/s on one switch; a replica fills a server, and every GPU
takes 10 GB. One storage node reads 20 GB/s, servers boot for 3 s.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from sim.check.scenario import PlannedEvent, Weights
from sim.site.fabric.source import FabricSource
from sim.site.fabric.types import FabricPlan, Storage
from tests.engine_world import (
    DYADIC,
    Given,
    ListSink,
    model,
    policy,
    pool,
    scenario,
    serve,
    workload,
)  # fmt: skip

ENGINES = pytest.mark.parametrize("engine", ["reference", "compiled"])
SHARE = 10e9
STORE = Storage(nodes=1, nic_bytes_per_s=50e9, read_bytes_per_s=20e9)
#: Latencies: NIC and half of a switch at either end, PCIe between NIC and GPU.
ARRIVES = 2 * (1e-6 + 0.25e-6) + 0.4e-6  # from storage
BETWEEN = ARRIVES + 0.4e-6  # from GPU to GPU
FIRST_SERVER = 6  # in the electrical tree


def fabric(storage: Storage = STORE, kind: str = "single-switch", **more: Any) -> FabricSource:
    plan = FabricPlan(kind, 50e9, 1.0, more.get("radix"), 50e9, 0.5e-6, storage=storage)
    return FabricSource(kind, plan, storage=storage)


def run_of(
    engine: str,
    events: Sequence[PlannedEvent],
    source: str = "storage",
    *,
    multicast: bool = False,
    cold: bool = False,
    servers: int = 4,
    starts: int | None = None,
    storage: Storage = STORE,
    network: FabricSource | str | None = "",
    until_s: float = 60.0,
    arrivals: Sequence[float] = (1.0,),
) -> ListSink:
    plan = Weights(source, 3.0, multicast, cold, {"h100-sxm": (SHARE,)})
    one = replace(pool(model(DYADIC, gpus=8), replicas=servers), weights=plan, starts=starts)
    case = scenario([one], [workload()], nodes=servers, duration_s=until_s, drain_s=1.0)
    case = replace(
        case,
        events=tuple(sorted(events, key=lambda event: event.at_s)),
        storage=storage,
        fabric=fabric(storage) if network == "" else network,
        paths=policy("paths", "rail"),
    )
    requests = [{"arrival_s": at_s, "output_tokens": 2} for at_s in arrivals]
    return serve(case, [Given(requests)], engine=engine)


def outage(server: int, from_s: float, to_s: float) -> list[PlannedEvent]:
    node = FIRST_SERVER + server
    return [PlannedEvent(from_s, "fail", node), PlannedEvent(to_s, "restore", node)]


def part(at_s: float, name: str, *, dies: bool) -> PlannedEvent:
    return PlannedEvent(at_s, "fail-part" if dies else "restore-part", part=name)


def told(sink: ListSink, kind: str) -> list[tuple[float, str]]:
    return [(r["t_s"], r["entity"]) for r in sink.rows("events") if r["kind"] == kind]


def returns(sink: ListSink) -> dict[int, float]:
    """Replica → when it served again."""
    return {int(who.split()[1]): at_s for at_s, who in told(sink, "replica-returns")}


def close(value: float) -> Any:
    return pytest.approx(value, rel=0.0, abs=1e-9)


@ENGINES
def test_one_replica_from_storage(engine: str) -> None:
    sink = run_of(engine, outage(0, 10.0, 12.0))
    done_s = 12.0 + 3.0 + 8 * SHARE / 20e9 + ARRIVES
    assert returns(sink) == {0: close(done_s)}
    (row,) = sink.rows("transfers")
    assert row == {
        "kind": "weights", "request_id": None, "source": None, "target": 0,
        "size_bytes": 8 * SHARE, "admitted_s": None, "ready_s": 15.0, "start_s": 15.0,
        "end_s": close(done_s), "alone_s": close(4.0 + ARRIVES), "outcome": "arrived",
        "origin": "storage-1", "bound": "storage-1-disks → storage-1", "bound_s": close(4.0),
        "room_s": None, "shared": None,
    }  # fmt: skip
    load = next(r for r in sink.rows("events") if r["kind"] == "weights-load")
    assert (load["t_s"], load["entity"]) == (15.0, "replica 0")
    assert load["detail"] == "80.0 GB from storage-1"


@ENGINES
def test_a_storm_shares_the_storage(engine: str) -> None:
    sink = run_of(engine, [event for server in range(3) for event in outage(server, 10.0, 12.0)])
    done_s = 15.0 + 3 * 8 * SHARE / 20e9 + ARRIVES
    assert returns(sink) == dict.fromkeys(range(3), close(done_s))
    for row in sink.rows("transfers"):
        assert row["bound_s"] == close(12.0)
        assert row["alone_s"] == close(4.0 + ARRIVES)


@ENGINES
def test_two_storage_nodes_take_turns(engine: str) -> None:
    sink = run_of(engine, outage(0, 10.0, 12.0), storage=replace(STORE, nodes=2))
    assert returns(sink) == {0: close(15.0 + 4 * SHARE / 20e9 + ARRIVES)}
    assert sink.rows("transfers")[0]["origin"] == "storage-1, storage-2"


@ENGINES
def test_the_nic_of_a_storage_node_binds_where_its_disks_do_not(engine: str) -> None:
    sink = run_of(engine, outage(0, 10.0, 12.0), storage=replace(STORE, read_bytes_per_s=None))
    assert returns(sink) == {0: close(15.0 + 8 * SHARE / 50e9 + ARRIVES)}
    assert sink.rows("transfers")[0]["bound"] == "storage-1 → leaf-1"


@ENGINES
def test_peers_share_the_one_that_is_loaded(engine: str) -> None:
    events = [event for server in range(3) for event in outage(server, 10.0, 12.0)]
    sink = run_of(engine, events, "peers")
    done_s = 15.0 + 3 * SHARE / 50e9 + BETWEEN
    assert returns(sink) == dict.fromkeys(range(3), close(done_s))
    assert {row["source"] for row in sink.rows("transfers")} == {3}
    assert {row["origin"] for row in sink.rows("transfers")} == {"replica 3"}


@ENGINES
def test_in_a_multicast_those_that_are_loaded_serve_the_rest(engine: str) -> None:
    events = [event for server in range(3) for event in outage(server, 10.0, 12.0)]
    sink = run_of(engine, events, "peers", multicast=True)
    wave_s = SHARE / 50e9 + BETWEEN
    later = close(15.0 + 2 * wave_s)
    assert returns(sink) == {0: close(15.0 + wave_s), 1: later, 2: later}
    assert [row["source"] for row in sink.rows("transfers")] == [3, 0, 3]
    assert sink.rows("transfers")[2]["ready_s"] == 15.0
    assert sink.rows("transfers")[2]["start_s"] == close(15.0 + wave_s)


@ENGINES
def test_a_multicast_begins_at_storage_where_nobody_is_loaded(engine: str) -> None:
    events = [event for server in range(4) for event in outage(server, 10.0, 12.0)]
    sink = run_of(engine, events, "peers", multicast=True)
    seed_s = 15.0 + 8 * SHARE / 20e9 + ARRIVES
    wave_s = SHARE / 50e9 + BETWEEN
    last = close(seed_s + 2 * wave_s)
    assert returns(sink) == {0: close(seed_s), 1: close(seed_s + wave_s), 2: last, 3: last}


@ENGINES
def test_own_disks_need_no_network(engine: str) -> None:
    events = outage(0, 10.0, 12.0) + outage(1, 10.0, 12.0)
    sink = run_of(engine, events, "local", storage=Storage(local_bytes_per_s=8e9), network=None)
    done = close(15.0 + 8 * SHARE / 8e9 + 0.4e-6)
    assert returns(sink) == {0: done, 1: done}
    assert {row["origin"] for row in sink.rows("transfers")} == {"local"}


@ENGINES
def test_power_lost_again_ends_a_load_and_leaves_more_to_others(engine: str) -> None:
    events = outage(0, 10.0, 12.0) + outage(1, 10.0, 12.0) + outage(0, 17.0, 40.0)
    sink = run_of(engine, events)
    # By 17 s each has 20 GB of its 80; the other one has the disks alone from there.
    assert returns(sink) == {1: close(20.0 + ARRIVES), 0: close(47.0 + ARRIVES)}
    rows = [(row["target"], row["outcome"], row["end_s"]) for row in sink.rows("transfers")]
    assert rows[0] == (0, "withdrawn", 17.0)
    assert rows[1] == (1, "arrived", close(20.0 + ARRIVES))


@ENGINES
def test_power_lost_while_it_boots_begins_the_boot_anew(engine: str) -> None:
    sink = run_of(engine, outage(0, 10.0, 12.0) + outage(0, 14.0, 16.0))
    assert returns(sink) == {0: close(16.0 + 3.0 + 4.0 + ARRIVES)}
    assert len(sink.rows("transfers")) == 1


@ENGINES
def test_what_happens_elsewhere_does_not_begin_a_load_anew(engine: str) -> None:
    sink = run_of(engine, outage(0, 10.0, 12.0) + outage(3, 16.0, 17.0), until_s=40.0)
    # It is done before the other one, which began to boot at 17 s, has booted.
    assert returns(sink)[0] == close(15.0 + 4.0 + ARRIVES)


@ENGINES
def test_a_source_that_dies_is_replaced(engine: str) -> None:
    sink = run_of(engine, outage(0, 10.0, 12.0) + outage(1, 15.1, 50.0), "peers")
    assert returns(sink)[0] == close(15.1 + SHARE / 50e9 + BETWEEN)
    row = sink.rows("transfers")[0]
    assert (row["source"], row["origin"]) == (None, "replica 1, replica 2")
    loads = [r["detail"] for r in sink.rows("events") if r["kind"] == "weights-load"]
    assert loads[:2] == ["80.0 GB from replica 1", "80.0 GB anew from replica 2"]


@ENGINES
def test_the_last_source_dies_and_storage_takes_over(engine: str) -> None:
    sink = run_of(engine, outage(0, 10.0, 12.0) + outage(1, 15.1, 50.0), "peers", servers=2)
    assert returns(sink)[0] == close(15.1 + 4.0 + ARRIVES)


@ENGINES
def test_without_any_source_a_load_waits_and_says_so(engine: str) -> None:
    nothing = Storage()
    events = outage(0, 10.0, 12.0) + outage(1, 15.1, 50.0)
    sink = run_of(engine, events, "peers", servers=2, storage=nothing)
    assert returns(sink) == {}
    assert told(sink, "weights-wait") == [(15.1, "replica 0"), (53.0, "replica 1")]
    assert [row["outcome"] for row in sink.rows("transfers")] == ["unfinished"] * 2


@ENGINES
def test_a_partition_lets_a_load_wait_until_the_network_is_restored(engine: str) -> None:
    events = [*outage(0, 10.0, 12.0), part(16.0, "leaf-1", dies=True)]
    sink = run_of(engine, [*events, part(20.0, "leaf-1", dies=False)])
    assert returns(sink) == {0: close(20.0 + 4.0 + ARRIVES)}
    ((at_s, who),) = told(sink, "partition")
    assert (at_s, who) == (16.0, "node-1-gpu-1")
    row = next(r for r in sink.rows("events") if r["kind"] == "partition")
    assert row["detail"] == (
        "replica 0 waits for its weights: node-1-gpu-1: no path from storage-1-disks to "
        "node-1-gpu-1: it is cut off from the network; failed: leaf-1"
    )
    assert told(sink, "fails")[1] == (16.0, "leaf-1")
    assert told(sink, "is restored")[1] == (20.0, "leaf-1")


@ENGINES
def test_a_replica_that_boots_into_a_partition_waits(engine: str) -> None:
    events = [part(11.0, "storage-1/leaf-1", dies=True), *outage(0, 10.0, 12.0)]
    sink = run_of(engine, [*events, part(30.0, "storage-1/leaf-1", dies=False)])
    assert returns(sink) == {0: close(30.0 + 4.0 + ARRIVES)}
    (row,) = sink.rows("transfers")
    assert (row["ready_s"], row["start_s"]) == (15.0, 30.0)
    assert told(sink, "partition") == [(15.0, "storage-1-disks")]


@ENGINES
def test_one_gpu_that_is_cut_off_waits_for_its_share_alone(engine: str) -> None:
    # Only the way over PCIe to the first GPU dies, over its own NIC and over the host.
    cut = ["node-1-gpu-1/node-1-nic-1", "node-1-gpu-1/node-1"]
    events = [part(11.0, name, dies=True) for name in cut] + outage(0, 10.0, 12.0)
    # NVLink is no way in: servers do not route for others.
    sink = run_of(engine, [*events, part(30.0, cut[0], dies=False)])
    assert returns(sink) == {0: close(30.0 + SHARE / 20e9 + ARRIVES)}
    assert told(sink, "partition") == [(15.0, "node-1-gpu-1")]


@ENGINES
def test_a_spine_that_dies_is_gone_around(engine: str) -> None:
    plan = FabricPlan("leaf-spine", 50e9, 1.0, 16, 50e9, 0.5e-6, storage=STORE)
    network = FabricSource("leaf-spine", plan, storage=STORE)
    hops = 1e-6 + 0.25e-6 + 0.5e-6 + 0.5e-6 + 0.25e-6 + 1e-6 + 0.4e-6
    whole = run_of(engine, outage(0, 10.0, 12.0), network=network)
    assert returns(whole) == {0: close(15.0 + 4.0 + hops)}
    # Of four spines with two cables to each leaf the last one is enough for disks of 20 GB/s.
    events = outage(0, 10.0, 12.0)
    events += [part(16.0, f"spine-{number}", dies=True) for number in (1, 2, 3)]
    one_left = run_of(engine, events, network=network)
    assert returns(one_left) == {0: close(15.0 + 4.0 + hops)}
    assert told(one_left, "partition") == []
    events += [part(17.0, "spine-4", dies=True), part(25.0, "spine-2", dies=False)]
    none_left = run_of(engine, events, network=network)
    assert returns(none_left) == {0: close(25.0 + 4.0 + hops)}
    assert len(told(none_left, "partition")) == 1


@ENGINES
def test_a_cold_start_loads_everybody(engine: str) -> None:
    sink = run_of(engine, [], cold=True, arrivals=(1.0, 30.0))
    done = close(3.0 + 4 * 8 * SHARE / 20e9 + ARRIVES)
    assert returns(sink) == dict.fromkeys(range(4), done)
    assert [row["outcome"] for row in sink.rows("requests")] == ["failed", "completed"]


@ENGINES
def test_replicas_that_are_added_load(engine: str) -> None:
    add = PlannedEvent(10.0, "add", pool="pool", replicas=2)
    sink = run_of(engine, [add], starts=1)
    assert returns(sink) == dict.fromkeys((1, 2), close(10.0 + 3.0 + 8.0 + ARRIVES))


@ENGINES
def test_one_that_is_removed_meanwhile_does_not_load_on(engine: str) -> None:
    add = PlannedEvent(10.0, "add", pool="pool", replicas=2)
    remove = PlannedEvent(15.0, "remove", pool="pool", replicas=1)
    sink = run_of(engine, [add, remove], starts=1)
    # 2 s together, 20 GB each; the other 60 GB alone.
    assert returns(sink) == {1: close(18.0 + ARRIVES)}
    assert [row["outcome"] for row in sink.rows("transfers")] == ["withdrawn", "arrived"]


@ENGINES
def test_one_that_was_removed_serves_no_others(engine: str) -> None:
    remove = PlannedEvent(5.0, "remove", pool="pool", replicas=2)
    sink = run_of(engine, [remove, *outage(0, 10.0, 12.0)], "peers", servers=4)
    assert {row["source"] for row in sink.rows("transfers")} == {1}


@ENGINES
def test_what_is_not_over_at_the_end_has_no_end(engine: str) -> None:
    sink = run_of(engine, outage(0, 10.0, 12.0), until_s=16.0)
    (row,) = sink.rows("transfers")
    assert (row["outcome"], row["end_s"], row["bound"]) == ("unfinished", None, None)
    assert returns(sink) == {}


@ENGINES
def test_a_pool_without_weights_serves_after_a_restart_as_ever(engine: str) -> None:
    one = pool(model(DYADIC, gpus=8), replicas=2)
    case = scenario([one], [workload()], nodes=2, duration_s=400.0, drain_s=1.0)
    case = replace(case, events=tuple(outage(0, 10.0, 12.0)))
    sink = serve(case, [Given([{"arrival_s": 1.0}])], engine=engine)
    assert returns(sink) == {0: 312.0}
    assert sink.rows("transfers") == []


@ENGINES
def test_who_is_cut_off_holds_nobody_up_in_a_multicast(engine: str) -> None:
    cut = ["node-1", "node-1-nic-1"]
    events = [part(11.0, name, dies=True) for name in cut]
    events += [event for server in range(3) for event in outage(server, 10.0, 12.0)]
    # Its NIC first: flows keep the path that they have found.
    events += [part(30.0, name, dies=False) for name in reversed(cut)]
    sink = run_of(engine, events, "peers", multicast=True)
    wave_s = SHARE / 50e9 + BETWEEN
    assert returns(sink) == {
        0: close(30.0 + wave_s), 1: close(15.0 + wave_s), 2: close(15.0 + 2 * wave_s),
    }  # fmt: skip
    assert told(sink, "partition") == [(15.0, "node-1-gpu-1")]


@ENGINES
def test_a_source_that_dies_lets_go_of_shares_beside_one_that_is_cut_off(engine: str) -> None:
    # One GPU has no way in; of the other seven four load from a storage node that then dies.
    cut = ["node-1-gpu-1/node-1-nic-1", "node-1-gpu-1/node-1"]
    events = [part(11.0, name, dies=True) for name in cut] + outage(0, 10.0, 12.0)
    events += [part(16.0, "storage-1", dies=True)]
    events += [part(30.0, cut[0], dies=False)]
    sink = run_of(engine, events, storage=replace(STORE, nodes=2))
    assert sink.rows("transfers")[0]["end_s"] == close(30.0 + SHARE / 20e9 + ARRIVES)
    assert [t for t, _ in told(sink, "weights-load")] == [15.0, *[16.0] * 4, 30.0]
    assert len(told(sink, "partition")) == 1
