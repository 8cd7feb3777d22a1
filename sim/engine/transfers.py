"""KV of prompts on its way from the replica that prefilled to the one that decodes.

Each rank of the target takes the layers and heads that it computes with from the ranks that have
them, so one transfer is several flows; it is complete with the last of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import partial

from sim.catalog.arithmetic import kv_bytes_per_token_layer
from sim.catalog.types import Llm
from sim.check.scenario import LlmUse, Pool
from sim.engine.alone import Alone
from sim.engine.handover import PREFILLED, RESERVED, Move
from sim.engine.network import Flow, Network
from sim.engine.places import Places
from sim.engine.plane import ServingPlane
from sim.engine.recorder import Recorder
from sim.engine.world import PlacedReplica, World
from sim.errors import PartitionError
from sim.perf.replica import stage_layers


@dataclass(frozen=True)
class Part:
    """What one GPU sends to another: of ``layers`` a ``share`` of what the target holds."""

    source: int
    target: int
    layers: float
    share: float = 1.0


def parts(
    llm: Llm, source: PlacedReplica, target: PlacedReplica, ranks: tuple[int, int]
) -> list[Part]:
    """Who sends what to whom; ``ranks``: tensor parallelism of source and target.

    Ranks of a stage hold the same layers. Where the source has fewer of them each serves several of
    the target, where it has more several serve one; of a latent that every rank holds whole (MLA)
    one does.
    """
    have, want = ranks
    found = []
    for first, last, above in _spans(llm.layers, len(source.gpus) // have):
        for low, high, below in _spans(llm.layers, len(target.gpus) // want):
            layers = min(last, high) - max(first, low)
            if layers <= 0:
                continue
            for rank in range(want):
                group = max(1, have // want) if llm.mla is None else 1
                start = rank * have // want
                taker = target.gpus[below * want + rank]
                found += [
                    Part(source.gpus[above * have + peer], taker, layers, 1.0 / group)
                    for peer in range(start, start + group)
                ]
    return found


def _spans(layers: int, stages: int) -> list[tuple[float, float, int]]:
    """First and last layer of each stage, and its number."""
    spans, first = [], 0.0
    for number, count in enumerate(stage_layers(layers, stages)):
        spans.append((first, first + count, number))
        first += count
    return spans


def layer_bytes(use: LlmUse, tokens: int, ranks: int) -> float:
    """Bytes of a prompt's KV in one layer on one of ``ranks``, the mean over all layers."""
    llm = use.llm
    windowed = llm.windowed_layers / llm.layers
    kept = (1.0 - windowed) * tokens + windowed * min(tokens, llm.window or tokens)
    return kept * kv_bytes_per_token_layer(llm, use.kv_precision, ranks)


@dataclass
class _Transfer:
    """One prompt on its way."""

    move: Move
    size_bytes: float
    prefilled_s: float  # NaN: the last part of the prompt is still computed
    alone_s: float = 0.0  # it would take, if nothing else moved
    flows: list[Flow] = field(default_factory=list)
    left: int = 0  # flows that have not arrived
    start_s: float = math.nan  # bytes move from then on


