"""Expert parallelism and data-parallel attention: bytes, KV, time and exchange of a replica."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sim.catalog.arithmetic import weight_bytes
from sim.catalog.library import load
from sim.errors import UnknownName
from sim.perf import Batch, ReplicaModel, UnsupportedPlan, replica_model
from sim.perf.calibration import overheads
from sim.perf.collectives.timing import Between, time_collective
from sim.perf.gemm import FULL_CLOCK
from sim.perf.layer_constants import all_reduce_s
from sim.perf.operators import shard
from sim.perf.replica import rank_weight_bytes
from sim.perf.timing import Stage

DEFAULTS = {
    "precision": "fp8",
    "kv_precision": "fp8",
    "tensor_parallel": 8,
    "pipeline_parallel": 1,
    "max_sequences": 256,
    "max_batch_tokens": 8192,
    "memory_utilisation": 0.9,
    "stage_bytes_per_s": 50e9,
}


def model(llm: str, gpu: str = "h200-sxm", **changes: object) -> ReplicaModel:
    catalog = load()
    return replica_model(catalog.llms[llm], catalog.gpus[gpu], **{**DEFAULTS, **changes})


def stage(llm: str, ranks: int, experts: int, groups: int) -> Stage:
    catalog = load()
    row, gpu = catalog.llms[llm], catalog.gpus["h200-sxm"]
    part = shard(
        row, gpu, "fp8", "fp8", ranks, row.layers, expert_parallel=experts,
        data_parallel_attention=groups,
    )  # fmt: skip
    return Stage(part, gpu, ranks, FULL_CLOCK, kv_precision="fp8")


@pytest.mark.parametrize("llm", ["qwen3-235b-a22b", "deepseek-v3", "mixtral-8x7b"])
@pytest.mark.parametrize("parts", [1, 2, 4, 8])
def test_whole_experts_weigh_what_slices_do(llm: str, parts: int) -> None:
    gpu = load().gpus["h200-sxm"]
    plan = {name: DEFAULTS[name] for name in list(DEFAULTS)[:4]}
    sliced = rank_weight_bytes(load().llms[llm], gpu, **plan)
    whole = rank_weight_bytes(load().llms[llm], gpu, **plan, expert_parallel=parts)
    assert whole == pytest.approx(sliced)


@pytest.mark.parametrize("llm", ["qwen3-235b-a22b", "deepseek-v3"])
def test_groups_copy_all_but_the_experts(llm: str) -> None:
    catalog = load()
    row, gpu = catalog.llms[llm], catalog.gpus["b200"]

    def rank(groups: int) -> float:
        part = shard(
            row, gpu, "fp8", "fp8", 8, row.layers, expert_parallel=8,
            data_parallel_attention=groups,
        )  # fmt: skip
        return part.weight_bytes + part.head.bytes + part.embedding_bytes

    one = shard(row, gpu, "fp8", "fp8", 1, row.layers)
    assert one.experts is not None
    rest = weight_bytes(row, "fp8") - one.experts.bytes
    assert rank(8) == pytest.approx(one.experts.bytes / 8 + rest, rel=1e-9)
    assert rank(1) < rank(2) < rank(4) < rank(8)


def test_each_group_keeps_kv_of_its_own() -> None:
    """Latents of MLA are on every rank: eight groups hold about eight times as many tokens."""
    one = model("deepseek-v3", "b200", expert_parallel=8)
    eight = model("deepseek-v3", "b200", expert_parallel=8, data_parallel_attention=8)
    parts, whole = dict(eight.memory), dict(one.memory)
    assert parts["KV block"] == whole["KV block"]
    assert eight.kv_blocks == 8 * math.floor(parts["left for KV"] / parts["KV block"])
    assert eight.kv_blocks > 6 * one.kv_blocks
    # Four KV heads over eight GPUs are there twice; over two groups of four, once each.
    twice = model("qwen3-235b-a22b", expert_parallel=8)
    once = model("qwen3-235b-a22b", expert_parallel=8, data_parallel_attention=2)
    assert dict(once.memory)["KV block"] == dict(twice.memory)["KV block"]
    assert 1.6 < once.kv_blocks / twice.kv_blocks < 2


def test_with_all_tokens_on_every_gpu_there_are_two_all_reduces_a_layer() -> None:
    tokens = np.array([1.0, 64.0, 4096.0])
    sliced, whole = stage("qwen3-235b-a22b", 8, 1, 1), stage("qwen3-235b-a22b", 8, 8, 1)
    each = all_reduce_s(sliced.gpu, 8, tokens * 4096 * 2)
    assert sliced.communication_s(tokens) == pytest.approx(2 * 94 * each)
    assert whole.communication_s(tokens) == pytest.approx(2 * 94 * each)


def test_groups_send_their_tokens_to_the_experts_and_back() -> None:
    tokens = np.array([64.0, 4096.0])
    gpu = load().gpus["h200-sxm"]
    found = stage("qwen3-235b-a22b", 8, 8, 8).communication_s(tokens)
    moved = tokens / 8 * 8 * 4096 * 2  # of each GPU's tokens a copy to each of eight parts
    alone = [time_collective("all-to-all", s, "h200-sxm", 8).time_s for s in moved.tolist()]
    assert found == pytest.approx(2 * 94 * np.array(alone))
    # Groups of two GPUs each have an all-reduce of their share behind the attention.
    paired = stage("qwen3-235b-a22b", 8, 8, 4).communication_s(tokens)
    behind = all_reduce_s(gpu, 2, tokens / 4 * 4096 * 2)
    assert paired == pytest.approx(2 * 94 * np.array(alone) + 94 * behind)
    # Without whole experts all GPUs need all tokens: what an all-reduce moves.
    sliced = stage("qwen3-235b-a22b", 8, 1, 8).communication_s(tokens)
    assert sliced == pytest.approx(94 * all_reduce_s(gpu, 8, tokens * 4096 * 2))


def test_dense_layers_of_a_group_have_their_own_all_reduces() -> None:
    """DeepSeek-V3: 61 layers, the first three dense; groups of two reduce behind 61 + 3 of them."""
    tokens = np.array([512.0])
    found = stage("deepseek-v3", 8, 8, 4)
    experts = found.shard.experts
    assert experts is not None
    assert experts.layers == 58
    inside = found.communication_s(tokens) - 58 * found.exchange_s(experts, tokens)
    assert inside == pytest.approx((61 + 3) * all_reduce_s(found.gpu, 2, tokens / 4 * 7168 * 2))


def test_groups_share_sequences_and_their_kv() -> None:
    one = model("qwen3-235b-a22b", expert_parallel=8).cost[0]
    two = model("qwen3-235b-a22b", expert_parallel=8, data_parallel_attention=2).cost[0]
    four = stage("qwen3-235b-a22b", 8, 8, 2)
    assert four.shard.full.heads == 16
    # Twice the heads, half the tokens: pairs cost a group twice, and there are two groups.
    assert two.per_prefill_pair_s == pytest.approx(one.per_prefill_pair_s)
    # One KV head per rank either way, and half of the context is a group's; but with 16 query
    # heads instead of 8 to serve, reading it takes longer.
    assert 0.5 < two.per_kv_token_s / one.per_kv_token_s < 0.75
    assert two.per_decode_s < 0.6 * (one.per_decode_s + overheads().sequence_s)


def test_a_hot_rank_is_slower_and_only_with_whole_experts_much() -> None:
    batch = Batch(4096, 0, 0, 0, 4096**2, 0)

    def time(**changes: object) -> float:
        return model("qwen3-235b-a22b", **changes).cost[0].iteration_s(batch)

    sliced, skewed = time(), time(expert_routing="power-law")
    whole, hot = time(expert_parallel=8), time(expert_parallel=8, expert_routing="power-law")
    assert hot > 1.08 * whole
    assert skewed < 1.05 * sliced
    assert whole < sliced  # whole experts have fewer slices' activations to move


@pytest.mark.parametrize(
    ("llm", "changes", "message"),
    [
        ("llama-3.1-70b", {"expert_parallel": 8}, "llama-3.1-70b has no experts: leave"),
        ("llama-3.1-70b", {"data_parallel_attention": 2}, "independent copies are replicas"),
        ("qwen3-235b-a22b", {"expert_parallel": 16}, "does not divide tensor_parallel 8"),
        ("qwen3-235b-a22b", {"data_parallel_attention": 3}, "does not divide tensor_parallel 8"),
        ("mixtral-8x7b", {"expert_parallel": 16, "tensor_parallel": 16}, "the 8 experts of"),
        (
            "qwen3-235b-a22b",
            {"tensor_parallel": 16, "data_parallel_attention": 2, "domains": 2,
             "between": Between(8, 50e9)},
            "needs its GPUs in one NVLink domain",
        ),
    ],
)  # fmt: skip
def test_what_divides_nothing_is_refused(
    llm: str, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(UnsupportedPlan, match=message):
        model(llm, **changes)


def test_an_unknown_routing_is_refused() -> None:
    with pytest.raises(UnknownName, match="unknown routing of experts 'zipf'"):
        model("qwen3-235b-a22b", expert_routing="zipf")


def test_heads_are_cut_by_the_gpus_of_a_group() -> None:
    """96 heads do not come out even over 64 GPUs, but do over groups of 32."""
    with pytest.raises(UnsupportedPlan, match="does not divide the 96 attention heads"):
        model("qwen3-coder-480b-a35b", "gb200", tensor_parallel=64)
    made = model(
        "qwen3-coder-480b-a35b", "gb200", tensor_parallel=64, expert_parallel=32,
        data_parallel_attention=2,
    )  # fmt: skip
    assert made.gpus == 64
