"""Lines of ``expect`` over seeds: as few as decide them, at most as many as there may be."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sim.check.scenario import Expectation
from sim.results.metrics import Metric
from sim.results.placement_metrics import PLACEMENT_METRICS
from sim.spec.expect import BetterSpec
from sim.study.expect import Bench, decide, decide_better
from sim.study.result import SeedsResult
from tests.unit.study.works import metric


class MadeUp(Bench):
    """Results whose metric under each seed is told by a function."""

    def __init__(self, values: Any, most: int = 16, failed: Sequence[int] = ()) -> None:
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "most", most)
        object.__setattr__(self, "failed", failed)
        object.__setattr__(self, "asked", [])

    def runs(self, scenario: Any, seeds: Sequence[int]) -> SeedsResult:
        self.asked.append(len(seeds))
        values = self.values[scenario.name] if isinstance(self.values, dict) else self.values
        by_seed = {
            seed: {"chat.ttft_p99": metric("chat.ttft_p99", values(seed))}
            for seed in seeds
            if seed not in self.failed
        }
        failed = [{"seed": s, "reason": "no power\nin detail"} for s in self.failed if s in seeds]
        return SeedsResult({"failed": failed}, {}, by_seed, Path(f"runs/{scenario.name}"))


class Named:
    """As much of a scenario as is looked at."""

    def __init__(self, name: str = "a") -> None:
        self.name, self.seed = name, 1


LINE = Expectation("chat.ttft_p99 <= 2 s", "chat.ttft_p99", "<=", 2.0)


def noisy(mean: float, sd: float, stream: int = 0) -> Any:
    return lambda seed: mean + sd * float(np.random.default_rng([seed, stream]).standard_normal())


def test_a_clear_line_takes_the_fewest_seeds() -> None:
    bench = MadeUp(noisy(1.0, 0.02))
    found = decide(LINE, Named(), bench)
    assert (found.answer, found.seeds, bench.asked) == ("yes", 4, [4])
    assert found.low < 1.0 < found.high < 2.0
    # The level of the first of three looks is stricter than 95 %.
    assert 0.97 < found.confidence < 0.995
    assert found.message.splitlines()[0] == "met: chat.ttft_p99 <= 2 s"
    assert "wanted <= 2.00 s" in found.message
    missed = decide(LINE, Named(), MadeUp(noisy(3.0, 0.02)))
    assert (missed.answer, missed.seeds) == ("no", 4)


def test_a_close_line_takes_more_and_may_stay_undecided() -> None:
    close = decide(LINE, Named(), MadeUp(noisy(1.9, 0.12)))
    assert close.answer == "yes"
    assert close.seeds > 4
    bench = MadeUp(noisy(2.0, 0.5))
    undecided = decide(LINE, Named(), bench)
    assert undecided.answer == "undecided"
    assert bench.asked == [4, 8, 16]
    assert "no proof that it is met" in undecided.message


def test_a_seed_that_failed_proves_nothing() -> None:
    found = decide(LINE, Named(), MadeUp(noisy(1.0, 0.02), failed=[3]))
    assert found.answer == "undecided"
    assert "1 more failed, the first for: no power" in found.message
    # It does not save a line that is missed.
    assert decide(LINE, Named(), MadeUp(noisy(3.0, 0.02), failed=[3])).answer == "no"


def test_what_was_not_measured_is_undecided_and_says_why() -> None:
    found = decide(LINE, Named(), MadeUp(lambda seed: None))
    assert found.answer == "undecided"
    assert "chat.ttft_p99 was not measured" in found.message


def pair(by: float = 0.0) -> BetterSpec:
    return BetterSpec("a better than b", "chat.ttft_p99", ("x=a",), ("x=b",), by, 0.95)


def variants(a: Any, b: Any, most: int = 16) -> MadeUp:
    return MadeUp({"a": a, "b": b}, most)


BOTH: Any = (Named("a"), Named("b"))


def test_a_comparison_is_paired_by_seed() -> None:
    traffic = noisy(1.0, 0.3)  # common to both, and far larger than what differs
    bench = variants(traffic, lambda seed: traffic(seed) + 0.05 + 0.001 * (seed % 3))
    found = decide_better(pair(), BOTH, bench)
    assert (found.answer, found.seeds) == ("yes", 4)
    assert found.value == pytest.approx(-0.051, abs=0.001)
    assert decide_better(pair(), (BOTH[1], BOTH[0]), bench).answer == "no"
    assert "paired by seed" in found.message


def test_better_by_a_share_asks_for_as_much() -> None:
    base = noisy(1.0, 0.05)
    bench = variants(lambda seed: 0.8 * base(seed) + 0.001 * (seed % 3), base)
    assert decide_better(pair(0.1), BOTH, bench).answer == "yes"
    assert decide_better(pair(0.3), BOTH, bench).answer == "no"


def test_variants_that_do_the_same_are_not_better() -> None:
    same = noisy(1.0, 0.05)
    found = decide_better(pair(), BOTH, variants(same, same))
    assert (found.answer, found.seeds) == ("no", 4)
    assert "the same difference under every seed" in found.message


class Share(MadeUp):
    """Results of a share of which more is better."""

    def runs(self, scenario: Any, seeds: Sequence[int]) -> SeedsResult:
        values = self.values[scenario.name]
        by_seed: dict[int, dict[str, Metric]] = {
            s: {"chat.goodput_fraction": metric("chat.goodput_fraction", values(s))} for s in seeds
        }
        return SeedsResult({"failed": []}, {}, by_seed, Path("runs"))


class Unallocated(MadeUp):
    """Results of a share of which less is better."""

    def runs(self, scenario: Any, seeds: Sequence[int]) -> SeedsResult:
        values, definition = self.values[scenario.name], PLACEMENT_METRICS["unallocated"]
        by_seed = {s: {"unallocated": Metric(values(s), "", definition)} for s in seeds}
        return SeedsResult({"failed": []}, {}, by_seed, Path("runs"))


@pytest.mark.parametrize(
    ("kind", "name", "sign"),
    [(Share, "chat.goodput_fraction", 1), (Unallocated, "unallocated", -1)],
)
def test_better_by_points_asks_for_as_many(kind: Any, name: str, sign: int) -> None:
    base = noisy(0.5, 0.05)
    bench = kind({"a": lambda seed: base(seed) + sign * (0.02 + 0.001 * (seed % 3)), "b": base})

    def found(points: float) -> Any:
        line = BetterSpec("t", name, ("x=a",), ("x=b",), 0.0, 0.95, points)
        return decide_better(line, BOTH, bench)

    assert found(0.015).answer == "yes"
    missed = found(0.025)
    assert missed.answer == "no"
    assert " 2.5 points, paired by seed" in missed.message


def test_of_higher_metrics_more_is_better() -> None:
    def good(value: float) -> Any:
        return lambda seed: value + 0.001 * (seed % 4)

    line = BetterSpec("t", "chat.goodput_fraction", ("x=a",), ("x=b",), 0.1, 0.95)
    ahead = Share({"a": good(0.95), "b": lambda seed: 0.8})
    assert decide_better(line, BOTH, ahead).answer == "yes"
    near = Share({"a": good(0.85), "b": lambda seed: 0.8})
    assert decide_better(line, BOTH, near).answer == "no"
