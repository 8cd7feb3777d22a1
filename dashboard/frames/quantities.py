"""What every point of a study has: metrics, losses, changes and probabilities as one kind."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from dashboard.frames.study import Interval, StoredStudy, definition_of
from sim.results.wording import mean_in_words, plus_minus, quantity, scale

#: A log scale where the largest value is so many times the smallest.
_LOG_FROM = 20.0
_LOSSES = {
    "e2e_p50_loss": "loss of the median end-to-end latency against the baseline",
    "e2e_p99_loss": "loss of the 99th percentile of end-to-end latency against the baseline",
    "goodput_loss": "share of requests within their objectives that the baseline has more, in "
    "points",
}


@dataclass(frozen=True)
class Quantity:
    """Something that every point has: a metric, a probability, a loss or a change.

    Attributes:
        name: as it is chosen by.
        definition: what it is; of our own words.
        factor, unit: numbers are multiplied by ``factor`` to be in ``unit``.
        values: point → number with its interval, before ``factor``.
        words: point → the same as people read it.
    """

    name: str
    definition: str
    factor: float
    unit: str
    values: Mapping[int, Interval]
    words: Mapping[int, str]

    @property
    def title(self) -> str:
        """Title of an axis."""
        return f"{self.name} ({self.unit})" if self.unit else self.name

    @property
    def log(self) -> bool:
        """Whether a log scale shows it better."""
        return wants_log(self.numbers())

    def numbers(self) -> list[float]:
        """Every value that was measured, in ``unit``."""
        found = (interval.value for interval in self.values.values())
        return [self.factor * value for value in found if value is not None]

    def at(self, point: int) -> tuple[float, float, float]:
        """Value and ends of the interval at a point, in ``unit``; NaN where there is none."""
        found = self.values.get(point, Interval(None, None, None))
        value, low, high = (
            math.nan if number is None else self.factor * number
            for number in (found.value, found.low, found.high)
        )
        return value, low, high


def wants_log(numbers: Sequence[float]) -> bool:
    """Whether a log scale shows these better."""
    return bool(numbers) and min(numbers) > 0.0 and max(numbers) > _LOG_FROM * min(numbers)


def quantities(study: StoredStudy) -> dict[str, Quantity]:
    """All that was measured at one point at least, by name: objectives first."""
    found = [*_metrics(study), *_probabilities(study), *_losses(study), *_changes(study)]
    wanted = [metric for _, metric in study.objectives]
    found.sort(key=lambda one: wanted.index(one.name) if one.name in wanted else len(wanted))
    return {one.name: one for one in found if one.numbers()}


def _metrics(study: StoredStudy) -> Iterator[Quantity]:
    for name in study.metrics:
        definition = definition_of(name)
        of = {p.number: p.metrics[name] for p in study.points if name in p.metrics}
        values = {n: Interval(m.value, m.low, m.high, m.reason) for n, m in of.items()}
        factor, unit = _scale(values, definition.unit, definition.dimension)
        words = {n: mean_in_words(metric) for n, metric in of.items()}
        yield Quantity(name, definition.definition, factor, unit, values, words)


def _probabilities(study: StoredStudy) -> Iterator[Quantity]:
    texts = dict.fromkeys(text for point in study.points for text in point.probabilities)
    for text in texts:
        of = {p.number: p.probabilities[text] for p in study.points if text in p.probabilities}
        words = {n: probability_words(found) for n, found in of.items()}
        yield Quantity(
            f"P({text})", "share of the runs of a point in which the line holds", 100.0, "%", of,
            words,
        )  # fmt: skip


def probability_words(found: Interval) -> str:
    """``1 of 8 (0 to 53 %)``, or why it is not known."""
    if found.low is None or found.high is None:
        return found.reason or "not known"
    low, high = round(100.0 * found.low), round(100.0 * found.high)
    return f"{found.hits} of {found.runs} ({low} to {high} %)"


def _losses(study: StoredStudy) -> Iterator[Quantity]:
    names = dict.fromkeys(
        (workload, name) for p in study.points for workload, of in p.losses.items() for name in of
    )
    for workload, name in names:
        base = name.removesuffix("_worst")
        definition = _LOSSES.get(base, "loss against the baseline")
        definition += ", in the slice where it is worst" if name != base else ""
        of = {
            p.number: p.losses[workload][name]
            for p in study.points
            if name in p.losses.get(workload, {})
        }
        words = {n: _interval_words(found, "", "fraction") for n, found in of.items()}
        yield Quantity(f"{workload}.{name}", definition, 100.0, "%", of, words)


def _changes(study: StoredStudy) -> Iterator[Quantity]:
    names = dict.fromkeys(name for point in study.points for name in point.changes)
    for name in names:
        definition = definition_of(name)
        of = {p.number: p.changes[name] for p in study.points if name in p.changes}
        factor, unit = _scale(of, definition.unit, definition.dimension)
        words = {
            n: _interval_words(found, definition.unit, definition.dimension)
            for n, found in of.items()
        }
        about = f"the point less its baseline, paired by seed; {definition.definition}"
        yield Quantity(f"change of {name}", about, factor, unit, of, words)


def _scale(values: Mapping[int, Interval], unit: str, dimension: str) -> tuple[float, str]:
    sizes = [abs(found.value) for found in values.values() if found.value is not None]
    return scale(max(sizes, default=0.0), unit, dimension)


def _interval_words(found: Interval, unit: str, dimension: str) -> str:
    if found.value is None:
        return found.reason or "-"
    if found.low is None or found.high is None:
        return quantity(found.value, unit, dimension)
    half = max(found.value - found.low, found.high - found.value)
    return plus_minus(found.value, half, unit, dimension)
