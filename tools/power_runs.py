"""Measured runs of the ML.ENERGY table as what their GPUs did: for tools/fit_power.py.

Each run is one steady state of serving. Its GPUs' use comes either from its measured throughput
(seconds per step = batch / throughput) or from the closed loop that `rackplan predict serving`
runs for it, opening burst left out.
"""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np

from sim.catalog.arithmetic import default_kv_precision
from sim.catalog.library import load
from sim.catalog.types import Gpu, Llm
from sim.engine import predict
from sim.engine.closed_loop import ClosedLoop
from sim.engine.closed_loop import Sequence as Request
from sim.perf import ReplicaModel, replica_model
from sim.perf.gemm import Floats
from sim.perf.operators import shard
from sim.perf.power import Draw, Use
from sim.perf.stacks import POOLED, stacks

GPUS = {"H100": "h100-sxm", "B200": "b200"}
PRECISIONS = {"bfloat16": "bf16", "fp8": "fp8", "mxfp4": "fp4"}
#: Beginning of a model id without its owner -> LLM of the catalog. Versions share an architecture;
#: those that see images count as their language model.
LLMS = {
    "Qwen3-8B": "qwen3-8b", "Qwen3-14B": "qwen3-14b", "Qwen3-32B": "qwen3-32b",
    "Qwen3-VL-8B": "qwen3-8b", "Qwen3-VL-32B": "qwen3-32b", "Qwen3-VL-30B-A3B": "qwen3-30b-a3b",
    "Qwen3-30B-A3B": "qwen3-30b-a3b", "Qwen3-Coder-30B-A3B": "qwen3-30b-a3b",
    "Qwen3-Omni-30B-A3B": "qwen3-30b-a3b", "Qwen3-235B-A22B": "qwen3-235b-a22b",
    "Qwen3-VL-235B-A22B": "qwen3-235b-a22b", "Qwen3-Coder-480B-A35B": "qwen3-coder-480b-a35b",
    "DeepSeek-R1": "deepseek-v3", "DeepSeek-V3": "deepseek-v3", "gemma-3-4b": "gemma-3-4b",
    "gemma-3-12b": "gemma-3-12b", "gemma-3-27b": "gemma-3-27b", "Llama-3.1-8B": "llama-3.1-8b",
    "Llama-3.1-70B": "llama-3.1-70b", "Llama-3.3-70B": "llama-3.1-70b",
    "Llama-3.1-405B": "llama-3.1-405b",
    "Llama-4-Maverick": "llama-4-maverick", "Llama-4-Scout": "llama-4-scout",
    "gpt-oss-20b": "gpt-oss-20b", "gpt-oss-120b": "gpt-oss-120b",
}  # fmt: skip
#: Prompt tokens by task: the table has none, so these are guesses; of images and videos, what a
#: text prompt of like effect would have.
PROMPT_TOKENS = {
    "lm-arena-chat": 100, "gpqa": 300, "sourcegraph-fim": 1200, "image-chat": 300,
    "video-chat": 600,
}  # fmt: skip
#: Phases of a loop whose sizes differ by less than an octave over this are counted as one.
OCTAVE_PARTS = 4
#: Batches to compare a batch with: a half, a quarter, …
SMALLER = (1, 2, 4, 8)


@dataclass(frozen=True)
class Run:
    """One row of the table; every GPU of it works for one tensor-parallel replica."""

    model_id: str
    llm: Llm
    gpu: Gpu
    gpus: int
    precision: str
    input_tokens: int
    output_tokens: int
    clients: int
    batch: float
    tokens_per_s: float
    gpu_w: float  # mean of one GPU


@dataclass(frozen=True)
class Phases:
    """What GPUs do in stretches of time.

    Attributes:
        run: [phases] whose phase it is.
        share: [phases] of that run's time.
        use: [phases, sizes] what the GPU uses, in the first column with the phase's batch, in the
            others with smaller ones: the draw is the largest of theirs (see ``Draw.decode_w``).
    """

    run: np.ndarray
    share: Floats
    use: Use


def read_runs(path: Path) -> list[Run]:
    """The rows of the table, its first line (a comment) left out."""
    catalog = load()
    with path.open(encoding="utf-8") as file:
        next(file)
        rows = list(csv.DictReader(file))
    runs = []
    for row in rows:
        prompt, output = PROMPT_TOKENS[row["task"]], round(float(row["avg_output_len"]))
        llm = catalog.llms[catalog_name(row["model_id"])]
        runs.append(
            Run(
                model_id=row["model_id"],
                llm=predict.without_idle_window(llm, prompt + output),
                gpu=catalog.gpus[GPUS[row["gpu_model"]]],
                gpus=int(row["num_gpus"]),
                precision=PRECISIONS[row["weight_precision"]],
                input_tokens=prompt,
                output_tokens=output,
                clients=int(row["max_num_seqs"]),
                batch=float(row["avg_batch_size"]),
                tokens_per_s=float(row["output_throughput_tokens_per_sec"]),
                gpu_w=float(row["avg_power_watts"]) / int(row["num_gpus"]),
            )
        )
    return runs


