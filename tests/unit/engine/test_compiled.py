"""The compiled plane as an object."""

from __future__ import annotations

import gc
import weakref

from sim.engine.compiled import CompiledPlane
from sim.engine.recorder import Recorder
from tests.engine_world import Given, ListSink, model, pool, scenario, workload, world


def test_a_plane_is_gone_when_nobody_needs_it() -> None:
    """Studies make thousands: none may wait for the garbage collector with its arrays."""
    a_scenario = scenario([pool(model())], [workload()])
    a_world = world(a_scenario, [Given([{"arrival_s": 0.1, "output_tokens": 3}])])
    gc.disable()
    try:
        plane = CompiledPlane(a_world, Recorder(a_scenario, ListSink()))
        plane.advance(5.0)
        gone = weakref.ref(plane)
        del plane
        assert gone() is None
    finally:
        gc.enable()
