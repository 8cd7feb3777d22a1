"""The seam between models of speed and power and the engine: ``StepCost`` and ``StepPower``.

Every perf model reduces, at build, to these two frozen tables for one (LLM, precision,
parallelism, GPU, clock). The engine knows nothing else about speed or draw. Both engines feed
equal integers into the very expressions below, in this order of operations, so that they agree to
the last bit.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass


@dataclass(frozen=True)
class Batch:
    """What one iteration works on, as integers (sums over its sequences).

    Attributes:
        tokens: prefill chunk tokens + one per decoding sequence (m).
        decodes: decoding sequences (nd).
        kv_tokens: Σ (ctx + 1) over decoding sequences: tokens read by full-attention layers.
        windowed_kv_tokens: Σ min(ctx + 1, window): tokens read by sliding-window layers.
        prefill_pairs: Σ chunk·(2·ctx + chunk): twice the query-key pairs of full attention.
        windowed_prefill_pairs: the same within the window (see ``windowed_pairs``).
    """

    tokens: int
    decodes: int
    kv_tokens: int
    windowed_kv_tokens: int
    prefill_pairs: int
    windowed_prefill_pairs: int


def windowed_pairs(context: int, chunk: int, window: int) -> int:
    """Twice the query-key pairs of a chunk after ``context`` tokens, ``window`` keys per query.

    With h(x) = min(x, W)² + 2W·max(x − W, 0) it is h(context + chunk) − h(context); without a
    window it equals chunk·(2·context + chunk).
    """

    def h(x: int) -> int:
        inside = min(x, window)
        return inside * inside + 2 * window * (x - inside)

    return h(context + chunk) - h(context)


@dataclass(frozen=True)
class StepCost:
    """Seconds of one iteration: fixed + g(tokens) + linear terms; every perf model reduces to it.

    ``g`` is piecewise linear over ``grid_tokens`` (ascending, first entry 0); beyond its last point
    it goes on with the last slope.
    """

    fixed_s: float
    grid_tokens: tuple[int, ...]
    grid_s: tuple[float, ...]
    per_decode_s: float
    per_kv_token_s: float
    per_windowed_kv_token_s: float
    per_prefill_pair_s: float  # per unit of ``Batch.prefill_pairs``, i.e. half of a pair's time
    per_windowed_prefill_pair_s: float
    window: int  # 0: the LLM has no sliding-window layers

    def tokens_s(self, tokens: int) -> float:
        """g(tokens): the piecewise linear part, in seconds."""
        grid = self.grid_tokens
        i = min(bisect_right(grid, tokens), len(grid) - 1) - 1
        slope = (self.grid_s[i + 1] - self.grid_s[i]) / (grid[i + 1] - grid[i])
        return self.grid_s[i] + slope * (tokens - grid[i])

    def iteration_s(self, batch: Batch, delay_s: float = 0.0) -> float:
        """Seconds of one iteration over ``batch``.

        ``delay_s``: what a network in use makes of each token more than an empty one.
        """
        return (
            self.fixed_s
            + self.tokens_s(batch.tokens)
            + self.per_decode_s * batch.decodes
            + self.per_kv_token_s * batch.kv_tokens
            + self.per_windowed_kv_token_s * batch.windowed_kv_tokens
            + self.per_prefill_pair_s * batch.prefill_pairs
            + self.per_windowed_prefill_pair_s * batch.windowed_prefill_pairs
            + delay_s * batch.tokens
        )

    def phases_s(self, batch: Batch, delay_s: float = 0.0) -> tuple[float, float]:
        """Seconds of the iteration without its prefill, and of all of it."""
        total_s = self.iteration_s(batch, delay_s)
        if batch.tokens == batch.decodes:
            return total_s, total_s
        if batch.decodes == 0:
            return 0.0, total_s
        alone = Batch(batch.decodes, batch.decodes, batch.kv_tokens, batch.windowed_kv_tokens, 0, 0)
        return self.iteration_s(alone, delay_s), total_s


@dataclass(frozen=True)
class StepPower:
    """Draw of one GPU of a replica in integer milliwatts, by phase.

    ``decode_mw[i][nd]``: nd sequences decoding at a mean context in [2^(i−1), 2^i) tokens (i = the
    bit length of ``kv_tokens // nd``; the last row also serves longer ones). ``prefill_mw`` is
    piecewise linear over ``prefill_tokens`` like ``StepCost``'s grid, constant beyond its end.
    """

    idle_mw: int
    decode_mw: tuple[tuple[int, ...], ...]
    prefill_tokens: tuple[int, ...]
    prefill_mw: tuple[int, ...]

    @property
    def most_decode_mw(self) -> int:
        """The highest draw of decoding, whatever the batch and its context."""
        return max(map(max, self.decode_mw))

    @property
    def most_prefill_mw(self) -> int:
        """The highest draw of prefill."""
        return max(self.prefill_mw)

    @property
    def most_mw(self) -> int:
        """The highest draw of any iteration."""
        return max(self.most_decode_mw, self.most_prefill_mw)

    def decode_draw_mw(self, decodes: int, kv_tokens: int) -> int:
        """Draw while ``decodes`` (≥ 1) sequences decode over ``kv_tokens`` tokens of context."""
        row = min((kv_tokens // decodes).bit_length(), len(self.decode_mw) - 1)
        return self.decode_mw[row][decodes]

    def prefill_draw_mw(self, tokens: int) -> float:
        """Draw while a chunk of ``tokens`` (≥ 1) tokens is prefilled."""
        grid, table = self.prefill_tokens, self.prefill_mw
        if tokens >= grid[-1]:
            return float(table[-1])
        i = max(0, bisect_right(grid, tokens) - 1)
        slope = (table[i + 1] - table[i]) / (grid[i + 1] - grid[i])
        return table[i] + slope * (tokens - grid[i])

    def draw_mw(self, batch: Batch, decode_s: float, total_s: float) -> int:
        """Draw of an iteration: the time-weighted mean of its phases, rounded to milliwatts.

        ``decode_s`` is the cost of the iteration without its prefill, ``total_s`` with it.
        """
        chunk = batch.tokens - batch.decodes
        if chunk == 0:
            return self.decode_draw_mw(batch.decodes, batch.kv_tokens)
        prefill = self.prefill_draw_mw(chunk)
        if batch.decodes == 0:
            return round(prefill)
        share = decode_s / total_s
        return round(
            share * self.decode_draw_mw(batch.decodes, batch.kv_tokens) + (1.0 - share) * prefill
        )


@dataclass(frozen=True)
class Across:
    """A tensor-parallel group over several NVLink domains, as ``cost`` has its all-reduces.

    Rank i of each domain sends to rank i of the next, in a ring over the domains.

    Attributes:
        domains: with equally many ranks each.
        rank_bytes_per_s: what a rank sends at in ``cost``; None: whatever joined measured GPUs.
        efficiency: seconds of ``cost`` are bytes over that rate, and over this.
    """

    domains: int
    rank_bytes_per_s: float | None = None
    efficiency: float = 1.0


@dataclass(frozen=True)
class Reduction:
    """How far a cost is off the estimator that it was reduced from, on batches it never saw.

    ``median`` and ``p90``: of absolute relative errors of ``batches`` batches.
    """

    estimator: str
    median: float
    p90: float
    batches: int


@dataclass(frozen=True)
class ReplicaModel:
    """All that the engine needs to know about a replica of one pool on one GPU type.

    ``cost[level]`` and ``power[level]`` belong to ``clocks_hz[level]``; level 0 is the maximum
    clock. ``memory`` holds the arithmetic behind ``kv_blocks`` (bytes per GPU by part), for
    messages and ``explain``.
    """

    gpu: str
    gpus: int
    cost: tuple[StepCost, ...]
    power: tuple[StepPower, ...]
    clocks_hz: tuple[float, ...]
    kv_blocks: int  # blocks of BLOCK_TOKENS tokens per replica
    memory: tuple[tuple[str, float], ...]
    stage_bytes_per_s: float | None = None  # from stage to stage, as in ``cost``; None: unknown
    across: Across | None = None  # None: each tensor-parallel group has one NVLink domain
    reduction: Reduction | None = None  # of ``cost`` from an estimator; None: from our own model

    def level_within(self, batch: Batch, lock: int, cap_mw: int, delay_s: float = 0.0) -> int:
        """The highest level, from ``lock`` down, at which an iteration keeps to a cap, else the
        lowest."""
        for level in range(lock, len(self.power)):
            times = self.cost[level].phases_s(batch, delay_s)
            if self.power[level].draw_mw(batch, *times) <= cap_mw:
                return level
        return len(self.power) - 1


#: Tokens per KV block, the unit of allocation (vLLM's default).
BLOCK_TOKENS = 16
