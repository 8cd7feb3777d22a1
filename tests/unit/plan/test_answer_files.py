"""The folder of an answer: written by the command whatever the outcome, and read with suspicion."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from sim.cli.app import app
from sim.errors import ResultError
from sim.plan.answer_files import ANSWER, Evidence, Question, folder_name, read_answer, save
from sim.plan.told import (
    BAD,
    BARS,
    GOOD,
    LINE,
    OPEN,
    POINTS,
    WATERFALL,
    Chart,
    Part,
    Series,
    Table,
    Told,
)
from sim.plan.told_json import parts_from, parts_json, told_from, told_json
from sim.results.result import open_run

STATED = """
rackplan: 1
kind: study
name: until
question: {until: {capacity: 110 /s, low: 104 /s, high: 115 /s}}
growth: {start: 2027-01, load: 100 /s, per: month, p10: 0 %, p50: 2 %, p90: 5 %}
within: 12 months
"""
HOSTILE = '<script>alert("x")</script> ![x](http://evil.example/p.png)'
TABLE = Table(
    ("point", HOSTILE), (("5", "yes"), ("4", "no")), frozenset({0}), {"yes": GOOD, "no": BAD},
    frozenset({0}), "title", "note", page_only=True,
)  # fmt: skip
CHARTS = (
    Chart("a", LINE, "x", "y (s)", (
        Series("months", (1.0, math.nan), ("2027-01", "2027-02"), (0.5, -math.inf),
               (2.0, math.inf), chosen=frozenset({1})),
        Series("more", (3.0,), ("2027-02",)),
    ), (("limit", 2.5),), "a note"),
    Chart("b", POINTS, "x", "y", (Series("", (1.0, 2.0), (0.5, 4), names=("", HOSTILE)),)),
    Chart("c", BARS, "x", "y", (Series("gain", (1.0, 2.0), names=("one", "two")),)),
    Chart("d", WATERFALL, "part", "power (kW)", (
        Series("power", (5.0, 2.0, 3.0), names=("all", "lost", "left"), kinds=("a", "b", "c")),
    )),
)  # fmt: skip
TOLD = Told("asked?", f"NO {HOSTILE}", OPEN, ("because",), (Part("P", ("s",), (TABLE,), CHARTS),))


class Fixed:
    """An answer that is known."""

    answered = False

    def content(self) -> dict[str, object]:
        return {"status": "none", "high": math.inf, "points": (1, 2)}

    def told(self) -> Told:
        return TOLD


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    question = Question("small", "small.yaml", "text: 1\n", ("a=1",), 7)
    return save(tmp_path / "runs", question, Fixed(), Evidence("compiled", 12, "a-run"), TOLD.parts)


def test_what_is_told_comes_back_from_json() -> None:
    read = told_from(json.loads(json.dumps(told_json(TOLD), allow_nan=False)), "file")
    assert read.parts[0].tables == (TABLE,)
    months = read.parts[0].charts[0].series[0]
    # What is not finite has no place in JSON: it comes back as not a number.
    assert [months.y[0], *months.low[:1], *months.high[:1]] == [1.0, 0.5, 2.0]
    assert all(math.isnan(ends[1]) for ends in (months.y, months.low, months.high))
    assert read.parts[0].charts[1:] == CHARTS[1:]
    assert read.parts[0].charts[0].limits == (("limit", 2.5),)
    assert replace(read, parts=()) == replace(TOLD, parts=())


def test_a_saved_answer_is_read_back(saved: Path) -> None:
    assert sorted(file.name for file in saved.iterdir()) == ["answer.json", "manifest.json"]
    plan = read_answer(saved)
    assert plan.question == Question("small", "small.yaml", "text: 1\n", ("a=1",), 7)
    assert plan.evidence == Evidence("compiled", 12, "a-run")
    assert not plan.answered
    assert plan.content == {"status": "none", "high": "inf", "points": [1, 2]}
    assert plan.told.headline == TOLD.headline
    assert plan.more[0].heading == "P"
    assert "rackplan" in plan.versions
    assert not [path for path in saved.parent.iterdir() if path != saved]


def test_the_name_is_of_question_and_answer(saved: Path) -> None:
    question = Question("small", "small.yaml", "text: 1\n", ("a=1",), 7)
    content = dict(read_answer(saved).content)
    assert folder_name(question, content) == saved.name
    assert saved.name.startswith("small-")
    assert len(saved.name) == len("small-") + 8
    others = [
        folder_name(replace(question, text="text: 2\n"), content),
        folder_name(replace(question, sets=()), content),
        folder_name(replace(question, seeds=None), content),
        folder_name(question, {**content, "status": "certain"}),
    ]
    assert len({saved.name, *others}) == 5
    assert folder_name(replace(question, name="../../etc x"), content).startswith("etc-x-")


def test_a_folder_of_something_else_is_left_alone(saved: Path) -> None:
    (saved / "manifest.json").unlink()
    with pytest.raises(ResultError, match="exists and is not the result of a run"):
        save(saved.parent, Question("small", "small.yaml", "text: 1\n", ("a=1",), 7), Fixed(),
             Evidence("compiled", 12, "a-run"))  # fmt: skip
    assert (saved / ANSWER).exists()


def test_a_run_it_is_not(saved: Path) -> None:
    with pytest.raises(ResultError, match=r"holds the answer of a plan, in answer\.json"):
        open_run(saved)
    other = saved.parent / "other"
    other.mkdir()
    (other / "manifest.json").write_text('{"format": 5, "kind": "study"}')
    with pytest.raises(ResultError, match="does not hold the answer of a plan"):
        read_answer(other)


def chart(content: dict[str, Any], number: int = 0) -> dict[str, Any]:
    found = content["told"]["parts"][0]["charts"][number]
    assert isinstance(found, dict)
    return found


ANSWERS: list[tuple[Callable[[dict[str, Any]], object], str]] = [
    (lambda c: c.pop("content"), "'content' is missing"),
    (lambda c: c.pop("told"), "told: expected an object"),
    (lambda c: c["told"].update(meant="fine"), "told.meant: 'fine' is none of good, bad, open"),
    (lambda c: c["told"].pop("headline"), "told: 'headline' is missing"),
    (lambda c: c["told"].update(reasons="because"), "told.reasons: expected a list"),
    (lambda c: c["told"].update(reasons=[3]), "told.reasons[0]: expected text, not 3"),
    (lambda c: c["told"]["parts"][0]["tables"][0]["rows"].append(["a"]), "has not the 2 cells"),
    (lambda c: c["told"]["parts"][0]["tables"][0].update(left=[2]), "expected indices below 2"),
    (lambda c: c["told"]["parts"][0]["tables"][0].update(words={"a": 1}), "words and how each"),
    (lambda c: chart(c).update(kind="pie"), "kind: 'pie' is none of line"),
    (lambda c: chart(c).update(series=[]), "0 series in a chart of line"),
    (lambda c: chart(c)["series"][0].update(low=[1]), "low: 1 values where y has 2"),
    (lambda c: chart(c)["series"][0].update(y=["1", 2]), "y[0]: expected a number, not '1'"),
    (lambda c: chart(c)["series"][0].update(y=[True, 2]), "y[0]: expected a number, not True"),
    (lambda c: chart(c)["series"][0].update(x=[]), "0 places for 2 values"),
    (lambda c: chart(c).update(limits=[["a"]]), "expected a name and a level"),
    (lambda c: chart(c, 3)["series"].append(chart(c, 3)["series"][0]), "2 series in a chart of"),
    (lambda c: c.update(more={}), "more: expected a list"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "message"), ANSWERS, ids=[text for _, text in ANSWERS])
def test_a_damaged_answer_is_refused_with_its_place(
    saved: Path, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    content = json.loads((saved / ANSWER).read_text())
    change(content)
    (saved / ANSWER).write_text(json.dumps(content))
    with pytest.raises(ResultError) as caught:
        read_answer(saved)
    assert message in str(caught.value)
    assert str(saved / ANSWER) in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value"),
    [("answered", "yes"), ("study", 3), ("question", []), ("runs", True), ("example", 4),
     ("versions", None), ("format", 1)],
)  # fmt: skip
def test_a_damaged_manifest_is_refused(saved: Path, key: str, value: object) -> None:
    file = saved / "manifest.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {key: value}))
    with pytest.raises(ResultError, match=r"damaged|was written in format 1"):
        read_answer(saved)


@pytest.mark.parametrize("text", ["{", "[" * 200_000, "[]", '{"content": {}, "told": 1e999}'])
def test_what_is_no_answer_is_one_message(saved: Path, text: str) -> None:
    (saved / ANSWER).write_text(text)
    with pytest.raises(ResultError):
        read_answer(saved)


def test_numbers_too_large_for_an_answer_are_refused(saved: Path) -> None:
    content = json.loads((saved / ANSWER).read_text())
    chart(content)["series"][1]["y"] = [10**400]
    with pytest.raises(ResultError, match="is no number that an answer holds"):
        told_from(content["told"], "file")
    assert parts_from(parts_json(()), "file") == ()


def invoke(*arguments: object) -> tuple[int, str]:
    made = CliRunner().invoke(app, ["plan", *map(str, arguments)])
    return made.exit_code, made.stdout


def test_the_command_says_where_the_answer_lies(tmp_path: Path) -> None:
    (tmp_path / "until.yaml").write_text(STATED)
    code, out = invoke(tmp_path / "until.yaml", "--out", tmp_path / "runs", "--set", "within=3")
    assert code != 0  # nothing is left by a question that is wrong
    assert not (tmp_path / "runs").exists()
    code, out = invoke(tmp_path / "until.yaml", "--out", tmp_path / "runs")
    assert code == 0
    last = out.splitlines()[-1]
    assert last.startswith("Answer: ")
    plan = read_answer(Path(last.removeprefix("Answer: ")))
    assert plan.answered
    assert plan.question.text == STATED
    assert plan.content["crossing"] == {"earliest": "2027-02", "p50": "2027-06", "latest": None}
    (fan,) = plan.told.parts[0].charts
    # The ring stands on the first month that does not fit, as 100 · 1.02^5 > 110.
    (ring,) = fan.series[0].chosen
    assert fan.series[0].x[ring] == "2027-06"
    assert fan.series[0].y[ring - 1] < 110.0 < fan.series[0].y[ring]
    _, again = invoke(tmp_path / "until.yaml", "--out", tmp_path / "runs", "--json")
    assert Path(json.loads(again)["folder"]) == plan.folder
    assert len(list((tmp_path / "runs").iterdir())) == 1
