"""No power control."""

from __future__ import annotations

from dataclasses import dataclass

from sim.policies.base import register


@register("power", "none")
@dataclass(frozen=True)
class NoControl:
    """Leave every GPU at its maximum clock; draw is observed, not acted upon."""

    def new_state(self) -> None:
        """Nothing to remember."""
