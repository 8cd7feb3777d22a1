"""A network in numbers: what it consists of, and how much of it crosses its middle."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_flow

from sim.site.fabric.types import DRAWN, LEVELS, VERTICES, Fabric, FloatArray
from sim.site.types import IntArray

#: SciPy counts flow in 32 bits.
_MOST_FLOW = 1 << 30


@dataclass(frozen=True)
class Cables:
    """The cables between two kinds of vertices; ``lower`` is the one nearer to the GPUs.

    Rates and capacities are of one direction. ``slowest`` and ``fastest`` are of one cable.
    """

    lower: str
    upper: str
    count: int
    slowest_bytes_per_s: float
    fastest_bytes_per_s: float
    total_bytes_per_s: float


@dataclass(frozen=True)
class Level:
    """What a level of switches has below and above: ``oversubscription`` = down / up.

    ``worst`` is that of the single switch with the most; None: a switch has nothing above it.
    """

    kind: str
    down_bytes_per_s: float
    up_bytes_per_s: float
    oversubscription: float
    worst: float | None


@dataclass(frozen=True)
class FabricNumbers:
    """Counts by kind, cables, levels that have something above them, and the bisection.

    ``bisection_bytes_per_s``: the most that the first half of the servers can send to the second
    half over the network, in one direction (a maximum flow); None where no NIC has a link.
    ``full_bisection_bytes_per_s``: what the NICs of the smaller half could send.
    """

    counts: dict[str, int]
    cables: tuple[Cables, ...]
    levels: tuple[Level, ...]
    bisection_bytes_per_s: float | None
    full_bisection_bytes_per_s: float | None


def measure_fabric(fabric: Fabric) -> FabricNumbers:
    """Everything about a network that needs no traffic."""
    found = Counter(VERTICES[kind] for kind in fabric.kinds.tolist())
    bisection, full = _bisection(fabric)
    return FabricNumbers(
        counts={kind: found[kind] for kind in DRAWN},
        cables=_cables(fabric),
        levels=_levels(fabric),
        bisection_bytes_per_s=bisection,
        full_bisection_bytes_per_s=full,
    )


def _cables(fabric: Fabric) -> tuple[Cables, ...]:
    # NVSwitches come last in VERTICES and first here: they are next to the GPUs.
    order = ("gpu", "nvswitch", "disks", "node", "nic", "storage", *LEVELS)
    rank = np.array([order.index(kind) for kind in VERTICES])
    one, other = rank[fabric.kinds[fabric.link_from[::2]]], rank[fabric.kinds[fabric.link_to[::2]]]
    pair = np.minimum(one, other) * len(order) + np.maximum(one, other)
    capacity = fabric.capacity_bytes_per_s[::2]
    single = capacity / fabric.merged
    rows = []
    for code in np.unique(pair).tolist():
        these = pair == code
        rows.append(
            Cables(
                lower=order[code // len(order)],
                upper=order[code % len(order)],
                count=int(fabric.merged[these].sum()),
                slowest_bytes_per_s=float(single[these].min()),
                fastest_bytes_per_s=float(single[these].max()),
                total_bytes_per_s=float(capacity[these].sum()),
            )
        )
    return tuple(rows)


def _levels(fabric: Fabric) -> tuple[Level, ...]:
    """Leaf to core. Links between switches of one level count neither as down nor as up."""
    height = np.full(len(VERTICES), -1)
    for step, kind in enumerate(("nic", *LEVELS)):
        height[VERTICES.index(kind)] = step
    height[VERTICES.index("storage")] = 0  # its NICs stand on leaves as those of servers do
    at, there = height[fabric.kinds[fabric.link_from]], height[fabric.kinds[fabric.link_to]]
    rows = []
    for step, kind in enumerate(LEVELS, start=1):
        is_up, is_down = (at == step) & (there > step), (at == step) & (there < step) & (there >= 0)
        up, down = (_by_vertex(fabric, mask) for mask in (is_up, is_down))
        if not up.any():
            continue
        mine = np.flatnonzero(fabric.kinds == VERTICES.index(kind))
        worst = float((down[mine] / up[mine]).max()) if (up[mine] > 0.0).all() else None
        total = float(down.sum()), float(up.sum())
        rows.append(Level(kind, *total, total[0] / total[1], worst))
    return tuple(rows)


def _by_vertex(fabric: Fabric, mask: NDArray[np.bool_]) -> FloatArray:
    return np.bincount(
        fabric.link_from[mask],
        weights=fabric.capacity_bytes_per_s[mask],
        minlength=len(fabric.kinds),
    ).astype(np.float64)


def _bisection(fabric: Fabric) -> tuple[float | None, float | None]:
    network = np.isin(fabric.kinds, [VERTICES.index(kind) for kind in ("nic", *LEVELS)])
    links = np.flatnonzero(network[fabric.link_from] & network[fabric.link_to])
    nic = VERTICES.index("nic")
    from_nic = links[fabric.kinds[fabric.link_from[links]] == nic]
    if not len(from_nic):
        return None, None
    is_nic = np.zeros(fabric.links, dtype=np.bool_)
    is_nic[from_nic] = True
    sends = _by_vertex(fabric, is_nic)
    half = _halves(fabric)
    full = min(float(sends[half == 0].sum()), float(sends[half == 1].sum()))
    return _flow(fabric, links, sends, half), full


def _halves(fabric: Fabric) -> IntArray:
    """[V] 0 for NICs of the first half of the servers (the smaller one), 1 for the rest's."""
    host, nic = VERTICES.index("node"), VERTICES.index("nic")
    hosts = np.flatnonzero(fabric.kinds == host)
    number = np.full(len(fabric.kinds), -1, dtype=np.int64)
    number[hosts] = np.arange(len(hosts))
    half = np.full(len(fabric.kinds), -1, dtype=np.int64)
    down = np.flatnonzero(
        (fabric.kinds[fabric.link_from] == host) & (fabric.kinds[fabric.link_to] == nic)
    )
    first = number[fabric.link_from[down]] < len(hosts) // 2
    half[fabric.link_to[down]] = np.where(first, 0, 1)
    return half


def _flow(fabric: Fabric, links: IntArray, sends: FloatArray, half: IntArray) -> float:
    """The maximum flow from the NICs of half 0 to those of half 1, in units SciPy can count."""
    source, sink = len(fabric.kinds), len(fabric.kinds) + 1
    first, second = (
        np.flatnonzero((half == 0) & (sends > 0)),
        np.flatnonzero((half == 1) & (sends > 0)),
    )
    rates = np.concatenate([fabric.capacity_bytes_per_s[links], sends[first], sends[second]])
    unit = float(math.gcd(*(round(rate) for rate in np.unique(rates).tolist())))
    unit = max(unit, float(rates.sum()) / _MOST_FLOW)
    tails = np.concatenate([fabric.link_from[links], np.full(len(first), source), second])
    heads = np.concatenate([fabric.link_to[links], first, np.full(len(second), sink)])
    shape = (sink + 1, sink + 1)
    graph = csr_array(((rates / unit).astype(np.int32), (tails, heads)), shape=shape)
    graph.sum_duplicates()
    return float(maximum_flow(graph, source, sink).flow_value) * unit
