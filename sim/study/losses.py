"""What a change costs each workload: losses against a baseline with the same arrivals, by seed.

The loss of a latency is its ratio to the baseline's, less 1; that of goodput is the share of
requests that met their objectives in the baseline, less that share here. Each is taken under every
seed, over the whole window and in the slice (see ``sim.results.slices``) where it is worst, and
then averaged over the seeds, with Student's t. The worst of many slices is above 0 by chance alone
where nothing is lost, the more so the fewer requests a slice has; slices with too few are left out.

A latency is over completed requests: where many failed, the loss of goodput says more.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from sim.results.latency import Floats
from sim.results.metrics import Metric
from sim.results.result import RunResult
from sim.results.slices import QUANTILES, Slices, slices_of
from sim.study.intervals import Interval, alike, student

#: Metrics whose loss is asked for, in order.
_LATENCIES = tuple(QUANTILES)
_GOOD = "goodput_fraction"
#: Fewer requests than these in a slice do not make a share.
_LEAST_ARRIVALS = 100

#: Losses by name, in order: of the whole window, and of the worst slice.
LOSSES = tuple(
    name for base in (*_LATENCIES, "goodput") for name in (f"{base}_loss", f"{base}_loss_worst")
)

DEFINITIONS: Mapping[str, str] = {
    "loss of a latency": "ratio to the baseline's under the same seed, less 1; over requests that "
    "completed",
    "loss of goodput": "share of requests that met every objective in the baseline, less that "
    "share, under the same seed",
    "worst": "the slice of the window (by time of arrival) with the greatest loss under each seed: "
    "an hour, ten minutes or one minute, the longest of which the window has two; slices of less "
    "than 100 requests (for the 99th percentile: 1,000 that completed) are left out",
}


@dataclass(frozen=True)
class WorkloadFacts:
    """What losses need to know of one workload of a run; ``slices`` None: the run is too short."""

    whole: Mapping[str, Metric]  # the metrics of ``_LATENCIES`` and goodput_fraction
    slices: Slices | None


@dataclass(frozen=True)
class SeedLoss:
    """One loss under one seed; None = it could not be measured, and why.

    ``error`` bounds how far it may be off because quantiles were read from bins; ``at_s`` is when
    the worst slice begins.
    """

    value: float | None
    error: float = 0.0
    at_s: float | None = None
    reason: str = ""


@dataclass(frozen=True)
class Loss:
    """One loss over the seeds.

    Attributes:
        mean: over the seeds in which it could be measured; None = in none, ``reason`` says why.
        low, high: ends of the 95 % interval of the mean; None = no interval.
        highest: under the worst seed; ``seed``: which that is; ``at_s``: when its slice begins.
        seeds: in how many it could be measured.
    """

    mean: float | None
    low: float | None = None
    high: float | None = None
    highest: float | None = None
    seed: int | None = None
    at_s: float | None = None
    seeds: int = 0
    reason: str = ""


def facts_of(run: RunResult) -> dict[str, WorkloadFacts]:
    """Workload → what losses need of it.

    Raises:
        ResultError: a table of the run cannot be read.
    """
    slices = slices_of(run)
    return {
        name: WorkloadFacts(
            {base: run.metrics[f"{name}.{base}"] for base in (*_LATENCIES, _GOOD)},
            None if slices is None else slices[name],
        )
        for name in (workload["name"] for workload in run.manifest["workloads"])
    }


def seed_losses(run: WorkloadFacts, baseline: WorkloadFacts) -> dict[str, SeedLoss]:
    """Every loss of ``LOSSES`` of one workload under one seed."""
    found = {}
    for base in _LATENCIES:
        found[f"{base}_loss"] = _ratio(run.whole[base], baseline.whole[base])
        found[f"{base}_loss_worst"] = _worst_ratio(base, run.slices, baseline.slices)
    found["goodput_loss"] = _difference(run.whole[_GOOD], baseline.whole[_GOOD])
    found["goodput_loss_worst"] = _worst_difference(run.slices, baseline.slices)
    return found


def _ratio(run: Metric, baseline: Metric) -> SeedLoss:
    if run.value is None or baseline.value is None:
        return SeedLoss(None, reason=run.reason or baseline.reason)
    if baseline.value <= 0.0:
        return SeedLoss(None, reason="it is 0 in the baseline")
    ratio = run.value / baseline.value
    return SeedLoss(ratio - 1.0, _ratio_error(ratio, run.relative_error, baseline.relative_error))


def _ratio_error(ratio: float, run_error: float, baseline_error: float) -> float:
    """How far a ratio may be off whose parts are each off by so much of themselves."""
    return ratio * ((1.0 + run_error) / (1.0 - baseline_error) - 1.0)


def _difference(run: Metric, baseline: Metric) -> SeedLoss:
    if run.value is None or baseline.value is None:
        return SeedLoss(None, reason=run.reason or baseline.reason)
    return SeedLoss(baseline.value - run.value)


_TOO_SHORT = "the measurement window is shorter than two minutes, so it has no parts to compare"
_TOO_FEW = "no part of the window has enough requests on both sides"


_OTHER_WINDOW = "both sides were measured over different times, so their parts do not match"


def _apart(run: Slices, baseline: Slices) -> bool:
    same = run.length_s == baseline.length_s and np.array_equal(run.start_s, baseline.start_s)
    return not same


def _worst_ratio(base: str, run: Slices | None, baseline: Slices | None) -> SeedLoss:
    if run is None or baseline is None:
        return SeedLoss(None, reason=_TOO_SHORT)
    if _apart(run, baseline):
        return SeedLoss(None, reason=_OTHER_WINDOW)
    below = baseline.e2e_s[base]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(below > 0.0, run.e2e_s[base] / below, np.nan)
    worst, at_s = _worst(ratio, run)
    if worst is None:
        return SeedLoss(None, reason=_TOO_FEW)
    error = _ratio_error(worst, run.relative_error, baseline.relative_error)
    return SeedLoss(worst - 1.0, error, at_s)


def _worst_difference(run: Slices | None, baseline: Slices | None) -> SeedLoss:
    if run is None or baseline is None:
        return SeedLoss(None, reason=_TOO_SHORT)
    if _apart(run, baseline):
        return SeedLoss(None, reason=_OTHER_WINDOW)
    enough = np.minimum(run.arrivals, baseline.arrivals) >= _LEAST_ARRIVALS
    shares = [np.where(enough, s.good / np.maximum(s.arrivals, 1), np.nan) for s in (run, baseline)]
    worst, at_s = _worst(shares[1] - shares[0], run)
    return SeedLoss(None, reason=_TOO_FEW) if worst is None else SeedLoss(worst, 0.0, at_s)


def _worst(values: Floats, slices: Slices) -> tuple[float | None, float | None]:
    """The largest of the values that are there, and when its slice begins (the first of equals)."""
    if not len(values) or np.all(np.isnan(values)):
        return None, None
    at = int(np.nanargmax(values))
    return float(values[at]), float(slices.start_s[at])


def losses_over(by_seed: Mapping[int, Mapping[str, SeedLoss]]) -> dict[str, Loss]:
    """Every loss of ``LOSSES`` over the seeds."""
    return {
        name: _over({seed: losses[name] for seed, losses in sorted(by_seed.items())})
        for name in LOSSES
    }


def _over(losses: Mapping[int, SeedLoss]) -> Loss:
    values = {seed: loss.value for seed, loss in losses.items() if loss.value is not None}
    reasons = dict.fromkeys(loss.reason for loss in losses.values() if loss.value is None)
    reason = "; ".join(reasons)
    if not values:
        return Loss(None, reason=reason or "no seed has both sides")
    worst = max(values, key=lambda seed: (values[seed], -seed))
    error = max(losses[seed].error for seed in values)
    interval, why_none = _interval(list(values.values()), error)
    return Loss(
        mean=math.fsum(values.values()) / len(values),
        low=None if interval is None else interval.low,
        high=None if interval is None else interval.high,
        highest=values[worst],
        seed=worst,
        at_s=losses[worst].at_s,
        seeds=len(values),
        reason="; ".join(part for part in (reason, why_none) if part),
    )


def _interval(values: list[float], error: float) -> tuple[Interval | None, str]:
    if len(values) < 2:
        return None, "one seed has no interval"
    if error == 0.0 and alike(values):
        return None, f"the same under all {len(values)} seeds"
    return student(values, error=error).interval.within(-1.0, math.inf), ""
