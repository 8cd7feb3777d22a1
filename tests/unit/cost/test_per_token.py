"""Costs and carbon per million tokens within the SLO: by hand, over seeds, from a run."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

import sim
from sim.check.scenario import Scenario
from sim.cost import CostError, PriceBook, built_of, yearly_of
from sim.cost.answer import answer, content_of
from sim.cost.bill import Known
from sim.cost.of_run import built_of_run
from sim.cost.per_token import RunNumbers, ratio, run_costs, run_numbers
from sim.errors import ResultError
from sim.results.result import RunResult

SECONDS = 365 * 86400.0


def load(*sets: str) -> Scenario:
    scenario = sim.load_scenario("scenarios/quickstart.yaml", sets=list(sets))
    assert isinstance(scenario, Scenario)
    return scenario


BUILT = built_of(load("price={electricity: 100 USD/MWh}"))
ONE = RunNumbers(100e3, False, 50e3, 240.0, 100 / 3.6e9, None)


def test_one_seed_by_hand() -> None:
    found = run_costs(BUILT, [ONE])
    year = yearly_of(BUILT, 100e3)
    assert found.usd_per_mtoken is not None
    assert found.usd_per_mtoken.value == pytest.approx(year.total_usd / SECONDS / 0.05, rel=1e-12)
    assert (found.usd_per_mtoken.low, found.usd_per_mtoken.seeds) == (None, 1)
    # The default of 367 g/kWh: 100 kW are 36.7 kg an hour, over 180 million tokens.
    assert found.carbon_g_per_mtoken is not None
    assert found.carbon_g_per_mtoken.value == pytest.approx(36_700 / 180)
    assert found.goodput_per_mw.value == pytest.approx(240 / 0.138)
    assert not found.carbon.stated
    stated = run_costs(BUILT, [replace(ONE, carbon_g_per_s=5.0)])
    assert stated.carbon_g_per_mtoken is not None
    assert stated.carbon_g_per_mtoken.value == pytest.approx(100.0)


def test_seeds_make_an_interval() -> None:
    tops, bottoms = [10.0, 14.0], [5.0, 5.0]
    found = ratio(tops, bottoms)
    assert found is not None
    # 24/10; residuals ∓2; se = √(2·8)/10; Student's t with one degree of freedom: 12.7062.
    assert found.value == 2.4
    assert found.high == pytest.approx(2.4 + 12.7062 * 0.4, rel=1e-5)
    assert found.low == 0.0  # a cost is not below nothing
    assert found.seeds == 2
    same = ratio([2.0, 4.0, 6.0], [1.0, 2.0, 3.0])
    assert same is not None
    assert (same.value, same.low, same.high) == (2.0, 2.0, 2.0)
    assert ratio([1.0], [0.0]) is None


@given(st.lists(st.tuples(st.floats(1.0, 1e3), st.floats(1.0, 1e3)), min_size=2, max_size=9))
def test_the_ratio_lies_in_its_interval_and_between_its_seeds(
    pairs: list[tuple[float, float]],
) -> None:
    found = ratio([top for top, _ in pairs], [bottom for _, bottom in pairs])
    assert found is not None
    assert found.low is not None
    assert found.high is not None
    assert found.low <= found.value * (1 + 1e-12)
    assert found.value <= found.high * (1 + 1e-12)
    each = [top / bottom for top, bottom in pairs]
    assert min(each) * (1 - 1e-9) <= found.value <= max(each) * (1 + 1e-9)


def test_more_tokens_cost_less_each_and_more_draw_more() -> None:
    def usd(**changes: float) -> float:
        found = run_costs(BUILT, [replace(ONE, **changes)]).usd_per_mtoken
        assert found is not None
        return found.value

    assert usd(tokens_per_s=60e3) < usd() < usd(draw_w=120e3)
    assert run_costs(BUILT, [replace(ONE, tokens_per_s=0.0)]).usd_per_mtoken is None
    with pytest.raises(ValueError, match="at least one run"):
        run_costs(BUILT, [])


@pytest.fixture(scope="module")
def run() -> RunResult:
    scenario = load(
        "duration=40 s", "warm_up=10 s", "carbon=300 gCO2/kWh", "price={electricity: 100 USD/MWh}",
        "costs={nodes: {dgx-h100: 200000 USD}}", "cooling={weather: {wet_bulb: 15 C}}",
        "workload[chat].slo={ttft: 400 ms, tpot: 60 ms}",
    )  # fmt: skip
    return sim.run_scenario(scenario, seed=1)


def test_a_run_says_what_its_tokens_cost(run: RunResult) -> None:
    numbers = run_numbers(run)
    requests = run.tables["requests"]
    arrived = requests.column("arrival_s").to_numpy()
    inside = (arrived >= 10) & (arrived < 40)
    met = requests.column("met").to_numpy(zero_copy_only=False) & inside
    delivered = requests.column("delivered_tokens").to_numpy()
    tokens = int(delivered[met].sum())
    assert numbers.tokens_per_s == pytest.approx(tokens / 30.0)
    assert 0 < tokens < delivered[inside].sum()  # some missed the tight objective
    assert numbers.cooled
    assert numbers.draw_w > run.metrics["mean_draw_w"].value  # with the plant beside the tree
    found = answer(built_of_run(run.manifest), [run])
    assert found.runs is not None
    assert found.runs.usd_per_mtoken is not None
    assert found.runs.carbon_g_per_mtoken is not None
    assert found.year.of("energy") == pytest.approx(numbers.draw_w * 8760 / 1e6 * 100)
    assert found.runs.usd_per_mtoken.value == pytest.approx(
        found.year.total_usd / SECONDS / (numbers.tokens_per_s / 1e6)
    )
    metric = run.metrics["cost_per_million_tokens"]
    assert metric.unit == "USD/Mtoken"
    assert metric.value == pytest.approx(found.runs.usd_per_mtoken.value, rel=1e-12)
    grams = run.metrics["carbon_g"].value / 30.0 / (numbers.tokens_per_s / 1e6)
    assert found.runs.carbon_g_per_mtoken.value == pytest.approx(grams)
    assert found.runs.goodput_per_mw.value == pytest.approx(run.metrics["goodput_per_mw"].value)


def test_the_answer_as_json_names_every_source(run: RunResult) -> None:
    told = content_of(answer(built_of_run(run.manifest), [run]))
    for section in ("capital", "year"):
        lines = told[section]["lines"]
        assert math.fsum(line["total_usd"] for line in lines) == told[section]["total_usd"]
        assert all(line["origins"] for line in lines)
        assert all(0 <= at < len(told["assumptions"]) for line in lines for at in line["origins"])
    stated = {one["where"] for one in told["assumptions"] if one["stated"]}
    assert stated == {"costs.nodes.dgx-h100", "price.electricity", "carbon"}
    assert all(one["source"] for one in told["assumptions"] if not one["stated"])
    assert told["per_token"]["usd_per_mtoken_within_slo"]["seeds"] == 1


def test_hours_of_a_price_count_by_the_draw_in_them() -> None:
    cheap, dear = replace(ONE, price_usd_per_j=1e-8), replace(ONE, price_usd_per_j=3e-8)
    energy = run_costs(BUILT, [cheap, dear]).year.of("energy")
    assert energy == pytest.approx(100e3 * SECONDS * 2e-8)
    # Without a price of the scenario's own the runs have none, and the default holds.
    plain = built_of(load())
    default = run_costs(plain, [replace(ONE, price_usd_per_j=None)]).year.of("energy")
    assert default == pytest.approx(876 * 86.1)


def test_a_run_without_meters_is_refused(run: RunResult) -> None:
    blind = RunResult(run.tables, {**run.manifest, "window": {"measured_s": 0.0}},
                      metrics=run.metrics)  # fmt: skip
    with pytest.raises(ResultError, match="does not say what the site drew"):
        run_numbers(blind)


def test_the_metric_takes_the_default_price_where_none_is_stated() -> None:
    scenario = load(
        "duration=20 s", "warm_up=5 s", "expect=[cost_per_million_tokens <= 9 USD/Mtoken]"
    )
    result = sim.run_scenario(scenario, seed=1)
    found = answer(built_of_run(result.manifest), [result])
    assert found.runs is not None
    assert found.runs.usd_per_mtoken is not None
    assert result.metrics["cost_per_million_tokens"].value == pytest.approx(
        found.runs.usd_per_mtoken.value, rel=1e-12
    )
    (judged,) = result.manifest["expectations"]
    assert judged["passed"]
    assert result.metrics["energy_cost"].value is None


def test_a_server_without_a_price_leaves_the_metric_unknown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def unpriced(self: PriceBook, name: str) -> Known:
        raise CostError(f"no price is known of a server of type {name!r}")

    monkeypatch.setattr(PriceBook, "node", unpriced)
    metric = sim.run_scenario(load("duration=10 s", "warm_up=5 s"), seed=1).metrics[
        "cost_per_million_tokens"
    ]
    assert metric.value is None
    assert metric.reason == "no price is known of a server of type 'dgx-h100'"
