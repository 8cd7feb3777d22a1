"""``rackplan predict serving``: one replica under a closed loop of like requests, without a site.

Every client starts at once, as a benchmark client does that opens all its connections before it
measures, and is at the replica: no path of a workload lies between. The loop then goes on until
each client has had ``REQUESTS_PER_CLIENT`` requests answered. Lengths differ by a small share
unless asked for otherwise: exactly equal requests would stay in lockstep, all prompts queueing for
one another in every round, which measured runs do not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import count
from math import ceil
from statistics import median

from sim.catalog.arithmetic import default_kv_precision
from sim.catalog.types import Gpu, Llm
from sim.engine.closed_loop import ClosedLoop, Record
from sim.errors import RackplanError
from sim.perf import BLOCK_TOKENS, DoesNotFit, ReplicaModel, replica_model
from sim.perf.calibration import benchmark
from sim.rng import KeyedBits

#: Requests per client in a run, the opening burst included (as InferenceX runs its benchmarks).
REQUESTS_PER_CLIENT = 10
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


@dataclass(frozen=True)
class Prediction:
    """The answer, in SI units; everything but ``fits`` is None where the LLM does not fit.

    ``ttft_p50_s`` and ``tpot_p50_s`` are medians over the finished requests, opening burst
    included for TTFT. ``gpu_draw_w`` is the mean of one GPU while it serves at that concurrency:
    without the opening burst, counted from when as many requests have ended as there are clients.
    """

    output_tokens_per_s: float | None
    ttft_p50_s: float | None
    ttft_mean_s: float | None
    tpot_p50_s: float | None
    gpu_draw_w: float | None
    fits: bool
    message: str | None = None


@dataclass
class Predictor:
    """Predicts one query after another; replicas that several share are modelled once."""

    models: dict[tuple[object, ...], ReplicaModel] = field(default_factory=dict)

    def serving(self, llm: Llm, gpu: Gpu, query: ServingQuery) -> Prediction:
        """Simulates one replica and measures it.

        Defaults: KV in the precision of 8- and 16-bit weights, else fp8; at most 256 sequences or
        one per client, whichever is more; 8,192 tokens per batch; 0.9 of the memory; stages of a
        pipeline linked by the GPUs' own link; lengths within the calibration's share.

        Raises:
            RackplanError: a plan that this GPU or LLM cannot have, or a nonsensical number.
        """
        for name in ("input_tokens", "output_tokens", "concurrency"):
            if getattr(query, name) < 1:
                raise RackplanError(f"{name} must be at least 1, not {getattr(query, name)}")
        if query.concurrency > MAX_CLIENTS:
            raise RackplanError(
                f"concurrency must be at most {MAX_CLIENTS:,}, not {query.concurrency:,}"
            )
        spread = query.length_spread
        if spread is None:
            spread = benchmark().length_spread
        if not 0 <= spread < 1:
            raise RackplanError(f"length_spread must be in [0, 1), not {spread}")
        mean = query.input_tokens + query.output_tokens
        if mean > llm.max_context:
            return _without(
                f"{mean:,} tokens of input and output are more than the context of "
                f"{llm.max_context:,} that {llm.name} has"
            )
        longest = ceil(mean * (1 + spread)) - 1  # the last token is delivered, not kept
        llm = without_idle_window(llm, longest)
        batch_tokens = query.max_batch_tokens or MAX_BATCH_TOKENS
        sequences = query.max_sequences or min(batch_tokens, max(MAX_SEQUENCES, query.concurrency))
        try:
            model = self._model(llm, gpu, query, sequences, batch_tokens)
        except DoesNotFit as error:
            return _without(str(error))
        room = model.kv_blocks * BLOCK_TOKENS
        if longest > room:
            return _without(
                f"a request of up to {longest:,} tokens never fits: the replica's KV cache has "
                f"{room:,}"
            )
        return measure(
            model,
            query.input_tokens,
            query.output_tokens,
            query.concurrency,
            sequences,
            batch_tokens,
            spread,
        )

    def _model(
        self, llm: Llm, gpu: Gpu, query: ServingQuery, sequences: int, batch_tokens: int
    ) -> ReplicaModel:
        kv_precision = query.kv_precision or default_kv_precision(query.precision)
        key = (
            llm, gpu.name, query.precision, kv_precision, query.tensor_parallel,
            query.pipeline_parallel, sequences, batch_tokens,
        )  # fmt: skip
        if key not in self.models:
            self.models[key] = replica_model(
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
            )
        return self.models[key]


def without_idle_window(llm: Llm, longest: int) -> Llm:
    """The LLM without its sliding window where no context of up to ``longest`` tokens outgrows it.

    Its windowed layers then read and keep what the others do; no room is held for whole windows.
    """
    return replace(llm, window=0, windowed_layers=0) if longest < llm.window else llm


def _without(message: str) -> Prediction:
    return Prediction(None, None, None, None, None, fits=False, message=message)


def measure(
    model: ReplicaModel,
    input_tokens: int,
    output_tokens: int,
    clients: int,
    max_sequences: int,
    max_batch_tokens: int,
    length_spread: float = 0.0,
) -> Prediction:
    """Runs the closed loop and takes the statistics."""
    lengths = spread_lengths(input_tokens, output_tokens, length_spread)
    loop = ClosedLoop(model, lengths, clients, max_sequences, max_batch_tokens)
    loop.run(REQUESTS_PER_CLIENT * clients)
    finished, elapsed_s = loop.finished, loop.now_s
    ttft = [record.first_s - record.sent_s for record in finished]
    return Prediction(
        output_tokens_per_s=sum(record.output_tokens for record in finished) / elapsed_s,
        ttft_p50_s=median(ttft),
        ttft_mean_s=sum(ttft) / len(ttft),
        tpot_p50_s=_tpot(finished),
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


def _tpot(finished: list[Record]) -> float | None:
    """Median seconds per output token after the first; None where no request has a second."""
    times = [(r.end_s - r.first_s) / (r.output_tokens - 1) for r in finished if r.output_tokens > 1]
    return median(times) if times else None


def spread_lengths(
    input_tokens: int, output_tokens: int, spread: float
) -> Iterator[tuple[int, int]]:
    """Lengths uniform within a share about their means, independent, the same every time."""
    inputs, outputs = KeyedBits(0, "predict/input"), KeyedBits(0, "predict/output")
    for number in count():
        low = (1 - spread) + 2 * spread * inputs.uniform(number)
        long = (1 - spread) + 2 * spread * outputs.uniform(number)
        yield max(1, round(input_tokens * low)), max(1, round(output_tokens * long))
