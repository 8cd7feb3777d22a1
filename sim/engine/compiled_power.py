"""The electrical tree's control in the compiled engine: what ``sim.engine.facility`` asks for."""

from __future__ import annotations

import numpy as np

from sim.engine.wiring import Wiring
from sim.kernels.power_state import PowerState, set_feeds


def rewire(power: PowerState, wiring: Wiring) -> None:
    """Write down how the tree is connected; ``sim.kernels.power.reroute`` carries it out."""
    for node, feeds in enumerate(wiring.feeds):
        set_feeds(power.node, power.edge, node, feeds)
    power.node["fed"] = True
    power.node["fed"][sorted(wiring.unfed)] = False
    power.node["extra_mw"] = 0.0
    for node, extra_mw in wiring.extra_mw.items():
        power.node["extra_mw"][node] = extra_mw
    power.server["off"] = np.isin(np.arange(len(power.server)), sorted(wiring.off))
