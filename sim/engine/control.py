"""The control chain: telemetry of power nodes, late and rounded, and what policies make of it.

Reading k of a node is its mean draw over ((k−1)·period, k·period], an energy difference, rounded to
whole milliwatts and then to the nearest multiple of the quantum. It arrives ``delay`` later, or
never. Then the policy decides, and its commands go to the actuators (``engine.actuation``).

All of it is of class POWER: at equal times after facility events and before anything of requests;
there, commands that act come first, by number, then the readings of that instant, then the arrival
of older ones, node by node in the order of the tree.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from itertools import count

from simpy.events import Event

from sim.check.scenario import Telemetry
from sim.engine.actuation import ARRIVE, READ, Actuators, order
from sim.engine.commands import Gate
from sim.engine.controllers import Controller, assign, build_controllers
from sim.engine.environment import POWER, OrderedEnvironment
from sim.engine.meters import Integral
from sim.engine.plane import ServingPlane
from sim.engine.recorder import Recorder
from sim.engine.weights import WeightLoader
from sim.engine.world import PlacedReplica, World
from sim.errors import SimulationError
from sim.policies.base import kind_of
from sim.policies.power.base import Admit, Brake, Cap, Clock, Note, Release

#: A policy that yields more commands at one decision does not end.
MOST_COMMANDS = 1000


def rounded_mw(mean_mw: float, quantum_mw: int) -> int:
    """A mean draw as a meter shows it; the middle between two multiples is rounded up.

    To whole milliwatts first: a constant draw is one, so two engines, whose sums differ in their
    last bits, show the same.
    """
    whole_mw = round(mean_mw)
    if quantum_mw <= 1:
        return whole_mw
    return (whole_mw + quantum_mw // 2) // quantum_mw * quantum_mw


class Chain:
    """Power control of one run."""

    def __init__(
        self,
        env: OrderedEnvironment,
        plane: ServingPlane,
        world: World,
        recorder: Recorder,
        loader: WeightLoader | None = None,
    ) -> None:
        scenario = world.scenario
        self._env, self._plane, self._recorder = env, plane, recorder
        self._scenario = scenario
        self._policy = scenario.power_policy
        self._kind = kind_of(self._policy)
        self._pools = scenario.pools
        self._telemetry: Telemetry = scenario.telemetry
        self._plan = scenario.actuation
        self._quantum_mw = round(scenario.telemetry.quantum_w * 1000)
        self.controllers = build_controllers(world, self._policy)
        self._actuators = Actuators(env, plane, world, recorder, self.controllers, loader)
        self._gate = Gate(self._kind, self._plan, self._actuators, recorder)

    def start(self) -> None:
        """Set the clocks of time 0 and begin to read."""
        self._actuators.start()
        if self.controllers:
            self._env.process(self._read())

    def moved(self, replica: int, placed: PlacedReplica, time_s: float) -> None:
        """A replica has other GPUs, or none: other controllers are above it."""
        assign(self.controllers, self._scenario, {replica: placed})
        self._actuators.moved(replica, placed, time_s)

    def change_limit(self, node: int, limit_w: float) -> None:
        """A node has another limit, which its controller sees from its next decision on."""
        for controller in self.controllers:
            if controller.node == node:
                controller.limit_w = limit_w

    # ---- telemetry -----------------------------------------------------------------------

    def _read(self) -> Generator[Event, None, None]:
        """One reading of every watched node after another."""
        nodes = [controller.node for controller in self.controllers]
        before_mj = self._plane.judged_mj(0.0)[nodes]
        for number in count(1):
            at_s = number * self._telemetry.period_s
            yield self._env.at(at_s, POWER, order(READ, number))
            now_mj = self._plane.judged_mj(at_s)[nodes]
            means_mw = ((now_mj - before_mj) / self._telemetry.period_s).tolist()
            before_mj = now_mj
            readings = [rounded_mw(mean_mw, self._quantum_mw) / 1000 for mean_mw in means_mw]
            self._send(number, readings, at_s)

    def _send(self, number: int, readings_w: list[float], at_s: float) -> None:
        arrives_s = at_s + self._telemetry.delay_s
        event = self._env.at(arrives_s, POWER, order(ARRIVE, number))

        def arrive(_: Event) -> None:
            for controller, reading_w in zip(self.controllers, readings_w, strict=True):
                if controller.losses.uniform(number) < self._telemetry.lost:
                    self._miss(controller, number, arrives_s)
                else:
                    self._receive(controller, number, reading_w, arrives_s)

        event.callbacks = [arrive]

    def _receive(self, controller: Controller, number: int, reading_w: float, now_s: float) -> None:
        controller.blind = False
        controller.number = number
        controller.from_s = (number - 1) * self._telemetry.period_s
        controller.until_s = number * self._telemetry.period_s
        self._decide(controller, number, reading_w, now_s)

    def _miss(self, controller: Controller, number: int, now_s: float) -> None:
        """A reading should have arrived: no decision, unless the last one is too old by now."""
        controller.count("lost")
        age_s = now_s - controller.until_s
        if age_s < self._telemetry.stale_after_s:
            return
        if not controller.blind:
            controller.blind = True
            text = f"the last reading is {age_s:.10g} s old"
            self._recorder.event(now_s, "telemetry-stale", controller.name, text)
        self._decide(controller, number, None, now_s)

    # ---- decisions -----------------------------------------------------------------------

    def _decide(
        self, controller: Controller, number: int, reading_w: float | None, now_s: float
    ) -> None:
        view = controller.view(now_s, number, reading_w, self._plan.brake_refractory_s)
        commands = self._policy.decide(view, controller.state, controller.rng)
        for rank, command in enumerate(commands):
            if rank == MOST_COMMANDS:
                raise self._nonsense(now_s, controller, f"more than {MOST_COMMANDS} commands")
            if isinstance(command, (Clock, Cap, Admit, Brake, Release)):
                self._gate.take(controller, command, rank, now_s)
            elif isinstance(command, Note):
                self._recorder.event(now_s, command.kind, controller.name, command.text)
                if command.warn:
                    self._recorder.warn(f"{controller.name} at {now_s:.10g} s: {command.text}")
            else:
                raise self._nonsense(now_s, controller, repr(command))

    def _nonsense(self, now_s: float, controller: Controller, what: str) -> SimulationError:
        return SimulationError(
            now_s,
            controller.name,
            f"power policy {self._kind!r} yielded {what}; a decision is a few of Clock, Cap, "
            "Admit, Brake, Release and Note",
        )

    # ---- the measurement window and the end ----------------------------------------------

    def _integrals(self) -> Iterator[Integral]:
        for clocks in self._actuators.pools:
            yield from clocks.integrals()
        for controller in self.controllers:
            yield controller.brake.time_on

    def open_window(self, time_s: float) -> None:
        """The measurement window starts."""
        for controller in self.controllers:
            controller.measuring = True
        for integral in self._integrals():
            integral.open_window(time_s)

    def close_window(self, time_s: float) -> None:
        """The measurement window ends."""
        for controller in self.controllers:
            controller.measuring = False
        for integral in self._integrals():
            integral.close_window(time_s)

    def finish(self, measured_s: float) -> None:
        """Write the tables ``controllers`` and ``clocks``."""
        every = self.controllers
        self._recorder.write(
            "controllers",
            {
                "node": [one.node for one in every],
                "name": [one.name for one in every],
                "kind": [one.kind for one in every],
                "commands": [one.counts["clock"] for one in every],
                "cap_commands": [one.counts["cap"] for one in every],
                "admission_commands": [one.counts["admission"] for one in every],
                "refused": [one.counts["refused"] for one in every],
                "brakes": [one.counts["brakes"] for one in every],
                "brake_s": [one.brake.time_on.window for one in every],
                "lost_readings": [one.counts["lost"] for one in every],
            },
        )
        pools = self._actuators.pools
        measured = measured_s > 0.0
        self._recorder.write(
            "clocks",
            {
                "pool": [pool.name for pool in self._pools],
                "priority": [pool.priority for pool in self._pools],
                "replicas": [clocks.replicas for clocks in pools],
                "capped_s": [clocks.capped.window for clocks in pools],
                "mean_clock": [
                    clocks.shares.window / (clocks.replicas * measured_s) if measured else None
                    for clocks in pools
                ],
            },
        )
