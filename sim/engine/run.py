"""run: the control plane. SimPy is the clock of the few events that are not requests.

The loop lets the serving plane handle everything strictly before the next control event, then
moves the clock there.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import count

from simpy.events import Event

from sim.engine.control import Chain
from sim.engine.environment import FACILITY, POWER, OrderedEnvironment
from sim.engine.facility import Facility
from sim.engine.first_compile import prepare
from sim.engine.plane import ServingPlane
from sim.engine.recorder import Recorder
from sim.engine.reference import ReferencePlane
from sim.engine.world import World
from sim.errors import UnknownName
from sim.results.sink import Sink

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
    scenario = world.scenario
    recorder = Recorder(scenario, sink)
    for row in world.decisions:
        recorder.decision(row)
    plane = ENGINES[engine](world, recorder)
    env = OrderedEnvironment()
    timers = count()

    def at(time_s: float, act: Callable[[float], None]) -> None:
        event = env.at(time_s, POWER, next(timers))
        event.callbacks = [lambda _: act(time_s)]

    facility = Facility(world, plane, recorder, at)
    chain = Chain(env, plane, world, recorder)

    horizon_s = world.horizon_s

    def schedule(time_s: float, act: Callable[[float], None], order: int) -> None:
        event = env.at(time_s, FACILITY, order)

        def happen(_: Event) -> None:
            act(time_s)

        event.callbacks = [happen]

    def open_window(time_s: float) -> None:
        plane.open_window(time_s)
        chain.open_window(time_s)
        recorder.event(time_s, "window-opens", scenario.name, "metrics cover arrivals from here")

    def close_window(time_s: float) -> None:
        plane.close_window(time_s)
        chain.close_window(time_s)
        detail = f"arrivals end, {plane.in_flight()} requests in flight have the drain to finish"
        recorder.event(time_s, "window-closes", scenario.name, detail)

    def finish(time_s: float, why: str) -> None:
        if scenario.warm_up_s < time_s < scenario.duration_s:
            plane.close_window(time_s)
            chain.close_window(time_s)
        plane.finish(time_s)
        chain.finish(min(scenario.duration_s, time_s) - scenario.warm_up_s)
        env.forget()
        recorder.event(time_s, "run-ends", scenario.name, why)
        recorder.close()

    def report(time_s: float) -> None:
        if progress is None:
            return
        try:
            progress(time_s, horizon_s)
        except KeyboardInterrupt:
            # Between events everything is whole: what was simulated so far is worth keeping.
            finish(time_s, "stopped by the user")
            raise

    schedule(scenario.warm_up_s, open_window, 0)
    schedule(scenario.duration_s, close_window, 1)
    for number, planned in enumerate(scenario.events):
        act = facility.fail if planned.kind == "fail" else facility.restore
        schedule(planned.at_s, partial(act, planned.node), 2 + number)
    for step in range(1, PROGRESS_STEPS if progress is not None else 0):
        schedule(horizon_s * step / PROGRESS_STEPS, report, 2 + len(scenario.events))
    chain.start()
    while True:
        stop = plane.advance(min(env.peek(), horizon_s))
        if stop.code == "power":
            at(stop.time_s, facility.settle)
        elif env.peek() > horizon_s:
            break
        env.step()
    finish(horizon_s, "the drain is over")
    if progress is not None:
        progress(horizon_s, horizon_s)
    return tuple(recorder.warnings)
