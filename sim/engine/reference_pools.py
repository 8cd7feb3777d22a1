"""One pool of the reference engine: its replicas, and what its router knows of them."""

from __future__ import annotations

import math

from sim.check.scenario import Pool
from sim.engine.arbiter import Refusal, beyond_capacity, beyond_context
from sim.engine.batcher import blocks_for
from sim.engine.replica import Replica
from sim.engine.request import PREFILLS, Request
from sim.engine.world import World
from sim.policies.base import PowerPlaces, RoutingView, kind_of
from sim.rng import KeyedBits


class PoolState:
    """One pool at work: its replicas by position, and what its router knows of them."""

    def __init__(
        self, pool: Pool, replicas: list[Replica], world: World, places: PowerPlaces
    ) -> None:
        self.pool = pool
        self.replicas = replicas
        self.outstanding_requests = [0] * len(replicas)
        self.outstanding_tokens = [0] * len(replicas)
        self.outstanding_prompt_tokens = [0] * len(replicas)
        self.served_prompt_tokens = [0] * len(replicas)
        self.serving_prompts_s = [0.0] * len(replicas)
        self._prompts_since_s = [0.0] * len(replicas)
        self.places = places  # changes when a replica moves
        self.router = pool.routing
        self.router_kind = kind_of(pool.routing)
        self.router_state = pool.routing.new_state()
        self.rng = KeyedBits(world.seed, f"policy/routing/{pool.name}")
        self.most_blocks = world.most_blocks(pool)
        self.decode: int | None = None  # the pool that decodes what this one prefills
        self.decode_name, self.decode_blocks = "", self.most_blocks
        self.by_layer = pool.decode is not None and pool.decode.by_layer

    def decodes_in(self, pool: int, pools: list[PoolState]) -> None:
        """Another pool decodes what this one prefills."""
        self.decode = pool
        self.decode_name, self.decode_blocks = pools[pool].pool.name, pools[pool].most_blocks

    def view(self, request: Request, now_s: float, ttft_objective_s: float | None) -> RoutingView:
        """What the router sees of a request and of its replicas."""
        return RoutingView(
            time_s=now_s,
            request_id=request.identity,
            input_tokens=request.input_tokens,
            expected_output_tokens=request.output_tokens,
            priority=request.priority,
            replicas=len(self.replicas),
            outstanding_requests=tuple(self.outstanding_requests),
            outstanding_tokens=tuple(self.outstanding_tokens),
            prefix_ids=request.prefix_ids,
            session=request.session,
            ttft_objective_s=math.inf if ttft_objective_s is None else ttft_objective_s,
            outstanding_prompt_tokens=tuple(self.outstanding_prompt_tokens),
            served_prompt_tokens=tuple(self.served_prompt_tokens),
            serving_prompts_s=tuple(self.serving_prompts_s),
            power=self.places,
        )

    def dispatched(self, request: Request, now_s: float) -> None:
        """A request is its replica's."""
        position = request.position
        if not self.outstanding_prompt_tokens[position]:
            self._prompts_since_s[position] = now_s
        self.outstanding_requests[position] += 1
        self.outstanding_tokens[position] += sum(request.outstanding)
        self.outstanding_prompt_tokens[position] += request.outstanding[0]

    def first_token(self, request: Request, now_s: float) -> None:
        """The prompt is no longer outstanding."""
        self.outstanding_tokens[request.position] -= request.outstanding[0]
        self.outstanding_prompt_tokens[request.position] -= request.outstanding[0]
        if request.outstanding[0]:  # else another pool has served the prompt
            self.served(request, now_s)

    def served(self, request: Request, now_s: float) -> None:
        """Measure how long a prompt took."""
        position = request.position
        self.served_prompt_tokens[position] += request.input_tokens
        self.serving_prompts_s[position] += now_s - self._prompts_since_s[position]
        self._prompts_since_s[position] = now_s

    def settle(self, request: Request) -> None:
        """Take away what a request has left of its outstanding work."""
        before, after = request.outstanding
        position = request.position
        self.outstanding_requests[position] -= 1
        self.outstanding_tokens[position] -= after
        if math.isnan(request.first_token_s):
            self.outstanding_tokens[position] -= before
            self.outstanding_prompt_tokens[position] -= before

    def never_fits(self, request: Request) -> Refusal | None:
        """Why no replica of the pool could ever serve a request, or None."""
        llm = self.pool.llm.llm
        tokens = request.input_tokens + request.output_tokens
        if tokens > llm.max_context:
            return beyond_context(tokens, llm)
        blocks = blocks_for(request.kv_tokens)
        if blocks > self.most_blocks:
            return beyond_capacity(blocks, self.most_blocks)
        if request.role == PREFILLS:
            blocks = blocks_for(request.most_tokens)
            if blocks > self.decode_blocks:
                return beyond_capacity(blocks, self.decode_blocks, self.decode_name)
        return None
