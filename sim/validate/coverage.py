"""Whether measured runs lie within the ranges that drawn errors give their predictions.

``rackplan run --uncertainty N`` puts the range of N samples around each metric and says that the
true value is within it in N − 1 of N + 1 cases. Here the true values are measured ones, of runs
that the fits had not seen, each predicted under the samples of its own error class.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sim.engine.predict import Predictor
from sim.validate.serving import METRICS, Evaluator, Outcome


@dataclass(frozen=True)
class Coverage:
    """Of a set of runs: metric → share that was measured within the range of the samples."""

    runs: int
    nominal: float
    inside: dict[str, float]


def ranges(
    outcomes: Iterable[Outcome], samples: int
) -> list[tuple[Outcome, tuple[tuple[float, float] | None, ...]]]:
    """Each outcome with the range of each metric; None where a sample has no prediction."""
    have = [one for one in outcomes if not one.why_not and one.run.clients is not None]
    drawn: list[list[Outcome]] = []
    for sample in range(1, samples + 1):
        evaluator = Evaluator(Predictor(sample=sample))
        drawn.append([evaluator.outcome(one.run, one.stack) for one in have])
    found = []
    for i, one in enumerate(have):
        ends: list[tuple[float, float] | None] = []
        for metric in range(len(METRICS)):
            values = [part[i].predicted[metric] for part in drawn]
            known = [value for value in values if value is not None]
            ends.append((min(known), max(known)) if len(known) == samples else None)
        found.append((one, tuple(ends)))
    return found


def coverage(
    some: Sequence[tuple[Outcome, tuple[tuple[float, float] | None, ...]]], samples: int
) -> Coverage:
    """The share of measured values within their ranges."""
    inside: dict[str, float] = {}
    for metric, name in enumerate(METRICS):
        hits = []
        for one, ends in some:
            measured, between = one.measured[metric], ends[metric]
            if measured is not None and between is not None:
                hits.append(between[0] <= measured <= between[1])
        if hits:
            inside[name] = sum(hits) / len(hits)
    return Coverage(len(some), (samples - 1) / (samples + 1), inside)
