"""KV blocks by hand, and the message when nothing fits."""

from __future__ import annotations

import math

import pytest

from sim.catalog.arithmetic import weight_bytes
from sim.catalog.library import load
from sim.errors import RackplanError, UnknownName
from sim.perf import DoesNotFit, ReplicaModel, UnsupportedPlan, replica_model
from sim.perf.calibration import memory_constants
from sim.perf.operators import shard
from sim.perf.replica import rank_weight_bytes

DEFAULTS = {
    "precision": "fp8",
    "kv_precision": "fp8",
    "tensor_parallel": 4,
    "pipeline_parallel": 1,
    "max_sequences": 256,
    "max_batch_tokens": 8192,
    "memory_utilisation": 0.9,
    "stage_bytes_per_s": 50e9,
}


def model(llm: str, gpu: str, **changes: object) -> ReplicaModel:
    catalog = load()
    return replica_model(catalog.llms[llm], catalog.gpus[gpu], **{**DEFAULTS, **changes})


def test_llama_70b_fp8_on_four_h100s_by_hand() -> None:
    hidden, layers, vocabulary, ffn = 8192, 80, 128256, 28672
    per_layer = (8192 + 2 * 1024) * hidden + hidden * 8192 + 3 * hidden * ffn
    tables = 2 * vocabulary * hidden * 2  # embedding and head in bf16
    norms = (2 * layers + 1) * hidden * 2  # whole on every rank
    weights = (layers * per_layer + tables) / 4 + norms
    c = memory_constants()
    live = c.hidden_buffers * hidden + c.inner_buffers * (ffn + 8192) / 4
    reserve = c.runtime_bytes + 8192 * live * 2 + 256 * vocabulary * c.logit_bytes
    per_token = 2 * layers * 2 * 128  # keys and values, two KV heads of 128 per rank, one byte
    left = 81559 * 2**20 * 0.9 - weights - reserve
    assert model("llama-3.1-70b", "h100-sxm").kv_blocks == math.floor(left / (16 * per_token))


def test_parts_of_the_memory_add_up() -> None:
    parts = dict(model("gpt-oss-120b", "h100-sxm", precision="fp4", tensor_parallel=2).memory)
    spent = parts["weights"] + parts["activation reserve"] + parts["window KV"]
    assert parts["usable"] == pytest.approx(spent + parts["left for KV"])
    # 18 windowed layers, keys and values of 4 KV heads of 64 per rank in fp8.
    assert parts["window KV"] == 256 * 128 * 18 * 2 * 4 * 64
    assert parts["KV block"] == 16 * 18 * 2 * 4 * 64


@pytest.mark.parametrize("name", ["llama-3.1-8b", "qwen3-8b", "mixtral-8x7b", "deepseek-v3"])
def test_one_rank_holds_the_catalogs_weight_bytes(name: str) -> None:
    catalog = load()
    llm, gpu = catalog.llms[name], catalog.gpus["h100-sxm"]
    rank = shard(llm, gpu, "fp8", "fp8", 1, llm.layers)
    held = rank.weight_bytes + rank.head.bytes + rank.embedding_bytes
    assert held == pytest.approx(weight_bytes(llm, "fp8"), rel=1e-9)


@pytest.mark.parametrize(
    ("name", "ranks", "stages"),
    [("llama-3.1-70b", 4, 1), ("llama-3.1-70b", 2, 4), ("llama-3.1-405b", 8, 2),
     ("gemma-3-27b", 1, 2), ("qwen3-235b-a22b", 4, 2)],
)  # fmt: skip
def test_the_shares_of_all_ranks_are_the_catalogs_weights(
    name: str, ranks: int, stages: int
) -> None:
    catalog = load()
    llm = catalog.llms[name]
    shares = rank_weight_bytes(
        llm, catalog.gpus["h100-sxm"], precision="fp8", kv_precision="fp8", tensor_parallel=ranks,
        pipeline_parallel=stages,
    )  # fmt: skip
    assert len(shares) == stages
    whole = weight_bytes(llm, "fp8")
    if llm.tied_embeddings and stages > 1:  # the last stage has a copy of the embedding, its head
        whole += llm.vocabulary * llm.hidden * 2.0
    # Norms and routers are on every rank.
    assert whole <= sum(shares) * ranks <= 1.002 * whole
    parts = dict(model(name, "h200-sxm", tensor_parallel=ranks, pipeline_parallel=stages).memory)
    assert parts["weights"] in shares


