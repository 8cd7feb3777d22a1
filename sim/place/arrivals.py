"""In which order pods arrive, and how many: the protocol of the FGD paper's artifact."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sim.errors import RackplanError
from sim.place.lists import PodList
from sim.rng import generator

#: Pods of one replay at most: what a mistyped --arrival would otherwise make.
MOST_PODS = 5_000_000


def arrivals(
    pods: PodList, capacity_milli: int, share: float | None, seed: int
) -> NDArray[np.int64]:
    """[A] positions in the list, in the order of arrival, until demand is ``share`` of the GPUs.

    None: each pod once, in the order of the list.

    The list is sorted by name and shuffled. Then pods are drawn from it with replacement and
    appended, until the next one would go beyond ``share`` (of its parts of one GPU: a pod with
    several counts as one there, as in the artifact); or, where the list itself asks for more, pods
    are taken out at random.

    Raises:
        RackplanError: as ``check_arrival``.
    """
    check_arrival(pods, capacity_milli, share)
    if share is None:
        return np.arange(len(pods))
    rng = generator(seed, "place/arrivals")
    by_name = np.array(sorted(range(len(pods)), key=pods.names.__getitem__), dtype=np.int64)
    order = by_name[rng.permutation(len(by_name))]
    request, wanted = pods.request, share * capacity_milli
    total = int(request.sum())
    if total > wanted:
        keep = order[rng.permutation(len(order))]
        within = np.cumsum(request[keep]) <= wanted
        return order[np.isin(order, keep[within])]
    drawn: list[int] = []
    while True:
        for pod in rng.integers(len(pods), size=1024).tolist():
            pod = int(by_name[pod])
            if total + pods.gpu_milli[pod] > wanted:
                return np.concatenate([order, np.array(drawn, dtype=np.int64)])
            total += int(request[pod])
            drawn.append(pod)


def check_arrival(pods: PodList, capacity_milli: int, share: float | None) -> None:
    """Whether demand can reach ``share`` of the GPUs at all.

    Raises:
        RackplanError: no pod asks for a GPU, or too many pods would be needed.
    """
    if share is None:
        return
    total, wanted = int(pods.request.sum()), share * capacity_milli
    if total == 0:
        raise RackplanError(f"{pods.file}: no pod asks for a GPU, so no arrival can be reached")
    if len(pods) * (wanted / total) > MOST_PODS:
        raise RackplanError(
            f"{pods.file}: an arrival of {share:g} needs about {len(pods) * wanted / total:,.0f} "
            f"pods; {MOST_PODS:,} is the most (one pod of this list asks for "
            f"{total / len(pods) / 1000:.3g} GPUs in the mean, and the nodes have "
            f"{capacity_milli // 1000:,})"
        )


def demand_of(pods: PodList, capacity_milli: int, share: float | None) -> float:
    """Demand of all that arrives, as part of the GPUs."""
    return float(pods.request.sum() / capacity_milli) if share is None else share
