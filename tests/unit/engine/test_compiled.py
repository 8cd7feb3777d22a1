"""The compiled plane as an object."""

from __future__ import annotations

import gc
import weakref
from typing import Any

from sim.engine.api import load_scenario, run_scenario
from sim.engine.compiled import CompiledPlane
from sim.engine.recorder import Recorder
from sim.kernels.advance import advance
from sim.paths import share
from sim.results.memory import MemorySink
from tests.engine_world import Given, ListSink, model, pool, scenario, workload, world


def test_a_plane_is_gone_when_nobody_needs_it() -> None:
    """Studies make thousands: none may wait for the garbage collector with its arrays."""

    def ended() -> CompiledPlane:
        a_scenario = scenario([pool(model())], [workload()])
        a_world = world(a_scenario, [Given([{"arrival_s": 0.1, "output_tokens": 3}])])
        plane = CompiledPlane(a_world, Recorder(a_scenario, ListSink()))
        plane.advance(5.0)
        return plane

    ended()  # where kernels are compiled, numba holds on to who called them
    gc.disable()
    try:
        plane = ended()
        gone = weakref.ref(plane)
        del plane
        assert gone() is None
    finally:
        gc.enable()


def test_the_loop_is_compiled_for_one_kind_of_arguments() -> None:
    """Events at whole seconds would have it compiled again, for a minute, with whole numbers."""
    checked = load_scenario(share("scenarios") / "lost-feed.yaml")
    run_scenario(checked, 1, sink=MemorySink())
    loop: Any = advance
    assert len(loop.signatures) == 1
