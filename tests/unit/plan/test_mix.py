"""Mixes of small sites against running every one of them, and what they say at the edges."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from sim.cli.summary import console
from sim.cli.told_text import print_told
from sim.cost.prices import PriceBook
from sim.cost.tco import price_of_node
from sim.errors import RackplanError, ScenarioError
from sim.plan.kinds import How
from sim.plan.load import Loads
from sim.plan.mix.answer import (
    CERTAIN,
    FOUND,
    LIKELY,
    MEAN_LOAD,
    NONE,
    NOT_CERTIFIABLE,
    NOT_FOUND,
    MixPlan,
)
from sim.plan.mix.asked import MixAnswer, MixAsked
from sim.plan.mix.conflict import LINE, LOAD, Condition
from sim.plan.mix.handover import every_load
from sim.plan.mix.lay import dealt, rack_names
from sim.plan.mix.points import Mix
from sim.plan.mix.prices import price_of_rack
from sim.plan.mix.program import POWER
from sim.plan.mix.program import RACKS as RACK_LIMIT
from sim.plan.mix.told import headline
from sim.plan.mix.types import FEWER, MORE, OTHER
from sim.plan.runs import Making
from sim.study.here import InThisProcess
from tests.unit.plan.mixes import (
    BASE,
    PAIR,
    PAIR_BASE,
    PAIR_SETS,
    RACKS,
    TWO,
    TWO_BASE,
    answered,
    asked,
    exhaustive,
)


def assert_as_exhaustive(mix: Mix, plan: MixPlan, out: Path) -> None:
    expected = exhaustive(mix, out)
    if plan.best is None:
        assert math.isinf(expected)
        return
    assert plan.best.cost.price == pytest.approx(expected)
    assert all(line.objective.margin(line.value) <= 0.0 for line in plan.best.lines)
    assert plan.found.complete
    assert plan.found.bound <= expected


def printed(plan: MixPlan, capsys: pytest.CaptureFixture[str]) -> str:
    print_told(MixAnswer(plan).told(), console(200))
    return capsys.readouterr().out


def test_the_cheapest_racks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Racks of 8 A100 hold two replicas, racks of 16 H100 four."""
    mix = asked(tmp_path)
    scenario = mix.scenario(mix.point_of(((0, 3),)))
    assert [rack.name for rack in scenario.site.rack_types] == ["dgx-a100-row-1"] * 2
    assert scenario.pools[0].gpu == "a100-sxm"
    plan = answered(mix, tmp_path / "runs")
    assert plan.best is not None
    assert plan.status in (CERTAIN, LIKELY, NOT_CERTIFIABLE)
    assert_as_exhaustive(mix, plan, tmp_path / "runs")
    told = printed(plan, capsys)
    assert f"{plan.best.cost.price:,.0f} USD" in told.splitlines()[2]
    assert "what a million costs follows from 'life: 5 years' in the question" in told
    (other,) = plan.alternatives
    assert other.price >= plan.best.cost.price
    content = MixAnswer(plan).content()
    assert json.loads(json.dumps(content))["answer"]["price"] == plan.best.cost.price
    assert content["bound"] <= content["bound_by_runs"] <= content["answer"]["price"]


def test_pools_that_do_not_touch_are_judged_alone(tmp_path: Path) -> None:
    mix = asked(tmp_path, text=TWO, base=TWO_BASE)
    assert not mix.coupled
    assert [reach.pools for reach in mix.reach.values()] == [(0,), (1,)]
    plan = answered(mix, tmp_path / "runs")
    assert plan.best is not None
    assert_as_exhaustive(mix, plan, tmp_path / "runs")
    assert plan.best.cost.hardware_per_h is None


