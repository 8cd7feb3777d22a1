"""A collective as flows between GPUs: what it puts on a network, for a caller who has one.

NCCL cuts a collective into chunks that follow each other through all its stages, so the stages of
one collective run at the same time: the flows of all phases start together, and the slowest bounds
the time. ``sim.on_fabric`` finds their paths and times them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from sim.errors import RackplanError
from sim.perf.collectives.ops import bus_factor, check_op, check_ranks, sent_share, tree_edges
from sim.perf.collectives.timing import Between, Timed, domain_algorithm, time_collective
from sim.site.fabric.types import LEVELS, VERTICES, Fabric, FloatArray
from sim.site.types import IntArray

_SWITCHES = [VERTICES.index(kind) for kind in LEVELS]
#: One flow: source and target (vertices of GPUs), bytes.
Flow = tuple[int, int, float]


@dataclass(frozen=True)
class Phase:
    """Flows of one kind: ``domain`` (over NVLink) or ``network``."""

    name: str
    source: IntArray  # [n] vertex of a GPU
    target: IntArray  # [n]
    size_bytes: FloatArray  # [n]

    def sent_bytes(self, gpus: int) -> FloatArray:
        """[gpus] bytes that leave each GPU."""
        sent: FloatArray = np.bincount(self.source, self.size_bytes, gpus).astype(np.float64)
        return sent


@dataclass(frozen=True)
class Plan:
    """A collective on certain GPUs of a fabric.

    Attributes:
        alone: the closed form; its ``time_s`` is the floor of any time on the fabric.
        ranks: [n] GPUs in order of domain, then of rail.
        phases: flows that start together, ``alone.latency_s`` after the collective begins.
    """

    alone: Timed
    ranks: IntArray
    phases: tuple[Phase, ...]


def plan_collective(
    op: str,
    size_bytes: float,
    ranks: Sequence[int],
    fabric: Fabric,
    gpu: str,
    *,
    transport: str = "rdma",
    bits: int = 16,
) -> Plan:
    """The flows of a collective, and its time if nothing else were on the network.

    Args:
        op: one of ``ops.OPS``.
        size_bytes: S, as ``ops`` defines it.
        ranks: vertices of distinct GPUs, all of one type; of broadcast and point-to-point the first
            is the source.
        fabric: the network that they are on.
        gpu: their type, by its canonical name.
        transport: what NCCL runs over between servers: ``constants.transports()``.
        bits: of the numbers.

    Raises:
        RackplanError: as ``time_collective``; a rank that is no GPU or occurs twice; domains with
            unequally many ranks, or with a rank without a NIC.
    """
    check_op(op)
    check_ranks(op, len(ranks))
    groups = _groups(op, ranks, fabric)
    inside = len(groups[0])
    ordered = np.array([gpu_ for group in groups for gpu_ in group], dtype=np.int64)
    if len(groups) == 1:
        alone = time_collective(op, size_bytes, gpu, inside, bits=bits)
        flows = list(_in_domain(op, size_bytes, groups[0], _algorithm(op, gpu, inside, bits)))
        return Plan(alone, ordered, _phases(flows, []))
    between = _between(groups, fabric, transport)
    alone = time_collective(
        op, size_bytes, gpu, len(ordered), domains=len(groups), between=between, bits=bits
    )
    domain: list[Flow] = []
    if inside > 1 and op != "all-to-all":
        algorithm = _algorithm(op, gpu, inside, bits)
        part = bus_factor(op, len(ordered)) / bus_factor(op, inside)
        # An all-reduce adds up in each domain first; other rings pass through all GPUs.
        share = 1.0 if op == "all-reduce" else part
        for group in groups:
            domain += _in_domain(op, size_bytes * share, group, algorithm)
    elif op == "all-to-all":
        part = size_bytes / len(ordered)
        for group in groups:
            domain += _pairs(group, group, part)
    network = list(_network(op, size_bytes, groups, alone.algorithm))
    return Plan(alone, ordered, _phases(domain, network))


def _groups(op: str, ranks: Sequence[int], fabric: Fabric) -> list[list[int]]:
    """The ranks by domain (in order of each one's first rank), each by rail."""
    seen: set[int] = set()
    by_domain: dict[int, list[int]] = {}
    for rank in ranks:
        if not 0 <= rank < fabric.gpus:
            raise RackplanError(
                f"rank {rank} is no GPU: vertices of GPUs are 0 to {fabric.gpus - 1}"
            )
        if rank in seen:
            raise RackplanError(f"{fabric.names[rank]} is twice among the ranks")
        seen.add(rank)
        by_domain.setdefault(int(fabric.gpu_domain[rank]), []).append(int(rank))
    groups = list(by_domain.values())
    sizes = sorted({len(group) for group in groups})
    if len(sizes) > 1:
        raise RackplanError(
            f"the ranks are {sizes[0]} to {sizes[-1]} in a domain: take equally many of each"
        )
    if op in ("broadcast", "point-to-point"):
        return groups  # the first rank is the source
    return [sorted(group, key=lambda g: (int(fabric.gpu_rail[g]), g)) for group in groups]


def _between(groups: list[list[int]], fabric: Fabric, transport: str) -> Between:
    """How many NICs each domain's ranks have, and the rate of the slowest."""
    counts, slowest = [], np.inf
    for group in groups:
        nics = {int(fabric.gpu_nic[gpu]) for gpu in group}
        if -1 in nics:
            bare = next(gpu for gpu in group if fabric.gpu_nic[gpu] < 0)
            raise RackplanError(
                f"{fabric.names[bare]} has no NIC, and its ranks are in several domains"
            )
        counts.append(len(nics))
        for nic in nics:
            out = fabric.out_of(nic)
            outward = out[np.isin(fabric.kinds[fabric.link_to[out]], _SWITCHES)]
            if len(outward) == 0:
                raise RackplanError(f"{fabric.names[nic]} is joined to no switch")
            slowest = min(slowest, float(fabric.capacity_bytes_per_s[outward].sum()))
    return Between(min(counts), slowest, transport)


def _algorithm(op: str, gpu: str, inside: int, bits: int) -> str:
    return domain_algorithm(op, gpu, inside, bits)


def _in_domain(op: str, size_bytes: float, group: list[int], algorithm: str) -> Iterator[Flow]:
    """Flows inside one domain: each GPU to the next, but all pairs of an all-to-all.

    What goes through the switches (``nvls``) loads every GPU's links both ways alike, as flows to
    the next GPU do.
    """
    n = len(group)
    if op == "all-to-all":
        yield from _pairs(group, group, size_bytes / n)
        return
    sent = sent_share(op, algorithm, n) * size_bytes
    last = n - 1 if op in ("broadcast", "point-to-point") else n
    for i in range(last):
        yield group[i], group[(i + 1) % n], sent


def _pairs(sources: list[int], targets: list[int], size_bytes: float) -> Iterator[Flow]:
    for source in sources:
        for target in targets:
            if source != target:
                yield source, target, size_bytes


def _network(op: str, size_bytes: float, groups: list[list[int]], algorithm: str) -> Iterator[Flow]:
    """Flows between domains: rank i of one to rank i of another, so that each stays on its rail."""
    domains, inside = len(groups), len(groups[0])
    if op == "point-to-point":
        yield groups[0][0], groups[1][0], size_bytes
        return
    if op == "all-to-all":
        for one in groups:
            for other in groups:
                if one is not other:
                    yield from _pairs(one, other, size_bytes / (domains * inside))
        return
    part = size_bytes / inside
    if algorithm == "hierarchical-tree":
        for parent, child in tree_edges(domains):
            for up, down in zip(groups[child], groups[parent], strict=True):
                yield up, down, part / 2.0
                yield down, up, part / 2.0
        return
    if op == "all-reduce":
        sent = 2.0 * (domains - 1) / domains * part
    else:
        sent = bus_factor(op, domains * inside) * part
    for i in range(domains - 1 if op == "broadcast" else domains):
        for source, target in zip(groups[i], groups[(i + 1) % domains], strict=True):
            yield source, target, sent


def _phases(domain: list[Flow], network: list[Flow]) -> tuple[Phase, ...]:
    found = []
    for name, flows in (("domain", domain), ("network", network)):
        if flows:
            source, target, size = zip(*flows, strict=True)
            found.append(
                Phase(
                    name,
                    np.array(source, dtype=np.int64),
                    np.array(target, dtype=np.int64),
                    np.array(size, dtype=np.float64),
                )
            )
    return tuple(found)
