"""run: the control plane. SimPy is the clock of the few events that are not requests.

The loop lets the serving plane handle everything strictly before the next control event, then
moves the clock there.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import count

from simpy.events import Event

from sim.check.scenario import PlannedEvent
from sim.engine.control import Chain
from sim.engine.cooling_load import CoolingLoad
from sim.engine.environment import FACILITY, POWER, OrderedEnvironment
from sim.engine.facility import Facility
from sim.engine.first_compile import prepare
from sim.engine.handover import PACED, Move
from sim.engine.migration import Migrations
from sim.engine.neighbours import start_neighbours
from sim.engine.network import Network
from sim.engine.places import Places
from sim.engine.plane import ServingPlane
from sim.engine.recorder import Recorder
from sim.engine.reference import ReferencePlane
from sim.engine.spans import Spans
from sim.engine.transfers import Transfers
from sim.engine.weights import WeightLoader
from sim.engine.world import World
from sim.errors import UnknownName
from sim.results.sink import Sink
from sim.site.load import milliwatts
from sim.units import format_si

#: ``progress(simulated_s, horizon_s)``.
Progress = Callable[[float, float], None]


def _compiled(world: World, recorder: Recorder) -> ServingPlane:
    from sim.engine.compiled import CompiledPlane  # imports numba

    prepare("compiled")
    return CompiledPlane(world, recorder)


#: Engines by name. They give equal results; the reference is the specification, the compiled one
#: is some hundred times as fast.
ENGINES: dict[str, Callable[[World, Recorder], ServingPlane]] = {
    "compiled": _compiled,
    "reference": ReferencePlane,
}
ENGINE = "compiled"

#: How often progress is reported over a run.
PROGRESS_STEPS = 500


def run(
    world: World, sink: Sink, *, engine: str = ENGINE, progress: Progress | None = None
) -> tuple[str, ...]:
    """Run ``world`` to its horizon; every row goes to ``sink``.

    Returns:
        What a user should know that only the run could find out.

    Raises:
        UnknownName: no such engine.
        SimulationError: the run cannot go on.
    """
    if engine not in ENGINES:
        raise UnknownName("engine", engine, ENGINES)
    controlled = _Run(world, Recorder(world.scenario, sink), engine, progress)
    controlled.plan()
    controlled.loop()
    return tuple(controlled.recorder.warnings)


class _Run:
    """One run: the plane, the clock, and whoever acts on the plane at stated times."""

    def __init__(
        self, world: World, recorder: Recorder, engine: str, progress: Progress | None
    ) -> None:
        self.world, self.recorder, self.progress = world, recorder, progress
        self.scenario, self.horizon_s = world.scenario, world.horizon_s
        for row in world.decisions:
            recorder.decision(row)
        self.plane = ENGINES[engine](world, recorder)
        self.places = Places.of(world)
        self.env = OrderedEnvironment()
        self._timers = count()
        self.network: Network | None = None
        self.loader: WeightLoader | None = None
        if world.fabric is not None:
            self.network = Network(
                world.fabric, world.scenario.paths, world.seed, self.env, world.scenario.duration_s
            )
            self.transfers = Transfers(world, self.places, self.network, self.plane, recorder)
            self.spans = Spans(world, self.network, self.plane, self._cut, self._joined)
            start_neighbours(world.scenario.neighbours, self.network, recorder)
            if any(pool.weights is not None for pool in world.scenario.pools):
                self.loader = WeightLoader(world, self.places, self.network, recorder, self._at)
        self.facility = Facility(world, self.plane, recorder, self._at, self.places, self.loader)
        self.cooling = CoolingLoad(world, self.plane, self.facility, self._at)
        self.chain = Chain(self.env, self.plane, world, recorder, self.loader)
        fleet = self.facility.fleet
        fleet.moved.append(self.chain.moved)
        if self.network is not None:
            fleet.moved += [self.transfers.moved, self.spans.moved]
        self.migrations = fleet.migrations = Migrations(
            world, self.places, self.plane, recorder, self._at, fleet, self.network, self.loader
        )

    def plan(self) -> None:
        """Put on the clock what is known beforehand: the window, the script, reports."""
        scenario = self.scenario
        acts: list[tuple[float, Callable[[float], None]]] = [
            (scenario.warm_up_s, self._open_window),
            (scenario.duration_s, self._close_window),
        ]
        self.facility.fleet.start()
        acts += [(planned.at_s, partial(self._happen, planned)) for planned in scenario.events]
        if self.progress is not None:
            acts += [
                (self.horizon_s * step / PROGRESS_STEPS, self._report)
                for step in range(1, PROGRESS_STEPS)
            ]
        for number, (time_s, happens) in enumerate(acts):
            self._schedule(time_s, happens, FACILITY, number)
        self.cooling.start()
        self.chain.start()

    def loop(self) -> None:
        """Advance the plane to the next event of the clock, and the clock through it."""
        now_s = 0.0
        while True:
            if self.network is not None:
                self.network.settle()
                self.spans.follow(now_s)
            stop = self.plane.advance(min(self.env.peek(), self.horizon_s))
            now_s = stop.time_s
            if stop.code == "moves":
                self._move(stop.moves)
                continue
            if stop.code == "parked":
                self.facility.fleet.parked(stop.time_s)
                continue
            if stop.code == "power":
                self._at(stop.time_s, self.facility.settle)
            elif self.env.peek() > self.horizon_s:
                break
            self.env.step()
        self._finish(self.horizon_s, "the drain is over")
        if self.progress is not None:
            self.progress(self.horizon_s, self.horizon_s)

    def _move(self, moves: tuple[Move, ...]) -> None:
        """What the plane says about the network."""
        for move in moves:
            if move.kind == PACED:
                self.spans.pace(move)
            else:
                self.transfers.take(move)

    def _at(self, time_s: float, act: Callable[[float], None]) -> None:
        self._schedule(time_s, act, POWER, next(self._timers))

    def _schedule(
        self, time_s: float, act: Callable[[float], None], order: int, number: int
    ) -> None:
        event = self.env.at(time_s, order, number)

        def happen(_: Event) -> None:
            act(time_s)

        event.callbacks = [happen]

    def _happen(self, planned: PlannedEvent, time_s: float) -> None:
        """An event of the script."""
        facility, node = self.facility, planned.node
        match planned.kind:
            case "fail":
                facility.fail(node, time_s)
            case "restore":
                facility.restore(node, time_s)
            case "fail-module":
                facility.fail_module(node, time_s)
            case "restore-module":
                facility.restore_module(node, time_s)
            case "budget":
                self.plane.change_limit(node, milliwatts(planned.budget_w), time_s)
                self.chain.change_limit(node, planned.budget_w)
                name, text = self.scenario.power.nodes[node].name, format_si(planned.budget_w, "W")
                self.recorder.event(time_s, "budget-changes", name, f"{text} from now on")
            case "fail-part" | "restore-part":
                self._change_part(planned.part, planned.kind == "fail-part", time_s)
            case "add":
                facility.fleet.add(planned.pool, planned.replicas, time_s)
            case "remove":
                facility.fleet.remove(planned.pool, planned.replicas, time_s)
            case "scale":
                facility.fleet.scale(planned.pool, planned.replicas, time_s)
            case "migrate":
                self.migrations.migrate(planned.pool, planned.replica, planned.kv, time_s)
            case "defragment":
                self.migrations.defragment(planned.replicas, planned.kv, time_s)
            case _:
                raise AssertionError(f"no such event: {planned.kind}")

    def _change_part(self, part: str, dies: bool, time_s: float) -> None:
        """A part of the network fails or is restored; where nothing moves it is only told."""
        kind = "fails" if dies else "is restored"
        self.recorder.event(time_s, kind, part, "by the scenario's events")
        if self.network is None:
            return
        if dies:
            self.network.fail(part, time_s)
            return
        self.network.restore(part, time_s)
        self.spans.rejoin(time_s)
        if self.loader is not None:
            self.loader.retry(time_s)

    def _cut(self, replica: int, why: str, time_s: float) -> None:
        self.facility.fleet.cut(replica, why, time_s)

    def _joined(self, replica: int, time_s: float) -> None:
        self.facility.fleet.joined(replica, time_s)

    def _open_window(self, time_s: float) -> None:
        self.plane.open_window(time_s)
        if self.network is not None:
            self.network.open_window(time_s)
        self.chain.open_window(time_s)
        detail = "metrics cover arrivals from here"
        self.recorder.event(time_s, "window-opens", self.scenario.name, detail)

    def _close_window(self, time_s: float) -> None:
        self.plane.close_window(time_s)
        if self.network is not None:
            self.network.close_window(time_s)
        self.chain.close_window(time_s)
        flying = self.plane.in_flight()
        detail = f"arrivals end, {flying} requests in flight have the drain to finish"
        self.recorder.event(time_s, "window-closes", self.scenario.name, detail)

    def _finish(self, time_s: float, why: str) -> None:
        scenario = self.scenario
        if scenario.warm_up_s < time_s < scenario.duration_s:
            self.plane.close_window(time_s)
            self.chain.close_window(time_s)
        self.plane.finish(time_s)
        if self.network is not None:
            if scenario.warm_up_s < time_s < scenario.duration_s:
                self.network.close_window(time_s)
            self.transfers.finish()
            for table, columns in self.network.tables(time_s).items():
                self.recorder.write(table, columns)
            self.migrations.finish()
        if self.loader is not None:
            self.loader.finish()
        self.chain.finish(min(scenario.duration_s, time_s) - scenario.warm_up_s)
        self.env.forget()
        self.recorder.event(time_s, "run-ends", scenario.name, why)
        self.recorder.close()

    def _report(self, time_s: float) -> None:
        if self.progress is None:
            return
        try:
            self.progress(time_s, self.horizon_s)
        except KeyboardInterrupt:
            # Between events everything is whole: what was simulated so far is worth keeping.
            self._finish(time_s, "stopped by the user")
            raise
