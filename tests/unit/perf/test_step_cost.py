"""StepCost against the operator sum it reduces, and the exact window pairs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sim.catalog.library import load
from sim.perf import Batch, ReplicaModel, replica_model
from sim.perf.across import across, ring_token_bytes
from sim.perf.collectives.timing import Between, domain_row, time_collective
from sim.perf.gemm import FULL_CLOCK
from sim.perf.operators import shard
from sim.perf.reduce import batch_s
from sim.perf.step import windowed_pairs
from sim.perf.timing import Stage

PLANS = [
    ("llama-3.1-70b", "h100-sxm", "fp8", 4, 1),
    ("llama-3.1-8b", "a100-sxm", "bf16", 1, 1),
    ("llama-3.1-405b", "h200-sxm", "fp8", 8, 2),
    ("mixtral-8x7b", "mi300x", "bf16", 2, 1),
    ("deepseek-v3", "gb200", "fp4", 8, 1),
    ("gpt-oss-120b", "h100-sxm", "fp4", 2, 1),
    ("qwen3-30b-a3b", "b200", "fp8", 1, 1),
    ("qwen3-8b", "l40s", "fp8", 2, 1),
    ("qwen3-8b", "l4", "int4", 1, 1),
]


def model(llm: str, gpu: str, precision: str, tp: int, pp: int, **changes: int) -> ReplicaModel:
    catalog = load()
    return replica_model(
        catalog.llms[llm],
        catalog.gpus[gpu],
        precision=precision,
        kv_precision="fp8",
        tensor_parallel=tp,
        pipeline_parallel=pp,
        max_sequences=changes.get("max_sequences", 64),
        max_batch_tokens=changes.get("max_batch_tokens", 8192),
        memory_utilisation=0.9,
        stage_bytes_per_s=50e9,
    )


@pytest.mark.parametrize(("llm", "gpu", "precision", "tp", "pp"), PLANS)
def test_grid_follows_the_operator_sum_within_one_percent(
    llm: str, gpu: str, precision: str, tp: int, pp: int
) -> None:
    catalog = load()
    made = model(llm, gpu, precision, tp, pp)
    row, device = catalog.llms[llm], catalog.gpus[gpu]
    stage = Stage(
        shard(row, device, precision, "fp8", tp, -(-row.layers // pp)), device, tp, FULL_CLOCK
    )
    tokens = np.arange(1, 8193, 7)
    exact = batch_s(stage, pp, 50e9, tokens.astype(float))
    cost = made.cost[0]
    reduced = np.array([cost.tokens_s(int(m)) for m in tokens])
    assert np.abs(reduced / exact - 1).max() < 0.01
    assert cost.grid_tokens[0] == 0
    assert cost.grid_tokens[-1] == 8192
    assert len(cost.grid_tokens) < 160  # the A100 rounds waves up: a corner at each


@pytest.mark.parametrize(("llm", "gpu", "precision", "tp", "pp"), PLANS)
def test_time_grows_with_every_term_and_is_positive(
    llm: str, gpu: str, precision: str, tp: int, pp: int
) -> None:
    for cost in model(llm, gpu, precision, tp, pp).cost:
        assert all(a <= b for a, b in zip(cost.grid_s, cost.grid_s[1:], strict=False))
        least = cost.iteration_s(Batch(1, 1, 1, 1 if cost.window else 0, 0, 0))
        assert least > 0
        base = Batch(500, 10, 10_000, 1000, 100_000, 50_000)
        terms = ["tokens", "decodes", "kv_tokens", "prefill_pairs"]
        if cost.window:
            terms += ["windowed_kv_tokens", "windowed_prefill_pairs"]
        for term in terms:
            more = replace(base, **{term: getattr(base, term) + 64})
            assert cost.iteration_s(more) > cost.iteration_s(base), term


@pytest.mark.parametrize(("llm", "gpu", "precision", "tp", "pp"), PLANS)
def test_lower_clock_is_never_faster_and_prefill_loses_most(
    llm: str, gpu: str, precision: str, tp: int, pp: int
) -> None:
    made = model(llm, gpu, precision, tp, pp)
    assert list(made.clocks_hz) == sorted(made.clocks_hz, reverse=True)
    decode = Batch(4, 4, 4 * 1000, 4 * 128 if made.cost[0].window else 0, 0, 0)
    prefill = Batch(4096, 0, 0, 0, 4096**2, 4096**2 // 8 if made.cost[0].window else 0)
    decodes = [cost.iteration_s(decode) for cost in made.cost]
    prefills = [cost.iteration_s(prefill) for cost in made.cost]
    assert decodes == sorted(decodes)
    assert prefills == sorted(prefills)
    low = next(i for i, hz in enumerate(made.clocks_hz) if hz < 0.8 * made.clocks_hz[0])
    assert prefills[low] / prefills[0] > decodes[low] / decodes[0]


@pytest.mark.parametrize(
    ("llm", "gpu", "precision", "slower"),
    [
        ("qwen3-32b", "h100-sxm", "fp8", (1.02, 1.3)),
        ("qwen3-32b", "h200-sxm", "fp8", (1.02, 1.3)),
        ("qwen3-32b", "h100-sxm", "bf16", (1.0, 1.0)),
        ("qwen3-32b", "b200", "fp8", (1.0, 1.0)),
    ],
)
def test_fp8_weights_with_a_scale_per_block_take_longer_on_hopper(
    llm: str, gpu: str, precision: str, slower: tuple[float, float]
) -> None:
    catalog = load()
    blocks, kind = catalog.llms[llm], catalog.gpus[gpu]
    assert blocks.fp8_blocks
    tokens = np.array([4096.0])
    per_block, per_tensor = (
        Stage(shard(one, kind, precision, "fp8", 2, one.layers), kind, 2, FULL_CLOCK)
        for one in (blocks, replace(blocks, fp8_blocks=False))
    )
    ratio = float(per_block.tokens_s(tokens)[0] / per_tensor.tokens_s(tokens)[0])
    assert slower[0] <= ratio <= slower[1]


def test_two_pipeline_stages_of_half_the_layers_cost_one_stage_twice() -> None:
    """pp = 2 on even layers: fixed, KV and pair terms are twice one half, less nothing."""
    whole, piped = (
        model("llama-3.1-8b", "h100-sxm", "bf16", 1, 1),
        model("llama-3.1-8b", "h100-sxm", "bf16", 1, 2),
    )
    # Twice half of the KV in half of the layers: the same layers' time for half of the tokens.
    # (Not exactly: the terms are fitted to batches that fit the memory, and those differ.)
    half = whole.cost[0].per_kv_token_s / 2
    assert piped.cost[0].per_kv_token_s == pytest.approx(half, rel=0.01)
    assert piped.cost[0].per_prefill_pair_s == pytest.approx(whole.cost[0].per_prefill_pair_s / 2)
    assert piped.gpus == 2
    assert piped.kv_blocks > 2 * whole.kv_blocks


@pytest.mark.parametrize("window", [1, 7, 128])
def test_windowed_pairs_equal_a_count_by_hand(window: int) -> None:
    """A query after q earlier tokens sees min(q + 1/2, window) keys: the half-open convention."""
    for context in (0, 1, 5, 127, 200):
        for chunk in (1, 2, 64, 300):
            doubled = 0
            for position in range(context, context + chunk):
                low = min(position, window)
                high = min(position + 1, window)
                # The area under 2*min(x, window) over [position, position + 1].
                doubled += (low + high) if high > low else 2 * window
            assert windowed_pairs(context, chunk, window) == doubled


def test_without_a_window_pairs_are_those_of_full_attention() -> None:
    assert windowed_pairs(100, 28, 10**9) == 28 * (200 + 28)


def test_all_reduces_over_two_servers_are_those_of_nccl() -> None:
    """Two servers with 8 NICs each: only the all-reduces differ, and each is the closed form."""
    catalog = load()
    llm, gpu = catalog.llms["llama-3.1-70b"], catalog.gpus["h100-sxm"]
    between = Between(8, 50e9)
    part = shard(llm, gpu, "fp8", "fp8", 16, llm.layers)
    one = Stage(part, gpu, 16, FULL_CLOCK)
    two = Stage(part, gpu, 16, FULL_CLOCK, 2, between)
    tokens = np.array([1.0, 32.0, 700.0, 8192.0])
    each = [
        time_collective(
            "all-reduce", m * 8192 * 2, "h100-sxm", 16, domains=2, between=between
        ).time_s
        for m in tokens
    ]
    got = two.communication_s(tokens)
    assert got == pytest.approx(2 * 80 * np.array(each))
    assert (got > one.communication_s(tokens)).all()
    rest = one.tokens_s(tokens) - one.communication_s(tokens)
    assert two.tokens_s(tokens) - got == pytest.approx(rest)


@pytest.mark.parametrize(
    ("domains", "nics", "nic", "rate"),
    [
        (2, 8, 5e9, 5e9),  # a tenth of a usual NIC: the network is what is slow
        (2, 4, 5e9, 2.5e9),  # two ranks to a NIC
        (4, 8, 1e9, 1e9),
        (2, 8, 5e13, None),  # NVLink is what is slow: as much of the network is asked for
    ],
)
def test_a_rank_sends_at_what_the_slower_of_nic_and_nvlink_lets_through(
    domains: int, nics: int, nic: float, rate: float | None
) -> None:
    found = across("h100-sxm", 8 * domains, domains, Between(nics, nic))
    bulk = domain_row("all-reduce", "h100-sxm", 8, 16).fit.bulk
    nvlink = 2 * (domains - 1) / domains / 8 / bulk.s_per_byte
    assert found.rank_bytes_per_s == pytest.approx(nvlink if rate is None else rate)
    assert found.domains == domains


def test_bytes_of_a_token_in_the_ring_over_servers() -> None:
    # Two all-reduces in each of 80 layers, of 8,192 elements of two bytes; 2 * 3/4 of an eighth.
    assert ring_token_bytes(80, 8192, 32, 4) == pytest.approx(2 * 80 * 8192 * 2 * 1.5 / 8)
