"""Power policies that no engine has heard of: one that raves, one that flaps, one that lulls."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sim.policies.base import register
from sim.policies.power.base import (
    Admit,
    Brake,
    Cap,
    Clock,
    Command,
    Note,
    PowerPolicy,
    PowerView,
    Release,
)  # fmt: skip
from sim.rng import KeyedBits

SHARES = (0.1, 0.5, 0.6, 0.75, 0.8, 1.0, 1.0, 0.0, 1.5, float("nan"))
CAPS = (None, None, 100.0, 200.0, 290.0, 350.0, 420.0, 700.0, -1.0, float("nan"))


@register("power", "test-raving")
@dataclass(frozen=True)
class Raving(PowerPolicy):
    """Says anything, whatever it reads, senseless things among it."""

    watch: str = "pdu"
    most: int = 4

    def decide(self, view: PowerView, state: Any, rng: KeyedBits) -> Iterator[Command]:
        for place in range(rng.below(view.number, self.most + 1)):
            word, other = rng.two_below(view.number + (place + 1 << 32), 1000)
            if word < 100:
                yield Brake()
            elif word < 250:
                yield Release()
            elif word < 300:
                yield Note("raving", f"{view.reading_w} after {view.brake}")
            else:
                priority = (None, 0, 1, 2, 5)[other % 5]
                if word < 500:
                    yield Cap(CAPS[word % len(CAPS)], priority)
                elif word < 650:
                    yield Admit(SHARES[word % len(SHARES)], priority)
                else:
                    yield Clock(SHARES[word % len(SHARES)], priority)


@dataclass
class Swing:
    """Which way it goes next."""

    down: bool = True


@register("power", "test-flapping")
@dataclass(frozen=True)
class Flapping(PowerPolicy):
    """Down, up, down, up: all it has, at every reading, and blind as well."""

    watch: str = "utility+ups+pdu"
    needs_limit = False

    def new_state(self) -> Swing:
        return Swing()

    def at_start(self, priority: int) -> float:
        return 0.75 if priority == 2 else 1.0

    def cap_at_start(self, priority: int) -> float | None:
        return 420.0 if priority == 1 else None

    def decide(self, view: PowerView, state: Swing, rng: KeyedBits) -> Iterator[Command]:
        if state.down:
            yield Brake()
            yield Clock(0.5)
        else:
            yield Release()
            yield Clock(1.0)
        state.down = not state.down


@register("power", "test-lulling")
@dataclass(frozen=True)
class Lulling(PowerPolicy):
    """Works against the log: lets go whenever a node is over, holds back and says all is well."""

    watch: str = "utility+ups+pdu+rack"

    def decide(self, view: PowerView, state: Any, rng: KeyedBits) -> Iterator[Command]:
        if view.use is None or view.use > 1.0:
            yield Release()
            yield Clock(1.0)
        else:
            yield Clock(0.5)
        yield Note("all-is-well", f"{view.node} is within its limit")
