"""Weights on their way to replicas that start: from storage nodes, from peers, from own disks.

A replica boots, then every GPU of it takes its share as one flow; with the last of them it is
loaded. Who sends what is decided when a share sets out: of the storage nodes the one that sends the
fewest shares at the time, of the pool's loaded replicas the one that serves the fewest others, rank
to rank. A share whose source or path dies sets out anew, whole, from another; one that nothing
joins to a source waits until something changes.

With ``multicast`` a replica serves one other at a time, and each that is loaded goes on to serve
those that wait: their number doubles with every wave. Storage nodes then send to one replica of the
pool at a time, and only while none of it is loaded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from functools import partial

from sim.check.scenario import Weights
from sim.engine.fleet import At
from sim.engine.load import Done, Load
from sim.engine.network import Network
from sim.engine.places import Places
from sim.engine.recorder import Recorder
from sim.engine.storms import Storms
from sim.engine.world import PlacedReplica, World
from sim.errors import PartitionError
from sim.units import format_si


class WeightLoader:
    """Every replica that boots or loads, and who could serve it."""

    def __init__(
        self, world: World, places: Places, network: Network, recorder: Recorder, at: At
    ) -> None:
        self._places = places
        self._world, self._network, self._recorder, self._at = world, network, recorder, at
        fabric = network.fabric
        self._storage = world.scenario.storage.names
        self._stored = [fabric.reads_from(name) for name in self._storage]
        self._sends = [0] * len(self._stored)  # shares that each storage node sends
        self._loaded: set[int] = set()  # replicas that others may load from
        self._serves: Counter[int] = Counter()  # loads that a replica is the source of
        self._loads: dict[int, Load] = {}  # by replica; first come, first served
        self._storms = Storms(network, recorder)

    def plan(self, replica: int) -> Weights | None:
        """How a replica gets its weights; None: nothing is moved for it."""
        placed = self._world.replicas[replica]
        return self._world.scenario.pools[placed.pool].weights

    # ---- what the fleet says -------------------------------------------------------------

    def loaded(self, replica: int, time_s: float) -> None:
        """A replica has its weights: others may have them from it."""
        if self.plan(replica) is not None:
            self._loaded.add(replica)
            pool = self._pool(replica)
            self._pump(time_s, [one for one in self._loads if self._pool(one) == pool])

    def lost(self, replicas: Iterable[int], time_s: float) -> None:
        """Replicas lost power: what they send never arrives, what they load is not wanted."""
        gone = set(replicas)
        self._loaded -= gone
        for replica in sorted(gone):
            self._stop(replica, time_s)
        for load in list(self._loads.values()):
            if gone.intersection(load.peers.values()):
                self._drop(load, [r for r, peer in load.peers.items() if peer in gone], time_s)
                load.blocked = load.told = False
        self._pump(time_s)

    def retire(self, replica: int, time_s: float) -> None:
        """A replica is taken away or unloaded: what it sends arrives, but nobody else asks it.

        What it was loading itself is not wanted any more.
        """
        self._stop(replica, time_s)
        self._loaded.discard(replica)
        self._pump(time_s)

    def give_up(self, replica: int, time_s: float) -> None:
        """What a replica loads for a move is not wanted any more; it stays loaded where it is."""
        load = self._loads.get(replica)
        if load is not None:
            load.dropped = None
            self._stop(replica, time_s)
            self._pump(time_s)

    def begin(
        self,
        replica: int,
        time_s: float,
        done: Done,
        dropped: Done | None = None,
        target: PlacedReplica | None = None,
    ) -> None:
        """A replica has power from ``time_s`` on: it boots, then loads, then ``done`` is called.

        ``dropped`` is called if it comes to nothing. One that boots or loads already goes on. It
        loads where it is, or at the ``target`` that it moves to.
        """
        if replica in self._loads:
            return
        plan = self.plan(replica)
        assert plan is not None
        placed = self._places.now[replica] if target is None else target
        load = self._loads[replica] = Load(
            replica, plan, placed, time_s + plan.boot_s, done, dropped
        )
        self._at(load.ready_s, partial(self._booted, load))

    def _stop(self, replica: int, time_s: float) -> None:
        """What a replica was loading is not wanted any more."""
        load = self._loads.pop(replica, None)
        if load is None:
            return
        self._drop(load, list(load.flows), time_s)
        if load.booted:
            self._storms.end(load, time_s, "withdrawn")
        if load.dropped is not None:
            load.dropped(time_s)

    def retry(self, time_s: float) -> None:
        """Something of the network lives again."""
        self._pump(time_s, self._loads)

    def finish(self) -> None:
        """The run ends: what is on its way has no end."""
        for load in self._loads.values():
            if load.booted:
                self._storms.end(load, None, "unfinished")
        self._loads.clear()

    # ---- one load ------------------------------------------------------------------------

    def _booted(self, load: Load, time_s: float) -> None:
        if self._loads.get(load.replica) is not load:
            return  # it lost power meanwhile
        placed = load.placed
        ranks = self._world.scenario.pools[placed.pool].tensor_parallel
        stages = load.plan.stage_bytes[placed.model.gpu]
        load.booted = True
        load.left = {rank: stages[rank // ranks] for rank in range(len(placed.gpus))}
        load.size_bytes = sum(load.left.values())
        self._storms.begin(load)
        self._pump(time_s)

    def _arrive(self, load: Load, rank: int, time_s: float) -> None:
        self._storms.carried(load, load.flows[rank], load.left[rank])
        freed = self._forget(load, rank)
        del load.left[rank]
        if not load.left:
            del self._loads[load.replica]
            self._storms.end(load, time_s, "arrived")
            load.done(time_s)
        if freed:
            self._pump(time_s)

    def _lose(self, load: Load, rank: int, error: PartitionError, time_s: float) -> None:
        """A share's path died and there is no other: it is sent from elsewhere, or waits."""
        self._forget(load, rank)
        self._try(load, time_s)

    def _drop(self, load: Load, ranks: Iterable[int], time_s: float) -> None:
        for rank in ranks:
            self._network.cancel(load.flows[rank], time_s)
            self._forget(load, rank)

    def _forget(self, load: Load, rank: int) -> bool:
        """A share is not on its way any more; whether its source has no other of the load's."""
        del load.flows[rank]
        node = load.nodes.pop(rank, None)
        if node is not None:
            self._sends[node] -= 1
            return not load.nodes
        peer = load.peers.pop(rank, None)
        if peer is None or peer in load.peers.values():
            return False
        self._serves[peer] -= 1
        return True

    # ---- who sends -----------------------------------------------------------------------

    def _pump(self, time_s: float, again: Iterable[int] = ()) -> None:
        """Whatever waits sets out, if there is a source for it now.

        What had no source or no way is tried only if it is of a replica in ``again``: then there
        may be another.
        """
        for replica in again:
            self._loads[replica].blocked = False
        queued: set[int] = set()  # pools of which nobody is free
        for load in list(self._loads.values()):
            pool = self._pool(load.replica)
            if not load.waits or load.blocked or pool in queued or self._try(load, time_s):
                continue
            if self._is_queued(load) and all(self._serves[peer] for peer in self._peers(pool)):
                queued.add(pool)

    def _try(self, load: Load, time_s: float) -> bool:
        """Send every share that is not on its way; what cannot be sent waits (all: False)."""
        ranks = [rank for rank in load.left if rank not in load.flows]
        sent = self._send(load, ranks, time_s)
        if not sent:
            return False
        load.told = load.told and load.waits
        again = load.start_s is not None
        if not again:
            load.start_s = time_s
            load.alone_s = self._storms.alone(load.flows)
        origins = list(dict.fromkeys(self._origin(load, rank) for rank in sent))
        load.sources.update(origins)
        size = format_si(sum(load.left[rank] for rank in sent), "B")
        text = f"{size} {'anew ' if again else ''}from {', '.join(name for name, _ in origins)}"
        self._recorder.event(time_s, "weights-load", f"replica {load.replica}", text)
        return True

    def _origin(self, load: Load, rank: int) -> tuple[str, int | None]:
        """What sends a share, and which replica that is."""
        if rank in load.nodes:
            return self._storage[load.nodes[rank]], None
        if rank in load.peers:
            return f"replica {load.peers[rank]}", load.peers[rank]
        return "local", None

    def _send(self, load: Load, ranks: list[int], time_s: float) -> list[int]:
        """The ranks whose share has set out."""
        match load.plan.source:
            case "local":
                return self._from_disks(load, ranks, time_s)
            case "storage":
                return self._from_storage(load, ranks, time_s)
        sent = self._from_peers(load, ranks, time_s)
        if sent or self._is_queued(load):
            return sent
        if not self._storage:
            self._wait(load, None, time_s)
            return []
        return self._from_storage(load, ranks, time_s)

    def _is_queued(self, load: Load) -> bool:
        """Whether a load of a multicast waits for its turn."""
        if not load.plan.multicast:
            return False
        pool = self._pool(load.replica)
        if any(self._serves[peer] for peer in self._peers(pool)):
            return True
        others = (one for one in self._loads.values() if one is not load)
        return any(one.nodes and self._pool(one.replica) == pool for one in others)

    def _pool(self, replica: int) -> int:
        return self._world.replicas[replica].pool

    def _peers(self, pool: int) -> list[int]:
        return [one for one in sorted(self._loaded) if self._pool(one) == pool]

    def _from_peers(self, load: Load, ranks: list[int], time_s: float) -> list[int]:
        """From a loaded replica of the pool, rank to rank: the one that serves the fewest."""
        peers = self._peers(self._pool(load.replica))
        if load.plan.multicast:
            peers = [one for one in peers if not self._serves[one]]
        failed: PartitionError | None = None
        for peer in sorted(peers, key=lambda one: (self._serves[one], one)):
            gpus = self._places.now[peer].gpus
            try:
                for rank in ranks:
                    self._share(load, rank, gpus[rank], time_s)
            except PartitionError as error:
                self._drop(load, [rank for rank in ranks if rank in load.flows], time_s)
                failed = failed or error
                continue
            self._serves[peer] += peer not in load.peers.values()
            load.peers.update(dict.fromkeys(ranks, peer))
            return ranks
        if failed is not None and not self._storage:
            self._wait(load, failed, time_s)
        return []

    def _from_storage(self, load: Load, ranks: list[int], time_s: float) -> list[int]:
        """Each share from the storage node that sends the fewest, of those that reach it."""
        sent: list[int] = []
        for rank in ranks:
            failed: PartitionError | None = None
            for node in sorted(range(len(self._stored)), key=lambda one: (self._sends[one], one)):
                try:
                    self._share(load, rank, self._stored[node], time_s)
                except PartitionError as error:
                    failed = failed or error
                    continue
                load.nodes[rank] = node
                self._sends[node] += 1
                sent.append(rank)
                break
            else:
                self._wait(load, failed, time_s)
        return sent

    def _from_disks(self, load: Load, ranks: list[int], time_s: float) -> list[int]:
        """Each share from the disks of the server that the GPU is in."""
        fabric, names = self._network.fabric, self._world.scenario.site.node_names
        sent: list[int] = []
        for rank in ranks:
            gpu = load.placed.gpus[rank]
            disks = fabric.reads_from(names[int(fabric.gpu_node[gpu])])
            try:
                self._share(load, rank, disks, time_s)
            except PartitionError as error:
                self._wait(load, error, time_s)
                continue
            sent.append(rank)
        return sent

    def _share(self, load: Load, rank: int, source: int, time_s: float) -> None:
        """Send one rank its share.

        Raises:
            PartitionError: nothing joins the two ends.
        """
        gpu = load.placed.gpus[rank]
        load.flows[rank] = self._network.send(
            source, gpu, load.left[rank], time_s,
            partial(self._arrive, load, rank), partial(self._lose, load, rank),
        )  # fmt: skip

    def _wait(self, load: Load, error: PartitionError | None, time_s: float) -> None:
        """Some of a load has no source, or no way: it is told once."""
        load.blocked = True
        if load.told:
            return
        load.told = True
        who = f"replica {load.replica}"
        if error is None:
            text = "no replica of its pool is loaded, and there is no storage node"
            self._recorder.event(time_s, "weights-wait", who, text)
        else:
            text = f"{who} waits for its weights: {error}"
            self._recorder.event(time_s, "partition", error.entity, text)
