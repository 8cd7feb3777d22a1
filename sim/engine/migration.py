"""Replicas that serve and move to other GPUs: what it costs, and when it is worth it.

The replica serves where it is while its weights go to the new GPUs, which nobody else gets
meanwhile. Then it changes over: with ``kv: moved`` what it runs stands still while the KV of it
crosses the network, rank to rank, and goes on there; with ``kv: lost`` it changes over at once, and
what it runs is computed anew. Either way the prompts that its cache keeps for nobody are lost. If
anything fails before the change-over the replica stays where it is.

Defragmenting moves replicas, the smallest first, as long as that leaves fewer free GPUs in NVLink
domains where no group of any pool can use them (``Places.stranded``).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from sim.engine.alone import durations_s
from sim.engine.arbiter import Refusal
from sim.engine.fleet import At, Fleet
from sim.engine.network import Flow, Network
from sim.engine.places import NoPlace, Places, Unwanted
from sim.engine.plane import ServingPlane
from sim.engine.recorder import Recorder
from sim.engine.transfers import layer_bytes, parts
from sim.engine.weights import WeightLoader
from sim.engine.world import PlacedReplica, World
from sim.errors import PartitionError
from sim.units import format_si

MOVED = "moved"


@dataclass(eq=False)
class _Migration:
    """One replica on its way."""

    replica: int
    target: PlacedReplica
    kv: str  # "moved" or "lost"
    begun_s: float
    tokens: int = 0  # in KV of what it runs
    size_bytes: float = 0.0  # of them
    frozen_s: float | None = None  # since when what it runs stands still
    alone_s: float = 0.0  # KV would take, if nothing else moved
    flows: list[Flow] = field(default_factory=list)
    left: int = 0  # flows that have not arrived


class Migrations:
    """Every replica on its way to other GPUs."""

    def __init__(
        self,
        world: World,
        places: Places,
        plane: ServingPlane,
        recorder: Recorder,
        at: At,
        fleet: Fleet,
        network: Network | None,
        loader: WeightLoader | None,
    ) -> None:
        self._world, self._places, self._plane = world, places, plane
        self._recorder, self._at, self._fleet = recorder, at, fleet
        self._network, self._loader = network, loader
        self._moving: dict[int, _Migration] = {}

    # ---- who moves -----------------------------------------------------------------------

    def migrate(self, pool: str, position: int, kv: str, time_s: float) -> None:
        """The script moves one replica to the policy's first choice elsewhere."""
        replica = self._fleet.member(pool, position)
        refusal = self._refusal(replica)
        if refusal is None:
            try:
                target = self._find(replica, time_s)
            except NoPlace as error:
                refusal = str(error)
            else:
                self._set_out(replica, target, kv, time_s)
        self._places.report(self._recorder.decision)
        if refusal is not None:
            self._tell(time_s, "migration-refused", replica, refusal)

    def defragment(self, most: int, kv: str, time_s: float) -> None:
        """Move replicas as long as that leaves fewer free GPUs where nobody can use them."""
        before = self._places.stranded()
        leaving: list[int] = []  # GPUs that will be free
        begun = 0
        able = [one for one, _ in enumerate(self._places.now) if self._refusal(one) is None]
        for replica in sorted(able, key=lambda one: (len(self._places.now[one].gpus), one)):
            if begun == most:
                break
            leaves = self._places.now[replica].gpus
            try:
                target = self._find(replica, time_s, partial(self._gains, leaving, leaves))
            except NoPlace:
                continue
            begun += 1
            leaving += leaves
            self._set_out(replica, target, kv, time_s)
        after = self._places.stranded(leaving)
        self._places.report(self._recorder.decision)
        detail = f"{begun} replica{'' if begun == 1 else 's'} set out"
        if begun:
            detail += (
                f": of the free GPUs {after:.3g} instead of {before:.3g} will be where no whole "
                "group can use them (mean over all groups)"
            )
        self._recorder.event(time_s, "defragment", self._world.scenario.name, detail)

    def _refusal(self, replica: int) -> str | None:
        """Why a replica cannot move now."""
        pools = self._world.scenario.pools
        pool = pools[self._places.now[replica].pool]
        if replica in self._moving:
            return "it is on its way already"
        if not self._fleet.serves(replica):
            return "it does not serve"
        if pool.decode is not None or any(o.decode and o.decode.pool == pool.name for o in pools):
            return f"replicas of {pool.name} hand KV over to each other's pools; they do not move"
        return None

    def _gains(
        self, leaving: Sequence[int], leaves: Sequence[int], taken: tuple[int, ...]
    ) -> Refusal | None:
        """Whether fewer free GPUs are stranded if a replica leaves some and takes others."""
        now = self._places.stranded(leaving)
        then = self._places.stranded([*leaving, *leaves], taken)
        if then < now:
            return None
        return Refusal("no-gain", f"{then:.3g} free GPUs would be stranded, {now:.3g} are without")

    def _find(
        self, replica: int, time_s: float, unwanted: Unwanted = lambda gpus: None
    ) -> PlacedReplica:
        """A place elsewhere, on GPUs of the type that it has."""
        dark, model = self._fleet.dark_servers(), self._places.now[replica].model
        return self._places.find(replica, time_s, dark, model, unwanted)

    # ---- one move ------------------------------------------------------------------------

    def _set_out(self, replica: int, target: PlacedReplica, kv: str, time_s: float) -> None:
        """The new GPUs are its own from now on; its weights go there first."""
        move = self._moving[replica] = _Migration(replica, target, kv, time_s)
        self._places.hold(target)
        here, there = self._names(self._places.now[replica]), self._names(target)
        self._tell(time_s, "replica-moves", replica, f"from {here} to {there}: its weights first")
        loaded = partial(self._loaded, move)
        if self._loader is not None and self._loader.plan(replica) is not None:
            dropped = partial(self.stop, replica, "its weights are not wanted any more")
            self._loader.begin(replica, time_s, loaded, dropped, target)
        else:
            self._at(time_s + self._world.scenario.power.restart_s, loaded)

    def _loaded(self, move: _Migration, time_s: float) -> None:
        if self._moving.get(move.replica) is not move:
            return
        if move.kv != MOVED:
            self._plane.interrupt(move.replica, time_s)
            self._change_over(move, time_s)
            return
        move.tokens = self._plane.freeze(move.replica, time_s)
        if not move.tokens:
            self._change_over(move, time_s)
            return
        move.frozen_s = time_s
        self._send(move, time_s)

    def _send(self, move: _Migration, time_s: float) -> None:
        """KV crosses the network: what each rank has goes to the same rank there."""
        source, network = self._places.now[move.replica], self._network
        assert network is not None  # the check asks for one
        pool = self._world.scenario.pools[source.pool]
        per_layer = layer_bytes(pool.llm, move.tokens, pool.tensor_parallel)
        ranks = pool.tensor_parallel, pool.tensor_parallel
        wanted = parts(pool.llm.llm, source, move.target, ranks)
        sizes = [part.layers * part.share * per_layer for part in wanted]
        move.size_bytes, move.left = sum(sizes), len(sizes)
        for part, size_bytes in zip(wanted, sizes, strict=True):
            try:
                flow = network.send(
                    part.source, part.target, size_bytes, time_s,
                    partial(self._arrive, move), partial(self._lose, move),
                )  # fmt: skip
            except PartitionError as error:
                self._lose(move, error, time_s)
                return
            move.flows.append(flow)
        paths = [flow.path for flow in move.flows]
        alone = durations_s(paths, np.array(sizes), network.capacity_bytes_per_s)
        move.alone_s = float((alone + [flow.latency_s for flow in move.flows]).max())

    def _arrive(self, move: _Migration, time_s: float) -> None:
        move.left -= 1
        if move.left == 0 and self._moving.get(move.replica) is move:
            self._write(move, time_s, "arrived")
            self._change_over(move, time_s)

    def _lose(self, move: _Migration, error: PartitionError, time_s: float) -> None:
        self._recorder.event(time_s, "partition", error.entity, str(error))
        self.stop(move.replica, "no path is left for its KV", time_s)

    def _change_over(self, move: _Migration, time_s: float) -> None:
        """From now on it is there, and its old GPUs are free."""
        del self._moving[move.replica]
        here = self._names(self._places.now[move.replica])
        self._fleet.relocate(move.replica, move.target, time_s)
        if move.frozen_s is not None:
            self._plane.thaw(move.replica, time_s)
        took = format_si(time_s - move.begun_s, "s")
        text = f"from {here} to {self._names(move.target)}, {took} after it set out; "
        if move.frozen_s is not None:
            stood = format_si(time_s - move.frozen_s, "s")
            size = format_si(move.size_bytes, "B")
            text += f"what it runs stood still for {stood} while {size} of KV moved"
        else:
            text += "what it ran is computed anew" if move.kv != MOVED else "it ran nothing"
        self._tell(time_s, "replica-moved", move.replica, text)
        self._fleet.parked(time_s)

    # ---- what goes wrong -----------------------------------------------------------------

    def stop(self, replica: int, why: str, time_s: float) -> None:
        """If a replica is on its way it stays where it is."""
        move = self._moving.pop(replica, None)
        if move is None:
            return
        if self._loader is not None and move.frozen_s is None:
            self._loader.give_up(replica, time_s)
        for flow in move.flows:
            assert self._network is not None
            self._network.cancel(flow, time_s)
        if move.frozen_s is not None:
            self._write(move, time_s, "lost")
            self._plane.thaw(replica, time_s)
        self._places.release(move.target)
        self._tell(time_s, "migration-ends", replica, f"it stays where it is: {why}")

    def power(self, dark: Collection[int], time_s: float) -> None:
        """Servers are without power: nobody moves from or to them."""
        for replica, move in list(self._moving.items()):
            for placed in (self._places.now[replica], move.target):
                if any(server in dark for server, _ in placed.servers):
                    self.stop(replica, f"{self._names(placed)} has no power", time_s)
                    break

    def finish(self) -> None:
        """The run ends: what is on its way has no end."""
        for move in self._moving.values():
            if move.frozen_s is not None:
                self._write(move, None, "unfinished")
        self._moving.clear()

    def _write(self, move: _Migration, end_s: float | None, outcome: str) -> None:
        start_s = move.frozen_s
        self._recorder.transfer(
            "migration", None, move.replica, move.replica, move.size_bytes, None, start_s, None,
            start_s, end_s, move.alone_s, outcome, None, None, None, None,
        )  # fmt: skip

    def _names(self, placed: PlacedReplica) -> str:
        return self._fleet.where(placed)

    def _tell(self, time_s: float, what: str, replica: int, why: str) -> None:
        self._recorder.event(time_s, what, f"replica {replica}", why)
