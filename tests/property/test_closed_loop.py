"""The leaping closed loop of `predict serving` equals the reference engine, request by request."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.engine.closed_loop import ClosedLoop
from sim.perf.step import StepCost
from tests.engine_world import DYADIC, Given, model, pool, scenario, serve, workload

WINDOWED = StepCost(
    0.013, (0, 64, 1024), (0.0, 0.004, 0.1), 3.3e-4, 2.1e-7, 1.9e-7, 3.7e-10, 2.9e-10, 48
)


@settings(max_examples=80, deadline=None)
@given(
    cost=st.sampled_from([DYADIC, WINDOWED]),
    clients=st.integers(1, 12),
    prompt=st.integers(1, 300),
    output=st.integers(1, 80),
    spare_blocks=st.integers(0, 60),
    sequences=st.integers(1, 12),
    extra_tokens=st.integers(0, 200),
)
def test_the_closed_loop_equals_the_reference(
    cost: StepCost,
    clients: int,
    prompt: int,
    output: int,
    spare_blocks: int,
    sequences: int,
    extra_tokens: int,
) -> None:
    blocks = -(-(prompt + output - 1) // 16) + spare_blocks
    replica = model(cost, blocks=blocks, sequences=sequences)
    tokens = sequences + extra_tokens
    rounds = 4
    loop = ClosedLoop(replica, prompt, output, clients, sequences, tokens)
    loop.run(rounds * clients)

    lengths = {"input_tokens": prompt, "output_tokens": output}
    rows = [
        lengths | ({"arrival_s": 0.0} if i < clients else {"after_request": i - clients})
        for i in range((rounds + 3) * clients)
    ]
    one = pool(replica, max_batch_tokens=tokens, max_sequences=sequences)
    setup = scenario([one], [workload()], duration_s=1e6, drain_s=0.0)
    run = serve(setup, [Given(rows, closed=True)])
    expected = [(r["arrival_s"], r["first_token_s"], r["end_s"]) for r in run.rows("requests")]
    found = [(r.sent_s, r.first_s, r.end_s) for r in loop.finished]
    for mine, reference in zip(found, expected[: len(found)], strict=True):
        assert mine == pytest.approx(reference, rel=1e-9, abs=1e-9)
    assert loop.preemptions <= run.rows("replicas")[0]["preemptions"]
