"""The grid asks for less: hold the draw below a share of what it was, for a stated time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from sim.policies.base import register
from sim.policies.power.base import (
    Clock,
    Command,
    Note,
    PowerPolicy,
    PowerView,
    need_shares,
    watched,
)
from sim.rng import KeyedBits

_S = {"dimension": "time"}


@dataclass
class Ask:
    """What one controller knows of the event: readings of the hour before, and what it did."""

    sum_w: float = 0.0
    readings: int = 0
    target_w: float | None = None
    said: bool = False
    raised_s: float = float("-inf")


@register("power", "demand-response")
@dataclass(frozen=True)
class DemandResponse(PowerPolicy):
    """From ``at`` for ``lasts``, draw ``cut`` less than ``base`` (0 W: mean of the hour before).

    Clocks go down by ``step`` at a time, the class served last first, each down to its floor
    (``low_floor`` from priority 2 on, else ``high_floor``) and each step only once the one before
    shows in a reading; never the brake. Where every class is at its floor and the draw still above
    the target, it says so. Afterwards all classes rise together by ``step`` every
    ``release_every``, so that what was put off makes no new peak.
    """

    at: float = field(metadata=_S)
    lasts: float = field(default=10_800.0, metadata=_S)
    cut: float = 0.25
    base: float = field(default=0.0, metadata={"dimension": "power"})
    watch: str = "utility"
    step: float = 0.1
    low_floor: float = 0.6
    high_floor: float = 0.79
    release_every: float = field(default=300.0, metadata=_S)

    needs_limit = False
    fastest = ""

    def __post_init__(self) -> None:
        watched(self)
        need_shares(self, "cut", "step", "low_floor", "high_floor")
        for name in ("at", "lasts", "base", "release_every"):
            if getattr(self, name) < 0.0:
                raise ValueError(f"{name} must not be negative, not {getattr(self, name):g}")

    def new_state(self) -> Ask:
        """Nothing is asked yet."""
        return Ask()

    def deepest(self, priority: int) -> float:
        """The floor of its class."""
        return self.low_floor if priority >= 2 else self.high_floor

    def decide(self, view: PowerView, state: Ask, rng: KeyedBits) -> Iterator[Command]:
        """Commands for one reading."""
        if view.reading_w is None:
            return
        if view.time_s < self.at:
            if view.from_s >= self.at - 3600.0:
                state.sum_w += view.reading_w
                state.readings += 1
        elif view.time_s < self.at + self.lasts:
            yield from self._hold(view, view.reading_w, state)
        elif view.time_s >= state.raised_s + self.release_every:
            state.raised_s = view.time_s
            for one in view.classes:
                yield Clock(min(one.commanded + self.step, 1.0), one.priority)

    def _hold(self, view: PowerView, reading_w: float, state: Ask) -> Iterator[Command]:
        if state.target_w is None:
            base_w = self.base or state.sum_w / max(state.readings, 1) or reading_w
            state.target_w = (1.0 - self.cut) * base_w
            text = f"asked for {100 * self.cut:g} % less than {base_w:,.0f} W"
            yield Note("demand-response", f"{text}: at most {state.target_w:,.0f} W")
        if reading_w <= state.target_w or not all(one.seen for one in view.classes):
            return
        for one in view.classes:
            floor = self.deepest(one.priority)
            if one.commanded > floor + 1e-9:
                yield Clock(max(one.commanded - self.step, floor), one.priority)
                return
        if not state.said:
            state.said = True
            text = f"with every class at its floor it draws {reading_w:,.0f} W, above the target"
            yield Note("not-reachable", f"{text} of {state.target_w:,.0f} W", warn=True)
