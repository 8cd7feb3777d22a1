"""Policies on the same pods and nodes, seed by seed: what a table or JSON says of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.place.arrivals import demand_of
from sim.place.cluster import Cluster
from sim.place.replay import Outcome, replay
from sim.place.rules import REASONS
from sim.policies.scoring import TypicalPods

#: Shares of the GPUs that have arrived at which the state is reported, besides the last.
STEPS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)


@dataclass(frozen=True)
class PolicyReport:
    """What one policy did, one value a seed.

    Attributes:
        shares: [K] demand that had arrived, as part of the GPUs; the last is the end.
        unallocated: [seeds, K] part of the GPUs on which nothing was placed.
        fragmentation: [seeds, K] part of the GPUs that typical pods cannot use (FGD).
        failures: reason → [seeds] pods that found no place, or lost it.
        placed: [seeds] pods that have a place at the end.
        seconds: [seeds] the replay itself.
    """

    policy: str
    shares: tuple[float, ...]
    unallocated: NDArray[np.float64]
    fragmentation: NDArray[np.float64]
    failures: Mapping[str, NDArray[np.int64]]
    placed: NDArray[np.int64]
    seconds: NDArray[np.float64]


def report(
    cluster: Cluster,
    kind: str,
    policy: Any,
    seeds: Sequence[int],
    arrival: float | None,
    quotas: Mapping[str, float],
    done: Callable[[], None] = lambda: None,
) -> PolicyReport:
    """Replay under each seed; ``done`` is called after each. ``arrival`` None: as listed."""
    outcomes: list[Outcome] = []
    fragmented = []
    for seed in seeds:
        shares, outcome, idle = replay_once(cluster, policy, seed, arrival, quotas)
        outcomes.append(outcome)
        fragmented.append(idle)
        done()
    return together(kind, shares, outcomes, fragmented)


def replay_once(
    cluster: Cluster,
    policy: Any,
    seed: int,
    arrival: float | None,
    quotas: Mapping[str, float],
) -> tuple[tuple[float, ...], Outcome, NDArray[np.float64]]:
    """One seed: the shares at which the state is noted, what was done, fragmentation at each."""
    demand = demand_of(cluster.pods, cluster.nodes.gpu_milli, arrival)
    steps = tuple(step for step in STEPS if step < demand)
    outcome = replay(cluster, policy, seed, arrival, (*steps, arrival), quotas)
    states = [fragmentation_milli(state, cluster.typical) for state in outcome.states]
    return (*steps, demand), outcome, np.array(states) / cluster.nodes.gpu_milli


def together(
    kind: str,
    shares: tuple[float, ...],
    outcomes: Sequence[Outcome],
    fragmented: Sequence[NDArray[np.float64]],
) -> PolicyReport:
    """What ``replay_once`` gave under each seed."""
    counts = np.array([np.bincount(o.why, minlength=len(REASONS)) for o in outcomes])
    return PolicyReport(
        policy=kind,
        shares=shares,
        unallocated=1.0 - np.array([o.allocated for o in outcomes]),
        fragmentation=np.array(fragmented),
        failures={name: counts[:, i] for i, name in enumerate(REASONS) if i},
        placed=np.array([int((o.node >= 0).sum()) for o in outcomes]),
        seconds=np.array([o.seconds for o in outcomes]),
    )


def fragmentation_milli(nodes: NDArray[np.void], typical: TypicalPods) -> float:
    """FGD's fragmentation of a cluster: thousandths of GPUs, the mean over typical pods.

    ``sim.policies.placement.fgd`` has the same of one node; a test holds them together.
    """
    left, total = nodes["gpu_left"], 0.0
    for m, share in enumerate(typical.share.tolist()):
        milli = typical.gpu_milli[m]
        usable = np.zeros(len(nodes), dtype=np.int64)
        if milli > 0:
            fits = left >= milli
            there = typical.allowed[m][nodes["type"]] & (nodes["cpu_left"] >= typical.cpu[m])
            there &= fits.sum(axis=1) >= typical.gpus[m]
            usable = np.where(there, np.where(fits, left, 0).sum(axis=1), 0)
        total += share * float((nodes["left"] - usable).sum())
    return total


def as_dict(found: PolicyReport) -> dict[str, Any]:
    """The JSON form: percent of all GPUs, mean and standard deviation (of these seeds)."""
    idle = found.unallocated
    of_idle = np.divide(found.fragmentation, idle, out=np.zeros_like(idle), where=idle > 0)
    curve = {
        f"{100 * share:g}": {
            "unallocated_pct": spread(100 * idle[:, i]),
            "fragmentation_pct": spread(100 * found.fragmentation[:, i]),
            "fragmentation_of_idle_pct": spread(100 * of_idle[:, i]),
        }
        for i, share in enumerate(found.shares)
    }
    last = curve[f"{100 * found.shares[-1]:g}"]
    return {
        **last,
        "failures": {name: spread(counts) for name, counts in found.failures.items()},
        "failed": spread(sum(found.failures.values())),
        "placed": spread(found.placed),
        "seconds": spread(found.seconds),
        "at_arrival_pct": curve,
        "unallocated_pct_by_seed": [round(float(v), 6) for v in 100 * idle[:, -1]],
    }


def spread(values: Any) -> dict[str, float]:
    """Mean and standard deviation of values, one a seed (of the seeds themselves: n, not n - 1)."""
    array = np.asarray(values, dtype=np.float64)
    return {"mean": float(array.mean()), "std": float(array.std())}
