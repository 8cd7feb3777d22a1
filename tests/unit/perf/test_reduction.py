"""What ``StepCost``'s linear terms lose of the attention kernels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sim.catalog.library import load
from sim.perf.attention import Heads, decode_s, prefill_s
from sim.perf.gemm import FULL_CLOCK, Clock
from sim.perf.layer_constants import chip, decode_constants, prefill_constants
from sim.perf.linear import DecodeTerms, decode_terms, non_negative
from sim.perf.operators import shard
from sim.perf.timing import Stage

#: (LLM, GPU, tensor parallel, KV) → most of the median and of the P90 error, as shares of the
#: kernel's time with its launch: what this reduction reaches, rounded up.
LOSSES = [
    ("llama-3.1-70b", "h100-sxm", 4, "fp8", 0.08, 0.24),
    ("llama-3.1-8b", "h100-sxm", 1, "bf16", 0.08, 0.22),
    ("llama-3.1-70b", "h100-sxm", 8, "bf16", 0.07, 0.17),
    ("qwen3-235b-a22b", "h200-sxm", 8, "fp8", 0.10, 0.30),
    ("gpt-oss-120b", "h100-sxm", 2, "bf16", 0.11, 0.25),
    ("bloom-176b", "a100-sxm", 8, "bf16", 0.05, 0.10),
]


def stage_of(name: str, gpu: str, ranks: int, kv: str) -> Stage:
    catalog = load()
    llm, device = catalog.llms[name], catalog.gpus[gpu]
    part = shard(llm, device, "bf16", kv, ranks, llm.layers)
    return Stage(
        part, device, ranks, FULL_CLOCK, kv_precision=kv, most_sequences=256,
        most_context=llm.max_context,
    )  # fmt: skip


@pytest.mark.parametrize(("name", "gpu", "ranks", "kv", "median", "p90"), LOSSES)
def test_decode_terms_follow_the_kernel(
    name: str, gpu: str, ranks: int, kv: str, median: float, p90: float
) -> None:
    stage = stage_of(name, gpu, ranks, kv)
    attention, device = stage.shard.full, stage.gpu
    heads = Heads(attention.heads, attention.kv_heads, attention.head_dim)
    single = attention.heads == attention.kv_heads
    c = decode_constants(gpu, kv, single=single)
    grid = np.meshgrid(2.0 ** np.arange(9), 2.0 ** np.arange(7, 17))
    count, context = (axis.ravel() for axis in grid)
    fits = count * context * attention.kv_bytes * attention.layers < 0.6 * device.memory_bytes
    count, context = count[fits], context[fits]
    size = 1.0 if kv == "fp8" else 2.0
    isolated = decode_s(count, context, heads, size, c, chip(device), single=single)
    terms = stage.decode_terms(attention)
    reduced = terms.fixed_s + terms.sequence_s * count + terms.kv_token_s * count * context
    off = np.abs(reduced / attention.layers + c.launch_s - isolated) / isolated
    assert np.median(off) < median
    assert np.quantile(off, 0.9) < p90


@pytest.mark.parametrize(("name", "gpu", "ranks", "kv"), [row[:4] for row in LOSSES])
def test_a_long_prompt_alone_is_as_the_kernel(name: str, gpu: str, ranks: int, kv: str) -> None:
    stage = stage_of(name, gpu, ranks, kv)
    attention = stage.shard.full
    heads = Heads(attention.heads, attention.kv_heads, attention.head_dim)
    c = replace(prefill_constants(gpu, "bf16", kv), launch_s=0.0, bandwidth=1e12, throttle=0.0)
    tokens = np.array([8192.0, 32768.0])
    exact = attention.layers * prefill_s(1, tokens, heads, c, chip(stage.gpu))
    rows = tokens * stage.rows_s()
    if stage.shard.windowed.layers:  # their rows are among all rows, not among these pairs
        rows = rows * attention.layers / stage.shard.layers
    reduced = rows + stage.pair_s(attention) * tokens**2 / 2
    assert np.abs(reduced / exact - 1).max() < 0.05


def test_the_best_factors_of_a_sum_are_its_own() -> None:
    rng = np.random.default_rng(3)
    terms = rng.random((3, 50))
    assert non_negative(terms, 2 * terms[0] + 5 * terms[2]) == pytest.approx((2.0, 0.0, 5.0))
    # A term that would have to be negative is left out, and the others make the best of it.
    pushed = non_negative(terms, 2 * terms[0] - terms[1])
    assert pushed[1] == 0.0
    assert min(pushed) >= 0.0


def test_terms_grow_with_layers_and_clocks() -> None:
    terms = DecodeTerms(1.0, 2.0, 3.0).scaled(10, Clock(compute=2.0, memory=1.5))
    assert terms == DecodeTerms(20.0, 40.0, 45.0)


def test_a_bandwidth_bound_kernel_is_its_bytes() -> None:
    c = replace(
        decode_constants("h100-sxm", "fp8", single=False), launch_s=0.0, wait_s=0.0, split_s=0.0,
        ramp_s=0.0, block_s=1e-12, group_loss=0.0,
    )  # fmt: skip
    device = chip(load().gpus["h100-sxm"])
    found = decode_terms(
        Heads(8, 1, 128), 1.0, c, device, single=False, most_sequences=64, most_context=8192,
        most_tokens=1e9,
    )  # fmt: skip
    per_token = 2 * 128 / (c.bandwidth * device.bandwidth_bytes_per_s)
    assert found.kv_token_s == pytest.approx(per_token, rel=1e-3)
    assert found.fixed_s < 1e-9
