"""The electrical tree's control in the compiled engine: what ``sim.engine.facility`` asks for."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sim.engine.limits import Limits
from sim.engine.wiring import Wiring
from sim.kernels import power as tree
from sim.kernels.power_state import PowerState, set_feeds
from sim.kernels.state import State


def rewire(power: PowerState, wiring: Wiring) -> None:
    """Write down how the tree is connected; ``sim.kernels.power.reroute`` carries it out."""
    for node, feeds in enumerate(wiring.feeds):
        set_feeds(power.node, power.edge, node, feeds)
    power.node["fed"] = True
    power.node["fed"][sorted(wiring.unfed)] = False
    power.node["extra_mw"] = 0.0
    for node, extra_mw in wiring.extra_mw.items():
        power.node["extra_mw"][node] = extra_mw
    for node, curve in wiring.curves.items():
        record = power.node[node]
        record["constant_mw"], record["linear"] = curve.constant_mw, curve.linear
        record["square_per_mw"] = curve.square_per_mw
    power.server["off"] = np.isin(np.arange(len(power.server)), sorted(wiring.off))


class TreeControl:
    """The part of the compiled plane that the facility talks to about the electrical tree."""

    state: State
    limits: Limits

    _drain_power: Callable[[], None]  # hand on what rows the tree has filled

    def change_limit(self, node: int, limit_mw: int, time_s: float) -> None:
        """A node has another limit."""
        self._drain_power()
        peak_mw = tree.change_limit(self.state.power, node, float(limit_mw), time_s)
        self.limits.change(node, limit_mw, peak_mw, time_s)

    def due_guards(self, time_s: float) -> list[int]:
        """The guards that are at their limit by ``time_s``."""
        return [int(at) for at in np.flatnonzero(self.state.power.guard["due_s"] <= time_s)]

    def give_up(self, guard: int, time_s: float) -> None:
        """A guard is at its limit."""
        tree.give_up(self.state.power, guard, time_s)

    def switch_guard(self, guard: int, on: bool, charging: bool, time_s: float) -> None:
        """A guard is on duty or off it."""
        tree.switch(self.state.power, guard, on, charging, time_s)

    def resize_guard(self, guard: int, rating_mw: int, time_s: float) -> None:
        """A guard is of another rating."""
        tree.resize(self.state.power, guard, float(rating_mw), time_s)

    def rewire(self, wiring: Wiring, time_s: float) -> None:
        """The electrical tree is connected otherwise."""
        self._drain_power()
        rewire(self.state.power, wiring)
        tree.reroute(self.state.power, time_s)
