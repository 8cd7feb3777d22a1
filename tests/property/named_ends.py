"""Named cases on time-outs, cancellations, clocks, gaps, batching and errors."""

from __future__ import annotations

import math
from dataclasses import replace

from sim.perf.step import Batch, StepCost
from sim.workload.lengths import FixedLengths
from tests.engine_world import Given, constant_cost, model, pool, scenario, workload, world
from tests.property.engine_pair import Outcome
from tests.property.foreign_policies import Remembering
from tests.property.hand_models import QUARTER, STEEP, slower_by
from tests.property.named import (
    SECOND,
    Named,
    closed_loop,
    named,
    one_pool,
    requests,
    row,
    takes_long,
    work,
)
from tests.property.random_cases import Act, Case
from tests.property.random_worlds import LONG_S

# ---- time-outs and cancellations --------------------------------------------------------------


@named
def the_next_in_line_fits_when_the_head_times_out() -> Named:
    """A head of the queue that leaves can unblock the one behind it."""
    rows = [row(0.0, 14, 30), row(0.3, 128), row(1.5, 16)]
    case = one_pool(rows, model(SECOND, blocks=8), timeout_s=5.0)
    return Named(case, lambda outcome: requests(outcome)[2]["admitted_s"] == 6.0)


@named
def the_next_in_line_fits_when_the_head_is_cancelled() -> Named:
    """As with a time-out."""
    rows = [row(0.0, 14, 30), row(0.3, 128, cancel_after_s=5.0), row(1.5, 16)]
    case = one_pool(rows, model(SECOND, blocks=8))
    return Named(case, lambda outcome: requests(outcome)[2]["admitted_s"] == 6.0)


@named
def a_time_out_shorter_than_the_step_of_floats() -> Named:
    """It fires at the arrival itself: also on a replica woken but not yet planned."""
    rows = [row(1.0), row(1.0, 5), row(2.0, cancel_after_s=1e-18)]
    case = one_pool(rows, timeout_s=1e-18)
    return Named(case, lambda outcome: not outcome.tables.get("iterations"))


@named
def a_stale_time_out_meets_a_reused_slot() -> Named:
    """The time-out of a request that has ended must not reach whoever came after it."""
    rows = [row(0.0), row(2.0, 1, 9), row(4.5)]
    case = one_pool(rows, timeout_s=5.0, max_sequences=1)
    return Named(case, lambda outcome: requests(outcome)[2]["end_s"] == 9.5)


@named
def many_give_up_at_one_instant() -> Named:
    """Time-outs and cancellations of one instant come by request; a time-out is the first."""
    rows = [row(0.0, 1, 20), *(row(1.0, cancel_after_s=(3.0, 4.0)[n % 2]) for n in range(20))]
    case = one_pool(rows, timeout_s=3.0, max_sequences=1)

    def shows(outcome: Outcome) -> bool:
        found = outcome.tables["requests"][:-1]
        return [r["request_id"] for r in found] == list(range(1, 21)) and {
            r["outcome"] for r in found
        } == {"timed-out"}

    return Named(case, shows)


@named
def a_cancelled_sequence_delivers_nothing_more() -> Named:
    """Its blocks are free at the next boundary, where its last token would have come."""
    rows = [row(0.0, 1, 5, cancel_after_s=4.5), row(0.0, 30, 9, cancel_after_s=1.5), row(3.0, 5)]
    case = one_pool(rows, max_batch_tokens=8, max_sequences=2)

    def shows(outcome: Outcome) -> bool:
        found = requests(outcome)
        return (found[0]["delivered_tokens"], found[1]["delivered_tokens"]) == (4, 0)

    return Named(case, shows)


# ---- clocks -----------------------------------------------------------------------------------


@named
def a_clock_change_at_a_boundary_comes_before_it() -> Named:
    """Nothing remains of the iteration: its boundary still comes at that instant."""
    acts = [Act(3.0, "clocks", (0,), 1), Act(7.0, "clocks", (0,), 0)]
    case = one_pool([row(0.0, 1, 9)], acts=acts)
    return Named(case, lambda outcome: requests(outcome)[0]["end_s"] == 11.0)


