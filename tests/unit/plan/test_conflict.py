"""Lines that no value meets together: minimal sets by brute force, and answers hidden between."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from sim.plan.least.conflict import Conflicts, Holding, minimal, shared
from sim.plan.least.find import NONE, NONE_LIKELY, Plan
from sim.plan.least.told import told_of
from tests.unit.plan.questions import QUESTION, answered, asked, runs_of
from tests.unit.plan.test_margins import objective


class Invented:
    """Margins that hold exactly in given intervals of points; counts what is looked at."""

    def __init__(self, intervals: Mapping[str, tuple[int, int] | None]) -> None:
        self.intervals = intervals
        self.looked: set[int] = set()

    def see(self, wanted: Mapping[int, int]) -> None:
        self.looked |= set(wanted)

    def margins(self, point: int) -> Mapping[str, list[float]]:
        assert point in self.looked
        return {
            text: [-0.5, -1.0] if span and span[0] <= point <= span[1] else [0.5, 1.0]
            for text, span in self.intervals.items()
        }


def brute(intervals: Mapping[str, tuple[int, int] | None], last: int) -> set[frozenset[str]]:
    """Every minimal set of lines without a common point."""
    found: list[frozenset[str]] = []
    for size in range(1, len(intervals) + 1):
        for chosen in combinations(intervals, size):
            if any(one <= set(chosen) for one in found):
                continue
            spans = [intervals[text] for text in chosen]
            if not any(
                all(span and span[0] <= point <= span[1] for span in spans)
                for point in range(last + 1)
            ):
                found.append(frozenset(chosen))
    return set(found)


@pytest.mark.parametrize("seed", range(60))
def test_minimal_sets_are_those_of_brute_force(seed: int) -> None:
    rng = np.random.default_rng(seed)
    last = int(rng.integers(4, 40))
    lines = [objective(f"chat.ttft_mean <= {k + 1} s") for k in range(int(rng.integers(1, 5)))]
    intervals: dict[str, tuple[int, int] | None] = {}
    for line in lines:
        cut, kind = int(rng.integers(1, last)), rng.integers(0, 5)
        middle = round(last / 2)
        intervals[line.text] = {
            0: (0, last), 1: (cut, last), 2: (0, cut), 3: None,
            4: (min(max(cut - 1, 1), middle), min(max(cut, middle), last - 1)),
        }[int(kind)]  # fmt: skip
    evidence = Invented(intervals)
    holding = Conflicts(lines, evidence, 0, last, 2).holding()
    assert {
        line.objective.text: None if line.first is None else (line.first, line.last)
        for line in holding
    } == intervals
    expected = brute(intervals, last)
    found = {frozenset(h.objective.text for h in one.lines) for one in minimal(holding)}
    assert found == expected
    assert (shared(holding) is None) == bool(expected)
    # A few looks a line, by bisection, not every point.
    assert len(evidence.looked) <= 5 + 2 * len(lines) * np.log2(last + 2)


def test_the_nearest_point_is_told() -> None:
    line = objective("chat.ttft_mean <= 1 s")
    evidence = Invented({line.text: None})
    (held,) = Conflicts([line], evidence, 0, 8, 2).holding()
    assert isinstance(held, Holding)
    assert held.first is None
    assert held.nearest in evidence.looked


def energies_j(folder: Path, *replicas: int) -> list[float]:
    """What the site takes in with so many replicas, under the first seed."""
    question = asked(folder)
    runs = runs_of(question, folder / "runs")
    runs.see({number - 1: 1 for number in replicas})
    found = [
        runs.results(number - 1)[1].metrics["power[utility].energy_j"].si for number in replicas
    ]
    return [value for value in found if value is not None]


def test_an_answer_between_points_that_miss_is_found(tmp_path: Path) -> None:
    """More replicas are faster and take more energy: 5 are fast enough, 6 take too much."""
    five_j, six_j = energies_j(tmp_path, 5, 6)
    assert five_j < six_j
    line = f"power[utility].energy_j <= {(five_j + six_j) / 2.0:.0f} J"
    text = QUESTION.replace("subject_to: [", f"subject_to: ['{line}', ")
    plan = answered(asked(tmp_path, text=text), tmp_path / "runs")
    assert plan.answer is not None
    assert plan.answer.value == 5
    assert plan.conflicts == ()
    assert any(note.startswith(f"{line}: holds up to 5 only") for note in plan.notes)
    # With the energy of four only, no number is both.
    (four_j,) = energies_j(tmp_path, 4)
    less = f"power[utility].energy_j <= {(four_j + five_j) / 2.0:.0f} J"
    none = answered(asked(tmp_path, text=text.replace(line, less)), tmp_path / "runs")
    assert none.answer is None
    assert [len(one.lines) for one in none.conflicts] == [2]
    said = told(none)
    assert f"{less} holds from 3 to 4, chat.ttft_p99 <= 150 ms holds from 5: no value" in said
    headline = told_of(none, None).headline
    assert f" from 1 to 6 meets {less} and chat.ttft_p99 <= 150 ms, as far as these" in headline
    assert "no value does both; at 4 chat.ttft_p99 <= 150 ms has " in said


RATES = "'workload[chat].rate', from: 30 /s, to: 430 /s, step: 20 /s"


def test_the_most_replicas_that_a_line_bears(tmp_path: Path) -> None:
    """One replica takes the least energy and is too few for the load; that hides no answer."""
    five_j, six_j = energies_j(tmp_path, 5, 6)
    line = f"power[utility].energy_j <= {(five_j + six_j) / 2.0:.0f} J"
    text = QUESTION.replace("minimum", "maximum").replace(
        "subject_to: [", f"subject_to: ['{line}', "
    )
    plan = answered(asked(tmp_path, text=text), tmp_path / "runs")
    assert plan.answer is not None
    assert plan.answer.value == 5
    assert any("and below cannot be served, and was left out" in note for note in plan.notes)
    # Nor does a load that is too much at the far end: the least rate with so much output.
    less = "chat.output_tokens_per_s >= 2400 tokens/s"
    rate = QUESTION.replace("'pools[chat].replicas', from: 1, to: 6", RATES)
    rate = rate.replace("subject_to: [", f"subject_to: ['{less}', ")
    found = answered(asked(tmp_path, text=rate), tmp_path / "runs")
    assert found.answer is not None
    assert found.answer.value == "70 /s"  # of 40 tokens each: 2,800 a second, at 50 /s 2,000


def told(plan: Plan) -> str:
    return "\n".join(told_of(plan, None).reasons)


def test_what_conflicts_is_said(tmp_path: Path) -> None:
    text = QUESTION.replace("150 ms", "20 ms")
    plan = answered(asked(tmp_path, text=text), tmp_path / "runs")
    assert plan.status in (NONE, NONE_LIKELY)
    assert "chat.ttft_p99 <= 20 ms holds at no value from 1 to 6" in told(plan)
    assert "nearest to it is 6, with 100 % late" in told(plan)
    loaded = answered(asked(tmp_path, "workload[chat].rate=900 /s"), tmp_path / "runs")
    assert loaded.status == NONE
    assert "the load of pool chat, 900 /s, and the end of the range, 6: 6 replicas" in told(loaded)