def test_kv_heads_are_divided_down_to_one_and_latents_not_at_all() -> None:
    def block(llm: str, gpu: str, tp: int) -> float:
        made = model(llm, gpu, tensor_parallel=tp, precision="fp8", max_sequences=8)
        return dict(made.memory)["KV block"]

    assert block("llama-3.1-8b", "h100-sxm", 8) == block("llama-3.1-8b", "h100-sxm", 1) / 8
    assert block("llama-3.1-8b", "h100-sxm", 16) == block("llama-3.1-8b", "h100-sxm", 8)
    assert block("deepseek-v3", "b200", 8) == block("deepseek-v3", "b200", 16)


def test_the_tightest_stage_decides() -> None:
    """81 layers would not split evenly; 126 layers over 4 stages: the first has 32 of them."""
    made = model("llama-3.1-405b", "h200-sxm", tensor_parallel=2, pipeline_parallel=4)
    assert dict(made.memory)["KV block"] == 16 * 32 * 2 * 4 * 128


def test_does_not_fit_says_the_arithmetic() -> None:
    with pytest.raises(DoesNotFit) as caught:
        model("llama-3.1-70b", "h100-sxm", precision="bf16", kv_precision="bf16", tensor_parallel=1)
    assert str(caught.value) == (
        "llama-3.1-70b in bf16 does not fit on 1 x h100-sxm: of 77.0 GB usable per GPU "
        "(85.5 GB x 0.9), weights take 141.1 GB, the activation reserve 4.2 GB and window KV "
        "0.0 GB, which leaves -68.4 GB for KV blocks of 5.24 MB"
    )


@pytest.mark.parametrize(
    ("llm", "gpu", "changes", "message"),
    [
        (
            "llama-3.1-8b",
            "a100-sxm",
            {"tensor_parallel": 1},
            "a100-sxm has no fp8 arithmetic (it has bf16, int8)",
        ),
        (
            "llama-3.1-8b",
            "h100-sxm",
            {"tensor_parallel": 3},
            "tensor_parallel 3 does not divide the 32 attention heads of llama-3.1-8b "
            "(try 1, 2, 4, 8, 16, 32)",
        ),
        (
            "llama-3.1-8b",
            "h100-sxm",
            {"pipeline_parallel": 33, "tensor_parallel": 1},
            "pipeline_parallel 33 is not between 1 and the 32 layers of llama-3.1-8b",
        ),
    ],
)
def test_impossible_plans_are_refused(
    llm: str, gpu: str, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(UnsupportedPlan) as caught:
        model(llm, gpu, **changes)
    assert str(caught.value) == message


def test_more_sequences_than_batch_tokens_is_refused() -> None:
    with pytest.raises(RackplanError, match="max_sequences 256 must be between 1 and"):
        model("llama-3.1-8b", "h100-sxm", tensor_parallel=1, max_batch_tokens=128)


def test_unknown_precision_is_refused_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match="did you mean 'fp8'"):
        model("llama-3.1-8b", "h100-sxm", precision="fp9", tensor_parallel=1)


def test_every_gpu_serves_in_every_precision_it_has() -> None:
    for gpu in load().gpus.values():
        for precision in gpu.peak_flops:
            made = model("qwen3-8b", gpu.name, precision=precision, tensor_parallel=2)
            assert made.kv_blocks > 0
            assert made.cost[0].fixed_s > 0


def test_every_llm_fits_on_sixteen_gb200s() -> None:
    for llm in load().llms.values():
        tp = min(8, llm.kv_heads)
        made = model(llm.name, "gb200", precision="fp8", tensor_parallel=tp, pipeline_parallel=2)
        assert made.gpus == 2 * tp
        assert made.cost[0].window == (llm.window if llm.windowed_layers else 0)
