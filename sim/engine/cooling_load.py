"""The cooling plant as a load of the electrical tree: what it draws, minute by minute.

Water and air have thermal inertia, so the plant follows the mean heat of the minute before, at that
minute's wet bulb, and holds its draw for a minute; in the first one it carries what the site draws
idle. The heat is all that the utility and generators deliver to the site, but for the plant's own
draw; on batteries it is what the racks take in. Through the drain the weather is that of the last
minute of the duration.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from sim.engine.facility import Facility
from sim.engine.fleet import At
from sim.engine.idle import idle_gpu_mw
from sim.engine.plane import ServingPlane
from sim.engine.world import World
from sim.errors import SimulationError
from sim.site.cooling import cooling
from sim.site.load import server_out_mw, tree_flow

MINUTE_S = 60.0


class CoolingLoad:
    """What the plant draws during one run; nothing where no node of the tree stands for it."""

    def __init__(self, world: World, plane: ServingPlane, facility: Facility, at: At) -> None:
        self._world, self._plane, self._facility, self._at = world, plane, facility, at
        self._site, self._tree = world.scenario.site, world.scenario.power
        kinds = [node.kind for node in self._tree.nodes]
        self._node = kinds.index("cooling") if "cooling" in kinds else None
        self._utility = kinds.index("utility")
        self._sources = np.array([kind in ("utility", "generator") for kind in kinds])
        self._racks = np.array([kind == "rack" for kind in kinds])
        self._wet_bulb = world.scenario.facility.wet_bulb_c
        self._plant = world.scenario.facility.plant
        share = world.scenario.facility.liquid_share
        self._liquid = np.array([share.get(node.name, 0.0) for node in self._tree.nodes])
        self._before_mj = np.zeros(len(kinds))

    def start(self) -> None:
        """The first minute, and from then on every minute."""
        if self._node is None:
            return
        draws = idle_gpu_mw(self._site, self._world.replicas)
        servers = list(map(server_out_mw, self._site.node_types, draws))
        out_mw, in_mw = tree_flow(self._tree, np.array(servers, dtype=np.int64))
        judged_mw = np.where(np.arange(len(in_mw)) == self._utility, in_mw, out_mw)
        self._draw(judged_mw / 1000.0, 0, 0.0)
        for minute in range(1, math.ceil(self._world.horizon_s / MINUTE_S)):
            self._at(minute * MINUTE_S, self._next)

    def _next(self, time_s: float) -> None:
        """A minute has ended: the plant carries its mean heat in the next one."""
        now_mj = self._plane.judged_mj(time_s)
        mean_w = np.rint((now_mj - self._before_mj) / MINUTE_S) / 1000.0
        self._before_mj = now_mj
        self._draw(mean_w, round(time_s / MINUTE_S) - 1, time_s)

    def _draw(self, judged_w: NDArray[np.float64], minute: int, time_s: float) -> None:
        """Draw what carries the heat of these loads, [nodes] W, in the weather of a minute."""
        assert self._node is not None
        assert self._plant is not None
        assert self._wet_bulb is not None
        liquid_w = float(judged_w @ self._liquid)
        fed_w = float(judged_w[self._sources].sum() - judged_w[self._node])
        air_w = max(fed_w, float(judged_w[self._racks].sum())) - liquid_w
        last = math.ceil(self._world.scenario.duration_s / MINUTE_S) - 1
        outside_c = self._wet_bulb.at(np.array([min(minute, last)]))
        try:
            drawn = cooling(self._plant, max(air_w, 0.0), liquid_w, outside_c)
        except ValueError as error:
            raise SimulationError(time_s, "cooling", str(error)) from error
        self._facility.cool(self._node, round(float(drawn.total_w[0]) * 1000.0), time_s)
