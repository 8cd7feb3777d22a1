"""How many requests a replica can take at all, from what an iteration costs: no queue, no chance.

In the steady state of a replica with continuous batching each iteration takes in x new requests on
average, and as many leave. It then works on x·(p + d) tokens (p prefilled, d decoded ones of a
request), decodes x·d sequences and reads x·k tokens of KV (k over the whole life of a request), so
that it takes T(x) seconds and the replica serves x/T(x) requests a second. T is piecewise linear,
like the cost it comes from, so x/T(x) is monotone between the breaks: its maximum and the least x
that serves a rate are exact, in microseconds.

It is a bound from the mean: batches that vary cost more than their mean does, an uneven share of
the load makes some replica saturate first, and latency objectives need slack. So a rate above it
cannot be served, and how far below it one must stay only a simulation tells. There is no proof for
every cost: g may be concave in places, where a mix of batches is cheaper than the mean batch.
"""

from __future__ import annotations

from dataclasses import dataclass

from sim.perf.step import StepCost


@dataclass(frozen=True)
class Work:
    """What a request of the mean costs over its life; sums over its iterations.

    Attributes:
        prefilled: prompt tokens that are computed.
        decoded: iterations in which it decodes: one less than its output tokens.
        kv_tokens, windowed_kv_tokens: tokens of KV read while it decodes.
        pairs, windowed_pairs: ``Batch.prefill_pairs`` of its prompt.
    """

    prefilled: float
    decoded: float
    kv_tokens: float
    windowed_kv_tokens: float
    pairs: float
    windowed_pairs: float

    def plus(self, other: Work, share: float) -> Work:
        """The mean request where ``share`` of all are like ``other``."""
        return Work(
            *(
                (1.0 - share) * getattr(self, name) + share * getattr(other, name)
                for name in Work.__dataclass_fields__
            )
        )


@dataclass(frozen=True)
class Limits:
    """What an iteration holds at most."""

    sequences: int
    tokens: int
    kv_tokens: int


@dataclass(frozen=True)
class Steady:
    """A replica at a rate.

    Attributes:
        per_iteration: x.
        iteration_s: T(x), which is also the mean time per output token.
        sequences: that decode at a time.
    """

    per_iteration: float
    iteration_s: float
    sequences: float


@dataclass(frozen=True)
class Saturation:
    """The highest rate of a replica, and what ends it: "time", "sequences", "tokens" or "kv"."""

    rate_per_s: float
    limit: str


def iteration_s(cost: StepCost, work: Work, x: float) -> float:
    """T(x): seconds of an iteration that takes in ``x`` requests on average."""
    grid, seconds = cost.grid_tokens, cost.grid_s
    tokens = x * (work.prefilled + work.decoded)
    i = 0
    while i < len(grid) - 2 and grid[i + 1] <= tokens:
        i += 1
    slope = (seconds[i + 1] - seconds[i]) / (grid[i + 1] - grid[i])
    return (
        cost.fixed_s
        + seconds[i]
        + slope * (tokens - grid[i])
        + x
        * (
            cost.per_decode_s * work.decoded
            + cost.per_kv_token_s * work.kv_tokens
            + cost.per_windowed_kv_token_s * work.windowed_kv_tokens
            + cost.per_prefill_pair_s * work.pairs
            + cost.per_windowed_prefill_pair_s * work.windowed_pairs
        )
    )


def _most(work: Work, limits: Limits) -> tuple[float, str]:
    """The most requests that an iteration can take in on average, and what limits them."""
    bounds = [(limits.tokens / (work.prefilled + work.decoded), "tokens")]
    if work.decoded > 0.0:
        bounds.append((limits.sequences / work.decoded, "sequences"))
        bounds.append((limits.kv_tokens / work.kv_tokens, "kv"))
    return min(bounds)


def _breaks(cost: StepCost, work: Work, most: float) -> list[float]:
    """Where T bends, up to ``most``, which is the last; ascending."""
    each = work.prefilled + work.decoded
    inner = [tokens / each for tokens in cost.grid_tokens if 0 < tokens < most * each]
    return [*inner, most]


def saturation(cost: StepCost, work: Work, limits: Limits) -> Saturation:
    """The highest rate that a replica serves: the maximum of x/T(x) up to its limits."""
    most, limit = _most(work, limits)
    best, at = max((x / iteration_s(cost, work, x), x) for x in _breaks(cost, work, most))
    return Saturation(best, limit if at == most else "time")


def steady(cost: StepCost, work: Work, limits: Limits, rate_per_s: float) -> Steady | None:
    """The replica at a rate: the least x with x/T(x) = rate; None above saturation."""
    most, _ = _most(work, limits)
    low, low_s = 0.0, iteration_s(cost, work, 0.0)
    for high in _breaks(cost, work, most):
        high_s = iteration_s(cost, work, high)
        if high >= rate_per_s * high_s * (1.0 - 1e-12):
            slope = (high_s - low_s) / (high - low)
            # On the straight line between: x = rate·(low_s + slope·(x − low)).
            x = rate_per_s * (low_s - slope * low) / (1.0 - rate_per_s * slope)
            return Steady(x, low_s + slope * (x - low), x * work.decoded)
        low, low_s = high, high_s
    return None
