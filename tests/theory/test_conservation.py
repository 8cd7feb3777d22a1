"""Laws that hold on every run: each request has one outcome, tokens and time are conserved."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.perf.step import ReplicaModel, StepCost
from sim.site.load import tree_flow
from tests.engine_world import (
    DYADIC,
    Given,
    ListSink,
    model,
    pool,
    scenario,
    serve,
    workload,
)

WINDOWED = StepCost(
    2.0**-6, (0, 1024), (0.0, 2.0**-4), 2.0**-12, 2.0**-23, 2.0**-22, 2.0**-33, 2.0**-32, 40
)
ROUTING = [
    "round-robin", "random", "least-outstanding-requests", "least-outstanding-tokens",
    "power-of-two",
]  # fmt: skip


@st.composite
def worlds(draw: st.DrawFn) -> tuple[Any, list[Given]]:
    """A scenario from idle to hopeless overload: tight KV, small budgets, ties, every policy."""
    sequences = draw(st.integers(1, 12))
    replica = model(
        draw(st.sampled_from([DYADIC, WINDOWED])),
        blocks=draw(st.integers(2, 60)),
        gpus=draw(st.integers(1, 2)),
        sequences=sequences,
    )
    pools = [
        pool(
            replica,
            name=name,
            replicas=draw(st.integers(1, 2)),
            routing=draw(st.sampled_from(ROUTING)),
            batching=draw(st.sampled_from(["chunked-prefill", "prefill-first", "static"])),
            max_batch_tokens=draw(st.integers(sequences, 200)),
            max_sequences=sequences,
            max_queue=draw(st.sampled_from([None, None, 1, 3])),
            shed=draw(st.sampled_from(["reject", "oldest"])),
        )
        for name in ("one", "two")
    ]
    timeout_s = draw(st.sampled_from([math.inf, 0.5, 4.0]))
    loads = [
        workload("load-1", "one", timeout_s=timeout_s),
        workload("load-2", draw(st.sampled_from(["one", "two"]))),
    ]
    sources = [draw(requests(closed=False)), draw(requests(closed=draw(st.booleans())))]
    drain_s = draw(st.sampled_from([0.0, 10_000.0]))
    setup = scenario(
        pools, loads, duration_s=16.0, warm_up_s=draw(st.sampled_from([0.0, 3.3])), drain_s=drain_s
    )
    return setup, sources


@st.composite
def requests(draw: st.DrawFn, closed: bool) -> Given:
    """Requests on a coarse grid of times, so that many meet; or a closed loop of them."""
    count = draw(st.integers(1, 25))
    times = sorted(draw(st.lists(st.integers(0, 63), min_size=count, max_size=count)))
    rows: list[dict[str, Any]] = []
    for i in range(count):
        row: dict[str, Any] = {
            "input_tokens": draw(st.sampled_from([1, 15, 16, 17, 100, 400, 1200])),
            "output_tokens": draw(st.sampled_from([0, 1, 2, 16, 33, 120])),
            "priority": draw(st.integers(0, 2)),
            "cancel_after_s": draw(st.sampled_from([math.inf, math.inf, 0.25, 3.0])),
        }
        if closed and i >= 3:
            row |= {"after_request": i - 3, "think_s": draw(st.sampled_from([0.0, 0.5]))}
        else:
            row["arrival_s"] = 0.0 if closed else times[i] / 4.0
        rows.append(row)
    return Given(rows, closed=closed)


def overlap(start_s: float, end_s: float, window: tuple[float, float]) -> float:
    """Length of [start, end) inside the window."""
    return max(0.0, min(end_s, window[1]) - max(start_s, window[0]))


def check_requests(setup: Any, sources: list[Given], run: ListSink) -> None:
    """Every arrival has one row and one outcome; what it delivered fits the outcome."""
    rows = run.rows("requests")
    identities = [row["request_id"] for row in rows]
    assert len(set(identities)) == len(identities)
    open_rows = {
        (index << 40) + number
        for index, source in enumerate(sources)
        for number, row in enumerate(source.rows)
        if "after_request" not in row
    }
    assert open_rows <= set(identities)
    for row in rows:
        asked, delivered, outcome = row["output_tokens"], row["delivered_tokens"], row["outcome"]
        if outcome == "completed":
            assert delivered == asked
            assert row["arrival_s"] <= row["admitted_s"] < row["first_token_s"] <= row["end_s"]
        elif outcome in ("never-fits", "queue-full", "shed", "timed-out"):
            assert delivered == 0
            assert row["admitted_s"] is None
        else:
            assert outcome in ("cancelled", "unfinished")
            assert delivered <= asked
        assert (row["end_s"] is None) == (outcome == "unfinished")
    if setup.drain_s > 0:
        assert not [row for row in rows if row["outcome"] == "unfinished"]


def check_tokens(setup: Any, run: ListSink) -> None:
    """Every token delivered came from a prefill's end or a decode step."""
    rows, replicas = run.rows("requests"), run.rows("replicas")
    delivered = sum(row["delivered_tokens"] for row in rows)
    decoded = sum(row["decode_tokens"] for row in replicas)
    prefill_ends = sum(1 for row in rows if row["delivered_tokens"] > 0)
    recomputed = sum(row["preemptions"] for row in replicas)
    assert decoded + prefill_ends <= delivered <= decoded + prefill_ends + recomputed
    if recomputed == 0:
        assert delivered == decoded + prefill_ends
        if all(row["outcome"] == "completed" for row in rows):
            prompt = sum(row["input_tokens"] for row in rows)
            assert prompt == sum(row["prefill_tokens"] for row in replicas)
    assert recomputed == sum(row["preemptions"] for row in rows)
    gaps = sum(run.tables.get("summary/itl", {"n": []})["n"])
    assert gaps == delivered - prefill_ends


