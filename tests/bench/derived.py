"""Workloads made from the published traces: as near as there is to traces nobody has looked at.

Each is one list; what is random in its making has a stream of its own, named by the workload.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from sim.place.cluster import Cluster, build_cluster
from sim.place.lists import NodeList, PodList
from sim.rng import generator

#: Name of a published trace → its lists.
Traces = Callable[[str], Cluster]


def taken(pods: PodList, which: NDArray[np.int64]) -> PodList:
    """The pods at these positions; each copy has a name of its own."""
    names = tuple(f"{pods.names[pod]}-{copy}" for copy, pod in enumerate(which.tolist()))
    columns = {
        name: getattr(pods, name)[which]
        for name in ("cpu_milli", "memory_mib", "gpus", "gpu_milli", "where", "priority", "alone")
    }
    return replace(pods, names=names, tenant=tuple(pods.tenant[i] for i in which), **columns)


def times(pods: PodList, factors: NDArray[np.float64], name: str) -> PodList:
    """Each pod as often as its factor says, in the mean."""
    draws = generator(0, f"bench/derived/{name}").random(len(factors))
    return taken(pods, np.repeat(np.arange(len(pods)), np.floor(factors + draws).astype(int)))


def joined(lists: list[PodList]) -> PodList:
    """Lists one after the other."""
    places = tuple(dict.fromkeys(place for pods in lists for place in pods.places))
    where = [np.array([places.index(p) for p in pods.places])[pods.where] for pods in lists]
    columns = {
        name: np.concatenate([getattr(pods, name) for pods in lists])
        for name in ("cpu_milli", "memory_mib", "gpus", "gpu_milli", "priority", "alone")
    }
    names = tuple(f"{i}-{name}" for i, pods in enumerate(lists) for name in pods.names)
    tenant = tuple(one for pods in lists for one in pods.tenant)
    return replace(
        lists[0], names=names, places=places, where=np.concatenate(where), tenant=tenant, **columns
    )


class Kinds:
    """Masks of the pods of a list."""

    def __init__(self, pods: PodList) -> None:
        self.none = pods.gpus == 0
        self.shared = (pods.gpus == 1) & (pods.gpu_milli < 1000)
        self.one = (pods.gpus == 1) & (pods.gpu_milli == 1000)
        self.several = pods.gpus > 1


def mixed(
    found: Cluster, name: str, none: float, shared: float, one: float, several: float
) -> Cluster:
    """The pods of each kind so many times."""
    kinds = Kinds(found.pods)
    factors = kinds.none * none + kinds.shared * shared + kinds.one * one
    return build_cluster(found.nodes, times(found.pods, factors + kinds.several * several, name))


def specified(traces: Traces, share: float, name: str) -> Cluster:
    """The default trace, ``share`` of its GPU pods asking for types as those of gpuspec20 do."""
    found, pattern = traces("default"), traces("gpuspec20").pods
    rng = generator(0, f"bench/derived/{name}")
    asking = np.array([i for i in range(len(pattern)) if pattern.places[pattern.where[i]]])
    drawn = pattern.where[rng.choice(asking, len(found.pods))]
    wanting = (found.pods.gpus > 0) & (rng.random(len(found.pods)) < share)
    nowhere = pattern.places.index("")
    where = np.where(wanting, drawn, nowhere)
    return build_cluster(found.nodes, replace(found.pods, places=pattern.places, where=where))


def asking_more(traces: Traces, factor: float, name: str) -> Cluster:
    """gpuspec20, the pods that ask for a type so many times."""
    found = traces("gpuspec20")
    asks = np.array([bool(place) for place in found.pods.places])[found.pods.where]
    return build_cluster(found.nodes, times(found.pods, np.where(asks, factor, 1.0), name))


def scaled(found: Cluster, column: str, low: float, high: float, name: str) -> Cluster:
    """Each distinct size (CPU, or part of a GPU) times a factor of its own, in steps of 10."""
    rng = generator(0, f"bench/derived/{name}")
    sizes = getattr(found.pods, column)
    distinct, place = np.unique(sizes, return_inverse=True)
    new = np.rint(distinct * rng.uniform(low, high, len(distinct)) / 10).astype(np.int64) * 10
    if column == "gpu_milli":
        new = np.where((distinct == 0) | (distinct == 1000), distinct, np.clip(new, 10, 990))
    return build_cluster(found.nodes, replace(found.pods, **{column: new[place.reshape(-1)]}))


def kept_nodes(nodes: NodeList, keep: NDArray[np.bool_]) -> NodeList:
    """Some of the nodes."""
    which = np.flatnonzero(keep)
    return replace(
        nodes,
        names=tuple(nodes.names[i] for i in which),
        gpu=tuple(nodes.gpu[i] for i in which),
        cpu_milli=nodes.cpu_milli[which],
        memory_mib=nodes.memory_mib[which],
        gpus=nodes.gpus[which],
    )


def third_of_each(traces: Traces, name: str) -> Cluster:
    """A third each of the pods of three traces."""
    lists = []
    for trace in ("gpushare60", "gpuspec20", "multigpu30"):
        pods = traces(trace).pods
        lists.append(times(pods, np.full(len(pods), 1 / 3), f"{name}/{trace}"))
    return build_cluster(traces("default").nodes, joined(lists))


def a_third(found: Cluster, name: str) -> Cluster:
    """Every third node, a third of the pods."""
    pods = times(found.pods, np.full(len(found.pods), 1 / 3), name)
    return build_cluster(kept_nodes(found.nodes, np.arange(len(found.nodes)) % 3 == 0), pods)


def of_type(found: Cluster, gpu: str) -> Cluster:
    """Nodes of one GPU type only."""
    return build_cluster(kept_nodes(found.nodes, np.array(found.nodes.gpu) == gpu), found.pods)


#: Name → how it is made. The first fourteen are those of the first study of absorb.
DERIVED: Mapping[str, Callable[[Traces, str], Cluster]] = {
    "no CPU-only pods": lambda of, name: mixed(of("default"), name, 0, 1, 1, 1),
    "CPU-only pods x 2": lambda of, name: mixed(of("default"), name, 2, 1, 1, 1),
    "CPU-only pods x 3": lambda of, name: mixed(of("default"), name, 3, 1, 1, 1),
    "no shared GPUs": lambda of, name: mixed(of("default"), name, 1, 0, 1, 1),
    "shared x 1.9, one GPU x 0.25": lambda of, name: mixed(of("default"), name, 1, 1.9, 0.25, 1),
    "shared GPUs only": lambda of, name: mixed(of("default"), name, 1, 1, 0, 0),
    "several GPUs x 25, one GPU x 0.5": lambda of, name: mixed(of("default"), name, 1, 1, 0.5, 25),
    "type asked by 33 %": lambda of, name: specified(of, 0.33, name),
    "type asked by 60 %": lambda of, name: specified(of, 0.6, name),
    "a third of three traces": third_of_each,
    "CPU sizes x 0.6-1.5": lambda of, name: scaled(of("default"), "cpu_milli", 0.6, 1.5, name),
    "GPU shares x 0.6-1.4": lambda of, name: scaled(of("default"), "gpu_milli", 0.6, 1.4, name),
    "a third of nodes and pods": lambda of, name: a_third(of("default"), name),
    "G2 nodes only": lambda of, name: of_type(of("default"), "G2"),
    "CPU-only pods x 1.45": lambda of, name: mixed(of("default"), name, 1.45, 1, 1, 1),
    "CPU-only pods x 1.8": lambda of, name: mixed(of("default"), name, 1.8, 1, 1, 1),
    "gpushare60, shared x 0.25": lambda of, name: mixed(of("gpushare60"), name, 1, 0.25, 1, 1),
    "gpushare60, shared x 3": lambda of, name: mixed(of("gpushare60"), name, 1, 3, 1, 1),
    "multigpu30, several x 0.5": lambda of, name: mixed(of("multigpu30"), name, 1, 1, 1, 0.5),
    "multigpu30, several x 2.5": lambda of, name: mixed(of("multigpu30"), name, 1, 1, 1, 2.5),
    "gpuspec20, asking x 0.5": lambda of, name: asking_more(of, 0.5, name),
    "gpuspec20, asking x 1.7": lambda of, name: asking_more(of, 1.7, name),
}
