"""How loaded each pool of a scenario is, before any run: bounds, and nearness to saturation.

The *safe* bound asks whether the mean load that the objectives require (of each workload the share
that may not be late) can be served at all. The pool's load as a whole against its saturation is
the utilisation ρ; of R replicas β = (1 − ρ)·√R tells how near to saturation it is. Below
``NEAR_SATURATION`` a seed in a hundred holds a queue that the others do not, and no interval over a
few seeds is worth its name (Halfin and Whitt, Operations Research 1981, on β).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sim.check.scenario import Pool, Scenario
from sim.perf.step import BLOCK_TOKENS, ReplicaModel
from sim.plan.fluid import Limits, Work, saturation, steady
from sim.plan.margins import Objective
from sim.workload import build_source
from sim.workload.plan import Workload
from sim.workload.types import RequestChunk

#: β below this: one in a hundred seeds may hold a queue that all others lack.
NEAR_SATURATION = 0.2
#: Requests that a workload's mean is taken of.
_SAMPLE = 200_000
#: A TPOT line on this quantile or a higher one bounds the mean iteration too.
_BOUNDS_MEAN = 0.9
#: Saturation in simulation was up to 1.2 % above that of the mean iteration (the quickstart with 14
#: to 18 replicas), so the safe bound leaves twice as much.
_SLACK = 1.02
_WHY = {
    "time": "more work arrives than iterations get done",
    "tokens": "more tokens arrive than iterations take",
    "sequences": "more sequences would have to run at once than max_sequences",
    "kv": "more tokens would have to be in KV at once than there are blocks for",
}


@dataclass(frozen=True)
class PoolLoad:
    """A pool under the load of its workloads.

    Attributes:
        rate_per_s: that arrives at the pool; ``saturation_per_s``: that it could take at most.
        infeasible: why the required part of it cannot be served; "" if it can, or nothing is
            required.
        unknown: why there are no numbers; "" if there are.
        required: some line asks that its requests are served.
    """

    pool: str
    replicas: int
    rate_per_s: float = math.nan
    saturation_per_s: float = math.nan
    infeasible: str = ""
    unknown: str = ""
    required: bool = True

    @property
    def utilisation(self) -> float:
        """ρ."""
        return self.rate_per_s / self.saturation_per_s

    @property
    def beta(self) -> float:
        """(1 − ρ)·√R."""
        return (1.0 - self.utilisation) * math.sqrt(self.replicas)

    @property
    def near_saturation(self) -> bool:
        """Whether no interval over seeds can be trusted."""
        return self.required and not self.unknown and self.beta < NEAR_SATURATION


@dataclass(frozen=True)
class Stream:
    """A workload as its pool sees it: mean rate and request, and the share that must be served."""

    rate_per_s: float
    work: Work
    required: float


class Loads:
    """Loads of scenarios that differ little: the requests of a workload are looked at once."""

    def __init__(self, objectives: Sequence[Objective]) -> None:
        self._objectives = objectives
        self._seen: dict[str, tuple[Work, float]] = {}

    def of(self, scenario: Scenario) -> list[PoolLoad]:
        """Each pool that a workload is sent to."""
        total = sum(w.rate_per_s or 0.0 for w in scenario.workloads)
        found = []
        for pool in scenario.pools:
            mine = [w for w in scenario.workloads if w.pool == pool.name]
            if not mine:
                continue
            why = _unknown(pool, mine, scenario)
            if why:
                found.append(PoolLoad(pool.name, pool.replicas, unknown=why))
                continue
            streams = [self.stream(w, scenario, pool, total) for w in mine]
            streams = [stream for stream in streams if stream.work.prefilled > 0.0]
            found.append(loaded(pool, streams, self.tpot_s(mine)))
        return found

    def stream(
        self, workload: Workload, scenario: Scenario, pool: Pool, total_per_s: float
    ) -> Stream:
        """A workload as a pool sees it; ``total_per_s``: the stated rates of all workloads."""
        work, rate_per_s = self._measured(workload, scenario, pool)
        if workload.rate_per_s is not None and not _varies(workload):
            rate_per_s = workload.rate_per_s
        lost = self._may_be_lost(workload, total_per_s)
        return Stream(rate_per_s, work, 1.0 - lost)

    def _may_be_lost(self, workload: Workload, total_per_s: float) -> float:
        """The share of a workload that may be late or lost by the lines; 1 if none asks for it."""
        shares = [1.0]
        for line in self._objectives:
            if line.workload == workload.name:
                shares.append(line.limit)
            elif line.definition.name == "goodput_fraction" and line.more:
                if line.metric == f"{workload.name}.goodput_fraction":
                    shares.append(1.0 - line.limit)
                elif line.definition.scope == "site" and workload.rate_per_s:
                    shares.append((1.0 - line.limit) * total_per_s / workload.rate_per_s)
        return min(shares)

    def tpot_s(self, workloads: Iterable[Workload]) -> float:
        """The longest that an iteration may be on average."""
        most = math.inf
        for workload in workloads:
            for line in self._objectives:
                mine = line.workload == workload.name and line.family == "tpot"
                if mine and line.quantile >= _BOUNDS_MEAN:
                    most = min(most, line.threshold_s)
                good = line.metric == f"{workload.name}.goodput_fraction" and line.more
                if good and line.limit >= _BOUNDS_MEAN and workload.objectives.tpot_s is not None:
                    most = min(most, workload.objectives.tpot_s)
        return most

    def _measured(self, workload: Workload, scenario: Scenario, pool: Pool) -> tuple[Work, float]:
        """The mean request, and the mean rate over the scenario's duration, of its first seed."""
        scaled = workload if _varies(workload) else replace(workload, rate_per_s=None)
        key = repr((scaled, scenario.seed, scenario.duration_s, _window(pool), pool.prefix_cache))
        if key not in self._seen:
            source = build_source(
                workload, index=0, seed=scenario.seed, duration_s=scenario.duration_s
            )
            works, n, last_s = [], 0, scenario.duration_s
            for chunk in source.chunks():
                works.append((work_of(chunk, _window(pool), pool.prefix_cache), len(chunk)))
                n += len(chunk)
                if n >= _SAMPLE:
                    last_s = float(chunk.arrival_s[-1])
                    break
            self._seen[key] = (_mean(works), n / last_s)
        return self._seen[key]


