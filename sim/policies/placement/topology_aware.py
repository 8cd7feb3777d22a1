"""Topology-aware placement: tensor parallelism inside an NVLink domain, packed tightly."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sim.policies.base import PlacementView, register
from sim.rng import KeyedBits


@register("placement", "topology-aware")
@dataclass(frozen=True)
class TopologyAware:
    """Keep each tensor-parallel group inside one NVLink domain, in the fullest domain it fits.

    Filling the fullest domain first (best fit) leaves whole domains free for wide replicas.
    Pipeline stages go to the same domain while it has room, then to the next fullest.
    """

    def new_state(self) -> None:
        """Nothing to remember."""

    def decide(self, view: PlacementView, state: None, rng: KeyedBits) -> Iterator[tuple[int, ...]]:
        """One suggestion per domain that can hold the first stage, the fullest domain first."""
        free: dict[int, list[int]] = {}
        for gpu, allowed in enumerate(view.allowed):
            if allowed:
                free.setdefault(int(view.site.gpu_domain[gpu]), []).append(gpu)
        width = view.tensor_parallel
        fullest_first = sorted(free, key=lambda domain: (len(free[domain]), domain))
        for first in fullest_first:
            chosen: list[int] = []
            for domain in [first, *(d for d in fullest_first if d != first)]:
                stages = min(
                    len(free[domain]) // width, view.pipeline_parallel - len(chosen) // width
                )
                if domain == first and stages == 0:
                    break
                chosen += free[domain][: stages * width]
            if len(chosen) == width * view.pipeline_parallel:
                yield tuple(chosen)