@named
def a_rescaled_iteration_is_a_run_of_its_own() -> Named:
    """The boundary after a clock change is a new anchor; a run's growth does not go on over it."""
    acts = [Act(t, "clocks", (0,), level) for t, level in ((1.03, 1), (1.07, 0), (2.5, 1))]
    case = one_pool([row(0.0, 16, 120)], model(STEEP), acts=acts)
    return Named(case, lambda outcome: len(work(outcome)) == 120)


@named
def a_clock_change_in_chunks_knows_the_context() -> Named:
    """What remains is rescaled by the running chunk's cost, not by the first one's of its run."""
    cost = StepCost(0.25, (0, 1), (0.0, 0.0), 0.0, 0.0, 0.0, 2.0**-16, 0.0, 0)
    slow = slower_by(cost, compute=1.0, memory=1.0, attention=3.0)
    replica = replace(model(cost), cost=(cost, slow))
    chunks = [cost.iteration_s(Batch(64, 0, 0, 0, 64 * (128 * k + 64), 0)) for k in range(10)]
    start_s, half_s = sum(chunks[:6]), chunks[6] / 2
    acts = [Act(start_s + half_s, "clocks", (0,), 1)]
    case = one_pool([row(0.0, 640)], replica, acts=acts, max_batch_tokens=64, max_sequences=1)
    scale = slow.iteration_s(Batch(64, 0, 0, 0, 64 * (128 * 6 + 64), 0)) / chunks[6]
    return Named(case, lambda outcome: math.isclose(
        outcome.tables["iterations"][6]["end_s"], start_s + half_s + half_s * scale
    ))  # fmt: skip


# ---- gaps, batching ---------------------------------------------------------------------------


@named
def gaps_are_binned_by_the_formula() -> Named:
    """1/16 s is the edge of a bin; differences of boundaries at 0.1 + n/16 lie on both sides."""
    case = one_pool([row(0.1, 1, 60)], model(constant_cost(0.0625)))
    return Named(case, lambda outcome: len(outcome.tables["summary/itl"]) == 1)


@named
def decodes_that_stood_by_have_longer_gaps() -> Named:
    """Prefill-first: the gap over three iterations of others' prefill is one gap of 4 s."""
    rows = [row(0.0, 8, 4), row(0.5, 25), row(5.5, 25, 9)]
    case = one_pool(rows, batching="prefill-first", max_batch_tokens=10, max_sequences=4)
    return Named(case, lambda outcome: work(outcome)[:4] == [(0, 8), (0, 10), (0, 10), (0, 5)])


@named
def a_static_batch_opens_when_the_last_has_ended() -> Named:
    """Admission stays open through the prefill of a batch, and closes with its first decode."""
    rows = [row(0.0, 8, 3), row(0.5, 25, 6), row(4.5, 8, 2), row(5.5, 8, 1)]
    case = one_pool(rows, batching="static", max_batch_tokens=10, max_sequences=4)

    def shows(outcome: Outcome) -> bool:
        return [requests(outcome)[i]["admitted_s"] for i in range(4)] == [0.0, 1.0, 9.0, 9.0]

    return Named(case, shows)


# ---- errors -----------------------------------------------------------------------------------


@takes_long
def clients_that_are_turned_away_for_ever_stop_the_run() -> Named:
    """A closed loop without a pause against a full queue: time stands still."""
    lengths = FixedLengths(1, 9)
    case = closed_loop(3, lengths, duration_s=1000.0, max_sequences=1, max_queue=1)
    return Named(case, lambda outcome: "turned away (queue-full) come back" in outcome.error)


@named
def a_routing_policy_that_suggests_nonsense_stops_the_run() -> Named:
    """With the same words, at the same time."""
    one = replace(pool(model(QUARTER), replicas=2), routing=Remembering(good=3))
    rows = [row(0.5 * n, 1, 9) for n in range(6)]
    case = Case(world(scenario([one], [workload()]), [Given(rows)]), (), LONG_S)
    return Named(case, lambda outcome: "suggested 2" in outcome.error)
