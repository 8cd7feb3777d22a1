"""Queues with known answers: where the scenario reduces to one, the engine must give it."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from sim.perf.step import StepCost
from tests.engine_world import Given, constant_cost, model, pool, scenario, serve, workload

REPLICATIONS = 24
REQUESTS = 2500
SETTLE = 500  # the first ones see an empty system


def mean_waits(
    cost: StepCost,
    service_s: float,
    load: float,
    draw_tokens: Callable[[np.random.Generator], np.ndarray],
) -> np.ndarray:
    """Mean wait before admission of each replication: one server, first come first served."""
    means = []
    for seed in range(REPLICATIONS):
        rng = np.random.default_rng(seed)
        arrivals = np.cumsum(rng.exponential(service_s / load, REQUESTS))
        tokens = draw_tokens(rng)
        rows = [
            {"arrival_s": a, "input_tokens": int(n), "output_tokens": 1}
            for a, n in zip(arrivals, tokens, strict=True)
        ]
        one_server = pool(model(cost, blocks=10**6), max_sequences=1, max_batch_tokens=10**7)
        end_s = float(arrivals[-1]) + 1.0
        run = serve(
            scenario([one_server], [workload()], duration_s=end_s, drain_s=1e5), [Given(rows)]
        )
        requests = sorted(run.rows("requests"), key=lambda r: r["arrival_s"])
        assert len(requests) == REQUESTS
        waits = [r["admitted_s"] - r["arrival_s"] for r in requests[SETTLE:]]
        means.append(np.mean(waits))
    return np.array(means)


def assert_within_interval(means: np.ndarray, expected: float) -> None:
    """The expected mean lies in the 99 % interval, and the interval is narrow enough to tell."""
    half = stats.t.ppf(0.995, len(means) - 1) * stats.sem(means)
    assert half < 0.15 * expected
    assert abs(means.mean() - expected) < half


@pytest.mark.parametrize("load", [0.3, 0.6])
def test_m_d_1_waiting(load: float) -> None:
    """Pollaczek and Khinchine, constant service: W = rho s / (2 (1 - rho))."""
    service_s = 0.25
    means = mean_waits(
        constant_cost(service_s), service_s, load, lambda rng: np.ones(REQUESTS, dtype=int)
    )
    assert_within_interval(means, load * service_s / (2 * (1 - load)))


@pytest.mark.parametrize("load", [0.3, 0.6])
def test_m_m_1_waiting(load: float) -> None:
    """Exponential service (prefill linear in an exponential prompt): W = rho s / (1 - rho)."""
    mean_tokens, per_token_s = 20_000, 1e-5
    service_s = mean_tokens * per_token_s
    linear = StepCost(0.0, (0, 1000), (0.0, 1000 * per_token_s), 0.0, 0.0, 0.0, 0.0, 0.0, 0)
    means = mean_waits(
        linear,
        service_s,
        load,
        lambda rng: np.ceil(rng.exponential(mean_tokens, REQUESTS)).clip(1),
    )
    assert_within_interval(means, load * service_s / (1 - load))


def test_a_full_batch_of_equal_requests_shares_every_iteration() -> None:
    """Hand calculation: n requests at once, one prefill iteration, o - 1 decode iterations."""
    n, output, step_s = 8, 11, 0.5
    rows = [{"arrival_s": 1.0, "input_tokens": 4, "output_tokens": output}] * n
    run = serve(scenario([pool(model(constant_cost(step_s)))], [workload()]), [Given(rows)])
    for request in run.rows("requests"):
        assert request["admitted_s"] == 1.0
        assert request["first_token_s"] == 1.0 + step_s
        assert request["end_s"] == pytest.approx(1.0 + output * step_s, rel=1e-15)
        assert request["delivered_tokens"] == output
    assert math.isclose(run.rows("replicas")[0]["busy_s"], output * step_s, rel_tol=1e-12)