def check_little(setup: Any, run: ListSink) -> None:
    """Little's law, exactly: the integral of requests present is the sum of their stays."""
    window = (setup.warm_up_s, setup.duration_s)
    horizon_s = setup.duration_s + setup.drain_s
    stays = sum(
        overlap(row["arrival_s"], horizon_s if row["end_s"] is None else row["end_s"], window)
        for row in run.rows("requests")
    )
    present = sum(row["waiting_s"] + row["running_s"] for row in run.rows("replicas"))
    assert present == pytest.approx(stays, rel=1e-9, abs=1e-9)


def reintegrate(setup: Any, run: ListSink, end_s: float) -> None:
    """Energy from the rows of the `power` table, losses applied again, against the meters."""
    tree = setup.power
    rows = run.rows("power")
    servers = {int(node): place for place, node in enumerate(tree.server_index)}
    times = sorted({row["t_s"] for row in rows})
    out = np.zeros(len(servers), dtype=np.int64)
    by_time: dict[float, list[dict[str, Any]]] = {}
    for row in rows:
        by_time.setdefault(row["t_s"], []).append(row)
    energy = np.zeros(len(tree.nodes))
    for start_s, until_s in zip(times, [*times[1:], end_s], strict=True):
        for row in by_time[start_s]:
            if row["node"] in servers:
                out[servers[row["node"]]] = row["out_mw"]
        flow_out, flow_in = tree_flow(tree, out)
        for row in by_time[start_s]:
            assert (flow_out[row["node"]], flow_in[row["node"]]) == (row["out_mw"], row["in_mw"])
        energy += flow_in / 1000.0 * (until_s - start_s)
    metered = [row["energy_total_j"] for row in run.rows("power_nodes")]
    np.testing.assert_allclose(metered, energy, rtol=1e-9)


def check_energy_shares(setup: Any, run: ListSink) -> None:
    """What is charged to workloads is what replicas drew, less what they drew at rest."""
    replicas = run.rows("replicas")
    window_s = setup.duration_s - setup.warm_up_s
    gpus = [len(row["gpus"].split()) for row in replicas]
    idle_w = [model_of(setup, row["pool"]).power[0].idle_mw / 1000 for row in replicas]
    rest = [
        n * w * (window_s - row["busy_s"]) for n, w, row in zip(gpus, idle_w, replicas, strict=True)
    ]
    drawn = sum(row["energy_j"] for row in replicas) - sum(rest)
    charged = sum(row["energy_j"] for row in run.rows("workloads"))
    assert charged == pytest.approx(drawn, rel=1e-9, abs=1e-6)


def model_of(setup: Any, name: str) -> ReplicaModel:
    """The model of a pool's replicas."""
    return next(p for p in setup.pools if p.name == name).models["h100-sxm"]


@settings(max_examples=150, deadline=None)
@given(worlds())
def test_every_run_conserves(case: tuple[Any, list[Given]]) -> None:
    check_run(*case)


@pytest.mark.deep
@settings(max_examples=3000, deadline=None)
@given(worlds())
def test_thousands_of_runs_conserve(case: tuple[Any, list[Given]]) -> None:
    check_run(*case)


def check_run(setup: Any, sources: list[Given]) -> None:
    """Serve and hold against every law."""
    run = serve(setup, sources)
    check_requests(setup, sources, run)
    check_tokens(setup, run)
    check_little(setup, run)
    check_energy_shares(setup, run)
    reintegrate(setup, run, setup.duration_s + setup.drain_s)


@settings(max_examples=30, deadline=None)
@given(worlds())
def test_the_same_run_twice_is_equal(case: tuple[Any, list[Given]]) -> None:
    setup, sources = case
    assert serve(setup, sources).tables == serve(setup, sources).tables