def test_prefill_to_decode(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mix = asked(tmp_path, *PAIR_SETS, text=PAIR, base=PAIR_BASE)
    assert mix.coupled
    assert mix.handed == {0: 1}
    plan = answered(mix, tmp_path / "runs")
    assert plan.best is not None
    assert_as_exhaustive(mix, plan, tmp_path / "runs")
    (steps,) = plan.stairs.values()
    known = [step.second for step in steps if step.second is not None]
    assert known == sorted(known, reverse=True)  # more that prefill never need more that decode
    prefills, decodes = (n for _, n in plan.best.seen.vector)
    assert any((step.first, step.second) == (prefills, decodes) for step in steps)
    assert f"prefill to decode {prefills} : {decodes}" in printed(plan, capsys)


@pytest.mark.deep
@pytest.mark.parametrize("seed", range(12))
def test_random_sites_have_the_price_of_running_every_mix(seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    text, base, rates = [
        (RACKS, BASE, (50, 130)), (TWO, TWO_BASE, (40, 110)), (PAIR, PAIR_BASE, (20, 50)),
    ][seed % 3]  # fmt: skip
    sets = (f"workload[chat].rate={rng.integers(*rates)} /s", f"seed={seed + 1}")
    mix = asked(tmp_path, *sets, text=text, base=base)
    plan = answered(mix, tmp_path / "runs")
    assert_as_exhaustive(mix, plan, tmp_path / "runs")


def test_conditions_that_conflict_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The mean load keeps 2.5 replicas on A100 busy, two of which are in a rack of 6.5 kW."""
    text = RACKS.replace("  prices:", "  limits: {power: 12 kW, racks: 9}\n  prices:")
    plan = answered(asked(tmp_path, text=text), tmp_path / "runs")
    assert plan.status == NONE
    assert plan.made == 0
    assert plan.conflict_by == MEAN_LOAD
    assert [member.condition for member in plan.conflict] == [Condition(POWER), Condition(LOAD, 0)]
    power, load = plan.conflict
    assert power.needed == 2 * 6_500.0
    assert load.needed == pytest.approx(2 / 3)  # a rack has two of three replicas
    assert headline(plan) == (
        "NONE  power of 12.0 kW and the load of chat conflict, by the mean load, without a run"
    )
    assert "power of 12.0 kW: " in printed(plan, capsys)
    assert not MixAnswer(plan).answered


def test_a_line_that_no_mix_meets_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No prompt of 1,500 tokens has its first token within 5 ms, whatever is bought."""
    text = RACKS.replace("  prices:", "  limits: {racks: 1}\n  prices:").replace("150 ms", "5 ms")
    plan = answered(asked(tmp_path, text=text), tmp_path / "runs")
    line = "chat.ttft_p99 <= 5 ms"
    assert [member.condition for member in plan.conflict] == [
        Condition(RACK_LIMIT), Condition(LINE, line=line), Condition(LOAD, 0),
    ]  # fmt: skip
    assert headline(plan).startswith(f"NONE  1 rack, {line} and the load of chat conflict, ")
    told = printed(plan, capsys)
    assert f"{line}: the only mix that missed it in runs, chat 4 " in told
    assert "late (" in told
    assert "can be served" not in told  # how much less load would do, no run has shown


def test_a_line_that_no_mix_meets_beside_one_that_all_meet(tmp_path: Path) -> None:
    lines = "[chat.ttft_p99 <= 5 ms, chat.e2e_p99 <= 60 s]"
    text = RACKS.replace("[chat.ttft_p99 <= 150 ms]", lines)
    plan = answered(asked(tmp_path, text=text), tmp_path / "runs")
    named = [one.condition.line for one in plan.conflict if one.condition.kind == LINE]
    assert named == ["chat.ttft_p99 <= 5 ms"]


def test_what_a_million_tokens_cost_is_a_ratio_of_sums(tmp_path: Path) -> None:
    """As 'rackplan cost' has it: dollars an hour over million tokens an hour, both of all seeds."""
    text = RACKS.replace("  prices:", "  life: 5 years\n  prices:")
    plan = answered(asked(tmp_path, text=text), tmp_path / "runs")
    assert plan.best is not None
    cost = plan.best.cost
    assert cost.per_mtoken is not None
    assert cost.hardware_per_h == pytest.approx(cost.price / (5 * 8760))
    tokens_per_h = cost.tokens_per_s.value * 3600.0 / 1e6
    assert cost.per_mtoken.value == pytest.approx(cost.hardware_per_h / tokens_per_h)


def test_racks_with_room_are_not_called_full(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where three replicas may be, a rack of 16 H100 has room for a fourth."""
    text = RACKS.replace("racks: [dgx-a100-row-1, dgx-h100-2]", "racks: [dgx-h100-2]")
    text = text.replace("dgx-a100-row-1: 200_000 USD, ", "").replace("to: 5", "to: 3")
    plan = answered(asked(tmp_path, text=text), tmp_path / "runs")
    told = printed(plan, capsys)
    assert "1 dgx-h100-2 rack" in told
    assert "all that fit" not in told


def test_a_choice_that_cannot_serve_is_left_out(tmp_path: Path) -> None:
    """100 requests/s keep 3.3 replicas on A100 busy, of which three may be, and 1.6 on H100."""
    mix = asked(tmp_path, "workload[chat].rate=100 /s", text=RACKS.replace("to: 5", "to: 3"))
    (reason,) = mix.left_out
    assert reason.startswith("chat: tensor_parallel 4 on dgx-a100-row-1: chat: more ")
    assert [choice.text for choice in mix.mixes.choices[0]] == ["tensor_parallel 4 on dgx-h100-2"]


def test_no_choice_of_a_pool_can_serve(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="chat: none of its choices can serve: chat: tensor_"):
        asked(tmp_path, "workload[chat].rate=4000 /s")


def test_power_that_is_used_up_excludes_larger_mixes(tmp_path: Path) -> None:
    """A rack of H100 is above 2.5 kW even at rest, one of A100 is when it works."""
    text = RACKS.replace("[chat.ttft_p99 <= 150 ms]", "[over_budget_s <= 0 s]")
    mix = asked(tmp_path, "power={utility: {budget: 2.5 kW}}", text=text)
    assert [reach.side for reach in mix.reach.values()] == [FEWER]
    assert len(mix.left_out) == 1
    assert "with every GPU idle, utility already carries" in mix.left_out[0]
    plan = answered(mix, tmp_path / "runs")
    assert plan.status == NONE
    # Two replicas are refuted, and with them all that are more; then the one that is left.
    assert sorted(one.seen.vector for one in plan.tried) == [((0, 1),), ((0, 2),)]


def test_runs_that_are_used_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = RACKS.replace("subject_to", "  runs: 3\nsubject_to").replace("150 ms", "90 ms")
    plan = answered(asked(tmp_path, text=text), tmp_path / "runs")
    assert plan.found.looked == 3
    assert not plan.found.complete
    assert plan.status == (NOT_FOUND if plan.best is None else FOUND)
    assert "3 of 3 runs" in printed(plan, capsys)
    assert MixAnswer(plan).content()["complete"] is False


def test_racks_are_laid_into_the_rows_that_are_named(tmp_path: Path) -> None:
    """The mail service keeps its row; new racks are dealt to the two others."""
    rows = "rows: [{name: row-1, racks: [{type: dgx-h100-2, count: 1}]}"
    more = [f", {{name: row-{n}, racks: [{{type: l4-16, count: 2}}]}}" for n in (2, 3)]
    base = TWO_BASE.replace(rows, rows + "".join(more)).replace(
        "{name: mail,", "{name: mail, racks: [row-1-rack-1],", 1
    )
    text = RACKS.replace("  prices:", "  rows: [row-2, row-3]\n  prices:")
    text = text.replace(", dgx-h100-2]", "]").replace(", dgx-h100-2: 620_000 USD", "")
    mix = asked(tmp_path, text=text, base=base)
    scenario = mix.scenario(mix.point_of(((0, 5),)))
    types = dict(
        zip(scenario.site.rack_names, (kind.name for kind in scenario.site.rack_types), strict=True)
    )
    assert types == {
        "row-1-rack-1": "dgx-h100-2",
        "row-2-rack-1": "dgx-a100-row-1",
        "row-2-rack-2": "dgx-a100-row-1",
        "row-3-rack-1": "dgx-a100-row-1",
    }
    chat = next(pool for pool in scenario.pools if pool.name == "chat")
    assert [scenario.site.rack_names[rack] for rack in chat.racks] == [
        "row-2-rack-1", "row-2-rack-2", "row-3-rack-1",
    ]  # fmt: skip
    assert mix.impossible(((0, 5),)) is None
    fewer = mix.scenario(mix.point_of(((0, 2),)))
    assert fewer.site.row_names == ("row-1", "row-2")  # a row without racks is not there


def test_what_a_line_says_of_other_mixes(tmp_path: Path) -> None:
    lines = (
        "[mail.goodput_fraction >= 99 %, failed <= 0, chat.energy_j <= 1 MJ, mean_draw_w <= 1 MW]"
    )
    text = TWO.replace("[chat.ttft_p99 <= 150 ms, mail.e2e_p99 <= 1 s]", lines)
    mix = asked(tmp_path, text=text, base=TWO_BASE)
    said = [(reach.side, reach.pools) for reach in mix.reach.values()]
    assert said == [(MORE, (1,)), (MORE, (0, 1)), (OTHER, (0, 1)), (FEWER, (0, 1))]


def test_racks_are_dealt_to_rows_by_their_ratings() -> None:
    """41.3 kW and 6.5 kW: the small ones go to the other row until it has more."""
    laid = dealt(["dgx-h100-4", *["dgx-a100-row-1"] * 8], ["row-1", "row-2"])
    assert [len(racks) for racks in laid.values()] == [2, 7]
    names = rack_names(laid)
    assert names["dgx-h100-4"] == ["row-1-rack-1"]
    assert names["dgx-a100-row-1"][:2] == ["row-1-rack-2", "row-2-rack-1"]


def test_each_half_of_a_pair_is_bounded_alone(tmp_path: Path) -> None:
    """One pool prefills all prompts, the other decodes all answers; together at least as much."""
    mix = asked(tmp_path, *PAIR_SETS, text=PAIR, base=PAIR_BASE)
    pair = every_load(Loads(mix.objectives), mix.scenario(mix.point_of(((0, 4), (0, 4)))))
    alone = asked(
        tmp_path, *PAIR_SETS, text=RACKS.replace("racks: [dgx-a100-row-1, dgx-h100-2], ", "")
        .replace("tensor_parallel: 4, ", "").replace("  prices: {dgx-a100-row-1: 200_000 USD, "
        "dgx-h100-2: 620_000 USD}\n", ""),
        base=PAIR_BASE.replace(", decode: dec", ""),
    )  # fmt: skip
    both = every_load(Loads(alone.objectives), alone.scenario(alone.point_of(((0, 4),))))
    assert pair["chat"].saturation_per_s > both["chat"].saturation_per_s
    assert pair["dec"].saturation_per_s > both["chat"].saturation_per_s
    halves = 1.0 / pair["chat"].saturation_per_s + 1.0 / pair["dec"].saturation_per_s
    # An iteration's fixed time is shared where both are done at once, so halves may be longer.
    assert 0.8 < halves * both["chat"].saturation_per_s < 1.6


def test_prices_come_from_the_question_the_base_or_the_data(tmp_path: Path) -> None:
    text = RACKS.replace("  prices: {dgx-a100-row-1: 200_000 USD, dgx-h100-2: 620_000 USD}\n", "")
    mix = asked(tmp_path, "costs={racks: {dgx-a100-row-1: 150_000 USD}}", text=text)
    a100, h100 = mix.prices.values()
    assert (a100.usd, a100.origin) == (150_000.0, "stated: costs.racks.dgx-a100-row-1")
    assert h100.usd == 2 * price_of_node("dgx-h100").total_usd
    assert h100.origin.startswith("2 × ")
    assert "source: " in h100.origin
    stated = price_of_rack("dgx-h100-2", {"dgx-h100-2": 1.0}, PriceBook())
    assert (stated.usd, stated.origin) == (1.0, "question.prices.dgx-h100-2")


def test_steps_of_resources_are_not_asked_for_here(tmp_path: Path) -> None:
    making = Making(InThisProcess(), tmp_path, "compiled")
    with pytest.raises(RackplanError, match="--shadow: of a mix there is none"):
        MixAsked(asked(tmp_path)).answer(making, How(shadow=True))
