"""Yes, no and undecided: the whole interval decides, and what is missing never says yes."""

from __future__ import annotations

import pytest

from sim.results.metrics import Metric
from sim.study.judge import NO, UNDECIDED, YES, answer, judge, workload_answers
from tests.unit.results.by_hand import Wish
from tests.unit.study.works import metric


def ranged(name: str, low: float, value: float, high: float, seeds: int = 8) -> Metric:
    return metric(name, value, low=low, high=high, seeds=seeds)


@pytest.mark.parametrize(
    ("operator", "threshold", "expected"),
    [
        ("<=", 3.0, YES), ("<=", 2.0, UNDECIDED), ("<=", 0.5, NO),
        ("<", 3.0, UNDECIDED), ("<", 1.0, NO),
        (">=", 1.0, YES), (">=", 1.5, UNDECIDED), (">=", 3.5, NO),
        (">", 1.0, UNDECIDED), (">", 0.9, YES), (">", 3.0, NO),
        ("==", 2.0, UNDECIDED), ("==", 4.0, NO),
    ],
)  # fmt: skip
def test_the_whole_interval_decides(operator: str, threshold: float, expected: str) -> None:
    assert answer(ranged("chat.ttft_p99", 1.0, 2.0, 3.0), operator, threshold) == expected


def test_a_threshold_is_in_si_units() -> None:
    cost = ranged("energy_cost_per_mtoken", 0.1, 0.2, 0.3)  # USD/Mtoken
    assert answer(cost, "<=", 0.5e-6) == YES
    assert answer(cost, "<=", 0.5e-7) == NO


def test_one_value_above_a_bound_that_all_must_lie_on_refutes() -> None:
    over = ranged("over_budget_s", 0.0, 0.1, 0.5)
    assert answer(over, "<=", 0.0) == NO
    assert answer(over, ">", 0.0) == YES
    assert answer(ranged("over_budget_s", 0.0, 0.0, 0.5), "<=", 0.0) == UNDECIDED
    assert answer(ranged("chat.goodput_fraction", 0.9, 0.99, 1.0), ">=", 1.0) == NO


def test_values_that_are_alike_are_compared_themselves() -> None:
    alike = metric("over_budget_s", 0.0, seeds=8, reason="the same under all 8 seeds")
    assert answer(alike, "<=", 1.0) == YES
    assert answer(alike, "==", 0.0) == YES
    assert answer(alike, ">", 1.0) == NO


def test_what_is_undecided_or_missing_fails_and_says_why() -> None:
    metrics = {
        "chat.ttft_p99": ranged("chat.ttft_p99", 1.0, 2.0, 3.0),
        "chat.ttft_p50": ranged("chat.ttft_p50", 1.0, 2.0, 3.0, seeds=7),
        "chat.tpot_p50": metric("chat.tpot_p50", None, seeds=0),
    }
    wishes = [
        Wish(f"{name} <= {limit}", name, "<=", limit)
        for name, limit in (
            ("chat.ttft_p99", 4.0), ("chat.ttft_p99", 2.5), ("chat.ttft_p99", 0.5),
            ("chat.ttft_p50", 4.0), ("chat.tpot_p50", 4.0), ("chat.e2e_p50", 4.0),
        )
    ]  # fmt: skip
    judged = judge(wishes, metrics, seeds=8, failed=0)
    assert [line.answer for line in judged] == [YES, UNDECIDED, NO, *[UNDECIDED] * 3]
    assert [line.passed for line in judged] == [True, *[False] * 5]
    assert judged[0].reason == ""
    assert judged[1].reason == "undecided: the interval from 1.00 s to 3.00 s holds both answers"
    assert judged[4].reason == "nothing to measure"
    assert judged[5].reason == "it was not measured"
    assert (judged[1].low, judged[1].high, judged[1].unit) == (1.0, 3.0, "s")
    (broken,) = judge(wishes[:1], metrics, seeds=8, failed=2)
    assert (broken.answer, broken.passed) == (UNDECIDED, False)
    assert broken.reason == "2 of 10 seeds failed"


def test_a_workload_meets_its_objectives_by_its_share_of_good_requests() -> None:
    workloads = [{"name": "chat", "objectives": {"ttft": 2.5}}, {"name": "code", "objectives": {}}]
    metrics = {
        "chat.goodput_fraction": ranged("chat.goodput_fraction", 0.991, 0.995, 0.999),
        "chat.ttft_p99": ranged("chat.ttft_p99", 1.0, 2.0, 3.0),
        "code.goodput_fraction": ranged("code.goodput_fraction", 0.5, 0.6, 0.7),
    }
    chat, code = workload_answers(workloads, metrics)
    assert (chat.answer, chat.objectives[0].answer) == (YES, UNDECIDED)
    assert (code.answer, code.objectives) == ("", ())
