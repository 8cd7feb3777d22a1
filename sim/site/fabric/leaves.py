"""Which leaf each GPU is on, and how far leaves are apart: what a placer asks of a network."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import numpy as np

from sim.site.fabric.types import LEVELS, VERTICES, Fabric
from sim.site.types import IntArray

#: Links between leaves that no switches join.
NO_WAY = 1 << 20


class Leaves:
    """The switches that NICs of GPUs are on, numbered from 0, as the network was built.

    The network is built when somebody asks, and kept no longer than that takes.
    """

    def __init__(self, build: Callable[[], Fabric]) -> None:
        self._build = build

    @property
    def gpu_leaf(self) -> IntArray:
        """[G] the leaf of the GPU's NIC (of several, the first); -1: it has none."""
        return self._found[0]

    @property
    def of_domain(self) -> list[tuple[int, ...]]:
        """[NVLink domains] the leaves of each, in order; a GPU sends over any NIC of its domain."""
        return self._found[1]

    @property
    def hops(self) -> IntArray:
        """[leaves, leaves] fewest links from leaf to leaf over switches alone; else ``NO_WAY``."""
        return self._found[2]

    @cached_property
    def _found(self) -> tuple[IntArray, list[tuple[int, ...]], IntArray]:
        from scipy.sparse import csr_array
        from scipy.sparse.csgraph import shortest_path

        fabric = self._build()
        switch = np.isin(fabric.kinds, [VERTICES.index(level) for level in LEVELS])
        above = np.full(len(fabric.names), -1)
        for nic in np.unique(fabric.gpu_nic[fabric.gpu_nic >= 0]).tolist():
            beside = fabric.link_to[fabric.out_of(nic)]
            above[nic] = min(beside[switch[beside]].tolist(), default=-1)
        vertex = np.where(fabric.gpu_nic >= 0, above[fabric.gpu_nic], -1)
        leaves = np.unique(vertex[vertex >= 0])
        gpu_leaf: IntArray = np.where(vertex >= 0, np.searchsorted(leaves, vertex), -1)
        between = switch[fabric.link_from] & switch[fabric.link_to]
        ends = fabric.link_from[between], fabric.link_to[between]
        links = csr_array((np.ones(len(ends[0])), ends), shape=(len(switch), len(switch)))
        hops: IntArray = np.zeros((0, 0), dtype=np.int64)
        if len(leaves):
            found = shortest_path(links, unweighted=True, indices=leaves)[:, leaves]
            hops = np.where(np.isfinite(found), found, NO_WAY).astype(np.int64)
        gpu_leaf.flags.writeable = hops.flags.writeable = False
        of_domain: list[tuple[int, ...]] = [()] * (int(fabric.gpu_domain.max()) + 1)
        for domain, leaf in np.unique(np.stack([fabric.gpu_domain, gpu_leaf], 1), axis=0).tolist():
            of_domain[domain] += (leaf,) if leaf >= 0 else ()
        return gpu_leaf, of_domain, hops
