"""Power caps that are set once, by priority, before anything runs."""

from __future__ import annotations

from dataclasses import dataclass, field

from sim.policies.base import register
from sim.policies.power.base import PowerPolicy

_W = {"dimension": "power"}


@register("power", "static-cap")
@dataclass(frozen=True)
class StaticCap(PowerPolicy):
    """Cap what each GPU of a priority draws; telemetry is not looked at.

    ``high`` is for pools of priority 0, ``normal`` for 1, ``low`` for 2 and above; 0 W: no cap.
    Iterations that draw less than the cap are not slowed at all.
    """

    high: float = field(default=0.0, metadata=_W)
    normal: float = field(default=0.0, metadata=_W)
    low: float = field(default=0.0, metadata=_W)

    watch = ""
    fastest = ""

    def __post_init__(self) -> None:
        if not any((self.high, self.normal, self.low)):
            raise ValueError("caps nobody: state high, normal or low, such as 'low: 450 W'")
        for name in ("high", "normal", "low"):
            if getattr(self, name) < 0.0:
                raise ValueError(f"{name} must not be negative, not {getattr(self, name):g} W")

    def cap_at_start(self, priority: int) -> float | None:
        """The cap of its class."""
        return (self.high, self.normal, self.low)[min(priority, 2)] or None
