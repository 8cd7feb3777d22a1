"""The best next upgrade: capacities, gains, costs, order, words, mistakes."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from sim.cost import capital_of
from sim.errors import ScenarioError
from sim.plan.least.question import load_question
from sim.plan.runs import Making
from sim.plan.upgrade.asked import UpgradeAnswer, UpgradeAsked
from sim.plan.upgrade.find import Capacity, Upgraded, UpgradePlan, Upgrades, _gain, load_upgrades
from sim.study.here import InThisProcess
from sim.study.intervals import Interval
from tests.unit.plan.questions import BASE, answered, question_file, runs_of

STUDY = """
rackplan: 1
kind: study
name: more
base: tiny.yaml
question:
  upgrade:
    maximum: workload[chat].rate
    from: 30 /s
    to: 200 /s
    step: 20 %
    options:
      - {name: a replica, set: {'pools[chat].replicas': 4}, cost: 1000 USD}
      - {name: a rack, set: {'site.halls[hall-a].rows[row-1].racks[0].count': 2}}
      - {name: one less, set: {'pools[chat].replicas': 2}, cost: 0 USD}
subject_to: [chat.ttft_p99 <= 250 ms]
seeds: 5
"""
THREE = BASE.replace("replicas: 5", "replicas: 3")


def upgrades(folder: Path, *edits: tuple[str, str]) -> Upgrades:
    text = STUDY
    for old, new in edits:
        assert old in text, old
        text = text.replace(old, new)
    file = question_file(folder, text, THREE)
    return load_upgrades(file, sets=(), seeds=None, allow_outside=False)


@pytest.fixture(scope="module")
def answer(tmp_path_factory: pytest.TempPathFactory) -> tuple[UpgradeAnswer, Path]:
    folder = tmp_path_factory.mktemp("upgrade")
    asked = UpgradeAsked(upgrades(folder))
    from sim.plan.kinds import How

    return asked.answer(Making(InThisProcess(), folder / "runs", "compiled"), How()), folder


def test_gains_are_those_of_separate_plans(answer: tuple[UpgradeAnswer, Path]) -> None:
    found, folder = answer[0].found, answer[1]
    by_name = {one.option.name: one for one in found.options}
    capacities = {}
    for name, replicas in (("as it is", 3), ("a replica", 4), ("one less", 2)):
        start = STUDY.index("  upgrade:")
        text = (
            STUDY[:start].replace("question:\n", "question: {maximum: 'workload[chat].rate', "
                                  "from: 30 /s, to: 200 /s, step: 20 %}\n")
            + STUDY[STUDY.index("subject_to"):]
        )  # fmt: skip
        question = load_question(
            question_file(folder, text, THREE), sets=(f"pools[chat].replicas={replicas}",)
        )
        plan = answered(question, folder / "runs")
        assert runs_of(question, folder / "runs").making.made == 0
        assert plan.made == 0
        assert plan.answer is not None
        capacities[name] = float(str(plan.answer.value).split()[0])
    assert found.base.value == capacities["as it is"]
    assert by_name["a replica"].gain == pytest.approx(
        capacities["a replica"] - capacities["as it is"]
    )
    assert by_name["a replica"].gain > 0.0
    assert by_name["one less"].gain < 0.0
    assert by_name["a rack"].gain == 0.0
    assert found.best is by_name["a replica"]
    assert by_name["a replica"].per_usd == pytest.approx(by_name["a replica"].gain / 1000.0)


def test_costs_are_stated_or_the_difference_in_capital(
    answer: tuple[UpgradeAnswer, Path],
) -> None:
    found = answer[0].found
    by_name = {one.option.name: one.option for one in found.options}
    assert (by_name["a replica"].cost_usd, by_name["a replica"].reckoned) == (1000.0, False)
    rack = by_name["a rack"]
    assert rack.reckoned
    sites = [one.scenario(one.last) for one in (found.upgrades.question, rack.question)]
    assert rack.cost_usd == pytest.approx(
        capital_of(sites[1]).total_usd - capital_of(sites[0]).total_usd
    )
    assert rack.cost_usd > 1e6  # four servers


def test_it_is_told(answer: tuple[UpgradeAnswer, Path]) -> None:
    told, content = answer[0].told(), answer[0].content()
    assert told.headline.split("  ")[1].startswith("a replica: +")
    table = told.parts[0].tables[0]
    assert table.chosen == frozenset({1})
    assert [row[0] for row in table.rows] == ["as it is", *(o["name"] for o in content["options"])]
    assert any(text.startswith("a rack adds nothing") for text in told.reasons)
    assert content["best"] == "a replica"
    assert content["unit"] == "/s"
    assert all(math.isfinite(one["cost_usd"]) for one in content["options"])


def test_intervals_of_gains() -> None:
    """By hand: 100 (95 to 110) as it is, 130 (120 to 150) with an option."""
    base = Capacity(100.0, Interval(95.0, 110.0), False, "")
    gain, interval = _gain(base, Capacity(130.0, Interval(120.0, 150.0), False, ""))
    assert (gain, interval) == (30.0, Interval(10.0, 55.0))
    nothing = Capacity(math.nan, Interval(math.nan, math.nan), False, "")
    assert _gain(base, nothing)[0] == -math.inf
    assert _gain(nothing, base) == (100.0, Interval(95.0, 110.0))


def test_who_is_told_apart(answer: tuple[UpgradeAnswer, Path]) -> None:
    """An option whose interval per dollar reaches into the best's is named beside it."""
    found = answer[0].found
    one = found.options[0]

    def option(gain: float, low: float, high: float) -> Upgraded:
        return Upgraded(one.option, one.plan, one.capacity, gain, Interval(low, high))

    best, near, far = option(30, 20, 40), option(25, 15, 28), option(5, 1, 9)
    plan = UpgradePlan(found.upgrades, found.plan, found.base, (best, near, far))
    assert plan.best is best
    assert plan.rivals == (near,)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("maximum:", "minimum:", "question.upgrade: an upgrade adds to what a site can do"),
        ("name: a rack, ", "", "question.upgrade.options[1].name: missing"),
        ("name: a rack", "name: a replica", "two options are called 'a replica'"),
        ("cost: 1000 USD", "cost: 1000", "question.upgrade.options[0].cost: "),
        ("cost: 1000 USD", "price: 3 USD", "unknown key 'price'"),
        ("{'pools[chat].replicas': 4}", "{}", "question.upgrade.options[0].set"),
        ("{'pools[chat].replicas': 4}", "{'pools[chat].replica': 4}", "(with 'a replica')"),
        ("'pools[chat].replicas': 2", "'pools[chat].replicas': 500", "(with 'one less')"),
    ],
)
def test_mistakes_are_explained(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        upgrades(tmp_path, (old, new))
    assert message in str(caught.value)
