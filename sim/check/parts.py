"""Parts of the network that events name: a switch, a link, a cable, a NIC, a storage node."""

from __future__ import annotations

from sim.errors import UnknownName
from sim.site.fabric.failures import NetworkState
from sim.site.fabric.source import FabricSource
from sim.site.types import Site


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
