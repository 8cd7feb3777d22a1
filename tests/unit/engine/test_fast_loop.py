"""The compiled loop of the fits against the engine's closed loop."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from sim.engine.closed_loop import ClosedLoop
from sim.engine.predict import spread_lengths
from sim.perf.step import StepCost
from tests.engine_world import model

COSTS = (
    StepCost(3e-3, (0, 1, 64, 1024), (1e-3, 1e-3, 2e-3, 4e-2), 2e-5, 3e-8, 0.0, 1e-10, 0.0, 0),
    StepCost(3e-3, (0, 1, 64, 1024), (1e-3, 1e-3, 2e-3, 4e-2), 2e-5, 3e-8, 2e-8, 1e-10, 1e-10, 64),
)


@pytest.fixture(scope="module")
def loop() -> ModuleType:
    """tools/fast_loop.py."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parents[3] / "tools"))
        import fast_loop
    module: ModuleType = fast_loop
    return module


@pytest.mark.parametrize("seed", range(60))
def test_equals_the_engine(loop: ModuleType, seed: int) -> None:
    rng = np.random.default_rng(seed)
    cost = COSTS[seed % 2]
    clients, prompt, output = (int(rng.integers(1, most)) for most in (14, 300, 120))
    sequences, budget = int(rng.integers(1, 14)), int(rng.integers(14, 500))
    blocks = -(-2 * (prompt + output) // 16) + int(rng.integers(0, 60))
    delay_s = float(rng.choice([0.0, 0.013, 0.4]))
    starts_s = np.arange(clients) * float(rng.choice([0.0, 0.05]))
    spread = float(rng.choice([0.0, 0.3]))
    requests = 6 * clients
    drawn = spread_lengths(prompt, output, spread)
    lengths = [next(drawn) for _ in range(requests + clients + 1)]
    engine = ClosedLoop(
        model(cost, blocks), iter(lengths), clients, sequences, budget, delay_s,
        tuple(starts_s),
    )  # fmt: skip
    engine.run(requests)
    fast = loop.run_loop(
        loop.scalars(cost), np.array(cost.grid_tokens), np.array(cost.grid_s), cost.window, blocks,
        np.array([a for a, _ in lengths]), np.array([b for _, b in lengths]), clients, sequences,
        budget, requests, delay_s, starts_s,
    )  # fmt: skip
    expected = sorted((r.sent_s, r.first_s, r.end_s) for r in engine.finished)
    np.testing.assert_allclose(sorted(zip(*fast[:3], strict=True)), expected, rtol=1e-9)
