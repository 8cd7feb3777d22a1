"""Topology-aware placement: tensor parallelism inside NVLink domains, packed tightly."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from sim.policies.base import PlacementView, register
from sim.rng import KeyedBits


@register("placement", "topology-aware")
@dataclass(frozen=True)
class TopologyAware:
    """Keep each tensor-parallel group inside one NVLink domain, in the fullest domain it fits.

    Filling the fullest domain first (best fit) leaves whole domains free for wide replicas.
    A group that is larger than a domain takes whole ones. Pipeline stages go to the same domain
    while it has room, then to the next fullest.
    """

    def new_state(self) -> None:
        """Nothing to remember."""

    def decide(self, view: PlacementView, state: None, rng: KeyedBits) -> Iterator[tuple[int, ...]]:
        """One suggestion per domain that can hold the first stage, the fullest domain first."""
        gpus = np.flatnonzero(view.allowed)
        domains = view.site.gpu_domain[gpus]
        free = np.bincount(domains)
        whole = np.bincount(view.site.gpu_domain)[: len(free)]
        unit = np.maximum(1, np.minimum(whole, view.tensor_parallel))
        room = free - free % unit  # in whole groups, or whole domains of one
        by_room = np.argsort(free, kind="stable")
        fullest_first = by_room[room[by_room] > 0].tolist()
        size = view.tensor_parallel * view.pipeline_parallel
        for first in fullest_first:
            chosen: list[int] = []
            for domain in chain([first], (other for other in fullest_first if other != first)):
                most = min(int(room[domain]), size - len(chosen))
                chosen += gpus[domains == domain][:most].tolist()
                if len(chosen) == size:
                    yield tuple(chosen)
                    break

    @staticmethod
    def score(node: Any, pod: Any, known: Any) -> float:
        """The fullest node on which a pod fits; of a list of nodes each is a domain."""
        return -float(node.free)
