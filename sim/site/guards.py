"""What watches the electrical tree: each breaker, each UPS's overload and charge, node by node.

A guard gathers something while its node delivers (heat, energy, a share of an allowance, spent
charge) and gives up where that reaches its limit; ``sim.catalog.protection`` has the equations.
Both engines keep the same guards and ask the same questions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

from sim.catalog.protection import Battery, Breaker, Electronic, Overload, Thermal
from sim.site.load import milliwatts
from sim.site.types import PowerNode, PowerTree

#: What a guard stands for. A UPS's three tables and its charge take turns, by what feeds its load.
BREAKER, INVERTER, ON_BATTERY, BYPASS, CHARGE = (
    "breaker",
    "inverter",
    "on-battery",
    "bypass",
    "charge",
)


@dataclass(frozen=True)
class Guard:
    """A device on a node of the tree; loads are milliwatts that the node delivers.

    What it has gathered is 0 to begin with and grows to ``limit``. ``trip_mw``: what a thermal
    breaker holds for ever, as a whole number, so that exactly 120 % is exactly that.
    """

    node: int
    kind: str
    device: Breaker | Overload | Battery
    rating_mw: int

    @property
    def limit(self) -> float:
        """At how much of what it gathers it gives up."""
        if isinstance(self.device, Breaker) and isinstance(self.device.element, Thermal):
            return self.device.element.trip_heat
        return 1.0

    @property
    def trip_mw(self) -> int:
        """The highest load that a thermal breaker holds for ever."""
        if isinstance(self.device, Breaker) and isinstance(self.device.element, Thermal):
            heat = Fraction(str(self.device.element.trip_heat))
            return math.isqrt(int(self.rating_mw**2 * heat))
        return 0

    @property
    def held_mw(self) -> float:
        """The highest load that a breaker holds for ever."""
        if not isinstance(self.device, Breaker):
            raise AssertionError("only a breaker holds")
        element = self.device.element
        edge_mw = float(self.trip_mw)
        if isinstance(element, Electronic):
            edge_mw = element.pickup * self.rating_mw
        return min(edge_mw, self.magnetic_mw)

    @property
    def magnetic_mw(self) -> float:
        """From where on it opens at once."""
        if isinstance(self.device, Breaker):
            return self.device.magnetic * self.rating_mw
        return math.inf

    def steady(self, out_mw: int) -> float:
        """What it has gathered after long at ``out_mw``, which it can hold."""
        if isinstance(self.device, Breaker):
            return min(self.device.element.steady(out_mw / self.rating_mw), self.limit)
        return 0.0

    def after(
        self, gathered: float, out_mw: int, dt_s: float, on: bool, charging: bool = False
    ) -> float:
        """What it has gathered ``dt_s`` later; one that is not ``on`` recovers.

        A battery recovers while it is ``charging`` only.
        """
        load = out_mw / self.rating_mw if on else 0.0
        match self.device:
            case Breaker(element=element):
                return element.after(gathered, load, dt_s)
            case Overload():
                return self.device.after(gathered, load, dt_s)
            case Battery():
                if on:
                    return 1.0 - self.device.after(1.0 - gathered, load, dt_s)
                return max(0.0, gathered - dt_s / self.device.recharge_s) if charging else gathered

    def seconds_left(self, gathered: float, out_mw: int, on: bool, charging: bool = False) -> float:
        """When it gives up at this load, inf = never; a battery that charges: when it is full."""
        load = out_mw / self.rating_mw
        match self.device:
            case Battery():
                if on:
                    return self.device.seconds_left(1.0 - gathered, load)
                full = not charging or gathered == 0.0
                return math.inf if full else gathered * self.device.recharge_s
            case Overload():
                return self.device.seconds_left(gathered, load) if on else math.inf
            case Breaker(element=element):
                if not on:
                    return math.inf
                if out_mw >= self.magnetic_mw:
                    return 0.0
                if isinstance(element, Electronic):
                    return element.seconds_left(gathered, load)
                return self._thermal_s(element, gathered, out_mw)

    def _thermal_s(self, element: Thermal, heat: float, out_mw: int) -> float:
        """As ``Thermal.seconds_left``, decided by whole milliwatts, without cancellation."""
        if out_mw <= self.trip_mw:
            return math.inf
        edge_mw = self.rating_mw * math.sqrt(element.trip_heat)
        above = (out_mw - edge_mw) * (out_mw + edge_mw) / self.rating_mw**2
        return element.tau_s * math.log1p(max(element.trip_heat - heat, 0.0) / above)


def bank_rating_mw(node: PowerNode, alive: int | None = None) -> int:
    """What an inverter's table counts by: the rating of the modules alive (all if not said).

    Modules share the load evenly, so what each carries of its own rating is what all carry of
    this. The bypass is one switch, rated as the bank.
    """
    if node.ups is None or node.rating_w is None:
        raise AssertionError("only a UPS with a rating has an inverter")
    modules = node.ups.modules
    if modules is None:
        return milliwatts(node.rating_w)
    return milliwatts(modules.rating(node.rating_w, modules.count if alive is None else alive))


def guards_of(tree: PowerTree) -> tuple[Guard, ...]:
    """Every guard of the tree, by node."""
    found: list[Guard] = []
    for index, node in enumerate(tree.nodes):
        if node.breaker is not None:
            rated = node.breaker
            found.append(Guard(index, BREAKER, rated.breaker, milliwatts(rated.rating_w)))
        if node.ups is None or node.rating_w is None:
            continue
        rating_mw = milliwatts(node.rating_w)
        if node.ups.product is not None:
            product = node.ups.product
            for kind, table in (
                (INVERTER, product.inverter), (ON_BATTERY, product.battery),
                (BYPASS, product.bypass),
            ):  # fmt: skip
                bank_mw = rating_mw if kind == BYPASS else bank_rating_mw(node)
                found.append(Guard(index, kind, table, bank_mw))
        if node.ups.battery is not None:
            found.append(Guard(index, CHARGE, node.ups.battery, rating_mw))
    return tuple(found)


#: The guards that are on duty while all is well.
AT_FIRST = frozenset((BREAKER, INVERTER))
