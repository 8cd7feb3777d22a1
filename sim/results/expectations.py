"""Expectations of a scenario judged against what was measured."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from sim.results.metrics import Metric

OPERATORS: Mapping[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
    "==": operator.eq,
}


class ExpectationLike(Protocol):
    """``metric operator threshold`` with the threshold in the metric's SI unit."""

    @property
    def text(self) -> str:
        """As the user wrote it."""
        ...

    @property
    def metric(self) -> str:
        """Full name of the metric."""
        ...

    @property
    def operator(self) -> str:
        """One of ``OPERATORS``."""
        ...

    @property
    def threshold(self) -> float:
        """In SI units."""
        ...


@dataclass(frozen=True)
class ExpectationOutcome:
    """One judged expectation; ``value`` is in the metric's own ``unit``, None if not measurable."""

    text: str
    metric: str
    operator: str
    threshold: float
    value: float | None
    unit: str
    passed: bool
    reason: str  # why it failed although no number contradicts it; "" otherwise


def evaluate(
    expectations: Iterable[ExpectationLike], metrics: Mapping[str, Metric], *, partial: bool = False
) -> list[ExpectationOutcome]:
    """Judge each expectation; what cannot be measured fails, and so does all of a partial run.

    Raises:
        KeyError: an operator that does not exist.
    """
    return [
        _judge(expectation, metrics.get(expectation.metric), partial)
        for expectation in expectations
    ]


def _judge(
    expectation: ExpectationLike, metric: Metric | None, partial: bool
) -> ExpectationOutcome:
    passed, reason = False, ""
    if metric is None:
        reason = "the run ended before it was measured"
    elif metric.si is None:
        reason = metric.reason
    elif partial:
        reason = "the run did not reach its end"
    else:
        passed = OPERATORS[expectation.operator](metric.si, expectation.threshold)
    return ExpectationOutcome(
        text=expectation.text,
        metric=expectation.metric,
        operator=expectation.operator,
        threshold=expectation.threshold,
        value=None if metric is None else metric.value,
        unit="" if metric is None else metric.unit,
        passed=passed,
        reason=reason,
    )
