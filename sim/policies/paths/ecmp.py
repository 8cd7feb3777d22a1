"""Equal-cost multi-path: each switch hashes a flow's label to one of its equally short links."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sim.errors import RackplanError
from sim.policies.base import register
from sim.policies.paths.base import Path, PathView, draw, over_nvlink
from sim.rng import KeyedBits


def hashed_path(view: PathView, label: tuple[int, ...], source: int, rng: KeyedBits) -> Path:
    """The shortest path from ``source`` that the hashes of ``label`` choose, switch by switch."""
    routes = view.routes
    distances = routes.distances(source, view.target)
    at, path = source, []
    for _ in range(distances[source]):
        equal = routes.next_links(at, distances)
        chosen = draw(rng, len(equal), *label, at)  # the vertex is the switch's own salt
        path.append(int(equal[chosen]))
        at = int(routes.network.fabric.link_to[path[-1]])
    return tuple(path)


@register("paths", "ecmp")
@dataclass(frozen=True)
class Ecmp:
    """Hash (source, target, queue pair) with the switch and the run's seed, as plain RoCE does.

    Attributes:
        queue_pairs: labels that the flows between two ends take in turn.
    """

    queue_pairs: int = 1

    def __post_init__(self) -> None:
        if self.queue_pairs < 1:
            raise RackplanError("queue_pairs must be at least 1")

    def new_state(self) -> None:
        """Nothing to remember."""

    def label(self, view: PathView) -> int:
        """The queue pair."""
        return view.pair_flow % self.queue_pairs

    def decide(self, view: PathView, state: None, rng: KeyedBits) -> Iterator[Path]:
        """NVLink inside a domain, else the path that the hashes choose."""
        yield from over_nvlink(view)
        label = (view.source, view.target, self.label(view))
        yield hashed_path(view, label, view.source, rng)
