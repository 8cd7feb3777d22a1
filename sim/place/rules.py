"""What holds for every policy, as arrays of one replay: tenants, isolation, quotas, priorities."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sim.errors import DataError, RackplanError, did_you_mean
from sim.place.cluster import Cluster
from sim.place.lists import LEVELS, NodeList

#: Why a pod is nowhere, by code (``sim.kernels.place_rules``); the first is "it is somewhere".
REASONS = ("placed", "gpu_type", "gpu", "cpu", "memory", "isolation", "quota", "preempted")

_UNLIMITED = 1 << 62


class Residents(NamedTuple):
    """Pods by node, as lists with the latest first; empty arrays where no pod can preempt."""

    head: NDArray[np.int64]
    next: NDArray[np.int64]
    priority: NDArray[np.int64]
    request: NDArray[np.int64]
    shape: NDArray[np.int64]
    bits: NDArray[np.int64]
    shapes: NDArray[np.void]


def rules_of(
    cluster: Cluster, pods: NDArray[np.int64], quotas: Mapping[str, float]
) -> tuple[Any, ...]:
    """The arrays that ``sim.kernels.placing.replay`` calls rules; quotas in GPUs.

    Raises:
        DataError: a pod is to be alone in a rack or leaf, and the nodes do not say which is whose.
        RackplanError: a quota of a tenant that has no pods.
    """
    listed = cluster.pods
    names = sorted({"", *listed.tenant})
    number = {name: i for i, name in enumerate(names)}
    tenants = np.array([number[name] for name in listed.tenant], dtype=np.int64)
    quota = np.full(len(names), _UNLIMITED, dtype=np.int64)
    for tenant, gpus in quotas.items():
        if tenant not in number or not tenant:
            hint = did_you_mean(tenant, names)
            raise RackplanError(f"quota of {tenant!r}: {listed.file} has no such tenant{hint}")
        quota[number[tenant]] = int(gpus * 1000)
    domains = np.zeros((0, len(cluster.idle)), dtype=np.int64)
    if listed.alone.any():
        domains = _domains(cluster.nodes, listed.file, int(listed.alone.max()))
    size = int(domains.max(initial=0)) + 1
    return (
        tenants[pods], listed.priority[pods], listed.alone[pods], domains,
        np.zeros((len(domains), size, len(names) + 1), dtype=np.int64),
        np.zeros((len(domains), size), dtype=np.int64), quota, np.zeros(len(names), dtype=np.int64),
    )  # fmt: skip


def check_isolation(cluster: Cluster) -> None:
    """Whether the nodes say which rack and leaf they are in, where pods are to be alone there.

    Raises:
        DataError: they do not.
    """
    _domains(cluster.nodes, cluster.pods.file, int(cluster.pods.alone.max(initial=0)))


def _domains(nodes: NodeList, pods_file: str, levels: int) -> NDArray[np.int64]:
    rows: list[NDArray[np.int64]] = [np.arange(len(nodes))]
    for level, column in zip(LEVELS[1:levels], (nodes.racks, nodes.leaves), strict=False):
        if column is None:
            raise DataError(
                nodes.file,
                f"has no column {level!r}, and {pods_file} has pods whose isolation is {level}",
            )
        rows.append(np.unique(np.array(column), return_inverse=True)[1].reshape(-1))
    return np.array(rows, dtype=np.int64)


def residents_of(
    cluster: Cluster,
    pods: NDArray[np.int64],
    shapes: NDArray[np.void],
    bits: NDArray[np.int64],
) -> tuple[Residents, NDArray[np.int64], NDArray[np.void]]:
    """Lists of residents, room for victims and a scratch node, for preemption."""
    ranked = len(np.unique(cluster.pods.priority)) > 1
    count = len(pods) if ranked else 0
    residents = Residents(
        head=np.full(len(cluster.idle), -1),
        next=np.full(count, -1),
        priority=cluster.pods.priority[pods],
        request=cluster.pods.request[pods],
        shape=cluster.shape[pods],
        bits=bits,
        shapes=shapes,
    )
    victims = np.full((2, count + 1), -1)
    return residents, victims, np.zeros(1, dtype=cluster.idle.dtype)
