"""Replicas on several servers: what they send to each other, and what it costs them.

Between two pipeline stages every rank sends its part of the activations to the same rank of the
next stage. Where a tensor-parallel group has several NVLink domains, every rank also sends its part
of each all-reduce to the same rank of the next domain (``sim.perf.across``). The replica's step
cost has both at a stated rate. Here each is a standing flow of the bytes that an iteration sends
over the time it takes, so it leaves the rest of the network to others; and where the network gives
less than the stated rate while a rank sends, each token of an iteration takes longer, from the next
iteration on:

    delay of a token = Σ over boundaries between servers of
                       (bytes of a token on one rank / stages) · (1 / share − 1 / stated rate)
                     + that of the stage whose all-reduces are delayed most, of
                       bytes of a token on one rank · (1 / share − 1 / stated rate) / efficiency

with the share of the slowest rank. Where no path is left between two of its GPUs the replica fails,
until there is one again. One micro-batch in ``stages`` waits for a boundary, and every
micro-batch for the all-reduces of the slowest stage, as in ``sim.perf.reduce``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise

from sim.engine.handover import Move
from sim.engine.network import Flow, Network
from sim.engine.plane import ServingPlane
from sim.engine.world import PlacedReplica, World
from sim.errors import PartitionError
from sim.perf.across import ring_token_bytes
from sim.perf.operators import HALF
from sim.perf.replica import stage_layers

#: Delays that differ by less than this share of themselves are one: rates that differ by a rounding
#: must not begin new runs of iterations again and again.
SAME = 0.01
#: ``(replica, why, time_s)``: it fails; ``(replica, time_s)``: it can serve again.
Cut = Callable[[int, str, float], None]
Joined = Callable[[int, float], None]


@dataclass
class _Leg:
    """Flows that move together: a boundary between stages, or the all-reduces of a stage."""

    pairs: list[tuple[int, int]]  # GPUs that send, and those that they send to
    token_bytes: float  # on each of them
    waited: float  # seconds of an iteration for each second that a token's bytes take
    stated_bytes_per_s: float | None  # of each of them, in the step cost; None: that of their path
    flows: list[Flow] = field(default_factory=list)

    def delay_s(self, network: Network) -> float:
        """Of one token, as the network is now."""
        share = min(map(network.share, self.flows))
        stated = self.stated_bytes_per_s
        assert stated is not None  # set when its flows first stood
        return self.waited * self.token_bytes * max(0.0, 1.0 / share - 1.0 / stated)


@dataclass
class _Span:
    """One replica over several servers."""

    boundaries: list[_Leg]
    rings: list[_Leg]  # at most one of each stage
    delay_s: float = 0.0
    tokens: int = 0
    apart: bool = False  # nothing joins its servers

    @property
    def legs(self) -> list[_Leg]:
        """All that it sends."""
        return self.boundaries + self.rings


class Spans:
    """Every replica over several servers, and its standing flows."""

    def __init__(
        self, world: World, network: Network, plane: ServingPlane, cut: Cut, joined: Joined
    ) -> None:
        self._world, self._network, self._plane = world, network, plane
        self._cut, self._joined = cut, joined
        self._spans: dict[int, _Span] = {}
        self._seen = network.changes
        for index, placed in enumerate(world.replicas):
            if world.spans(placed):
                self._spans[index] = span = self._span(placed)
                self._stand(index, span, 0.0)

    def _span(self, placed: PlacedReplica) -> _Span:
        """What a replica sends, and where."""
        pool = self._world.scenario.pools[placed.pool]
        llm, ranks, across = pool.llm.llm, pool.tensor_parallel, placed.model.across
        layers = stage_layers(llm.layers, pool.pipeline_parallel)
        stages = [placed.gpus[stage * ranks : (stage + 1) * ranks] for stage in range(len(layers))]
        node = self._world.scenario.site.gpu_node
        stage_rate = placed.model.stage_bytes_per_s
        rate = None if stage_rate is None else stage_rate / ranks
        span = _Span([], [])
        for here, there in pairwise(stages):
            pairs = [(a, b) for a, b in zip(here, there, strict=True) if node[a] != node[b]]
            if pairs:
                token_bytes = llm.hidden * HALF / ranks
                span.boundaries.append(_Leg(pairs, token_bytes, 1 / len(layers), rate))
        if across is not None:
            inside = ranks // across.domains
            for count, stage in zip(layers, stages, strict=True):
                pairs = list(zip(stage, stage[inside:] + stage[:inside], strict=True))
                token_bytes = ring_token_bytes(count, llm.hidden, ranks, across.domains)
                waited = 1 / across.efficiency
                span.rings.append(_Leg(pairs, token_bytes, waited, across.rank_bytes_per_s))
        return span

    def _stand(self, index: int, span: _Span, time_s: float) -> None:
        """All its flows, idle at first.

        Raises:
            PartitionError: nothing joins the ends of one; then none stands.
        """
        lost = partial(self._lost, index)
        try:
            for leg in span.legs:
                for source, target in leg.pairs:
                    leg.flows.append(self._network.stand(source, target, 0.0, time_s, lost))
                if leg.stated_bytes_per_s is None:  # measured with whatever joined them
                    leg.stated_bytes_per_s = min(map(self._network.line_rate, leg.flows))
        except PartitionError:
            self._take_down(span, time_s)
            raise

    def _take_down(self, span: _Span, time_s: float) -> None:
        for leg in span.legs:
            for flow in leg.flows:
                self._network.cancel(flow, time_s)
            leg.flows.clear()

    def moved(self, replica: int, placed: PlacedReplica, time_s: float) -> None:
        """A replica has other GPUs, or none: what it sends goes other ways."""
        before = self._spans.pop(replica, None)
        if before is not None:
            self._take_down(before, time_s)
            if before.delay_s and not self._plane.is_down(replica):
                self._plane.set_delays((replica,), (0.0,), time_s)
        if not self._world.spans(placed):
            return
        self._spans[replica] = span = self._span(placed)
        try:
            self._stand(replica, span, time_s)
        except PartitionError as error:
            span.apart = True
            self._cut(replica, str(error), time_s)

    # ---- the network changes -------------------------------------------------------------

    def _lost(self, index: int, error: PartitionError, time_s: float) -> None:
        """No path is left for one of its flows: without it the replica cannot work."""
        span = self._spans[index]
        span.apart = True
        self._take_down(span, time_s)
        self._cut(index, str(error), time_s)

    def rejoin(self, time_s: float) -> None:
        """Something of the network lives again: replicas that it joins can serve."""
        for index, span in self._spans.items():
            if span.apart:
                try:
                    self._stand(index, span, time_s)
                except PartitionError:
                    continue
                span.apart = False
                self._joined(index, time_s)

    # ---- pace and delay ------------------------------------------------------------------

    def pace(self, move: Move) -> None:
        """A replica works at another pace: so do its flows."""
        span = self._spans.get(move.handle)
        if span is None:  # it failed, and has given its GPUs up at that very time
            return
        span.tokens = move.tokens
        pace = move.tokens / move.to_s if move.tokens else 0.0
        for leg in span.legs:
            for flow in leg.flows:
                self._network.set_cap(flow, pace * leg.token_bytes, move.time_s)

    def follow(self, time_s: float) -> None:
        """If anything in the network has changed, tell the replicas what tokens cost now."""
        if not self._spans or self._seen == self._network.changes:
            return
        self._seen = self._network.changes
        slower: dict[int, float] = {}
        for index, span in self._spans.items():
            if not span.tokens or span.apart:
                continue
            delay_s = self._delay_s(span)
            if not math.isclose(delay_s, span.delay_s, rel_tol=SAME):
                span.delay_s = slower[index] = delay_s
        if slower:
            self._plane.set_delays(tuple(slower), tuple(slower.values()), time_s)

    def _delay_s(self, span: _Span) -> float:
        """Of one token, as the network is now."""
        rings = max((leg.delay_s(self._network) for leg in span.rings), default=0.0)
        return sum(leg.delay_s(self._network) for leg in span.boundaries) + rings
