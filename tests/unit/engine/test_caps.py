"""Power caps and admission: what an iteration under a cap costs, and what a hold lets run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from sim import catalog
from sim.engine.recorder import Recorder
from sim.engine.run import ENGINES
from sim.perf import ReplicaModel, replica_model
from tests.engine_world import (
    Given,
    ListSink,
    constant_cost,
    model,
    plane,
    policy,
    pool,
    scenario,
    serve,
    workload,
    world,
)

BOTH = sorted(ENGINES)
#: Prefill of one token draws 400.5 W a GPU, decode of one sequence 301 W; at half clock 0.7 of it.
ONE_SECOND = model(constant_cost(1.0))


def capped(
    cap_w: float | None,
    rows: Sequence[dict[str, Any]],
    engine: str,
    made: ReplicaModel = ONE_SECOND,
) -> ListSink:
    """The rows of a run under a cap from the start."""
    setup = scenario([pool(made)], [workload()], iterations=True)
    if cap_w is not None:
        setup = replace(setup, power_policy=policy("power", "static-cap", normal=cap_w))
    return serve(setup, [Given(rows)], engine=engine)


# ---- caps -------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", BOTH)
def test_a_cap_slows_only_the_iterations_that_would_exceed_it(engine: str) -> None:
    rows = [{"arrival_s": 0.0, "output_tokens": 3}]
    free, between, below, broken = (
        capped(cap_w, rows, engine) for cap_w in (None, 350.0, 290.0, 130.0)
    )
    assert free.rows("requests")[0]["end_s"] == 1.0 + 1.0 + 1.0
    assert between.rows("requests")[0]["end_s"] == 2.0 + 1.0 + 1.0  # prefill at half clock
    assert between.rows("replicas")[0]["cap_bound_s"] == 2.0
    assert below.rows("requests")[0]["end_s"] == 2.0 + 2.0 + 2.0
    assert below.rows("replicas")[0]["cap_bound_s"] == 6.0
    # No level keeps to 130 W: the lowest has to do.
    assert broken.rows("requests")[0]["end_s"] == 6.0
    drawn = [row["draw_w"] for row in between.rows("iterations")]
    assert drawn == pytest.approx([0.7 * 400.488, 301.0, 301.0], abs=0.002)


@pytest.mark.parametrize("engine", BOTH)
def test_a_cap_above_every_draw_changes_nothing_to_the_last_bit(engine: str) -> None:
    rows = [
        {"arrival_s": 0.37 * n, "input_tokens": 50 + 17 * n, "output_tokens": 40 + n}
        for n in range(30)
    ]
    made = model()
    free, under = capped(None, rows, engine, made), capped(690.0, rows, engine, made)
    for table in ("requests", "iterations", "replicas", "power_nodes", "workloads"):
        assert free.rows(table) == under.rows(table)
    assert capped(310.0, rows, engine, made).rows("requests") != free.rows("requests")


@pytest.mark.parametrize("cap_mw", [None, 690_000])
def test_a_cap_that_comes_in_an_iteration_rescales_what_remains(cap_mw: int | None) -> None:
    setup = scenario([pool(ONE_SECOND)], [workload()])
    a_plane, recorder, sink = plane(setup, [Given([{"arrival_s": 0.0, "output_tokens": 2}])])
    a_plane.advance(0.25)
    a_plane.set_caps([0], 350_000, 0.25)  # prefill: 0.75 s become 1.5 s
    a_plane.advance(1.0)
    a_plane.set_caps([0], cap_mw, 1.0)  # 0.75 s are left, and take half of that
    a_plane.advance(10.0)
    recorder.close()
    request = sink.rows("requests")[0]
    assert (request["first_token_s"], request["end_s"]) == (1.375, 2.375)


def test_a_cap_goes_no_higher_than_the_locked_clock() -> None:
    setup = scenario([pool(ONE_SECOND)], [workload()])
    a_plane, recorder, sink = plane(setup, [Given([{"arrival_s": 0.0, "output_tokens": 2}])])
    a_plane.set_clocks([0], 1, 0.0)
    a_plane.set_caps([0], 350_000, 0.0)
    a_plane.advance(10.0)
    recorder.close()
    assert sink.rows("requests")[0]["end_s"] == 4.0


def h100(name: str, precision: str, tensor_parallel: int) -> ReplicaModel:
    return replica_model(
        catalog.llm(name), catalog.gpu("h100-sxm"), precision=precision, kv_precision=precision,
        tensor_parallel=tensor_parallel, pipeline_parallel=1, max_sequences=256,
        max_batch_tokens=8192, memory_utilisation=0.9, stage_bytes_per_s=4.5e11,
    )  # fmt: skip


@pytest.mark.parametrize("cap_w", [350.0, 400.0, 450.0])
@pytest.mark.parametrize(
    ("name", "precision", "tensor_parallel"),
    [("llama-3.1-70b", "fp8", 4), ("llama-3.1-8b", "bf16", 1), ("qwen3-32b", "bf16", 2)],
)
def test_one_cap_costs_prefill_most_and_small_batches_least(
    name: str, precision: str, tensor_parallel: int, cap_w: float
) -> None:
    """Time under the cap over time without: models.md §3 asks for this order."""
    made = h100(name, precision, tensor_parallel)

    def loss(requests: int, input_tokens: int, output_tokens: int) -> float:
        rows = [
            {"arrival_s": 0.0, "input_tokens": input_tokens, "output_tokens": output_tokens}
        ] * requests
        spent = []
        for cap in (None, cap_w):
            done = capped(cap, rows, "compiled", made).rows("requests")
            first = max(row["first_token_s"] for row in done)
            spent.append(max(row["end_s"] for row in done) - first if output_tokens > 1 else first)
        return spent[1] / spent[0] - 1.0

    prefill, large, small = loss(4, 8192, 1), loss(200, 64, 400), loss(2, 64, 400)
    assert prefill > large > small >= 0.0


# ---- admission --------------------------------------------------------------------------------


def test_who_is_held_waits_and_who_runs_goes_on() -> None:
    rows = [{"arrival_s": 0.0, "output_tokens": 4}, {"arrival_s": 1.5}, {"arrival_s": 20.0}]
    setup = scenario([pool(ONE_SECOND)], [workload()])
    a_plane, recorder, sink = plane(setup, [Given(rows)])
    a_plane.advance(0.5)
    a_plane.set_admission(0, False, None, 0.5)
    a_plane.advance(6.25)
    assert a_plane.in_flight() == 1
    a_plane.set_admission(0, True, None, 6.25)  # at rest: it wakes
    a_plane.advance(30.0)
    a_plane.finish(30.0)
    recorder.close()
    requests = sink.rows("requests")
    assert [row["end_s"] for row in requests] == [4.0, 7.25, 21.0]
    assert requests[1]["admitted_s"] == 6.25


@pytest.mark.parametrize("engine", BOTH)
def test_admission_that_returns_in_a_run_lets_in_at_its_next_boundary(engine: str) -> None:
    rows = [{"arrival_s": 0.0, "output_tokens": 10}, {"arrival_s": 1.5, "output_tokens": 2}]
    setup = scenario([pool(ONE_SECOND)], [workload()])
    sink = ListSink()
    recorder = Recorder(setup, sink)
    a_plane = ENGINES[engine](world(setup, [Given(rows)]), recorder)
    a_plane.open_window(0.0)
    a_plane.advance(0.5)
    a_plane.set_admission(0, False, None, 0.5)
    a_plane.advance(4.5)
    a_plane.set_admission(0, True, None, 4.5)
    a_plane.advance(30.0)
    a_plane.close_window(30.0)
    a_plane.finish(30.0)
    recorder.close()
    requests = sorted(sink.rows("requests"), key=lambda row: row["arrival_s"])
    assert requests[1]["admitted_s"] == 5.0
    assert [row["end_s"] for row in requests] == [10.0, 7.0]
    assert sink.rows("replicas")[0]["blocked_held_s"] == 3.0  # boundaries at 2, 3, 4


@pytest.mark.parametrize("engine", BOTH)
def test_who_is_held_without_work_is_unloaded_and_loses_its_cache(engine: str) -> None:
    """The same prompt three times; 48 of its 50 tokens could be hit."""
    rows = [
        {"arrival_s": at_s, "input_tokens": 50, "output_tokens": 1, "prefix_ids": [1, 2, 3]}
        for at_s in (0.0, 2.0, 12.0)
    ]
    setup = scenario([pool(ONE_SECOND)], [workload()])
    sink = ListSink()
    recorder = Recorder(setup, sink)
    a_plane = ENGINES[engine](world(setup, [Given(rows)]), recorder)
    a_plane.open_window(0.0)
    a_plane.advance(2.5)
    a_plane.set_admission(0, False, 70_000, 2.5)  # it works until 3 s
    a_plane.advance(10.0)
    assert not a_plane.is_busy(0)
    a_plane.set_admission(0, True, None, 10.0)
    a_plane.advance(20.0)
    a_plane.close_window(20.0)
    a_plane.finish(20.0)
    recorder.close()
    requests = sorted(sink.rows("requests"), key=lambda row: row["arrival_s"])
    assert [row["prefix_hit_tokens"] for row in requests] == [0, 48, 0]
    replica = sink.rows("replicas")[0]
    worked_s, unloaded_s = 3.0, 7.0
    idle_s = 20.0 - worked_s - unloaded_s
    worked_j = replica["energy_j"] - 70.0 * unloaded_s - 120.0 * idle_s
    assert worked_j == pytest.approx(2 * made_w(50) + made_w(2), abs=0.01)


def made_w(tokens: int) -> float:
    """Draw of a prefill of so many tokens."""
    return ONE_SECOND.power[0].prefill_draw_mw(tokens) / 1000


def acted(
    engine: str, rows: Sequence[dict[str, Any]], *acts: tuple[float, str, tuple[Any, ...]]
) -> ListSink:
    """The rows of 30 s in which methods of the plane are called at stated times."""
    setup = scenario([pool(ONE_SECOND)], [workload()])
    sink = ListSink()
    recorder = Recorder(setup, sink)
    a_plane = ENGINES[engine](world(setup, [Given(rows)]), recorder)
    a_plane.open_window(0.0)
    for time_s, method, arguments in acts:
        a_plane.advance(time_s)
        getattr(a_plane, method)(*arguments, time_s)
    a_plane.advance(30.0)
    a_plane.close_window(30.0)
    a_plane.finish(30.0)
    recorder.close()
    return sink


@pytest.mark.parametrize("engine", BOTH)
def test_who_gives_up_at_a_replica_at_rest_is_held_no_longer(engine: str) -> None:
    rows = [{"arrival_s": 1.0, "cancel_after_s": 2.0}, {"arrival_s": 2.0, "cancel_after_s": 3.0}]
    sink = acted(engine, rows, (0.5, "set_admission", (0, False, None)))
    assert [row["outcome"] for row in sink.rows("requests")] == ["cancelled", "cancelled"]
    assert sink.rows("replicas")[0]["blocked_held_s"] == 4.0  # from 1 s to 5 s


@pytest.mark.parametrize("engine", BOTH)
def test_a_held_replica_finishes_what_it_has_to_be_parked_and_is_still_held_once_back(
    engine: str,
) -> None:
    rows = [{"arrival_s": 0.0, "output_tokens": 4}, {"arrival_s": 1.5}, {"arrival_s": 20.0}]
    sink = acted(
        engine, rows, (0.5, "set_admission", (0, False, None)), (2.5, "drain", (0, 70_000)),
        (15.0, "restore", (0,)), (25.0, "set_admission", (0, True, None)),
    )  # fmt: skip
    requests = sink.rows("requests")
    assert [row["admitted_s"] for row in requests] == [0.0, 3.0, 25.0]
    # Between the boundary at 2 s and the next one, and from 20 s on.
    assert sink.rows("replicas")[0]["blocked_held_s"] == 1.0 + 5.0
