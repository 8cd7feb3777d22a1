"""Time of one layer's routed experts on one GPU, and how tokens spread over experts and ranks.

    t = launch + each·hit + (rows_in·rows + tokens_in·tokens)·hidden·2/HBM
        + (compute^p + weights^p)^(1/p)

``rows``: (token, expert) pairs that this rank computes; ``hit``: its experts that any token chose.
Compute counts each expert's rows up to a whole tile. The activations cross HBM for the rank's rows
and, as every rank of a group sees all its tokens, for the tokens. Kernels that switch their tiles
with the number of rows have a correction on top: log factors over log2 of the rows per expert.

Expert parallelism: each of ``expert_parallel`` ranks holds whole experts; the hottest decides.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sim.perf.gemm import FULL_CLOCK, Clock, Floats

#: How tokens choose: in turn (benchmarks), each alike, or by a power law with this exponent.
ROUTINGS = ("balanced", "uniform", "power-law")
EXPONENT = 1.2
#: Where ``ExpertConstants.correction`` has its points: log2 of rows per expert of the rank.
NODES = (-4.0, -2.0, 0.0, 2.0, 4.0, 6.0, 9.0, 12.0)


@dataclass(frozen=True)
class ExpertConstants:
    """Fitted constants of one kernel on one GPU; shares unless the name carries a unit."""

    launch_s: float
    expert_s: float  # per hit expert
    compute: float
    bandwidth: float
    norm: float
    rows_in: float  # times that a row crosses HBM
    tokens_in: float
    hot: float  # rows of the hottest rank under the power law, over their expectation here
    tile_rows: float  # rows of an expert are computed in multiples of this
    all_rows: float  # 1: every rank computes the rows of all ranks
    correction: tuple[float, ...]  # log factors at NODES; () for none


@dataclass(frozen=True)
class Layer:
    """The routed experts of one layer on one rank."""

    experts: int  # over all ranks
    per_token: int
    hidden: int
    ffn: int  # of this rank
    expert_parallel: int
    weight_bytes: float

    @property
    def local(self) -> float:
        """Experts of the rank."""
        return self.experts / self.expert_parallel


@dataclass(frozen=True)
class Load:
    """What the hottest rank works on, [n] each: experts hit, rows, rows in whole tiles."""

    hit: Floats
    rows: Floats
    tiled: Floats


def experts_s(
    tokens: Floats,
    layer: Layer,
    routing: str,
    constants: ExpertConstants,
    peak_flops: float,
    bandwidth_bytes_per_s: float,
    clock: Clock = FULL_CLOCK,
) -> Floats:
    """[n] seconds of one layer's experts for ``tokens`` tokens of the whole group."""
    c = constants
    rank = load(tokens, layer, routing, c.tile_rows, c.hot)
    rows, tiled = rank.rows, rank.tiled
    if c.all_rows:
        rows = tokens * layer.per_token
        tiled = rank.hit * _tiled(rows / rank.hit, c.tile_rows)
    size = 3.0 * layer.hidden * layer.ffn
    weights = rank.hit * size * layer.weight_bytes / (c.bandwidth * bandwidth_bytes_per_s)
    compute = 2 * tiled * size / (c.compute * peak_flops)
    joined = ((compute * clock.compute) ** c.norm + (weights * clock.memory) ** c.norm) ** (
        1 / c.norm
    )
    moved = (c.rows_in * rows + c.tokens_in * tokens) * layer.hidden * 2
    moved = moved / bandwidth_bytes_per_s * clock.memory
    total: Floats = c.launch_s + c.expert_s * rank.hit + moved + joined
    if c.correction:
        total = total * np.exp(np.interp(np.log2(rank.rows / layer.local), NODES, c.correction))
    return total


def load(tokens: Floats, layer: Layer, routing: str, tile_rows: float, hot: float = 1.0) -> Load:
    """What the hottest rank has to do.

    * ``balanced``: rows in turn to experts, experts in turn to ranks.
    * ``uniform``: each token chooses at random, all experts alike; a rank's rows are the mean.
    * ``power-law``: the experts' shares are the expected order statistics of a power law; the
      rank with the first expert has the others at random, and ``hot`` times what that gives.
    """
    rows = tokens * layer.per_token
    if routing == "balanced":
        hit = np.maximum(np.minimum(rows, layer.experts) / layer.expert_parallel, 1.0)
        mine = np.maximum(rows / layer.expert_parallel, 1.0)
        return Load(hit, mine, hit * np.ceil(mine / hit / tile_rows) * tile_rows)
    if routing == "uniform":
        hit = layer.local * (1 - (1 - layer.per_token / layer.experts) ** tokens)
        mine = rows / layer.expert_parallel
        return Load(hit, mine, hit * _tiled(mine / hit, tile_rows))
    shares = [power_law_rows(float(t), layer.per_token, layer.experts) for t in tokens]
    found = np.array([_hottest(x, layer.local, tile_rows, hot) for x in shares])
    return Load(found[:, 0], found[:, 1], found[:, 2])


def _hottest(rows: Floats, local: float, tile_rows: float, hot: float) -> tuple[float, ...]:
    """Experts hit, rows, rows in tiles of the rank that has the first expert and others."""
    weight = np.full(len(rows), (local - 1) / max(len(rows) - 1, 1))
    weight[0] = 1.0
    chosen = 1 - np.exp(-rows)
    hit = max(1.0, float(weight @ chosen))
    mine = hot * max(1.0, float(weight @ rows))
    tiled = hot * float(weight @ (np.maximum(rows / np.maximum(rows, 1), chosen) * _tiled(
        np.maximum(rows, 1), tile_rows)))  # fmt: skip
    return hit, mine, tiled


def _tiled(rows: Floats, tile_rows: float) -> Floats:
    """Expected rows of an expert in whole tiles: never less than one, half of one more on average.

    Smooth in the number of rows, so that time never falls when a token is added.
    """
    return np.maximum(tile_rows, rows + (tile_rows - 1) / 2)


def power_law_rows(tokens: float, per_token: int, experts: int) -> Floats:
    """[experts] expected rows of each expert, most first, none more than ``tokens``.

    Order statistics of x^(−1.2) between 1 and 0.8·tokens (between 0.01 and 2 while there are fewer
    rows than experts), scaled to tokens·per_token rows; what an expert cannot take goes to others.
    """
    total = tokens * per_token
    low, high = (1.0, max(0.8 * tokens, 1.0)) if total > experts else (0.01, 2.0)
    power = 1 - EXPONENT
    at = 1 - np.arange(1, experts + 1) / (experts + 1)
    rows: Floats = (low**power + at * (high**power - low**power)) ** (1 / power)
    rows *= total / rows.sum()
    while (over := float(np.maximum(rows - tokens, 0).sum())) > 1e-9 * total:
        free = rows < tokens
        spread = rows[free].sum()
        rows = np.where(free, rows * (1 + over / spread), tokens)
    return rows
