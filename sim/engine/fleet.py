"""Which replicas serve, and where: those with power that are loaded, and that nobody took away.

A replica that comes is placed first, then loaded; where no place holds, it waits until GPUs become
free or have power again. One that was taken away finishes what it holds, is parked, and gives its
GPUs up. One that failed keeps its GPUs and returns with their power, unless its pool says after how
long it is placed elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Set
from functools import partial
from typing import TYPE_CHECKING

from sim.engine.idle import parked_mw
from sim.engine.places import NoPlace, Places
from sim.engine.plane import ServingPlane
from sim.engine.recorder import Recorder
from sim.engine.world import PlacedReplica, World

if TYPE_CHECKING:
    from sim.engine.migration import Migrations
    from sim.engine.weights import WeightLoader

#: ``at(time_s, act)``: let ``act(time_s)`` happen then.
At = Callable[[float, Callable[[float], None]], None]
#: ``moved(replica, placed, time_s)``: it has other GPUs, or none.
Moved = Callable[[int, PlacedReplica, float], None]


class Fleet:
    """The state of every replica, as far as power, its place and the script decide about it."""

    def __init__(
        self,
        world: World,
        plane: ServingPlane,
        recorder: Recorder,
        at: At,
        places: Places,
        loader: WeightLoader | None = None,
    ) -> None:
        self._world, self._plane, self._recorder, self._at = world, plane, recorder, at
        self._places = places
        self._loader = loader  # None: no pool states where its weights come from
        self._tree = world.scenario.power
        self._down: dict[int, int] = {}  # replicas, and what each GPU of theirs draws, mW
        self._returns = dict.fromkeys(range(len(world.replicas)), 0)  # outages so far, by replica
        self._away: set[int] = set()  # taken away by the script, or not added yet
        self._dead: Set[int] = frozenset()  # nodes of the tree without power
        self._cut: set[int] = set()  # replicas whose servers nothing joins
        self._seek: dict[int, None] = {}  # replicas that wait for a place, first come first
        self._spell = dict.fromkeys(self._returns, 0)  # times that each was down and is not now
        self._timed: dict[int, int] = {}  # who is placed elsewhere if this spell lasts
        #: Who else must know when a replica has other GPUs.
        self.moved: list[Moved] = []
        self.migrations: Migrations | None = None  # none in a scenario where nothing moves

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
        back = bool(self._dead - dead)
        self._dead = dead
        self._note_parked(time_s)
        if self.migrations is not None:
            self.migrations.power(self.dark_servers(), time_s)
        site = self._world.scenario.site
        lost: list[int] = []
        for index, placed in enumerate(self._places.now):
            dark = self._dark(index)
            if not placed.gpus or (not dark and index not in self._down):
                continue
            gpu_mw = 0 if len(dark) == len(placed.servers) else self._parked_mw(index)
            fresh = index not in self._down
            if self._down.get(index) != gpu_mw:
                self._down[index] = gpu_mw
                self._plane.fail(index, gpu_mw, time_s)
            if dark:
                lost.append(index)
            if fresh:
                why = f"{site.node_names[dark[0]]} has no power"
                self._tell(time_s, "replica-fails", index, why)
            if fresh or dark:  # or it was about to come back
                self._returns[index] += 1
                self._replace_later(index, time_s)
            elif index not in self._away | self._cut:
                self._seek.pop(index, None)
                self._load(index, time_s)
        if self._loader is not None and lost:
            self._loader.lost(lost, time_s)
        if self._note_parked(time_s) or back:
            self._place_waiting(time_s)

    def _dark(self, replica: int) -> list[int]:
        """The servers of a replica that have no power."""
        servers = self._tree.server_index
        placed = self._places.now[replica].servers
        return [server for server, _ in placed if int(servers[server]) in self._dead]

    def _parked_mw(self, replica: int) -> int:
        return parked_mw(self._world.scenario.site, self._places.now[replica])

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
        self._spell[replica] += 1
        self._plane.restore(replica, time_s)
        self._tell(time_s, "replica-returns", replica, "it is loaded")
        if self._loader is not None:
            self._loader.loaded(replica, time_s)

    # ---- the network ---------------------------------------------------------------------

    def cut(self, replica: int, why: str, time_s: float) -> None:
        """Nothing joins the servers of a replica any more: it fails."""
        self._note_parked(time_s)
        self._stop_moving(replica, why, time_s)
        self._cut.add(replica)
        self._returns[replica] += 1  # if it was about to come back, it is not any more
        if replica not in self._down:
            self._down[replica] = self._parked_mw(replica)
            self._plane.fail(replica, self._down[replica], time_s)
            self._tell(time_s, "replica-cut", replica, why)
        if self._loader is not None:
            self._loader.lost([replica], time_s)
        self._replace_later(replica, time_s)
        if replica in self._away:  # it will not finish what it held
            self._at(time_s, self.parked)

    def joined(self, replica: int, time_s: float) -> None:
        """They are joined again: if nothing else is in the way it serves a restart later."""
        self._note_parked(time_s)
        self._cut.discard(replica)
        if replica in self._down and replica not in self._away and not self._dark(replica):
            self._seek.pop(replica, None)
            self._load(replica, time_s)

    # ---- the script ----------------------------------------------------------------------

    def add(self, pool: str, replicas: int, time_s: float) -> None:
        """The first replicas of a pool that are away come; one not yet gone stays."""
        self._note_parked(time_s)
        for replica in [one for one in self._members(pool) if one in self._away][:replicas]:
            self._away.discard(replica)
            if replica not in self._down:
                self._plane.reopen(replica, time_s)
                if self._loader is not None:
                    self._loader.loaded(replica, time_s)
                self._tell(time_s, "replica-stays", replica, "it had not finished what it held")
            else:
                self._find_place(replica, time_s)

    def remove(self, pool: str, replicas: int, time_s: float) -> None:
        """The last replicas of a pool finish what they hold, are parked and give their GPUs up."""
        self._note_parked(time_s)
        there = [one for one in self._members(pool) if one not in self._away]
        for replica in there[-replicas:]:
            self._stop_moving(replica, "it is taken away", time_s)
            self._away.add(replica)
            self._seek.pop(replica, None)
            if self._loader is not None:
                self._loader.retire(replica, time_s)
            if replica in self._down:
                self._returns[replica] += 1  # it was about to come back
                self._tell(time_s, "replica-removed", replica, "it was not serving")
                self._leave(replica, time_s)
            else:
                self._tell(time_s, "replica-removed", replica, "it finishes what it holds")
                self._plane.drain(replica, self._parked_mw(replica), time_s)
        self.parked(time_s)

    def scale(self, pool: str, replicas: int, time_s: float) -> None:
        """A pool has so many replicas from now on: some come, or some are taken away."""
        there = sum(one not in self._away for one in self._members(pool))
        if replicas > there:
            self.add(pool, replicas - there, time_s)
        elif replicas < there:
            self.remove(pool, there - replicas, time_s)

    def parked(self, time_s: float) -> None:
        """Some that were taken away may have finished: their GPUs are free for others."""
        self._note_parked(time_s)
        self._place_waiting(time_s)

    def _members(self, pool: str) -> list[int]:
        """The replicas of a pool by position."""
        pools = self._world.scenario.pools
        return [i for i, one in enumerate(self._world.replicas) if pools[one.pool].name == pool]

    def _note_parked(self, time_s: float) -> bool:
        """Who was taken away and has finished, or failed on the way, gives its GPUs up; if any."""
        gone = [
            replica
            for replica in sorted(self._away)
            if self._places.now[replica].gpus and self._plane.is_down(replica)
        ]
        for replica in gone:
            self._leave(replica, time_s)
        return bool(gone)

    # ---- moving ---------------------------------------------------------------------------

    def member(self, pool: str, position: int) -> int:
        """The replica of a pool at a position."""
        return self._members(pool)[position]

    def serves(self, replica: int) -> bool:
        """Whether a replica is loaded, and stays."""
        return replica not in self._down and replica not in self._away

    def relocate(self, replica: int, target: PlacedReplica, time_s: float) -> None:
        """A replica that serves is at ``target`` from now on, which it held already."""
        self._places.relocate(replica, target)
        self._plane.stand(replica, target, time_s)
        for moved in self.moved:
            moved(replica, target, time_s)

    def _stop_moving(self, replica: int, why: str, time_s: float) -> None:
        if self.migrations is not None:
            self.migrations.stop(replica, why, time_s)

    # ---- places --------------------------------------------------------------------------

    def _find_place(self, replica: int, time_s: float) -> None:
        """Place a replica that has no GPUs, and load it; without a place for it, it waits."""
        placed = self._find(replica, time_s)
        if placed is None:
            return
        self._seek.pop(replica, None)
        then = self._come(replica, placed, time_s)
        self._tell(time_s, "replica-added", replica, f"on {self.where(placed)}: {then}")

    def _find(self, replica: int, time_s: float) -> PlacedReplica | None:
        """A place for a replica; None: there is none, and it waits for one from now on."""
        try:
            return self._places.find(replica, time_s, self.dark_servers())
        except NoPlace as error:
            if replica not in self._seek:
                self._seek[replica] = None
                self._tell(time_s, "replica-waits", replica, str(error))
            return None
        finally:
            self._places.report(self._recorder.decision)

    def _come(self, replica: int, placed: PlacedReplica, time_s: float) -> str:
        """A replica that has no GPUs gets these; what comes next, in words."""
        self._places.take(replica, placed)
        self._settle(replica, time_s)
        if replica in self._cut:
            return "nothing joins its servers yet"
        self._load(replica, time_s)
        return "it is being loaded"

    def _leave(self, replica: int, time_s: float) -> None:
        """A replica that is down gives up its GPUs."""
        if self._places.now[replica].gpus:
            self._places.leave(replica)
            self._settle(replica, time_s)

    def _settle(self, replica: int, time_s: float) -> None:
        """Everybody learns where a replica that is down is now."""
        placed = self._places.now[replica]
        self._cut.discard(replica)
        self._returns[replica] += 1  # if it was about to come back, it is not any more
        self._spell[replica] += 1
        self._down[replica] = self._parked_mw(replica)
        self._plane.stand(replica, placed, time_s)
        for moved in self.moved:
            moved(replica, placed, time_s)

    def _place_waiting(self, time_s: float) -> None:
        """GPUs may have become free: whoever waits for a place tries again."""
        for replica in list(self._seek):
            if self._places.now[replica].gpus:
                self._replace(replica, self._spell[replica], time_s)
            else:
                self._find_place(replica, time_s)

    def _replace_later(self, replica: int, time_s: float) -> None:
        """A replica has failed: it is placed elsewhere if that lasts."""
        after_s = self._world.scenario.pools[self._places.now[replica].pool].replace_after_s
        spell = self._spell[replica]
        waits = replica in self._seek or self._timed.get(replica) == spell
        if after_s is not None and replica not in self._away and not waits:
            self._timed[replica] = spell
            self._at(time_s + after_s, partial(self._replace, replica, spell))

    def _replace(self, replica: int, spell: int, time_s: float) -> None:
        """If it is down still, and there is another place, it leaves its own for that."""
        if self._spell[replica] != spell or replica in self._away:
            return
        self._timed.pop(replica, None)
        if not (self._dark(replica) or replica in self._cut):
            return  # it loads where it is
        before = self.where(self._places.now[replica])
        placed = self._find(replica, time_s)
        if placed is None:
            return
        self._seek.pop(replica, None)
        self._leave(replica, time_s)
        then = self._come(replica, placed, time_s)
        text = f"on {self.where(placed)}, for {before} did not come back: {then}"
        self._tell(time_s, "replica-replaced", replica, text)

    def dark_servers(self) -> list[int]:
        """Servers of the site without power."""
        if not self._dead:
            return []
        servers = self._tree.server_index.tolist()
        return [server for server, node in enumerate(servers) if node in self._dead]

    def where(self, placed: PlacedReplica) -> str:
        """The servers of a place, in words."""
        names = self._world.scenario.site.node_names
        return ", ".join(names[server] for server, _ in placed.servers)

    def _tell(self, time_s: float, what: str, replica: int, why: str) -> None:
        self._recorder.event(time_s, what, f"replica {replica}", why)
