"""Predictions for one replica: closed forms, physical bounds, published anchors, measured runs."""

from __future__ import annotations

import csv
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from statistics import median

import pytest

from sim.catalog.library import load
from sim.engine.closed_loop import ClosedLoop
from sim.engine.predict import (
    Prediction,
    Predictor,
    ServingQuery,
    spread_lengths,
    steady_draw_w,
    steady_start_s,
    without_idle_window,
)
from sim.errors import RackplanError
from sim.perf import Batch, ReplicaModel, replica_model
from sim.perf.stacks import stacks

QUERY = ServingQuery("fp8", 4, 1024, 1024, 64)


def predict(query: ServingQuery, llm: str = "llama-3.1-70b", gpu: str = "h100-sxm") -> Prediction:
    catalog = load()
    return Predictor().serving(catalog.llms[llm], catalog.gpus[gpu], query)


def replica_of(llm: str) -> ReplicaModel:
    """One H100 with the LLM in bf16."""
    catalog = load()
    return replica_model(
        catalog.llms[llm],
        catalog.gpus["h100-sxm"],
        precision="bf16",
        kv_precision="bf16",
        tensor_parallel=1,
        pipeline_parallel=1,
        max_sequences=256,
        max_batch_tokens=8192,
        memory_utilisation=0.9,
        stage_bytes_per_s=1.0,
    )


def test_one_client_is_the_sum_of_its_iterations() -> None:
    cost = replica_of("llama-3.1-8b").cost[0]
    prefill_s = cost.iteration_s(Batch(1000, 0, 0, 0, 1000**2, 0))
    decode_s = [
        cost.iteration_s(Batch(1, 1, context + 1, 0, 0, 0)) for context in range(1000, 1199)
    ]
    got = predict(ServingQuery("bf16", 1, 1000, 200, 1, length_spread=0.0), "llama-3.1-8b")
    request_s = stacks()["pooled"].parameters.request_s
    assert got.ttft_p50_s == pytest.approx(prefill_s + request_s)
    assert got.tpot_p50_s == pytest.approx(sum(decode_s) / 199)
    assert got.output_tokens_per_s == pytest.approx(200 / (request_s + prefill_s + sum(decode_s)))


def test_more_clients_bring_throughput_and_cost_latency() -> None:
    answers = [predict(ServingQuery("fp8", 4, 1024, 256, c)) for c in (1, 8, 64, 256)]
    for less, more in pairwise(answers):
        assert less.output_tokens_per_s is not None
        assert more.output_tokens_per_s is not None
        assert more.output_tokens_per_s > less.output_tokens_per_s
        assert (more.tpot_p50_s or 0) > (less.tpot_p50_s or 0)
        assert (more.gpu_draw_w or 0) > (less.gpu_draw_w or 0)


def test_what_does_not_fit_has_no_numbers_but_the_arithmetic() -> None:
    got = predict(ServingQuery("bf16", 1, 1024, 1024, 64))
    assert not got.fits
    assert got.output_tokens_per_s is got.ttft_p50_s is got.tpot_p50_s is got.gpu_draw_w is None
    assert got.message is not None
    assert got.message.startswith("llama-3.1-70b in bf16 does not fit on 1 x h100-sxm")


def test_a_request_longer_than_the_cache_does_not_fit() -> None:
    got = predict(
        ServingQuery("bf16", 1, 60_001, 10_000, 1, length_spread=0.0), "llama-3.1-8b", "l4"
    )
    assert not got.fits
    assert got.output_tokens_per_s is None
    assert got.message is not None
    assert got.message.startswith(
        "a request of up to 70,000 tokens never fits: the replica's KV cache"
    )


def test_a_request_beyond_the_context_does_not_fit() -> None:
    most = predict(ServingQuery("fp8", 8, 131_062, 10, 1))
    assert most.fits
    got = predict(ServingQuery("fp8", 8, 131_063, 10, 1))
    assert not got.fits
    assert got.message == (
        "131,073 tokens of input and output are more than the context of 131,072 that "
        "llama-3.1-70b has"
    )


def test_one_output_token_has_no_tpot() -> None:
    assert predict(ServingQuery("fp8", 4, 128, 1, 4)).tpot_p50_s is None


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (ServingQuery("fp8", 4, 0, 10, 1), "input_tokens must be at least 1, not 0"),
        (ServingQuery("fp8", 4, 10, 10, 0), "concurrency must be at least 1, not 0"),
        (
            ServingQuery("fp8", 4, 10, 10, 10**6),
            "concurrency must be at most 100,000, not 1,000,000",
        ),
        (
            ServingQuery("fp8", 4, 10, 10, 1, length_spread=1.0),
            "length_spread must be in [0, 1), not 1.0",
        ),
    ],
)
def test_nonsense_is_refused(query: ServingQuery, message: str) -> None:
    with pytest.raises(RackplanError) as caught:
        predict(query)
    assert str(caught.value) == message