def _unknown(pool: Pool, workloads: Iterable[Workload], scenario: Scenario) -> str:
    """Why the steady state of a pool is not known; "" if it is."""
    if pool.decode is not None:
        return "its requests are decoded by another pool"
    return unsteady(pool, workloads, scenario)


def unsteady(pool: Pool, workloads: Iterable[Workload], scenario: Scenario) -> str:
    """Why a pool has no steady state, or none that is known; "" if it has."""
    if pool.moves or any(event.pool == pool.name for event in scenario.events):
        return "the number of its replicas changes during the run"
    for workload in workloads:
        if workload.clients is not None:
            return f"{workload.name} is a closed loop: its rate follows from the answers"
    return ""


def _varies(workload: Workload) -> bool:
    """Whether the rate over a run is not the stated one."""
    return workload.trace is not None or bool(workload.synthetic and workload.synthetic.profile)


def _window(pool: Pool) -> int:
    return next(iter(pool.models.values())).cost[0].window


def loaded(pool: Pool, streams: Sequence[Stream], tpot_s: float) -> PoolLoad:
    """A pool under its streams; ``tpot_s``: the longest that its iterations may be on average."""
    rate_per_s = sum(stream.rate_per_s for stream in streams)
    if not rate_per_s:
        return PoolLoad(pool.name, pool.replicas, unknown="no request arrives")
    whole = _mean([(stream.work, stream.rate_per_s) for stream in streams])
    # Which GPU types the replicas get is not known yet: the fastest makes the bound safe.
    tops = {name: _top(pool, model, whole) for name, model in pool.models.items()}
    best = max(tops, key=tops.__getitem__)
    return PoolLoad(
        pool.name, pool.replicas, rate_per_s, pool.replicas * tops[best],
        _infeasible(pool, pool.models[best], streams, tpot_s),
        required=any(stream.required > 0.0 for stream in streams),
    )  # fmt: skip


