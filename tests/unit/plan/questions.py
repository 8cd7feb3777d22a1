"""Small questions for tests, whose runs take a tenth of a second."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from sim.plan.least.find import Plan, make_plan
from sim.plan.least.question import Question, load_question
from sim.plan.runs import Making, PlanRuns
from sim.study.executor import Executor
from sim.study.here import InThisProcess

Ended = Callable[[str, bool], None]


def nothing(name: str, ran: bool) -> None:
    """Takes no notice of a run."""


BASE = """
rackplan: 1
name: tiny
duration: 30 s
warm_up: 5 s
drain: 30 s
site: {halls: [{name: hall-a, rows: [{name: row-1, racks: [{type: dgx-h100-4, count: 1}]}]}]}
llms: [{name: llama-3.1-8b, precision: fp8}]
pools: [{name: chat, llm: llama-3.1-8b, replicas: 5}]
workload:
  - name: chat
    pool: chat
    source: {input_tokens: 1500, output_tokens: 40}
    rate: 100 /s
    burstiness: {cv: 2}
"""
QUESTION = """
rackplan: 1
kind: study
name: small
base: tiny.yaml
question: {minimum: 'pools[chat].replicas', from: 1, to: 6}
subject_to: [chat.ttft_p99 <= 150 ms]
seeds: 6
"""


def question_file(folder: Path, text: str = QUESTION, base: str = BASE) -> Path:
    """A question and its base."""
    (folder / "tiny.yaml").write_text(base)
    file = folder / "small.yaml"
    file.write_text(text)
    return file


def asked(folder: Path, *sets: str, text: str = QUESTION, base: str = BASE) -> Question:
    """A checked question."""
    return load_question(question_file(folder, text, base), sets=sets)


def answered(question: Question, out: Path) -> Plan:
    """Its answer, with runs in this process."""
    return make_plan(question, runs_of(question, out))


def runs_of(
    question: Question, out: Path, executor: Executor | None = None, ended: Ended = nothing
) -> PlanRuns:
    """Its runs, in this process or on an executor."""
    executor = executor or InThisProcess()
    return PlanRuns(question, Making(executor, out, "compiled", ended=ended))


def exhaustive(question: Question, out: Path, plan: Plan) -> tuple[int | None, int]:
    """The first certifiable point whose means over all seeds hold, by running every point.

    Also how many runs all of them are.
    """
    runs = runs_of(question, out)
    first = question.values.index(plan.certifiable) if plan.certifiable is not None else 0
    points = range(first, question.last + 1)
    runs.see(dict.fromkeys(points, len(question.seeds)))
    for point in points:
        margins = runs.margins(point).values()
        if all(sum(of_line) <= 0.0 for of_line in margins):
            return point, runs.making.made + runs.making.found
    return None, runs.making.made + runs.making.found
