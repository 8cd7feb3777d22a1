"""The fast closed loop against the reference engine, and its book-keeping."""

from __future__ import annotations

from itertools import repeat

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.engine.closed_loop import ClosedLoop, blocks_of
from sim.errors import RackplanError
from sim.perf.step import ReplicaModel, StepCost
from tests.engine_world import DYADIC, Given, model, pool, scenario, serve, workload

WINDOWED = StepCost(
    fixed_s=2.0**-6, grid_tokens=(0, 1024), grid_s=(0.0, 2.0**-4), per_decode_s=2.0**-12,
    per_kv_token_s=2.0**-22, per_windowed_kv_token_s=2.0**-21, per_prefill_pair_s=2.0**-32,
    per_windowed_prefill_pair_s=2.0**-33, window=64,
)  # fmt: skip
Times = list[tuple[float, float, float]]


def by_reference(
    replica: ReplicaModel, prompt: int, output: int, clients: int, sequences: int, budget: int
) -> tuple[Times, float]:
    """(sent, first token, end) of eight rounds, and the time from which a client falls silent."""
    first = [{"arrival_s": 0.0} for _ in range(clients)]
    later = [{"after_request": row} for row in range(7 * clients)]
    rows = [{**row, "input_tokens": prompt, "output_tokens": output} for row in first + later]
    setup = scenario(
        [pool(replica, max_sequences=sequences, max_batch_tokens=budget)],
        [workload()], duration_s=1e6, drain_s=1e6,
    )  # fmt: skip
    found = serve(setup, [Given(rows, closed=True)]).rows("requests")
    times = [(r["arrival_s"], r["first_token_s"], r["end_s"]) for r in found]
    last = [r["end_s"] for r in found if r["request_id"] >= 7 * clients]
    return sorted(times), min(last)


@settings(max_examples=40, deadline=None)
@given(
    prompt=st.integers(1, 300),
    output=st.integers(1, 120),
    clients=st.integers(1, 12),
    sequences=st.integers(1, 12),
    budget=st.integers(12, 200),
    spare=st.integers(0, 60),
    windowed=st.booleans(),
)
def test_equals_the_reference_engine(
    prompt: int,
    output: int,
    clients: int,
    sequences: int,
    budget: int,
    spare: int,
    windowed: bool,
) -> None:
    """Times of every request up to the first that the finite reference run no longer sends."""
    blocks = blocks_of(prompt + output - 1) + spare
    replica = model(WINDOWED if windowed else DYADIC, blocks=blocks)
    expected, until_s = by_reference(replica, prompt, output, clients, sequences, budget)
    loop = ClosedLoop(replica, repeat((prompt, output)), clients, sequences, budget)
    loop.run(8 * clients)
    got = sorted((r.sent_s, r.first_s, r.end_s) for r in loop.finished if r.end_s <= until_s)
    wanted = [times for times in expected if times[2] <= until_s]
    assert len(got) == len(wanted)
    assert len(got) >= 6 * clients
    for mine, theirs in zip(got, wanted, strict=True):
        assert mine == pytest.approx(theirs, rel=1e-9)


def test_blocks_are_conserved_through_preemption() -> None:
    replica = model(blocks=100)
    loop = ClosedLoop(replica, repeat((200, 300)), clients=8, max_sequences=8, max_batch_tokens=512)
    loop.run(40)
    assert loop.preemptions > 0
    held = sum(blocks_of(loop.decodes.context(s)) for s in loop.decodes.running.values())
    held += sum(blocks_of(s.target) for s in loop.prefilling)
    assert loop.free + held == 100


def test_steps_cover_the_time_without_gaps() -> None:
    loop = ClosedLoop(model(), repeat((64, 32)), clients=4, max_sequences=4, max_batch_tokens=128)
    loop.run(20)
    assert loop.steps[0].start_s == 0.0
    assert loop.steps[-1].end_s == loop.now_s
    pairs = zip(loop.steps, loop.steps[1:], strict=False)
    assert all(a.end_s == b.start_s and a.end_s > a.start_s for a, b in pairs)


def test_a_request_that_can_never_fit_is_refused() -> None:
    loop = ClosedLoop(model(blocks=3), repeat((40, 20)), 1, 4, 128)
    with pytest.raises(RackplanError) as caught:
        loop.run(1)
    assert str(caught.value) == (
        "a request of 59 tokens needs 4 KV blocks of 16 tokens, and the replica has 3"
    )
