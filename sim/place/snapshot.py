"""How far policies are from the best placement of the pods that had arrived, for one seed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sim.place.cluster import Cluster
from sim.place.optimal import Optimal, optimal, refuse_rules
from sim.place.replay import Outcome, replay


def snapshot(
    cluster: Cluster,
    kinds: Mapping[str, type[Any]],
    seed: int,
    arrival: float | None,
    limit_s: float,
) -> dict[str, Any]:
    """GPUs that each policy allocates, the best placement found in the time and the bound, as JSON.

    The search begins with the best policy's placement.

    Raises:
        RackplanError: pods with rules that the program does not know.
    """
    refuse_rules(cluster, {})
    runs = {kind: replay(cluster, cls(), seed, arrival, (arrival,)) for kind, cls in kinds.items()}
    allocated = {kind: _milli(cluster, run) for kind, run in runs.items()}
    best = runs[max(allocated, key=lambda kind: allocated[kind])]
    found = optimal(cluster, best.pods, limit_s, best.node)
    return {
        "seed": seed,
        "pods": len(best.pods),
        "limit_s": limit_s,
        "seconds": found.seconds,
        "found_gpus": found.found_milli / 1000,
        "bound_gpus": found.bound_milli / 1000,
        "proven": found.proven,
        "policies": {
            kind: {
                "allocated_gpus": milli / 1000,
                "below_found_gpus": (found.found_milli - milli) / 1000,
                "below_bound_gpus": (found.bound_milli - milli) / 1000,
            }
            for kind, milli in allocated.items()
        },
        "sentence": _sentence(cluster, seed, len(best.pods), found),
    }


def _milli(cluster: Cluster, run: Outcome) -> int:
    return int(cluster.pods.request[run.pods][run.node >= 0].sum())


def _sentence(cluster: Cluster, seed: int, pods: int, found: Optimal) -> str:
    capacity = cluster.nodes.gpu_milli

    def left(milli: int) -> str:
        return f"{milli / 1000:,.2f} GPUs ({100 - 100 * milli / capacity:.3f} % not allocated)"

    of = f"Of the {pods:,} pods that arrived under seed {seed}"
    if found.proven:
        return f"{of}, {left(found.found_milli)} are the most that any placement allocates: proven"
    why = "" if found.listed else " (not all ways to fill a node were looked at)"
    return (
        f"{of}, the best placement found in {found.seconds:.0f} s allocates "
        f"{left(found.found_milli)}, and none allocates more than {left(found.bound_milli)}. The "
        f"best possible lies between; which it is was not proven in the time{why}"
    )
