"""A study that asks what a site survives: one failure at a time, each a run of its own.

``question: {survives: [ups, pdu, leaf]}``: every UPS, PDU and leaf of the base, each on its own. An
item is a kind, a name (``ups-a``), or a list of names that fail together. Each fails ``at`` a time,
the end of the warm-up where none is stated, ``for`` so long, or for good.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path as FilePath

from sim.errors import Mark, ScenarioError
from sim.spec.axes import Findings, read_changes
from sim.spec.merge import Change
from sim.spec.nodes import Node, Path, show
from sim.spec.quantity import read_quantity
from sim.spec.question import KEYS, SEEDS, read_lines, read_plan_seeds
from sim.spec.question import REQUIRED as OF_QUESTIONS
from sim.spec.study import open_reader, read_name
from sim.units import UnitError

REQUIRED = {**OF_QUESTIONS, "question": "what may fail, such as {survives: [ups, pdu, leaf]}"}
_KEYS = ("survives", "at", "for")
_PATH: Path = ("question",)


@dataclass(frozen=True)
class Failing:
    """An item of the list: names that fail together, or one kind or name; where it stands."""

    names: tuple[str, ...]
    together: bool
    mark: Mark
    path: str


@dataclass(frozen=True)
class SurvivesSpec:
    """Such a study as read; nothing in it has been looked up yet.

    Attributes:
        file, name, base, base_mark, root, changes, mark, subject_to, seeds: as of any question.
        failing: what may fail.
        at_s: when; None: at the end of the warm-up. ``for_s``: for how long; None: for good.
    """

    file: str
    name: str
    base: str
    base_mark: Mark
    root: FilePath
    changes: tuple[Change, ...]
    mark: Mark
    failing: tuple[Failing, ...]
    at_s: float | None
    for_s: float | None
    subject_to: Node | None
    seeds: int


def read_survives(path: str | os.PathLike[str], *, allow_outside: bool = False) -> SurvivesSpec:
    """Read such a study.

    Raises:
        ScenarioError: everything that is wrong with the file itself.
    """
    reader, found = open_reader(path, "question", KEYS, REQUIRED)
    base, base_mark, bound = reader.base(allow_outside)
    asked = reader.part("question", lambda node: _question(node, found))
    mark, failing, at_s, for_s = asked or (Mark(reader.file), (), None, None)
    seeds = reader.value("seeds", read_plan_seeds)
    spec = SurvivesSpec(
        file=reader.file,
        name=reader.value("name", read_name) or "",
        base=base,
        base_mark=base_mark,
        root=bound,
        changes=reader.part("set", lambda node: read_changes(node, ("set",), found)) or (),
        mark=mark,
        failing=failing,
        at_s=at_s,
        for_s=for_s,
        subject_to=reader.part("subject_to", lambda node: read_lines(node, found)),
        seeds=SEEDS if seeds is None else seeds,
    )
    if found.problems:
        raise ScenarioError(found.problems)
    return spec


_Asked = tuple[Mark, tuple[Failing, ...], float | None, float | None]


def _question(node: Node, found: Findings) -> _Asked:
    parts = found.mapping(node, _PATH, _KEYS)
    failing: list[Failing] = []
    where = parts.get("survives")
    if where is not None:
        if not isinstance(where.value, tuple) or not where.value:
            what = "an empty one" if where.value == () else show(where.plain())
            message = f"expected a list such as [ups, pdu, leaf], not {what}"
            found.add(where, (*_PATH, "survives"), message)
        else:
            for index, item in enumerate(where.value):
                one = _item(item, (*_PATH, "survives", index), found)
                if one is not None:
                    failing.append(one)
    at_s, for_s = (
        _time(parts[key], (*_PATH, key), found) if key in parts else None for key in ("at", "for")
    )
    if for_s == 0.0:
        found.add(parts["for"], (*_PATH, "for"), "must be above 0 s; leave it out for good")
    return node.mark, tuple(failing), at_s, for_s


def _item(item: Node, path: Path, found: Findings) -> Failing | None:
    shown = f"question.survives[{path[-1]}]"
    if isinstance(item.value, str) and item.value:
        return Failing((item.value,), False, item.mark, shown)
    if isinstance(item.value, tuple) and item.value:
        names = [one.value for one in item.value]
        if all(isinstance(name, str) and name for name in names):
            return Failing(tuple(str(name) for name in names), True, item.mark, shown)
    message = "expected a kind (ups), a name (ups-a) or a list of names that fail together"
    found.add(item, path, f"{message}, not {show(item.plain())}")
    return None


def _time(node: Node, path: Path, found: Findings) -> float | None:
    try:
        seconds = read_quantity(node.plain(), "time")
    except (UnitError, ValueError) as error:
        found.add(node, path, str(error))
        return None
    if seconds < 0.0:
        found.add(node, path, f"must be at least 0 s, not {show(node.plain())}")
        return None
    return seconds
