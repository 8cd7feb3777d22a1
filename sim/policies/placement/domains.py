"""NVLink domains with room for a replica, and which are near: what placers choose among.

Each tensor-parallel group stays inside one domain; one that is larger than a domain takes whole
ones. A domain is a server here, or a whole rack of servers.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sim.policies.base import PlacementView
from sim.site.fabric.leaves import NO_WAY
from sim.site.types import IntArray

#: GPUs of a replica, in rank order.
Place = tuple[int, ...]


class Domains:
    """The domains of a site as one replica sees them; ``D`` is their number.

    Attributes:
        rack: [D] of each.
        fullest_first: those with room for a group (or, of a group of several, that are whole).
    """

    def __init__(self, view: PlacementView) -> None:
        site, self._domain = view.site, view.site.gpu_domain
        self._view, self._size = view, view.tensor_parallel * view.pipeline_parallel
        self._node = site.gpu_node[np.unique(self._domain, return_index=True)[1]]
        self.rack: IntArray = site.node_rack[self._node]
        self._domain_of: list[int] = self._domain.tolist()
        free = np.array(self.free(view.allowed))
        self._unit = np.minimum(np.bincount(self._domain), view.tensor_parallel)
        self._room = free - free % self._unit  # in whole groups, or whole domains of one
        by_room = np.argsort(free, kind="stable")
        self.fullest_first: list[int] = by_room[self._room[by_room] > 0].tolist()
        allowed = np.flatnonzero(view.allowed)
        allowed = allowed[np.argsort(self._domain[allowed], kind="stable")]
        self._gpus = np.split(allowed, np.cumsum(free)[:-1])

    def free(self, allowed: NDArray[np.bool_]) -> list[int]:
        """[D] how many of the ``allowed`` [G] GPUs are in each."""
        counts = np.bincount(self._domain[allowed], minlength=len(self.rack))
        return counts.tolist()  # type: ignore[no-any-return]

    def of(self, place: Place) -> list[int]:
        """The domains of a place, in order."""
        return sorted({self._domain_of[gpu] for gpu in place})

    def first_of(self, place: Place) -> int:
        """The domain of its first rank."""
        return self._domain_of[place[0]]

    def places(self, *, by: str = "domain") -> Iterator[Place]:
        """One place for each domain that can hold the first group, the fullest domain first.

        Further groups go to the same domain while it has room, then to the nearest with room, of
        equally near ones to the fullest. ``by`` "node" or "group" offers a domain once for each of
        its servers, or for each group that it has room for, which then is filled first.
        """
        node_of = self._view.site.gpu_node
        for first in self.fullest_first:
            gpus = self._gpus[first]
            starts = [0]
            if by == "node":
                starts += (np.flatnonzero(np.diff(node_of[gpus])) + 1).tolist()
            elif by == "group":
                starts = list(range(0, int(self._room[first]), int(self._unit[first])))
            for start in starts:
                place = self._place(first, np.roll(gpus, -start) if start else gpus)
                if place is not None:
                    yield place

    def _place(self, first: int, gpus: IntArray) -> Place | None:
        chosen: list[int] = gpus[: min(int(self._room[first]), self._size)].tolist()
        if len(chosen) < self._size:
            others = np.array(self.fullest_first)
            others = others[(others != first) & (self._kind[others] == self._kind[first])]
            for other in others[np.argsort(self.far(first)[others], kind="stable")].tolist():
                most = min(int(self._room[other]), self._size - len(chosen))
                chosen += self._gpus[other][:most].tolist()
                if len(chosen) == self._size:
                    break
        return tuple(chosen) if len(chosen) == self._size else None

    def far(self, first: int) -> IntArray:
        """[D] how far each is from ``first``.

        0: itself, 1: in its rack, 2: on one of its leaves, 2 + n: its nearest leaf is n links from
        one of ``first``, 2 + ``NO_WAY``: nothing is known of what joins them.
        """
        far = np.full(len(self.rack), 2 + NO_WAY)
        if own := self.leaves[first]:
            hops = np.append(self.hops(own), NO_WAY)  # the last one is of -1, no leaf
            assert self._view.leaves is not None
            np.minimum.at(far, self._domain, 2 + hops[self._view.leaves.gpu_leaf])
        far[self.rack == self.rack[first]] = 1
        far[first] = 0
        return far

    @cached_property
    def _kind(self) -> IntArray:
        """[D] a number for the type of its GPUs."""
        names = [self._view.site.gpu_types[node].name for node in self._node.tolist()]
        return np.unique(names, return_inverse=True)[1].reshape(-1)

    # ---- the network ---------------------------------------------------------------------

    @property
    def leaves(self) -> list[tuple[int, ...]]:
        """[D] leaves that NICs of its GPUs are on, each once, in order; none: not known."""
        leaves = self._view.leaves
        return [()] * len(self.rack) if leaves is None else leaves.of_domain

    def on_leaves(self, place: Place) -> list[int]:
        """The leaf of each GPU's own NIC, where known."""
        leaves = self._view.leaves
        return (
            [] if leaves is None else [leaf for leaf in leaves.gpu_leaf[list(place)] if leaf >= 0]
        )

    @property
    def units(self) -> tuple[list[tuple[int, ...]], ...]:
        """By domain, rack and leaf, from near to far: [D] the units that each domain is in.

        A server has one domain, so there is no level of servers.
        """
        return (
            [(d,) for d in range(len(self.rack))],
            [(r,) for r in self.rack.tolist()],
            self.leaves,
        )

    def leaves_of(self, place: Place) -> tuple[int, ...]:
        """Those of all domains of a place."""
        domains = self.of(place)
        if len(domains) == 1:
            return self.leaves[domains[0]]
        return tuple(sorted({leaf for domain in domains for leaf in self.leaves[domain]}))

    def hops(self, leaves: tuple[int, ...]) -> IntArray:
        """[leaves of the network] fewest links from one of ``leaves``; 0: it is one of them."""
        assert self._view.leaves is not None
        nearest: IntArray = self._view.leaves.hops[list(leaves)].min(axis=0)
        return nearest
