"""The verdict names what the numbers show, in one sentence each."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sim.results.freeze import freeze
from sim.results.memory import MemorySink
from sim.results.result import RunResult
from sim.results.verdict import Verdict, verdict
from sim.results.wording import percent, quantity, span
from tests.unit.results.by_hand import fill, parts, power_nodes, replicas, requests, summariser

FREE = replicas(blocked_blocks_s=[0.0, 0.0], preemptions=[0, 0], kv_token_s=[1.0, 1.0])


def good(n: int = 1000) -> dict[str, Any]:
    """Requests that all meet their objectives, at 0.2 s and 20 ms."""
    rows = requests(n)
    rows["admitted_s"] = rows["arrival_s"] + 0.05
    rows["first_token_s"] = rows["arrival_s"] + 0.2
    rows["end_s"] = rows["first_token_s"] + 0.02 * (rows["output_tokens"] - 1)
    rows["met"] = np.ones(n, bool)
    return rows


def miss(rows: dict[str, Any], every: int, **changes: Any) -> dict[str, Any]:
    """Every n-th request misses; ``changes``: column → value of those (times after arrival)."""
    picked = np.arange(len(rows["met"])) % every == 0
    found = {**rows, "met": rows["met"] & ~picked}
    for column, value in changes.items():
        if column == "outcome":
            found[column] = [value if p else o for p, o in zip(picked, rows[column], strict=True)]
        else:
            found[column] = np.where(picked, rows["arrival_s"] + value, rows[column])
    return found


def waiting() -> dict[str, Any]:
    """Every fifth request misses its TTFT of 1 s by waiting."""
    rows = miss(good(), 5, admitted_s=1.9, first_token_s=2.0)
    rows["end_s"] = rows["first_token_s"] + 0.02 * (rows["output_tokens"] - 1)
    return rows


def nodes(**changes: Any) -> dict[str, Any]:
    """A tree in which nothing is over its limit: the utility at 80 of 100 kW."""
    calm = {"peak_w": [80e3, 78e3, 75e3], "over_limit_s": [0.0, 0.0, None]}
    found = {**power_nodes(), **calm, **changes}
    return {**found, "nearest_w": changes.get("nearest_w", found["peak_w"])}


def judge(rows: Any, tree: Any = None, meters: Any = None, **changes: Any) -> Verdict:
    sink = summariser(MemorySink())
    fill(
        sink,
        rows,
        power_nodes=nodes() if tree is None else tree,
        replicas=FREE if meters is None else meters,
    )
    return verdict(result_of(sink, **changes))


def result_of(sink: Any, **changes: Any) -> RunResult:
    return freeze(sink, parts(**changes))


def test_nothing_binds_and_the_nearest_is_named() -> None:
    judged = judge(good())
    assert judged.status == "met"
    assert judged.binding is None
    assert judged.binding_sentence == (
        "Binding limit: none was reached; the first would be the budget of utility, 80 % of it used"
    )
    assert judged.power_sentence == (
        "Power: the site peaked at 80.0 kW of 100 kW, 20.0 kW to spare"
    )
    assert judged.next_step.startswith("more load: --set 'workload[chat].rate=")


@pytest.mark.parametrize("over_s", [0.02, 12.0])
def test_an_exceeded_power_limit_comes_after_what_made_requests_miss(over_s: float) -> None:
    # Nothing holds the draw below a limit, so exceeding one cannot have cost a request anything;
    # a larger contract would not cure the misses.
    over = nodes(peak_w=[104e3, 100e3, 95e3], over_limit_s=[over_s, 0.0, None])
    judged = judge(waiting(), over, replicas(blocked_blocks_s=[540.0, 540.0]))
    assert [limit.kind for limit in judged.limits if limit.binds] == ["kv", "power"]
    assert judged.next_step == "more replicas: --set 'pools[chat].replicas=3'"


def test_an_exceeded_power_limit_binds_where_requests_are_served_well() -> None:
    over = nodes(peak_w=[104e3, 100e3, 95e3], over_limit_s=[12.0, 0.0, None])
    judged = judge(good(), over)
    assert judged.binding_sentence == (
        "Binding limit: power: utility peaked at 104 kW of 100 kW (104 %), over its budget for "
        "12.0 s"
    )
    assert judged.next_step == ("what a larger contract gives: --set 'power.utility.budget=110 kW'")


@pytest.mark.parametrize(
    ("free_gpus", "step"),
    [
        (24, "more replicas: --set 'pools[chat].replicas=3'"),
        (3, "more racks, since every GPU of the site is in use, and then more replicas"),
    ],
)
def test_more_replicas_are_advised_only_where_there_are_gpus(free_gpus: int, step: str) -> None:
    site = {"gpus": 32, "free_gpus": free_gpus}
    judged = judge(waiting(), meters=replicas(blocked_blocks_s=[540.0, 540.0]), site=site)
    assert judged.next_step == step


def test_a_ups_over_its_rating_is_named_as_such() -> None:
    over = nodes(peak_w=[90e3, 210e3, 75e3], over_limit_s=[0.0, 3.0, None])
    judged = judge(good(), over)
    assert judged.binding is not None
    assert judged.binding.entity == "ups-a"
    assert "over its rating for 3.00 s" in judged.binding_sentence
    assert judged.next_step == "less load below ups-a, or a rating of 210 kW for it"


@pytest.mark.parametrize(
    ("column", "kind", "words", "step"),
    [
        ("blocked_blocks_s", "kv", "KV cache of pool chat", "more replicas: --set 'pools[chat]"),
        ("blocked_sequences_s", "sequences", "max_sequences of pool chat",
         "let more run at once: --set 'pools[chat].policies.batching={kind: static, "
         "max_batch_tokens: 8192, max_sequences: 512, memory_utilisation: 0.8}', or more "
         "replicas: --set 'pools[chat].replicas=3'"),
        ("blocked_tokens_s", "tokens", "token budget (max_batch_tokens) of pool chat",
         "more replicas: --set 'pools[chat].replicas=3', or let an iteration take more: --set "
         "'pools[chat].policies.batching={kind: static, max_batch_tokens: 16384, "
         "max_sequences: 256, memory_utilisation: 0.8}'"),
    ],
)  # fmt: skip
def test_what_the_head_of_the_queue_waited_for_binds(
    column: str, kind: str, words: str, step: str
) -> None:
    meters = {**FREE, column: [270.0, 54.0]}
    batching = {
        "kind": "static", "max_batch_tokens": 8192, "max_sequences": 256, "memory_utilisation": 0.8,
    }  # fmt: skip
    resolved = {"pools": [{"name": "chat", "policies": {"batching": batching}}]}
    judged = judge(waiting(), meters=meters, resolved=resolved)
    assert judged.binding is not None
    assert judged.binding.kind == kind
    assert judged.binding.share == pytest.approx(0.3)
    assert words in judged.binding_sentence
    assert "30 % of replica time" in judged.binding_sentence
    assert judged.next_step.startswith(step)


def test_a_wait_within_objectives_does_not_bind() -> None:
    judged = judge(good(), meters={**FREE, "blocked_tokens_s": [270.0, 54.0]})
    assert judged.status == "met"
    assert judged.binding is None
    assert judged.binding_sentence.startswith(
        "Binding limit: none was reached; the first would be the budget of utility"
    )
    tokens = next(limit for limit in judged.limits if limit.kind == "tokens")
    assert tokens.share == pytest.approx(0.3)


def test_slow_decode_binds_when_nothing_waits() -> None:
    slow = miss(good(), 10, end_s=60.0)
    judged = judge(slow)
    assert judged.status == "missed"
    assert judged.binding is not None
    assert judged.binding.kind == "speed"
    assert judged.binding_sentence == (
        "Binding limit: speed of pool chat: 9.93 % of the chat requests that decoded were slower "
        "than their TPOT objective"
    )
    assert judged.headline.startswith("chat misses its objectives: 9.91 %")


def test_requests_as_slow_as_the_objective_allows_are_not_called_slower() -> None:
    """Those in the histogram bin of the objective may be on either side of it."""
    rows = good()
    rows["end_s"] = rows["first_token_s"] + 0.9999 * 0.05 * (rows["output_tokens"] - 1)
    judged = judge(miss(rows, 10, end_s=60.0))
    assert "at least 9.93 % of the chat requests that decoded were" in judged.binding_sentence


def test_faster_replicas_are_advised_where_requests_run_alone() -> None:
    slow = miss(good(), 10, end_s=60.0)
    judged = judge(slow, meters={**FREE, "running_s": [540.0, 400.0]})
    assert judged.next_step == (
        "faster replicas, since requests hardly share one: a larger tensor_parallel"
    )
    shared = judge(slow, meters={**FREE, "running_s": [5400.0, 400.0]})
    assert shared.next_step == "more replicas: --set 'pools[chat].replicas=3'"


def test_late_first_tokens_count_as_speed_only_if_nothing_held_them_back() -> None:
    late = waiting()
    free = judge(late)
    assert free.binding is not None
    assert free.binding.kind == "speed"
    assert "mostly before the first token" in free.binding_sentence
    held = judge(late, meters={**FREE, "blocked_sequences_s": [540.0, 0.0]})
    assert held.binding is not None
    assert held.binding.kind == "sequences"
    assert not any(limit.binds for limit in held.limits if limit.kind == "speed")


def test_an_overloaded_pool_whose_decode_is_too_slow_lacks_speed_not_places() -> None:
    rows = miss(good(), 1, admitted_s=100.0, first_token_s=100.2)
    rows["end_s"] = rows["first_token_s"] + 0.1 * np.maximum(rows["output_tokens"] - 1, 1)
    judged = judge(rows, meters={**FREE, "blocked_sequences_s": [535.0, 530.0]})
    assert [limit.kind for limit in judged.limits if limit.binds] == ["speed", "sequences"]
    assert judged.next_step == "more replicas: --set 'pools[chat].replicas=3'"


@pytest.mark.parametrize(
    ("outcome", "kind", "step"),
    [
        ("never-fits", "refused-kv-capacity",
         "replicas with more KV cache: a larger tensor_parallel or memory_utilisation"),
        ("queue-full", "queue", "more replicas: --set 'pools[chat].replicas=3'"),
        ("shed", "queue", "more replicas: --set 'pools[chat].replicas=3'"),
    ],
)  # fmt: skip
def test_refusals_bind_by_the_share_of_arrivals(outcome: str, kind: str, step: str) -> None:
    rows = miss(good(), 4, outcome=outcome)
    for column in ("admitted_s", "first_token_s"):
        rows[column] = np.where(np.array(rows["outcome"]) == outcome, np.nan, rows[column])
    rows["end_s"] = np.where(np.array(rows["outcome"]) == outcome, rows["arrival_s"], rows["end_s"])
    judged = judge(rows)
    assert judged.binding is not None
    assert judged.binding.kind == kind
    assert judged.binding.share == pytest.approx(0.25, abs=0.01)
    assert judged.next_step == step


def test_less_than_one_percent_does_not_bind_and_is_still_met() -> None:
    judged = judge(miss(good(), 200, end_s=60.0), meters={**FREE, "blocked_blocks_s": [5.0, 0.0]})
    assert judged.status == "met"
    assert judged.binding is None
    assert judged.headline == "chat meets its objectives: 0.441 % of its requests missed"


def test_unlimited_power_is_said() -> None:
    tree = nodes(limit_w=[None] * 3, budget_w=[None] * 3, over_limit_s=[None] * 3)
    judged = judge(good(), tree, power={"stated": False, "provisioned_w": None})
    assert judged.power_sentence == (
        "Power: the site peaked at 80.0 kW; power is unlimited (the scenario has no `power`)"
    )
    assert judged.binding_sentence == (
        "Binding limit: none was reached; "
        "the first would be the TPOT objective of chat (p99), 40 % of it used"
    )


def test_no_objectives_is_a_verdict_of_its_own() -> None:
    bare = [{"name": "chat", "pool": "chat", "kind": "llm", "objectives": {}}]
    judged = judge(good(), workloads=bare)
    assert judged.status == "no-objectives"
    assert judged.headline == "No objectives are stated, so none can be met or missed"


def test_no_arrivals_is_not_success() -> None:
    sink = summariser(MemorySink())
    fill(sink, {name: values[:0] for name, values in good().items()}, power_nodes=nodes())
    judged = verdict(result_of(sink))
    assert judged.status == "no-objectives"
    assert judged.headline == "Nothing to judge: no request with an objective arrived"
    assert judged.workloads[0].sentence == "chat: no request arrived"


def test_a_partial_run_is_not_judged() -> None:
    sink = summariser(MemorySink())
    sink.write("requests", good())
    sink.abort("stopped by the user")
    judged = verdict(result_of(sink, simulated_s=300.0))
    assert judged.status == "partial"
    assert judged.headline == "the run stopped at 5 min of 10 min (stopped by the user)"
    assert judged.binding_sentence == (
        "Binding limit: not judged, the run ended before its meters were written"
    )
    assert judged.next_step == "run it to its end before reading more into it"


def test_what_was_in_flight_when_a_run_stopped_limits_nothing() -> None:
    sink = summariser(MemorySink())
    fill(sink, miss(good(), 5, outcome="unfinished", end_s=np.nan), power_nodes=nodes())
    sink.abort("stopped by the user")
    judged = verdict(result_of(sink, simulated_s=300.0))
    assert judged.binding is None
    assert judged.limits == ()
    assert judged.binding_sentence == (
        "Binding limit: not judged, requests in flight when the run stopped count as missed"
    )


def test_clients_of_a_closed_loop_are_what_to_raise() -> None:
    resolved = {"workload": [{"name": "chat", "clients": 64}]}
    judged = judge(good(), resolved=resolved)
    assert judged.next_step == "more load: --set 'workload[chat].clients=77'"


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (percent(0.99994), "100 %"),
        (percent(0.0773), "7.73 %"),
        (percent(1.04), "104 %"),
        (percent(12.5), "1,250 %"),
        (span(0.0), "0 s"),
        (span(90.0), "90.0 s"),
        (span(1800.0), "30 min"),
        (span(86400.0), "24 h"),
        (span(604800.0), "7 d"),
        (quantity(3.6e6, "J", "energy"), "1 kWh"),
        (quantity(900.0, "J/token", "energy_per_token"), "250 kWh/Mtoken"),
        (quantity(0.5, "", "fraction"), "50 %"),
        (quantity(30.944, "/s/MW", "goodput_per_power"), "30.9 /s/MW"),
        (quantity(12345.0, "tokens/s", "tokens_per_s"), "12,345 tokens/s"),
        (quantity(0.394, "s", "time"), "394 ms"),
    ],
)
def test_numbers_read_well(written: str, expected: str) -> None:
    assert written == expected


def test_the_rate_to_raise_is_the_one_that_is_written() -> None:
    # The run may have seen quiet hours of the workload's day only.
    resolved = {"workload": [{"name": "chat", "clients": None, "rate_per_s": 10_000.0}]}
    judged = judge(good(), resolved=resolved)
    assert judged.next_step == "more load: --set 'workload[chat].rate=12000 /s'"


def test_of_budgets_in_turn_the_one_that_was_nearest_is_told() -> None:
    """It drew 104 kW under a contract of 150 kW, and 80 kW under one of 90 kW."""
    tree = nodes(peak_w=[104e3, 78e3, 75e3], nearest_w=[80e3, 78e3, 75e3],
                 limit_w=[90e3, 200e3, None])  # fmt: skip
    found = judge(requests(2000), tree)
    assert found.power_sentence == (
        "Power: the site peaked at 104 kW, and came nearest to the budget in force with 80.0 kW of "
        "90.0 kW"
    )
