"""Parts of the network that events name: a switch, a link, a cable, a NIC, a storage node."""

from __future__ import annotations

from sim.errors import UnknownName
from sim.site.fabric.failures import NetworkState
from sim.site.fabric.source import FabricSource
from sim.site.fabric.types import VERTICES
from sim.site.types import Site

#: What replicas compute with: only bytes that are sent over the network miss it.
_INSIDE = ("gpu", "nvswitch")


class Parts:
    """The network's parts by name; it is built when the first name is asked for."""

    def __init__(self, source: FabricSource, site: Site) -> None:
        self._source, self._site = source, site
        self._state: NetworkState | None = None

    @property
    def state(self) -> NetworkState:
        """The network with everything alive."""
        if self._state is None:
            self._state = NetworkState(self._source.build(self._site))
        return self._state

    def has(self, name: str) -> bool:
        """Whether something of the network has this name."""
        try:
            self.state.check(name)
        except UnknownName:
            return False
        return True

    def same(self, one: str | None, other: str) -> bool:
        """Whether two names are of one part: a link may be named from either end."""
        if one is None or one == other or "/" not in one or not self.has(one):
            return one == other
        return self._key(one) == self._key(other)

    def _key(self, name: str) -> tuple[list[str], str]:
        ends, _, number = name.partition("#")
        return sorted(ends.split("/")), number

    def server_inside(self, name: str) -> str:
        """The (first) server of a GPU or NVSwitch, or of a link between such; else ""."""
        fabric = self.state.fabric
        ends = [fabric.vertex_of[end] for end in self._key(name)[0]]
        if any(VERTICES[int(fabric.kinds[end])] not in _INSIDE for end in ends):
            return ""
        beside = [int(fabric.link_to[link]) for end in ends for link in fabric.out_of(end)]
        first = min(one for one in [*ends, *beside] if one < fabric.gpus)
        return self._site.node_names[int(fabric.gpu_node[first])]
