"""Users away from their pools, in a case that was drawn without."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from random import Random

import numpy as np

from sim.workload.plan import UserPath
from sim.workload.types import RequestChunk, RequestSource
from tests.property.random_cases import Case

#: Most are on the grid of arrivals and exact costs, so that what comes in and what has been here
#: meet at one instant; some are no longer than a float's step, some longer than most patience.
WAYS_S = (0.0, 0.0625, 0.0625, 0.25, 0.25, 0.5, 0.3, 0.02, 1e-18, 3.0)


@dataclass(frozen=True)
class Sooner:
    """A source whose open requests are sent a while before; they reach the pool as they did."""

    source: RequestSource
    by_s: float

    @property
    def closed(self) -> bool:
        """As the source."""
        return self.source.closed

    @property
    def notes(self) -> tuple[str, ...]:
        """None."""
        return ()

    def chunks(self) -> Iterator[RequestChunk]:
        """The source's, sent sooner; nothing is sent before time 0."""
        for chunk in self.source.chunks():
            yield replace(chunk, arrival_s=np.maximum(chunk.arrival_s - self.by_s, 0.0))


def random_path(rng: Random) -> UserPath:
    """Some take no time in one direction; a path of no kinds takes none at all."""
    egress_s = rng.choice(WAYS_S)
    return UserPath(("network",), egress_s + rng.choice((0.0, 0.0, 0.125, 0.01, 2.0)), egress_s)


def with_paths(rng: Random, case: Case) -> Case:
    """The same world, most of whose users are away; in half of the cases with the same path all.

    A quarter of those run by hand end when a request is sent, mostly with others on their way.
    """
    world = case.world
    shared = random_path(rng) if rng.randrange(2) else None
    workloads, sources = [], []
    for load, source in zip(world.scenario.workloads, world.sources, strict=True):
        path = (shared or random_path(rng)) if rng.randrange(5) else UserPath()
        workloads.append(replace(load, path=path))
        sources.append(Sooner(source, path.ingress_s) if rng.randrange(2) else source)
    scenario = replace(world.scenario, workloads=tuple(workloads))
    away = replace(case, world=replace(world, scenario=scenario, sources=tuple(sources)))
    rows = [next(source.chunks(), None) for source in sources]
    sent_s = [t for chunk in rows if chunk for t in chunk.arrival_s.tolist() if t > 0.0]
    if case.by_run or rng.randrange(4) or not sent_s:
        return away
    horizon_s = rng.choice(sent_s)
    acts = tuple(act for act in case.acts if act.time_s <= horizon_s)
    return replace(away, acts=acts, horizon_s=horizon_s)
