"""``rackplan plan`` from the command line: output, JSON, exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from sim.cli.check import check
from sim.cli.plan import WIDTH, plan
from sim.cli.sweep import sweep
from sim.errors import ScenarioError
from sim.plan.answer_files import read_answer
from sim.plan.told import BAD
from tests.unit.plan.questions import QUESTION, question_file
from tests.unit.study.studies import SMALL, study_file
from tests.unit.study.works import InProcess

app = typer.Typer()
for command in (plan, check, sweep):
    app.command(command.__name__)(command)


class Kept(InProcess):
    """An executor in this process that has nothing to keep."""

    def kept(self) -> Kept:
        return self

    def __enter__(self) -> None:
        pass

    def __exit__(self, *error: object) -> None:
        pass


@pytest.fixture
def question(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small question in an empty folder; it is run in this process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sim.study.local.LocalExecutor", lambda jobs, **options: Kept())
    return question_file(tmp_path)


def rackplan(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_an_answer(question: Path) -> None:
    made = rackplan("plan", question)
    assert made.exit_code == 0, made.output
    text = made.stdout
    assert max(map(len, text.splitlines())) <= WIDTH
    joined = " ".join(text.split())
    assert "small: the least pools[chat].replicas of" in joined
    assert "1 to 6, that meets chat.ttft_p99 <= 150 ms" in joined
    assert "pools[chat].replicas = 5" in joined
    assert "→ 5" in joined
    assert "4 does not" in joined
    assert "chat.ttft_p99 <= 150 ms fails, with 1." in joined
    assert "Binding limit at 4: " in joined
    assert "Bound without a run: 3; with less the mean load cannot be served" in joined
    assert "; the answer is 66.7 % from it" in joined
    again = json.loads(rackplan("plan", question, "--json").stdout)
    assert again["runs"]["made"] == 0
    assert (again["answer"], again["bound"], again["status"]) == (5, 3, "likely")
    assert again["low"] <= 4 <= again["high"]
    left = read_answer(Path(again["folder"]))
    assert left.answered
    assert left.evidence.runs == again["runs"]["found"] > 0
    assert left.told.parts[0].charts[0].series[0].chosen
    assert [part.heading for part in left.more][:1] == ["Assumptions"]
    chosen = next(point for point in again["points"] if point["value"] == 5)
    assert chosen["verdict"] == "yes"
    assert 0.0 <= chosen["lines"][0]["value"] <= chosen["lines"][0]["limit"] == 0.01
    assert chosen["pools"][0]["utilisation"] == pytest.approx(0.512, abs=0.001)
    assert again["seeds"] == [1, 2, 3, 4, 5, 6]


def test_none(question: Path) -> None:
    question.write_text(QUESTION.replace("150 ms", "20 ms"))
    made = rackplan("plan", question, "--seeds", 5)
    assert made.exit_code == 1
    assert "NONE  even pools[chat].replicas 6 misses chat.ttft_p99 <= 20 ms" in made.stdout
    made = rackplan("plan", question, "--set", "workload[chat].rate=900 /s")
    assert made.exit_code == 1
    assert "6: cannot be served: chat: more tokens arrive than iterations take" in made.stdout
    assert "Runs: 0 made" in made.stdout
    # It leaves its answer all the same, and says where in the last line.
    left = read_answer(Path(made.stdout.splitlines()[-1].removeprefix("Answer: ")))
    assert not left.answered
    assert (left.told.meant, left.content["answer"]) == (BAD, None)
    assert left.told.headline.startswith("NONE")
    assert left.question.text == question.read_text()
    assert left.question.sets == ("workload[chat].rate=900 /s",)


def test_check_and_the_other_command(question: Path, tmp_path: Path) -> None:
    made = rackplan("check", question)
    assert (made.exit_code, made.stdout) == (0, f"{question}: ok\n")
    question.write_text(QUESTION.replace("150 ms", "150 kW"))
    assert rackplan("check", question).exit_code == 2
    question.write_text(QUESTION)
    swept = rackplan("sweep", question)
    assert isinstance(swept.exception, ScenarioError)
    assert "'rackplan plan FILE' answers it" in str(swept.exception)
    planned = rackplan("plan", study_file(tmp_path, SMALL))
    assert isinstance(planned.exception, ScenarioError)
    assert "this study has axes: 'rackplan sweep FILE' runs it" in str(planned.exception)


def test_a_question_of_no_kind_is_told_the_kinds(question: Path) -> None:
    question.write_text(QUESTION.replace("minimum:", "minimun:"))
    made = rackplan("plan", question)
    assert isinstance(made.exception, ScenarioError)
    assert "question: asks for none of minimum, maximum, survives" in str(made.exception)
    assert "(did you mean 'minimum'?)" in str(made.exception)