def test_requests_drift_apart_unless_kept_in_lockstep() -> None:
    usual = predict(QUERY)
    lockstep = predict(replace(QUERY, length_spread=0.0))
    spread = stacks()["pooled"].protocol.length_spread
    assert usual == predict(replace(QUERY, length_spread=spread))
    assert (usual.ttft_p50_s or 0) < 0.9 * (lockstep.ttft_p50_s or 0)
    assert usual.tpot_p50_s == pytest.approx(lockstep.tpot_p50_s, rel=0.03)
    assert usual.output_tokens_per_s == pytest.approx(lockstep.output_tokens_per_s, rel=0.03)


def test_spread_lengths_keep_their_mean_and_shorten_the_wait() -> None:
    same = predict(QUERY)
    spread = predict(ServingQuery("fp8", 4, 1024, 1024, 64, length_spread=0.1))
    assert spread.output_tokens_per_s == pytest.approx(same.output_tokens_per_s, rel=0.05)
    assert (spread.ttft_p50_s or 0) < (same.ttft_p50_s or 0)


@pytest.mark.parametrize(
    ("llm", "tp", "clients", "tokens_per_s"),
    [
        ("llama-3.1-8b", 1, 8, 1070),
        ("llama-3.1-8b", 1, 64, 5147),
        ("llama-3.1-8b", 1, 256, 9010),
        ("llama-3.1-70b", 4, 8, 470),
        ("llama-3.1-70b", 4, 64, 2511),
        ("llama-3.1-70b", 4, 256, 4915),
    ],
)
def test_published_vllm_runs_on_h100_within_a_third(
    llm: str, tp: int, clients: int, tokens_per_s: float
) -> None:
    """ML.ENERGY v3, lm-arena-chat (prompts of some 100 tokens, answers of some 600), bf16."""
    got = predict(ServingQuery("bf16", tp, 100, 600, clients), llm)
    assert got.output_tokens_per_s == pytest.approx(tokens_per_s, rel=0.34)


def test_measured_runs_within_the_error_that_the_data_states(shared_data: Path) -> None:
    """Llama-3.1-70B fp8 on vLLM, lengths from U(0.8, 1): medians of absolute errors."""
    with (shared_data / "serving" / "serving_silicon_agg.csv").open() as file:
        next(file)
        rows = [
            row
            for row in csv.DictReader(file)
            if row["model_path"] == "meta-llama/Llama-3.1-70B" and row["backend"] == "vllm"
        ]
    catalog, predictor = load(), Predictor()
    tpot, ttft = [], []
    for row in rows[::4]:
        query = ServingQuery(
            "fp8",
            int(row["tp_size"]),
            round(0.9 * int(row["isl"])),
            round(0.9 * int(row["osl"])),
            int(float(row["concurrency"])),
            length_spread=1 / 9,
        )
        gpu = catalog.gpus[catalog.canonical("gpu", row["system"])]
        got = predictor.serving(catalog.llms["llama-3.1-70b"], gpu, query)
        assert got.tpot_p50_s is not None
        assert got.ttft_mean_s is not None
        tpot.append(abs(got.tpot_p50_s / (float(row["tpot_ms"]) / 1000) - 1))
        ttft.append(abs(got.ttft_mean_s / (float(row["ttft_ms"]) / 1000) - 1))
    assert median(tpot) < 0.07
    assert median(ttft) < 0.25


def test_draw_is_that_after_the_opening_burst() -> None:
    loop = ClosedLoop(replica_of("llama-3.1-8b"), spread_lengths(4000, 20, 0.0), 8, 256, 8192)
    loop.run(80)
    start_s = steady_start_s(loop)
    assert start_s == loop.finished[7].end_s
    after = [step for step in loop.steps if step.start_s >= start_s]
    assert steady_draw_w(loop) == pytest.approx(
        sum(step.draw_w * (step.end_s - step.start_s) for step in after) / (loop.now_s - start_s)
    )


def test_one_answer_each_in_one_batch_leaves_no_steady_part() -> None:
    """Requests of one token end as the prefill of all of them ends."""
    loop = ClosedLoop(replica_of("llama-3.1-8b"), spread_lengths(10, 1, 0.0), 4, 256, 8192)
    loop.run(4)
    assert steady_start_s(loop) == 0.0
    assert steady_draw_w(loop) == pytest.approx(loop.steps[0].draw_w)


def test_a_window_that_no_request_outgrows_takes_no_room() -> None:
    llm = load().llms["gemma-3-12b"]
    assert without_idle_window(llm, 1024) is llm
    assert without_idle_window(llm, 1023).windowed_layers == 0
    assert predict(ServingQuery("bf16", 1, 100, 700, 64), "gemma-3-12b").fits
