"""Clocks that are set once, by priority, before anything runs."""

from __future__ import annotations

from dataclasses import dataclass

from sim.policies.base import register
from sim.policies.power.base import PowerPolicy, need_shares


@register("power", "static-clock")
@dataclass(frozen=True)
class StaticClock(PowerPolicy):
    """Run each priority at a fixed share of the maximum clock; telemetry is not looked at.

    ``high`` is for pools of priority 0, ``normal`` for 1, ``low`` for 2 and above.
    """

    high: float = 1.0
    normal: float = 1.0
    low: float = 0.85

    watch = ""
    fastest = ""

    def __post_init__(self) -> None:
        need_shares(self, "high", "normal", "low")

    def at_start(self, priority: int) -> float:
        """The share of its class."""
        return (self.high, self.normal, self.low)[min(priority, 2)]
