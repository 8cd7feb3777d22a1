"""Routing of the compiled engine: what policies of Python decide, and what kernels have decided."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sim.check.scenario import Pool
from sim.engine.arbiter import (
    Refusal,
    Refused,
    beyond_capacity,
    beyond_context,
    checked_positions,
    first_that_holds,
    queue_full,
    routing_rows,
    too_large,
)
from sim.engine.batcher import blocks_for
from sim.engine.prefix_arrays import ids_of
from sim.engine.recorder import Recorder
from sim.engine.sessions import Sessions
from sim.engine.world import World
from sim.kernels import between, control, layout
from sim.kernels.layout import NONE
from sim.kernels.state import Ints, Records, State
from sim.policies.base import PowerPlaces, RoutingView, kind_of
from sim.rng import KeyedBits


class Decisions:
    """The part of the compiled plane that asks routing policies and writes decisions down."""

    state: State
    world: World
    recorder: Recorder
    _table: Ints
    _routers: list[tuple[Pool, Any, KeyedBits, PowerPlaces]]
    _sessions: Sessions

    _drain_decisions: Callable[[], None]  # write down what kernels have decided so far

    def _route(self) -> None:
        """A routing policy without a compiled form decides about the request that just arrived."""
        self._drain_decisions()  # those before this one
        state = self.state
        slot = int(state.all[0]["asked"])
        request = state.request[slot]
        number = int(state.all[0]["asked_pool"])
        pool, router_state, rng, places = self._routers[number]
        first, count = int(state.pool[number]["first"]), int(state.pool[number]["replicas"])
        replicas = state.replica[first : first + count]
        now_s, identity = float(state.all[0]["asked_s"]), int(request["id"])
        view = RoutingView(
            time_s=now_s,
            request_id=identity,
            input_tokens=int(request["input_tokens"]),
            expected_output_tokens=int(request["output_tokens"]),
            priority=int(request["priority"]),
            replicas=count,
            outstanding_requests=tuple(replicas["outstanding_requests"].tolist()),
            outstanding_tokens=tuple(replicas["outstanding_tokens"].tolist()),
            prefix_ids=ids_of(state, slot),
            session=self._sessions.of(identity),
            ttft_objective_s=float(state.workload[int(request["workload"])]["ttft_s"]),
            outstanding_prompt_tokens=tuple(replicas["outstanding_prompt_tokens"].tolist()),
            served_prompt_tokens=tuple(replicas["served_prompt_tokens"].tolist()),
            serving_prompts_s=tuple(replicas["serving_prompts_s"].tolist()),
            power=places,
        )

        def refuse(position: int) -> Refusal | None:
            return self._refuse(pool, first + position, request, now_s)

        kind = kind_of(pool.routing)
        suggestions = pool.routing.decide(view, router_state, rng)
        checked = checked_positions(suggestions, count, now_s, kind)
        positions = (position for position in checked if not replicas[position]["shut"])
        accepted, refusals = first_that_holds(positions, refuse)
        for row in routing_rows(now_s, kind, identity, refusals, accepted):
            self.recorder.decision(row)
        if accepted is None and request["role"] == layout.DECODES:
            outcome = layout.QUEUE_FULL if refusals else layout.FAILED
            between.turn_back(self._table, outcome, now_s)
            return
        nobody = NONE if refusals else layout.NOBODY
        control.resume(self._table, nobody if accepted is None else accepted[1], now_s)

    def _refuse(self, pool: Pool, replica: int, request: Records, now_s: float) -> Refusal | None:
        """Whether a replica can take the asked request; ``shed: oldest`` makes room by itself."""
        record = self.state.replica[replica]
        tokens = int(request["input_tokens"])
        if request["role"] != layout.PREFILLS:
            tokens += max(int(request["output_tokens"]) - 1, 0)
        blocks = blocks_for(tokens)
        if blocks > record["kv_blocks"]:
            return too_large(blocks, int(record["kv_blocks"]))
        if pool.max_queue is None or record["waiting"] < pool.max_queue:
            return None
        if control.make_room(self._table, replica, int(request["priority"]), now_s):
            return None
        return queue_full(pool.max_queue)

    def _write_decision(self, log: Records) -> None:
        """The rows of a decision with refusals that the kernels took."""
        number = int(log["pool"])
        pool, amount = self.world.scenario.pools[number], int(log["amount"])
        refusals: list[Refused] = []
        if log["kind"] == layout.CONTEXT:
            refusals.append(Refused(0, NONE, 0, beyond_context(amount, pool.llm.llm)))
        elif log["kind"] == layout.DECODE_CAPACITY:
            most, other = int(self.state.pool[number]["decode_blocks"]), pool.decode
            name = "" if other is None else other.pool
            refusals.append(Refused(0, NONE, 0, beyond_capacity(amount, most, name)))
        elif log["kind"] == layout.KV_CAPACITY:
            most = int(self.state.pool[number]["most_blocks"])
            refusals.append(Refused(0, NONE, 0, beyond_capacity(amount, most)))
        else:
            refusals = self._refusals(number, amount, log)
        accepted = None if log["rank"] == NONE else (int(log["rank"]), int(log["position"]))
        for row in routing_rows(
            float(log["t_s"]), kind_of(pool.routing), int(log["id"]), refusals, accepted
        ):
            self.recorder.decision(row)

    def _refusals(self, number: int, blocks: int, log: Records) -> list[Refused]:
        """What replicas refused, by reason, in the order in which the reasons came up."""
        found = []
        pool = self.state.pool[number]
        if log["capacity_count"]:
            rank, position = int(log["capacity_rank"]), int(log["capacity_position"])
            replica = self.state.replica[int(pool["first"]) + position]
            why = too_large(blocks, int(replica["kv_blocks"]))
            found.append(Refused(rank, position, int(log["capacity_count"]), why))
        if log["full_count"]:
            rank, position = int(log["full_rank"]), int(log["full_position"])
            why = queue_full(int(pool["max_queue"]))
            found.append(Refused(rank, position, int(log["full_count"]), why))
        return sorted(found, key=lambda one: one.rank)
