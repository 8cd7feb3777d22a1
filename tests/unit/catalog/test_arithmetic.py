"""Parameters, weights and KV bytes against what the publishers say."""

from __future__ import annotations

import dataclasses

import pytest

from sim import catalog
from sim.catalog.arithmetic import (
    active_parameters,
    default_kv_precision,
    kv_bytes_per_token,
    kv_bytes_per_token_layer,
    kv_heads_per_rank,
    parameter_groups,
    parameters,
    weight_bytes,
)
from sim.errors import UnknownName

LLMS = catalog.names("llm")


@pytest.mark.parametrize("name", LLMS)
def test_parameters_are_the_published_ones(name: str) -> None:
    llm = catalog.llm(name)
    assert parameters(llm) == pytest.approx(llm.published_parameters, rel=0.01)


@pytest.mark.parametrize("name", LLMS)
def test_active_parameters_are_the_published_ones(name: str) -> None:
    llm = catalog.llm(name)
    counts_all = catalog.entry("llm", name).word("active_counts") == "all"
    active = active_parameters(llm, input_embedding=counts_all)
    assert active == pytest.approx(llm.published_active_parameters, rel=0.02)


@pytest.mark.parametrize("name", LLMS)
def test_a_dense_llm_is_active_but_for_its_input_embedding(name: str) -> None:
    llm = catalog.llm(name)
    groups = parameter_groups(llm)
    if llm.experts:
        assert active_parameters(llm) < 0.4 * parameters(llm)
    else:
        own_embedding = 0 if llm.tied_embeddings else groups.embedding
        assert active_parameters(llm) == parameters(llm) - own_embedding


def test_llama_8b_to_the_parameter() -> None:
    # The safetensors index of the checkpoint counts 8,030,261,248.
    assert parameters(catalog.llm("llama-3.1-8b")) == 8_030_261_248


@pytest.mark.parametrize(("name", "gib"), [("gpt-oss-20b", 12.8), ("gpt-oss-120b", 60.8)])
def test_mxfp4_checkpoints_have_the_published_size(name: str, gib: float) -> None:
    # OpenAI's model card gives the checkpoint sizes in GiB.
    assert weight_bytes(catalog.llm(name), "fp4") / 2**30 == pytest.approx(gib, abs=0.05)


def test_bf16_weights_are_two_bytes_each() -> None:
    for name in LLMS:
        llm = catalog.llm(name)
        assert weight_bytes(llm, "bf16") == 2 * parameters(llm)


def test_fewer_bits_are_fewer_bytes() -> None:
    for name in LLMS:
        llm = catalog.llm(name)
        by_precision = [weight_bytes(llm, p) for p in ("bf16", "fp8", "fp4", "int4")]
        assert by_precision == sorted(by_precision, reverse=True)
        assert weight_bytes(llm, "int8") == weight_bytes(llm, "fp8")


def test_embedding_and_head_stay_in_bf16() -> None:
    llm = catalog.llm("llama-3.1-70b")
    groups = parameter_groups(llm)
    kept = groups.embedding + groups.head + groups.small
    assert kept == 2 * 128256 * 8192 + 80 * 2 * 8192 + 8192
    assert weight_bytes(llm, "fp8") == parameters(llm) + kept


def test_weights_in_an_unknown_precision() -> None:
    with pytest.raises(UnknownName, match="unknown precision 'fp16'"):
        weight_bytes(catalog.llm("qwen3-8b"), "fp16")


def test_kv_bytes_of_known_llms() -> None:
    assert kv_bytes_per_token(catalog.llm("deepseek-v3"), "bf16") == 70_272
    # 2 x 80 layers x 8 heads x 128 x 2 bytes
    assert kv_bytes_per_token(catalog.llm("llama-3.1-70b"), "bf16") == 327_680
    assert kv_bytes_per_token(catalog.llm("llama-3.1-70b"), "fp8") == 163_840


def test_kv_heads_are_divided_down_to_one() -> None:
    llama = catalog.llm("llama-3.1-70b")
    assert [kv_heads_per_rank(llama, tp) for tp in (1, 2, 4, 8, 16, 64)] == [8, 4, 2, 1, 1, 1]
    assert kv_bytes_per_token(llama, "fp8", 16) == kv_bytes_per_token(llama, "fp8", 8)


def test_mla_is_replicated_on_every_rank() -> None:
    deepseek = catalog.llm("deepseek-v3")
    assert kv_bytes_per_token_layer(deepseek, "bf16", 8) == (512 + 64) * 2
    assert kv_bytes_per_token(deepseek, "bf16", 8) == 70_272


def test_kv_bytes_per_token_count_every_layer_windowed_or_not() -> None:
    llm = catalog.llm("gpt-oss-20b")
    layer = kv_bytes_per_token_layer(llm, "bf16")
    assert layer == 2 * 8 * 64 * 2
    assert kv_bytes_per_token(llm, "bf16") == 24 * layer


def test_tied_embeddings_are_counted_once() -> None:
    llm = catalog.llm("qwen3-8b")
    tied = dataclasses.replace(llm, tied_embeddings=True)
    assert parameters(llm) - parameters(tied) == llm.vocabulary * llm.hidden
    assert active_parameters(tied) == active_parameters(llm)


@pytest.mark.parametrize(
    ("weights", "kv"),
    [("bf16", "bf16"), ("fp8", "fp8"), ("int8", "int8"), ("fp4", "fp8"), ("int4", "fp8")],
)
def test_default_kv_precision(weights: str, kv: str) -> None:
    assert default_kv_precision(weights) == kv
