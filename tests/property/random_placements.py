"""Random node and pod lists of tenants, and what must hold after every arrival of their replay."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

import numpy as np

from sim.place.cluster import Cluster, build_cluster
from sim.place.lists import NodeList, PodList
from sim.place.replay import _Run
from sim.place.rules import REASONS
from sim.policies.base import policies

POLICIES = ("first-fit", "best-fit", "fgd", "random")
TENANTS = ("", "a", "b", "c")


@dataclass(frozen=True)
class Placement:
    """Lists, quotas and a policy by kind."""

    cluster: Cluster
    quotas: dict[str, float]
    policy: str
    seed: int


def random_placement(rng: Random) -> Placement:
    """A few nodes in racks and on leaves, and more pods than they hold."""
    count = rng.randrange(3, 9)
    gpus = [rng.choice([0, 2, 4, 4, 8]) for _ in range(count)]
    gpus[0] = max(gpus[0], 2)
    nodes = NodeList(
        file="nodes.csv",
        names=tuple(f"n{i}" for i in range(count)),
        cpu_milli=_whole(rng.choice([8_000, 16_000, 32_000]) for _ in range(count)),
        memory_mib=_whole(rng.choice([4_096, 16_384]) for _ in range(count)),
        gpus=_whole(gpus),
        gpu=tuple(rng.choice(["G2", "T4"]) if some else "" for some in gpus),
        racks=tuple(f"r{i // 2}" for i in range(count)),
        leaves=tuple(f"l{i // rng.choice([3, 4])}" for i in range(count)),
    )
    pods = [_pod(rng) for _ in range(rng.randrange(20, 60))]
    columns = [_whole(pod[i] for pod in pods) for i in range(7)]
    cpu, memory, some, milli, where, priority, alone = columns
    tenant = tuple(rng.choice(TENANTS) for _ in pods)
    named = np.array([bool(one) for one in tenant])
    listed = PodList(
        file="pods.csv", names=tuple(f"p{i:02}" for i in range(len(pods))), cpu_milli=cpu,
        memory_mib=memory, gpus=some, gpu_milli=milli, where=where, places=("", "G2", "G2|T4"),
        priority=priority * rng.choice([0, 1, 1]), tenant=tenant, alone=np.where(named, alone, 0),
    )  # fmt: skip
    most = {one: float(rng.choice([1, 2, 4, 6.5])) for one in TENANTS[1:] if one in tenant}
    quotas = {one: gpus for one, gpus in most.items() if rng.randrange(2)}
    cluster = build_cluster(nodes, listed)
    return Placement(cluster, quotas, rng.choice(POLICIES), rng.randrange(1000))


def _whole(values: Iterator[int] | list[int]) -> np.ndarray:
    return np.array(list(values), dtype=np.int64)


def _pod(rng: Random) -> tuple[int, ...]:
    """CPU, memory, GPUs, thousandths of each, place, priority, level at which it is alone."""
    gpus = rng.choice([0, 1, 1, 1, 2, 4])
    milli = rng.choice([250, 500, 1000, 1000]) if gpus == 1 else 1000
    if gpus == 2:
        milli = rng.choice([300, 1000])
    return (
        rng.choice([0, 1_000, 4_000, 9_000]), rng.choice([0, 512, 3_000]), gpus,
        milli if gpus else 0, rng.choice([0, 0, 0, 1, 2]), rng.randrange(4),
        rng.choice([0, 0, 0, 0, 1, 2, 3]),
    )  # fmt: skip


def broken_placement(case: Placement) -> tuple[list[str], Counter[str]]:
    """Sentences on what does not hold after some arrival; and what happened, by reason."""
    pods = case.cluster.pods
    run = _Run(
        case.cluster, policies("placement")[case.policy](), case.seed, np.arange(len(pods)),
        case.quotas,
    )  # fmt: skip
    broken: list[str] = []
    seen: Counter[str] = Counter()
    before = run.where.copy()
    for last in range(len(pods)):
        run.until(last + 1)
        state = _State(case, run.where.copy(), run.bits.copy(), last)
        broken += [f"after pod {last}: {one}" for one in state.laws(before, run.why)]
        seen[REASONS[run.why[last]]] += 1
        seen["preempted"] += int(((before >= 0) & (run.where < 0)).sum())
        before = state.where
    return broken, seen


class _State:
    """Where pods are after the arrival of one, and what each node then has left."""

    def __init__(self, case: Placement, where: np.ndarray, bits: np.ndarray, last: int) -> None:
        self.case, self.where, self.last = case, where, last
        self.pods, self.nodes = case.cluster.pods, case.cluster.nodes
        self.there = np.flatnonzero(where >= 0).tolist()
        self.cpu, self.memory = self.nodes.cpu_milli.copy(), self.nodes.memory_mib.copy()
        self.gpus = [[1000] * some for some in self.nodes.gpus.tolist()]
        self.bits = bits
        for pod in self.there:
            node = where[pod]
            self.cpu[node] -= self.pods.cpu_milli[pod]
            self.memory[node] -= self.pods.memory_mib[pod]
            for gpu in self.own(pod):
                self.gpus[node][gpu] -= int(self.pods.gpu_milli[pod])

    def own(self, pod: int) -> list[int]:
        """The GPUs that a pod got."""
        return [gpu for gpu in range(62) if int(self.bits[pod]) >> gpu & 1]

    def laws(self, before: np.ndarray, why: np.ndarray) -> Iterator[str]:
        """What does not hold; ``before``: where pods were before this arrival."""
        if min(self.cpu) < 0 or min(self.memory) < 0:
            yield "CPU or memory of a node is overcommitted"
        if any(left < 0 for gpus in self.gpus for left in gpus):
            yield "a GPU is overcommitted"
        yield from self._wishes()
        for i, one in enumerate(self.there):
            for other in self.there[:i]:
                if self._together(one, other):
                    yield f"pods {other} and {one} are not apart"
        yield from self._quotas()
        yield from self._moved(before)
        if self.where[self.last] < 0:
            yield from self._refused(REASONS[why[self.last]])

    def _wishes(self) -> Iterator[str]:
        for pod in self.there:
            if len(self.own(pod)) != self.pods.gpus[pod]:
                yield f"pod {pod} has other than its number of GPUs"
            if not self._suits(pod, int(self.where[pod])):
                yield f"pod {pod} is on a GPU type that it did not ask for"

    def _suits(self, pod: int, node: int) -> bool:
        place = self.pods.places[self.pods.where[pod]]
        return not place or self.nodes.gpu[node] in place.split("|")

    def _together(self, one: int, other: int) -> bool:
        """Whether two tenants share what one of these pods is to have alone."""
        return self.pods.tenant[one] != self.pods.tenant[other] and self._shares(
            one, int(self.where[one]), other
        )

    def _shares(self, pod: int, node: int, other: int) -> bool:
        at = int(self.where[other])
        assert self.nodes.racks is not None
        assert self.nodes.leaves is not None
        columns = ((), self.nodes.names, self.nodes.racks, self.nodes.leaves)
        levels = {int(self.pods.alone[pod]), int(self.pods.alone[other])} - {0}
        return any(columns[level][node] == columns[level][at] for level in levels)

    def _quotas(self) -> Iterator[str]:
        for tenant, most in self.case.quotas.items():
            mine = [pod for pod in self.there if self.pods.tenant[pod] == tenant]
            if self.pods.request[mine].sum() > 1000 * most:
                yield f"tenant {tenant} is above its quota"

    def _moved(self, before: np.ndarray) -> Iterator[str]:
        """Pods stay where they are, but for those that make room for a more urgent one."""
        for pod in np.flatnonzero(before >= 0).tolist():
            if self.where[pod] == before[pod]:
                continue
            urgent = self.pods.priority[self.last] > self.pods.priority[pod]
            if self.where[pod] >= 0 or self.where[self.last] != before[pod] or not urgent:
                yield f"pod {pod} lost its place to none more urgent"

    def _refused(self, reason: str) -> Iterator[str]:
        """A pod without a place would have broken something everywhere."""
        last = self.last
        tenant, asked = self.pods.tenant[last], int(self.pods.request[last])
        mine = [pod for pod in self.there if self.pods.tenant[pod] == tenant]
        quota = 1000 * self.case.quotas.get(tenant, float("inf"))
        beyond = self.pods.request[mine].sum() + asked > quota
        if beyond != (reason == "quota"):
            yield f"it was refused for {reason}, and its quota says {beyond}"
        fitting = [node for node in range(len(self.nodes)) if self._fits(node)]
        apart = [
            node
            for node in fitting
            if not any(
                self.pods.tenant[other] != tenant and self._shares(last, node, other)
                for other in self.there
            )
        ]
        if apart and not beyond:
            yield f"it was refused for {reason}, and there was room on node {apart[0]}"
        if not beyond and bool(fitting) != (reason == "isolation"):
            yield f"it was refused for {reason}, and it fits on {fitting}"

    def _fits(self, node: int) -> bool:
        pod = self.last
        free = [left >= self.pods.gpu_milli[pod] for left in self.gpus[node]]
        return bool(
            self._suits(pod, node)
            and self.cpu[node] >= self.pods.cpu_milli[pod]
            and self.memory[node] >= self.pods.memory_mib[pod]
            and sum(free) >= self.pods.gpus[pod]
        )
