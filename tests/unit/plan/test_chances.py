"""Lines on the share of runs: read, judged, refused; what a site may draw on paper."""

from __future__ import annotations

from pathlib import Path

import pytest

from sim.errors import ScenarioError
from sim.plan.least.on_paper import on_paper
from sim.plan.least.question import load_question
from sim.plan.line_at import cell, line_at
from sim.plan.search import judged
from sim.study.judge import NO, UNDECIDED, YES
from tests.unit.plan.questions import BASE, QUESTION, answered, asked, question_file

CHANCE = QUESTION.replace("chat.ttft_p99 <= 150 ms", "P(chat.ttft_p99 > 150 ms) <= 30 %")


def margins(hits: int, n: int, limit: float) -> list[float]:
    return [(1.0 if i < hits else 0.0) - limit for i in range(n)]


def test_a_share_of_runs_is_judged_by_counts(tmp_path: Path) -> None:
    (line,) = asked(tmp_path, text=CHANCE).objectives
    assert (line.text, line.chance, line.threshold) == (
        "P(chat.ttft_p99 > 150 ms) <= 30 %", ">", 0.15,
    )  # fmt: skip
    assert line.limit == pytest.approx(0.3)
    verdicts = {
        hits: judged([line], {line.text: margins(hits, 40, 0.3)}, 0.05)[0] for hits in (0, 10, 40)
    }
    assert verdicts == {0: YES, 10: UNDECIDED, 40: NO}
    _, (seen,) = judged([line], {line.text: margins(10, 40, 0.3)}, 0.05)
    shown = line_at(seen, [1.0] * 10 + [0.0] * 30, None)
    assert shown.interval.low < 0.25 < shown.interval.high < 1.0
    assert cell(shown).startswith("25 % of runs (at most ")


def test_at_least_so_many_runs(tmp_path: Path) -> None:
    text = CHANCE.replace("> 150 ms) <= 30 %", "<= 150 ms) >= 70 %")
    (line,) = asked(tmp_path, text=text).objectives
    assert line.more
    all_good, _ = judged([line], {line.text: [0.7 - 1.0] * 40}, 0.05)
    none_good, (seen,) = judged([line], {line.text: [0.7] * 40}, 0.05)
    assert (all_good, none_good) == (YES, NO)
    assert line_at(seen, [0.0] * 40, None).interval.low == pytest.approx(0.0, abs=1e-9)


def test_a_plan_by_the_share_of_runs(tmp_path: Path) -> None:
    """The answer holds by the counts of its runs, the value before it does not."""
    question = asked(tmp_path, text=CHANCE.replace("seeds: 6", "seeds: 40"))
    assert not any("cannot show" in text for text in question.warnings)
    plan = answered(question, tmp_path / "runs")
    assert plan.answer is not None
    point = plan.answer
    assert point.lines[0].value <= 0.3
    before = plan.beside(-1)
    assert before is not None
    assert before.lines[0].value > 0.3
    # Values are counts of runs.
    assert point.lines[0].value * point.seeds == pytest.approx(
        round(point.lines[0].value * point.seeds)
    )


def test_too_few_seeds_are_said_before_anything_runs(tmp_path: Path) -> None:
    question = asked(tmp_path, text=CHANCE.replace("<= 30 %", "<= 1 %"))
    (warning,) = [text for text in question.warnings if "cannot show" in text]
    assert warning.startswith("P(chat.ttft_p99 > 150 ms) <= 1 %: 6 seeds cannot show that; ")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("P(chat.ttft_p99 > 150 ms) <= 3 kW", "subject_to[0]: P(chat.ttft_p99 > 150 ms) <= 3 kW"),
        ("P(chat.ttft_p99 > 150 ms) == 3 %", "a share of runs is bounded by <= or >="),
        ("P(chat.ttft_p99 > 150 ms) <= 0 %", "what must never happen is 'trips <= 0'"),
        ("P(chat.ttft_p98 > 150 ms) <= 5 %", "subject_to[0]"),
        ("P(chat.ttft_p99 > 150 kW) <= 5 %", "subject_to[0]"),
    ],
)
def test_mistakes_are_explained(tmp_path: Path, line: str, message: str) -> None:
    text = QUESTION.replace("chat.ttft_p99 <= 150 ms", line)
    with pytest.raises(ScenarioError) as caught:
        load_question(question_file(tmp_path, text))
    assert message in str(caught.value)


def test_nameplates_against_ratings(tmp_path: Path) -> None:
    """Four DGX H100 of 10.2 kW in one rack, on two feeds: half on each PDU, all on the contract."""
    power = """
power:
  utility: {budget: 20.4 kW}
  ups: [{name: ups-a, rating: 51 kW}, {name: ups-b, rating: 102 kW}]
  pdus: {per_row: 2, rating: 42 kW, redundancy: 2N}
"""
    question = asked(tmp_path, base=BASE + power)
    found = {one.kind: one for one in on_paper(question.scenario(0))}
    assert found["utility"].ratio == pytest.approx(2.0)
    assert (found["ups"].node, found["ups"].ratio) == ("ups-a", pytest.approx(20.4 / 51.0))
    assert found["pdu"].nameplate_w == pytest.approx(20_400.0)
    assert on_paper(asked(tmp_path).scenario(0)) == []


def test_quantities_that_come_with_each(tmp_path: Path) -> None:
    text = QUESTION.replace("to: 6}", "to: 6, each: {'workload[chat].rate': 2.5 /s}}")
    question = asked(tmp_path, text=text)
    rates = [question.scenario(point).workloads[0].rate_per_s for point in range(3)]
    assert rates == [2.5, 5.0, 7.5]
    wrong = QUESTION.replace("to: 6}", "to: 6, each: {'workload[chat].rate': -1 /s}}")
    with pytest.raises(ScenarioError, match="a whole number from 1, or a quantity such as 7 /s"):
        load_question(question_file(tmp_path, wrong))
