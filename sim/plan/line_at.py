"""A line at a point: what is compared with its limit, in the line's own terms, and as text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from sim.plan.margins import Objective
from sim.plan.search import LineSeen
from sim.results.wording import percent, plus_minus, quantity
from sim.study.intervals import Interval


@dataclass(frozen=True)
class LineAt:
    """A line at a point.

    Attributes:
        value, interval: what is compared with the limit, and its mean's interval at 95 %, at any
            look; of a line on a quantile the share of late requests.
        measured: the metric itself, its mean over the seeds, in SI units.
        answer: "yes", "no" or "undecided".
    """

    objective: Objective
    value: float
    interval: Interval
    measured: float | None
    answer: str


def line_at(seen: LineSeen, values: Sequence[float], measured: float | None) -> LineAt:
    """A line from its margins, turned back into the line's own value."""
    line, margin = seen.objective, seen.interval
    if line.more:
        interval = Interval(line.limit - margin.high, line.limit - margin.low)
    else:
        interval = Interval(margin.low + line.limit, margin.high + line.limit)
    if line.is_share and math.isfinite(interval.low):
        interval = interval.within(0.0, 1.0)
    return LineAt(line, sum(values) / len(values), interval, measured, seen.answer)


def cell(line: LineAt) -> str:
    """The value with its interval, as a table has it: ``98.5 ± 1.2 %``."""
    objective = line.objective
    half = max(line.interval.high - line.value, line.value - line.interval.low)
    definition = objective.definition
    if objective.family:
        text = with_half(line.value, half, "", "fraction") + " late"
        if line.measured is None:
            return text
        return f"{text} ({quantity(line.measured, 's', 'time')})"
    if objective.chance:
        edge = line.interval.low if objective.more else line.interval.high
        bound = "least" if objective.more else "most"
        return f"{percent(line.value)} of runs (at {bound} {percent(edge)})"
    unit, factor = definition.unit, definition.factor
    return with_half(line.value / factor, half / factor, unit, definition.dimension)


def with_half(value: float, half: float, unit: str, dimension: str) -> str:
    """``value ± half``, or the value alone where half is infinite or next to nothing."""
    if math.isinf(half):
        return quantity(value, unit, dimension)
    if half <= 1e-4 * max(abs(value), 0.1):  # seeds are alike up to the floor of the spread
        return quantity(value, unit, dimension)
    return plus_minus(value, half, unit, dimension)


def change_cell(
    objective: Objective, change: float, interval: Interval, equal: bool, none: str
) -> str:
    """A change of a line's value with its interval: shares in points, ``none`` where equal."""
    if equal:
        return none
    definition, share = objective.definition, objective.is_share
    unit, dimension = ("", "fraction") if share else (definition.unit, definition.dimension)
    factor = 1.0 if share else definition.factor
    half = (interval.high - interval.low) / 2.0 / factor
    text = (
        plus_minus(change / factor, half, unit, dimension)
        if 1e-4 * max(abs(change / factor), 0.1) < half < math.inf
        else quantity(change / factor, unit, dimension)
    )
    return text.replace(" %", " points") if share else text
