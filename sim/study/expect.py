"""Whether a scenario meets its ``expect`` lines, over as many seeds as it takes to tell.

Seeds are looked at after 4, 8, 16, … of them, each look at its own level (``sim.study.looks``): a
line is met or missed as soon as the interval of its metric lies on one side of the threshold, and
undecided if it still does not when the most seeds are there. A comparison of two variants is paired
by seed, on d = first − (1 ∓ by)·second ± points, which is on one side of 0 if the first is better
by at least that share, or that many points.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sim.check.scenario import AnyScenario
from sim.results.expectations import ExpectationLike
from sim.results.metrics import Metric
from sim.results.wording import percent, quantity
from sim.spec.expect import BetterSpec
from sim.study.across import across
from sim.study.executor import Executor
from sim.study.intervals import CONFIDENCE, alike, student
from sim.study.judge import NO, UNDECIDED, YES, answer
from sim.study.looks import confidences, looks
from sim.study.naming import seeds_in_words
from sim.study.result import SeedsResult
from sim.study.seeds import run_seeds


@dataclass(frozen=True)
class Decision:
    """What became of a line.

    Attributes:
        text: the line.
        answer: "yes", "no" or "undecided".
        metric: its full name.
        unit: of the numbers.
        value, low, high: of the metric; of a comparison, of d. None: not measured, or no spread.
        seeds: how many it took.
        confidence: of the interval at that look; ``whole``: of all looks together.
        folders: of the results, one for each variant.
        message: in sentences, with every number.
    """

    text: str
    answer: str
    metric: str
    unit: str
    value: float | None
    low: float | None
    high: float | None
    seeds: int
    confidence: float
    whole: float
    folders: tuple[Path, ...]
    message: str


@dataclass(frozen=True)
class Bench:
    """Where and how runs are made for decisions, and the most seeds there may be."""

    executor: Executor
    out: Path
    engine: str
    most: int

    def runs(self, scenario: AnyScenario, seeds: Sequence[int]) -> SeedsResult:
        """Results under these seeds; those that are there are not made again."""
        return run_seeds(scenario, seeds, self.executor, out=self.out, engine=self.engine)


def decide(line: ExpectationLike, scenario: AnyScenario, bench: Bench) -> Decision:
    """Run seeds until a line is met or missed, or the most are there.

    Raises:
        RackplanError: no seed finished, or the results cannot be written.
    """
    at = looks(bench.most)
    for count, confidence in zip(at, confidences(at, CONFIDENCE), strict=True):
        result = bench.runs(scenario, range(scenario.seed, scenario.seed + count))
        metric = across(result.by_seed, confidence).get(line.metric)
        found = _judged(line, metric, result)
        if found != UNDECIDED:
            break
    return _decision(line, found, metric, result, confidence)


def _judged(line: ExpectationLike, metric: Metric | None, result: SeedsResult) -> str:
    """As ``judge``: a seed that failed or could not measure it leaves a yes undecided."""
    if metric is None:
        return UNDECIDED
    found = answer(metric, line.operator, line.threshold)
    lacking = result.manifest["failed"] or metric.seeds != len(result.seeds)
    return UNDECIDED if found == YES and lacking else found


def _decision(
    line: ExpectationLike, found: str, metric: Metric | None, result: SeedsResult, confidence: float
) -> Decision:
    value = None if metric is None else metric.value
    low, high = (None, None) if metric is None else (metric.low, metric.high)
    parts = [_VERDICT[found].format(line.text)]
    if metric is None or value is None:
        reason = "this scenario does not have it" if metric is None else metric.reason
        parts.append(f"{line.metric} was not measured: {reason}")
    else:
        wanted = _shown(metric, line.threshold / metric.definition.factor)
        parts.append(
            f"{line.metric} is {_shown(metric, value)}{_interval(metric, low, high, confidence)}, "
            f"wanted {line.operator} {wanted}"
        )
    parts += _seeds(result, confidence)
    return Decision(
        line.text, found, line.metric, "" if metric is None else metric.unit, value, low, high,
        len(result.seeds), confidence, CONFIDENCE, (result.folder,), "\n".join(parts),
    )  # fmt: skip


_VERDICT = {
    YES: "met: {}", NO: "missed: {}",
    UNDECIDED: "undecided, which is no proof that it is met: {}",
}  # fmt: skip


def _interval(metric: Metric, low: float | None, high: float | None, confidence: float) -> str:
    if low is None or high is None:
        return f" ({metric.reason})" if metric.reason else ""
    return f" ({_shown(metric, low)} to {_shown(metric, high)} at {percent(confidence)})"


def _shown(metric: Metric, value: float) -> str:
    return quantity(value, metric.unit, metric.definition.dimension)


def _seeds(result: SeedsResult, confidence: float) -> list[str]:
    lines = [f"{seeds_in_words(result.seeds)}, in {result.folder}"]
    failed = result.manifest["failed"]
    if failed:
        reason = failed[0]["reason"].partition("\n")[0]
        lines.append(f"{len(failed)} more failed, the first for: {reason}")
    return lines


def decide_better(
    line: BetterSpec, variants: tuple[AnyScenario, AnyScenario], bench: Bench
) -> Decision:
    """Run both variants under the same seeds until one is shown to be better, or not by enough.

    Raises:
        RackplanError: no seed finished, or the results cannot be written.
    """
    at = looks(bench.most)
    seed = variants[0].seed
    for count, confidence in zip(at, confidences(at, line.confidence), strict=True):
        first, second = (bench.runs(one, range(seed, seed + count)) for one in variants)
        compared = _compared(line, first, second, confidence)
        if compared.answer != UNDECIDED:
            break
    return compared


def _compared(
    line: BetterSpec, first: SeedsResult, second: SeedsResult, confidence: float
) -> Decision:
    """One look at a comparison."""
    pairs, metric = _pairs(line.metric, first, second)
    folders = (first.folder, second.folder)
    common = len(pairs)
    if metric is None or common < 2 or common < max(len(first.seeds), len(second.seeds)):
        lost = f"{line.metric} was measured in both variants under {common} seeds only"
        return Decision(
            line.text, UNDECIDED, line.metric, "", None, None, None, common, confidence,
            line.confidence, folders, f"{_VERDICT[UNDECIDED].format(line.text)}\n{lost}",
        )  # fmt: skip
    lower = metric.definition.better == "lower"
    share = 1.0 - line.by if lower else 1.0 + line.by
    margin = line.points if lower else -line.points
    differences = [a - share * b + margin for a, b in pairs]
    error = metric.relative_error * max(max(map(abs, pair)) for pair in pairs) * (1.0 + share)
    value = math.fsum(differences) / common
    low = high = None
    if alike(differences) and not error:
        found = YES if (value < 0.0) == lower and value else NO
    else:
        test = student(differences, error=error, confidence=confidence)
        low, high = test.interval.low, test.interval.high
        ends = (low, high) if lower else (-high, -low)
        found = YES if ends[1] < 0.0 else NO if ends[0] > 0.0 else UNDECIDED
    text = _comparison_text(line, found, pairs, metric, (value, low, high), confidence)
    return Decision(
        line.text, found, line.metric, metric.unit, value, low, high, common, confidence,
        line.confidence, folders, "\n".join([*text, *map(str, folders)]),
    )  # fmt: skip


def _pairs(
    name: str, first: SeedsResult, second: SeedsResult
) -> tuple[list[tuple[float, float]], Metric | None]:
    """Values under the seeds that have both, and a metric of them."""
    found, some = [], None
    for seed in first.seeds:
        a, b = first.by_seed[seed].get(name), second.by_seed.get(seed, {}).get(name)
        if a is not None and b is not None and a.value is not None and b.value is not None:
            found.append((a.value, b.value))
            some = max(filter(None, (some, a, b)), key=lambda metric: metric.relative_error)
    return found, some


def _comparison_text(
    line: BetterSpec,
    found: str,
    pairs: Sequence[tuple[float, float]],
    metric: Metric,
    difference: tuple[float, float | None, float | None],
    confidence: float,
) -> list[str]:
    means = [math.fsum(side) / len(pairs) for side in zip(*pairs, strict=True)]
    value, low, high = difference
    wanted = "below" if metric.definition.better == "lower" else "above"
    by = f"{percent(1 - line.by if wanted == 'below' else 1 + line.by)} of the second"
    less = by if line.by else "the second"
    if line.points:
        less += f" {'plus' if wanted == 'below' else 'and'} {100 * line.points:g} points"
    text = f"first {_shown(metric, means[0])}, second {_shown(metric, means[1])}"
    if low is not None and high is not None:
        text += (
            f"; the first less {less}, paired by seed, is "
            f"{_signed(metric, value)} ({_signed(metric, low)} to {_signed(metric, high)} at "
            f"{percent(confidence)}), wanted {wanted} 0"
        )
    else:
        text += "; the same difference under every seed"
    return [_VERDICT[found].format(line.text), text, f"{len(pairs)} seeds, in:"]


def _signed(metric: Metric, value: float) -> str:
    return f"-{_shown(metric, -value)}" if value < 0.0 else _shown(metric, value)
