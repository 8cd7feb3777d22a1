"""Who is near a place: replicas and free GPUs in its domain, its rack and below its leaves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim.policies.placement.domains import Domains, Place


@dataclass(frozen=True)
class Want:
    """What a partner asks for beside each own replica: so many of the GPUs that it may have."""

    gpus: float
    allowed: NDArray[np.bool_]  # [G]


class Level:
    """The replicas and the free GPUs in each unit of a level."""

    def __init__(
        self,
        units: list[tuple[int, ...]],
        domains: Domains,
        own: Iterable[Place],
        others: Iterable[Place],
        wants: Iterable[Want],
    ) -> None:
        self._units, self._domains = units, domains
        self._own = Counter(unit for place in own for unit in self._of(place))
        self._others = Counter(unit for place in others for unit in self._of(place))
        self._wants: list[tuple[Want, Counter[int]]] = []
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


class Links:
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
