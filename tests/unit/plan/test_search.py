"""The search against exhaustive evaluation, on evidence with a known truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest

from sim.plan.margins import Objective
from sim.plan.search import Found, Search, judged
from sim.results.metrics import lookup
from sim.study.judge import NO, UNDECIDED, YES
from sim.study.sequence import half_width

DEFINITION = lookup("chat.ttft_p99", workloads=["chat"], pools=[], power_nodes=[])
MOST = 16


def line(name: str) -> Objective:
    return Objective(name, "chat.ttft_p99", DEFINITION, 0.01, False, "chat", "ttft", 2.0, 0.99)


@dataclass
class Invented:
    """Margins that were drawn beforehand; counts what was asked for.

    ``truth``: [lines, points, seeds].
    """

    truth: np.ndarray
    names: Sequence[str] = ("a",)
    seen: dict[int, int] = field(default_factory=dict)

    def see(self, wanted: Mapping[int, int]) -> None:
        for point, seeds in wanted.items():
            assert 0 <= point < self.truth.shape[1]
            assert seeds <= self.truth.shape[2]
            self.seen[point] = max(seeds, self.seen.get(point, 0))

    def margins(self, point: int) -> Mapping[str, Sequence[float]]:
        seeds = self.seen[point]
        return {name: list(self.truth[i, point, :seeds]) for i, name in enumerate(self.names)}


def drawn(rng: np.random.Generator, points: int, lines: int = 1, steep: float = 1.0) -> np.ndarray:
    """Shares that fall with the point, with noise that points share in part, as common seeds do."""
    place = rng.uniform(0, points, lines)[:, None, None]
    at = np.arange(points)[None, :, None]
    level = 0.01 * np.exp(np.clip(steep * 0.35 * (place - at), -6, 4))
    common = rng.normal(0, 1, (lines, 1, MOST))
    own = rng.normal(0, 1, (lines, points, MOST))
    shares = level * np.exp(0.25 * (0.9 * common + 0.43 * own))
    return shares - 0.01


def search(truth: np.ndarray, *, near: bool = False, first: int = 0) -> tuple[Found, Invented]:
    names = [f"line {i}" for i in range(truth.shape[0])]
    evidence = Invented(truth, names)
    objectives = [line(name) for name in names]
    last = truth.shape[1] - 1
    return Search(objectives, evidence, first, last, truth.shape[2], near).run(), evidence


def exhaustive(truth: np.ndarray) -> int | None:
    """The first point at which the mean of every line over all seeds holds."""
    holds = (truth.mean(axis=2) <= 0.0).all(axis=0)
    return int(holds.argmax()) if holds.any() else None


@pytest.mark.parametrize("near", [False, True])
@pytest.mark.parametrize("lines", [1, 3])
def test_the_same_answer_as_exhaustive_search(lines: int, near: bool) -> None:
    rng = np.random.default_rng(lines)
    same, seeds, cases = 0, 0, 300
    for _ in range(cases):
        points = int(rng.integers(2, 65))
        truth = drawn(rng, points, lines, rng.choice([0.3, 1.0, 3.0]))
        found, evidence = search(truth, near=near)
        expected = exhaustive(truth)
        same += found.point == expected
        seeds += sum(evidence.seen.values())
        if found.point is not None:  # never infeasible on the common seeds
            assert (truth[:, found.point].mean(axis=1) <= 0.0).all()
    assert same >= 0.95 * cases
    assert seeds < 90 * cases  # exhaustive: 16 of each of 33 points


def test_claims_err_as_rarely_as_they_say() -> None:
    """Where a point is on the edge in truth, any decision about it is an error."""
    rng = np.random.default_rng(9)
    false = 0
    for _ in range(2_000):
        noise = 0.003 * rng.normal(0, 1, (1, 3, MOST))
        truth = noise + np.array([0.02, 0.0, -0.0099])[None, :, None]
        found, _ = search(truth)
        false += found.tested[1].answer != UNDECIDED
    assert false <= 0.05 * 2_000


def test_even_the_last_point_misses() -> None:
    found, evidence = search(0.02 + 0.001 * np.random.default_rng(0).normal(size=(1, 8, MOST)))
    assert found.point is None
    assert found.tested[7].answer == NO
    assert sum(evidence.seen.values()) < 30


def test_the_first_point_holds_already() -> None:
    truth = -0.009 + 1e-4 * np.random.default_rng(0).normal(size=(1, 8, MOST))
    found, evidence = search(truth)
    assert found.point == 0
    assert found.tested[0].answer == YES
    assert evidence.seen[0] == MOST
    found, evidence = search(truth, first=3, near=True)
    assert found.point == 3
    assert min(evidence.seen) == 3


def test_points_that_do_not_hold_in_order_are_told() -> None:
    means = np.array([0.03, 0.02, -0.008, 0.02, 0.02, -0.008, -0.008, -0.008, -0.009])
    truth = means[None, :, None] + 1e-4 * np.random.default_rng(1).normal(size=(1, 9, MOST))
    evidence = Invented(truth, ["line 0"])
    found = Search([line("line 0")], evidence, 0, 8, MOST, True).run()
    assert not found.monotone or found.point == 5
    assert found.point == 5


def test_flat_neighbours_stay_undecided_within_the_cap() -> None:
    rng = np.random.default_rng(4)
    noise = rng.normal(0, 0.002, (1, 1, MOST)) + rng.normal(0, 2e-4, (1, 21, MOST))
    slope = np.linspace(3e-4, -3e-4, 21)[None, :, None]
    found, evidence = search(slope + noise)
    assert found.point is not None
    assert found.tested[found.point].answer == UNDECIDED
    assert found.tested[found.point - 1].answer == UNDECIDED
    # The two seeds that find the place were 15 points off: still half of an exhaustive search.
    assert sum(evidence.seen.values()) <= 21 * MOST / 2


def test_one_line_refutes_with_its_share_of_the_error() -> None:
    rng = np.random.default_rng(2)
    noise = rng.normal(size=8)
    noise = (noise - noise.mean()) / noise.std(ddof=1)
    values = list(0.002 * (noise + (half_width(8, 0.02) + half_width(8, 0.002)) / 2))
    fine = [-0.009] * 8
    alone, _ = judged([line("a")], {"a": values}, 0.02)
    many = [line(name) for name in "abcdefghij"]
    margins = {name: values if name == "a" else fine for name in "abcdefghij"}
    crowded, lines = judged(many, margins, 0.02)
    assert (alone, crowded) == (NO, UNDECIDED)
    assert [seen.answer for seen in lines[1:]] == [YES] * 9


def test_a_line_that_must_never_be_broken() -> None:
    never = Objective(
        "over_budget_s <= 0 s", "over_budget_s",
        lookup("over_budget_s", workloads=[], pools=[], power_nodes=[]), 0.0,
    )  # fmt: skip
    assert judged([never], {never.text: [0.0, 0.0, 0.3]}, 0.006)[0] == NO
    assert judged([never], {never.text: [0.0] * 4}, 0.006)[0] == UNDECIDED
    assert judged([never], {never.text: [0.0] * 5}, 0.006)[0] == YES
