"""KV of prompts on a network that loses parts: around them, or lost where nothing is left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from sim.check.scenario import Decode, PlannedEvent
from sim.site.fabric.source import FabricSource
from sim.site.fabric.types import FabricPlan
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

TOKENS = 1000
#: K and V of one layer and one head of 64 in bf16, whatever the tensor parallelism.
SIZE = TOKENS * 2 * 64 * 2
#: NICs so slow that a prompt is on its way for 10 s.
NIC = SIZE / 10.0
BETWEEN = 2 * (0.4e-6 + 1e-6 + 0.25e-6)  # PCIe, NIC and half of a switch at either end


def run_of(plan: FabricPlan, events: Sequence[PlannedEvent], *, gpus: int = 1) -> ListSink:
    """Prefill on the first server, decode on the second; prompts at 1 s and at 60 s."""
    first = pool(model(DYADIC, gpus=gpus), name="pool", replicas=8 // gpus)
    second = pool(model(DYADIC, gpus=gpus), name="decode", prefix_cache=False)
    pools = [replace(first, decode=Decode("decode")), second]
    case = scenario(pools, [workload()], nodes=2, duration_s=100.0, drain_s=1.0)
    network = FabricSource(plan.kind, plan)
    case = replace(case, events=tuple(events), fabric=network, paths=policy("paths", "rail"))
    requests = [
        {"arrival_s": at_s, "input_tokens": TOKENS, "output_tokens": 3} for at_s in (1.0, 60.0)
    ]
    return serve(case, [Given(requests)], engine="reference")


def part(at_s: float, name: str, *, dies: bool) -> PlannedEvent:
    return PlannedEvent(at_s, "fail-part" if dies else "restore-part", part=name)


def of_request(sink: ListSink, number: int) -> dict[str, Any]:
    return sink.rows("transfers")[number]


SWITCH = FabricPlan("single-switch", NIC, 1.0, None, NIC, 0.5e-6)
SPINES = FabricPlan("leaf-spine", NIC, 1.0, 16, NIC, 0.5e-6, cables=1)  # eight of them


def test_a_whole_network_takes_what_the_nic_takes() -> None:
    sink = run_of(SWITCH, [])
    for number in (0, 1):
        row = of_request(sink, number)
        assert row["outcome"] == "arrived"
        assert row["end_s"] - row["start_s"] == pytest.approx(10.0 + BETWEEN, abs=1e-9)


@pytest.mark.parametrize("kept", range(1, 9))
def test_the_spine_that_is_left_carries_it_on(kept: int) -> None:
    dead = [part(5.0, f"spine-{n}", dies=True) for n in range(1, 9) if n != kept]
    sink = run_of(SPINES, dead)
    row = of_request(sink, 0)
    assert row["outcome"] == "arrived"
    assert row["end_s"] - row["start_s"] == pytest.approx(10.0 + BETWEEN + 1e-6, abs=1e-9)
    assert {r["outcome"] for r in sink.rows("requests")} == {"completed"}


@pytest.mark.parametrize("gpus", [1, 8])
@pytest.mark.parametrize("name", ["leaf-1", "node-2-nic-1"])
def test_a_partition_fails_the_request_and_frees_both_sides(gpus: int, name: str) -> None:
    events = [part(5.0, name, dies=True), part(20.0, name, dies=False)]
    if name == "node-2-nic-1":
        # With its own NIC dead a GPU is reached over the host, unless that is dead as well.
        events.insert(0, part(5.0, "node-2", dies=True))
        events.append(part(20.0, "node-2", dies=False))
    sink = run_of(SWITCH, events, gpus=gpus)
    first, second = of_request(sink, 0), of_request(sink, 1)
    assert (first["outcome"], first["end_s"]) == ("lost", 5.0)
    outcomes = {row["arrival_s"]: row["outcome"] for row in sink.rows("requests")}
    assert outcomes == {1.0: "failed", 60.0: "completed"}
    assert second["outcome"] == "arrived"
    told = [row for row in sink.rows("events") if row["kind"] == "partition"]
    assert [row["t_s"] for row in told] == [5.0]
    assert "no path from node-1-gpu-1 to node-2-gpu-1" in told[0]["detail"]
