"""Named cases on the length of runs, arrivals and boundaries."""

from __future__ import annotations

import math
from dataclasses import replace

from sim.perf.step import Batch
from sim.workload.lengths import FixedLengths
from tests.engine_world import model
from tests.property.engine_pair import Outcome
from tests.property.hand_models import STEEP
from tests.property.named import (
    SECOND,
    Named,
    after,
    boundary_s,
    closed_loop,
    named,
    one_pool,
    requests,
    row,
    work,
)

# ---- the length of a run ----------------------------------------------------------------------


@named
def a_stop_that_changes_nothing_leaves_the_anchor() -> Named:
    """Arrivals that cannot be admitted stop a run; only a changed plan or clock re-anchors."""
    waiting = [row(0.3137 * k, 140) for k in range(1, 9)]
    case = one_pool([row(0.0, 16, 120), *waiting], model(STEEP, blocks=9))

    def shows(outcome: Outcome) -> bool:
        first = requests(outcome)[0]
        t1 = STEEP.iteration_s(Batch(1, 1, 17, 0, 0, 0))
        end_s = boundary_s(first["first_token_s"], t1, STEEP.per_kv_token_s, 119)
        return bool(first["end_s"] == end_s)

    return Named(case, shows)


@named
def the_last_chunk_of_a_steady_prefill_is_shorter() -> Named:
    """A run of equal chunks ends before the remainder, which is a run of its own."""
    rows = [row(0.0, 8, 40), row(0.25, 400)]
    case = one_pool(rows, model(STEEP), max_batch_tokens=64, max_sequences=4)
    return Named(case, lambda outcome: [p for _, p in work(outcome) if p] == [8] + [63] * 6 + [22])


@named
def blocks_run_out_within_a_run() -> Named:
    """A block is taken at the start of an iteration: the 35th decode step finds none."""
    rows = [row(0.0, 14, 60), row(0.0, 9, 60)]
    case = one_pool(rows, model(SECOND, blocks=6))

    def shows(outcome: Outcome) -> bool:
        lost = requests(outcome)[1]["preemptions"] == 1
        return lost and work(outcome)[:36] == [(0, 23)] + [(2, 0)] * 34 + [(1, 0)]

    return Named(case, shows)


@named
def nobody_is_admitted_at_the_boundary_of_a_preemption() -> Named:
    """A refusal by rule, not for want of room: the run after a preempting plan has length one."""
    rows = [row(0.0, 14, 40, priority=1), row(0.0, 14, 40, priority=1), row(10.0, 10)]
    case = one_pool(rows, model(SECOND, blocks=4))

    def shows(outcome: Outcome) -> bool:
        found = requests(outcome)
        return found[1]["preemptions"] == 1 and found[2]["admitted_s"] == 20.0

    return Named(case, shows)


@named
def several_are_preempted_at_one_boundary() -> Named:
    """Eight sequences need a third block each and two are free: two of them make way for six."""
    rows = [row(0.0, 16, 40) for _ in range(8)]
    case = one_pool(rows, model(STEEP, blocks=18))

    def shows(outcome: Outcome) -> bool:
        decodes = [n for n, _ in work(outcome)]
        return decodes[16:18] == [8, 6] and requests(outcome)[6]["preemptions"] == 1

    return Named(case, shows)


@named
def runs_are_cut_at_every_window_crossing() -> Named:
    """Sequences that leave a sliding window change the growth of a run, one after another."""
    cost = replace(STEEP, per_windowed_kv_token_s=2e-4, per_windowed_prefill_pair_s=3e-6, window=40)
    rows = [row(0.0, prompt, 60) for prompt in (10, 20, 39, 40, 41)]
    case = one_pool([*rows, row(3.0, 100, 3)], model(cost), max_batch_tokens=24, max_sequences=8)
    return Named(case, lambda outcome: len(work(outcome)) > 60)


# ---- arrivals and boundaries ------------------------------------------------------------------


