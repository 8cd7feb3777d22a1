"""Metrics over several seeds: the mean of the seeds' values, and its interval.

The value of a quantile is the mean of the runs' own quantiles, which differ from the quantile of
all requests together by a bias that shrinks as runs get longer. The interval is Student's t over
the seeds, with three exceptions where seeds that look alike would make it too narrow, or empty:

* The share of good requests is never narrower than Clopper and Pearson's bounds over all requests.
* Numbers of losses (timed out, refused, …) and of trips are never narrower than Garwood's bounds.
* Any other value that is the same under every seed has no interval; the metric says so.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from sim.results.metrics import Metric, MetricDefinition
from sim.results.placement_metrics import FAILURES
from sim.results.wording import percent
from sim.study.intervals import (
    CONFIDENCE,
    Interval,
    alike,
    event_bounds,
    share_bounds,
    share_of_other_runs,
    student,
)
from sim.study.naming import seeds_in_words

Seeds = Mapping[int, Mapping[str, Metric]]

#: Numbers of rare events, most of them losses of requests or of pods.
_LOSSES = (
    "never_fits", "queue_full", "shed", "timed_out", "cancelled", "unfinished", "failed", "trips",
    *FAILURES,
)  # fmt: skip
_GOOD = "goodput_fraction"


def across(by_seed: Seeds, confidence: float = CONFIDENCE) -> dict[str, Metric]:
    """Seed → its run's metrics; each metric over the seeds, by full name, in listing order.

    ``confidence``: of the intervals.

    Raises:
        ValueError: there is no seed.
    """
    if not by_seed:
        raise ValueError("metrics over seeds need at least one seed")
    seeds = sorted(by_seed)
    names = dict.fromkeys(name for seed in seeds for name in by_seed[seed])
    return {
        name: combine(
            {seed: by_seed[seed].get(name) for seed in seeds},
            {seed: _arrivals(by_seed[seed], name) for seed in seeds},
            confidence,
        )
        for name in names
    }


def _arrivals(metrics: Mapping[str, Metric], name: str) -> float | None:
    """Of how many requests a share of good ones is; None for any other metric."""
    prefix, _, base = name.rpartition(".")
    if base != _GOOD:
        return None
    arrivals = metrics.get(f"{prefix}.arrivals" if prefix else "arrivals")
    return None if arrivals is None else arrivals.value


def combine(
    metrics: Mapping[int, Metric | None],
    arrivals: Mapping[int, float | None] | None = None,
    confidence: float = CONFIDENCE,
) -> Metric:
    """One metric over its seeds (at least one of them has it).

    Args:
        metrics: seed → its metric; None = that run has no metric of this name.
        arrivals: seed → requests that a share of them is of.
        confidence: of the interval.
    """
    present = {seed: metric for seed, metric in metrics.items() if metric is not None}
    first = next(iter(present.values()))
    definition = first.definition
    values = {seed: metric.value for seed, metric in present.items() if metric.value is not None}
    notes = _missing(metrics, values)
    if not values:
        reason = f"under every seed: {first.reason}" if len(metrics) > 1 else first.reason
        return Metric(None, first.unit, definition, reason, seeds=0)
    relative_error = max(metric.relative_error for metric in present.values())
    interval, why_none = _interval(definition, values, relative_error, arrivals or {}, confidence)
    return Metric(
        math.fsum(values.values()) / len(values),
        first.unit,
        definition,
        "; ".join(part for part in (notes, why_none) if part),
        relative_error,
        None if interval is None else interval.low,
        None if interval is None else interval.high,
        len(values),
    )


def _missing(metrics: Mapping[int, Metric | None], values: Mapping[int, float]) -> str:
    lacking = {seed: metric for seed, metric in metrics.items() if seed not in values}
    if not lacking or not values:
        return ""
    reasons = dict.fromkeys("not recorded" if m is None else m.reason for m in lacking.values())
    where = f"{seeds_in_words(lacking)} of {len(metrics)} seeds"
    return f"not measurable under {where} ({'; '.join(reasons)}), and not in the mean"


def _interval(
    definition: MetricDefinition,
    by_seed: Mapping[int, float],
    relative_error: float,
    arrivals: Mapping[int, float | None],
    confidence: float,
) -> tuple[Interval | None, str]:
    """The interval of the mean, or None and why there is none."""
    values = list(by_seed.values())
    if len(values) < 2:
        return None, "one seed has no interval"
    error = relative_error * max(map(abs, values))
    floor, ceiling = limits(definition)
    interval = student(values, error=error, confidence=confidence).interval
    if definition.name == _GOOD:
        trials = [round(arrivals.get(seed) or 0) for seed in by_seed]
        if not all(trials):
            return None, "the number of requests is not known"
        hits = sum(round(v * n) for v, n in zip(values, trials, strict=True))
        interval = interval.hull(share_bounds(hits, sum(trials), confidence))
    elif definition.name in _LOSSES:
        interval = interval.hull(event_bounds(round(sum(values)), len(values), confidence))
    elif error == 0.0 and alike(values):
        return None, _alike_in_words(values, confidence)
    return interval.within(floor, ceiling), ""


def limits(definition: MetricDefinition) -> tuple[float, float]:
    """The least and the largest value that a metric can have."""
    signed = ("headroom_w", "energy_cost", "energy_cost_per_mtoken")  # prices may be negative
    floor = -math.inf if definition.name in signed else 0.0
    return floor, 1.0 if definition.dimension == "fraction" else math.inf


def _alike_in_words(values: Sequence[float], confidence: float) -> str:
    share = percent(share_of_other_runs(len(values), confidence))
    return (
        f"the same under all {len(values)} seeds, so there is no spread to make an interval from "
        f"(at most {share} of all seeds differ, at {percent(confidence)} confidence)"
    )