class Transfers:
    """Every prompt whose KV is on its way."""

    def __init__(
        self,
        world: World,
        places: Places,
        network: Network,
        plane: ServingPlane,
        recorder: Recorder,
    ) -> None:
        self._places = places
        self._world, self._network, self._plane, self._recorder = world, network, plane, recorder
        self._moving: dict[int, _Transfer] = {}  # by handle
        self._parts: dict[tuple[int, int], list[Part]] = {}
        self._alone = Alone(network)

    def moved(self, replica: int, placed: PlacedReplica, time_s: float) -> None:
        """A replica has other GPUs, or none."""
        self._parts = {ends: parts for ends, parts in self._parts.items() if replica not in ends}

    def take(self, move: Move) -> None:
        """What the plane says about a prompt between two replicas."""
        if move.kind == RESERVED:
            self._announce(move)
        elif move.kind == PREFILLED:
            self._complete(self._moving[move.handle], move.time_s)
        else:
            transfer = self._moving.pop(move.handle)
            self._stop(transfer, move.time_s)
            self._write(transfer, move.time_s, "withdrawn")

    def finish(self) -> None:
        """The run ends: what is on its way has no end."""
        for transfer in self._moving.values():
            self._write(transfer, None, "unfinished")
        self._moving.clear()

    def _announce(self, move: Move) -> None:
        """Bytes may move: at once, or from the moment when the first layer has been computed."""
        pool = self._pool(move.target)
        per_layer = layer_bytes(pool.llm, move.tokens, pool.tensor_parallel)
        sizes = [(part, part.layers * part.share * per_layer) for part in self._between(move)]
        transfer = _Transfer(
            move, sum(size for _, size in sizes), move.prefilled_s, left=len(sizes)
        )
        self._moving[move.handle] = transfer
        start_s = move.time_s
        if math.isnan(move.prefilled_s):
            first_s = move.from_s + (move.to_s - move.from_s) / pool.llm.llm.layers
            start_s = max(start_s, first_s)
        if start_s > move.time_s:
            self._network.at(start_s, partial(self._start_later, transfer, sizes))
        else:
            self._start(transfer, sizes, start_s)

    def _start_later(
        self, transfer: _Transfer, sizes: list[tuple[Part, float]], time_s: float
    ) -> None:
        if self._moving.get(transfer.move.handle) is transfer:
            self._start(transfer, sizes, time_s)

    def _start(self, transfer: _Transfer, sizes: list[tuple[Part, float]], time_s: float) -> None:
        """Send the KV, no faster than it is computed if its prefill goes on."""
        move, transfer.start_s = transfer.move, time_s
        growing = math.isnan(transfer.prefilled_s)
        for part, size_bytes in sizes:
            cap = size_bytes / (move.to_s - move.from_s) if growing else math.inf
            done = partial(self._arrive, transfer)
            lost = partial(self._lose, transfer)
            try:
                flow = self._network.send(
                    part.source, part.target, size_bytes, time_s, done, lost, cap_bytes_per_s=cap
                )
            except PartitionError as error:
                self._lose(transfer, error, time_s)
                return
            transfer.flows.append(flow)
        if sizes:
            parts = [part.layers * part.share for part, _ in sizes]
            shares = [part / math.fsum(parts) for part in parts]
            paths = [flow.path for flow in transfer.flows]
            transfer.alone_s = self._alone.longest_s(paths, shares, transfer.size_bytes)

    def _between(self, move: Move) -> list[Part]:
        ends = move.source, move.target
        if ends not in self._parts:
            source, target = (self._places.now[end] for end in ends)
            ranks = self._pool(move.source).tensor_parallel, self._pool(move.target).tensor_parallel
            self._parts[ends] = parts(self._pool(move.target).llm.llm, source, target, ranks)
        return self._parts[ends]

    def _pool(self, replica: int) -> Pool:
        return self._world.scenario.pools[self._world.replicas[replica].pool]

    def _complete(self, transfer: _Transfer, time_s: float) -> None:
        """All layers are computed: what is left may move as fast as it can."""
        transfer.prefilled_s = time_s
        for flow in transfer.flows:
            self._network.set_cap(flow, math.inf, time_s)
        self._hand_in(transfer, time_s)

    def _arrive(self, transfer: _Transfer, time_s: float) -> None:
        transfer.left -= 1
        self._hand_in(transfer, time_s)

    def _hand_in(self, transfer: _Transfer, time_s: float) -> None:
        """If all of it is there, say so."""
        if transfer.left == 0 and not math.isnan(transfer.prefilled_s):
            del self._moving[transfer.move.handle]
            self._write(transfer, time_s, "arrived")
            self._plane.arrived(transfer.move.handle, time_s)

    def _lose(self, transfer: _Transfer, error: PartitionError, time_s: float) -> None:
        """Nothing joins the two replicas any more: the request fails."""
        if self._moving.pop(transfer.move.handle, None) is None:
            return  # another flow of it was lost before
        self._stop(transfer, time_s)
        self._write(transfer, time_s, "lost")
        self._recorder.event(time_s, "partition", error.entity, str(error))
        self._plane.lose(transfer.move.handle, time_s)

    def _stop(self, transfer: _Transfer, time_s: float) -> None:
        for flow in transfer.flows:
            self._network.cancel(flow, time_s)

    def _write(self, transfer: _Transfer, end_s: float | None, outcome: str) -> None:
        move = transfer.move
        ready_s, start_s = transfer.prefilled_s, transfer.start_s
        self._recorder.transfer(
            "kv", move.request_id, move.source, move.target, transfer.size_bytes,
            move.admitted_s, None if math.isnan(ready_s) else ready_s, move.time_s,
            None if math.isnan(start_s) else start_s, end_s, transfer.alone_s, outcome, None,
            *self._held_by(transfer),
        )  # fmt: skip

    def _held_by(self, transfer: _Transfer) -> tuple[str | None, float | None, int | None]:
        """The link that held the last of its flows back, how long, and how many shared it."""
        stories = [flow.told for flow in transfer.flows if flow.told is not None]
        if not stories or len(stories) < len(transfer.flows):
            return None, None, None
        last = max(stories, key=lambda told: told.finish_s)
        if last.bottleneck < 0:
            return None, None, None
        name = self._network.fabric.link_name(last.bottleneck)
        return name, last.bottleneck_s, last.flows_shared
