"""Two thresholds, low priority first, and a brake: POLCA (arXiv 2308.12908)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sim.policies.base import register
from sim.policies.power.base import (
    Brake,
    Clock,
    Command,
    PowerPolicy,
    PowerView,
    Release,
    need_order,
    need_shares,
    watched,
)
from sim.rng import KeyedBits


@register("power", "polca")
@dataclass(frozen=True)
class Polca(PowerPolicy):
    """Cap low priority early, high priority only if that was not enough, and brake at the limit.

    Above ``cap_at`` of the limit the low class runs at ``low_clock``; above ``deep_at`` at
    ``low_deep_clock`` and, once a reading taken after that is still above, the high class at
    ``high_clock``; above ``brake_at`` the brake is pulled, with all of these at once. Each step is
    undone ``hysteresis`` below its threshold. Pools of priority ``low_from`` and above are the low
    class. Clocks are shares of the maximum: 1,275, 1,110 and 1,305 of an A100's 1,410 MHz.
    Without telemetry both classes take their deepest clocks and nothing is braked. With all three
    at 100 % only the brake is left.
    """

    watch: str = "pdu"
    cap_at: float = 0.80
    deep_at: float = 0.89
    brake_at: float = 1.00
    hysteresis: float = 0.05
    low_clock: float = 0.90
    low_deep_clock: float = 0.79
    high_clock: float = 0.93
    low_from: int = 2

    fastest = "brake"

    def __post_init__(self) -> None:
        watched(self)
        need_shares(self, "low_clock", "low_deep_clock", "high_clock")
        need_order(self, "cap_at", "deep_at", "brake_at")
        if self.low_deep_clock > self.low_clock:
            raise ValueError(
                f"low_deep_clock {self.low_deep_clock:g} must not be above low_clock "
                f"{self.low_clock:g}"
            )
        if not 0.0 <= self.hysteresis < self.cap_at:
            raise ValueError(f"hysteresis must be from 0 to below cap_at, not {self.hysteresis:g}")
        if not 1 <= self.low_from <= 7:
            raise ValueError(f"low_from must be a priority from 1 to 7, not {self.low_from}")

    def deepest(self, priority: int) -> float:
        """The deep clock of its class."""
        return self.low_deep_clock if priority >= self.low_from else self.high_clock

    def decide(self, view: PowerView, state: Any, rng: KeyedBits) -> Iterator[Command]:
        """Commands for one reading."""
        low = [one for one in view.classes if one.priority >= self.low_from]
        high = [one for one in view.classes if one.priority < self.low_from]
        use = view.use
        braking = use is not None and use > self.brake_at
        if use is None or braking:
            if braking:
                yield Brake()
            yield from (Clock(self.low_deep_clock, one.priority) for one in low)
            yield from (Clock(self.high_clock, one.priority) for one in high)
            return
        if view.brake == "on" and use < self.brake_at - self.hysteresis:
            yield Release()
        for one in low:
            share = one.commanded
            if use > self.deep_at:
                share = self.low_deep_clock
            elif use < self.cap_at - self.hysteresis:
                share = 1.0
            elif use < self.deep_at - self.hysteresis:
                share = max(share, self.low_clock)
            if self.cap_at < use <= self.deep_at:
                share = min(share, self.low_clock)
            yield Clock(share, one.priority)
        low_has_acted = all(one.seen and one.in_force <= self.low_deep_clock for one in low)
        for one in high:
            if use > self.deep_at and low_has_acted:
                yield Clock(self.high_clock, one.priority)
            elif use < self.deep_at - self.hysteresis:
                yield Clock(1.0, one.priority)
