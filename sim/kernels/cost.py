"""What an iteration costs, when the boundaries of a run are, and what it draws.

The n-th boundary of a run is at T(n) = anchor + S(n), S(n) = n·t₁ + d·(½·n·(n−1)): the expression
of ``sim.engine.replica``, operation by operation, so that both engines get equal floats.
"""

from __future__ import annotations

import math

import numpy as np

from sim.kernels.bits import exponent_of
from sim.kernels.jit import kernel
from sim.kernels.state import Record, State


@kernel
def boundary_s(replica: Record, n: int) -> float:
    """T(n)."""
    return replica.anchor_s + (n * replica.first_s + replica.growth_s * (0.5 * n * (n - 1)))


@kernel
def boundaries_before(replica: Record, t: float, including: bool, low: int, high: int) -> int:
    """The largest n in [low, high] with T(n) < t (≤ t if ``including``), given T(low) is.

    S(n) = x solved for n, in the form without cancellation:
    n = 2x / (h + √(h² + 2·d·x)), h = t₁ − d/2. That is a guess; T itself decides.
    """
    x = t - replica.anchor_s
    d = replica.growth_s
    h = replica.first_s - 0.5 * d
    n = high
    root = h * h + 2.0 * d * x
    if x <= 0.0:
        n = low
    elif root >= 0.0:
        below = h + math.sqrt(root)
        if below > 0.0 and 2.0 * x < below * high:
            n = int(2.0 * x / below)
    n = min(max(n, low), high)
    while n > low and not before(boundary_s(replica, n), t, including):
        n -= 1
    while n < high and before(boundary_s(replica, n + 1), t, including):
        n += 1
    return n


@kernel
def before(moment: float, t: float, including: bool) -> bool:
    """Whether ``moment`` is before ``t``."""
    return moment <= t if including else moment < t


@kernel
def tokens_s(s: State, cost: Record, tokens: int) -> float:
    """g(tokens), as ``StepCost.tokens_s``; the tables end where g becomes one straight line."""
    if tokens <= cost.last:
        return s.seconds[cost.tokens + tokens]
    return cost.beyond_s + cost.beyond_slope_s * (tokens - cost.beyond_tokens)


@kernel
def batch_s(s: State, cost: Record, tokens: int, replica: Record, kv: int, windowed: int) -> float:
    """Seconds of an iteration: its decoding sequences read ``kv`` and ``windowed`` tokens."""
    serving = replica.decoding if replica.serving else 0
    return (
        cost.fixed_s
        + tokens_s(s, cost, tokens)
        + cost.per_decode_s * serving
        + cost.per_kv_token_s * kv
        + cost.per_windowed_kv_token_s * windowed
        + cost.per_prefill_pair_s * replica.pairs
        + cost.per_windowed_prefill_pair_s * replica.windowed_pairs
        + replica.delay_s * tokens
    )


@kernel
def iteration_s(s: State, replica: Record, level: int) -> float:
    """Seconds of the planned iteration at a clock level."""
    cost = s.cost[replica.cost + level]
    if replica.serving:
        tokens = replica.decoding + replica.chunk_tokens
        kv = replica.kv_tokens + replica.decoding
        return batch_s(s, cost, tokens, replica, kv, replica.windowed_tokens)
    return batch_s(s, cost, replica.chunk_tokens, replica, 0, 0)


@kernel
def decode_s(s: State, replica: Record, level: int) -> float:
    """Seconds of the planned iteration without its prefill."""
    cost = s.cost[replica.cost + level]
    return (
        cost.fixed_s
        + tokens_s(s, cost, replica.decoding)
        + cost.per_decode_s * replica.decoding
        + cost.per_kv_token_s * (replica.kv_tokens + replica.decoding)
        + cost.per_windowed_kv_token_s * replica.windowed_tokens
        + replica.delay_s * replica.decoding
    )


@kernel
def growth_s(s: State, replica: Record, chunk: int, inside: bool) -> float:
    """How much longer each iteration of a run is than the one before it.

    ``chunk``: of its only prefill, else 0; ``inside``: that chunk grows within the window.
    """
    cost = s.cost[replica.cost + replica.level]
    serving = replica.decoding if replica.serving else 0
    growing = replica.growing if replica.serving else 0
    growth = cost.per_kv_token_s * serving + cost.per_windowed_kv_token_s * growing
    if chunk > 0:
        growth += cost.per_prefill_pair_s * (2 * chunk * chunk)
        if inside:
            growth += cost.per_windowed_prefill_pair_s * (2 * chunk * chunk)
    return growth


@kernel
def windowed_half(context: int, window: int) -> int:
    """h(x) = min(x, W)² + 2W·max(x − W, 0) of ``sim.perf.step.windowed_pairs``."""
    inside = min(context, window)
    return inside * inside + 2 * window * (context - inside)


@kernel
def bit_length(value: int) -> int:
    """As ``int.bit_length`` of a value from 1 to 2**53."""
    return exponent_of(float(value))


@kernel
def decode_share(s: State, replica: Record, level: int, total_s: float) -> float:
    """Share of the planned iteration, which takes ``total_s``, that it takes without prefill."""
    if replica.chunk_tokens == 0:
        return 1.0
    if replica.serving and replica.decoding > 0:
        return decode_s(s, replica, level) / total_s
    return 0.0


@kernel
def level_within(s: State, replica: Record) -> int:
    """The highest clock level, from the locked one down, whose draw keeps to the cap in the planned
    iteration; the lowest if none does."""
    level = replica.lock
    if replica.cap_mw >= s.cost[replica.cost + level].most_mw:
        return level
    while level < replica.levels - 1:
        share = decode_share(s, replica, level, iteration_s(s, replica, level))
        if draw_mw(s, replica, level, share) <= replica.cap_mw:
            break
        level += 1
    return level


@kernel
def draw_mw(s: State, replica: Record, level: int, share: float) -> int:
    """Draw of one GPU in the planned iteration; ``share``: of its time without prefill."""
    cost = s.cost[replica.cost + level]
    decoding = replica.decoding if replica.serving else 0
    decode = 0
    if decoding > 0:
        row = min(bit_length((replica.kv_tokens + decoding) // decoding), cost.decode_rows - 1)
        decode = s.mw[cost.decode + row * cost.decode_stride + decoding]
        if replica.chunk_tokens == 0:
            return decode
    prefill = s.seconds[cost.prefill + min(replica.chunk_tokens, cost.last)]
    if decoding == 0:
        return int(np.rint(prefill))
    return int(np.rint(share * decode + (1.0 - share) * prefill))
