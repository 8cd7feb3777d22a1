"""Itemised sums of money: every line says how many of what, at which price, and from where."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

#: Hours in the year that costs are counted in: 365 days.
HOURS_PER_YEAR = 8760.0


@dataclass(frozen=True)
class Origin:
    """Where a number comes from.

    ``where``: where a scenario states it, such as ``costs.nodes.dgx-h100``. ``stated``: this one
    does; else it is the default of ``data/costs/`` with its source and ``mark``, "read" or
    "assumed".
    """

    stated: bool
    where: str
    source: str = ""
    address: str = ""
    licence: str = ""
    mark: str = ""
    note: str = ""

    @property
    def text(self) -> str:
        """``stated``, or ``default (read), source: …``."""
        return "stated" if self.stated else f"default ({self.mark}), source: {self.source}"


@dataclass(frozen=True)
class Known:
    """A number with its origin."""

    value: float
    origin: Origin


@dataclass(frozen=True)
class Line:
    """``number`` of ``unit`` at ``unit_price_usd`` each.

    ``group``: "servers", "network", "building", "plant", "ups", "maintenance", "staff" or
    "energy". ``life_years``: how long what is bought lasts; None for what is paid every year.
    ``origins``: of the price, and of what else the line rests on.
    """

    item: str
    group: str
    number: float
    unit: str
    unit_price_usd: float
    origins: tuple[Origin, ...]
    life_years: float | None = None
    note: str = ""

    @property
    def total_usd(self) -> float:
        """Number times price."""
        return self.number * self.unit_price_usd


@dataclass(frozen=True)
class Bill:
    """Lines and their sum; ``per`` is "" for capital, "year" for what each year costs."""

    lines: tuple[Line, ...]
    per: str = ""

    @property
    def total_usd(self) -> float:
        """The sum of all lines."""
        return math.fsum(line.total_usd for line in self.lines)

    @property
    def per_hour_usd(self) -> float:
        """Of what each year costs: the sum per hour.

        Raises:
            ValueError: it is a bill of capital, which has no time.
        """
        if self.per != "year":
            raise ValueError("capital has no hour; yearly_of spreads it over its life")
        return self.total_usd / HOURS_PER_YEAR

    def of(self, group: str) -> float:
        """The sum of one group's lines, USD."""
        return math.fsum(line.total_usd for line in self.lines if line.group == group)

    @property
    def groups(self) -> tuple[str, ...]:
        """The groups there are, in order."""
        return tuple(dict.fromkeys(line.group for line in self.lines))

    @property
    def origins(self) -> tuple[Origin, ...]:
        """Where its numbers come from, each once."""
        return unique(origin for line in self.lines for origin in line.origins)


def unique(origins: Iterable[Origin]) -> tuple[Origin, ...]:
    """Origins in order, each once."""
    return tuple(dict.fromkeys(origins))
