"""What really happens in random cases: a reference plane that is watched while it serves one.

A generator rots in silence: a change of costs, and nobody is preempted any more. So the features
that tell engines apart are counted by case, and a test holds the counts above floors.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any
from unittest.mock import patch

from simpy.events import Event

from sim.engine.arrivals import Row
from sim.engine.plane import Stop
from sim.engine.recorder import Recorder
from sim.engine.reference import ReferencePlane
from sim.engine.replica import Replica
from sim.engine.request import Request
from sim.engine.run import ENGINES
from sim.engine.world import World
from sim.results.bins import gap_bin
from tests.property.engine_pair import Outcome, serve_case
from tests.property.random_cases import Case

#: A run of so many decode iterations (or chunks) is one that a leaping engine takes at once.
LONG_RUN, LONG_CHUNKS = 12, 3


def count_features(cases: Iterable[Case], kind: type[WatchedPlane] | None = None) -> Counter[str]:
    """In how many of ``cases`` each feature happened, as a plane of this ``kind`` sees them."""
    counts: Counter[str] = Counter()
    for case in cases:
        counts.update(features_of(case, kind or WatchedPlane))
    return counts


def features_of(case: Case, kind: type[WatchedPlane]) -> set[str]:
    """The features of one case."""
    return watched(case, kind)[1]


def watched(case: Case, kind: type[WatchedPlane]) -> tuple[Outcome, set[str]]:
    """What a reference plane did with a case, and the features of it."""
    planes: list[WatchedPlane] = []

    def watch(world: World, recorder: Recorder) -> WatchedPlane:
        planes.append(kind(world, recorder))
        return planes[-1]

    with patch.dict(ENGINES, {"watched": watch}):
        outcome = serve_case(case, "watched")
    return outcome, planes[0].features | features_of_rows(case, outcome)


def features_of_rows(case: Case, outcome: Outcome) -> set[str]:
    """What the rows of a run show."""
    found = {f"outcome {row['outcome']}" for row in outcome.tables.get("requests", [])}
    for row in outcome.tables.get("requests", []):
        if row["preemptions"] > 1:
            found.add("preempted twice")
        if row["prefix_hit_tokens"]:
            found.add("prefix hits")
        if row["outcome"] == "timed-out" and row["end_s"] == row["arrival_s"]:
            found.add("time-out shorter than a float's step")
        if row["met"]:
            found.add("objectives met")
        if row["outcome"] == "completed" and not row["met"]:
            found.add("objectives missed")
        if row["output_tokens"] == 0 and row["outcome"] == "completed":
            found.add("no output tokens")
    for row in outcome.tables.get("decisions", []):
        if row["role"] == "routing":
            found.add(f"routing {row['reason_code'] or 'to another than the first'}")
            if "(+" in row["suggestion"]:
                found.add("routing refused by several alike")
    for row in outcome.tables.get("power_nodes", []):
        if (row["over_limit_s"] or 0.0) > 0.0:
            found.add("power over a limit")
    gpus: dict[str, set[str]] = {}
    for row in outcome.tables.get("replicas", []):
        gpus.setdefault(row["pool"], set()).add(row["gpu"])
        for reason in ("blocks", "sequences", "tokens"):
            if row[f"blocked_{reason}_s"] > 0:
                found.add(f"head blocked by {reason}")
    if any(len(kinds) > 1 for kinds in gpus.values()):
        found.add("two GPU types in a pool")
    if outcome.error:
        found.add("stopped by an error")
    if case.by_run:
        found.add("by run, in steps" if case.progress else "by run")
    return found


class WatchedPlane(ReferencePlane):
    """Notes what happens; its rows are those of any reference plane."""

    def __init__(self, world: World, recorder: Recorder) -> None:
        self.features: set[str] = set()
        self.boundary = (-1.0, -1)  # the last one: time, replica
        self.ended = (-1.0, -1)  # the last completion: time, replica
        self.ends: dict[int, float] = {}  # when each request ended, by id
        self.changed = (-1.0, -1)  # the last clock change: time, replica
        self.preempted: Counter[int] = Counter()  # so far, by replica
        self.cached: Counter[int] = Counter()  # entries of the prefix cache, by replica
        self.stopped: dict[int, tuple[float, int]] = {}  # arrivals in a run: its anchor and step
        self.closed: set[int] = set()  # replicas whose static batch is closed
        super().__init__(world, recorder)

    def note(self, **found: Any) -> None:
        """Keep the names of what is true."""
        self.features.update(name.replace("_", " ") for name, true in found.items() if true)

    # ---- the control plane ---------------------------------------------------------------

    def advance(self, until_s: float) -> Stop:
        """Looks at planes in the midst of runs."""
        stop = super().advance(until_s)
        for replica in self.replicas:
            if replica.batch is not None:
                self.note(
                    look_in_a_run=replica.steps > 0,
                    look_at_a_boundary=replica.end_s == until_s,
                    look_beside_a_boundary=beside(replica, until_s),
                )
        return stop

    def open_window(self, time_s: float) -> None:
        """The window opens."""
        self._note_window(time_s)
        super().open_window(time_s)

    def close_window(self, time_s: float) -> None:
        """The window closes."""
        self._note_window(time_s)
        super().close_window(time_s)

    def _note_window(self, time_s: float) -> None:
        for replica in self.replicas:
            if replica.batch is not None and time_s < self.world.horizon_s:
                self.note(
                    window_cuts_an_iteration=replica.start_s < time_s < replica.end_s,
                    window_at_a_boundary=time_s in (replica.start_s, replica.end_s),
                )

    def set_clocks(self, replicas: Sequence[int], level: int, time_s: float) -> None:
        """Clock changes."""
        for index in replicas:
            replica = self.replicas[index]
            if replica.level == level:
                self.note(clock_set_to_what_it_is=True)
                continue
            self.note(clock_change_again_at_once=self.changed == (time_s, index))
            self.changed = (time_s, index)
            if replica.batch is None:
                self.note(clock_change_at_rest=True)
                continue
            chunked = len(replica.batcher.chunks) == 1 and not replica.batcher.decodes
            self.note(
                clock_change_in_an_iteration=replica.start_s < time_s < replica.end_s,
                clock_change_at_a_boundary=time_s == replica.end_s,
                clock_change_beside_a_boundary=beside(replica, time_s),
                clock_change_in_a_run=replica.steps > 0,
                clock_change_in_a_growing_run=replica.steps > 0 and replica.growth_s > 0,
                clock_change_in_a_run_of_chunks=replica.steps > 0 and chunked,
                clock_change_with_prefill_and_decodes=replica.batcher.chunks
                and replica.batcher.decodes,
            )
        super().set_clocks(replicas, level, time_s)

    def set_caps(self, replicas: Sequence[int], cap_mw: int | None, time_s: float) -> None:
        """Caps."""
        before = [self.replicas[index].level for index in replicas]
        super().set_caps(replicas, cap_mw, time_s)
        for index, level in zip(replicas, before, strict=True):
            replica = self.replicas[index]
            self.note(
                cap_slows_an_iteration=replica.level > level,
                cap_lifted_in_an_iteration=replica.level < level,
                cap_changes_nothing=replica.level == level and replica.batch is not None,
            )

    def set_admission(self, replica: int, admits: bool, held_mw: int | None, time_s: float) -> None:
        """Holds, and their end."""
        one = self.replicas[replica]
        waits = bool(one.batcher.waiting)
        self.note(
            hold_while_somebody_waits=not admits and waits,
            hold_that_unloads_at_rest=held_mw is not None and one.batch is None,
            hold_that_unloads_later=held_mw is not None and one.batch is not None,
            admission_wakes_a_replica=admits and waits and one.batch is None,
            admission_in_a_run=admits and waits and one.batch is not None,
        )
        super().set_admission(replica, admits, held_mw, time_s)

    # ---- caps at the start of a run ------------------------------------------------------

    def draw(
        self, replica: int, gpu_mw: int, shares: Sequence[tuple[int, float]], time_s: float
    ) -> None:
        """Whether a cap chose the clock."""
        one = self.replicas[replica]
        if one.batch is not None and one.cap_mw is not None:
            self.note(
                cap_below_every_level=gpu_mw > one.cap_mw,
                cap_met_exactly=gpu_mw == one.cap_mw,
                run_slowed_by_a_cap=one.level > one.lock and gpu_mw <= one.cap_mw,
                run_slowed_by_cap_and_lock=one.level > one.lock > 0,
            )
        super().draw(replica, gpu_mw, shares, time_s)

    # ---- arrivals and ends ---------------------------------------------------------------

    def _on_arrival(self, workload: int, row: Row, event: Event) -> None:
        before = len(self.live)
        super()._on_arrival(workload, row, event)
        now_s, follows = self.env.now, math.isnan(row.arrival_s)
        self.note(follower=follows)
        if len(self.live) <= before:
            return
        replica = self.replicas[next(reversed(self.live.values())).replica]
        if replica.batch is None:
            self.note(several_wake_a_replica=len(replica.batcher.waiting) > 1)
            return
        self.stopped[replica.index] = (replica.anchor_s, replica.steps)
        at_once = follows and now_s == self.ended[0]
        lower, higher = replica.index < self.ended[1], replica.index > self.ended[1]
        self.note(
            arrival_at_a_boundary=replica.end_s == now_s,
            arrival_beside_a_boundary=beside(replica, now_s),
            follower_at_once=at_once,
            follower_at_once_before_a_boundary=at_once and higher and replica.end_s == now_s,
            follower_at_once_after_a_boundary=at_once and lower and replica.start_s == now_s,
        )

    def _withdraw(self, request: Request, outcome: str, now_s: float) -> None:
        replica = self.replicas[request.replica]
        queue = replica.batcher.waiting
        if request.waiting:
            self.note(
                shed_with_a_choice=outcome == "shed" and len(queue) > 1,
                head_gives_up_before_others=len(queue) > 1 and queue.head() is request
                and replica.batch is not None,
                gives_up_on_a_woken_replica=replica.batch is None,
                gives_up_at_a_boundary=replica.batch is not None and replica.end_s == now_s,
                cancelled_after_preemption=request.preemptions > 0,
            )  # fmt: skip
        else:
            decoding = request in replica.batcher.decoding
            self.note(
                cancelled_decoding=decoding,
                cancelled_in_prefill=not decoding,
                cancelled_before_its_last_token=decoding
                and request.delivered == request.output_tokens - 1,
                cancelled_at_a_boundary=replica.end_s == now_s,
            )
        super()._withdraw(request, outcome, now_s)

    def _end(self, request: Request, outcome: str, now_s: float) -> None:
        self.ends[request.identity] = now_s
        super()._end(request, outcome, now_s)

    def _cancel(self, request: Request, now_s: float) -> None:
        self.note(
            cancel_after_the_end=request.ended,
            cancel_and_end_at_once=self.ends.get(request.identity) == now_s,
        )
        super()._cancel(request, now_s)

    def _return_at_once(self, workload: int, outcome: str, now_s: float) -> None:
        super()._return_at_once(workload, outcome, now_s)
        self.note(turned_away_returns_at_once=True,
                  turned_away_again_at_once=self.returns[workload][1] > 1)  # fmt: skip

    # ---- replicas ------------------------------------------------------------------------

    def complete(self, request: Request, time_s: float) -> None:
        """Completions, several of one boundary."""
        self.note(several_end_at_a_boundary=self.ended == (time_s, request.replica))
        self.ended = (time_s, request.replica)
        super().complete(request, time_s)

    def iteration(self, replica: Replica, end_s: float) -> None:
        """An iteration ends; the batch is still as it was planned."""
        batcher = replica.batcher
        decodes, chunks = batcher.decodes, batcher.chunks
        last_s, last = self.boundary
        self.boundary = (end_s, replica.index)
        stop = self.stopped.get(replica.index)
        window, waiting = batcher.window, [r for _, r in batcher.waiting._items]
        gap_s = replica.first_s + (replica.steps - 1) * replica.growth_s
        lost = batcher.preemptions - self.preempted[replica.index]
        self.preempted[replica.index] = batcher.preemptions
        self.note(
            boundaries_tie=last_s == end_s and last != replica.index,
            stop_that_changes_nothing=stop is not None
            and stop[0] == replica.anchor_s and replica.steps > stop[1] + 1,
            long_run=not chunks and replica.steps >= LONG_RUN,
            long_growing_run=not chunks and replica.steps >= LONG_RUN and replica.growth_s > 0,
            long_run_of_chunks=len(chunks) == 1 and replica.steps >= LONG_CHUNKS,
            long_run_of_chunks_with_decodes=len(chunks) == 1 and replica.steps >= LONG_CHUNKS
            and decodes,
            run_over_bins=decodes and gap_bin(replica.first_s) != gap_bin(gap_s),
            prefill_and_decodes=chunks and decodes,
            prompts_together=len(chunks) > 1,
            decodes_stand_by=chunks and batcher.decoding and not decodes,
            decode_crosses_the_window=any(r.context + 1 == window for r in decodes),
            chunk_crosses_the_window=any(regime > 0 for regime in batcher.window_regimes()),
            preemption=lost > 0,
            several_preempted_at_a_boundary=lost > 1,
            prefill_preempted=any(r.preemptions and not r.delivered for r in waiting),
            recompute_of_delivered_tokens=any(r.delivered for r, _ in chunks),
            workloads_share_a_batch=len({r.workload for r in decodes}) > 1,
            cached_blocks_evicted=len(batcher.cache) < self.cached[replica.index],
            prefix_shared_by_running=batcher.cache.repeated_tokens > 0,
            preempted_before_others=lost > 0 and len(batcher.waiting) > lost,
        )  # fmt: skip
        self.cached[replica.index] = len(batcher.cache)
        self._note_static(replica)
        super().iteration(replica, end_s)

    def _note_static(self, replica: Replica) -> None:
        if replica.batcher.mode != "static":
            return
        if replica.batcher.serves_decodes:
            self.closed.add(replica.index)
        elif replica.index in self.closed:
            self.note(static_batch_after_another=True)


def beside(replica: Replica, time_s: float) -> bool:
    """Whether ``time_s`` is one float from a boundary of the replica."""
    return time_s in (
        math.nextafter(replica.end_s, -math.inf),
        math.nextafter(replica.end_s, math.inf),
        math.nextafter(replica.start_s, math.inf),
    )
