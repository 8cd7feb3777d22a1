"""Spans of time in which a node's draw is above its limit, each from its first moment to its last.

A node's ``alert_mw`` is its limit while it keeps to it. A draw above that which has lasted opens a
span and lowers the alert below every draw, so that each visit is looked at until a draw within the
limit has lasted: then the span becomes an OVER_ROW, and the alert the limit again. A draw that
lasts no time neither opens nor ends one.
"""

from __future__ import annotations

import numpy as np

from sim.kernels.jit import rare
from sim.kernels.power_state import OVER_MW, PowerState


@rare
def look_closer(power: PowerState, index: np.uint32, judged_mw: float, held_s: float) -> None:
    """Held for ``held_s`` from ``since_s`` on, above the limit, or below it for the first time."""
    node, ledger = power.node[index], power.ledger[index]
    if judged_mw > ledger.limit_mw:
        node.over_s += held_s
        if node.alert_mw != OVER_MW:
            node.alert_mw = OVER_MW
            ledger.over_since_s = node.since_s
            ledger.over_high_mw = judged_mw
        ledger.over_high_mw = max(ledger.over_high_mw, judged_mw)
    else:
        write_over(power, index)


@rare
def write_over(power: PowerState, index: np.uint32) -> None:
    """Hand on the span above the limit that ended at ``since_s``."""
    node, ledger, count = power.node[index], power.ledger[index], power.count[0]
    row = power.over_row[count.over_rows]
    row.start_s = ledger.over_since_s
    row.end_s = node.since_s
    row.peak_mw = int(ledger.over_high_mw)
    row.limit_mw = int(ledger.limit_mw)
    row.node = index
    count.over_rows += 1
    node.alert_mw = ledger.limit_mw
