"""The reference serving plane: SimPy, one event per iteration; the executable specification.

Events at equal times run in the order power (a breaker or UPS at its limit: handed back to the
control plane), time-out and cancellation, arrival, iteration boundary; then
by id (of the request, of the replica). What one of them creates for the same instant takes its
place in that order among what is still pending.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from simpy.events import Event

from sim.check.scenario import Pool
from sim.engine.arbiter import (
    Refusal,
    checked_positions,
    decision,
    first_that_holds,
    queue_full,
    routing_rows,
    too_large,
    turned_away_for_ever,
)
from sim.engine.arrivals import Feed, follows_at
from sim.engine.batcher import blocks_for
from sim.engine.environment import ARRIVAL, TIME_OUT, OrderedEnvironment
from sim.engine.handover import Move
from sim.engine.idle import idle_gpu_mw
from sim.engine.limits import Limits
from sim.engine.meter_tables import write_meters
from sim.engine.meters import WorkloadMeters
from sim.engine.plane import Stop
from sim.engine.power_meter import PowerMeter, TreeControl
from sim.engine.power_places import power_places
from sim.engine.recorder import Recorder
from sim.engine.reference_handover import Handover
from sim.engine.reference_meters import readings
from sim.engine.reference_pools import PoolState
from sim.engine.reference_replicas import ReplicaControl
from sim.engine.reference_senders import Senders
from sim.engine.replica import Replica
from sim.engine.replica_run import RunningReplica
from sim.engine.request import PREFILLS, WHOLE, Request
from sim.engine.retries import Retries
from sim.engine.world import PlacedReplica, World

#: Outcomes that take no time by themselves.
TURNED_AWAY = ("never-fits", "queue-full", "shed", "failed")
#: How often a workload's clients may be turned away and return at one instant.
MOST_RETURNS = 100_000


class ReferencePlane(Handover, TreeControl, ReplicaControl, Senders):
    """Implements ``engine.plane.ServingPlane`` (see there) and ``engine.observer.Observer``."""

    def __init__(self, world: World, recorder: Recorder) -> None:
        scenario = world.scenario
        self.world = world
        self.recorder = recorder
        self.env = OrderedEnvironment()
        self.workloads = scenario.workloads
        self.duration_s = scenario.duration_s
        self.record_iterations = scenario.record_iterations
        self.placed = list(world.replicas)
        self.replicas = [
            self._replica(index, placed, scenario.pools[placed.pool])
            for index, placed in enumerate(world.replicas)
        ]
        by_pool: list[list[Replica]] = [[] for _ in scenario.pools]
        for replica, placed in zip(self.replicas, world.replicas, strict=True):
            by_pool[placed.pool].append(replica)
        self.pools = [
            PoolState(pool, replicas, world, power_places(world, index, world.replicas))
            for index, (pool, replicas) in enumerate(zip(scenario.pools, by_pool, strict=True))
        ]
        pool_index = {pool.name: index for index, pool in enumerate(scenario.pools)}
        for state in self.pools:
            if state.pool.decode is not None:
                state.decodes_in(pool_index[state.pool.decode.pool], self.pools)
        self.pool_of = [pool_index[workload.pool] for workload in scenario.workloads]
        self.feeds = [Feed(source, index) for index, source in enumerate(world.sources)]
        self.retries = [Retries(world.seed, workload) for workload in scenario.workloads]
        self.paths = [workload.path for workload in scenario.workloads]
        self.live: dict[int, Request] = {}
        self.moves: list[Move] = []
        self.has_parked = False
        self.coming = {}
        self.returns = [(0.0, 0)] * len(scenario.workloads)  # (instant, returns at once)
        self.power = PowerMeter(scenario.site, scenario.power, recorder.power, recorder.over)
        self.limits = Limits(scenario.power)
        self.charges = WorkloadMeters(len(scenario.workloads), len(self.replicas))
        self.gpu_mw = [0] * len(self.replicas)
        self._start_power()
        for workload in range(len(self.feeds)):
            self._schedule_next(workload)

    def _replica(self, index: int, placed: PlacedReplica, pool: Pool) -> Replica:
        return Replica(
            index, placed.model, pool.batching, self.env, self, prefix_cache=pool.prefix_cache,
            spans=self.world.spans(placed),
        )  # fmt: skip

    # ---- the serving plane's interface ---------------------------------------------------

    def advance(self, until_s: float) -> Stop:
        """Handle every event strictly before ``until_s``."""
        while True:
            if self.moves:
                moves, self.moves = tuple(self.moves), []
                return Stop("moves", moves[0].time_s, moves)
            if self.has_parked:
                self.has_parked = False
                return Stop("parked", self.env.now)
            if min(self.env.peek(), self.power.guards.due_s) >= until_s:
                return Stop("done", until_s)
            if self.power.guards.due_s <= self.env.peek():
                return Stop("power", self.power.guards.due_s)
            self.env.step()

    def set_clocks(self, replicas: Sequence[int], level: int, time_s: float) -> None:
        """Lock the clocks of replicas to a level at ``time_s``."""
        for index in replicas:
            self.replicas[index].set_clock(level, time_s)

    def set_caps(self, replicas: Sequence[int], cap_mw: int | None, time_s: float) -> None:
        """Cap what each GPU of replicas draws."""
        for index in replicas:
            self.replicas[index].set_cap(cap_mw, time_s)

    def set_admission(self, replica: int, admits: bool, held_mw: int | None, time_s: float) -> None:
        """Let a replica admit requests, or hold those that wait."""
        self.replicas[replica].set_admission(admits, held_mw, time_s)

    def is_busy(self, replica: int) -> bool:
        """Whether a replica is in an iteration."""
        return self.replicas[replica].batch is not None

    def judged_mj(self, time_s: float) -> NDArray[np.float64]:
        """[nodes] energy of what is judged up to ``time_s``."""
        return np.array([node.judged_mj(time_s) for node in self.power.nodes])

    def peek(self) -> float:
        """Time of the next event, inf when nothing is pending."""
        return float(self.env.peek())

    def in_flight(self) -> int:
        """Requests that have reached their pool and not ended."""
        return len(self.live)

    def _each_integral(self, act: Callable[[Any], None]) -> None:
        for replica in self.replicas:
            for integral in replica.meters.integrals():
                act(integral)

    def open_window(self, time_s: float) -> None:
        """The measurement window starts at ``time_s``."""
        self._each_integral(lambda integral: integral.open_window(time_s))
        self.power.open_window(time_s)
        self.limits.open_window(time_s)
        self.charges.open_window(time_s)

    def close_window(self, time_s: float) -> None:
        """The measurement window ends at ``time_s``."""
        self._each_integral(lambda integral: integral.close_window(time_s))
        self.power.close_window(time_s)
        self.limits.close_window()
        self.charges.close_window(time_s)

    def finish(self, time_s: float) -> None:
        """The run ends at ``time_s``: what was sent and has not ended is unfinished."""
        self.take_senders(time_s)
        for identity in sorted(self.live):
            self.recorder.request(self.live[identity], "unfinished", None)
        self.live.clear()
        self.power.finish(time_s)
        write_meters(
            self.recorder,
            self.world,
            self.placed,
            readings([replica.meters for replica in self.replicas], self.charges, self.power),
            self.limits,
            time_s,
        )

    # ---- arrivals ------------------------------------------------------------------------

    def _enter(self, request: Request, now_s: float) -> None:
        """A request reaches its pool, for the first time or again.

        That its client has gone takes as long to get here as any word does.
        """
        request.pool = self.pool_of[request.workload]
        parts = self.pools[request.pool].decode is not None and request.output_tokens > 0
        request.role = PREFILLS if parts else WHOLE
        gone_s = request.cancel_s + self.paths[request.workload].egress_s
        if gone_s < now_s:
            self._end(request, "cancelled", now_s)
            return
        refused = self._route(request, now_s)
        if refused is not None:
            self._end(request, refused, now_s)
            return
        timeout_s = self.workloads[request.workload].timeout_s
        if timeout_s < math.inf:
            self._set_alarm(request, now_s + timeout_s, 2 * request.identity, self._time_out)
        self._set_cancel(request)

    def _set_cancel(self, request: Request) -> None:
        gone_s = request.cancel_s + self.paths[request.workload].egress_s
        if gone_s < math.inf:
            self._set_alarm(request, gone_s, 2 * request.identity + 1, self._cancel)

    def _set_alarm(
        self, request: Request, at_s: float, order: int, act: Callable[[Request, float], None]
    ) -> None:
        event = self.env.at(at_s, TIME_OUT, order)
        event.callbacks = [lambda _: act(request, at_s)]

    def _time_out(self, request: Request, now_s: float) -> None:
        """The server gives up on a request that was never admitted."""
        if not request.ended and not request.admitted:
            self._withdraw(request, "timed-out", now_s)

    def _cancel(self, request: Request, now_s: float) -> None:
        """The pool learns that the client has gone, wherever the request is."""
        if not request.ended:
            twin = request.twin if request.role == PREFILLS else None
            self._withdraw(twin or request, "cancelled", now_s)

    def _withdraw(self, request: Request, outcome: str, now_s: float) -> None:
        self._withdraw_move(request, now_s)
        self.replicas[request.replica].withdraw(request, now_s)
        self._let_go(request, now_s)
        self._settle(request)
        self._end(request, outcome, now_s)

    # ---- routing -------------------------------------------------------------------------

    def _route(self, request: Request, now_s: float) -> str | None:
        """Send a request to a replica; returns the outcome if it is refused."""
        state = self.pools[request.pool]
        impossible = state.never_fits(request)
        if impossible is not None:
            who = str(request.identity)
            self.recorder.decision(
                decision(now_s, "routing", state.router_kind, who, 0, "", impossible)
            )
            return "never-fits"
        view = state.view(request, now_s, self.workloads[request.workload].objectives.ttft_s)
        suggestions = state.router.decide(view, state.router_state, state.rng)
        checked = checked_positions(suggestions, len(state.replicas), now_s, state.router_kind)
        # A gateway takes replicas that are down out of rotation: nobody is asked, nothing logged.
        positions = (position for position in checked if not state.replicas[position].shut)
        accepted, refusals = first_that_holds(
            positions, lambda position: self._refuse(state, position, request, now_s)
        )
        for row in routing_rows(now_s, state.router_kind, request.identity, refusals, accepted):
            self.recorder.decision(row)
        if accepted is None:
            return "queue-full" if refusals else "failed"
        self._dispatch(request, state, accepted[1], now_s)
        return None

    def _refuse(
        self, state: PoolState, position: int, request: Request, now_s: float
    ) -> Refusal | None:
        """Whether a replica can take a request; with ``shed: oldest`` it makes room by itself."""
        replica = state.replicas[position]
        blocks = blocks_for(request.kv_tokens)
        if blocks > replica.model.kv_blocks:
            return too_large(blocks, replica.model.kv_blocks)
        limit = state.pool.max_queue
        if limit is None or len(replica.batcher.waiting) < limit:
            return None
        if state.pool.shed == "oldest":
            victim = replica.batcher.waiting.oldest_to_shed(request.priority)
            if victim is not None:
                self._withdraw(victim, "shed", now_s)
                return None
        return queue_full(limit)

    def _dispatch(self, request: Request, state: PoolState, position: int, now_s: float) -> None:
        request.position = position
        request.replica = state.replicas[position].index
        state.dispatched(request, now_s)
        state.replicas[position].enqueue(request, now_s)

    def _end(self, request: Request, outcome: str, now_s: float) -> None:
        """The one place where a request gets its outcome; its followers are sent from here."""
        request.ended = True
        path = self.paths[request.workload]
        end_s = now_s + path.egress_s  # its client learns of it
        if self._sends_again(request, outcome, end_s):
            return
        if request.cancel_s < end_s:  # … or would, but has gone
            outcome, end_s = "cancelled", request.cancel_s
        del self.live[request.identity]
        self.recorder.request(request, outcome, end_s)
        for row in self.feeds[request.workload].followers(request.row):
            sent_s = follows_at(row, end_s)
            if sent_s + path.ingress_s == now_s and outcome in TURNED_AWAY:
                self._return_at_once(request.workload, outcome, now_s)
            if sent_s < self.duration_s:
                self._schedule(request.workload, row, sent_s)

    def _sends_again(self, request: Request, outcome: str, end_s: float) -> bool:
        """Whether the client, who learns at ``end_s`` that there is no answer, sends it again."""
        retries = self.retries[request.workload]
        sent_s = retries.next_s(request.identity, request.attempt, outcome, end_s)
        if sent_s is None or request.cancel_s <= sent_s:  # nobody waits for an answer by then
            return False
        self.recorder.attempt(request, outcome, end_s)
        again = self.live[request.identity] = request.again(sent_s)

        def arrive(_: Event) -> None:
            again.away = False
            self._enter(again, self.env.now)

        at_s = sent_s + self.paths[request.workload].ingress_s
        self.env.at(at_s, ARRIVAL, again.identity).callbacks = [arrive]
        return True

    def _return_at_once(self, workload: int, outcome: str, now_s: float) -> None:
        """A client that was turned away sends its next request at this very instant.

        Raises:
            SimulationError: this goes on without end, as with a full queue and no think time.
        """
        instant_s, returns = self.returns[workload]
        returns = returns + 1 if instant_s == now_s else 1
        self.returns[workload] = (now_s, returns)
        if returns > MOST_RETURNS:
            raise turned_away_for_ever(now_s, self.workloads[workload].name, outcome)

    # ---- what replicas report ------------------------------------------------------------

    def first_token(self, request: Request, time_s: float) -> None:
        """The prompt is no longer outstanding."""
        self.charges.delivered[request.workload] += request.delivered
        self.pools[request.pool].first_token(request, time_s)

    def complete(self, request: Request, time_s: float) -> None:
        """All tokens are delivered."""
        self._settle(request)
        self._end(request, "completed", time_s)

    def token_gap(self, workload: int, gap_s: float, tokens: int) -> None:
        """Count gaps between tokens, and the tokens that end them."""
        self.charges.delivered[workload] += tokens
        self.recorder.token_gap(workload, gap_s, tokens)

    def iteration(self, replica: RunningReplica, end_s: float) -> None:
        """Write an iteration down, if asked to."""
        if self.record_iterations and replica.batch is not None:
            batch = replica.batch
            self.recorder.iteration(
                replica.index, replica.start_s, end_s, batch.decodes, batch.tokens - batch.decodes,
                replica.batcher.kv_tokens(), len(replica.batcher.waiting), replica.draw_mw / 1000,
            )  # fmt: skip

    # ---- power ---------------------------------------------------------------------------

    def _start_power(self) -> None:
        """At time 0: replicas idle, every other GPU parked."""
        for index, placed in enumerate(self.world.replicas):
            idle_mw = placed.model.power[0].idle_mw
            self.gpu_mw[index] = idle_mw
            self.replicas[index].meters.draw.set(idle_mw * len(placed.gpus), 0.0)
        self.power.start(idle_gpu_mw(self.world.scenario.site, self.world.replicas))
        self.power.guards.warm_up()

    def draw(
        self, replica: int, gpu_mw: int, shares: Sequence[tuple[int, float]], time_s: float
    ) -> None:
        """A replica's GPUs change their draw; the change walks up the electrical graph."""
        placed = self.placed[replica]
        total_mw = gpu_mw * len(placed.gpus)
        self.charges.set(replica, total_mw, shares, time_s)
        delta_mw = gpu_mw - self.gpu_mw[replica]
        if delta_mw == 0:
            return
        self.gpu_mw[replica] = gpu_mw
        self.replicas[replica].meters.draw.set(total_mw, time_s)
        for server, gpus in placed.servers:
            self.power.change(server, gpus * delta_mw, time_s)
