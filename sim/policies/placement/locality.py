"""Locality: replicas of pools that hand KV to each other near one another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim.policies.base import PlacementView, register
from sim.policies.placement.domains import Domains, Place
from sim.rng import KeyedBits


@register("placement", "locality")
@dataclass(frozen=True)
class Locality:
    """Put a replica near those of the pools that it sends KV to, or takes KV from.

    Best is the NVLink domain with the most of their replicas for each of the own pool's there, this
    one included; then the rack, then the leaf (all leaves of a domain count), then the fewest links
    to their leaves in the mean. As long as they have no places the own pool leaves room: first come
    places where the partners' GPUs, in equal shares for each own replica, still fit into the
    domain, then into the rack, then below the leaf. What is equal in all of that is packed as by
    topology-aware, and so is a pool without partners. Leaves count where a network is stated.
    """

    def new_state(self) -> None:
        """Nothing to remember."""

    def decide(self, view: PlacementView, state: None, rng: KeyedBits) -> Iterator[Place]:
        """One suggestion per domain that can hold the first stage, the nearest first."""
        domains = Domains(view)
        if not view.partners:
            yield from domains.places()
            return
        own = view.placed.get(view.pool, ())
        others = [place for name in view.partners for place in view.placed.get(name, ())]
        left = view.to_come.get(view.pool)
        all_own = len(own) + (1 if left is None else left.replicas)
        asked = [view.to_come[name] for name in view.partners if name in view.to_come]
        wants = [_Want(one.replicas * one.gpus / all_own, one.allowed) for one in asked]
        levels = [_Level(units, domains, own, others, wants) for units in domains.units]
        links = _Links(domains, others)

        def rank(place: Place) -> tuple[float, ...]:
            near = [-level.partners(place) for level in levels]
            return (*near, links.mean(place), *(level.crowded(place) for level in levels))

        yield from sorted(domains.places(), key=rank)


@dataclass(frozen=True)
class _Want:
    """What a partner asks for beside each own replica: so many of the GPUs that it may have."""

    gpus: float
    allowed: NDArray[np.bool_]  # [G]


class _Level:
    """The replicas and the free GPUs in each unit of a level."""

    def __init__(
        self,
        units: list[tuple[int, ...]],
        domains: Domains,
        own: Iterable[Place],
        others: Iterable[Place],
        wants: Iterable[_Want],
    ) -> None:
        self._units, self._domains = units, domains
        self._own = Counter(unit for place in own for unit in self._of(place))
        self._others = Counter(unit for place in others for unit in self._of(place))
        self._wants: list[tuple[_Want, Counter[int]]] = []
        for want in wants:
            free: Counter[int] = Counter()
            for domain, gpus in enumerate(domains.free(want.allowed)):
                free.update(dict.fromkeys(units[domain], gpus))
            self._wants.append((want, free))

    def partners(self, place: Place) -> float:
        """Replicas of partners for each own one, in the best unit of a place."""
        ratios = (self._others[unit] / (self._own[unit] + 1) for unit in self._of(place))
        return max(ratios, default=0.0)

    def crowded(self, place: Place) -> bool:
        """Whether a partner's share finds no room in any unit, with the replica at the place."""
        for want, free in self._wants:
            left = {unit: free[unit] for unit in self._of(place)}
            taken = int(np.count_nonzero(want.allowed[list(place)]))
            if not any(n - taken >= want.gpus * (self._own[u] + 1) for u, n in left.items()):
                return True
        return False

    def _of(self, place: Place) -> set[int]:
        return {unit for domain in self._domains.of(place) for unit in self._units[domain]}


class _Links:
    """How far from the leaves of some replicas places are."""

    def __init__(self, domains: Domains, others: Iterable[Place]) -> None:
        self._domains = domains
        met = Counter(domains.leaves_of(place) for place in others)
        met.pop((), None)
        self._times = np.array(list(met.values()))
        self._hops = np.array([domains.hops(leaves) for leaves in met])  # [leaves met, leaves]

    def mean(self, place: Place) -> float:
        """Fewest links from a place's leaves to each replica's, in the mean; 0: not known."""
        leaves = self._domains.leaves_of(place)
        if not leaves or not len(self._times):
            return 0.0
        return float(np.average(self._hops[:, leaves].min(axis=1), weights=self._times))
