"""Offline maximum throughput: all requests queued at once, as many at work as KV holds."""

from __future__ import annotations

from dataclasses import replace

from sim.catalog.library import load
from sim.engine.predict import Predictor, ServingQuery
from sim.perf import BLOCK_TOKENS
from sim.perf.stacks import Stack
from sim.validate.runs import Run
from sim.validate.serving import Evaluator, Outcome

#: Sequences of a batch at most, the default of trtllm-bench; and requests of each place.
MOST_SEQUENCES = 2048
ROUNDS = 3


def offline_outcome(evaluator: Evaluator, run: Run, stack: Stack) -> Outcome:
    """A closed loop with as many clients as the KV cache holds whole requests, at most 2,048."""
    catalog = load()
    llm, gpu = catalog.llms[run.llm], catalog.gpus[run.gpu]
    stack = replace(stack, protocol=replace(stack.protocol, requests_per_client=ROUNDS))
    query = ServingQuery(
        run.precision, run.layout.tensor_parallel, run.input_tokens, run.output_tokens, 1,
        max_sequences=MOST_SEQUENCES, stack=stack.name,
        expert_parallel=run.layout.expert_parallel,
        data_parallel_attention=run.layout.data_parallel_attention,
    )  # fmt: skip
    measured = (None, run.output_tokens_per_s, None)
    blocks = _blocks(evaluator.predictor, llm.name, query, run.gpu, stack)
    each = -(-(run.input_tokens + run.output_tokens) // BLOCK_TOKENS)
    places = min(MOST_SEQUENCES, blocks // each)
    if places < 1:
        return Outcome(run, stack, (None,) * 3, measured, "no request fits the KV cache")
    answer = evaluator.predictor.serving(llm, gpu, replace(query, concurrency=places), stack)
    if not answer.fits:
        return Outcome(run, stack, (None,) * 3, measured, answer.message or "does not fit")
    return Outcome(run, stack, (None, answer.output_tokens_per_s, None), measured)


def _blocks(predictor: Predictor, llm: str, query: ServingQuery, gpu: str, stack: Stack) -> int:
    """KV blocks of the replica; 0 if its weights do not fit."""
    return predictor.kv_blocks(load().llms[llm], load().gpus[gpu], query, stack)
