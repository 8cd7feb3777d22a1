"""The grid asks for less: hold the draw below a share of what it was, for a stated time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from sim.policies.base import register
from sim.policies.power.base import (
    SAME,
    Admit,
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
#: What was delivered is told by the means of such parts, as contracts do.
PART_S = 300.0


@dataclass
class Ask:
    """What one controller knows of the event: means of readings, and what it did."""

    sum_w: float = 0.0  # of readings since the last step; before the event, of the hour before
    readings: int = 0
    base_w: float = 0.0
    held_w: float | None = None  # mean once everything that can wait was held
    reached: bool = False  # a mean over settle was within the target
    said: bool = False
    raised_s: float = float("-inf")
    parts: list[tuple[float, int]] = field(default_factory=list)  # of the event: sum, readings

    def add(self, reading_w: float) -> None:
        """One more reading."""
        self.sum_w += reading_w
        self.readings += 1

    def record(self, reading_w: float, since_s: float) -> None:
        """A reading ``since_s`` after the beginning of the event."""
        part = int(since_s / PART_S)
        self.parts += [(0.0, 0)] * (part + 1 - len(self.parts))
        sum_w, readings = self.parts[part]
        self.parts[part] = sum_w + reading_w, readings + 1

    def mean_w(self) -> float:
        """Of the readings since the last step, which begins anew."""
        mean_w = self.sum_w / max(self.readings, 1)
        self.sum_w, self.readings = 0.0, 0
        return mean_w


@register("power", "demand-response")
@dataclass(frozen=True)
class DemandResponse(PowerPolicy):
    """From ``at`` for ``lasts``, draw ``cut`` less than ``base`` (0 W: mean of the hour before).

    One step at a time, each once the mean of the readings over ``settle`` after the one before is
    still above the target: first work that can wait is held (``hold_step`` of the replicas of pools
    of priority ``flexible_from`` and above stop admitting, and with ``parks`` unload their LLM once
    they have finished what runs; 8: nothing can wait), then clocks go
    down by ``step``, the class served last first, each to its floor (``low_floor`` from priority 2
    on, else ``high_floor``); never the brake. Where nothing is left and the draw still above the
    target, it says so, with the share of the replicas that would have to wait; so it does where
    the time was over before the target was reached. Afterwards all rises together every
    ``release_every``, clocks first, then admission, so that what was put off makes no new peak.
    """

    at: float = field(metadata=_S)
    lasts: float = field(default=10_800.0, metadata=_S)
    cut: float = 0.25
    base: float = field(default=0.0, metadata={"dimension": "power"})
    watch: str = "utility"
    flexible_from: int = 2
    hold_step: float = 0.25
    step: float = 0.1
    low_floor: float = 0.6
    high_floor: float = 0.79
    settle: float = field(default=60.0, metadata=_S)
    release_every: float = field(default=300.0, metadata=_S)
    parks: bool = True

    needs_limit = False
    fastest = ""

    def __post_init__(self) -> None:
        watched(self)
        need_shares(self, "cut", "hold_step", "step", "low_floor", "high_floor")
        for name in ("at", "lasts", "base", "settle", "release_every"):
            if getattr(self, name) < 0.0:
                raise ValueError(f"{name} must not be negative, not {getattr(self, name):g}")
        if not 0 <= self.flexible_from <= 8:
            raise ValueError(f"flexible_from must be from 0 to 8, not {self.flexible_from}")

    def new_state(self) -> Ask:
        """Nothing is asked yet."""
        return Ask()

    def deepest(self, priority: int) -> float:
        """The floor of its class."""
        return self.low_floor if priority >= 2 else self.high_floor

    def lasts_s(self) -> tuple[float, float]:
        """The time for which less is asked for."""
        return self.at, self.at + self.lasts

    def decide(self, view: PowerView, state: Ask, rng: KeyedBits) -> Iterator[Command]:
        """Commands for one reading."""
        if view.reading_w is None:
            return
        if view.time_s < self.at:
            if view.from_s >= self.at - 3600.0:
                state.add(view.reading_w)
        elif view.time_s < self.at + self.lasts:
            state.record(view.reading_w, view.time_s - self.at)
            yield from self._hold(view, view.reading_w, state)
        else:
            yield from self._afterwards(view, state)

    # ---- while it lasts ------------------------------------------------------------------

    def _hold(self, view: PowerView, reading_w: float, state: Ask) -> Iterator[Command]:
        first = state.base_w == 0.0
        if first:
            before_w = state.mean_w()  # of the hour before, which no step is judged by
            state.base_w = self.base or before_w or reading_w
            yield Note("demand-response", self._asked(state))
        if not all(one.seen for one in view.classes):
            return
        state.add(reading_w)
        spanned_s = state.readings * (view.until_s - view.from_s)
        if not first and spanned_s < self.settle:
            return
        mean_w = state.mean_w()
        if mean_w <= self._target_w(state):
            state.reached = True
            return
        command = self._next_hold(view)
        if command is None:
            if state.held_w is None:
                state.held_w = mean_w
            command = self._next_clock(view)
        if command is not None:
            yield command
        elif not state.said:
            state.said = True
            yield Note("not-reachable", self._shortfall(view, mean_w, state), warn=True)

    def _asked(self, state: Ask) -> str:
        text = f"asked for {100 * self.cut:g} % less than {state.base_w:,.0f} W"
        return f"{text}: at most {self._target_w(state):,.0f} W"

    def _too_short(self) -> str:
        return (
            f"its {self.lasts:g} s were over before its steps had brought the draw to the target: "
            f"each waits until the one before has acted, then for settle, {self.settle:g} s"
        )

    def _target_w(self, state: Ask) -> float:
        return (1.0 - self.cut) * state.base_w

    def _next_hold(self, view: PowerView) -> Command | None:
        """Hold one more part of the work that can wait."""
        for one in view.classes:
            if one.priority >= self.flexible_from and one.admitting > SAME:
                return Admit(max(one.admitting - self.hold_step, 0.0), one.priority)
        return None

    def _next_clock(self, view: PowerView) -> Command | None:
        """Lower the clock of the class served last that is above its floor."""
        for one in view.classes:
            floor = self.deepest(one.priority)
            if one.commanded > floor + SAME:
                return Clock(max(one.commanded - self.step, floor), one.priority)
        return None

    def _shortfall(self, view: PowerView, mean_w: float, state: Ask) -> str:
        """What was reached, and how much work would have to wait.

        What holding took off is taken to be proportional to the replicas held.
        """
        missed = (
            f"not reachable with objectives held: with everything that can wait held and every "
            f"clock at its floor it draws {mean_w:,.0f} W, above {self._target_w(state):,.0f} W"
        )
        every = sum(one.replicas for one in view.classes)
        flexible = sum(one.replicas for one in view.classes if one.priority >= self.flexible_from)
        if flexible == 0:
            return f"{missed}; no pool has priority {self.flexible_from} or more, so none can wait"
        held_w = state.base_w - (state.held_w or mean_w)
        if held_w <= 0.0:
            return f"{missed}; holding {flexible} of {every} replicas took nothing off"
        clocks_w = state.base_w - held_w - mean_w
        share = flexible / every * (self.cut * state.base_w - clocks_w) / held_w
        took = f"{missed}; holding {flexible} of {every} replicas took {held_w:,.0f} W off"
        if share > 1.0:
            return f"{took}, and not even all of them held would do"
        return f"{took}, so about {100 * share:.0f} % of the replicas would have to wait"

    def _verdict(self, state: Ask) -> str:
        """What was delivered, by the readings."""
        base_w, target_w = state.base_w, self._target_w(state)
        means_w = [sum_w / readings for sum_w, readings in state.parts if readings]
        mean_w = sum(s for s, _ in state.parts) / sum(n for _, n in state.parts)
        kept = [w <= target_w for w in means_w]
        less, least, most = (
            round(100 * (1 - w / base_w), 1) + 0.0 for w in (mean_w, max(means_w), min(means_w))
        )  # + 0.0: never "-0.0"
        return (
            f"drew {less:.1f} % less in the mean, {least:.1f} to {most:.1f} % "
            f"by {PART_S / 60:g} minutes, {sum(kept)} of {len(kept)} of these within the target"
        )

    # ---- afterwards ----------------------------------------------------------------------

    def _afterwards(self, view: PowerView, state: Ask) -> Iterator[Command]:
        if state.parts:
            yield Note("demand-response-ended", self._verdict(state))
            if not state.reached and not state.said:
                yield Note("not-reached", self._too_short(), warn=True)
            state.parts = []
        if view.time_s >= state.raised_s + self.release_every:
            state.raised_s = view.time_s
            yield from self._release(view)

    def _release(self, view: PowerView) -> Iterator[Command]:
        """One step up for everybody: clocks first, then admission."""
        slow = [one for one in view.classes if one.commanded < 1.0 - SAME]
        for one in slow:
            yield Clock(min(one.commanded + self.step, 1.0), one.priority)
        if not slow:
            for one in view.classes:
                yield Admit(min(one.admitting + self.hold_step, 1.0), one.priority)
