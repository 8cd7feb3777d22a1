"""``rackplan predict serving``: one replica under a closed loop of like requests, without a site.

Every client starts at once, as a benchmark client does that opens all its connections before it
measures, and is at the replica: no path of a workload lies between. The loop then goes on until
each client has had as many requests answered as in the measured runs of the serving stack, whose
protocol (``sim.perf.stacks``) also says how lengths differ. By default they do by a small share:
exactly equal requests would stay in lockstep, all prompts queueing for one another in every round.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import count
from math import ceil
from statistics import fmean, median

from sim.catalog.arithmetic import default_kv_precision
from sim.catalog.types import Gpu, Llm
from sim.engine.closed_loop import ClosedLoop, Record
from sim.errors import RackplanError
from sim.perf import BLOCK_TOKENS, DoesNotFit, ReplicaModel, replica_model
from sim.perf.expected import Expected, expected_error
from sim.perf.sampled import Configuration, sampled
from sim.perf.silicon import Plan, Silicon, silicon_expected, with_silicon
from sim.perf.stacks import POOLED, Protocol, Stack, stack_named
from sim.rng import KeyedBits

#: Runs of which nothing is known.
PLAIN = Protocol()
#: A run with more clients takes minutes, and no server holds as many connections.
MAX_CLIENTS = 100_000
#: Batch limits where none is asked for; more clients than sequences get a sequence each.
MAX_SEQUENCES = 256
MAX_BATCH_TOKENS = 8192
MEMORY_UTILISATION = 0.9


@dataclass(frozen=True)
class ServingQuery:
    """What to predict; None = the default described in ``Predictor.serving``."""

    precision: str
    tensor_parallel: int
    input_tokens: int
    output_tokens: int
    concurrency: int
    pipeline_parallel: int = 1
    kv_precision: str | None = None
    max_sequences: int | None = None
    max_batch_tokens: int | None = None
    length_spread: float | None = None  # lengths are uniform within this share about their means
    stack: str = POOLED
    expert_parallel: int = 1
    data_parallel_attention: int = 1
    silicon: Silicon | None = None  # whose step times; None: our own


@dataclass(frozen=True)
class Prediction:
    """The answer, in SI units; everything but ``fits`` is None where the LLM does not fit.

    ``ttft_p50_s`` and ``tpot_p50_s`` are medians over the finished requests, opening burst
    included; ``ttft_s`` and ``tpot_s`` are the statistics that the stack's runs report.
    ``gpu_draw_w`` is the mean of one GPU while it serves at that concurrency: without the opening
    burst, counted from when as many requests have ended as there are clients.
    """

    output_tokens_per_s: float | None
    ttft_p50_s: float | None
    ttft_mean_s: float | None
    ttft_s: float | None
    tpot_p50_s: float | None
    tpot_s: float | None
    gpu_draw_w: float | None
    fits: bool
    message: str | None = None
    stack: str | None = None
    expected: Expected | None = None  # how far off it may be
    estimator: str | None = None  # whose step times, in place of a stack's


@dataclass
class Predictor:
    """Predicts one query after another; replicas that several share are modelled once.

    ``sample``: from 1 on, under that draw from the errors of the fits (``sim.perf.sampled``).
    """

    models: dict[tuple[object, ...], ReplicaModel] = field(default_factory=dict)
    sample: int = 0

    def serving(
        self, llm: Llm, gpu: Gpu, query: ServingQuery, stack: Stack | None = None
    ) -> Prediction:
        """Simulates one replica and measures it.

        Defaults: KV in the precision of 8- and 16-bit weights, else fp8; at most 256 sequences or
        one per client, whichever is more; 0.9 of the memory; stages of a pipeline linked by the
        GPUs' own link; tokens per batch, lengths and requests per client as the stack's own runs
        had them; where a spread of lengths is asked for, their means are the stated ones.
        ``stack``: instead of the one that the query names; no error is expected of it then.
        With ``silicon`` in the query only the stack's protocol and its ``request_s`` are used.

        Raises:
            RackplanError: a plan that this GPU or LLM cannot have, or a nonsensical number.
        """
        _check(query)
        expected = None
        if stack is None:
            stack = stack_named(query.stack, query.precision)
            expected = expected_error(
                stack.name, llm=llm.name, gpu=gpu.name, tensor_parallel=query.tensor_parallel,
                input_tokens=query.input_tokens, output_tokens=query.output_tokens,
                concurrency=query.concurrency,
            )  # fmt: skip
        protocol = protocol_of(stack, query)
        spread = protocol.length_spread
        if not 0 <= spread < 1:
            raise RackplanError(f"length_spread must be in [0, 1), not {spread}")
        query = replace(
            query,
            input_tokens=max(1, round(protocol.length_share * query.input_tokens)),
            output_tokens=max(1, round(protocol.length_share * query.output_tokens)),
        )
        mean = query.input_tokens + query.output_tokens
        if mean > llm.max_context:
            return _without(
                f"{mean:,} tokens of input and output are more than the context of "
                f"{llm.max_context:,} that {llm.name} has"
            )
        longest = ceil(mean * (1 + spread)) - 1  # the last token is delivered, not kept
        llm = without_idle_window(llm, longest)
        batch_tokens = protocol.batch_tokens(query.input_tokens, query.concurrency)
        held_tokens = max(query.max_batch_tokens or MAX_BATCH_TOKENS, batch_tokens)
        sequences = query.max_sequences or min(held_tokens, max(MAX_SEQUENCES, query.concurrency))
        try:
            model = self._model(llm, gpu, query, stack, sequences, held_tokens)
        except DoesNotFit as error:
            return _without(str(error))
        room = model.kv_blocks * BLOCK_TOKENS
        if longest > room:
            return _without(
                f"a request of up to {longest:,} tokens never fits: the replica's KV cache has "
                f"{room:,}"
            )
        sequences = min(sequences, max(1, query.concurrency - protocol.idle_slots), batch_tokens)
        answer = measure(
            model,
            query.input_tokens,
            query.output_tokens,
            query.concurrency,
            sequences,
            batch_tokens,
            protocol,
            stack.parameters.request_s,
        )
        if model.reduction is not None:
            expected = silicon_expected(model.reduction)
            return replace(answer, estimator=model.reduction.estimator, expected=expected)
        return replace(answer, stack=stack.name, expected=expected)

    def kv_blocks(self, llm: Llm, gpu: Gpu, query: ServingQuery, stack: Stack) -> int:
        """Blocks of the replica's KV cache, 0 if the LLM does not fit; limits are the query's."""
        sequences = query.max_sequences or MAX_SEQUENCES
        try:
            return self._model(llm, gpu, query, stack, sequences, MAX_BATCH_TOKENS).kv_blocks
        except DoesNotFit:
            return 0

    def _model(
        self, llm: Llm, gpu: Gpu, query: ServingQuery, stack: Stack, sequences: int,
        batch_tokens: int,
    ) -> ReplicaModel:  # fmt: skip
        kv_precision = query.kv_precision or default_kv_precision(query.precision)
        key = (
            llm, gpu.name, query.precision, kv_precision, query.tensor_parallel,
            query.pipeline_parallel, sequences, batch_tokens, stack, query.expert_parallel,
            query.data_parallel_attention, query.silicon,
        )  # fmt: skip
        if key not in self.models:
            model = replica_model(
                llm,
                gpu,
                precision=query.precision,
                kv_precision=kv_precision,
                tensor_parallel=query.tensor_parallel,
                pipeline_parallel=query.pipeline_parallel,
                max_sequences=sequences,
                max_batch_tokens=batch_tokens,
                memory_utilisation=MEMORY_UTILISATION,
                stage_bytes_per_s=gpu.link_bytes_per_s,
                stack=stack,
                expert_parallel=query.expert_parallel,
                data_parallel_attention=query.data_parallel_attention,
            )
            if query.silicon is not None:
                plan = Plan(
                    query.precision, kv_precision, query.tensor_parallel, sequences, batch_tokens,
                    query.pipeline_parallel, query.expert_parallel, query.data_parallel_attention,
                )  # fmt: skip
                model = with_silicon(model, llm, gpu, plan, query.silicon)
            self.models[key] = self._sampled(model, llm, gpu, query, stack)
        return self.models[key]

    def _sampled(
        self, model: ReplicaModel, llm: Llm, gpu: Gpu, query: ServingQuery, stack: Stack
    ) -> ReplicaModel:
        """The model with the errors drawn of its class."""
        if not self.sample:
            return model
        drawn = Configuration(
            stack.name, llm.name, query.precision, gpu.name, query.tensor_parallel,
            query.pipeline_parallel, query.expert_parallel, query.data_parallel_attention,
        ).factors(self.sample)  # fmt: skip
        return sampled(model, gpu, drawn, query.pipeline_parallel)


def protocol_of(stack: Stack, query: ServingQuery) -> Protocol:
    """The stack's protocol with what the query states in place of its own."""
    protocol = stack.protocol
    if query.length_spread is not None:
        protocol = replace(protocol, length_share=1.0, length_spread=query.length_spread)
    if query.max_batch_tokens is not None:
        protocol = replace(protocol, prompts_per_batch=0.0, max_batch_tokens=query.max_batch_tokens)
    return protocol


