"""Calendar months and spans of them, as growth and build-outs are written: 2026-12, 18 months."""

from __future__ import annotations

import re
from typing import Any

from sim.spec.nodes import show
from sim.spec.types import refuse

_MONTH = re.compile(r"([0-9]{4})-(0[1-9]|1[0-2])")
_SPAN = re.compile(r"([0-9]+)\s*(months?|years?)")
MONTHS_A_YEAR = 12
#: Longer than any hardware, contract or forecast.
MOST_MONTHS = 240


def read_month(value: Any) -> int:
    """Months since the year 0 of ``2026-12``; raises ``refuse`` where it is none."""
    match = _MONTH.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise refuse(f"expected a month such as 2026-12, not {show(value)}")
    return MONTHS_A_YEAR * int(match[1]) + int(match[2]) - 1


def month_text(month: int) -> str:
    """``2026-12``."""
    year, at = divmod(month, MONTHS_A_YEAR)
    return f"{year:04d}-{at + 1:02d}"


def read_span(value: Any, least: int = 0) -> int:
    """Months of ``18 months`` or ``3 years``; raises ``refuse`` where it is no such span."""
    if type(value) is int:
        raise refuse(f"needs a unit: write '{value} months' or '{value} years'")
    match = _SPAN.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise refuse(f"expected a span such as '18 months' or '3 years', not {show(value)}")
    months = int(match[1][:9]) * (MONTHS_A_YEAR if match[2].startswith("year") else 1)
    if not least <= months <= MOST_MONTHS:
        raise refuse(f"must be from {least} to {MOST_MONTHS} months, not {show(value)}")
    return months


def span_text(months: int) -> str:
    """``18 months``."""
    return f"{months} month{'' if months == 1 else 's'}"
