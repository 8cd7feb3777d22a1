"""One replica of the reference engine: the times of its boundaries and what happens at each.

A *run* is a maximal sequence of iterations with the same plan and clock. Its anchor is the time of
its first boundary; the n-th boundary after it is at ``anchor + S(n)`` with
``S(n) = n·t1 + d·(0.5·n·(n−1))``: t1 is the first iteration's cost, d its growth per iteration.
This is one event per iteration, written to be read; a compiled engine must equal it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Generator
from typing import Any

from simpy.events import Event

from sim.engine.batcher import Batcher
from sim.engine.environment import BOUNDARY, OrderedEnvironment
from sim.engine.meters import ReplicaMeters
from sim.engine.observer import Observer
from sim.engine.request import PREFILLS, Request
from sim.errors import SimulationError
from sim.perf.step import Batch, ReplicaModel, StepCost
from sim.policies.base import BatchingPolicy


class RunningReplica:
    """Its state, its draw, and what happens at each of its boundaries: ``live`` is its process."""

    def __init__(
        self,
        index: int,
        model: ReplicaModel,
        batching: BatchingPolicy,
        env: OrderedEnvironment,
        observer: Observer,
        *,
        prefix_cache: bool = True,
        spans: bool = False,
    ) -> None:
        self.index = index
        self.model = model
        self.env = env
        self.observer = observer
        self.batcher = Batcher(
            batching, model.kv_blocks, model.cost[0].window, prefix_cache=prefix_cache
        )
        self.meters = ReplicaMeters()
        self.level = 0  # of the clock: the locked one, or lower where that keeps the cap
        self.lock = 0
        self.held = False  # nobody is to be admitted
        self.held_mw: int | None = None  # what each GPU then draws at rest; None: as ever
        self.spans = spans  # its stages talk over the network
        self.delay_s = 0.0  # of a token, because the network is in use
        self.next_delay_s = 0.0  # the same from the next iteration on
        self.cap_mw: int | None = None  # that one GPU should not draw more than
        self.down = False  # it serves nobody
        self.shut = False  # nobody is sent to it
        self.parks_mw: int | None = None  # once it has finished: down, each GPU drawing so much
        # The running iteration; ``batch`` is None while idle.
        self.batch: Batch | None = None
        self.start_s = 0.0
        self.end_s = 0.0
        self.draw_mw = 0  # of each GPU
        self.rest_s: float | None = None  # left of it, while nothing of it goes on
        self.gap_is_elapsed = False  # this iteration's token gap is not the run's formula
        # The run that it belongs to.
        self.plan: tuple[Any, ...] = ()
        self.anchor_s = 0.0
        self.first_s = 0.0  # t1
        self.growth_s = 0.0  # d
        self.steps = 0  # boundaries of this run behind us
        self.boundary: Event = env.event()
        env.process(self.live())

    @property
    def cost(self) -> StepCost:
        """The cost of an iteration at the present clock."""
        return self.model.cost[self.level]

    def count(self, time_s: float) -> None:
        """Bring the meters of waiting and running requests up to date."""
        self.meters.waiting.set(len(self.batcher.waiting), time_s)
        self.meters.running.set(self.batcher.running, time_s)

    def report_draw(self, time_s: float) -> None:
        """Tell the plane what each GPU draws from now on."""
        power = self.model.power[self.level]
        if self.batch is None:
            held = self.held_mw if self._unloaded else None
            self.draw_mw, shares = power.idle_mw if held is None else held, []
        else:
            decode_s, total_s = self.cost.phases_s(self.batch, self.delay_s)
            self.draw_mw = power.draw_mw(self.batch, decode_s, total_s)
            if self.rest_s is not None:
                self.draw_mw = power.idle_mw
            shares = self._shares(decode_s / total_s)
        self.observer.draw(self.index, self.draw_mw, shares, time_s)

    def _shares(self, decode_share: float) -> list[tuple[int, float]]:
        """Who the draw is charged to: decode by sequences, prefill by tokens."""
        decodes = self.batcher.decodes
        charged = {
            workload: decode_share * sequences / len(decodes)
            for workload, sequences in Counter(request.workload for request in decodes).items()
        }
        tokens = sum(chunk for _, chunk in self.batcher.chunks)
        for request, chunk in self.batcher.chunks:
            share = (1.0 - decode_share) * chunk / tokens
            charged[request.workload] = charged.get(request.workload, 0.0) + share
        return list(charged.items())

    def _level_within(self) -> int:
        """The clock level that lock and cap leave: the locked one without a cap or iteration."""
        if self.batch is None or self.cap_mw is None:
            return self.lock
        return self.model.level_within(self.batch, self.lock, self.cap_mw, self.delay_s)

    def _say_pace(self, tokens: int, time_s: float) -> None:
        """A run of iterations begins, of so many tokens each, or (0) the replica rests."""
        if self.spans:
            self.observer.paced(self.index, tokens, self.first_s, time_s)

    @property
    def _between(self) -> bool:
        """Whether KV of requests is to leave it or to come to it."""
        return bool(self.batcher.parting or self.batcher.incoming)

    @property
    def _unloaded(self) -> bool:
        """Whether it has dropped its LLM if it is without work."""
        drops = self.held and self.held_mw is not None and self.parks_mw is None
        return drops and not self._between

    def _unload(self) -> None:
        if self._unloaded:
            self.batcher.drop_cache(self.model.kv_blocks)

    def _go_down(self, gpu_mw: int, time_s: float) -> None:
        """It is empty, nothing is loaded, and each GPU draws ``gpu_mw``."""
        self.batcher.clear(self.model.kv_blocks)
        self.down, self.shut, self.parks_mw = True, True, None
        self.batcher.admits = not self.held
        if self.batch is not None:
            self._say_pace(0, time_s)
        self.batch, self.plan, self.level, self.rest_s = None, (), self.lock, None
        self.count(time_s)
        meters = self.meters
        for integral in (*meters.blocked, meters.kv_tokens, meters.busy, meters.cap_bound):
            integral.set(0.0, time_s)
        self.draw_mw = gpu_mw
        self.observer.draw(self.index, gpu_mw, [], time_s)

    def _park(self, gpu_mw: int, time_s: float) -> None:
        self._go_down(gpu_mw, time_s)
        self.observer.parked(self.index, time_s)

    # ---- the life of a replica -----------------------------------------------------------

    def live(self) -> Generator[Event, Any, None]:
        """One boundary after another: end the iteration, plan the next one."""
        while True:
            yield self.boundary
            now_s = self.env.now
            if self.batch is not None:
                self._end_iteration(now_s)
            self._plan(now_s)
            if self.batch is None:
                self.boundary = self.env.event()
            else:
                self.end_s = self.boundary_s(self.steps + 1)
                self.boundary = self.env.at(self.end_s, BOUNDARY, self.index)

    def boundary_s(self, n: int) -> float:
        """The time of the n-th boundary of this run, in exactly this order of operations."""
        return self.anchor_s + (n * self.first_s + self.growth_s * (0.5 * n * (n - 1)))

    def _end_iteration(self, now_s: float) -> None:
        self.steps += 1
        self.meters.iterations += 1
        self.observer.iteration(self, now_s)
        self.batcher.drop_leaving()
        if self.batcher.serves_decodes:
            self._deliver_decodes(now_s)
        self._advance_prefills(now_s)

    def _deliver_decodes(self, now_s: float) -> None:
        """Each decoding sequence delivers a token; those that are complete end, oldest first."""
        decoding = self.batcher.decoding
        later = [request for request in decoding if request.delivered > 0]
        if self.gap_is_elapsed:
            for request in later:
                self.observer.token_gap(request.workload, now_s - request.last_token_s, 1)
        else:
            gap_s = self.first_s + (self.steps - 1) * self.growth_s
            for workload, tokens in Counter(request.workload for request in later).items():
                self.observer.token_gap(workload, gap_s, tokens)
        for request in decoding:
            request.context += 1
            request.delivered += 1
            request.last_token_s = now_s
            if request.delivered == 1:
                self._first_token(request, now_s)
        complete = [request for request in decoding if request.delivered == request.output_tokens]
        self.meters.decode_tokens += len(decoding)
        for request in complete:
            self.batcher.leave_decoding(request)
            self.observer.complete(request, now_s)

    def _advance_prefills(self, now_s: float) -> None:
        """The chunks are in KV now; complete prefills deliver a token and join, oldest first."""
        for request, chunk in self.batcher.chunks:
            self.meters.prefill_tokens += chunk
            if request.cancelled:
                continue
            request.context += chunk
            if request.context == request.target:
                self.batcher.prefilling.remove(request)
                self._end_prefill(request, now_s)

    def _end_prefill(self, request: Request, now_s: float) -> None:
        self.batcher.share(request)
        if request.role == PREFILLS:
            self.batcher.hold(request)
            self.observer.prefilled(request, now_s)
            return
        if request.output_tokens > 0:
            if request.delivered > 0:
                # Recomputed after a preemption: the gap began when its last token came.
                self.observer.token_gap(request.workload, now_s - request.last_token_s, 1)
            request.delivered += 1
            request.last_token_s = now_s
        if math.isnan(request.first_token_s):
            self._first_token(request, now_s)
        if request.delivered >= request.output_tokens:
            self.batcher.free(request)
            self.observer.complete(request, now_s)
        else:
            self.batcher.join_decoding(request)

    def _first_token(self, request: Request, now_s: float) -> None:
        request.first_token_s = now_s
        self.observer.first_token(request, now_s)

    def _plan(self, now_s: float) -> None:
        batcher, meters = self.batcher, self.meters
        had_waited = self.batch is not None and bool(batcher.decoding)
        stalled = had_waited and not batcher.serves_decodes
        batcher.join_arrived()
        blocked = batcher.plan(now_s)
        for request in batcher.reserved:
            self.observer.reserved(request, now_s)
        meters.preemptions = batcher.preemptions
        self.count(now_s)
        for reason, integral in enumerate(meters.blocked):
            integral.set(float(reason == blocked), now_s)
        meters.kv_tokens.set(batcher.kv_tokens(), now_s)
        if batcher.idle:
            self._rest(now_s)
            return
        self.start_s = now_s
        self.batch = batcher.batch()
        if self.delay_s != self.next_delay_s:
            self.delay_s, self.plan = self.next_delay_s, ()
        # Sequences that stood by during others' prefill waited longer than this iteration lasts.
        self.gap_is_elapsed = stalled and batcher.serves_decodes
        plan = (
            batcher.serves_decodes,
            batcher.membership if batcher.serves_decodes else 0,
            batcher.growing(),
            [(request.identity, chunk) for request, chunk in batcher.chunks],
            batcher.window_regimes(),
        )
        if plan != self.plan:
            self.plan = plan
            self._anchor(now_s)
        for request, chunk in batcher.chunks:
            if request.role == PREFILLS and request.context + chunk == request.target:
                self.observer.last_part(request, now_s, self.boundary_s(self.steps + 1))

    def _anchor(self, now_s: float) -> None:
        """A new run starts here: its clock under the cap, its first cost, its growth, its draw."""
        if self.batch is None:
            raise AssertionError("a run needs a batch")
        self.level = self._level_within()
        self.meters.cap_bound.set(float(self.level != self.lock), now_s)
        cost, batcher = self.cost, self.batcher
        self.anchor_s, self.steps = now_s, 0
        self.first_s = cost.iteration_s(self.batch, self.delay_s)
        self._say_pace(self.batch.tokens, now_s)
        self.growth_s = (
            cost.per_kv_token_s * self.batch.decodes
            + cost.per_windowed_kv_token_s * batcher.growing()
        )
        if len(batcher.chunks) == 1:
            chunk = batcher.chunks[0][1]
            self.growth_s += cost.per_prefill_pair_s * (2 * chunk * chunk)
            if cost.window and batcher.window_regimes() == [-1]:
                self.growth_s += cost.per_windowed_prefill_pair_s * (2 * chunk * chunk)
        self.meters.busy.set(1.0, now_s)
        self.report_draw(now_s)

    def _rest(self, now_s: float) -> None:
        if self.batcher.waiting and self.batcher.admits and not self._between:
            raise SimulationError(
                now_s, f"replica {self.index}", "requests wait, nothing runs, nobody is admitted"
            )
        if self.batch is not None:
            self._say_pace(0, now_s)
        self.batch = None
        self.plan = ()
        self.level = self.lock
        self.meters.busy.set(0.0, now_s)
        self.meters.cap_bound.set(0.0, now_s)
        self._unload()
        if self.parks_mw is None or self._between:
            self.report_draw(now_s)
        else:
            self._park(self.parks_mw, now_s)
