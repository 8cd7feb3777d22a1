"""Actuators: commands on their way to the GPUs, in order, and what comes of them.

A replica runs at the lowest clock that anybody has in force over it: the policy's at the start, any
controller's above it (two feeds are two controllers), the brake's; under the lowest cap likewise;
and it admits requests if all let it.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from simpy.events import Event

from sim.engine.controllers import ClassState, Controller
from sim.engine.environment import POWER, OrderedEnvironment
from sim.engine.idle import parked_mw
from sim.engine.levers import Lever, kinds
from sim.engine.meters import Integral
from sim.engine.plane import ServingPlane
from sim.engine.recorder import Recorder
from sim.engine.weights import WeightLoader
from sim.engine.world import PlacedReplica, World
from sim.perf.step import ReplicaModel
from sim.policies.power.base import SAME, PowerPolicy, priority_name

#: What happens to power at one instant, in this order; then by number.
ACT, READ, ARRIVE = range(3)


def order(stage: int, number: int) -> int:
    """The id of an event of class POWER: after those of the facility, which are small numbers."""
    return stage + 1 << 60 | number


def level_at(model: ReplicaModel, share: float) -> int:
    """The highest clock level that is not above ``share`` of the maximum, else the lowest."""
    top_hz = max(model.clocks_hz)
    shares = [hz / top_hz for hz in model.clocks_hz]
    fitting = [level for level, own in enumerate(shares) if own <= share + SAME]
    if fitting:
        return max(fitting, key=shares.__getitem__)
    return min(range(len(shares)), key=shares.__getitem__)


@dataclass(frozen=True)
class Limits:
    """What a replica runs under: a clock level, a cap of each GPU in watts (inf: none), and whether
    it admits requests."""

    level: int
    cap_w: float
    admits: bool


def _at_start(policy: PowerPolicy, priority: int) -> tuple[float, float]:
    """Clock and cap (inf: none) under which a class runs from the first moment to the last."""
    cap_w = policy.cap_at_start(priority)
    return policy.at_start(priority), math.inf if cap_w is None else cap_w


class PoolClocks:
    """How far below the maximum the clocks of one pool are, over time."""

    def __init__(self, replicas: int) -> None:
        self.replicas = replicas
        self.capped = Integral()  # replicas below their highest clock → replica·s
        self.shares = Integral()  # sum of their shares of the maximum → replica·s
        self.shares.value = float(replicas)

    def integrals(self) -> tuple[Integral, Integral]:
        """Both, for the ends of the window."""
        return self.capped, self.shares


class Actuators:
    """Carries commands out and sets the clocks of replicas."""

    def __init__(
        self,
        env: OrderedEnvironment,
        plane: ServingPlane,
        world: World,
        recorder: Recorder,
        controllers: Sequence[Controller],
        loader: WeightLoader | None = None,
    ) -> None:
        self._loader = loader
        self._env, self._plane, self._recorder = env, plane, recorder
        self._plan = world.scenario.actuation
        self.kinds = kinds(self._plan)
        self._models = [placed.model for placed in world.replicas]
        self._pool_of = [placed.pool for placed in world.replicas]
        policy, pools = world.scenario.power_policy, world.scenario.pools
        self._start = [_at_start(policy, pools[pool].priority) for pool in self._pool_of]
        self._controllers = controllers
        self._over: list[list[tuple[Controller, ClassState]]] = [[] for _ in world.replicas]
        for controller in controllers:
            for one in controller.every:
                for replica in one.replicas:
                    self._over[replica].append((controller, one))
        self._site, self._parks = world.scenario.site, policy.parks
        self._held_mw = [self._parked_mw(one) for one in world.replicas]
        self._holds = [0] * len(world.replicas)
        self._restart_s = world.scenario.power.restart_s
        self._limits = [Limits(0, math.inf, True)] * len(world.replicas)
        self._levels: dict[tuple[int, float], int] = {}
        self.pools = [PoolClocks(self._pool_of.count(pool)) for pool in range(len(pools))]
        self._commands = 0

    def start(self) -> None:
        """Put every replica on what the policy lets it start with, at time 0."""
        for place, (name, kind) in enumerate(list(self.kinds.items())[:2]):
            for value in sorted({start[place] for start in self._start} - {kind.start}):
                mine = sum(start[place] == value for start in self._start)
                text = f"{mine} replicas: {kind.show(value)}"
                self._recorder.event(0.0, f"{name}-set", "site", text)
        self._apply(range(len(self._start)), 0.0)

    def moved(self, replica: int, placed: PlacedReplica, time_s: float) -> None:
        """A replica has other GPUs, or none; if it is down nothing is in force over it yet."""
        self._over[replica] = [
            (controller, one)
            for controller in self._controllers
            for one in controller.every
            if replica in one.place
        ]
        self._held_mw[replica] = self._parked_mw(placed)
        if self._plane.is_down(replica):
            self._holds[replica] += 1  # whoever was about to let it in does not
            self._count(replica, self._limits[replica].level, 0, time_s)
            self._limits[replica] = Limits(0, math.inf, True)
            self._models[replica] = placed.model
        self._apply([replica], time_s)

    def _parked_mw(self, placed: PlacedReplica) -> int | None:
        """What each GPU of a replica that is held draws; None: it stays loaded."""
        return parked_mw(self._site, placed) if self._parks else None

    # ---- commands ------------------------------------------------------------------------

    def set_lever(
        self, controller: Controller, one: ClassState, lever: Lever, value: float, now_s: float
    ) -> None:
        """Send a command for a class; it follows what is in flight to the same actuator."""
        kind = lever.kind
        begins_s = max(now_s + kind.delay_s, lever.free_s)
        lever.free_s = begins_s + (kind.steps - 1) * kind.step_s
        lever.commanded = value
        lever.in_flight += 1
        what = f"{priority_name(one.priority)} to {kind.show(value)}"
        text = f"{what}, from {begins_s:.10g} s on"
        self._recorder.event(now_s, f"{kind.name}-commanded", controller.name, text)
        self._env.process(self._ramp(controller, one, lever, value, begins_s, what))

    def _ramp(
        self,
        controller: Controller,
        one: ClassState,
        lever: Lever,
        value: float,
        begins_s: float,
        what: str,
    ) -> Generator[Event, None, None]:
        """Equal steps from the value in force to the commanded one."""
        identity, steps = self._next(), lever.kind.steps
        yield self._env.at(begins_s, POWER, identity)
        first = lever.in_force
        for step in range(1, steps + 1):
            if step > 1:
                at_s = begins_s + (step - 1) * lever.kind.step_s
                yield self._env.at(at_s, POWER, identity)
            lever.in_force = value if step == steps else first + (value - first) * step / steps
            self._apply(one.replicas, self._env.now)
        lever.in_flight -= 1
        lever.acted_s = self._env.now
        self._recorder.event(self._env.now, f"{lever.kind.name}-acted", controller.name, what)

    def set_brake(self, controller: Controller, on: bool, now_s: float) -> None:
        """Send a command to a node's brake; it follows what is in flight."""
        at_s = now_s + self._plan.brake_delay_s
        controller.brake.commanded = on
        controller.brake.in_flight += 1
        kind = "brake-commanded" if on else "release-commanded"
        self._recorder.event(now_s, kind, controller.name, f"acts at {at_s:.10g} s")
        self._env.process(self._brake(controller, on, at_s))

    def _brake(self, controller: Controller, on: bool, at_s: float) -> Generator[Event, None, None]:
        yield self._env.at(at_s, POWER, self._next())
        brake = controller.brake
        brake.in_flight -= 1
        brake.on = on
        brake.time_on.set(float(on), at_s)
        if on:
            brake.since_s = at_s
            text = f"{100 * self._plan.brake_clock:g} % of the maximum clock below it"
        else:
            brake.released_s = at_s
            text = f"was on for {at_s - brake.since_s:.10g} s"
        self._recorder.event(at_s, "brake-on" if on else "brake-off", controller.name, text)
        self._apply(controller.replicas, at_s)

    def _next(self) -> int:
        self._commands += 1
        return order(ACT, self._commands)

    # ---- what is in force ----------------------------------------------------------------

    def idle_w(self, replicas: Iterable[int]) -> float:
        """The most that one GPU of these replicas draws without work."""
        return max(self._models[replica].power[0].idle_mw for replica in replicas) / 1000

    def _apply(self, replicas: Iterable[int], time_s: float) -> None:
        """Set what changes for replicas: clocks level by level, caps, admission."""
        levels: dict[int, list[int]] = {}
        caps: dict[float, list[int]] = {}
        admits: dict[bool, list[int]] = {}
        for replica in replicas:
            own = self._limits[replica]
            limits = self._wanted(replica)
            if limits.level != own.level:
                levels.setdefault(limits.level, []).append(replica)
                self._count(replica, own.level, limits.level, time_s)
            if limits.cap_w != own.cap_w:
                caps.setdefault(limits.cap_w, []).append(replica)
            if limits.admits != own.admits:
                admits.setdefault(limits.admits, []).append(replica)
            self._limits[replica] = limits
        for level, some in sorted(levels.items()):
            self._plane.set_clocks(some, level, time_s)
        for cap_w, some in sorted(caps.items()):
            cap_mw = None if cap_w == math.inf else math.floor(1000 * cap_w)
            self._plane.set_caps(some, cap_mw, time_s)
        for admit, some in sorted(admits.items()):
            for replica in some:
                self._hold(replica, time_s) if not admit else self._let_in(replica, time_s)

    def _hold(self, replica: int, time_s: float) -> None:
        self._holds[replica] += 1
        if self._loader is not None and self._held_mw[replica] is not None:
            self._loader.retire(replica, time_s)
        self._plane.set_admission(replica, False, self._held_mw[replica], time_s)

    def _let_in(self, replica: int, time_s: float) -> None:
        """One that has dropped its LLM loads it first."""
        again = partial(self._admit, replica, self._holds[replica])
        if self._held_mw[replica] is None or self._plane.is_busy(replica):
            again(time_s)
        elif self._loader is not None and self._loader.plan(replica) is not None:
            self._loader.begin(replica, time_s, again, dropped=again)
        else:
            self._env.process(self._load(replica, time_s + self._restart_s))

    def _load(self, replica: int, at_s: float) -> Generator[Event, None, None]:
        holds = self._holds[replica]
        yield self._env.at(at_s, POWER, self._next())
        self._admit(replica, holds, at_s)

    def _admit(self, replica: int, holds: int, time_s: float) -> None:
        """It has its LLM, or lost power before it had; unless it has been held again meanwhile."""
        if self._holds[replica] != holds:
            return
        self._plane.set_admission(replica, True, None, time_s)
        if self._loader is not None and not self._plane.is_down(replica):
            self._loader.loaded(replica, time_s)

    def _wanted(self, replica: int) -> Limits:
        """The strictest of what is in force over a replica."""
        share, cap_w = self._start[replica]
        admits = True
        for controller, one in self._over[replica]:
            share = min(share, one.levers["clock"].in_force)
            cap_w = min(cap_w, one.levers["cap"].in_force)
            admits = admits and one.admits(replica)
            if controller.brake.on:
                share = min(share, self._plan.brake_clock)
        return Limits(self._level_at(replica, share), cap_w, admits)

    def _level_at(self, replica: int, share: float) -> int:
        model = self._models[replica]
        key = id(model), share
        if key not in self._levels:
            self._levels[key] = level_at(model, share)
        return self._levels[key]

    def _count(self, replica: int, before: int, level: int, time_s: float) -> None:
        """Meter a replica's change of level."""
        hz = self._models[replica].clocks_hz
        old, new = hz[before] / max(hz), hz[level] / max(hz)
        clocks = self.pools[self._pool_of[replica]]
        capped = int(new < 1.0) - int(old < 1.0)
        clocks.capped.set(clocks.capped.value + capped, time_s)
        clocks.shares.set(clocks.shares.value + new - old, time_s)
