"""One metric of two sides: its difference, the interval of that, and whether it is real."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sim.results.metrics import Metric, MetricDefinition
from sim.study.intervals import CONFIDENCE, MeanTest, holm, student, welch
from sim.study.naming import seeds_in_words
from sim.study.sides import ONE_SEED, UNPAIRED, Side

#: Verdicts beside ``MetricDefinition.better``: BETTER and WORSE are of B.
BETTER, WORSE, DIFFERS = "better", "worse", "differs"
UNCLEAR, NOT_SHOWN, SAME, NOT_JUDGED = "unclear", "no difference shown", "same", "not judged"


@dataclass(frozen=True)
class Difference:
    """One metric of both sides, each the mean over its seeds, and B - A, in the metric's unit.

    Attributes:
        low, high: ends of the 95 % interval of the difference, of this metric alone.
        p: of "no difference"; ``p_holm``: the same, corrected for all that were looked at.
        verdict: BETTER, WORSE or DIFFERS if the difference is real; UNCLEAR if only the interval of
            this metric alone excludes 0; NOT_SHOWN; SAME (under every seed); NOT_JUDGED.
        reason: why there is no number or no interval; "" otherwise.
    """

    name: str
    definition: MetricDefinition
    a: float | None
    b: float | None
    difference: float | None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    p_holm: float | None = None
    verdict: str = NOT_JUDGED
    reason: str = ""


def difference(name: str, a: Side, b: Side, pairing: str, seeds: tuple[int, ...]) -> Difference:
    """One metric of two sides, not yet corrected for the others that are looked at.

    Args:
        name: full name of a metric that at least one side has.
        a, b, pairing, seeds: from ``pair``.
    """
    from_a, from_b = _under(a, name, seeds), _under(b, name, seeds)
    values_a, values_b = _measured(from_a), _measured(from_b)
    reason = "; ".join(part for part in (_lacking(from_a, "A"), _lacking(from_b, "B")) if part)
    if values_a.keys() & values_b.keys() and seeds:
        # Means over the same seeds, or the difference of the means is not the mean difference.
        paired = [seed for seed in seeds if seed in values_a and seed in values_b]
        values_a, values_b = ({s: v[s] for s in paired} for v in (values_a, values_b))
    line = Difference(name, _definition(name, a, b), _mean(values_a), _mean(values_b), None,
                      reason=reason)  # fmt: skip
    if line.a is None or line.b is None:
        return line
    line = replace(line, difference=line.b - line.a)
    if pairing == ONE_SEED or min(len(values_a), len(values_b)) < 2:
        return line
    error = _error(from_a) + _error(from_b)
    if pairing == UNPAIRED:
        return _tested(line, welch(list(values_a.values()), list(values_b.values()), error=error))
    return _of_pairs(line, values_a, values_b, error)


def _definition(name: str, a: Side, b: Side) -> MetricDefinition:
    every = (*a.by_seed.values(), *b.by_seed.values())
    return next(metrics[name].definition for metrics in every if name in metrics)


def _under(side: Side, name: str, seeds: tuple[int, ...]) -> dict[int, Metric | None]:
    """Seed → the metric, of the paired seeds or else of all."""
    return {seed: side.by_seed[seed].get(name) for seed in seeds or side.by_seed}


def _of_pairs(
    line: Difference, a: Mapping[int, float], b: Mapping[int, float], error: float
) -> Difference:
    pairs = [b[seed] - a[seed] for seed in a]
    rounding = 1e-12 * max(map(abs, (*a.values(), *b.values())))
    if error > 0.0 or max(pairs) - min(pairs) > rounding:
        return _tested(line, student(pairs, error=error))
    if max(map(abs, pairs)) <= rounding:
        return replace(line, difference=0.0, verdict=SAME)
    # A real number does not repeat itself by chance. A number of requests may, so there only the
    # direction counts: all signs alike, either way, have the chance 2 / 2^k.
    counted = line.definition.dimension == "count" or line.definition.name == "goodput_fraction"
    alike = "the same difference under every seed"
    reason = f"{line.reason}; {alike}" if line.reason else alike
    return replace(line, p=2.0 ** (1 - len(pairs)) if counted else 0.0, reason=reason)


def _tested(line: Difference, test: MeanTest) -> Difference:
    return replace(line, low=test.interval.low, high=test.interval.high, p=test.p)


def _measured(metrics: Mapping[int, Metric | None]) -> dict[int, float]:
    return {
        seed: metric.value
        for seed, metric in metrics.items()
        if metric is not None and metric.value is not None
    }


def _lacking(metrics: Mapping[int, Metric | None], side: str) -> str:
    """Under which seeds a side could not measure it, and why; "" if under none."""
    missing = {s: m for s, m in metrics.items() if m is None or m.value is None}
    if not missing:
        return ""
    reasons = ("it has no such metric" if m is None else m.reason for m in missing.values())
    where = "" if len(missing) == len(metrics) else f" under {seeds_in_words(missing)}"
    return f"{side} did not measure it{where}: {'; '.join(dict.fromkeys(reasons))}"


def _mean(values: Mapping[int, float]) -> float | None:
    return math.fsum(values.values()) / len(values) if values else None


def _error(metrics: Mapping[int, Metric | None]) -> float:
    """Bound of the error of each value, where values were read from bins."""
    known = [m for m in metrics.values() if m is not None and m.value is not None]
    return max((m.relative_error * abs(m.value or 0.0) for m in known), default=0.0)


def corrected(found: Sequence[Difference]) -> tuple[list[Difference], int]:
    """With Holm's correction and verdicts; how many were tested."""
    tested = [line for line in found if line.p is not None]
    corrected = dict(
        zip((line.name for line in tested), holm([line.p or 0.0 for line in tested]), strict=True)
    )
    lines = []
    for line in found:
        p_holm = corrected.get(line.name)
        if p_holm is not None:
            line = replace(line, p_holm=p_holm, verdict=_verdict(line, p_holm))
        lines.append(line)
    return lines, len(tested)


def _verdict(line: Difference, p_holm: float) -> str:
    level = 1.0 - CONFIDENCE
    if p_holm >= level:
        return UNCLEAR if line.p is not None and line.p < level else NOT_SHOWN
    if not line.definition.better:
        return DIFFERS
    higher = (line.difference or 0.0) > 0.0
    return BETTER if higher == (line.definition.better == "higher") else WORSE
