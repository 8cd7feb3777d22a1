"""Three bands, low priority first, clocks in proportion: after Dynamo (Wu et al., ISCA 2016)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from sim.policies.base import register
from sim.policies.power.base import (
    ClassView,
    Clock,
    Command,
    PowerPolicy,
    PowerView,
    need_order,
    need_shares,
    watched,
)
from sim.rng import KeyedBits


@dataclass
class Turn:
    """When a controller last decided."""

    last_s: float = float("-inf")


@register("power", "dynamo")
@dataclass(frozen=True)
class Dynamo(PowerPolicy):
    """Above ``cap_at`` of the limit bring the draw to ``target``; below ``uncap_at`` free it.

    To take the share x off the draw, a class loses ``gain``·x of its clock, down to ``floor``: the
    class served last first, the next one only once the one before is at its floor and that shows
    in a reading. Nothing more is taken until what was commanded shows. Nodes of the lowest watched
    kind decide at every reading, those above it once in ``upper_period``. There is no brake, and
    without telemetry clocks stay where they are.
    """

    watch: str = "pdu"
    cap_at: float = 0.99
    target: float = 0.95
    uncap_at: float = 0.90
    gain: float = field(default=2.0, metadata={"dimension": "count"})
    floor: float = 0.5
    upper_period: float = field(default=9.0, metadata={"dimension": "time"})

    fastest = "clock"

    def __post_init__(self) -> None:
        watched(self)
        need_shares(self, "floor", "uncap_at")
        need_order(self, "uncap_at", "target", "cap_at")
        if not self.gain > 0.0:
            raise ValueError(f"gain must be above 0, not {self.gain:g}")
        if self.upper_period < 0.0:
            raise ValueError(f"upper_period must not be negative, not {self.upper_period:g} s")

    def new_state(self) -> Turn:
        """It has not decided yet."""
        return Turn()

    def deepest(self, priority: int) -> float:
        """The floor."""
        return self.floor

    def decide(self, view: PowerView, state: Turn, rng: KeyedBits) -> Iterator[Command]:
        """Commands for one reading, if it is this controller's turn."""
        upper = view.kind != watched(self)[-1]
        if view.use is None or (upper and view.time_s < state.last_s + self.upper_period):
            return
        state.last_s = view.time_s
        if view.use < self.uncap_at:
            yield Clock(1.0)
        elif view.use > self.cap_at and all(one.seen for one in view.classes):
            victim = self._victim(view.classes)
            if victim is not None:
                excess = (view.use - self.target) / view.use
                share = victim.commanded * (1.0 - self.gain * excess)
                yield Clock(max(share, self.floor), victim.priority)

    def _victim(self, classes: tuple[ClassView, ...]) -> ClassView | None:
        """The class served last that is above its floor."""
        return next((one for one in classes if one.commanded > self.floor), None)
