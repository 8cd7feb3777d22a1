"""Time of one layer's attention on one GPU: what an isolated kernel takes, by its shape.

Decode. A library has two kinds of kernel. A *grouped* one gives each (sequence, KV head) to one
block of threads; a *single* one gives one to each query head, and the heads of a group read the
same KV, from L2 but for the first. Blocks cost a constant time each, however short their context
(they are what short contexts at large batches wait for); a batch with few of them splits contexts
into parts. KV crosses HBM with a ramp. In microseconds and up to scales,

    t = launch + wait·log2(min(kv/split, 1024)/wait_tokens) + split_s·(√split − 1)
        + (blocks^p + (hbm·group factor)^p + l2^p)^(1/p)

    blocks = (block + block_context·log2(1 + kv/16))·max(waves, 1/2)
    hbm    = bytes/bandwidth + ramp·bytes/(bytes + ramp_bytes)

Prefill, causal. Rows of queries in tiles of 128, each against the tiles of keys before it:

    t = launch + log_s·log2(tiles) + max(longest, work + tail·longest)·throttle + moved
    work = heads·(pairs of tiles·tile + tiles·row)/SMs,   longest: the last row of tiles

``moved`` is the kernel before it, which rotates queries and keys and writes the KV cache. The
forms are ours, chosen on whole shapes held out (``data/calibration/layers.yaml``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from sim.perf.gemm import Floats

#: Blocks of threads that run on one SM at a time.
GROUPED_PER_SM, SINGLE_PER_SM = 2, 4
#: Fewest tokens in a part of a split context.
GROUPED_PART, SINGLE_PART = 128, 256
#: The grouped kernel of 16-bit KV runs from this many blocks per SM (counted by parts) up.
GROUPED_LEAST_PER_SM = 0.25
#: Largest group of query heads per KV head that the grouped kernel takes.
GROUPED_LARGEST = 32
TILE = 128  # rows of queries and of keys in a tile of prefill
HALF = 2.0  # bytes of a query, key or value before it is kept


@dataclass(frozen=True)
class Heads:
    """Heads of one rank."""

    query: int
    kv: int
    dim: float

    @property
    def group(self) -> float:
        """Query heads per KV head."""
        return self.query / self.kv


@dataclass(frozen=True)
class Chip:
    """What attention needs to know of the GPU."""

    sms: int
    bandwidth_bytes_per_s: float
    peak_flops: float  # of the precision of the products; prefill only


@dataclass(frozen=True)
class DecodeConstants:
    """Fitted constants of one decode kernel and precision of KV. ``_64``: head dimension ≤ 64."""

    launch_s: float
    launch_64: float  # factor
    wait_s: float
    wait_tokens: float
    split_s: float
    norm: float
    bandwidth: float  # share of HBM's
    bandwidth_64: float  # factor
    ramp_s: float
    ramp_bytes: float
    group_loss: float  # of HBM time per doubling of the group beyond 8
    block_s: float  # per wave of blocks
    block_context_s: float
    block_64: float  # factor
    block_16: float  # share more for groups of 9 to 16, whose rows take a second tile
    block_32: float  # and for larger ones
    l2: float  # bandwidth of L2 in units of HBM's; 0: heads of a group share one read


@dataclass(frozen=True)
class PrefillConstants:
    """Fitted constants of prefill for one pair of precisions (products, KV)."""

    launch_s: float
    log_s: float
    compute: float  # share of the peak
    softmax_s: float  # per pair of tiles on an SM, beside its products
    row_s: float  # per tile of queries
    tail: float  # share of the longest row that work does not overlap
    bandwidth: float
    throttle: float  # slow-down of long kernels under the power limit
    throttle_s: float


def grouped(heads: Heads, batch: ArrayLike, kv_tokens: ArrayLike, kv_bytes: float, sms: int) -> (
    np.ndarray
):  # fmt: skip
    """[n] whether the grouped kernel runs: groups of 2 to 32, and enough blocks for 16-bit KV."""
    count, context = np.broadcast_arrays(np.asarray(batch, float), np.asarray(kv_tokens, float))
    if not 1 < heads.group <= GROUPED_LARGEST:
        return np.zeros(count.shape, dtype=bool)
    parts = np.maximum(1, context // GROUPED_PART)
    enough: np.ndarray = (count * heads.kv * parts >= GROUPED_LEAST_PER_SM * sms) | (kv_bytes < 2)
    return enough


def decode_s(
    batch: ArrayLike,
    kv_tokens: ArrayLike,
    heads: Heads,
    kv_bytes: float,
    constants: DecodeConstants,
    chip: Chip,
    *,
    single: bool,
) -> Floats:
    """[n] seconds of one layer for ``batch`` sequences of ``kv_tokens`` tokens of context each.

    ``kv_bytes`` is bytes per element of KV; ``single``: the kernel with a block per query head.
    """
    c = constants
    count, context = np.broadcast_arrays(np.asarray(batch, float), np.asarray(kv_tokens, float))
    small = heads.dim <= 64
    per_sm, least = (SINGLE_PER_SM, SINGLE_PART) if single else (GROUPED_PER_SM, GROUPED_PART)
    waves = count * (heads.query if single else heads.kv) / (per_sm * chip.sms)
    split = np.clip(1 / (per_sm * waves), 1, np.maximum(context / least, 1))
    moved = 2 * count * context * heads.kv * heads.dim * kv_bytes
    bandwidth = c.bandwidth * (c.bandwidth_64 if small else 1) * chip.bandwidth_bytes_per_s
    hbm = moved / bandwidth + c.ramp_s * moved / (moved + c.ramp_bytes)
    hbm = hbm * (1 + c.group_loss * np.log2(max(heads.group / 8, 1)))
    block = c.block_s + c.block_context_s * np.log2(1 + context / 16)
    wide = c.block_32 if heads.group > 16 else c.block_16 if heads.group > 8 else 0.0
    block = block * (c.block_64 if small else 1) * (1 + wide)
    parts = (block * np.maximum(waves, 0.5)) ** c.norm + hbm**c.norm
    if c.l2:
        parts = parts + (moved * heads.group / (c.l2 * chip.bandwidth_bytes_per_s)) ** c.norm
    walked = np.minimum(context / split, 1024)
    total: Floats = (
        c.launch_s * (c.launch_64 if small else 1)
        + c.wait_s * np.log2(np.maximum(walked / c.wait_tokens, 1))
        + c.split_s * (np.sqrt(split) - 1)
        + parts ** (1 / c.norm)
    )
    return total


def tile_s(heads: Heads, constants: PrefillConstants, chip: Chip) -> float:
    """Seconds that one SM takes for one tile of queries against one of keys."""
    flops = 4 * TILE**2 * heads.dim
    return flops * chip.sms / (constants.compute * chip.peak_flops) + constants.softmax_s


def prefill_s(
    batch: ArrayLike, tokens: ArrayLike, heads: Heads, constants: PrefillConstants, chip: Chip
) -> Floats:
    """[n] seconds of one layer for ``batch`` prompts of ``tokens`` tokens each, causal."""
    c = constants
    count, length = np.broadcast_arrays(np.asarray(batch, float), np.asarray(tokens, float))
    n, tiles = length / TILE, np.ceil(length / TILE)
    tile = tile_s(heads, c, chip)
    work = count * heads.query * (n * (n + 1) / 2 * tile + tiles * c.row_s) / chip.sms
    longest = n * tile + c.row_s
    busy = np.maximum(longest, work + c.tail * longest)
    flop_s = 2 * count * heads.query * heads.dim * length**2 / chip.peak_flops
    busy = busy * (1 + c.throttle / (1 + (c.throttle_s / flop_s) ** 2))
    elements = count * length * (heads.query + 2 * heads.kv) * heads.dim
    moved = 2 * HALF * elements / (c.bandwidth * chip.bandwidth_bytes_per_s)
    total: Floats = c.launch_s + c.log_s * np.log2(tiles) + busy + moved
    return total
