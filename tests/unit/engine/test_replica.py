"""The rules of one replica at its boundaries, one by one, with hand-made times."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from sim.engine.reference import ReferencePlane
from sim.engine.run import run
from sim.errors import SimulationError
from sim.perf.step import Batch, StepCost, windowed_pairs
from sim.results.bins import gap_bin
from sim.workload.columns import Columns
from sim.workload.lengths import FixedLengths
from sim.workload.source import ClosedSource
from tests.engine_world import (
    DYADIC,
    LLM,
    Given,
    ListSink,
    constant_cost,
    model,
    plane,
    pool,
    scenario,
    serve,
    workload,
    world,
)


def requests_of(rows: list[dict[str, Any]], *, steps: bool = False, **pool_options: Any) -> Any:
    """Serve rows on one replica of one-second iterations; its requests by id."""
    replica = pool_options.pop("replica", model(constant_cost(1.0)))
    setup = scenario([pool(replica, **pool_options)], [workload()], iterations=steps)
    run = serve(setup, [Given(rows)])
    found = {row["request_id"]: row for row in run.rows("requests")}
    return (found, run) if steps else found


def row(at: float, prompt: int = 1, output: int = 1, **more: Any) -> dict[str, Any]:
    """One request."""
    return {"arrival_s": at, "input_tokens": prompt, "output_tokens": output, **more}


class TestTime:
    """Boundaries, waking and ties."""

    def test_an_arrival_at_an_idle_replica_starts_at_once(self) -> None:
        assert requests_of([row(3.25)])[0]["admitted_s"] == 3.25

    def test_arrivals_of_one_instant_start_together(self) -> None:
        found = requests_of([row(2.0), row(2.0), row(2.0)])
        assert [found[i]["first_token_s"] for i in range(3)] == [3.0, 3.0, 3.0]

    def test_an_arrival_exactly_at_a_boundary_is_admitted_there(self) -> None:
        found = requests_of([row(0.0, output=5), row(2.0)])
        assert found[1]["admitted_s"] == 2.0

    def test_an_arrival_between_boundaries_waits_for_the_next(self) -> None:
        found = requests_of([row(0.0, output=5), row(2.5)])
        assert found[1]["admitted_s"] == 3.0

    def test_arrivals_of_one_instant_queue_by_workload_then_row(self) -> None:
        loads = [workload("first"), workload("second")]
        setup = scenario([pool(model(constant_cost(1.0)), max_sequences=1)], loads)
        run = serve(setup, [Given([row(0.0), row(1.0)]), Given([row(1.0)])])
        found = [(r["workload"], r["admitted_s"]) for r in run.rows("requests")]
        assert found == [("first", 0.0), ("first", 1.0), ("second", 2.0)]

    def test_a_client_that_leaves_at_once_leaves_an_idle_replica_idle(self) -> None:
        found, run = requests_of([row(1.0, cancel_after_s=0.0), row(5.0)], steps=True)
        assert (found[0]["outcome"], found[0]["end_s"]) == ("cancelled", 1.0)
        assert [step["start_s"] for step in run.rows("iterations")] == [5.0]

    def test_boundaries_of_one_instant_run_by_replica(self) -> None:
        rows = [row(0.0), row(1.0), row(1.0)]  # to replicas 0, 1 and 0
        setup = scenario([pool(model(constant_cost(1.0)), replicas=2)], [workload()])
        run = serve(setup, [Given(rows)])
        found = [(r["request_id"], r["replica"], r["end_s"]) for r in run.rows("requests")]
        assert found == [(0, 0, 1.0), (2, 0, 2.0), (1, 1, 2.0)]

    def test_time_outs_come_before_admission_at_the_same_instant(self) -> None:
        setup = scenario([pool(model(constant_cost(1.0)), max_sequences=1)],
                         [workload(timeout_s=2.0)])  # fmt: skip
        run = serve(setup, [Given([row(0.0, output=2), row(0.0)])])
        late = next(r for r in run.rows("requests") if r["request_id"] == 1)
        assert (late["outcome"], late["end_s"], late["admitted_s"]) == ("timed-out", 2.0, None)

    def test_a_follower_with_no_think_time_arrives_at_the_end_itself(self) -> None:
        rows = [
            row(0.0),
            {"after_request": 0, "think_s": 0.0},
            {"after_request": 1, "think_s": 2.5},
        ]
        setup = scenario([pool(model(constant_cost(1.0)))], [workload()])
        run = serve(setup, [Given(rows, closed=True)])
        assert [r["arrival_s"] for r in run.rows("requests")] == [0.0, 1.0, 4.5]

    def test_an_open_source_may_have_followers_too(self) -> None:
        rows = [row(0.0), {"after_request": 0, "think_s": 1.0}, row(0.5)]
        setup = scenario([pool(model(constant_cost(1.0)))], [workload()])
        run = serve(setup, [Given(rows)])
        assert [r["arrival_s"] for r in run.rows("requests")] == [0.0, 0.5, 2.0]

    def test_nothing_arrives_after_the_duration(self) -> None:
        rows = [row(0.0), {"after_request": 0, "think_s": 5.0}]
        setup = scenario([pool(model(constant_cost(1.0)))], [workload()], duration_s=6.0)
        assert len(serve(setup, [Given(rows, closed=True)]).rows("requests")) == 1


class TestBlocks:
    """KV blocks: refusal, head-of-line admission, preemption."""

    def test_what_can_never_fit_is_refused_on_arrival(self) -> None:
        # The last token delivered is never written back: 32 + 17 - 1 = 48 tokens are 3 blocks.
        replica = model(constant_cost(1.0), blocks=3)
        found = requests_of([row(0.0, 32, 17), row(1.0, 32, 18)], replica=replica)
        assert [found[i]["outcome"] for i in range(2)] == ["completed", "never-fits"]
        assert found[1]["replica"] is None

    def test_what_exceeds_the_context_is_refused_and_the_reason_is_logged(self) -> None:
        short = replace(LLM, max_context=100)
        narrow = pool(model(constant_cost(1.0), blocks=20))
        narrow = replace(narrow, llm=replace(narrow.llm, llm=short))
        rows = [row(0.0, 60, 40), row(1.0, 60, 41), row(2.0, 400, 1)]
        run = serve(scenario([narrow], [workload()]), [Given(rows)])
        outcomes = {r["request_id"]: r["outcome"] for r in run.rows("requests")}
        assert outcomes == {0: "completed", 1: "never-fits", 2: "never-fits"}
        refused = [r for r in run.rows("decisions") if r["role"] == "routing"]
        assert [(r["subject"], r["reason_code"]) for r in refused] == [
            ("1", "context"), ("2", "context"),
        ]  # fmt: skip
        assert refused[0]["reason"] == "101 tokens exceed the context of 100 of test-llm"

    def test_the_first_that_does_not_fit_stops_admission(self) -> None:
        replica = model(constant_cost(1.0), blocks=4)
        found = requests_of([row(0.0, 32, 4), row(0.5, 48), row(0.6, 16)], replica=replica)
        assert found[1]["admitted_s"] == found[2]["admitted_s"] == 4.0

    def test_the_last_admitted_is_preempted_and_recomputed_first(self) -> None:
        # Two sequences fill two blocks; at 16 tokens each needs another and one is free.
        replica = model(constant_cost(1.0), blocks=3)
        found = requests_of([row(0.0, 14, 6), row(0.0, 14, 6), row(0.5, 20)], replica=replica)
        first, last, third = (found[i] for i in range(3))
        assert (first["preemptions"], last["preemptions"], third["preemptions"]) == (0, 1, 0)
        # It comes back before the third, which has waited since 0.5 s.
        assert first["end_s"] < last["end_s"] <= third["admitted_s"]
        assert all(r["delivered_tokens"] == r["output_tokens"] for r in found.values())

    def test_a_preempted_one_waits_behind_a_more_urgent_class(self) -> None:
        replica = model(constant_cost(1.0), blocks=3)
        rows = [row(0.0, 14, 6, priority=1), row(0.0, 14, 6, priority=1), row(0.5, 20, priority=0)]
        found = requests_of(rows, replica=replica)
        assert found[1]["preemptions"] == 1
        assert (found[2]["admitted_s"], found[2]["end_s"], found[1]["end_s"]) == (6.0, 7.0, 10.0)

    def test_all_blocks_are_free_in_the_end(self) -> None:
        setup = scenario([pool(model(blocks=20), replicas=2)], [workload()])
        a_plane, _, _ = plane(setup, [Given([row(0.1 * i, 40 + i, 30) for i in range(30)])])
        a_plane.advance(2000.0)
        assert isinstance(a_plane, ReferencePlane)
        assert [r.batcher.free_blocks for r in a_plane.replicas] == [20, 20]
        assert a_plane.pools[0].outstanding_tokens == [0, 0]
        assert a_plane.in_flight() == 0


class TestBatching:
    """What an iteration works on under each policy."""

    def test_chunked_prefill_serves_decodes_first(self) -> None:
        _, run = requests_of(
            [row(0.0, 8, 9), row(0.5, 25)], steps=True, max_batch_tokens=10, max_sequences=4
        )
        work = [(r["decodes"], r["prefill_tokens"]) for r in run.rows("iterations")]
        assert work == [(0, 8), (1, 9), (1, 9), (1, 7), *[(1, 0)] * 5]

    def test_prefill_first_lets_decodes_wait(self) -> None:
        found, run = requests_of(
            [row(0.0, 8, 4), row(0.5, 25)], steps=True, batching="prefill-first",
            max_batch_tokens=10, max_sequences=4,
        )  # fmt: skip
        work = [(r["decodes"], r["prefill_tokens"]) for r in run.rows("iterations")]
        assert work == [(0, 8), (0, 10), (0, 10), (0, 5), (1, 0), (1, 0), (1, 0)]
        # Its second token came after three iterations of another's prefill: a gap of 4 s.
        gaps = dict(zip(*(run.tables["summary/itl"][c] for c in ("bin", "n")), strict=True))
        assert sorted(gaps.values()) == [1, 2]
        assert found[0]["end_s"] == 7.0

    def test_static_admits_nobody_until_the_batch_has_ended(self) -> None:
        found = requests_of([row(0.0, 8, 3), row(0.0, 8, 6), row(1.5, 8, 1)], batching="static")
        assert [found[i]["end_s"] for i in range(3)] == [3.0, 6.0, 7.0]

    def test_priority_goes_first_but_preempts_nobody(self) -> None:
        found = requests_of(
            [row(0.0, 1, 4), row(0.1, priority=2), row(0.2, priority=0)], max_sequences=1
        )
        assert found[2]["admitted_s"] == 4.0
        assert found[1]["admitted_s"] == 5.0

    def test_an_output_of_no_tokens_ends_with_its_prefill(self) -> None:
        found = requests_of([row(0.0, 5, 0)])
        assert (found[0]["delivered_tokens"], found[0]["end_s"]) == (0, 1.0)


class TestLimits:
    """Queue limits, cancellation."""

    def test_a_full_queue_refuses(self) -> None:
        rows = [row(0.0, output=9), row(0.5), row(0.6), row(0.7)]
        found = requests_of(rows, max_sequences=1, max_queue=2)
        assert [found[i]["outcome"] for i in range(4)] == ["completed"] * 3 + ["queue-full"]

    def test_a_full_queue_sheds_its_oldest(self) -> None:
        rows = [row(0.0, output=9), row(0.5), row(0.6), row(0.7)]
        found = requests_of(rows, max_sequences=1, max_queue=2, shed="oldest")
        assert [found[i]["outcome"] for i in range(4)] == [
            "completed", "shed", "completed", "completed",
        ]  # fmt: skip
        assert found[1]["end_s"] == 0.7

    @pytest.mark.parametrize(("shed", "outcome"), [("reject", "queue-full"), ("oldest", "shed")])
    def test_clients_that_are_turned_away_for_ever_stop_the_run(
        self, shed: str, outcome: str
    ) -> None:
        columns = Columns(replace(workload(), clients=3), seed=1, stream="load")
        endless = ClosedSource(columns, FixedLengths(1, 9), clients=3, think_s=0.0)
        one = pool(model(constant_cost(1.0)), max_sequences=1, max_queue=1, shed=shed)
        setup = scenario([one], [workload()])
        with pytest.raises(SimulationError) as caught:
            run(replace(world(setup, []), sources=(endless,)), ListSink())
        assert str(caught.value) == (
            f"at 0.000000 s, workload load: clients that are turned away ({outcome}) come back at "
            "once, again and again, so that time stands still; give them a `think` above 0 s"
        )

    def test_a_low_priority_arrival_does_not_push_out_a_higher_one(self) -> None:
        rows = [row(0.0, output=9), row(0.5, priority=0), row(0.6, priority=1)]
        found = requests_of(rows, max_sequences=1, max_queue=1, shed="oldest")
        assert [found[i]["outcome"] for i in range(3)] == ["completed", "completed", "queue-full"]

    def test_a_preempted_request_is_not_pushed_out(self) -> None:
        rows = [row(0.0, 14, 9), row(0.5, 14, 9), row(4.5)]
        found = requests_of(
            rows, replica=model(constant_cost(1.0), blocks=3), max_queue=1, shed="oldest"
        )
        assert found[1]["preemptions"] == 1
        assert [found[i]["outcome"] for i in range(3)] == ["completed", "completed", "queue-full"]

    def test_a_running_request_that_is_cancelled_leaves_at_the_next_boundary(self) -> None:
        rows = [row(0.0, output=9, cancel_after_s=2.5), row(0.1)]
        found = requests_of(rows, max_sequences=1)
        assert found[0]["outcome"] == "cancelled"
        assert (found[0]["end_s"], found[0]["delivered_tokens"]) == (2.5, 2)
        assert found[1]["admitted_s"] == 3.0

    def test_a_waiting_request_that_is_cancelled_leaves_at_once(self) -> None:
        rows = [row(0.0, output=9), row(0.1, cancel_after_s=1.0)]
        found = requests_of(rows, max_sequences=1)
        assert (found[1]["outcome"], found[1]["end_s"]) == ("cancelled", 1.1)


class TestRuns:
    """The closed form of boundary times."""

    @pytest.mark.parametrize("window", [0, 24, 40])
    def test_boundaries_are_the_sum_of_single_iterations(self, window: int) -> None:
        """S(n) against the sum of the costs of the iterations as they were recorded."""
        cost = StepCost(
            0.011, (0, 16, 1024), (0.0, 0.003, 0.09), 3.1e-4, 2.3e-6,
            1.7e-6 if window else 0.0, 4.1e-9, 2.9e-9 if window else 0.0, window,
        )  # fmt: skip
        rows = [row(0.0, 10, 60), row(0.3, 90, 40), row(0.9, 3, 7), row(5.0, 200, 30)]
        found, run = requests_of(
            rows, steps=True, replica=model(cost), max_batch_tokens=24, max_sequences=8
        )
        assert all(r["outcome"] == "completed" for r in found.values())
        states = follow(run.rows("iterations"), found, cost)
        assert len(states) == len(run.rows("iterations")) > 60
        for step, expected_s in zip(run.rows("iterations"), states, strict=True):
            assert step["end_s"] - step["start_s"] == pytest.approx(expected_s, rel=1e-9)

    def test_a_gap_is_the_formula_not_a_difference_of_boundaries(self) -> None:
        # 1/16 s is the lower edge of a bin; differences of boundaries at 0.1 + n/16 lie about it.
        rows = [row(0.1, 1, 60)]
        found, run = requests_of(rows, steps=True, replica=model(constant_cost(0.0625)))
        ends = [found[0]["first_token_s"], *(r["end_s"] for r in run.rows("iterations")[1:])]
        assert (
            min(b - a for a, b in pairwise(ends)) < 0.0625 < max(b - a for a, b in pairwise(ends))
        )
        assert list(run.tables["summary/itl"]["bin"]) == [gap_bin(0.0625)]

    def test_a_clock_change_rescales_what_remains(self) -> None:
        setup = scenario([pool(model(constant_cost(1.0)))], [workload()])
        a_plane, recorder, sink = plane(setup, [Given([row(0.0, output=3)])])
        a_plane.advance(1.25)
        a_plane.set_clocks([0], 1, 1.25)  # half speed: 0.75 s become 1.5 s
        a_plane.advance(10.0)
        recorder.close()
        request = sink.rows("requests")[0]
        assert request["end_s"] == 1.25 + 1.5 + 2.0

    def test_a_clock_change_at_a_boundary_comes_before_it(self) -> None:
        setup = scenario([pool(model(constant_cost(1.0)))], [workload()])
        a_plane, recorder, sink = plane(setup, [Given([row(0.0, output=3)])])
        a_plane.advance(1.0)
        a_plane.set_clocks([0], 1, 1.0)
        a_plane.advance(10.0)
        recorder.close()
        assert sink.rows("requests")[0]["end_s"] == 1.0 + 2.0 + 2.0

    def test_windowed_pairs_count_the_keys_each_query_sees(self) -> None:
        for context in range(0, 40, 3):
            for chunk in range(1, 30, 4):
                for window in (1, 7, 16, 100):
                    seen = sum(min(context + i + 1, window) for i in range(chunk))
                    # h counts twice the area under min(x, W): the diagonal counts half.
                    inside = max(0, min(context + chunk, window) - min(context, window))
                    assert windowed_pairs(context, chunk, window) == 2 * seen - inside


def follow(steps: list[dict[str, Any]], requests: dict[int, Any], cost: StepCost) -> list[float]:
    """The cost of each recorded iteration from an independent book-keeping of contexts."""
    contexts: dict[int, int] = {}
    costs = []
    for step in steps:
        now, end = step["start_s"], step["end_s"]
        running = [
            i for i, r in requests.items()
            if r["admitted_s"] <= now and r["end_s"] > now
        ]  # fmt: skip
        decoding = [i for i in running if requests[i]["first_token_s"] <= now]
        prefilling = sorted(set(running) - set(decoding))
        assert len(decoding) == step["decodes"]
        left = step["prefill_tokens"]
        pairs = windowed = 0
        kv = sum(contexts[i] + 1 for i in decoding)
        kv_windowed = sum(min(contexts[i] + 1, cost.window) for i in decoding)
        for i in prefilling:
            context = contexts.get(i, 0)
            chunk = min(left, requests[i]["input_tokens"] - context)
            left -= chunk
            pairs += chunk * (2 * context + chunk)
            windowed += windowed_pairs(context, chunk, cost.window) if cost.window else 0
            contexts[i] = context + chunk
        assert left == 0
        tokens = len(decoding) + step["prefill_tokens"]
        batch = Batch(tokens, len(decoding), kv, kv_windowed, pairs, windowed)
        costs.append(cost.iteration_s(batch))
        for i in decoding:
            contexts[i] += 1
        assert math.isfinite(end)
    return costs


def test_step_cost_reads_its_grid() -> None:
    assert DYADIC.tokens_s(512) == 2.0**-5
    assert DYADIC.tokens_s(2048) == 2.0**-3  # beyond the grid: the last slope
