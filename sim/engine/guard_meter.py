"""Guards at work in the reference engine: brought up to each change of load, one by one."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import replace

from sim.site.guards import AT_FIRST, Guard


class GuardMeter:
    """One guard: what it has gathered up to ``since_s``, and when it will give up."""

    __slots__ = ("charging", "due_s", "gathered", "guard", "on", "out_mw", "since_s")

    def __init__(self, guard: Guard) -> None:
        self.guard = guard
        self.on = guard.kind in AT_FIRST
        self.charging = False
        self.gathered = 0.0
        self.out_mw = 0
        self.since_s = 0.0
        self.due_s = math.inf

    def set(self, out_mw: int, time_s: float) -> None:
        """From ``time_s`` on its node delivers ``out_mw``."""
        self._settle(time_s)
        self.out_mw = out_mw
        self._look_ahead(time_s)

    def switch(self, on: bool, charging: bool, time_s: float) -> None:
        """It is on duty from ``time_s`` on, or off it; a battery off duty charges or rests."""
        self._settle(time_s)
        self.on, self.charging = on, charging
        self._look_ahead(time_s)

    def give_up(self, time_s: float) -> None:
        """It reaches its limit at ``time_s``: exactly there, whatever rounding says; then off."""
        self._settle(time_s)
        self.gathered = self.guard.limit if self.on else 0.0
        self.on = False
        self.due_s = math.inf

    def resize(self, rating_mw: int, time_s: float) -> None:
        """It is of another rating from ``time_s`` on."""
        self._settle(time_s)
        self.guard = replace(self.guard, rating_mw=rating_mw)
        self._look_ahead(time_s)

    def _settle(self, time_s: float) -> None:
        # A load held for no time gathers nothing, and is not a pause either.
        if time_s > self.since_s:
            self.gathered = self.guard.after(
                self.gathered, self.out_mw, time_s - self.since_s, self.on, self.charging
            )
        self.since_s = time_s

    def _look_ahead(self, time_s: float) -> None:
        self.due_s = time_s + self.guard.seconds_left(
            self.gathered, self.out_mw, self.on, self.charging
        )


class GuardMeters:
    """Every guard of a tree, by node."""

    def __init__(self, guards: tuple[Guard, ...]) -> None:
        self.all = [GuardMeter(guard) for guard in guards]
        self._of_node: dict[int, list[GuardMeter]] = defaultdict(list)
        for meter in self.all:
            self._of_node[meter.guard.node].append(meter)

    def set(self, node: int, out_mw: int, time_s: float) -> None:
        """A node delivers ``out_mw`` from ``time_s`` on."""
        for meter in self._of_node.get(node, ()):
            meter.set(out_mw, time_s)

    def warm_up(self) -> None:
        """What is drawn now has been drawn for long."""
        for meter in self.all:
            if meter.on:
                meter.gathered = meter.guard.steady(meter.out_mw)
                meter.set(meter.out_mw, meter.since_s)

    @property
    def due_s(self) -> float:
        """When the first one gives up; inf = none as things are."""
        return min((meter.due_s for meter in self.all), default=math.inf)
