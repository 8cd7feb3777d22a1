"""Bounds and orderings of the draw."""

from __future__ import annotations

import pytest

from sim.catalog.library import load
from sim.perf import Batch, ReplicaModel, replica_model
from sim.perf.power import dynamic_share

CASES = [
    ("llama-3.1-8b", "h100-sxm", "bf16", 1),
    ("llama-3.1-70b", "h100-sxm", "fp8", 4),
    ("llama-3.1-8b", "a100-sxm", "bf16", 1),
    ("llama-3.1-70b", "b200", "fp8", 2),
    ("qwen3-8b", "l4", "fp8", 1),
    ("mixtral-8x7b", "mi300x", "bf16", 2),
    ("llama-3.1-8b", "h200-sxm", "fp8", 1),
    ("qwen3-32b", "gb200", "fp8", 2),
    ("qwen3-8b", "l40s", "bf16", 1),
]

#: Time per sequence outgrows what they compute: the form alone would let their draw fall.
SMALL_EXPERTS = [("gpt-oss-20b", "h100-sxm", "fp8", 8), ("gpt-oss-20b", "b200", "fp4", 1)]


def model(llm: str, gpu: str, precision: str, tp: int) -> ReplicaModel:
    catalog = load()
    return replica_model(
        catalog.llms[llm],
        catalog.gpus[gpu],
        precision=precision,
        kv_precision="fp8",
        tensor_parallel=tp,
        pipeline_parallel=1,
        max_sequences=128,
        max_batch_tokens=8192,
        memory_utilisation=0.9,
        stage_bytes_per_s=50e9,
    )


@pytest.mark.parametrize(("llm", "gpu", "precision", "tp"), CASES)
def test_draw_stays_between_loaded_idle_and_tdp(
    llm: str, gpu: str, precision: str, tp: int
) -> None:
    device = load().gpus[gpu]
    for power in model(llm, gpu, precision, tp).power:
        assert power.idle_mw == round(1000 * device.loaded_idle_w)
        values = [mw for row in power.decode_mw for mw in row] + list(power.prefill_mw)
        assert min(values) >= power.idle_mw
        assert max(values) <= 1000 * device.tdp_w
        assert all(len(row) == 129 for row in power.decode_mw)


@pytest.mark.parametrize(("llm", "gpu", "precision", "tp"), CASES)
def test_prefill_draws_more_than_large_than_small_batches_than_idle(
    llm: str, gpu: str, precision: str, tp: int
) -> None:
    for power in model(llm, gpu, precision, tp).power:
        prefill = power.prefill_draw_mw(4096)
        large = power.decode_draw_mw(128, 128 * 1000)
        small = power.decode_draw_mw(2, 2 * 1000)
        assert prefill > large > small > power.idle_mw


@pytest.mark.parametrize(("llm", "gpu", "precision", "tp"), [*CASES, *SMALL_EXPERTS])
def test_draw_never_falls_with_the_batch(llm: str, gpu: str, precision: str, tp: int) -> None:
    for row in model(llm, gpu, precision, tp).power[0].decode_mw:
        assert list(row) == sorted(row)


@pytest.mark.parametrize(("llm", "gpu", "precision", "tp"), CASES)
def test_prefill_of_a_long_prompt_draws_near_the_limit(
    llm: str, gpu: str, precision: str, tp: int
) -> None:
    drawn_mw = model(llm, gpu, precision, tp).power[0].prefill_draw_mw(4096)
    assert drawn_mw > 1000 * 0.88 * load().gpus[gpu].tdp_w


def test_draw_falls_with_the_clock_faster_than_the_clock() -> None:
    made = model("llama-3.1-8b", "h100-sxm", "bf16", 1)
    draws = [power.decode_draw_mw(64, 64 * 1000) for power in made.power]
    assert draws == sorted(draws, reverse=True)
    assert dynamic_share(1.0) == 1.0
    assert dynamic_share(0.5) < 0.5


def test_energy_of_memory_bound_decode_is_least_strictly_inside_the_clock_range() -> None:
    made = model("llama-3.1-8b", "h100-sxm", "bf16", 1)
    batch = Batch(4, 4, 4000, 0, 0, 0)
    energy = [
        power.draw_mw(batch, 0.0, 1.0) * cost.iteration_s(batch)
        for power, cost in zip(made.power, made.cost, strict=True)
    ]
    assert 0 < energy.index(min(energy)) < len(energy) - 1


def test_mixed_iteration_is_the_time_weighted_mean() -> None:
    made = model("llama-3.1-8b", "h100-sxm", "bf16", 1)
    power = made.power[0]
    batch = Batch(1032, 8, 8000, 0, 1024**2, 0)
    expected = 0.25 * power.decode_draw_mw(8, 8000) + 0.75 * power.prefill_draw_mw(1024)
    assert power.draw_mw(batch, 0.25, 1.0) == round(expected)
