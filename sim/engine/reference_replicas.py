"""Replicas of the reference engine that fail, return, are taken away and brought back."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sim.engine.idle import parked_mw
from sim.engine.meters import WorkloadMeters
from sim.engine.power_places import power_places
from sim.engine.recorder import Recorder
from sim.engine.reference_pools import PoolState
from sim.engine.replica import Replica
from sim.engine.request import Request
from sim.engine.world import PlacedReplica, World


class ReplicaControl:
    """The part of the reference plane that takes replicas out of service and puts them back."""

    world: World
    replicas: list[Replica]
    placed: list[PlacedReplica]  # each where it is now
    pools: list[PoolState]
    recorder: Recorder
    charges: WorkloadMeters
    gpu_mw: list[int]  # by replica, of each of its GPUs
    has_parked: bool  # a replica has, since ``advance`` last returned

    draw: Callable[[int, int, Sequence[tuple[int, float]], float], None]
    _lose: Callable[[Request, float], None]  # a replica that failed held a request

    def fail(self, replica: int, gpu_mw: int, time_s: float) -> None:
        """A replica is down."""
        for request in self.replicas[replica].fail(gpu_mw, time_s):
            self._lose(request, time_s)

    def restore(self, replica: int, time_s: float) -> None:
        """A replica serves again."""
        self.replicas[replica].restore(time_s)

    def drain(self, replica: int, gpu_mw: int, time_s: float) -> None:
        """A replica finishes what it holds, then it is down."""
        self.replicas[replica].drain(gpu_mw, time_s)
        self.has_parked = False  # at once: the caller sees it

    def reopen(self, replica: int, time_s: float) -> None:
        """It takes requests again."""
        self.replicas[replica].reopen(time_s)

    def stand(self, replica: int, placed: PlacedReplica, time_s: float) -> None:
        """A replica has other GPUs, or none."""
        site, one = self.world.scenario.site, self.replicas[replica]
        self.draw(replica, parked_mw(site, self.placed[replica]), [], time_s)
        self.placed[replica] = placed
        self.gpu_mw[replica] = parked_mw(site, placed)
        total_mw = self.gpu_mw[replica] * len(placed.gpus)
        self.charges.set(replica, total_mw, [], time_s)
        one.meters.draw.set(total_mw, time_s)
        one.spans = self.world.spans(placed)
        if one.down:
            one.stand(placed.model, self.gpu_mw[replica])
        else:
            one.report_draw(time_s)
        self.pools[placed.pool].places = power_places(self.world, placed.pool, self.placed)

    def freeze(self, replica: int, time_s: float) -> int:
        """Nothing of a replica's iteration goes on."""
        return self.replicas[replica].freeze(time_s)

    def thaw(self, replica: int, time_s: float) -> None:
        """It goes on."""
        self.replicas[replica].thaw(time_s)

    def interrupt(self, replica: int, time_s: float) -> None:
        """What a replica runs loses its KV."""
        self.replicas[replica].interrupt(time_s)

    def is_down(self, replica: int) -> bool:
        """Whether a replica serves nobody."""
        return self.replicas[replica].down

    def parked(self, replica: int, time_s: float) -> None:
        """A replica has finished what it held."""
        self.recorder.parked(replica, time_s)
        self.has_parked = True
