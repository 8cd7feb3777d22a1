"""The tables of a compiled model equal the functions that they stand for."""

from __future__ import annotations

import sim
from sim.engine.build import build
from sim.engine.compile import prefill_mw, tokens_s
from sim.paths import share


def test_tables_equal_their_functions() -> None:
    """For every number of tokens and every clock of a shipped model, to the last bit."""
    world = build(sim.load_scenario(share("scenarios") / "quickstart.yaml"), 1)
    model = world.replicas[0].model
    most = 9000
    assert len(model.cost) > 1
    for cost, power in zip(model.cost, model.power, strict=True):
        assert tokens_s(cost, most).tolist() == [cost.tokens_s(m) for m in range(most + 1)]
        drawn = [power.prefill_draw_mw(m) for m in range(1, most + 1)]
        assert prefill_mw(power, most)[1:].tolist() == drawn
