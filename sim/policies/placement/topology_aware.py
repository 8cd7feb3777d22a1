"""Topology-aware placement: tensor parallelism inside NVLink domains, packed tightly."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sim.policies.base import PlacementView, register
from sim.policies.placement.domains import Domains
from sim.rng import KeyedBits


@register("placement", "topology-aware")
@dataclass(frozen=True)
class TopologyAware:
    """Keep each tensor-parallel group inside one NVLink domain, in the fullest domain it fits.

    Filling the fullest domain first (best fit) leaves whole domains free for wide replicas.
    A group that is larger than a domain takes whole ones. Pipeline stages go to the same domain
    while it has room, then to one in the same rack, on the same leaf, or fewest links away.
    """

    def new_state(self) -> None:
        """Nothing to remember."""

    def decide(self, view: PlacementView, state: None, rng: KeyedBits) -> Iterator[tuple[int, ...]]:
        """One suggestion per domain that can hold the first stage, the fullest domain first."""
        yield from Domains(view).places()

    @staticmethod
    def score(node: Any, pod: Any, known: Any) -> float:
        """The fullest node on which a pod fits; of a list of nodes each is a domain."""
        return -float(node.free)