def without_idle_window(llm: Llm, longest: int) -> Llm:
    """The LLM without its sliding window where no context of up to ``longest`` tokens outgrows it.

    Its windowed layers then read and keep what the others do; no room is held for whole windows.
    """
    return replace(llm, window=0, windowed_layers=0) if longest < llm.window else llm


def _check(query: ServingQuery) -> None:
    """Raises ``RackplanError`` unless tokens and clients are numbers that a loop can have."""
    for name in ("input_tokens", "output_tokens", "concurrency"):
        if getattr(query, name) < 1:
            raise RackplanError(f"{name} must be at least 1, not {getattr(query, name)}")
    if query.concurrency > MAX_CLIENTS:
        raise RackplanError(
            f"concurrency must be at most {MAX_CLIENTS:,}, not {query.concurrency:,}"
        )


def _without(message: str) -> Prediction:
    return Prediction(None, None, None, None, None, None, None, fits=False, message=message)


def measure(
    model: ReplicaModel,
    input_tokens: int,
    output_tokens: int,
    clients: int,
    max_sequences: int,
    max_batch_tokens: int,
    protocol: Protocol = PLAIN,
    delay_s: float = 0.0,
) -> Prediction:
    """Runs the closed loop and takes the statistics; lengths are means, drawn as the protocol says.

    ``delay_s``: from a client to the replica's queue.
    """
    lengths = spread_lengths(input_tokens, output_tokens, protocol.length_spread)
    loop = ClosedLoop(model, lengths, clients, max_sequences, max_batch_tokens, delay_s)
    loop.run(protocol.requests_per_client * clients)
    finished, elapsed_s = loop.finished, loop.now_s
    ttft = [record.first_s - record.sent_s for record in finished]
    ttft_p50_s, ttft_mean_s = median(ttft), sum(ttft) / len(ttft)
    tpot = tpot_of(finished)
    return Prediction(
        output_tokens_per_s=sum(record.output_tokens for record in finished) / elapsed_s,
        ttft_p50_s=ttft_p50_s,
        ttft_mean_s=ttft_mean_s,
        ttft_s=ttft_mean_s if protocol.ttft == "mean" else ttft_p50_s,
        tpot_p50_s=median(tpot) if tpot else None,
        tpot_s=(fmean if protocol.tpot == "mean" else median)(tpot) if tpot else None,
        gpu_draw_w=steady_draw_w(loop),
        fits=True,
    )


