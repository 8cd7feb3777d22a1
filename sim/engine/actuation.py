"""Actuators: commands on their way to the GPUs, in order, and the clocks that come of them.

A replica runs at the lowest clock that anybody has in force over it: the policy's at the start, any
controller's above it (two feeds are two controllers), the brake's.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence

from simpy.events import Event

from sim.engine.controllers import ClassState, Controller, priority_name
from sim.engine.environment import POWER, OrderedEnvironment
from sim.engine.meters import Integral
from sim.engine.plane import ServingPlane
from sim.engine.recorder import Recorder
from sim.engine.world import World
from sim.perf.step import ReplicaModel
from sim.policies.power.base import SAME_CLOCK

#: What happens to power at one instant, in this order; then by number.
ACT, READ, ARRIVE = range(3)


def order(stage: int, number: int) -> int:
    """The id of an event of class POWER: after those of the facility, which are small numbers."""
    return stage + 1 << 60 | number


def level_at(model: ReplicaModel, share: float) -> int:
    """The highest clock level that is not above ``share`` of the maximum, else the lowest."""
    top_hz = max(model.clocks_hz)
    shares = [hz / top_hz for hz in model.clocks_hz]
    fitting = [level for level, own in enumerate(shares) if own <= share + SAME_CLOCK]
    if fitting:
        return max(fitting, key=shares.__getitem__)
    return min(range(len(shares)), key=shares.__getitem__)


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
    ) -> None:
        self._env, self._plane, self._recorder = env, plane, recorder
        self._plan = world.scenario.actuation
        self._models = [placed.model for placed in world.replicas]
        self._pool_of = [placed.pool for placed in world.replicas]
        policy, pools = world.scenario.power_policy, world.scenario.pools
        self._start: list[float] = [policy.at_start(pools[pool].priority) for pool in self._pool_of]
        self._over: list[list[tuple[Controller, ClassState]]] = [[] for _ in world.replicas]
        for controller in controllers:
            for one in controller.classes:
                for replica in one.replicas:
                    self._over[replica].append((controller, one))
        self._share = [1.0] * len(world.replicas)
        self._level = [0] * len(world.replicas)
        self._levels: dict[tuple[int, float], int] = {}
        self.pools = [PoolClocks(self._pool_of.count(pool)) for pool in range(len(pools))]
        self._commands = 0

    def start(self) -> None:
        """Put every replica on the clock at which the policy lets it start, at time 0."""
        for share in sorted({share for share in self._start if share < 1.0}):
            mine = [replica for replica, own in enumerate(self._start) if own == share]
            text = f"{len(mine)} replicas run at {100 * share:g} % of the maximum clock at most"
            self._recorder.event(0.0, "clock-set", "site", text)
        self._apply(range(len(self._start)), 0.0)

    # ---- commands ------------------------------------------------------------------------

    def set_clock(
        self, controller: Controller, one: ClassState, share: float, now_s: float
    ) -> None:
        """Send a command for a class; it follows what is in flight to the same actuator."""
        begins_s = max(now_s + self._plan.clock_delay_s, one.free_s)
        one.free_s = begins_s + (self._plan.clock_steps - 1) * self._plan.clock_step_s
        one.commanded = share
        one.in_flight += 1
        what = f"{priority_name(one.priority)} to {100 * share:g} % of the maximum clock"
        text = f"{what}, from {begins_s:.10g} s on"
        self._recorder.event(now_s, "clock-commanded", controller.name, text)
        self._env.process(self._ramp(controller, one, share, begins_s, what))

    def _ramp(
        self, controller: Controller, one: ClassState, share: float, begins_s: float, what: str
    ) -> Generator[Event, None, None]:
        """Equal steps from the clock in force to the commanded one."""
        identity, steps = self._next(), self._plan.clock_steps
        yield self._env.at(begins_s, POWER, identity)
        first = one.in_force
        for step in range(1, steps + 1):
            if step > 1:
                at_s = begins_s + (step - 1) * self._plan.clock_step_s
                yield self._env.at(at_s, POWER, identity)
            one.in_force = share if step == steps else first + (share - first) * step / steps
            self._apply(one.replicas, self._env.now)
        one.in_flight -= 1
        one.acted_s = self._env.now
        self._recorder.event(self._env.now, "clock-acted", controller.name, what)

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

    # ---- clocks --------------------------------------------------------------------------

    def _wanted(self, replica: int) -> float:
        """The lowest share of the maximum clock in force over a replica."""
        share: float = self._start[replica]
        for controller, one in self._over[replica]:
            share = min(share, one.in_force)
            if controller.brake.on:
                share = min(share, self._plan.brake_clock)
        return share

    def _apply(self, replicas: Iterable[int], time_s: float) -> None:
        """Set the clocks of replicas whose level changes, level by level."""
        changed: dict[int, list[int]] = {}
        for replica in replicas:
            level = self._level_at(replica, self._wanted(replica))
            if level != self._level[replica]:
                changed.setdefault(level, []).append(replica)
        for level, some in sorted(changed.items()):
            self._plane.set_clocks(some, level, time_s)
            for replica in some:
                self._count(replica, level, time_s)

    def _level_at(self, replica: int, share: float) -> int:
        model = self._models[replica]
        key = id(model), share
        if key not in self._levels:
            self._levels[key] = level_at(model, share)
        return self._levels[key]

    def _count(self, replica: int, level: int, time_s: float) -> None:
        """Meter a replica's change of level."""
        hz = self._models[replica].clocks_hz
        share, clocks = hz[level] / max(hz), self.pools[self._pool_of[replica]]
        capped = int(share < 1.0) - int(self._share[replica] < 1.0)
        clocks.capped.set(clocks.capped.value + capped, time_s)
        clocks.shares.set(clocks.shares.value + share - self._share[replica], time_s)
        self._level[replica], self._share[replica] = level, share
