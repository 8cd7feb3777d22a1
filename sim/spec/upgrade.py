"""A study that asks for the best next upgrade: what each option adds to the capacity, and costs.

``question: {upgrade: {maximum: 'workload[chat].rate', from: …, to: …, options: […]}}``; an option
is ``{name: a rack more, set: {…}, cost: 1400000 USD}``. Its cost is reckoned from ``costs:`` and
the shipped prices where none is stated.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from sim.errors import Mark, ScenarioError
from sim.spec.axes import Findings, read_changes
from sim.spec.fields import Fields
from sim.spec.merge import Change
from sim.spec.nodes import Node, Path, show
from sim.spec.question import (
    KEYS,
    MAXIMUM,
    SOUGHT,
    QuestionSpec,
    Sought,
    question_spec,
    read_sought,
)  # fmt: skip
from sim.spec.question import REQUIRED as OF_QUESTIONS
from sim.spec.study import open_reader
from sim.spec.types import Quantity

UPGRADE = "upgrade"
REQUIRED = {
    **OF_QUESTIONS,
    "question": "upgrade: {maximum: 'workload[chat].rate', from: 1 /s, to: 200 /s, options: […]}",
}
_PATH: Path = ("question", UPGRADE)
_EXAMPLE = "{name: a rack more, set: {'pools[chat].replicas': 40}, cost: 1400000 USD}"


@dataclass(frozen=True)
class OptionSpec:
    """An upgrade: what it changes, and what it costs in USD; None: to be reckoned."""

    name: str
    changes: tuple[Change, ...]
    cost_usd: float | None
    mark: Mark


@dataclass(frozen=True)
class UpgradeSpec:
    """Such a study as read: the question for the capacity, and the options."""

    question: QuestionSpec
    options: tuple[OptionSpec, ...]


def read_upgrade(path: str | os.PathLike[str], *, allow_outside: bool = False) -> UpgradeSpec:
    """Read such a study.

    Raises:
        ScenarioError: everything that is wrong with the file itself.
    """
    reader, found = open_reader(path, "question", KEYS, REQUIRED)
    read = reader.part("question", lambda node: _question(node, found))
    sought, options = read or (None, ())
    spec = UpgradeSpec(question_spec(reader, found, sought, allow_outside), options)
    if found.problems:
        raise ScenarioError(found.problems)
    return spec


def _question(node: Node, found: Findings) -> tuple[Sought | None, tuple[OptionSpec, ...]]:
    parts = found.mapping(node, ("question",), (UPGRADE,))
    asked = parts.get(UPGRADE)
    if asked is None:
        return None, ()
    sought = read_sought(asked, found, _PATH, also=("options",))
    fields = Fields(asked, _PATH, (*SOUGHT, "options"), Findings())  # which has been told of
    fields.found = found
    options = _options(fields) if fields.sound else ()
    if sought is not None and sought[0] != MAXIMUM:
        fields.refuse("an upgrade adds to what a site can do: ask for its maximum")
    return sought, options


def _options(fields: Fields) -> tuple[OptionSpec, ...]:
    node = fields.parts.get("options")
    if node is None or not isinstance(node.value, tuple) or not node.value:
        what = "missing" if node is None else f"expected a list, not {show(node.plain())}"
        fields.add("options", f"{what}: the upgrades, such as [{_EXAMPLE}]")
        return ()
    found: dict[str, OptionSpec] = {}
    for index, item in enumerate(node.value):
        path = (*_PATH, "options", index)
        one = Fields(item, path, ("name", "set", "cost"), fields.found)
        name = one.value("name", _text, "what the upgrade is called")
        cost_usd = one.value("cost", Quantity("money", least=0.0).read)
        changes: tuple[Change, ...] = ()
        if "set" in one.parts:
            changes = read_changes(one.parts["set"], (*path, "set"), fields.found)
        elif one.sound:
            one.refuse(f"missing set: what it changes, as in {_EXAMPLE}")
        if name in found:
            one.add("name", f"two options are called {name!r}")
        elif name is not None:
            found[name] = OptionSpec(name, changes, cost_usd, item.mark)
    return tuple(found.values())


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"expected a few words, not {show(value)}")
    return value