def steady_start_s(loop: ClosedLoop) -> float:
    """When as many requests have ended as there are clients: the opening burst is over.

    The run stops with every client still at work, so that it has no idle end.
    """
    start_s = loop.finished[loop.clients - 1].end_s
    return start_s if start_s < loop.now_s else 0.0


def steady_draw_w(loop: ClosedLoop) -> float:
    """Mean watts of one GPU after the opening burst."""
    start_s = steady_start_s(loop)
    steps = [step for step in loop.steps if step.start_s >= start_s]
    energy_j = sum(step.draw_w * (step.end_s - step.start_s) for step in steps)
    return energy_j / (loop.now_s - start_s)


def tpot_of(finished: list[Record]) -> list[float]:
    """Seconds per output token after the first, of the requests that have a second."""
    return [(r.end_s - r.first_s) / (r.output_tokens - 1) for r in finished if r.output_tokens > 1]


def spread_lengths(
    input_tokens: int, output_tokens: int, spread: float
) -> Iterator[tuple[int, int]]:
    """Lengths uniform within a share about their means, independent, the same every time."""
    inputs, outputs = KeyedBits(0, "predict/input"), KeyedBits(0, "predict/output")
    for number in count():
        low = (1 - spread) + 2 * spread * inputs.uniform(number)
        long = (1 - spread) + 2 * spread * outputs.uniform(number)
        yield max(1, round(input_tokens * low)), max(1, round(output_tokens * long))
