"""Until when a site lasts: capacity found or stated, growth, the answer as it is read."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from sim.cli.app import app
from sim.errors import ScenarioError
from sim.plan.growth.until_asked import UntilAnswer, UntilAsked, capacity_of
from sim.plan.kinds import How, load
from sim.plan.least.find import make_plan
from sim.plan.runs import Making
from sim.plan.told import BAD, GOOD, OPEN
from sim.study.here import InThisProcess
from tests.unit.plan.questions import BASE, asked, runs_of

STATED = """
rackplan: 1
kind: study
name: until
question: {until: {capacity: 110 /s, low: 104 /s, high: 115 /s}}
growth: {start: 2027-01, load: 100 /s, per: month, p10: 0 %, p50: 2 %, p90: 5 %}
within: 12 months
"""
SOUGHT = """
rackplan: 1
kind: study
name: until
base: tiny.yaml
question: {until: {maximum: 'workload[chat].rate', from: 20 /s, to: 200 /s, step: 20 %}}
subject_to: [chat.ttft_p99 <= 150 ms]
seeds: 4
growth: {start: 2027-01, load: 30 /s, per: year, p10: 10 %, p50: 30 %, p90: 60 %}
launches: [{month: 2027-09, load: 10 /s}]
within: 3 years
"""


#: The base of other plans' tests, shorter and with fewer replicas.
FAST = BASE.replace("duration: 30 s", "duration: 12 s").replace("replicas: 5", "replicas: 3")


def answer(folder: Path, text: str, *sets: str) -> UntilAnswer:
    (folder / "tiny.yaml").write_text(FAST)
    (folder / "until.yaml").write_text(text)
    made = load(folder / "until.yaml", sets=sets).answer(
        Making(InThisProcess(), folder / "runs", "compiled"), How()
    )
    assert isinstance(made, UntilAnswer)
    return made


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> tuple[UntilAnswer, Path]:
    """The answer to what is sought, and where its runs are."""
    folder = tmp_path_factory.mktemp("until")
    return answer(folder, SOUGHT), folder


def test_the_month_by_a_stated_capacity(tmp_path: Path) -> None:
    made = answer(tmp_path, STATED)
    told = made.told()
    assert told.headline == (
        "UNTIL 2027-05  by P50; 2027-06 is the first month that does not fit  (earliest: 2027-02, "
        "latest: not in the months looked at)"
    )
    assert told.meant == OPEN
    assert told.reasons[0] == "Capacity: 110 /s, between 104 and 115 /s"
    assert made.answered
    content = json.loads(json.dumps(made.content()))
    assert content["crossing"] == {"earliest": "2027-02", "p50": "2027-06", "latest": None}
    assert content["forecast"]["p50"][:3] == pytest.approx([100, 102, 104.04])
    (chart,) = told.parts[0].charts
    assert chart.limits == (("capacity", 110.0), ("its low end", 104.0), ("its high end", 115.0))
    assert chart.series[0].high[1] == pytest.approx(105.0)


@pytest.mark.parametrize(
    ("capacity", "starts", "meant"),
    [
        ("90 /s", "ALREADY EXCEEDED  in 2027-01", BAD),
        ("200 /s", "NOT WITHIN 12 months  by P50 the load fits until 2028-01", GOOD),
    ],
)
def test_exceeded_already_and_not_within_are_answers(
    tmp_path: Path, capacity: str, starts: str, meant: str
) -> None:
    text = STATED.replace(
        "{capacity: 110 /s, low: 104 /s, high: 115 /s}", f"{{capacity: {capacity}}}"
    )
    made = answer(tmp_path, text)
    assert made.told().headline == starts if meant == BAD else starts in made.told().headline
    assert (made.told().meant, made.answered) == (meant, True)


def test_the_capacity_is_the_most_that_meets_the_lines(found: tuple[UntilAnswer, Path]) -> None:
    """The same search as of a question for the most, with the same runs, and its interval."""
    made, folder = found
    text = SOUGHT.replace("until: {maximum", "maximum").replace("20 %}}", "20 %}")
    question = asked(folder, text=text.split("growth:")[0], base=FAST)
    runs = runs_of(question, folder / "runs")
    plan = make_plan(question, runs)
    assert runs.making.made == 0
    assert made.plan is not None
    assert made.capacity is not None
    assert plan.answer is not None
    assert made.plan.answer == plan.answer
    assert made.capacity.value == float(str(plan.answer.value).removesuffix(" /s"))
    assert made.capacity.low <= made.capacity.value <= made.capacity.high
    assert made.found is not None
    month = made.found.middle
    assert month is not None
    at = month - made.forecast.start
    assert made.forecast.curves[1, at] > made.capacity.value >= made.forecast.curves[1, at - 1]
    told = made.told()
    assert any("workload[chat].rate" in sentence for sentence in told.parts[1].sentences)
    assert json.dumps(made.content())


def test_what_changes_the_base_changes_what_is_run(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(FAST)
    (tmp_path / "until.yaml").write_text(SOUGHT)
    made = load(tmp_path / "until.yaml", sets=["pools[chat].replicas=2"], seeds=3)
    assert isinstance(made, UntilAsked)
    assert made.question is not None
    assert made.question.scenario(0).pools[0].replicas == 2
    assert len(made.question.seeds) == 3


def test_no_capacity_is_no_answer(tmp_path: Path) -> None:
    made = answer(tmp_path, SOUGHT.replace("150 ms", "1 ms").replace("to: 200 /s", "to: 24 /s"))
    assert not made.answered
    assert made.told().headline.startswith("NO CAPACITY")
    assert made.content()["crossing"] is None


def test_beyond_what_was_asked_the_capacity_may_be_higher(tmp_path: Path) -> None:
    made = answer(tmp_path, SOUGHT.replace("to: 200 /s", "to: 24 /s"))
    assert made.capacity is not None
    assert made.capacity.high == math.inf
    assert made.content()["capacity"]["high"] is None
    assert made.found is not None
    assert made.found.latest is None
    assert "the capacity may be higher" in made.told().reasons[-1]


def test_the_interval_of_the_capacity_is_that_of_the_plan(
    found: tuple[UntilAnswer, Path],
) -> None:
    plan = found[0].plan
    assert plan is not None
    sure = capacity_of(replace(plan, low="150.5 /s", high="20.5 /s"))
    assert sure is not None
    assert (sure.low, sure.high) == (20.5, 150.5)
    unsure = capacity_of(replace(plan, high=None))
    assert unsure is not None
    assert unsure.low == 20.0
    assert "no load is certain" in unsure.notes[0]


def test_options_that_do_not_apply_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "until.yaml"
    file.write_text(STATED)
    with pytest.raises(ScenarioError, match="--set: the capacity is stated"):
        load(file, sets=["seed=2"])
    with pytest.raises(ScenarioError, match="--seeds: the capacity is stated"):
        load(file, seeds=4)
    making = Making(InThisProcess(), tmp_path, "compiled")
    with pytest.raises(ScenarioError, match="--shadow"):
        load(file).answer(making, How(shadow=True))


def test_the_command_prints_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from typer.testing import CliRunner

    monkeypatch.chdir(tmp_path)
    (tmp_path / "until.yaml").write_text(STATED)
    done = CliRunner().invoke(app, ["plan", "until.yaml"])
    assert done.exit_code == 0, done.output
    assert "UNTIL 2027-05" in done.output
    done = CliRunner().invoke(app, ["check", "until.yaml"])
    assert done.output == "until.yaml: ok\n"
    done = CliRunner().invoke(app, ["plan", "until.yaml", "--json"])
    assert json.loads(done.output)["status"] == "exceeded within"
