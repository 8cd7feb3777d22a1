"""One pool of the reference engine: its replicas, and what its router knows of them."""

from __future__ import annotations

from sim.check.scenario import Pool
from sim.engine.arbiter import Refusal, beyond_capacity, beyond_context
from sim.engine.batcher import blocks_for
from sim.engine.replica import Replica
from sim.engine.request import PREFILLS, Request
from sim.policies.base import kind_of
from sim.rng import KeyedBits


class PoolState:
    """One pool at work: its replicas by position, and what its router knows of them."""

    def __init__(self, pool: Pool, replicas: list[Replica], seed: int) -> None:
        self.pool = pool
        self.replicas = replicas
        self.outstanding_requests = [0] * len(replicas)
        self.outstanding_tokens = [0] * len(replicas)
        self.router = pool.routing
        self.router_kind = kind_of(pool.routing)
        self.router_state = pool.routing.new_state()
        self.rng = KeyedBits(seed, f"policy/routing/{pool.name}")
        self.most_blocks = max(replica.model.kv_blocks for replica in replicas)
        self.decode: int | None = None  # the pool that decodes what this one prefills
        self.decode_name, self.decode_blocks = "", self.most_blocks
        self.by_layer = pool.decode is not None and pool.decode.by_layer

    def decodes_in(self, pool: int, pools: list[PoolState]) -> None:
        """Another pool decodes what this one prefills."""
        self.decode = pool
        self.decode_name, self.decode_blocks = pools[pool].pool.name, pools[pool].most_blocks

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
