"""What meters of flows should say, worked out apart: every rate anew between any two events."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.kernels.flow_network import FlowNetwork
from sim.kernels.flow_readings import Completion

Path = tuple[int, ...]


def fair(
    paths: dict[int, Path], caps: dict[int, float], capacity: Any
) -> tuple[dict[int, float], dict[int, set[int]]]:
    """Max-min fair rates by raising all together, and each flow's bottlenecks (−1: its cap)."""
    rates = dict.fromkeys(paths, 0.0)
    rising = set(paths)
    while rising:
        level = min(caps[i] for i in rising)
        for link in {link for i in rising for link in paths[i]}:
            there = [i for i in paths if link in paths[i]]
            left = capacity[link] - math.fsum(rates[i] for i in there if i not in rising)
            level = min(level, max(0.0, left) / sum(i in rising for i in there))
        for i in rising:
            rates[i] = level
        full = {
            link
            for link in {link for i in rising for link in paths[i]}
            if is_full(math.fsum(rates[i] for i in paths if link in paths[i]), capacity[link])
        }
        done = {i for i in rising if caps[i] <= level or full & set(paths[i])}
        assert done, "no link fills and no cap is reached"
        rising -= done
    return rates, {i: bottlenecks(i, rates, paths, caps, capacity) for i in paths}


def is_full(load: float, capacity: float) -> bool:
    """To well above what sums are wrong by, and below what flows differ by."""
    return load >= capacity * (1.0 - 1e-10)


def bottlenecks(
    flow: int, rates: Any, paths: dict[int, Path], caps: dict[int, float], capacity: Any
) -> set[int]:
    """Full links of a flow on which nobody is faster; −1 for its cap."""
    found = {-1} if rates[flow] >= caps[flow] * (1.0 - 1e-10) else set()
    for link in paths[flow]:
        there = [rates[i] for i in paths if link in paths[i]]
        if is_full(math.fsum(there), capacity[link]) and max(there) <= rates[flow] * (1 + 1e-10):
            found.add(link)
    return found


@dataclass
class Ledger:
    """A metered network beside one without meters, and beside what it should measure.

    Attributes:
        uses: link → spans of time in the window, each with the utilisation in it.
        only, among: link → flow·s for which it was the only bottleneck, one of them.
        flow_only, flow_among: the same by flow and link, over the flow's whole life.
        most_shared: the most flows that were on a link of a flow while it was in flight.
    """

    capacity: NDArray[np.float64]
    now_s: float = 0.0
    opened_s: float = 0.0
    size: dict[int, float] = field(default_factory=dict)
    start_s: dict[int, float] = field(default_factory=dict)
    live: dict[int, Path] = field(default_factory=dict)
    cap: dict[int, float] = field(default_factory=dict)
    stories: dict[int, Completion] = field(default_factory=dict)
    flow_only: Any = field(default_factory=lambda: defaultdict(float))
    flow_among: Any = field(default_factory=lambda: defaultdict(float))
    most_shared: Any = field(default_factory=lambda: defaultdict(int))

    def __post_init__(self) -> None:
        self.network = FlowNetwork(self.capacity, metered=True)
        self.plain = FlowNetwork(self.capacity)
        self.open()

    def open(self) -> None:
        """Forget what was, and count from now on."""
        self.network.open_window(self.now_s)
        self.opened_s = self.now_s
        links = range(len(self.capacity))
        self.uses: dict[int, list[tuple[float, float]]] = {link: [] for link in links}
        self.bytes = np.zeros(len(links))
        self.could = np.zeros(len(links))
        self.down_s = np.zeros(len(links))
        self.only, self.among = np.zeros(len(links)), np.zeros(len(links))
        self.most_waiting = np.zeros(len(links), int)
        self.ended: list[int] = []
        self.seen = {link: {i for i in self.live if link in self.live[i]} for link in links}

    def add(self, size: float, path: Path, cap: float = math.inf) -> int:
        """Start a flow on both networks."""
        flow = self.network.add(self.now_s, size, path, cap)
        assert self.plain.add(self.now_s, size, path, cap) == flow
        self.size[flow], self.cap[flow], self.start_s[flow] = size, cap, self.now_s
        if size > 0.0 and (path or cap < math.inf):
            self.live[flow] = path
            for link in path:
                self.seen[link].add(flow)
                there = [i for i in self.live if link in self.live[i]]
                for i in there:
                    self.most_shared[i, link] = max(self.most_shared[i, link], len(there))
        return flow

    def remove(self, flow: int) -> None:
        """End a flow on both networks."""
        assert self.network.remove(self.now_s, flow) == self.plain.remove(self.now_s, flow)
        self.live.pop(flow, None)

    def set_capacity(self, link: int, capacity: float) -> None:
        """Change a link of both networks."""
        self.capacity[link] = capacity
        for network in (self.network, self.plain):
            network.set_capacity(self.now_s, link, capacity)

    def set_cap(self, flow: int, cap: float) -> None:
        """Change a cap of both networks."""
        self.cap[flow] = cap
        for network in (self.network, self.plain):
            network.set_cap(self.now_s, flow, cap)

    def next_s(self) -> float:
        """When the next flow is complete, on both networks."""
        next_s = self.network.next_completion_s()
        assert self.plain.next_completion_s() == next_s
        return next_s

    def advance(self, until_s: float) -> None:
        """Go to a time, through every completion before or at it."""
        while (next_s := self.next_s()) <= until_s and next_s < math.inf:
            self._pass(next_s)
            told = self.network.pop_metered(next_s)
            assert [story[:2] for story in told] == self.plain.pop(next_s)
            for story in told:
                self.stories[story.flow] = story
                self.ended.append(story.flow)
                self.live.pop(story.flow, None)
        if until_s < math.inf:
            self._pass(until_s)

    def _pass(self, until_s: float) -> None:
        """Integrate rates found anew up to a time at which nothing has changed yet."""
        passed_s, self.now_s = until_s - self.now_s, until_s
        if passed_s <= 0.0:
            return
        rates, held = fair(self.live, {i: self.cap[i] for i in self.live}, self.capacity)
        for link, capacity in enumerate(self.capacity.tolist()):
            there = [i for i in self.live if link in self.live[i]]
            load = math.fsum(rates[i] for i in there)
            self.bytes[link] += load * passed_s
            self.could[link] += capacity * passed_s
            if capacity == 0.0:
                self.down_s[link] += passed_s
            else:
                use = 1.0 if there and is_full(load, capacity) else load / capacity
                self.uses[link].append((use, passed_s))
            self.only[link] += passed_s * sum(held[i] == {link} for i in there)
            self.among[link] += passed_s * sum(link in held[i] for i in there)
            waiting = sum(link in held[i] for i in there)
            self.most_waiting[link] = max(self.most_waiting[link], waiting)
        for i, links in held.items():
            for link in links:
                self.flow_among[i, link] += passed_s
                self.flow_only[i, link] += passed_s * (len(links) == 1)

    def quantile(self, link: int, share: float) -> float:
        """Utilisation that a link does not exceed for a share of the time in which it was up."""
        spans = sorted(self.uses[link])
        goal = share * math.fsum(span for _, span in spans)
        passed = 0.0
        for use, span in spans:
            passed += span
            if passed >= goal:
                return use
        return spans[-1][0]
