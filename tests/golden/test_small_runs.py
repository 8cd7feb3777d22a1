"""Small runs pinned number by number: a change of any of them must be meant and explained.

After a meant change: pytest tests/golden --regen-all
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pytest_regressions.num_regression import NumericRegressionFixture

import sim
from sim.paths import share
from tests.engine_world import DYADIC, Given, model, pool, scenario, serve, workload

#: Across machines the last digits of sums may differ; on one machine runs are byte-equal.
TOLERANCE = {"rtol": 1e-6, "atol": 1e-9}


@pytest.mark.parametrize("engine", ["compiled", "reference"])
@pytest.mark.parametrize("batching", ["chunked-prefill", "prefill-first", "static"])
def test_rows_of_a_hand_made_world(
    batching: str, engine: str, num_regression: NumericRegressionFixture
) -> None:
    """Every request's times under each batching policy, with preemptions; no catalog involved."""
    rows: list[dict[str, Any]] = [
        {
            "arrival_s": 0.11 * i,
            "input_tokens": 20 + (37 * i) % 180,
            "output_tokens": 5 + (13 * i) % 60,
            "priority": i % 2,
        }
        for i in range(60)
    ]
    two = pool(
        model(DYADIC, blocks=24, sequences=8), replicas=2, routing="least-outstanding-tokens",
        batching=batching, max_sequences=8, max_batch_tokens=64,
    )  # fmt: skip
    run = serve(scenario([two], [workload()], duration_s=10.0), [Given(rows)], engine=engine)
    requests = sorted(run.rows("requests"), key=lambda row: row["request_id"])
    assert sum(row["preemptions"] for row in requests) > 0
    columns = ("replica", "admitted_s", "first_token_s", "end_s", "preemptions")
    num_regression.check(
        {name: np.array([row[name] for row in requests], dtype=float) for name in columns},
        basename=f"test_rows_of_a_hand_made_world_{batching.replace('-', '_')}_",
        default_tolerance=TOLERANCE,
    )


@pytest.mark.parametrize("engine", ["compiled", "reference"])
@pytest.mark.parametrize("name", ["quickstart", "shared-pool", "agents", "cooling"])
def test_metrics_of_a_shipped_scenario(
    name: str, engine: str, num_regression: NumericRegressionFixture
) -> None:
    """Every metric of a shortened scenario: catalog, calibration, workload and engine together."""
    loaded = sim.load_scenario(
        share("scenarios") / f"{name}.yaml", sets=["duration=30 s", "warm_up=10 s"]
    )
    metrics = sim.run_scenario(loaded, engine=engine).metrics
    num_regression.check(
        {key: [metric.value] for key, metric in metrics.items() if metric.value is not None},
        basename=f"test_metrics_of_a_shipped_scenario_{name.replace('-', '_')}_",
        default_tolerance=TOLERANCE,
    )