def catalog_name(model_id: str) -> str:
    """The LLM of the catalog that the model is a version of; of several beginnings the longest."""
    name = model_id.rsplit("/", maxsplit=1)[-1]
    known = [word for word in LLMS if name.startswith(word)]
    if not known:
        raise SystemExit(f"{model_id}: no LLM of the catalog is known to be its architecture")
    return LLMS[max(known, key=len)]


def measured(runs: list[Run]) -> Phases:
    """One phase per run: a step of its mean batch, at its measured seconds, KV in bf16."""
    uses = []
    for run in runs:
        prefilled = run.batch * run.input_tokens / run.output_tokens
        use = draw(run, "bf16", run.clients).step_use(
            np.array([run.batch]),
            run.input_tokens + run.output_tokens / 2,
            prefilled,
            np.array([run.batch / run.tokens_per_s]),
        )
        uses.append(use)
    use = picked(joined(uses), np.arange(len(runs))[:, None])
    return Phases(np.arange(len(runs)), np.ones(len(runs)), use)


def predicted(runs: list[Run]) -> Phases:
    """The phases of each run's closed loop, as `rackplan predict serving` has it."""
    index, shares, uses = [], [], []
    models: dict[tuple[object, ...], ReplicaModel] = {}
    for number, run in enumerate(runs):
        sequences = max(predict.MAX_SEQUENCES, run.clients)
        key = (run.llm, run.gpu.name, run.gpus, run.precision, sequences)
        if key not in models:
            models[key] = replica(run, sequences)
        seconds = loop_phases(models[key], run, sequences)
        model = draw(run, default_kv_precision(run.precision), sequences)
        for (octave, size), part in seconds.items():
            cost = models[key].cost[0]
            if octave < 0:
                use = model.prefill_use(cost, np.full((1, len(SMALLER)), float(size)))
            else:
                sizes = np.array([[max(1, size // by) for by in SMALLER]])
                use = picked(model.decode_use(cost, octave), sizes - 1)
            index.append(number)
            shares.append(part / sum(seconds.values()))
            uses.append(use)
    return Phases(np.array(index), np.array(shares), joined(uses))


def draw(run: Run, kv_precision: str, sequences: int) -> Draw:
    """The draw model of the run's replica."""
    llm = run.llm
    rank = shard(llm, run.gpu, run.precision, kv_precision, run.gpus, llm.layers)
    return Draw(
        rank, run.gpu, run.gpus, 1, sequences, predict.MAX_BATCH_TOKENS, llm.max_context, llm.window
    )


def replica(run: Run, sequences: int) -> ReplicaModel:
    """The replica that `rackplan predict serving` would model for the run."""
    return replica_model(
        run.llm, run.gpu, precision=run.precision,
        kv_precision=default_kv_precision(run.precision), tensor_parallel=run.gpus,
        pipeline_parallel=1, max_sequences=sequences, max_batch_tokens=predict.MAX_BATCH_TOKENS,
        memory_utilisation=predict.MEMORY_UTILISATION, stage_bytes_per_s=run.gpu.link_bytes_per_s,
    )  # fmt: skip


@dataclass
class Recorder(ClosedLoop):
    """A closed loop that notes what it did: start, seconds, and (row or −1, size)."""

    notes: list[tuple[float, float, tuple[int, int]]] = field(default_factory=list)

    def iterate(self, chunks: list[tuple[Request, int]]) -> int:
        """The iteration, noted as its decodes and its prefill."""
        batch, start_s = self.batch(chunks), self.now_s
        decode_s = self.cost.iteration_s(self.batch([])) if batch.decodes else 0.0
        total_s = self.cost.iteration_s(batch)
        draw_mw = super().iterate(chunks)
        spent_s = self.now_s - start_s
        decoding = decode_s / total_s
        if batch.decodes:
            octave = (batch.kv_tokens // batch.decodes).bit_length()
            self.notes.append((start_s, spent_s * decoding, (octave, binned(batch.decodes))))
        if chunks:
            chunk = binned(batch.tokens - batch.decodes)
            self.notes.append((start_s, spent_s * (1 - decoding), (-1, chunk)))
        return draw_mw


def loop_phases(model: ReplicaModel, run: Run, sequences: int) -> Counter[tuple[int, int]]:
    """Seconds in each phase of the run's loop after the opening burst."""
    protocol = stacks()[POOLED].protocol
    lengths = predict.spread_lengths(run.input_tokens, run.output_tokens, protocol.length_spread)
    loop = Recorder(model, lengths, run.clients, sequences, predict.MAX_BATCH_TOKENS)
    loop.run(protocol.requests_per_client * run.clients)
    start_s = predict.steady_start_s(loop)
    seconds: Counter[tuple[int, int]] = Counter()
    for at_s, spent_s, phase in loop.notes:
        if at_s >= start_s:
            seconds[phase] += spent_s
    return seconds


def binned(size: int) -> int:
    """A size near this one."""
    return min(size, round(2 ** (round(OCTAVE_PARTS * np.log2(size)) / OCTAVE_PARTS)))


def picked(use: Use, index: np.ndarray) -> Use:
    """Some entries of each array."""
    return Use(*(getattr(use, item.name)[index] for item in fields(Use)))


def joined(uses: list[Use]) -> Use:
    """All of them in one."""
    return Use(*(np.concatenate([getattr(u, f.name) for u in uses]) for f in fields(Use)))
