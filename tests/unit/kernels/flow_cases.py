"""Random networks and flows, what rates must satisfy, and a solver run step by step."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from sim.kernels.flow_network import FlowNetwork
from sim.kernels.flow_reference import complete_simply, worst_violation

Floats = NDArray[np.float64]
#: What the certificate may miss, as a share of a link's capacity.
CERTAIN = 1e-9


@dataclass(frozen=True)
class Case:
    """Arguments of ``complete_flows``."""

    start_s: Floats
    size_bytes: Floats
    paths: tuple[tuple[int, ...], ...]
    capacity: Floats

    @property
    def arguments(self) -> tuple[Any, ...]:
        """As ``complete_flows`` takes them."""
        ptr, idx = csr(self.paths)
        return self.start_s, self.size_bytes, ptr, idx, self.capacity

    def reordered(self, order: Any) -> Case:
        """The same flows, listed in another order."""
        paths = tuple(self.paths[i] for i in order)
        return Case(self.start_s[order], self.size_bytes[order], paths, self.capacity)


def csr(paths: Any) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Paths as two arrays."""
    ptr = np.cumsum([0, *(len(path) for path in paths)])
    return ptr.astype(np.int64), np.array([link for path in paths for link in path], np.int64)


#: Kinds of capacity: all equal, small whole numbers that tie, reals, decades, very small.
CAPACITIES = [
    st.just(50e9),
    st.integers(1, 4).map(float),
    st.floats(0.5, 2.0),
    st.integers(-6, 9).map(lambda power: 10.0**power),
    st.sampled_from([1e-12, 3e-12]),
]
TIMES = [st.just(0.0), st.integers(0, 5).map(float), st.floats(0.0, 10.0)]
SIZES = [st.just(1.0), st.integers(0, 4).map(float), st.floats(0.0, 10.0)]


@st.composite
def cases(draw: st.DrawFn, most_flows: int = 30) -> Case:
    """Flows over a few links, of one kind each."""
    links = draw(st.integers(1, 10))
    kind = draw(st.sampled_from(CAPACITIES))
    capacity = np.array(draw(st.lists(kind, min_size=links, max_size=links)))
    flows = draw(st.integers(1, most_flows))
    path = st.lists(st.integers(0, links - 1), max_size=min(links, 6), unique=True).map(tuple)
    paths = draw(st.lists(path, min_size=flows, max_size=flows))
    times, sizes = draw(st.sampled_from(TIMES)), draw(st.sampled_from(SIZES))
    start = np.array(draw(st.lists(times, min_size=flows, max_size=flows)))
    size = np.array(draw(st.lists(sizes, min_size=flows, max_size=flows)))
    return Case(start, size * capacity.max(), tuple(paths), capacity)


def simply(case: Case) -> Floats:
    """Completion times of the reference."""
    start, size, ptr, idx, capacity = case.arguments
    order = np.flatnonzero((size > 0.0) & (np.diff(ptr) > 0))
    order = order[np.argsort(start[order], kind="stable")]
    finish = start.copy()
    assert complete_simply(order, start, size, ptr, idx, capacity, finish) == len(order)
    return finish


def violation(rates: Any, paths: Any, capacity: Floats, caps: Any = ()) -> float:
    """How far rates are from max-min fair; a cap is a link of the flow's own."""
    own = {i: len(capacity) + i for i, cap in enumerate(caps) if cap < math.inf}
    every = [(*path, own[i]) if i in own else path for i, path in enumerate(paths)]
    wide = np.concatenate([capacity, [cap if cap < math.inf else 1.0 for cap in caps]])
    ptr, idx = csr(every)
    return worst_violation(np.array(rates, float), ptr, idx, wide, np.zeros((2, len(wide))))


@dataclass
class Watched:
    """A network whose every rate is certified, and whose bytes are counted from outside."""

    capacity: Floats
    now_s: float = 0.0
    events: int = 0
    path: dict[int, tuple[int, ...]] = field(default_factory=dict)
    cap: dict[int, float] = field(default_factory=dict)
    sent: dict[int, float] = field(default_factory=dict)
    finish_s: dict[int, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.network = FlowNetwork(self.capacity)
        self._rates: dict[int, float] = {}

    def add(self, size: float, path: tuple[int, ...], cap: float = math.inf) -> int:
        """Start a flow now."""
        flow = self.network.add(self.now_s, size, path, cap)
        self.path[flow], self.cap[flow], self.sent[flow] = path, cap, 0.0
        return flow

    def certify(self) -> None:
        """Check the rates of now."""
        ids, rates = self.network.rates()
        self._rates = dict(zip(ids.tolist(), rates.tolist(), strict=True))
        live = [i for i in self._rates if self.path[i] or self.cap[i] < math.inf]
        live = [i for i in live if self._rates[i] > 0.0 or self.network.left_bytes(self.now_s, i)]
        off = violation(
            [self._rates[i] for i in live],
            [self.path[i] for i in live],
            self.capacity,
            [self.cap[i] for i in live],
        )
        assert off <= CERTAIN, f"{off} from max-min fair at {self.now_s} s"

    def advance(self, until_s: float) -> None:
        """Go to a time, through every completion before or at it."""
        self.certify()
        while (next_s := self.network.next_completion_s()) <= until_s and next_s < math.inf:
            self._send(next_s)
            for flow, finish_s in self.network.pop(next_s):
                self.finish_s[flow] = finish_s
                del self._rates[flow]
            self.events += 1
            self.certify()
        if until_s < math.inf:
            self._send(until_s)

    def _send(self, until_s: float) -> None:
        for flow, rate in self._rates.items():
            self.sent[flow] += rate * (until_s - self.now_s)
        self.now_s = until_s
