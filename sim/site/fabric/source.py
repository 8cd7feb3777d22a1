"""Where a scenario's network comes from, built when somebody asks for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from sim.site.fabric.types import NO_STORAGE, Fabric, FabricPlan, Storage
from sim.site.types import Site

if TYPE_CHECKING:
    import networkx as nx

#: A function of Python that changes (or replaces) the graph of a scenario's network.
Edit: TypeAlias = "Callable[[nx.Graph], nx.Graph]"


@dataclass(frozen=True)
class FabricSource:
    """A network that was checked: a built-in kind (``plan``), or a ``given`` graph.

    ``kind``: the built-in kind, "file" or "function". ``file``: where the graph was read.
    """

    kind: str
    plan: FabricPlan | None = None
    file: Path | None = None
    given: Any = None  # networkx.Graph
    storage: Storage = NO_STORAGE

    def graph(self, site: Site) -> nx.Graph:
        """The network as a graph; one's own copy, to read or to change."""
        from sim.site.fabric.graph import fabric_graph

        if self.plan is not None:
            return fabric_graph(site, self.plan)
        return self.given.copy()

    def build(self, site: Site) -> Fabric:
        """The network as arrays."""
        from sim.site.fabric.compile import compile_fabric

        return compile_fabric(self.graph(site), site, self.storage)


def servers_only(storage: Storage) -> FabricSource:
    """What is inside servers, where a scenario states no network between them."""
    plan = FabricPlan("none", None, 1.0, None, 0.0, 0.0, storage=storage)
    return FabricSource("none", plan, storage=storage)