def _limits(pool: Pool, model: ReplicaModel) -> Limits:
    batching = pool.batching
    return Limits(batching.max_sequences, batching.max_batch_tokens, model.kv_blocks * BLOCK_TOKENS)


def _top(pool: Pool, model: ReplicaModel, work: Work) -> float:
    return saturation(model.cost[0], work, _limits(pool, model)).rate_per_s


def _infeasible(pool: Pool, model: ReplicaModel, streams: Sequence[Stream], tpot_s: float) -> str:
    """Why what is required of a replica cannot be served."""
    required = [(stream.work, stream.rate_per_s * stream.required) for stream in streams]
    rate_per_s = sum(rate for _, rate in required) / pool.replicas
    if not rate_per_s:
        return ""
    work, limits = _mean(required), _limits(pool, model)
    top = saturation(model.cost[0], work, limits)
    at = steady(model.cost[0], work, limits, rate_per_s / _SLACK)
    if at is None:
        return (
            f"{pool.name}: {_WHY[top.limit]} ({rate_per_s:.3g} requests/s for each replica, at "
            f"most {top.rate_per_s:.3g})"
        )
    if at.iteration_s > tpot_s:
        return (
            f"{pool.name}: an iteration takes {1e3 * at.iteration_s:.3g} ms on average, longer "
            f"than the {1e3 * tpot_s:.3g} ms that an output token may"
        )
    return ""


def work_of(chunk: RequestChunk, window: int, prefix_cache: bool) -> Work:
    """The mean request of a chunk.

    ``window``: of the LLM's sliding-window layers, 0 without. With a prefix cache every id of a
    prompt counts as found, which makes the work a lower bound.
    """
    inputs = chunk.input_tokens.astype(np.float64)
    decoded = np.maximum(chunk.output_tokens.astype(np.float64) - 1.0, 0.0)
    known = np.zeros(len(inputs))
    if prefix_cache and chunk.prefix_ptr is not None:
        known = np.diff(chunk.prefix_ptr) * float(chunk.prefix_block_tokens)
        known = np.minimum(known, inputs - 1.0)
    return Work(
        float(np.mean(inputs - known)),
        float(np.mean(decoded)),
        float(np.mean(decoded * inputs + decoded * (decoded + 1.0) / 2.0)),
        float(np.mean(_windowed_kv(inputs, decoded, window))) if window else 0.0,
        float(np.mean(inputs**2 - known**2)),
        float(np.mean(_windowed(inputs, window) - _windowed(known, window))) if window else 0.0,
    )


def _windowed(tokens: NDArray[np.float64], window: int) -> NDArray[np.float64]:
    """h of ``sim.perf.step.windowed_pairs``."""
    inside = np.minimum(tokens, window)
    return np.asarray(inside**2 + 2.0 * window * (tokens - inside))


def _windowed_kv(
    inputs: NDArray[np.float64], decoded: NDArray[np.float64], window: int
) -> NDArray[np.float64]:
    """Σ min(input + j, window) over j = 1 … decoded."""
    below = np.clip(window - inputs, 0.0, decoded)
    return np.asarray(below * inputs + below * (below + 1.0) / 2.0 + (decoded - below) * window)


def _mean(parts: Iterable[tuple[Work, float]]) -> Work:
    """The mean request of several kinds by their weights."""
    weight, mean = 0.0, Work(0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    for work, more in parts:
        if more > 0.0:
            weight += more
            mean = mean.plus(work, more / weight)
    return mean


def tightest(loads: Iterable[PoolLoad]) -> PoolLoad | None:
    """The pool nearest to saturation; None where none is known."""
    known = [load for load in loads if not load.unknown]
    return min(known, key=lambda load: load.beta, default=None)


def unknown(loads: Iterable[PoolLoad]) -> Mapping[str, str]:
    """Pool → why its saturation is not known."""
    return {load.pool: load.unknown for load in loads if load.unknown}
