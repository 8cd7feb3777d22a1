"""Lines as means over seeds: shares of late requests, and lines that no plan can judge."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import sim
from sim.check.scenario import Expectation, Scenario
from sim.plan.margins import NoMean, Objective, late_share, objective_of, values_of
from sim.results.latency import latencies
from sim.results.metrics import lookup
from sim.results.result import RunResult
from sim.spec.expect import Expectation as Grammar
from sim.spec.expect import ExpectSpec
from sim.spec.quantity import read_quantity
from tests.unit.study.works import scenario_file


def objective(text: str) -> Objective:
    """A line of workload and pool "chat"."""
    spec = Grammar().read(text)
    assert isinstance(spec, ExpectSpec)
    definition = lookup(spec.metric, workloads=["chat"], pools=["chat"], power_nodes=["ups-a"])
    threshold = read_quantity(spec.quantity, definition.dimension)
    return objective_of(Expectation(spec.text, spec.metric, spec.operator, threshold), definition)


def run(folder: Path, *sets: str) -> RunResult:
    """A busy little run."""
    busy = ["pools[chat].replicas=1", "workload[chat].rate=60 /s", "duration=20 s", "warm_up=2 s"]
    scenario = sim.load_scenario(scenario_file(folder), sets=[*busy, *sets])
    assert isinstance(scenario, Scenario)
    return sim.run_scenario(scenario)


def test_shares_of_late_requests(tmp_path: Path) -> None:
    full, summary = run(tmp_path), run(tmp_path, "record={level: summary}")
    requests = full.tables["requests"]
    arrival = requests.column("arrival_s").to_numpy()
    measured = (arrival >= 2.0) & (arrival < 20.0)
    for family in ("ttft", "tpot", "e2e"):
        values = latencies(requests)[family][measured]
        for quantile in (0.5, 0.9, 0.99):
            limit_s = float(np.nanquantile(values, quantile))
            line = objective(f"chat.{family}_p{100 * quantile:.0f} <= {limit_s:.9g} s")
            assert line.limit == pytest.approx(1.0 - quantile)
            exact = late_share(line, full)
            assert exact == pytest.approx(np.mean(~(values <= line.threshold_s)), abs=1e-12)
            inside = np.mean(abs(np.log(values / limit_s)) < np.log(1.02))
            assert late_share(line, summary) == pytest.approx(exact, abs=inside)
            # The share and the quantile over all requests are one statement.
            assert abs(line.margin(exact)) <= 1.5 / len(values) + np.mean(np.isnan(values))


LIMITED = "policies.batching={kind: chunked-prefill, max_sequences: 4}"


def test_who_never_got_a_token_is_late(tmp_path: Path) -> None:
    turned_away = run(tmp_path, "pools[chat].max_queue=1", LIMITED)
    refused = turned_away.metrics["chat.queue_full"].value
    arrivals = turned_away.metrics["chat.arrivals"].value
    assert refused
    assert arrivals
    line = objective("chat.ttft_p99 <= 100 s")
    assert late_share(line, turned_away) == pytest.approx(refused / arrivals)


def test_other_lines_are_means_of_their_metric(tmp_path: Path) -> None:
    made = run(tmp_path)
    lines = [
        objective("chat.goodput_fraction >= 99 %"),
        objective("failed <= 0"),
        objective("mean_draw_w <= 4 kW"),
        objective("chat.ttft_mean < 300 ms"),
    ]
    found = values_of(lines, made)
    assert [line.more for line in lines] == [True, False, False, False]
    assert [line.never for line in lines] == [False, True, False, False]
    for line in lines:
        assert found[line.text] == made.metrics[line.metric].si
    assert lines[0].margin(0.985) == pytest.approx(0.005)
    assert lines[2].margin(3_000.0) == -1_000.0
    assert (lines[0].spread_floor, lines[2].spread_floor) == (1e-6, 0.0)


def test_what_was_not_measured(tmp_path: Path) -> None:
    with pytest.raises(NoMean, match="no request of it arrived in the window"):
        late_share(
            objective("chat.ttft_p99 <= 1 s"),
            run(tmp_path, "workload[chat].rate=0.001 /s"),
        )
    with pytest.raises(NoMean, match="did not measure it: "):
        values_of([objective("over_budget_s <= 0 s")], run(tmp_path))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "peak_draw_w <= 100 kW",
            "is no mean over it; write 'over_budget_s",
        ),
        ("power[ups-a].peak_w <= 100 kW", r"write 'power\[ups-a\].over_limit_s <= 0 s'"),
        ("chat.itl_p99 <= 50 ms", r"gaps are not counted by request; write 'chat.tpot_p99 <= …'"),
        ("chat.ttft_prefill_p99 <= 1 s", "not counted in bins; write 'chat.ttft_prefill_mean"),
        ("chat.ttft_p99 >= 1 s", "an objective bounds a latency from above; write <="),
        ("failed == 0", "never known to be equal; write <= or >="),
    ],
)
def test_lines_that_are_no_means(text: str, says: str) -> None:
    with pytest.raises(NoMean, match=says):
        objective(text)
