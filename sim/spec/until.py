"""A study that asks until when a site lasts: ``question: {until: …}`` and how the load grows.

``until: {maximum: 'workload[chat].rate', from: 100 /s, to: 400 /s, step: 2 %}`` seeks the largest
load that meets every line, as a question for the most does; ``until: {capacity: 290 /s}`` states
it, and may say between which values it lies: ``low: 280 /s, high: 300 /s``.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from sim.errors import ScenarioError
from sim.spec.axes import Findings, number_and_unit
from sim.spec.fields import Fields
from sim.spec.growth import GROWTH, GrowthSpec, read_growth, unit_text
from sim.spec.months import read_span
from sim.spec.nodes import Node, Path
from sim.spec.question import (
    MAXIMUM,
    SOUGHT,
    QuestionSpec,
    Sought,
    question_spec,
    read_sought,
)
from sim.spec.study import REQUIRED as OF_STUDIES
from sim.spec.study import Reader, open_reader, read_name

UNTIL = "until"
KEYS = (
    "rackplan", "kind", "name", "base", "set", "question", "subject_to", "seeds", "growth",
    "launches", "within",
)  # fmt: skip
REQUIRED = {
    **{key: OF_STUDIES[key] for key in ("rackplan", "name")},
    "question": "until: {maximum: 'workload[chat].rate', from: 1 /s, to: 200 /s}, or "
    "until: {capacity: 290 /s}",
    "growth": GROWTH,
}
#: How far it is looked, where the study does not say.
WITHIN = 60
_PATH: Path = ("question", UNTIL)
_CAPACITY = ("capacity", "low", "high")
#: What only a capacity that is sought needs.
_SEEKING = ("base", "subject_to", "seeds")


@dataclass(frozen=True)
class StatedCapacity:
    """The largest load that the site takes, and between which values it lies."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class UntilSpec:
    """Such a study as read.

    Attributes:
        capacity: stated, or the question whose answer it is.
        within: months after the first that are looked at.
    """

    file: str
    name: str
    capacity: StatedCapacity | QuestionSpec
    growth: GrowthSpec
    within: int


def read_until(path: str | os.PathLike[str], *, allow_outside: bool = False) -> UntilSpec:
    """Read a study that asks until when.

    Raises:
        ScenarioError: everything that is wrong with the file itself.
    """
    reader, found = open_reader(path, "question", KEYS, REQUIRED)
    growth = read_growth(reader, found, allow_outside)
    asked = reader.part("question", lambda node: _asked(node, growth, found))
    name = reader.value("name", read_name) or ""
    within = reader.value("within", lambda value: read_span(value, 1))
    capacity: StatedCapacity | QuestionSpec | None
    if isinstance(asked, tuple):
        capacity = _question(reader, asked, allow_outside, found)
    else:
        capacity = asked
        for key in _SEEKING if asked is not None else ():
            reader.part(key, lambda node, key=key: found.add(  # type: ignore[misc]
                node, (key,), "the capacity is stated, so nothing is run: leave this out"
            ))  # fmt: skip
    if found.problems:
        raise ScenarioError(found.problems)
    assert capacity is not None
    assert growth is not None
    return UntilSpec(reader.file, name, capacity, growth, WITHIN if within is None else within)


def _question(reader: Reader, asked: Sought, allow_outside: bool, found: Findings) -> QuestionSpec:
    """The question whose answer is the capacity."""
    if reader.part("base", lambda node: node) is None:
        found.add(Node(asked[2], None), ("base",), f"missing ({OF_STUDIES['base']})")
    return question_spec(reader, found, asked, allow_outside)


def _asked(
    node: Node, growth: GrowthSpec | None, found: Findings
) -> StatedCapacity | Sought | None:
    parts = found.mapping(node, ("question",), (UNTIL,))
    if UNTIL not in parts:
        return None
    asked = parts[UNTIL]
    known = (*SOUGHT, *_CAPACITY)
    fields = Fields(asked, _PATH, known, found)
    if not fields.parts:
        if fields.sound:
            fields.refuse("expected maximum: with from and to, or capacity:")
        return None
    seeking = [key for key in SOUGHT if key in fields.parts]
    stating = [key for key in _CAPACITY if key in fields.parts]
    if seeking and stating:
        fields.refuse(f"has {', '.join(seeking)} and {', '.join(stating)}: the capacity is either "
                      "sought or stated")  # fmt: skip
        return None
    if stating:
        return _stated(fields, growth)
    sought = read_sought(asked, found, _PATH)
    if sought is None:
        return None
    if sought[0] != MAXIMUM:
        fields.refuse("expected maximum: the capacity is the most that meets the lines")
        return None
    _same_unit(fields.parts["from"], growth, found)
    return sought


def _same_unit(node: Node, growth: GrowthSpec | None, found: Findings) -> None:
    read = number_and_unit(node, (*_PATH, "from"), found)
    if growth is not None and read is not None and read[1] != growth.unit:
        message = f"is in {unit_text(read[1])}, and the growth in {unit_text(growth.unit)}"
        found.add(node, (*_PATH, "from"), message)


def _stated(fields: Fields, growth: GrowthSpec | None) -> StatedCapacity | None:
    read = {
        key: fields.load(key, "the largest load the site takes" if key == "capacity" else "")
        for key in _CAPACITY
    }
    capacity = read["capacity"]
    if capacity is None:
        return None
    for key, load in read.items():
        if load is not None and growth is not None and load[1] != growth.unit:
            units = f"is in {unit_text(load[1])}, and the growth in {unit_text(growth.unit)}"
            fields.add(key, units)
    low, high = (capacity if read[key] is None else read[key] for key in ("low", "high"))
    assert low is not None
    assert high is not None
    if not 0.0 < low[0] <= capacity[0] <= high[0]:
        fields.refuse("expected 0 < low <= capacity <= high")
    return StatedCapacity(capacity[0], low[0], high[0])
