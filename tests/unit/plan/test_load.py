"""The load of pools before a run: the mean request, what lines require, what is not known."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

import sim
from sim.check.scenario import Scenario
from sim.perf.step import Batch
from sim.plan.load import Loads, PoolLoad, work_of
from sim.plan.margins import Objective
from sim.workload.types import OPEN, RequestChunk
from tests.unit.plan.questions import BASE
from tests.unit.plan.test_margins import objective

LATE = objective("chat.ttft_p99 <= 1 s")


def chunk(inputs: list[int], outputs: list[int], ids: list[int] | None = None) -> RequestChunk:
    """Requests, the first ``ids`` blocks of 16 tokens of each named."""
    n = len(inputs)
    known = None if ids is None else np.concatenate([[0], np.cumsum(ids)])
    return RequestChunk(
        np.arange(n, dtype=float), np.array(inputs), np.array(outputs), np.zeros(n, dtype=np.int64),
        np.full(n, OPEN), np.zeros(n), np.full(n, math.inf), known,
        None if ids is None else np.arange(sum(ids)), 16 if ids else 0,
    )  # fmt: skip


def of(folder: Path, *sets: str, lines: tuple[Objective, ...] = (LATE,)) -> PoolLoad:
    (folder / "tiny.yaml").write_text(BASE)
    scenario = sim.load_scenario(folder / "tiny.yaml", sets=sets)
    assert isinstance(scenario, Scenario)
    (load,) = Loads(lines).of(scenario)
    return load


def test_the_mean_request_counts_what_iterations_do() -> None:
    """Against every iteration of every request, one by one."""
    inputs, outputs, window = [100, 900, 30], [1, 40, 300], 256
    work = work_of(chunk(inputs, outputs), window, False)
    kv = windowed = 0
    for prompt, output in zip(inputs, outputs, strict=True):
        for step in range(1, output):
            kv += prompt + step
            windowed += min(prompt + step, window)
    assert work.prefilled == pytest.approx(sum(inputs) / 3)
    assert work.decoded == pytest.approx((0 + 39 + 299) / 3)
    assert work.kv_tokens == pytest.approx(kv / 3)
    assert work.windowed_kv_tokens == pytest.approx(windowed / 3)
    assert work.pairs == pytest.approx(sum(n * n for n in inputs) / 3)
    twice = [min(n, window) ** 2 + 2 * window * max(n - window, 0) for n in inputs]
    assert work.windowed_pairs == pytest.approx(sum(twice) / 3)


def test_prefixes_count_as_found() -> None:
    requests = chunk([100, 64], [10, 10], [4, 4])
    cached, plain = (work_of(requests, 0, cache) for cache in (True, False))
    assert plain.prefilled == 82.0
    assert cached.prefilled == (36 + 1) / 2  # one token at least is computed
    assert cached.pairs == (100**2 - 64**2 + 64**2 - 63**2) / 2
    assert cached.kv_tokens == plain.kv_tokens


def test_utilisation_against_one_replica_by_hand(tmp_path: Path) -> None:
    """Prompts alone, one at a time: a replica serves one every iteration."""
    sets = [
        "workload[chat].source={input_tokens: 4000, output_tokens: 1}",
        "policies.batching={kind: chunked-prefill, max_sequences: 1, max_batch_tokens: 4000}",
        "workload[chat].rate=30 /s",
    ]
    load = of(tmp_path, *sets)
    scenario = sim.load_scenario(tmp_path / "tiny.yaml", sets=sets)
    assert isinstance(scenario, Scenario)
    (model,) = scenario.pools[0].models.values()
    service_s = model.cost[0].iteration_s(Batch(4000, 0, 0, 0, 4000**2, 0))
    assert load.saturation_per_s == pytest.approx(5 / service_s)
    assert load.utilisation == pytest.approx(30 * service_s / 5)
    assert load.beta == pytest.approx((1 - load.utilisation) * math.sqrt(5))
    assert not load.infeasible


def test_what_lines_let_go_need_not_be_served(tmp_path: Path) -> None:
    overload = "workload[chat].rate=215 /s"  # 5 replicas take 195
    assert "more tokens arrive than iterations take" in of(tmp_path, overload).infeasible
    half = objective("chat.goodput_fraction >= 50 %")
    assert not of(tmp_path, overload, lines=(half,)).infeasible
    both = of(tmp_path, overload, lines=(half, LATE))
    assert both.infeasible
    idle = of(tmp_path, overload, lines=(objective("mean_draw_w <= 9 kW"),))
    assert not idle.infeasible
    assert idle.utilisation > 1.0
    assert not idle.near_saturation  # nobody asks that it serves


def test_long_iterations(tmp_path: Path) -> None:
    line = objective("chat.tpot_p99 <= 5 ms")
    assert "longer than the 5 ms that an output token may" in of(tmp_path, lines=(line,)).infeasible
    assert not of(tmp_path, lines=(objective("chat.tpot_p99 <= 100 ms"),)).infeasible
    good = objective("chat.goodput_fraction >= 99 %")
    stated = of(tmp_path, "workload[chat].slo={tpot: 5 ms}", lines=(good,))
    assert "longer than the 5 ms" in stated.infeasible


def test_near_saturation(tmp_path: Path) -> None:
    assert not of(tmp_path, "workload[chat].rate=170 /s").near_saturation
    near = of(tmp_path, "workload[chat].rate=185 /s")
    assert near.near_saturation
    assert not near.infeasible


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("events=[{at: 10 s, add: {pool: chat, replicas: 1}}]", "number of its replicas"),
        ("workload[chat].rate=0.0001 /s", "no request arrives"),
    ],
)
def test_what_is_not_known(tmp_path: Path, change: str, why: str) -> None:
    load = of(tmp_path, change)
    assert why in load.unknown
    assert not load.near_saturation
    assert not load.infeasible


def test_a_rate_that_varies_is_counted(tmp_path: Path) -> None:
    load = of(tmp_path, "workload[chat].profile=[{from: 0 h, times: 0.5}]")
    assert load.rate_per_s == pytest.approx(50.0, rel=0.15)
