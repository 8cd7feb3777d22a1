"""Which replicas serve: those with power that are loaded, and that the script has not taken away.

Every replica that the script ever wants has its GPUs from the beginning. One that is away draws
what parked GPUs do; one that is added is loaded first, as after an outage.
"""

from __future__ import annotations

from collections.abc import Callable, Set
from functools import partial
from typing import TYPE_CHECKING

from sim.engine.idle import parked_mw
from sim.engine.plane import ServingPlane
from sim.engine.recorder import Recorder
from sim.engine.world import World

if TYPE_CHECKING:
    from sim.engine.weights import WeightLoader

#: ``at(time_s, act)``: let ``act(time_s)`` happen then.
At = Callable[[float, Callable[[float], None]], None]


class Fleet:
    """The state of every replica, as far as power and the script decide about it."""

    def __init__(
        self,
        world: World,
        plane: ServingPlane,
        recorder: Recorder,
        at: At,
        loader: WeightLoader | None = None,
    ) -> None:
        self._world, self._plane, self._recorder, self._at = world, plane, recorder, at
        self._loader = loader  # None: no pool states where its weights come from
        self._tree = world.scenario.power
        self._down: dict[int, int] = {}  # replicas, and what each GPU of theirs draws, mW
        self._returns = dict.fromkeys(range(len(world.replicas)), 0)  # outages so far, by replica
        self._away: set[int] = set()  # taken away by the script, or not added yet
        self._dead: Set[int] = frozenset()  # nodes of the tree without power
        self._cut: set[int] = set()  # replicas whose servers nothing joins

    def start(self) -> None:
        """At time 0 those that are added later are away, and those of a cold pool load."""
        for pool in self._world.scenario.pools:
            cold = pool.weights is not None and pool.weights.cold
            for place, replica in enumerate(self._members(pool.name)):
                away = pool.starts is not None and place >= pool.starts
                if away or cold:
                    self._down[replica] = self._parked_mw(replica)
                    self._plane.fail(replica, self._down[replica], 0.0)
                if away:
                    self._away.add(replica)
                elif cold:
                    self._load(replica, 0.0)
                elif self._loader is not None:
                    self._loader.loaded(replica, 0.0)

    # ---- power ---------------------------------------------------------------------------

    def power(self, dead: Set[int], time_s: float) -> None:
        """Replicas whose servers lost power fail; they serve again a restart after it is back."""
        self._dead = dead
        self._note_parked()
        site = self._world.scenario.site
        lost: list[int] = []
        for index, placed in enumerate(self._world.replicas):
            dark = self._dark(index)
            if not dark and index not in self._down:
                continue
            gpu_mw = 0 if len(dark) == len(placed.servers) else self._parked_mw(index)
            fresh = index not in self._down
            if self._down.get(index) != gpu_mw:
                self._down[index] = gpu_mw
                self._plane.fail(index, gpu_mw, time_s)
            if dark:
                lost.append(index)
            if fresh:
                self._returns[index] += 1
                self._tell(
                    time_s, "replica-fails", index, f"{site.node_names[dark[0]]} has no power"
                )
            elif dark:
                self._returns[index] += 1  # it was about to come back
            elif index not in self._away | self._cut:
                self._load(index, time_s)
        if self._loader is not None and lost:
            self._loader.lost(lost, time_s)

    def _dark(self, replica: int) -> list[int]:
        """The servers of a replica that have no power."""
        servers = self._tree.server_index
        placed = self._world.replicas[replica].servers
        return [server for server, _ in placed if int(servers[server]) in self._dead]

    def _parked_mw(self, replica: int) -> int:
        return parked_mw(self._world.scenario.site, self._world.replicas[replica])

    def _load(self, replica: int, time_s: float) -> None:
        """It has power: it serves once it has its weights, or a stated time later."""
        loader = self._loader
        if loader is not None and loader.plan(replica) is not None:
            done = partial(self._restart, replica, self._returns[replica])
            loader.begin(replica, time_s, done)
            return
        back_s = time_s + self._tree.restart_s
        self._at(back_s, partial(self._restart, replica, self._returns[replica]))

    def _restart(self, replica: int, outage: int, time_s: float) -> None:
        """A replica is loaded, unless it lost power or was taken away, or has been back since."""
        if replica not in self._down or self._returns[replica] != outage:
            return
        del self._down[replica]
        self._plane.restore(replica, time_s)
        self._tell(time_s, "replica-returns", replica, "it is loaded")
        if self._loader is not None:
            self._loader.loaded(replica, time_s)

    # ---- the network ---------------------------------------------------------------------

    def cut(self, replica: int, why: str, time_s: float) -> None:
        """Nothing joins the servers of a replica any more: it fails."""
        self._note_parked()
        self._cut.add(replica)
        self._returns[replica] += 1  # if it was about to come back, it is not any more
        if replica not in self._down:
            self._down[replica] = self._parked_mw(replica)
            self._plane.fail(replica, self._down[replica], time_s)
            self._tell(time_s, "replica-cut", replica, why)
        if self._loader is not None:
            self._loader.lost([replica], time_s)

    def joined(self, replica: int, time_s: float) -> None:
        """They are joined again: if nothing else is in the way it serves a restart later."""
        self._note_parked()
        self._cut.discard(replica)
        if replica in self._down and replica not in self._away and not self._dark(replica):
            self._load(replica, time_s)

    # ---- the script ----------------------------------------------------------------------

    def add(self, pool: str, replicas: int, time_s: float) -> None:
        """The first replicas of a pool that are away are loaded; one not yet gone stays."""
        self._note_parked()
        for replica in [one for one in self._members(pool) if one in self._away][:replicas]:
            self._away.discard(replica)
            if replica not in self._down:
                self._plane.reopen(replica, time_s)
                if self._loader is not None:
                    self._loader.loaded(replica, time_s)
                self._tell(time_s, "replica-stays", replica, "it had not finished what it held")
            elif self._dark(replica):
                self._tell(time_s, "replica-added", replica, "it has no power yet")
            elif replica in self._cut:
                self._tell(time_s, "replica-added", replica, "nothing joins its servers yet")
            else:
                self._tell(time_s, "replica-added", replica, "it is being loaded")
                self._load(replica, time_s)

    def remove(self, pool: str, replicas: int, time_s: float) -> None:
        """The last replicas of a pool finish what they hold, and are parked."""
        self._note_parked()
        there = [one for one in self._members(pool) if one not in self._away]
        for replica in there[-replicas:]:
            self._away.add(replica)
            if self._loader is not None:
                self._loader.retire(replica, time_s)
            if replica in self._down:
                self._returns[replica] += 1  # it was about to come back
                self._tell(time_s, "replica-removed", replica, "it was not serving")
            else:
                self._tell(time_s, "replica-removed", replica, "it finishes what it holds")
                self._plane.drain(replica, self._parked_mw(replica), time_s)

    def _members(self, pool: str) -> list[int]:
        """The replicas of a pool by position."""
        pools = self._world.scenario.pools
        return [i for i, one in enumerate(self._world.replicas) if pools[one.pool].name == pool]

    def _note_parked(self) -> None:
        """Some that were taken away may have finished meanwhile."""
        for replica in self._away - self._down.keys():
            if self._plane.is_down(replica):
                self._down[replica] = self._parked_mw(replica)

    def _tell(self, time_s: float, what: str, replica: int, why: str) -> None:
        self._recorder.event(time_s, what, f"replica {replica}", why)
