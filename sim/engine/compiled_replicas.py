"""Replicas of the compiled engine: their clocks, caps and admission; outages and parking."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from sim.check.scenario import Pool
from sim.engine.compile import settle_in, start_anew
from sim.engine.idle import parked_mw
from sim.engine.power_places import power_places
from sim.engine.recorder import Recorder
from sim.engine.world import PlacedReplica, World
from sim.kernels import control, layout, outage, relocate
from sim.kernels.followers import refresh_arrivals
from sim.kernels.state import Ints, State
from sim.policies.base import PowerPlaces
from sim.rng import KeyedBits


class ReplicaControl:
    """The part of the compiled plane that limits replicas, takes them out of service and back."""

    state: State
    world: World
    recorder: Recorder
    placed: list[PlacedReplica]  # every replica where it is now
    costs: dict[tuple[int, int], int]  # (a model, tokens of a batch) → its first record of ``cost``
    _table: Ints
    _routers: list[tuple[Pool, Any, KeyedBits, PowerPlaces]]

    _drain: Callable[[], None]  # hand on what rows are filled
    _drain_power: Callable[[], None]  # hand on what rows the tree has filled
    _take_moves: Callable[[], None]  # take over what moves the kernels have noted
    _feed_orphans: Callable[[], None]  # load the followers of requests that have ended

    def set_clocks(self, replicas: Sequence[int], level: int, time_s: float) -> None:
        """Put replicas on a clock level at ``time_s``."""
        self._drain_power()
        control.set_clocks(self._table, np.asarray(replicas, dtype=np.int64), level, time_s)

    def set_caps(self, replicas: Sequence[int], cap_mw: int | None, time_s: float) -> None:
        """Cap what each GPU of replicas draws."""
        self._drain_power()
        cap = layout.FAR if cap_mw is None else cap_mw
        control.set_caps(self._table, np.asarray(replicas, dtype=np.int64), cap, time_s)

    def set_admission(self, replica: int, admits: bool, held_mw: int | None, time_s: float) -> None:
        """Let a replica admit requests, or hold those that wait."""
        self._drain_power()
        held = layout.NONE if held_mw is None else held_mw
        control.set_admission(self._table, replica, not admits, held, time_s)

    def is_busy(self, replica: int) -> bool:
        """Whether a replica is in an iteration."""
        return bool(self.state.replica[replica]["busy"])

    def fail(self, replica: int, gpu_mw: int, time_s: float) -> None:
        """A replica is down."""
        outage.begin_outage(self._table, replica, time_s)
        while outage.fail_next(self._table, replica, time_s):
            self._take_moves()
            if self.state.all[0]["orphans"]:
                self._feed_orphans()
            if self.state.all[0]["rows"] >= len(self.state.out):
                self._drain()
        self._drain_power()
        outage.complete_outage(self._table, replica, gpu_mw, time_s)
        self._take_moves()
        refresh_arrivals(self._table)

    def restore(self, replica: int, time_s: float) -> None:
        """A replica serves again."""
        self._drain_power()
        outage.end_outage(self._table, replica, time_s)

    def drain(self, replica: int, gpu_mw: int, time_s: float) -> None:
        """A replica finishes what it holds, then it is down."""
        if outage.begin_drain(self._table, replica, gpu_mw, time_s):
            self._put_away(replica, time_s)

    def reopen(self, replica: int, time_s: float) -> None:
        """It takes requests again."""
        outage.end_drain(self._table, replica, time_s)

    def stand(self, replica: int, placed: PlacedReplica, time_s: float) -> None:
        """A replica has other GPUs, or none."""
        self._drain_power()
        site, record = self.world.scenario.site, self.state.replica[replica]
        relocate.leave(self._table, replica, parked_mw(site, self.placed[replica]), time_s)
        self.placed[replica] = placed
        settle_in(self.state, record, placed, self.world.spans(placed))
        record["draw_mw"] = parked_mw(site, placed)
        record["total_mw"] = int(record["draw_mw"]) * len(placed.gpus)
        if record["down"]:
            record["cost"] = self.costs[id(placed.model), int(record["max_batch_tokens"])]
            start_anew(record, placed.model)
        else:
            self._drain_power()
            relocate.arrive(self._table, replica, time_s)
        places = power_places(self.world, placed.pool, self.placed)
        self._routers[placed.pool] = (*self._routers[placed.pool][:3], places)

    def freeze(self, replica: int, time_s: float) -> int:
        """Nothing of a replica's iteration goes on."""
        self._drain_power()
        tokens = int(relocate.freeze(self._table, replica, time_s))
        self._take_moves()
        return tokens

    def thaw(self, replica: int, time_s: float) -> None:
        """It goes on."""
        self._drain_power()
        relocate.thaw(self._table, replica, time_s)

    def interrupt(self, replica: int, time_s: float) -> None:
        """What a replica runs loses its KV."""
        self._drain_power()
        relocate.interrupt(self._table, replica, time_s)
        self._take_moves()

    def is_down(self, replica: int) -> bool:
        """Whether a replica serves nobody."""
        return bool(self.state.replica[replica]["down"])

    def _park(self) -> None:
        """``advance`` came to the moment when a replica has finished what it held."""
        whole = self.state.all[0]
        whole["fault"] = layout.DONE
        self._put_away(int(whole["faulty"]), float(whole["fault_s"]))

    def _put_away(self, replica: int, time_s: float) -> None:
        self._drain_power()
        outage.park(self._table, replica, time_s)
        self.recorder.parked(replica, time_s)
