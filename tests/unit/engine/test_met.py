"""Whether a request met its objectives, at their very edges."""

from __future__ import annotations

import pytest

from sim.workload.plan import Objectives
from tests.engine_world import Given, constant_cost, model, pool, scenario, serve, workload

LATE = 1e-9


@pytest.mark.parametrize(
    ("objectives", "output", "met"),
    [
        # One-second iterations: TTFT 1 s, TPOT 1 s, end after as many seconds as tokens.
        (Objectives(None, None, None), 4, True),
        (Objectives(1.0, None, None), 4, True),
        (Objectives(1.0 - LATE, None, None), 4, False),
        (Objectives(None, 1.0, None), 4, True),
        (Objectives(None, 1.0 - LATE, None), 4, False),
        (Objectives(None, None, 4.0), 4, True),
        (Objectives(None, None, 4.0 - LATE), 4, False),
        (Objectives(None, LATE, None), 1, True),  # a single token has no TPOT to miss
        (Objectives(1.0 - LATE, LATE, None), 1, False),
        (Objectives(1.0, LATE, 1.0), 0, True),  # nothing generated: the end of its prefill
    ],
)
def test_met(objectives: Objectives, output: int, met: bool) -> None:
    load = workload(objectives=objectives)
    rows = [{"arrival_s": 0.0, "input_tokens": 8, "output_tokens": output}]
    run = serve(scenario([pool(model(constant_cost(1.0)))], [load]), [Given(rows)])
    assert [row["met"] for row in run.rows("requests")] == [met]


@pytest.mark.parametrize(
    ("change", "outcome"),
    [
        ({"cancel_after_s": 3.0}, "cancelled"),
        ({"input_tokens": 10**6}, "never-fits"),
        ({"output_tokens": 5000}, "unfinished"),
    ],
)
def test_what_did_not_complete_met_nothing(change: dict[str, float], outcome: str) -> None:
    rows = [{"arrival_s": 0.0, "input_tokens": 8, "output_tokens": 9, **change}]
    run = serve(scenario([pool(model(constant_cost(1.0)))], [workload()]), [Given(rows)])
    assert [(row["outcome"], row["met"]) for row in run.rows("requests")] == [(outcome, False)]
