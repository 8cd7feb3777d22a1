"""Prints what ``StepCost`` loses of the operator sum, on random batches, by LLM and GPU.

    python tools/reduction_losses.py [EVERY]

EVERY: only every n-th replica of the list. The operator sum has the kernels of
``sim/perf/attention.py``, each batch as it is: prefill of several prompts is one kernel whose work
is the sum over prompts and whose last row of tiles is the longest prompt's; decoding counts its
sequences at their mean context, with the kernel that runs by the library's rule. Launches, the
kernel that rotates queries and keys, and the power throttle are left out on both sides. A chunk
behind a context (``behind``) was not measured as a kernel: there the form is carried over.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sim.catalog.library import load
from sim.perf.attention import TILE, Heads, decode_s, grouped, tile_s
from sim.perf.calibration import overheads
from sim.perf.gemm import FULL_CLOCK
from sim.perf.layer_constants import chip, decode_constants, prefill_constants
from sim.perf.memory import stage_memory
from sim.perf.operators import Attention, shard
from sim.perf.reduce import step_costs
from sim.perf.step import BLOCK_TOKENS, Batch, StepCost, windowed_pairs
from sim.perf.timing import Stage

Floats = NDArray[np.float64]
Rng = np.random.Generator
Chunks = list[tuple[int, int]]  # tokens of context before, tokens
MOST_TOKENS, MOST_SEQUENCES = 8192, 256
BATCHES, SEED = 60, 777
#: LLM, GPU, tensor parallel, precision of KV and of weights.
REPLICAS = (
    ("llama-3.1-8b", "h100-sxm", 1, "bf16", "bf16"), ("llama-3.1-8b", "h100-sxm", 1, "fp8", "fp8"),
    ("llama-3.1-8b", "l40s", 1, "fp8", "fp8"), ("llama-3.1-8b", "a100-sxm", 1, "bf16", "bf16"),
    ("llama-3.1-70b", "h100-sxm", 4, "fp8", "fp8"),
    ("llama-3.1-70b", "h100-sxm", 8, "bf16", "bf16"),
    ("llama-3.1-70b", "h200-sxm", 2, "fp8", "fp8"), ("llama-3.1-70b", "b200", 2, "fp8", "fp8"),
    ("llama-3.1-70b", "mi300x", 4, "bf16", "bf16"),
    ("llama-3.1-405b", "h100-sxm", 8, "fp8", "fp8"), ("qwen3-32b", "h100-sxm", 2, "bf16", "bf16"),
    ("qwen3-8b", "l4", 1, "fp8", "fp8"), ("qwen3-14b", "a100-sxm", 2, "bf16", "bf16"),
    ("qwen3-235b-a22b", "h200-sxm", 8, "fp8", "fp8"),
    ("qwen3-30b-a3b", "h100-sxm", 2, "fp8", "fp8"), ("gpt-oss-120b", "h100-sxm", 2, "bf16", "fp4"),
    ("gpt-oss-20b", "h100-sxm", 1, "bf16", "fp4"), ("mixtral-8x7b", "h100-sxm", 4, "bf16", "bf16"),
    ("deepseek-v3", "h200-sxm", 8, "fp8", "fp8"), ("bloom-176b", "a100-sxm", 8, "bf16", "bf16"),
    ("gemma-3-4b", "l40s", 1, "fp8", "bf16"), ("llama-4-scout", "h200-sxm", 4, "fp8", "fp8"),
    ("qwen3-235b-a22b", "gb200", 4, "fp8", "fp8"),
    ("qwen3-coder-480b-a35b", "b200", 8, "fp8", "fp8"),
)  # fmt: skip


@dataclass(frozen=True)
class Replica:
    """One replica at full clock, with the room of its KV in tokens."""

    stage: Stage
    window: int
    longest: int
    room: int
    cost: StepCost

    def parts(self) -> tuple[tuple[Attention, int], ...]:
        """Full and windowed attention, each with its window (0: none)."""
        return ((self.stage.shard.full, 0), (self.stage.shard.windowed, self.window))


def replica(name: str, gpu: str, ranks: int, kv: str, precision: str) -> Replica:
    llm, device = load().llms[name], load().gpus[gpu]
    part = shard(llm, device, precision, kv, ranks, llm.layers)
    stage = Stage(
        part, device, ranks, FULL_CLOCK, kv_precision=kv, most_sequences=MOST_SEQUENCES,
        most_context=llm.max_context,
    )  # fmt: skip
    memory = stage_memory(
        part, llm, device, first=True, last=True, max_sequences=MOST_SEQUENCES,
        max_batch_tokens=MOST_TOKENS, memory_utilisation=0.9,
    )  # fmt: skip
    window = llm.window if llm.windowed_layers else 0
    (cost,) = step_costs([stage], 1, 1, window, MOST_SEQUENCES, MOST_TOKENS, 1e12)
    return Replica(stage, window, llm.max_context, memory.blocks * BLOCK_TOKENS, cost)


def decoding_s(stage: Stage, attention: Attention, contexts: Floats, window: int) -> float:
    """Seconds of decode attention over these contexts, all layers; latent attention as reduced."""
    if not attention.layers or not len(contexts):
        return 0.0
    kept = np.minimum(contexts, window) if window else contexts
    if attention.latent:
        return stage.decode_terms(attention, window).kv_token_s * float(kept.sum())
    heads = Heads(attention.heads, attention.kv_heads, attention.head_dim)
    size = attention.kv_bytes / (2 * attention.kv_heads * attention.head_dim)
    count, mean = len(kept), max(1.0, float(kept.mean()))
    single = not bool(grouped(heads, count, mean, size, stage.gpu.sms))
    c = decode_constants(stage.gpu.name, stage.kv_precision, single=single)
    one = decode_s(
        count, mean, heads, size, replace(c, launch_s=0.0), chip(stage.gpu), single=single
    )
    return attention.layers * float(one)


def prefilling_s(stage: Stage, attention: Attention, chunks: Chunks, window: int) -> float:
    """Seconds of prefill attention over chunks of different prompts, all layers."""
    if not attention.layers or not chunks:
        return 0.0
    c = prefill_constants(stage.gpu.name, "bf16", stage.kv_precision)
    heads = Heads(attention.heads, attention.kv_heads, attention.pair_flops / 4 / attention.heads)
    tile = tile_s(heads, c, chip(stage.gpu))
    work, longest, most = 0.0, 0.0, 1.0
    for before, tokens in chunks:
        pairs = (windowed_pairs(before, tokens, window) if window else
                 tokens * (2 * before + tokens)) / 2  # fmt: skip
        tiles = np.ceil(tokens / TILE)
        work += (pairs / TILE**2 + tokens / TILE / 2) * tile + tiles * c.row_s
        reach = before + tokens
        longest = max(longest, (min(reach, window) if window else reach) / TILE * tile + c.row_s)
        most = max(most, tiles)
    work *= attention.heads / stage.gpu.sms
    return attention.layers * (c.log_s * np.log2(most) + max(longest, work + c.tail * longest))


def losses(one: Replica, contexts: Floats, chunks: Chunks) -> tuple[float, float]:
    """Reduced over operator sum less one: of the iteration, and of its attention."""
    stage, window = one.stage, one.window
    tokens = len(contexts) + sum(n for _, n in chunks)
    mine = np.array([float(tokens)])
    beside = (
        stage.fixed_s()
        + float((stage.tokens_s(mine) - stage.rows_s() * mine)[0])
        + float(stage.head_s(np.array([float(max(1, len(contexts)))]))[0])
        + overheads().sequence_s * len(contexts)
    )
    attention = sum(
        decoding_s(stage, part, contexts, w) + prefilling_s(stage, part, chunks, w)
        for part, w in one.parts()
    )
    batch = Batch(
        tokens, len(contexts), int(contexts.sum()),
        int(np.minimum(contexts, window).sum()) if window else 0,
        sum(n * (2 * before + n) for before, n in chunks),
        sum(windowed_pairs(before, n, window) for before, n in chunks) if window else 0,
    )  # fmt: skip
    reduced = one.cost.iteration_s(batch)
    return reduced / (beside + attention) - 1, (reduced - beside - attention) / attention


def decoding(rng: Rng, one: Replica) -> tuple[Floats, Chunks]:
    """1 to 256 sequences, contexts about a mean from 64 to what the KV holds."""
    while True:
        count = round(np.exp(rng.uniform(0, np.log(MOST_SEQUENCES))))
        most = min(one.longest, one.room / count)
        if most >= 64:
            mean = np.exp(rng.uniform(np.log(64), np.log(most)))
            drawn = mean * rng.lognormal(-0.125, 0.5, count)
            return np.clip(drawn, 1, one.longest).round(), []


def alone(rng: Rng, one: Replica) -> tuple[Floats, Chunks]:
    """One whole prompt of 16 to 8,192 tokens."""
    most = min(one.longest, MOST_TOKENS)
    return np.zeros(0), [(0, int(np.exp(rng.uniform(np.log(16), np.log(most)))))]


def several(rng: Rng, one: Replica) -> tuple[Floats, Chunks]:
    """2 to 32 prompts from about 32 tokens on, 8,192 tokens at most."""
    count = round(np.exp(rng.uniform(np.log(2), np.log(32))))
    mean = np.exp(rng.uniform(np.log(32), np.log(MOST_TOKENS / count)))
    lengths = np.maximum(1, mean * rng.lognormal(-0.125, 0.5, count))
    lengths = np.maximum(1, lengths * min(1.0, MOST_TOKENS / lengths.sum())).astype(int)
    return np.zeros(0), [(0, int(n)) for n in lengths]


def mixed(rng: Rng, one: Replica) -> tuple[Floats, Chunks]:
    """Decoding sequences beside one prompt or several."""
    contexts = decoding(rng, one)[0][:200]
    chunks = (alone if rng.random() < 0.5 else several)(rng, one)[1]
    left = MOST_TOKENS - len(contexts)
    share = min(1.0, left / sum(n for _, n in chunks))
    return contexts, [(before, max(1, int(share * n) - 1)) for before, n in chunks]


def behind(rng: Rng, one: Replica) -> tuple[Floats, Chunks]:
    """A chunk of 512, 2,048 or 8,192 tokens of a prompt of up to 65,536."""
    length = int(np.exp(rng.uniform(np.log(512), np.log(min(one.longest, 65536)))))
    chunk = int(rng.choice([512, 2048, 8192]))
    before = int(rng.integers(0, max(1, -(-length // chunk)))) * chunk
    return np.zeros(0), [(before, max(1, min(chunk, length - before)))]


KINDS: dict[str, Callable[[Rng, Replica], tuple[Floats, Chunks]]] = {
    "decode": decoding, "one prompt": alone, "several": several, "mixed": mixed, "behind": behind,
}  # fmt: skip


def cell(errors: list[float]) -> str:
    """Median and P90 of absolute values, and the median with its sign, in per cent."""
    off = 100 * np.array(errors)
    return f"{np.median(abs(off)):5.2f} {np.percentile(abs(off), 90):6.2f} {np.median(off):+6.2f}"


def main(every: int) -> None:
    print(f"{'median, P90, bias in per cent':<46}" + "".join(f"{kind:^23}" for kind in KINDS))
    iterations: dict[str, list[float]] = {kind: [] for kind in KINDS}
    parts: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for key in REPLICAS[::every]:
        one, cells = replica(*key), []
        for i, (kind, draw) in enumerate(KINDS.items()):
            rng = np.random.default_rng([SEED, i])
            found = [losses(one, *draw(rng, one)) for _ in range(BATCHES)]
            iterations[kind] += [whole for whole, _ in found]
            parts[kind] += [part for _, part in found]
            cells.append(cell([whole for whole, _ in found]))
        print(f"{' '.join(map(str, key)):<46}" + "   ".join(cells), flush=True)
    for title, of in (("all, of the iteration", iterations), ("all, of its attention", parts)):
        print(f"{title:<46}" + "   ".join(cell(of[kind]) for kind in KINDS))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1)
