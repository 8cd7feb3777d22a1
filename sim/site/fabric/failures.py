"""What of the network is dead: vertices, links between two of them, single cables."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.errors import UnknownName
from sim.site.fabric.types import VERTICES, Fabric, FloatArray
from sim.site.types import IntArray

_CABLE = re.compile(r"(?P<one>.+?)/(?P<other>[^#]+)(?:#(?P<number>\d{1,6}))?")
_NUMBER = re.compile(r"[0-9]{1,6}")
#: With more vertices than this only switches are suggested for a name that is unknown.
_MOST_SEARCHED = 5000
_FIRST_SWITCH = VERTICES.index("leaf")


class NetworkState:
    """A fabric with the parts of it that are dead; ``version`` grows with each change.

    A part is a vertex (``leaf-3``), everything between two (``leaf-3/spine-1``) or one cable
    (``leaf-3/spine-1#2``). Failures do not add up: a part is alive when neither it nor what it
    belongs to is failed. A cable of a link that acts as one (``together``) takes its share of the
    capacity with it.
    """

    def __init__(self, fabric: Fabric) -> None:
        self.fabric = fabric
        self.version = 0
        self._vertices: set[int] = set()
        self._edges: set[tuple[int, int]] = set()
        self._cables: set[tuple[int, int]] = set()  # (cable, number of a cable merged in it or 0)
        self._update()

    @property
    def alive(self) -> NDArray[np.bool_]:
        """[L] whether each directed link carries anything."""
        return self._alive

    @property
    def capacity_bytes_per_s(self) -> FloatArray:
        """[L] what is left of each link's capacity: 0 where it is dead."""
        return self._capacity

    @property
    def failed(self) -> tuple[str, ...]:
        """The names of what was failed and not restored, in order of name."""
        names = self.fabric.names
        parts = [names[vertex] for vertex in self._vertices]
        parts += [f"{names[one]}/{names[other]}" for one, other in self._edges]
        for cable, number in self._cables:
            name = self.fabric.cable_name(cable)
            parts.append(f"{name}#{number}" if number else name)
        return tuple(sorted(parts))

    def fail(self, part: str) -> IntArray:
        """Let a part die; the directed links that died with it just now.

        Raises:
            UnknownName: the network has no such part.
        """
        return self._change(part, dead=True)

    def restore(self, part: str) -> IntArray:
        """Let a part live again; the links that live again. A part that was not dead: nothing.

        Raises:
            UnknownName: the network has no such part.
        """
        return self._change(part, dead=False)

    def check(self, part: str) -> None:
        """Nothing, if the network has such a part.

        Raises:
            UnknownName: it has not.
        """
        self._find(part)

    def _change(self, part: str, *, dead: bool) -> IntArray:
        group, item = self._find(part)
        if dead:
            group.add(item)
        else:
            group.discard(item)
        before = self._alive
        self._update()
        return np.flatnonzero(before != self._alive).astype(np.int64)

    def _ends(self, part: str) -> tuple[str, str, str] | None:
        """The two vertices of a part between two, and the cable if it names one.

        Names of vertices may have a ``/`` or a ``#`` themselves.
        """
        known = self.fabric.vertex_of
        for slash in re.finditer("/", part):
            one, rest = part[: slash.start()], part[slash.end() :]
            if one not in known:
                continue
            if rest in known:
                return one, rest, ""
            other, _, cable = rest.rpartition("#")
            if other in known and _NUMBER.fullmatch(cable):
                return one, other, cable
        return None

    def _find(self, part: str) -> tuple[set[Any], Any]:
        fabric = self.fabric
        vertex = fabric.vertex_of.get(part)
        if vertex is not None:
            return self._vertices, vertex
        known_ends = self._ends(part)
        if known_ends is None:
            match = _CABLE.fullmatch(part)
            wrong = [match["one"], match["other"]] if match else [part]
            end = next((end for end in wrong if end not in fabric.vertex_of), part)
            raise UnknownName("part of the network", end, self.suggested())
        *ends, cable = known_ends
        one, other = (fabric.vertex_of[end] for end in ends)
        between = [link for link in fabric.out_of(one) if fabric.link_to[link] == other]
        if not between:
            beside = (fabric.names[fabric.link_to[link]] for link in fabric.out_of(one))
            raise UnknownName(f"link of {ends[0]} to", ends[1], dict.fromkeys(beside))
        if not cable:
            return self._edges, (min(one, other), max(one, other))
        number = int(cable)
        cables = [int(link) // 2 for link in between]
        together = fabric.merged[cables[0]]
        if not 1 <= number <= len(cables) * together:
            known = [str(n + 1) for n in range(len(cables) * together)]
            raise UnknownName(f"cable of {ends[0]}/{ends[1]}", str(number), known)
        if together > 1:
            return self._cables, (cables[0], number)
        return self._cables, (sorted(cables)[number - 1], 0)

    def suggested(self) -> list[str]:
        """Names that somebody who misspelt one may have meant."""
        fabric = self.fabric
        if len(fabric.names) <= _MOST_SEARCHED:
            return list(fabric.names)
        switches = np.flatnonzero(fabric.kinds >= _FIRST_SWITCH)
        return [fabric.names[vertex] for vertex in switches]

    def _update(self) -> None:
        fabric = self.fabric
        share = np.ones(len(fabric.merged))
        for cable, number in self._cables:
            share[cable] -= 1.0 / fabric.merged[cable] if number else 1.0
        share[share < 0.5 / fabric.merged] = 0.0  # what rounding leaves of the last cable
        one, other = fabric.link_from[::2], fabric.link_to[::2]
        if self._vertices:
            gone = np.array(sorted(self._vertices), dtype=np.int64)
            share[np.isin(one, gone) | np.isin(other, gone)] = 0.0
        for first, second in self._edges:
            share[(one == first) & (other == second)] = 0.0
        self._capacity = fabric.capacity_bytes_per_s * np.repeat(share, 2)
        self._alive = self._capacity > 0.0
        self._capacity.flags.writeable = self._alive.flags.writeable = False
        self.version += 1
