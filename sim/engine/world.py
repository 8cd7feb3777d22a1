"""``World``: everything a run needs, built once and never changed by it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sim.check.scenario import Pool, Scenario
from sim.perf.step import ReplicaModel
from sim.site.fabric.types import Fabric
from sim.workload.types import RequestSource

if TYPE_CHECKING:
    from sim.engine.places import Places

#: Request ids: the workload's index in the high bits, its row in the low ones, so that a change of
#: one workload leaves the ids (and with them the draws) of the others alone.
ROW_BITS = 40


@dataclass(frozen=True)
class PlacedReplica:
    """A replica on its GPUs.

    Attributes:
        pool: index of its pool in the scenario.
        model: on the type of its GPUs; of one that has none, on a type that its pool may have.
        gpus: GPU indices in rank order; none: it has no place.
        servers: (index of the server in the site, number of its GPUs), in site order.
    """

    pool: int
    model: ReplicaModel
    gpus: tuple[int, ...]
    servers: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class World:
    """A scenario under a seed, ready to run."""

    scenario: Scenario
    seed: int
    sources: tuple[RequestSource, ...]  # one per workload
    replicas: tuple[PlacedReplica, ...]  # at time 0; those of a pool are contiguous
    decisions: tuple[dict[str, Any], ...]  # rows of the `decisions` table made while building
    fabric: Fabric | None = None  # where something crosses it
    places: Places | None = None  # who has which GPUs at time 0, and who decides about the others

    @property
    def horizon_s(self) -> float:
        """The end of the run: duration and drain."""
        return self.scenario.duration_s + self.scenario.drain_s

    def spans(self, placed: PlacedReplica) -> bool:
        """Whether the stages of a replica talk over the network."""
        stated = self.fabric is not None and self.scenario.fabric is not None
        return stated and len(placed.servers) > 1

    def most_blocks(self, pool: Pool) -> int:
        """KV blocks of the largest replica that ``pool`` has, or may have where it moves."""
        if pool.moves:
            return max(model.kv_blocks for model in pool.models.values())
        return max(
            placed.model.kv_blocks
            for placed in self.replicas
            if self.scenario.pools[placed.pool].name == pool.name
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should know about this run's requests, beside the scenario's warnings."""
        return tuple(
            f"workload[{workload.name}].trace: {note}"
            for workload, source in zip(self.scenario.workloads, self.sources, strict=True)
            for note in source.notes
        )
