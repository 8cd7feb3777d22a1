"""Lists as arrays: types of nodes, shapes of pods, which go where, and what pods are typical."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim.errors import did_you_mean
from sim.kernels.node_state import CPU_ONLY, POD, SHARED, WHOLE, node_dtype, width_for
from sim.place.lists import NodeList, PodList
from sim.policies.scoring import TypicalPods

#: Typical pods are the most frequent shapes, until they make this share of all (FGD, section 4).
TYPICAL_SHARE = 0.95


@dataclass(frozen=True)
class Cluster:
    """A node list and a pod list as what policies and the replay work on.

    Attributes:
        idle: [N] records of nodes on which nothing runs (``sim.kernels.node_state``).
        types: [T] positions of one node of each type; nodes of a type are equal but for their name.
        shapes: [S] records of distinct pods.
        shape: [P] the shape of each pod of the list.
        allowed: [S, T] whether a shape may run on a type, by its wishes alone (not by size).
        typical: the most frequent shapes.
        notes: what a reader should know, such as GPU types that no node has.
    """

    nodes: NodeList
    pods: PodList
    idle: NDArray[np.void]
    types: NDArray[np.int64]
    shapes: NDArray[np.void]
    shape: NDArray[np.int64]
    allowed: NDArray[np.bool_]
    typical: TypicalPods
    notes: tuple[str, ...]


def build_cluster(nodes: NodeList, pods: PodList) -> Cluster:
    """Both lists as arrays."""
    eligible, notes = _eligible(nodes, pods)
    kinds = {name: i for i, name in enumerate(sorted(set(nodes.gpu)))}
    gpu = np.array([kinds[name] for name in nodes.gpu], dtype=np.int64)
    columns = [nodes.cpu_milli, nodes.memory_mib, nodes.gpus, gpu, *eligible.astype(np.int64)]
    _, first, type_ = np.unique(
        np.stack(columns, axis=1), axis=0, return_index=True, return_inverse=True
    )
    idle = np.zeros(len(nodes), dtype=node_dtype(width_for(int(nodes.gpus.max()))))
    idle["index"] = np.arange(len(nodes))
    idle["type"] = type_.reshape(-1)
    idle["cpu_left"], idle["mem_left"] = nodes.cpu_milli, nodes.memory_mib
    idle["gpus"] = idle["free"] = nodes.gpus
    idle["left"] = nodes.gpus * WHOLE
    width = idle["gpu_left"].shape[1]
    idle["gpu_left"] = np.where(np.arange(width) < nodes.gpus[:, None], WHOLE, 0)
    wishes = np.stack(
        [pods.cpu_milli, pods.memory_mib, pods.gpus, pods.gpu_milli, pods.where], axis=1
    )
    distinct, shape = np.unique(wishes, axis=0, return_inverse=True)
    shapes = np.zeros(len(distinct), dtype=POD)
    for i, name in enumerate(("cpu", "mem", "gpus", "gpu_milli")):
        shapes[name] = distinct[:, i]
    shapes["request"] = shapes["gpus"] * shapes["gpu_milli"]
    part = (shapes["gpus"] == 1) & (shapes["gpu_milli"] < WHOLE)
    shapes["kind"] = np.where(shapes["gpus"] == 0, CPU_ONLY, shapes["gpus"] + 1)
    shapes["kind"][part] = SHARED
    shapes["shape_id"] = np.arange(len(shapes))
    allowed = eligible[distinct[:, 4]][:, first]
    shape = shape.reshape(-1)
    typical = typical_pods(shapes, shape, distinct[:, 4], allowed)
    return Cluster(nodes, pods, idle, first, shapes, shape, allowed, typical, notes)


def _eligible(nodes: NodeList, pods: PodList) -> tuple[NDArray[np.bool_], tuple[str, ...]]:
    """[places, N] which nodes each place of the pods means, and notes on what means none."""
    names = np.array(nodes.gpu)
    known = tuple(sorted(set(nodes.gpu) - {""}))
    rows, notes = [], list(pods.notes)
    for place in pods.places:
        if place in pods.eligible:
            rows.append(pods.eligible[place])
        elif not place:
            rows.append(np.ones(len(nodes), dtype=bool))
        else:
            rows.append(np.isin(names, place.split("|")))
            for name in place.split("|"):
                note = f"{pods.file}: no node has a GPU of type {name!r}{did_you_mean(name, known)}"
                if name not in known and note not in notes:
                    notes.append(note)
    return np.array(rows, dtype=bool), tuple(notes)


def typical_pods(
    shapes: NDArray[np.void],
    shape: NDArray[np.int64],
    place: NDArray[np.int64],
    allowed: NDArray[np.bool_],
    share: float = TYPICAL_SHARE,
) -> TypicalPods:
    """The shapes without memory, most frequent first, until they make ``share`` of all pods.

    Equal counts: the shape that asks for more (GPUs, of each, CPU) goes first.

    Args:
        shapes, place, allowed: [S] records, the place each means, [S, T] the types that it means.
        shape: [P] of each pod.
    """
    keys = np.stack([shapes["gpus"], shapes["gpu_milli"], shapes["cpu"], place], axis=1)
    distinct, first, group = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    counts = np.bincount(group.reshape(-1)[shape], minlength=len(distinct))
    order = np.lexsort((*(-distinct[:, i] for i in (3, 2, 1, 0)), -counts))
    before = np.cumsum(counts[order]) - counts[order]
    kept = order[before < share * counts.sum()]
    one = first[kept]
    return TypicalPods(
        shapes["cpu"][one].copy(), shapes["gpus"][one].copy(), shapes["gpu_milli"][one].copy(),
        counts[kept] / counts[kept].sum(), np.ascontiguousarray(allowed[one]),
    )  # fmt: skip


def gpu_types(cluster: Cluster) -> Sequence[str]:
    """[T] the GPU type of each type of node."""
    return [cluster.nodes.gpu[i] for i in cluster.types.tolist()]
