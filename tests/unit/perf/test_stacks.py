"""Serving stacks: the shipped file, names, and what a stack makes of a cost."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sim.catalog.library import load
from sim.errors import DataError, RackplanError, UnknownName
from sim.perf import ReplicaModel, replica_model
from sim.perf.calibration import overheads
from sim.perf.expected import METRICS, expected_error, outside_range
from sim.perf.stacks import (
    PARAMETERS,
    POOLED,
    Parameters,
    Protocol,
    Stack,
    bounds,
    parse_stack,
    stack_named,
    stacks,
)

NEUTRAL = Parameters(
    1.0, 1.0, 1.0, overheads().layer_s, overheads().moe_layer_s, overheads().iteration_s,
    overheads().sequence_s, 0.0, overheads().activation_passes,
)  # fmt: skip


def replica(stack: Stack | None, llm: str = "llama-3.1-70b", **changes: Any) -> ReplicaModel:
    catalog = load()
    plan: dict[str, Any] = {
        "precision": "fp8", "kv_precision": "fp8", "tensor_parallel": 4, "pipeline_parallel": 1,
        "max_sequences": 256, "max_batch_tokens": 8192, "memory_utilisation": 0.9,
        "stage_bytes_per_s": 4.5e11,
    }  # fmt: skip
    return replica_model(
        catalog.llms[llm], catalog.gpus["h100-sxm"], **{**plan, **changes}, stack=stack
    )


def stack(**changes: float) -> Stack:
    return Stack("test", "x", "1", "fp8", "own", replace(NEUTRAL, **changes), Protocol())


@pytest.mark.parametrize("llm", ["llama-3.1-70b", "qwen3-235b-a22b"])
@pytest.mark.parametrize("stages", [1, 2])
def test_a_stack_of_pooled_parameters_changes_nothing(llm: str, stages: int) -> None:
    plain = replica(None, llm, pipeline_parallel=stages)
    same = replica(stack(), llm, pipeline_parallel=stages)
    for a, b in zip(plain.cost, same.cost, strict=True):
        assert b.grid_s == pytest.approx(a.grid_s)
        assert b.fixed_s == pytest.approx(a.fixed_s)
        assert b.per_decode_s == pytest.approx(a.per_decode_s)


def test_overheads_are_per_iteration_layer_and_sequence() -> None:
    plain = replica(None).cost[0]
    more = replica(
        stack(
            iteration_s=overheads().iteration_s + 1e-3,
            layer_s=overheads().layer_s + 1e-5,
            sequence_s=overheads().sequence_s + 2e-6,
        )
    ).cost[0]
    assert more.fixed_s - plain.fixed_s == pytest.approx(1e-3 + 80 * 1e-5)
    assert more.per_decode_s - plain.per_decode_s == pytest.approx(2e-6)
    assert more.grid_s == pytest.approx(plain.grid_s)


def test_scales_touch_what_they_name() -> None:
    plain, at = replica(None).cost[0], 64
    slow = replica(stack(kernel_scale=1.2)).cost[0]
    assert slow.per_kv_token_s == pytest.approx(1.2 * plain.per_kv_token_s)
    assert slow.per_prefill_pair_s == plain.per_prefill_pair_s
    assert 1.0 < slow.tokens_s(at) / plain.tokens_s(at) < 1.2
    assert slow.tokens_s(8192) == pytest.approx(plain.tokens_s(8192))
    fast = replica(stack(prefill_scale=0.8)).cost[0]
    assert fast.per_prefill_pair_s == pytest.approx(0.8 * plain.per_prefill_pair_s)
    assert fast.tokens_s(at) == pytest.approx(plain.tokens_s(at))
    assert fast.tokens_s(8192) < plain.tokens_s(8192)


def test_all_reduces_of_one_gpu_are_none() -> None:
    alone = {"tensor_parallel": 1}
    plain = replica(None, "llama-3.1-8b", **alone).cost[0]
    same = replica(stack(all_reduce_scale=2.0), "llama-3.1-8b", **alone).cost[0]
    assert same.grid_s == pytest.approx(plain.grid_s)
    shared = replica(stack(all_reduce_scale=2.0)).cost[0]
    assert shared.tokens_s(64) > replica(None).cost[0].tokens_s(64)


def test_shipped_stacks_are_within_their_bounds_and_pooled_is_the_default() -> None:
    assert len(stacks()) > 5
    for known in stacks().values():
        for name in PARAMETERS:
            low, high = bounds()[name]
            assert low <= getattr(known.parameters, name) <= high
    pooled = stacks()[POOLED].parameters
    for name in ("layer_s", "moe_layer_s", "iteration_s", "sequence_s", "activation_passes"):
        assert getattr(pooled, name) == getattr(overheads(), name)
    assert pooled.kernel_scale == pooled.prefill_scale == pooled.all_reduce_scale == 1.0


def test_a_family_is_resolved_by_precision() -> None:
    assert stack_named("vllm-0.12", "bf16").name == "vllm-0.12-bf16"
    assert stack_named("vllm-0.12-bf16", "fp8").name == "vllm-0.12-bf16"
    with pytest.raises(RackplanError, match=r"vllm-0\.12 was not measured with int4 weights"):
        stack_named("vllm-0.12", "int4")
    with pytest.raises(UnknownName, match=r"unknown stack 'vlm-0.12' \(did you mean 'vllm-0.12'"):
        stack_named("vlm-0.12", "bf16")


def test_a_value_out_of_bounds_is_refused() -> None:
    entry: dict[str, Any] = {
        "backend": "x", "version": "1", "precision": "fp8", "origin": "own",
        "parameters": {name: getattr(NEUTRAL, name) for name in PARAMETERS}, "protocol": {},
    }  # fmt: skip
    entry["parameters"]["kernel_scale"] = 3.0
    with pytest.raises(DataError, match=r"stack a: kernel_scale 3\.0 is not in 0\.8\.\.1\.3"):
        parse_stack("a", entry)


def test_error_classes() -> None:
    asked: dict[str, Any] = {"llm": "qwen3-32b", "gpu": "h100-sxm", "tensor_parallel": 2}
    own = expected_error("vllm-0.12-bf16", **asked, input_tokens=1024, concurrency=8)
    assert own.kind == "seen stack"
    assert not own.outside
    assert 0 < own.errors["tpot"][0] < own.errors["tpot"][1]
    assert expected_error(POOLED, **asked).kind == "unseen stack"
    other = expected_error("vllm-0.12-bf16", **{**asked, "llm": "llama-3.1-8b"})
    assert other.kind == "unseen LLM"
    assert all(other.errors[name][0] >= own.errors[name][0] for name in METRICS)
    far = expected_error("vllm-0.12-bf16", **{**asked, "gpu": "b200", "llm": "mixtral-8x7b"})
    assert far.kind == "unseen LLM and unseen GPU"
    assert len(far.outside) == 2
    assert far.outside[1].startswith("b200 (measured: ")


def test_what_leaves_the_measured_region_is_said() -> None:
    assert outside_range("vllm-0.12-bf16", "input_tokens", 2000) == []
    assert outside_range("vllm-0.12-bf16", "input_tokens", 40_000) == [
        "input_tokens 40,000 (measured: 1,024 to 4,096)"
    ]


def test_without_a_precision_a_name_of_one_stack_will_do() -> None:
    assert stack_named("vllm-0.12").name == "vllm-0.12-bf16"
    with pytest.raises(RackplanError, match=r"several precisions: write trtllm-1.0.0rc3-bf16 or"):
        stack_named("trtllm-1.0.0rc3")
