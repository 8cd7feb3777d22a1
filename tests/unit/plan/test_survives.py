"""What single failures do: which parts are meant, what is run, verdicts, costs, words."""

from __future__ import annotations

from pathlib import Path

import pytest

from sim.errors import ScenarioError
from sim.plan.runs import Making, PlanRuns
from sim.plan.survives.asked import SurvivesAnswer
from sim.plan.survives.find import Losses, Survival, load_losses, survive
from sim.study.here import InThisProcess
from sim.study.judge import NO, YES

#: Two racks on PDUs of their own; both replicas stand in the first, so the second is idle.
BASE = """
rackplan: 1
name: two-racks
duration: 40 s
warm_up: 5 s
drain: 10 s
site: {halls: [{name: hall-a, rows: [{name: row-1, racks: [{type: dgx-h100-2, count: 2}]}]}]}
power:
  ups: [{name: ups-a, rating: 60 kW}]
  pdus: {per_row: 2, rating: 60 kW}
fabric: {kind: rail-optimised, nic: 400 Gb/s, oversubscription: 1}
llms: [{name: llama-3.1-8b, precision: fp8}]
pools: [{name: chat, llm: llama-3.1-8b, replicas: 2}]
workload:
  - name: chat
    pool: chat
    source: {input_tokens: 500, output_tokens: 20}
    rate: 20 /s
    slo: {ttft: 500 ms}
policies: {placement: {kind: first-fit}}
"""
STUDY = """
rackplan: 1
kind: study
name: any
base: base.yaml
question: {survives: [rack]}
subject_to: [chat.goodput_fraction >= 90 %]
seeds: 8
"""


def losses(folder: Path, *edits: tuple[str, str], base: str = BASE) -> Losses:
    (folder / "base.yaml").write_text(base)
    text = STUDY
    for old, new in edits:
        assert old in text
        text = text.replace(old, new)
    file = folder / "any.yaml"
    file.write_text(text)
    return load_losses(file)


def survived(found: Losses, out: Path) -> Survival:
    return survive(found, PlanRuns(found, Making(InThisProcess(), out, "compiled")))


def test_an_idle_rack_costs_nothing_and_the_busy_one_all(tmp_path: Path) -> None:
    found = survived(losses(tmp_path), tmp_path / "runs")
    busy, idle = found.failed
    text = "chat.goodput_fraction >= 90 %"
    assert found.whole.answer == YES
    assert (idle.answer, busy.answer) == (YES, NO)
    assert idle.costs[text].equal
    assert idle.costs[text].change == 0.0
    # It fails with the window's first request and for good, so nobody is served.
    assert busy.lines[0].value < 0.01
    assert busy.costs[text].change == pytest.approx(
        busy.lines[0].value - found.whole.lines[0].value
    )
    answer = SurvivesAnswer(found)
    assert not answer.answered
    told = answer.told()
    assert told.headline == "NO  1 of 2 failures are survived"
    assert told.reasons[0].startswith(f"not without row-1-rack-1: {text} fails, with ")
    content = answer.content()
    assert [one["survived"] for one in content["failures"]] == ["no", "yes"]
    assert content["failures"][1]["costs"][text]["equal"] is True


def test_it_lasts_as_long_as_is_stated(tmp_path: Path) -> None:
    found = losses(
        tmp_path, ("{survives: [rack]}", "{survives: [row-1-rack-1], at: 20 s, for: 5 s}")
    )
    events = [(e.at_s, e.kind) for e in found.scenario(1).events]
    assert events == [(20.0, "fail"), (25.0, "restore")]
    assert found.scenario(0).events == ()
    part = survived(found, tmp_path / "runs").failed[0]
    # 15 s of the window of 35 s are before it, and a restart takes longer than the rest.
    assert part.lines[0].value == pytest.approx(15.0 / 35.0, abs=0.05)


def test_kinds_names_groups_and_the_bases_own_events(tmp_path: Path) -> None:
    items = "[ups, pdu, row, hall, leaf, server, rack, row-1-pdu-a, [row-1-pdu-a, row-1-pdu-b]]"
    base = BASE + "events: [{at: 10 s, fail: leaf-1}]\n"
    found = losses(tmp_path, ("[rack]", items), base=base)
    labels = [failure.label for failure in found.failures]
    # The hall is the same two racks as the row, and a PDU that was a kind's is not asked twice.
    expected = ["ups-a", "row-1-pdu-a", "row-1-pdu-b", "row-1"]
    assert labels[:4] == expected
    assert "hall-a" not in labels
    assert labels.count("row-1-pdu-a") == 1
    assert labels[-1] == "row-1-pdu-a + row-1-pdu-b"
    assert sum(label.startswith("leaf-") for label in labels) == 8
    assert [e.kind for e in found.scenario(4).events] == ["fail", "fail", "fail-part"]
    without = losses(tmp_path, ("question:", "set: {events: []}\nquestion:"), base=base)
    assert without.scenario(0).events == ()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "[rack]",
            "[upss]",
            "question.survives[0]: the base has no part called 'upss' (did you mean 'ups'?)",
        ),
        ("[rack]", "[generator]", "question.survives[0]: the base has no generator"),
        ("[rack]", "[row-1-pdu-c]", "did you mean 'row-1-pdu-b'"),
        (
            "[rack]",
            "[]",
            "question.survives: expected a list such as [ups, pdu, leaf], not an empty one",
        ),
        ("[rack]", "[3]", "expected a kind (ups), a name (ups-a) or a list of names that fail"),
        ("[rack]}", "[rack], at: 3 kW}", "question.at: "),
        ("[rack]}", "[rack], at: 90 s}", "question.at: requests are measured until 40.0 s only"),
        ("[rack]}", "[rack], for: 0 s}", "question.for: must be above 0 s"),
        ("[rack]}", "[rack], minimum: x}", "unknown key 'minimum'"),
        ("question:", "set: {pols: 1}\nquestion:", "pols"),
        ("90 %", "90 kW", "subject_to[0]"),
    ],
)
def test_mistakes_are_explained(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        losses(tmp_path, (old, new))
    assert message in str(caught.value)
