"""Replicas whose pipeline stages are on several servers: what they send, and what it costs them.

Between two stages every rank sends its part of the activations to the same rank of the next stage.
The replica's step cost has that at a stated rate. Here it is a standing flow of the bytes that an
iteration sends over the time it takes, so it leaves the rest of the network to others; and where
the network gives less than the stated rate while a stage sends, each token of an iteration takes
longer, from the next iteration on:

    delay of a token = Σ over boundaries between servers of
                       (bytes of a token on one rank / stages) · (1 / share − 1 / stated rate)

with the share of the slowest rank. One micro-batch in ``stages`` waits for the transfer, as in
``sim.perf.reduce``.
"""

from __future__ import annotations

import math

from sim.engine.handover import Move
from sim.engine.network import Flow, Network
from sim.engine.plane import ServingPlane
from sim.engine.world import PlacedReplica, World
from sim.errors import PartitionError, SimulationError
from sim.perf.operators import HALF

#: Delays that differ by less than this share of themselves are one: rates that differ by a rounding
#: must not begin new runs of iterations again and again.
SAME = 0.01


class _Span:
    """One replica over several servers."""

    def __init__(self, placed: PlacedReplica, ranks: int, hidden: int) -> None:
        self.stages = len(placed.gpus) // ranks
        self.token_bytes = hidden * HALF / ranks  # on one rank, at one boundary
        rate = placed.model.stage_bytes_per_s
        self.stated_bytes_per_s = math.inf if rate is None else rate / ranks
        self.boundaries: list[list[Flow]] = []  # between servers, a flow for each rank
        self.delay_s = 0.0
        self.tokens = 0


class Spans:
    """Every replica over several servers, and its standing flows."""

    def __init__(self, world: World, network: Network, plane: ServingPlane) -> None:
        self._network, self._plane = network, plane
        self._spans: dict[int, _Span] = {}
        self._seen = network.changes
        for index, placed in enumerate(world.replicas):
            if world.spans(placed):
                pool = world.scenario.pools[placed.pool]
                span = _Span(placed, pool.tensor_parallel, pool.llm.llm.hidden)
                self._spans[index] = span
                self._connect(index, span, placed, pool.tensor_parallel, world)

    def _connect(
        self, index: int, span: _Span, placed: PlacedReplica, ranks: int, world: World
    ) -> None:
        """A flow for each rank wherever two stages are on different servers, idle at first."""
        node = world.scenario.site.gpu_node

        def lost(error: PartitionError, time_s: float) -> None:
            raise SimulationError(time_s, f"replica {index}", str(error))

        for stage in range(span.stages - 1):
            here = placed.gpus[stage * ranks : (stage + 1) * ranks]
            there = placed.gpus[(stage + 1) * ranks : (stage + 2) * ranks]
            pairs = [(a, b) for a, b in zip(here, there, strict=True) if node[a] != node[b]]
            if pairs:
                flows = [self._network.stand(a, b, 0.0, 0.0, lost) for a, b in pairs]
                span.boundaries.append(flows)
                if placed.model.stage_bytes_per_s is None:  # measured with whatever joined them
                    slowest = min(map(self._network.line_rate, flows))
                    span.stated_bytes_per_s = min(span.stated_bytes_per_s, slowest)

    def pace(self, move: Move) -> None:
        """A replica works at another pace: so do its flows."""
        span = self._spans[move.handle]
        span.tokens = move.tokens
        sends = move.tokens * span.token_bytes / move.to_s if move.tokens else 0.0
        for flows in span.boundaries:
            for flow in flows:
                self._network.set_cap(flow, sends, move.time_s)

    def follow(self, time_s: float) -> None:
        """If anything in the network has changed, tell the replicas what tokens cost now."""
        if not self._spans or self._seen == self._network.changes:
            return
        self._seen = self._network.changes
        slower: dict[int, float] = {}
        for index, span in self._spans.items():
            delay_s = self._delay_s(span)
            if span.tokens and not math.isclose(delay_s, span.delay_s, rel_tol=SAME):
                span.delay_s = slower[index] = delay_s
        if slower:
            self._plane.set_delays(tuple(slower), tuple(slower.values()), time_s)

    def _delay_s(self, span: _Span) -> float:
        """Of one token, as the network is now."""
        more = 0.0
        for flows in span.boundaries:
            share = min(map(self._network.share, flows))
            more += max(0.0, 1.0 / share - 1.0 / span.stated_bytes_per_s)
        return more * span.token_bytes / span.stages
