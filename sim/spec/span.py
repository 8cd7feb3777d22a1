"""A range of an axis that points are drawn from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal

from sim.errors import Mark
from sim.spec.nodes import Scalar

SCALES = ("linear", "log")
#: Digits of a drawn number: of what its range is wide, and on a scale of ratios of itself.
_PARTS, _DIGITS = 1000, 4


@dataclass(frozen=True)
class Span:
    """A range that values are drawn from, both ends included.

    Attributes:
        low, high: in ``unit`` ("": none), low < high.
        whole: only whole numbers.
        log: every ratio is as likely as any other, instead of every difference.
        mark: where it is written.
    """

    low: Decimal
    high: Decimal
    unit: str
    whole: bool
    log: bool
    mark: Mark

    def at(self, share: float) -> Scalar:
        """The value at a share of the way from low to high, 0 ≤ share < 1."""
        low, high = float(self.low), float(self.high)
        if self.whole:
            many = high + 1.0
            real = low * (many / low) ** share if self.log else low + share * (many - low)
            return self.shown(Decimal(min(int(high), math.floor(real))))
        real = low * (high / low) ** share if self.log else low + share * (high - low)
        return self.shown(self.rounded(real))

    def rounded(self, value: float) -> Decimal:
        """A number as it is written: to a thousandth of the range, or to four digits."""
        exact = Decimal(repr(value))
        if self.whole:
            return exact.to_integral_value(ROUND_HALF_EVEN)
        if self.log:
            place = exact.adjusted() - _DIGITS + 1
        else:
            place = ((self.high - self.low) / _PARTS).adjusted()
        return min(self.high, max(self.low, exact.quantize(Decimal(1).scaleb(place))))

    def shown(self, value: Decimal) -> Scalar:
        """A value as a scenario has it."""
        if self.unit:
            return f"{value:f} {self.unit}"
        return int(value) if self.whole else float(value)

    @property
    def text(self) -> str:
        """``60 /s to 240 /s, log scale``."""
        ends = " to ".join(str(self.shown(end)) for end in (self.low, self.high))
        return f"{ends}{', log scale' if self.log else ''}{', whole' if self.whole else ''}"
