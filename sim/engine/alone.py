"""How long flows that start together take where nothing else moves: what sharing is measured by."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sim.engine.network import Network
from sim.kernels.flows import complete_flows
from sim.policies.paths.base import Path
from sim.site.fabric.types import FloatArray


def durations_s(
    paths: Sequence[Path], size_bytes: FloatArray, capacity_bytes_per_s: FloatArray
) -> FloatArray:
    """[n] from the start to the last byte of each flow, which share links with one another only.

    ``size_bytes`` [n], ``capacity_bytes_per_s`` [L]; latencies come on top.
    """
    ptr = np.concatenate([[0], np.cumsum([len(path) for path in paths])])
    every: NDArray[np.int64] = np.array([link for path in paths for link in path], dtype=np.int64)
    links, idx = np.unique(every, return_inverse=True)
    return complete_flows(np.zeros(len(paths)), size_bytes, ptr, idx, capacity_bytes_per_s[links])


class Alone:
    """Durations of what always moves in the same parts, such as KV between two replicas.

    Max-min fair rates do not depend on the size of things, so all times are proportional to it:
    they are solved once for each set of paths, until the network has other capacities.
    """

    def __init__(self, network: Network) -> None:
        self._network = network
        self._capacity = network.capacity_bytes_per_s
        self._known: dict[tuple[tuple[Path, ...], tuple[float, ...]], FloatArray] = {}

    def longest_s(self, paths: Sequence[Path], shares: Sequence[float], size_bytes: float) -> float:
        """Until all has arrived: ``shares`` [n] of ``size_bytes``, one along each path."""
        if self._network.capacity_bytes_per_s is not self._capacity:
            self._capacity = self._network.capacity_bytes_per_s
            self._known.clear()
        key = tuple(paths), tuple(shares)
        if key not in self._known:
            self._known[key] = durations_s(paths, np.array(shares), self._capacity)
        latency = self._network.fabric.latency_s
        behind = np.array([float(latency[list(path)].sum()) for path in paths])
        return float((self._known[key] * size_bytes + behind).max())
