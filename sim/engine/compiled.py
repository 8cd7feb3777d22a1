"""The compiled serving plane: the semantics of ``engine.reference``, by leaping, in numba.

``sim.kernels`` holds the loop; this class gives it what only Python has: chunks of requests, room
in its arrays, a sink for its rows, the decisions of routing policies that have no compiled form.
The state never leaves its arrays, so an event of the control plane costs the same whatever the
size of the run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.engine.arbiter import (
    nobody_admitted,
    turned_away_for_ever,
)
from sim.engine.compile import compile_world
from sim.engine.compiled_decisions import Decisions
from sim.engine.compiled_handover import Handover
from sim.engine.compiled_meters import readings
from sim.engine.compiled_power import TreeControl
from sim.engine.compiled_replicas import ReplicaControl
from sim.engine.handover import Move
from sim.engine.idle import idle_gpu_mw
from sim.engine.limits import Limits
from sim.engine.meter_tables import write_meters
from sim.engine.plane import Stop
from sim.engine.power_places import power_places
from sim.engine.power_reading import judged_mj
from sim.engine.prefix_arrays import load_ids
from sim.engine.recorder import Recorder
from sim.engine.room import more_followers, more_room, more_source
from sim.engine.sessions import Sessions
from sim.engine.world import World
from sim.kernels import control, layout
from sim.kernels import power as tree
from sim.kernels.advance import advance
from sim.kernels.followers import adopt, load_rows, refresh_arrivals, release
from sim.kernels.layout import NONE
from sim.kernels.senders import take_senders
from sim.kernels.state import Records, State, tables
from sim.results.tables import OUTCOMES
from sim.rng import KeyedBits
from sim.workload.types import OPEN, RequestChunk

#: Fields of a replica that a window cuts out of the run.
WINDOWED = (
    "busy_s", "cap_bound_s", "energy_mj", "kv_token_s", "waiting_s", "running_s",
    "blocked_blocks_s", "blocked_sequences_s", "blocked_tokens_s", "blocked_held_s",
)  # fmt: skip
#: Fields of a workload likewise.
CHARGED = ("energy_mj", "delivered")


class CompiledPlane(Decisions, Handover, TreeControl, ReplicaControl):
    """Implements ``engine.plane.ServingPlane`` (see there)."""

    def __init__(self, world: World, recorder: Recorder) -> None:
        scenario = world.scenario
        self.world = world
        self.recorder = recorder
        self.placed = list(world.replicas)
        self._moves: list[Move] = []
        self._parked_s: float | None = None  # when a replica has, and nobody knows yet
        changes = recorder.keeps_changes
        minutes = not changes and recorder.takes_rows
        state, self.costs = compile_world(world, minutes=minutes, changes=changes)
        self._use(state)
        self._chunks: list[Iterator[RequestChunk]] = [
            iter(source.chunks()) for source in world.sources
        ]
        self._rows = [0] * len(world.sources)  # pulled so far
        self._routers = [
            (
                pool, pool.routing.new_state(),
                KeyedBits(world.seed, f"policy/routing/{pool.name}"),
                power_places(world, index, world.replicas),
            )
            for index, pool in enumerate(scenario.pools)
        ]  # fmt: skip
        self._sessions = Sessions(self.state)
        self.limits = Limits(scenario.power)
        self._opened = self._read_windowed()
        self._window = self._opened
        self._start_power()
        for workload in range(len(world.sources)):
            self._feed(workload)

    def _use(self, state: State) -> None:
        """The state from now on: arrays have moved, so there is a new table of them."""
        self.state = state
        self._table, self._power_table = tables(state)

    # ---- the serving plane's interface ---------------------------------------------------

    def advance(self, until_s: float) -> Stop:
        """Handle every event strictly before ``until_s``."""
        while True:
            if self._moves:
                return self._stop_for_moves()
            if self._parked_s is not None:
                parked_s, self._parked_s = self._parked_s, None
                return Stop("parked", parked_s)
            # A whole number would be another kind of argument, compiled for a minute once more.
            code = advance(self._table, float(until_s))
            if code == layout.DONE:
                self._drain_decisions()  # before those that the control plane takes now
                return Stop("done", until_s)
            if code == layout.POWER:
                return Stop("power", float(self.state.power.guard["due_s"].min()))
            self._answer(code)
            if code == layout.PARKED:  # after what that very boundary has said of the network
                self._take_moves()
                self._parked_s = float(self.state.all[0]["fault_s"])

    def _answer(self, code: int) -> None:
        """Do what a kernel asked for."""
        ANSWERS[code](self)

    def judged_mj(self, time_s: float) -> NDArray[np.float64]:
        """[nodes] energy of what is judged up to ``time_s``."""
        return judged_mj(self.state.power, time_s)

    def peek(self) -> float:
        """Time of the next event, inf when nothing is pending."""
        return float(control.next_event(self._table))

    def in_flight(self) -> int:
        """Requests that have reached their pool and not ended."""
        return int(self.state.all[0]["in_flight"])

    def open_window(self, time_s: float) -> None:
        """The measurement window starts at ``time_s``."""
        control.pause_all(self._table, time_s)
        tree.open_window(self.state.power, time_s)
        self.limits.open_window(time_s)
        self._opened = self._read_windowed()

    def close_window(self, time_s: float) -> None:
        """The measurement window ends at ``time_s``."""
        control.pause_all(self._table, time_s)
        tree.close_window(self.state.power, time_s)
        self.limits.close_window()
        closed = self._read_windowed()
        self._window = {name: closed[name] - self._opened[name] for name in closed}

    def finish(self, time_s: float) -> None:
        """The run ends at ``time_s``: what was sent and has not ended is unfinished."""
        control.pause_all(self._table, time_s)
        while (code := take_senders(self._table, time_s)) != layout.DONE:
            self._answer(code)
        self._end_unfinished()
        self._drain()
        tree.finish(self.state.power, time_s)
        self._drain_power()
        self._write_gaps()
        meters = readings(self.state, self._window)
        write_meters(self.recorder, self.world, self.placed, meters, self.limits, time_s)

    # ---- requests on their way in --------------------------------------------------------

    def _feed_hungry(self) -> None:
        whole = self.state.all[0]
        workload, whole["hungry"] = int(whole["hungry"]), NONE
        self._feed(workload)

    def _feed(self, workload: int) -> None:
        """Load chunks of a workload until one has an open row, or none will come."""
        record = self.state.workload[workload]
        if record["next"] == record["count"]:
            record["next"] = record["count"] = 0
        closed = self.world.sources[workload].closed
        # A closed source's open rows come first; the others are pulled when they are due.
        while not record["count"] and not (closed and record["follows"]):
            if not self._pull(workload):
                break
        record["final"] = not record["count"] or (closed and record["follows"])
        refresh_arrivals(self._table)

    def _pull(self, workload: int) -> bool:
        """Load the next chunk; whether there was one."""
        chunk = next(self._chunks[workload], None)
        record = self.state.workload[workload]
        if chunk is None:
            record["endless"] = 0
            return False
        followers = int(np.count_nonzero(chunk.after_request != OPEN))
        record["endless"] = self.world.sources[workload].closed
        record["follows"] |= followers > 0
        state = more_source(self.state, int(record["count"]) + len(chunk) - followers)
        state, first_id, ids = load_ids(more_followers(state, followers), workload, chunk)
        self._use(state)
        # Constant columns may be one value broadcast; a kernel is compiled for plain arrays.
        columns: tuple[NDArray[Any], ...] = (
            chunk.arrival_s, chunk.input_tokens, chunk.output_tokens, chunk.priority,
            chunk.after_request, chunk.think_s, chunk.cancel_after_s, first_id, ids,
        )  # fmt: skip
        plain: list[Any] = [np.ascontiguousarray(column) for column in columns]
        load_rows(self._table, workload, self._rows[workload], *plain)
        self._sessions.add(workload, self._rows[workload], chunk)
        self._rows[workload] += len(chunk)
        return True

    def _feed_orphans(self) -> None:
        """Requests ended before their followers were loaded: load until they are there."""
        whole = self.state.all[0]
        orphans = self.state.orphan[: int(whole["orphans"])].copy()
        whole["orphans"] = 0
        for orphan in orphans:
            identity = int(orphan["id"])
            workload = identity >> layout.ROW_BITS
            while not adopt(self._table, identity) and self._pull(workload):
                pass
            end_s, now_s = float(orphan["end_s"]), float(orphan["t_s"])
            release(self._table, identity, int(orphan["outcome"]), end_s, now_s)

    def _grow(self) -> None:
        """Double what the next event might find too small."""
        self._use(more_room(self.state))

    # ---- rows on their way out -----------------------------------------------------------

    def _drain(self) -> None:
        """Hand every filled row on."""
        whole, state = self.state.all[0], self.state
        self.recorder.request_rows(state.out[: int(whole["rows"])])
        self._drain_decisions()
        for row in state.iteration[: int(whole["iterations"])]:
            self._write_iteration(row)
        whole["rows"] = whole["iterations"] = 0
        self._drain_power()

    def _drain_decisions(self) -> None:
        whole = self.state.all[0]
        for log in self.state.decision[: int(whole["decisions"])]:
            self._write_decision(log)
        whole["decisions"] = 0

    def _drain_power(self) -> None:
        count, power = self.state.power.count[0], self.state.power
        if count["power_rows"]:
            self.recorder.power_rows(power.power_row[: int(count["power_rows"])])
        if count["minute_rows"]:
            self.recorder.minute_rows(power.minute_row[: int(count["minute_rows"])])
        if count["over_rows"]:
            self.recorder.over_rows(power.over_row[: int(count["over_rows"])])
        count["power_rows"] = count["minute_rows"] = count["over_rows"] = 0

    def _write_iteration(self, row: Records) -> None:
        self.recorder.iteration(
            int(row["replica"]), float(row["start_s"]), float(row["end_s"]), int(row["decodes"]),
            int(row["prefill_tokens"]), int(row["kv_tokens"]), int(row["waiting"]),
            int(row["draw_mw"]) / 1000,
        )  # fmt: skip

    def _write_gaps(self) -> None:
        for workload, counts in enumerate(self.state.gaps):
            bins = np.flatnonzero(counts)
            self.recorder.gaps(
                workload, bins + layout.GAP_LOW * layout.GAPS_PER_OCTAVE, counts[bins]
            )

    def _end_unfinished(self) -> None:
        """Rows of the requests in flight, by id."""
        requests = self.state.request
        alive = np.flatnonzero((requests["state"] != layout.FREE) & (requests["cancelled"] == 0))
        alive = self._without_doubles(alive)
        for slot in alive[np.argsort(requests["id"][alive])]:
            if self.state.all[0]["rows"] >= len(self.state.out):
                self._drain()
            control.end_unfinished(self._table, int(slot))

    def _stand_still(self) -> None:
        whole = self.state.all[0]
        raise turned_away_for_ever(
            float(whole["fault_s"]),
            self.world.scenario.workloads[int(whole["faulty"])].name,
            OUTCOMES[int(whole["fault_outcome"])],
        )

    def _stuck(self) -> None:
        whole = self.state.all[0]
        raise nobody_admitted(float(whole["fault_s"]), int(whole["faulty"]))

    # ---- meters --------------------------------------------------------------------------

    def _start_power(self) -> None:
        """At time 0: replicas idle, every other GPU parked."""
        scenario, state = self.world.scenario, self.state
        idle_mw = state.cost["idle_mw"][state.replica["cost"]]
        state.replica["draw_mw"] = idle_mw
        state.replica["total_mw"] = idle_mw * state.replica["gpus"]
        tree.start(state.power, np.array(idle_gpu_mw(scenario.site, self.world.replicas)))
        tree.warm_up(state.power, 0.0)

    def _read_windowed(self) -> dict[str, NDArray[Any]]:
        """Copies of what a window cuts out, as it stands now."""
        replicas = {name: self.state.replica[name].copy() for name in WINDOWED}
        return replicas | {f"workload_{n}": self.state.workload[n].copy() for n in CHARGED}


#: What ``advance`` returned → what to do before it goes on. Not bound to a plane: a plane that
#: referred to itself would keep its arrays until the garbage collector comes by.
ANSWERS: dict[int, Callable[[CompiledPlane], None]] = {
    layout.ROOM: CompiledPlane._drain,
    layout.GROW: CompiledPlane._grow,
    layout.CHUNK: CompiledPlane._feed_hungry,
    layout.ORPHANS: CompiledPlane._feed_orphans,
    layout.ROUTE: CompiledPlane._route,
    layout.STANDSTILL: CompiledPlane._stand_still,
    layout.STUCK: CompiledPlane._stuck,
    layout.PARKED: CompiledPlane._park,
    layout.MOVES: CompiledPlane._take_moves,
    layout.HAND_OVER: CompiledPlane._hand_over,
    layout.BETWEEN: CompiledPlane._leave,
}
