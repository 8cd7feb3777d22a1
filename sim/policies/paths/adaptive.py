"""The shortest path with the least load when the flow starts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sim.policies.base import register
from sim.policies.paths.base import Path, PathView, draw, over_nvlink
from sim.rng import KeyedBits

#: What is compared: the highest load of a link, the sum over the links, and a draw for ties.
_Cost = tuple[float, float, int]


@register("paths", "adaptive")
@dataclass(frozen=True)
class Adaptive:
    """Of the shortest paths, take the one whose fullest link is the least full.

    A link's load is the share of its capacity that is carried when the flow starts. Ties go to the
    lower sum of loads, then to a draw keyed by the flow. The path stays: this approximates adaptive
    routing, which decides for each packet.
    """

    def new_state(self) -> None:
        """Nothing to remember."""

    def decide(self, view: PathView, state: None, rng: KeyedBits) -> Iterator[Path]:
        """NVLink inside a domain, else the least loaded shortest path."""
        yield from over_nvlink(view)
        routes = view.routes
        fabric, capacity = routes.network.fabric, routes.network.capacity_bytes_per_s
        distances = routes.distances(view.source, view.target)
        best: dict[int, tuple[_Cost, Path]] = {view.source: ((0.0, 0.0, 0), ())}
        for _ in range(distances[view.source]):
            reached: dict[int, tuple[_Cost, Path]] = {}
            for at, ((most, total, _), path) in best.items():
                for link in routes.next_links(at, distances).tolist():
                    load = float(view.load_bytes_per_s[link]) / float(capacity[link])
                    tie = draw(rng, 1 << 32, view.flow, link)
                    cost = (max(most, load), total + load, tie)
                    there = int(fabric.link_to[link])
                    if there not in reached or cost < reached[there][0]:
                        reached[there] = (cost, (*path, link))
            best = reached
        if view.target in best:
            yield best[view.target][1]
