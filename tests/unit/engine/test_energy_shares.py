"""Who pays for an iteration's energy: decode by sequences, prefill by tokens."""

from __future__ import annotations

from typing import Any

import pytest

from sim.perf.step import Batch
from tests.engine_world import DYADIC, Given, constant_cost, model, pool, scenario, serve, workload


def energies_j(replica: Any, *sources: list[dict[str, Any]], **window: float) -> list[float]:
    """Energy charged to each workload."""
    loads = [workload(f"load-{number}") for number in range(len(sources))]
    run = serve(scenario([pool(replica)], loads, **window), [Given(rows) for rows in sources])
    return [row["energy_j"] for row in run.rows("workloads")]


def request(prompt: int, output: int, arrival_s: float = 0.0) -> dict[str, Any]:
    """One request."""
    return {"arrival_s": arrival_s, "input_tokens": prompt, "output_tokens": output}


def test_prefill_is_charged_by_tokens() -> None:
    replica = model(constant_cost(1.0), gpus=2)
    draw_w = round(replica.power[0].prefill_draw_mw(400)) / 1000
    found = energies_j(replica, [request(300, 1)], [request(40, 1), request(60, 1)])
    assert found == pytest.approx([2 * draw_w * 0.75, 2 * draw_w * 0.25], rel=1e-12)


def test_decode_is_charged_by_sequences() -> None:
    replica = model(constant_cost(1.0))
    draw_w = replica.power[0].decode_draw_mw(3, 300) / 1000
    load = [request(500, 5)], [request(9, 5), request(9, 5)]
    found = energies_j(replica, *load, warm_up_s=1.0, duration_s=5.0)  # four decode iterations
    assert found == pytest.approx([4 * draw_w / 3, 8 * draw_w / 3], rel=1e-12)


def test_a_mixed_iteration_is_split_by_the_time_of_its_phases() -> None:
    replica = model(DYADIC)
    start_s = DYADIC.iteration_s(Batch(16, 0, 0, 0, 256, 0))
    mixed = Batch(1 + 800, 1, 17, 0, 800 * 800, 0)
    decode_s, total_s = DYADIC.iteration_s(Batch(1, 1, 17, 0, 0, 0)), DYADIC.iteration_s(mixed)
    energy_j = replica.power[0].draw_mw(mixed, decode_s, total_s) / 1000 * total_s
    found = energies_j(
        replica, [request(16, 2)], [request(800, 1, start_s)],
        warm_up_s=start_s, duration_s=start_s + total_s,
    )  # fmt: skip
    share = decode_s / total_s
    assert found == pytest.approx([share * energy_j, (1 - share) * energy_j], rel=1e-12)
