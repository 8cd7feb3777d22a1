"""The site's network during a run: whatever moves is a flow, on a path that a policy chose.

Flows share links at max-min fair rates (``sim.kernels.flow_network``). A path stays as long as it
lives; when a link of it dies the rest of the flow takes another, or is lost where none is left. The
latency of its path is added behind a flow's last byte.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np

from sim.engine.environment import TRANSFER, OrderedEnvironment
from sim.errors import PartitionError
from sim.kernels.flow_network import FlowNetwork
from sim.kernels.flow_readings import Completion, LinkMeters
from sim.policies.paths.base import Path, PathPolicy, PathView, Routes, choose_path
from sim.results.link_slots import LinkSlots
from sim.results.links import link_tables
from sim.rng import KeyedBits
from sim.site.fabric.failures import NetworkState
from sim.site.fabric.types import Fabric, FloatArray

#: What a flow that passes no link gets, if that has to be a number.
MOST_BYTES_PER_S = 1e15
#: ``done(time_s)``: the last byte has arrived.
Done = Callable[[float], None]
#: ``lost(error, time_s)``: no path is left.
Lost = Callable[[PartitionError, float], None]


class Flow:
    """Something that moves from one vertex to another, or keeps moving (``size_bytes`` inf)."""

    __slots__ = (
        "cap_bytes_per_s", "capped", "done", "latency_s", "lost", "number", "order", "path",
        "size_bytes", "source", "start_s", "target", "told",
    )  # fmt: skip

    def __init__(
        self,
        order: int,
        source: int,
        target: int,
        size_bytes: float,
        cap_bytes_per_s: float,
        start_s: float,
        done: Done,
        lost: Lost,
    ) -> None:
        self.order = order  # flows are started in this order; it also decides at equal times
        self.source, self.target = source, target
        self.size_bytes, self.cap_bytes_per_s = size_bytes, cap_bytes_per_s
        self.capped = cap_bytes_per_s < math.inf  # it may be infinite later
        self.start_s = start_s
        self.done, self.lost = done, lost
        self.path: Path = ()
        self.latency_s = 0.0
        self.number = -1  # in the solver; -1: not there
        self.told: Completion | None = None  # what held it back, once it is complete


class Network:
    """Flows between the vertices of a fabric, on the clock of the control plane.

    Whoever changes something calls ``settle`` before the clock moves on: then what happened at one
    time is solved once.
    """

    def __init__(
        self,
        fabric: Fabric,
        policy: PathPolicy,
        seed: int,
        env: OrderedEnvironment,
        duration_s: float = math.inf,
    ) -> None:
        self.fabric = fabric
        self._env = env
        self._state = NetworkState(fabric)
        self._routes = Routes(self._state)
        self._capacities = self._state.capacity_bytes_per_s  # that the solver has
        self._flows = FlowNetwork(self._capacities, metered=True)
        self._meters: LinkMeters | None = None  # of the measurement window
        self._slots = LinkSlots(duration_s, fabric.links)
        self._policy, self._policy_state = policy, policy.new_state()
        self._rng = KeyedBits(seed, "policy/paths")
        self._started = 0
        self._pairs: Counter[tuple[int, int]] = Counter()
        self._known: dict[tuple[int, int, int], Path] = {}  # by ends and label
        self._label: Callable[[PathView], int] | None = getattr(policy, "label", None)
        self._moving: dict[int, Flow] = {}  # by number
        self._armed_s = math.inf
        self._dirty = False
        self._changes = 0

    # ---- flows ---------------------------------------------------------------------------

    def send(
        self,
        source: int,
        target: int,
        size_bytes: float,
        time_s: float,
        done: Done,
        lost: Lost,
        *,
        cap_bytes_per_s: float = math.inf,
    ) -> Flow:
        """Start a flow at ``time_s``, which is not before anything that happened so far.

        ``done`` is called, on the clock, when its last byte has arrived. With a cap it is never
        faster than that, and the cap can be changed.

        Raises:
            PartitionError: nothing joins the two ends.
        """
        flow = Flow(self._started, source, target, size_bytes, cap_bytes_per_s, time_s, done, lost)
        self._started += 1
        self._take_path(flow)
        if not flow.path and cap_bytes_per_s == math.inf:
            self._arrive(flow, time_s)  # it stays where it is
        else:
            self._start(flow, size_bytes, time_s)
        return flow

    def stand(
        self, source: int, target: int, demand_bytes_per_s: float, time_s: float, lost: Lost
    ) -> Flow:
        """A flow that takes up to its demand until it is ``cancel``led.

        Raises:
            PartitionError: nothing joins the two ends.
        """
        return self.send(
            source, target, math.inf, time_s, _never, lost, cap_bytes_per_s=demand_bytes_per_s
        )

    def cancel(self, flow: Flow, time_s: float) -> None:
        """Whatever of a flow has not arrived never will."""
        if flow.number >= 0:
            self._stop(flow, time_s)
        flow.done = _never

    def set_cap(self, flow: Flow, cap_bytes_per_s: float, time_s: float) -> None:
        """Change the cap or demand of a flow that has one; infinite: as fast as its path is."""
        flow.cap_bytes_per_s = cap_bytes_per_s
        if flow.number >= 0:
            cap = min(cap_bytes_per_s, self.line_rate(flow), MOST_BYTES_PER_S)
            self._pass(time_s)
            self._flows.set_cap(time_s, flow.number, cap)
            self._touch()

    def rate(self, flow: Flow) -> float:
        """Bytes/s that a flow gets now; 0 once it has arrived."""
        return self._flows.rate(flow.number) if flow.number >= 0 else 0.0

    def share(self, flow: Flow) -> float:
        """Bytes/s that a flow with a cap would get without it; infinite where it passes no link."""
        return self._flows.share(flow.number)

    @property
    def changes(self) -> int:
        """Grows with everything that may change a rate."""
        return self._changes

    @property
    def capacity_bytes_per_s(self) -> FloatArray:
        """[L] what is left of each link's capacity now."""
        return self._state.capacity_bytes_per_s

    def line_rate(self, flow: Flow) -> float:
        """Bytes/s of the slowest link of a flow's path, infinite without links."""
        capacity = self._state.capacity_bytes_per_s
        return min((float(capacity[link]) for link in flow.path), default=math.inf)

    # ---- meters --------------------------------------------------------------------------

    def open_window(self, time_s: float) -> None:
        """The measurement window starts."""
        self._pass(time_s)
        self._flows.open_window(time_s)
        self._meters = None

    def close_window(self, time_s: float) -> None:
        """The measurement window ends."""
        self._pass(time_s)
        self._meters = self._flows.close_window(time_s)

    def tables(self, time_s: float = math.inf) -> dict[str, dict[str, Any]]:
        """What links did until now: name → columns of the tables of links.

        ``time_s``: when the run ended; the window, if any, was closed before.
        """
        if time_s < math.inf:
            self._pass(time_s, last=True)
        window = {} if self._meters is None else link_tables(self.fabric, self._meters)
        slots = self._slots.columns()
        return window | ({"summary/links": slots} if len(slots["link"]) else {})

    def _pass(self, time_s: float, last: bool = False) -> None:
        """Read the meters at the end of each slot of time before ``time_s``, and there if ``last``.

        Nothing changed since the network was settled, so it is not too late for that.
        """
        while (end_s := self._slots.end_s) < time_s or (last and end_s == time_s):
            self._slots.add(self._flows.read_slot(end_s), end_s)
        if last and self._slots.start_s < time_s < self._slots.end_s < math.inf:
            self._slots.add(self._flows.read_slot(time_s), time_s)

    # ---- failures ------------------------------------------------------------------------

    def fail(self, part: str, time_s: float) -> None:
        """A switch, a link or a cable dies: flows go around it, or are lost.

        Raises:
            UnknownName: the network has no such part.
        """
        self._state.fail(part)
        self._follow(time_s)

    def restore(self, part: str, time_s: float) -> None:
        """It lives again. Flows keep the paths that they have.

        Raises:
            UnknownName: the network has no such part.
        """
        self._state.restore(part)
        self._follow(time_s)

    def _follow(self, time_s: float) -> None:
        """Give links the capacity that is left of them, and flows on dead ones another path."""
        self._known.clear()
        self._pass(time_s)
        capacity, alive = self._state.capacity_bytes_per_s, self._state.alive
        stranded = [
            flow for flow in self._moving.values() if not all(alive[link] for link in flow.path)
        ]
        for link in np.flatnonzero(capacity != self._capacities):
            self._flows.set_capacity(time_s, int(link), float(capacity[link]))
        self._capacities = capacity
        for flow in sorted(stranded, key=lambda one: one.order):
            if flow.number < 0:
                continue  # whoever lost another of these has cancelled it
            left_bytes = self._stop(flow, time_s)
            try:
                self._take_path(flow)
            except PartitionError as error:
                flow.lost(error, time_s)
                continue
            self._start(flow, left_bytes, time_s)
        self._touch()

    def _touch(self) -> None:
        self._dirty = True
        self._changes += 1

    # ---- the clock -----------------------------------------------------------------------

    def settle(self) -> None:
        """Solve what has changed, and have the clock wait for the next completion."""
        if not self._dirty:
            return
        self._dirty = False
        next_s = self._flows.next_completion_s()
        if next_s != self._armed_s:
            self._armed_s = next_s
            if next_s < math.inf:
                self._at(next_s, -1, self._complete)

    def _complete(self, time_s: float) -> None:
        """Take out what is complete, unless something else is the next by now."""
        if time_s != self._armed_s:
            return
        self._armed_s = math.inf
        self._touch()
        self._pass(time_s)
        done = [(self._moving.pop(told.flow), told) for told in self._flows.pop_metered(time_s)]
        for flow, told in sorted(done, key=lambda one: (one[1].finish_s, one[0].order)):
            flow.number, flow.told = -1, told
            self._arrive(flow, told.finish_s)

    def _arrive(self, flow: Flow, time_s: float) -> None:
        """The last byte has been sent at ``time_s``: it arrives a latency later."""
        arrives_s = max(time_s + flow.latency_s, self._env.now)
        self._at(arrives_s, flow.order, lambda at_s: flow.done(at_s))

    def at(self, time_s: float, act: Done) -> None:
        """Let something happen on the clock, before flows that arrive at that time."""
        self._at(time_s, -1, act)

    def _at(self, time_s: float, order: int, act: Done) -> None:
        event = self._env.at(time_s, TRANSFER, order + 1)
        event.callbacks = [lambda _: act(time_s)]

    # ---- paths ---------------------------------------------------------------------------

    def _take_path(self, flow: Flow) -> None:
        pair = flow.source, flow.target
        view = PathView(self._routes, *pair, flow.order, self._pairs[pair], _Loads(self._flows))
        self._pairs[pair] += 1
        label = None if self._label is None else (*pair, self._label(view))
        if label in self._known:
            flow.path = self._known[label]
        else:
            flow.path = choose_path(self._policy, view, self._policy_state, self._rng)
            if label is not None:
                self._known[label] = flow.path
        flow.latency_s = float(self.fabric.latency_s[list(flow.path)].sum()) if flow.path else 0.0

    def _start(self, flow: Flow, size_bytes: float, time_s: float) -> None:
        self._pass(time_s)
        cap = flow.cap_bytes_per_s
        if flow.capped:
            cap = min(cap, self.line_rate(flow), MOST_BYTES_PER_S)
            flow.number = self._flows.add(time_s, size_bytes, flow.path, cap)
        else:
            flow.number = self._flows.add(time_s, size_bytes, flow.path)
        self._moving[flow.number] = flow
        self._touch()

    def _stop(self, flow: Flow, time_s: float) -> float:
        """Take a flow out of the solver; the bytes it has left."""
        self._pass(time_s)
        left_bytes = self._flows.remove(time_s, flow.number)
        del self._moving[flow.number]
        flow.number = -1
        self._touch()
        return left_bytes


class _Loads:
    """What each link carries now, looked up for those that a policy asks about."""

    def __init__(self, flows: FlowNetwork) -> None:
        self._flows = flows

    def __getitem__(self, link: int) -> float:
        return self._flows.load(link)


def _never(_: float) -> None:
    """Nobody waits for it."""
