"""Yes, no or undecided: thresholds against intervals over seeds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sim.results.expectations import OPERATORS, ExpectationLike
from sim.results.limit import TOUCH
from sim.results.metrics import Metric
from sim.results.wording import quantity
from sim.study.across import limits

YES, NO, UNDECIDED = "yes", "no", "undecided"


def answer(metric: Metric, operator: str, threshold: float) -> str:
    """Whether the mean over all seeds holds to ``threshold`` (SI units), at 95 % confidence.

    Yes if the whole interval does, no if none of it does. A metric without an interval because all
    its seeds were alike, or a single one, is compared itself.
    """
    if metric.value is None:
        return UNDECIDED
    holds = OPERATORS[operator]
    low, high = _ends(metric)
    factor = metric.definition.factor
    if operator == "==" and low < high:
        return UNDECIDED if low * factor <= threshold <= high * factor else NO
    ends = holds(low * factor, threshold), holds(high * factor, threshold)
    return YES if all(ends) else UNDECIDED if any(ends) else NO


def _ends(metric: Metric) -> tuple[float, float]:
    """Both ends of the interval; the value twice where there is none.

    The mean of values that cannot be below 0 is above it as soon as one of them is, so a bound of
    what is possible belongs to the interval only if every value lies on it.
    """
    value = metric.value
    assert value is not None
    if metric.low is None or metric.high is None:
        return value, value
    floor, ceiling = limits(metric.definition)
    low = math.nextafter(floor, math.inf) if metric.low == floor < value else metric.low
    high = math.nextafter(ceiling, -math.inf) if metric.high == ceiling > value else metric.high
    return low, high


@dataclass(frozen=True)
class Judged:
    """One judged expectation; values in the metric's own ``unit``, as in a single run's manifest.

    ``passed`` means "yes": what is undecided has not been shown, so it fails.
    """

    text: str
    metric: str
    operator: str
    threshold: float  # SI
    value: float | None
    low: float | None
    high: float | None
    unit: str
    answer: str
    passed: bool
    reason: str  # why it is not simply yes or no; "" otherwise


def judge(
    expectations: Iterable[ExpectationLike],
    metrics: Mapping[str, Metric],
    seeds: int,
    failed: int,
    why: str = "failed",
) -> list[Judged]:
    """Judge each expectation on metrics over ``seeds`` seeds.

    A metric that some seed could not measure, or a study of which ``failed`` seeds failed, leaves
    it undecided at best: what is missing may be what would have refuted it. ``why``: in words, what
    became of those.
    """
    return [_judge(line, metrics.get(line.metric), seeds, failed, why) for line in expectations]


def _judge(
    line: ExpectationLike, metric: Metric | None, seeds: int, failed: int, why: str
) -> Judged:
    found, reason = UNDECIDED, "it was not measured"
    if metric is not None:
        found = answer(metric, line.operator, line.threshold)
        reason = metric.reason if metric.low is None or metric.seeds != seeds else ""
        if found == YES and metric.seeds != seeds:
            found = UNDECIDED
        elif found == UNDECIDED and metric.low is not None and metric.high is not None:
            ends = (_shown(metric, end) for end in (metric.low, metric.high))
            reason = f"undecided: the interval from {' to '.join(ends)} holds both answers"
    if failed and found == YES:
        found, reason = UNDECIDED, f"{failed} of {seeds + failed} seeds {why}"
    return Judged(
        text=line.text,
        metric=line.metric,
        operator=line.operator,
        threshold=line.threshold,
        value=None if metric is None else metric.value,
        low=None if metric is None else metric.low,
        high=None if metric is None else metric.high,
        unit="" if metric is None else metric.unit,
        answer=found,
        passed=found == YES,
        reason=reason,
    )


def _shown(metric: Metric, value: float) -> str:
    return quantity(value, metric.unit, metric.definition.dimension)


@dataclass(frozen=True)
class Objective:
    """A latency objective of a workload against the 99th percentile; seconds."""

    family: str  # "ttft", "tpot" or "e2e"
    objective_s: float
    answer: str


@dataclass(frozen=True)
class WorkloadAnswer:
    """Whether a workload meets its objectives: at least 99 % of all its arrivals met every one.

    ``answer`` is "" where no objective is stated.
    """

    name: str
    answer: str
    objectives: tuple[Objective, ...]


def workload_answers(
    workloads: Iterable[Mapping[str, Any]], metrics: Mapping[str, Metric]
) -> list[WorkloadAnswer]:
    """Each workload of a manifest, judged by metrics over seeds."""
    answers = []
    for workload in workloads:
        name, stated = workload["name"], workload["objectives"]
        good = metrics[f"{name}.goodput_fraction"]
        objectives = tuple(
            Objective(family, limit_s, answer(metrics[f"{name}.{family}_p99"], "<=", limit_s))
            for family, limit_s in stated.items()
        )
        met = answer(good, ">=", 1.0 - TOUCH) if stated else ""
        answers.append(WorkloadAnswer(name, met, objectives))
    return answers
