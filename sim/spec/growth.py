"""How the load will grow: by quantiles that the user states, or by a history of monthly peaks.

``growth: {start: 2026-12, load: 180 /s, per: month, p10: 1 %, p50: 3 %, p90: 6 %}``, or
``growth: {history: peaks.csv, unit: /s}`` with the columns month and peak. What is known to come
beside it: ``launches: [{month: 2027-06, load: 50 /s}]``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any

from sim.errors import Mark, Problem, ScenarioError
from sim.spec.axes import Findings
from sim.spec.fields import Fields, beside, read_text
from sim.spec.files import Folders
from sim.spec.months import MONTHS_A_YEAR, month_text, read_month
from sim.spec.nodes import Node, show
from sim.spec.study import Reader
from sim.spec.types import OneOf, Quantity

#: Probabilities of the quantiles, and what they are called.
QUANTILES = {"p10": 0.1, "p50": 0.5, "p90": 0.9}
GROWTH = "how the load grows: {start: 2026-12, load: 180 /s, per: month, p10: 1 %, p50: 3 %, "
GROWTH += "p90: 6 %}, or {history: peaks.csv, unit: /s}"
_STATED = ("start", "load", "per", *QUANTILES)
_HISTORY = ("history", "unit", "season")


@dataclass(frozen=True)
class Stated:
    """Growth as the user states it.

    Attributes:
        start: the month of ``load``.
        rates: growth a month, of the 10, 50 and 90 % quantile.
        text: the rates as they were written.
    """

    start: int
    load: float
    rates: tuple[float, float, float]
    text: str


@dataclass(frozen=True)
class History:
    """A file of monthly peaks.

    Attributes:
        file: as messages name it; ``real``: where it is.
        mark: where it is named.
        season: months after which the load is alike, 12; None: no season.
    """

    file: str
    real: FilePath
    mark: Mark
    season: int | None


@dataclass(frozen=True)
class Launch:
    """What is added to the load from a month on; less than nothing where something ends."""

    month: int
    load: float
    mark: Mark
    path: str


@dataclass(frozen=True)
class GrowthSpec:
    """Growth as read; ``unit``: of all loads, "" for plain numbers."""

    unit: str
    of: Stated | History
    launches: tuple[Launch, ...]


def read_growth(reader: Reader, found: Findings, allow_outside: bool) -> GrowthSpec | None:
    """The sections ``growth`` and ``launches``; None where they cannot be read."""
    folders = reader.folders(allow_outside)
    read = reader.part("growth", lambda node: _growth(node, folders, found))
    unit = read[1] if read else None
    launches = reader.part("launches", lambda node: _launches(node, unit, found)) or ()
    return None if read is None else GrowthSpec(read[1], read[0], launches)


def _growth(
    node: Node, folders: Folders, found: Findings
) -> tuple[Stated, str] | tuple[History, str] | None:
    fields = Fields(node, ("growth",), (*_STATED, *_HISTORY), found)
    if not fields.parts:
        if fields.sound:
            fields.refuse(f"missing ({GROWTH})")
        return None
    stated = [key for key in _STATED if key in fields.parts]
    history = [key for key in _HISTORY if key in fields.parts]
    if stated and history:
        fields.refuse(
            f"has {', '.join(stated)} (quantiles that are stated) and {', '.join(history)} (a file "
            "to forecast from): write one of the two"
        )
        return None
    return _stated(fields) if stated else _history(fields, folders)


def _stated(fields: Fields) -> tuple[Stated, str] | None:
    start = fields.value("start", read_month, "the month of load, such as 2026-12")
    load = fields.load("load", "the load of the first month, such as 180 /s")
    per = fields.value("per", OneOf(("month", "year")).read, "month or year, of the rates")
    rates = [
        fields.value(key, _rate, f"growth that {chance:.0%} of futures stay below, such as 3 %")
        for key, chance in QUANTILES.items()
    ]
    if load is not None and load[0] <= 0.0:
        fields.add("load", f"must be above 0, not {load[0]:g}")
        return None
    if start is None or load is None or per is None or any(rate is None for rate in rates):
        return None
    low, middle, high = (rate for rate in rates if rate is not None)
    if not low <= middle <= high:
        fields.refuse("expected p10 <= p50 <= p90: each is a quantile of the same growth")
        return None
    power = 1.0 if per == "month" else 1.0 / MONTHS_A_YEAR
    monthly = [(1.0 + rate) ** power - 1.0 for rate in (low, middle, high)]
    written = zip(QUANTILES, (low, middle, high), strict=True)
    text = ", ".join(f"{key.upper()} {100 * rate:g} %" for key, rate in written)
    return (
        Stated(start, load[0], (monthly[0], monthly[1], monthly[2]), f"{text} a {per}"),
        load[1],
    )


def _rate(value: Any) -> float:
    """Growth in percent; a bare 3 might be 3 % or 300 %."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        raise ValueError(f"needs its unit: write '{value:g} %'")
    return Quantity("fraction", above=-1.0).read(value)


def _history(fields: Fields, folders: Folders) -> tuple[History, str] | None:
    name = fields.value("history", read_text, "a CSV file with the columns month and peak")
    unit = fields.value("unit", read_text, default="")
    season = fields.value("season", OneOf(("none", "yearly")).read, default="none")
    if name is None or unit is None or season is None:
        return None
    mark = fields.parts["history"].mark
    try:
        real = folders.locate(name, mark, "growth.history")
    except ScenarioError as error:
        fields.found.problems.extend(error.problems)
        return None
    return History(
        beside(mark.file, name), real, mark, MONTHS_A_YEAR if season == "yearly" else None
    ), unit


def _launches(node: Node, unit: str | None, found: Findings) -> tuple[Launch, ...]:
    """The launches; ``unit`` is that of the growth, None where that is not known."""
    if not isinstance(node.value, tuple) or not node.value:
        message = (
            f"expected a list such as [{{month: 2027-06, load: 50 /s}}], not {show(node.plain())}"
        )
        found.add(node, ("launches",), message)
        return ()
    launches = []
    for index, item in enumerate(node.value):
        fields = Fields(item, ("launches", index), ("month", "load"), found)
        month = fields.value("month", read_month, "the first month with it, such as 2027-06")
        load = fields.load("load", "what it adds to the load, such as 50 /s")
        if month is None or load is None:
            continue
        if unit is not None and load[1] != unit:
            fields.add("load", f"is in {unit_text(load[1])}, and the growth in {unit_text(unit)}")
        else:
            launches.append(Launch(month, load[0], item.mark, f"launches[{index}]"))
    return tuple(sorted(launches, key=lambda launch: launch.month))


def unit_text(unit: str) -> str:
    """A unit in words: '/s', or plain numbers."""
    return repr(unit) if unit else "plain numbers"


def refuse_months(spec: GrowthSpec, start: int, last: int) -> None:
    """Refuse launches before the growth starts, or after what is looked at ends.

    Raises:
        ScenarioError: there are such.
    """
    problems = []
    for launch in spec.launches:
        if not start < launch.month <= last:
            told = f"{month_text(start + 1)} to {month_text(last)}"
            message = f"{month_text(launch.month)} is not within {told}, the months looked at"
            if launch.month <= start:
                message += f"; the load of {month_text(start)} has it already"
            problems.append(Problem(launch.mark, f"{launch.path}.month", message))
    if problems:
        raise ScenarioError(problems)