@named
def arrivals_beside_every_boundary_of_a_run() -> Named:
    """The number of boundaries before a time is exact: at each, and one float on either side."""
    t1 = STEEP.iteration_s(Batch(1, 1, 17, 0, 0, 0))
    first_s = STEEP.iteration_s(Batch(16, 0, 0, 0, 256, 0))
    times = [boundary_s(first_s, t1, STEEP.per_kv_token_s, n) for n in range(1, 120)]
    beside = [(math.nextafter(t, 0.0), t, math.nextafter(t, math.inf)) for t in times]
    rows = [
        row(0.0, 16, 150),
        *(row(at_s, cancel_after_s=0.0) for three in beside for at_s in three),
        row(math.nextafter(times[-1], math.inf)),
    ]
    case = one_pool(rows, model(STEEP))

    def shows(outcome: Outcome) -> bool:
        next_s = boundary_s(first_s, t1, STEEP.per_kv_token_s, 120)
        ends = {r["end_s"] for r in outcome.tables["iterations"]}
        return set(times) <= ends and requests(outcome)[len(rows) - 1]["admitted_s"] == next_s

    return Named(case, shows)


@named
def an_arrival_at_a_boundary_is_in_time() -> Named:
    """Arrivals come before boundaries of the same instant."""
    rows = [row(0.0, 1, 9), row(3.0, 1, 2), row(5.0, 1, 2)]
    case = one_pool(rows)

    def shows(outcome: Outcome) -> bool:
        return [requests(outcome)[i]["admitted_s"] for i in (1, 2)] == [3.0, 5.0]

    return Named(case, shows)


@named
def a_follower_meets_boundaries_of_its_own_instant() -> Named:
    """One sent by replica 1's boundary misses replica 0's of that instant, not replica 2's."""
    rows = [row(0.0, 1, 9), row(0.0, 1, 3), row(0.0, 1, 9), after(1), after(1), after(1)]
    case = one_pool(rows, replicas=3)

    def shows(outcome: Outcome) -> bool:
        found = [requests(outcome)[i] for i in (3, 4, 5)]
        admitted = [(r["replica"], r["admitted_s"]) for r in found]
        return admitted == [(0, 4.0), (1, 3.0), (2, 3.0)]

    return Named(case, shows)


@named
def ends_of_one_boundary_come_by_admission() -> Named:
    """The more urgent of two was admitted first and ends first, whatever its id or its slot."""
    rows = [row(0.0, 1, 2), row(0.0, 1, 2), row(0.5, 1, 5, priority=2), row(0.6, 1, 5)]
    case = one_pool(rows, max_sequences=2)
    return Named(case, lambda outcome: [
        r["request_id"] for r in outcome.tables["requests"]
    ] == [0, 1, 3, 2])  # fmt: skip


@named
def more_rows_at_one_instant_than_a_buffer_holds() -> Named:
    """Thousands refused, thousands in flight and hundreds that end at one boundary."""
    refused = [row(1.0, 10**7) for _ in range(9_000)]
    served = [row(2.0, 1, 1 + n % 2) for n in range(3_000)]
    case = one_pool([*refused, *served], replicas=2)

    def shows(outcome: Outcome) -> bool:
        ends = [r["end_s"] for r in outcome.tables["requests"]]
        return ends.count(1.0) == 9_000 and ends.count(3.0) == 256

    return Named(case, shows)


@named
def a_refusal_lists_some_positions_and_counts_the_rest() -> Named:
    """Ten replicas with one request in service and one in line: the others are refused by all."""
    case = one_pool([row(0.0, 1, 9)] * 10 + [row(1.5)] * 13, replicas=10, max_queue=1,
                    max_sequences=1)  # fmt: skip

    def shows(outcome: Outcome) -> bool:
        texts = [row["suggestion"] for row in outcome.tables["decisions"]]
        return sum("(+9)" in text for text in texts) == 3

    return Named(case, shows)


@named
def thousands_of_clients_return_at_one_instant() -> Named:
    """A closed loop whose rows are loaded in chunks while their predecessors end."""
    case = closed_loop(2_000, FixedLengths(1, 1), duration_s=3.0, replicas=8)
    return Named(case, lambda outcome: len(outcome.tables["requests"]) > 2 * 2_000)
