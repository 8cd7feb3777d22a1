"""One shortest path for all flows between two ends."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sim.policies.base import register
from sim.policies.paths.base import Path, PathView, over_nvlink
from sim.rng import KeyedBits


@register("paths", "shortest")
@dataclass(frozen=True)
class Shortest:
    """Take the first shortest path: at each switch the link of the lowest number.

    All flows of a leaf to another share one path; what a network without any balancing does.
    """

    def new_state(self) -> None:
        """Nothing to remember."""

    def label(self, view: PathView) -> int:
        """There is one path."""
        return 0

    def decide(self, view: PathView, state: None, rng: KeyedBits) -> Iterator[Path]:
        """NVLink inside a domain, else the first shortest path."""
        yield from over_nvlink(view)
        routes = view.routes
        distances = routes.distances(view.source, view.target)
        at, path = view.source, []
        for _ in range(distances[view.source]):
            path.append(int(routes.next_links(at, distances)[0]))
            at = int(routes.network.fabric.link_to[path[-1]])
        yield tuple(path)
