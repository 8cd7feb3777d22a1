"""What replicas and workloads are metered for, by hand: iterations of one second."""

from __future__ import annotations

from typing import Any

import pytest

from tests.engine_world import Given, constant_cost, model, pool, scenario, serve, workload


def request(at_s: float, prompt: int, output: int) -> dict[str, Any]:
    """One request."""
    return {"arrival_s": at_s, "input_tokens": prompt, "output_tokens": output}


@pytest.mark.parametrize(
    ("reason", "length_s", "rows", "options"),
    [
        # The second request waits from the boundary at 1 s to the end of the first at 9 s.
        ("sequences", 8.0, [request(0.0, 1, 9), request(0.5, 1, 1)], {"max_sequences": 1}),
        # The first takes the whole budget for three iterations.
        ("tokens", 3.0, [request(0.0, 30, 1), request(0.0, 5, 1)], {"max_batch_tokens": 10}),
        # Of four blocks the first has two, then three; the second needs three.
        ("blocks", 3.0, [request(0.0, 32, 4), request(0.5, 48, 1)], {}),
    ],
)
def test_why_the_head_of_the_queue_waits(
    reason: str, length_s: float, rows: list[dict[str, Any]], options: dict[str, int]
) -> None:
    replica = model(constant_cost(1.0), blocks=4)
    limits = {"max_sequences": 4, "max_batch_tokens": 100, **options}
    run = serve(scenario([pool(replica, **limits)], [workload()]), [Given(rows)])
    (found,) = run.rows("replicas")
    blocked = {what: found[f"blocked_{what}_s"] for what in ("sequences", "tokens", "blocks")}
    assert blocked == {"sequences": 0.0, "tokens": 0.0, "blocks": 0.0, reason: length_s}


def test_integrals_of_one_request() -> None:
    """Prompt of 8, four tokens, from 1 to 5 s; KV counts what is there at an iteration's start."""
    setup = scenario([pool(model(constant_cost(1.0)))], [workload()])
    (found,) = serve(setup, [Given([request(1.0, 8, 4)])]).rows("replicas")
    assert found["busy_s"] == found["running_s"] == 4.0
    assert found["waiting_s"] == 0.0
    assert found["kv_token_s"] == 0 + 8 + 9 + 10
    assert (found["prefill_tokens"], found["decode_tokens"], found["iterations"]) == (8, 3, 4)


@pytest.mark.parametrize(
    ("warm_up_s", "duration_s", "tokens"),
    # Tokens at 1, 2, 3 and 4 s; one at the window's start is inside, one at its end is not.
    [(0.0, 9.0, 4), (0.0, 1.0, 0), (0.5, 1.5, 1), (1.0, 3.0, 2), (2.5, 4.0, 1), (4.5, 9.0, 0)],
)
def test_tokens_count_when_they_are_delivered(
    warm_up_s: float, duration_s: float, tokens: int
) -> None:
    window = {"warm_up_s": warm_up_s, "duration_s": duration_s}
    setup = scenario([pool(model(constant_cost(1.0)))], [workload()], **window)
    (found,) = serve(setup, [Given([request(0.0, 8, 4)])]).rows("workloads")
    assert found["delivered_tokens"] == tokens
