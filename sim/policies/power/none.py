"""No power control."""

from __future__ import annotations

from dataclasses import dataclass

from sim.policies.base import register
from sim.policies.power.base import PowerPolicy


@register("power", "none")
@dataclass(frozen=True)
class NoControl(PowerPolicy):
    """Leave every GPU at its maximum clock; draw is observed, not acted upon."""

    watch = ""
    fastest = ""
