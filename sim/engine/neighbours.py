"""Neighbours on the network: rounds of flows between servers, beside the requests of the pools."""

from __future__ import annotations

import math

from sim.check.scenario import Traffic
from sim.engine.network import Network
from sim.engine.recorder import Recorder
from sim.errors import PartitionError


class Neighbour:
    """One neighbour: a round of flows after another.

    A round starts ``every_s`` after the one before it, or when the last byte of that has arrived,
    whichever is later. What cannot be sent because the network is in pieces is left out, and said.
    """

    def __init__(self, plan: Traffic, network: Network, recorder: Recorder) -> None:
        self._plan, self._network, self._recorder = plan, network, recorder
        self._left = 0  # flows of the round that have not arrived
        self._started_s = 0.0
        self._cut = False  # said that somebody is cut off
        network.at(plan.begin_s, self._start)

    def _pairs(self) -> list[tuple[int, int]]:
        """Who sends to whom in a round: GPUs of one rank in different servers."""
        servers = self._plan.gpus
        count = len(servers)
        steps = range(1, count) if self._plan.kind == "all-to-all" else (1,)
        return [
            (source, target)
            for step in steps
            for number, server in enumerate(servers)
            for source, target in zip(server, servers[(number + step) % count], strict=True)
        ]

    def _start(self, time_s: float) -> None:
        plan = self._plan
        if time_s >= plan.until_s:
            return
        self._started_s = time_s
        pairs = self._pairs()
        each = len(pairs) // (len(plan.gpus) * len(plan.gpus[0]))  # flows of one GPU
        limit = math.inf if plan.limit_bytes_per_s is None else plan.limit_bytes_per_s / each
        self._left = len(pairs)
        for source, target in pairs:
            try:
                self._network.send(
                    source, target, plan.size_bytes / each, time_s, self._arrive, self._lose,
                    cap_bytes_per_s=limit,
                )  # fmt: skip
            except PartitionError as error:
                self._lose(error, time_s)

    def _lose(self, error: PartitionError, time_s: float) -> None:
        if not self._cut:
            self._cut = True
            self._recorder.event(time_s, "partition", error.entity, f"{self._plan.name}: {error}")
        self._arrive(time_s)

    def _arrive(self, time_s: float) -> None:
        self._left -= 1
        if self._left == 0:
            self._network.at(max(time_s, self._started_s + self._plan.every_s), self._start)


def start_neighbours(
    plans: tuple[Traffic, ...], network: Network, recorder: Recorder
) -> list[Neighbour]:
    """Every neighbour, from its first round on."""
    return [Neighbour(plan, network, recorder) for plan in plans]
