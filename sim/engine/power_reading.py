"""What telemetry reads off the compiled electrical tree, without touching it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sim.kernels.power_state import PowerState


def judged_mj(power: PowerState, time_s: float) -> NDArray[np.float64]:
    """[nodes] ``ServingPlane.judged_mj``: totals up to the last visit, then what is held since."""
    node = power.node
    judged_mw = np.where(node["on_intake"], node["in_mw"], node["out_mw"])
    held_s = np.nan_to_num(time_s - node["since_s"])  # NaN: never loaded
    total: NDArray[np.float64] = power.ledger["judged_mj"] + node["judged_mj"] + judged_mw * held_s
    return total
