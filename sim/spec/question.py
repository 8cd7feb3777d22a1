"""A study that asks a question: the least or the most of something that still meets every line.

``question: {minimum: 'pools[chat].replicas', from: 1, to: 64}``, or ``maximum`` of
``workload[chat].rate`` ``from: 1 /s`` ``to: 200 /s`` with ``step: 1 %``: a path as ``--set`` takes
it, and the values that may be the answer. Whole numbers go up by 1 and quantities by 1 % where no
step is stated. ``each: {'pools[chat].replicas': 8, 'workload[chat].rate': 60 /s}`` sets 8 replicas
and 60 requests a second for each rack that is counted.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path as FilePath

from sim.errors import Mark, ScenarioError
from sim.spec.axes import (
    MOST_LEVELS,
    Findings,
    number_and_unit,
    read_changes,
    sound_path,
    stepped,
)
from sim.spec.failing import FAILING, FailingSpec, read_failing
from sim.spec.files import real_path, text_of
from sim.spec.loader import compose
from sim.spec.merge import Change
from sim.spec.nodes import Node, Path, Scalar, show
from sim.spec.study import REQUIRED as OF_STUDIES
from sim.spec.study import Reader, open_reader, read_name, read_seeds

KEYS = ("rackplan", "kind", "name", "base", "set", "question", "subject_to", "seeds")
REQUIRED = {
    **{key: OF_STUDIES[key] for key in ("rackplan", "name", "base")},
    "question": "what is to be found, such as {minimum: 'pools[chat].replicas', from: 1, to: 64}",
}
MINIMUM, MAXIMUM = "minimum", "maximum"
#: Keys of what is sought.
SOUGHT = (MINIMUM, MAXIMUM, "from", "to", "step", "each")
#: Seeds that a point gets at most, where the study does not say.
SEEDS = 16
_PATH: Path = ("question",)
#: Digits of the values of a grid in percent.
_DIGITS = 4


Each = tuple[str, Decimal, str]


@dataclass(frozen=True)
class QuestionSpec:
    """A question as read; nothing in it has been looked up yet.

    Attributes:
        file: the file as the user named it.
        base: the base scenario as messages name it; ``base_mark``: where it is named.
        root: the folder in whose tree everything must lie.
        changes: to the base, before anything else.
        goal: "minimum" or "maximum".
        where: the path whose value is sought; ``mark``: where it is written.
        values: that may be the answer, ascending.
        each: path, how much of it comes with each one of what is counted, and its unit or "".
        subject_to: the node of the lines that must hold; None: those that the base expects.
        seeds: that a point gets at most, from the base's own seed on.
        failing: what must be survived too; None: nothing fails.
    """

    file: str
    name: str
    base: str
    base_mark: Mark
    root: FilePath
    changes: tuple[Change, ...]
    goal: str
    where: str
    mark: Mark
    values: tuple[Scalar, ...]
    each: tuple[Each, ...]
    subject_to: Node | None
    seeds: int
    failing: FailingSpec | None


def read_question(path: str | os.PathLike[str], *, allow_outside: bool = False) -> QuestionSpec:
    """Read a study that asks a question.

    Raises:
        ScenarioError: everything that is wrong with the file itself.
    """
    reader, found = open_reader(path, "question", KEYS, REQUIRED)
    sought = reader.part("question", lambda node: read_sought(node, found, also=FAILING))
    failing = reader.part("question", lambda node: _failing(node, found))
    spec = question_spec(reader, found, sought, allow_outside, failing)
    if found.problems:
        raise ScenarioError(found.problems)
    return spec


def _failing(node: Node, found: Findings) -> FailingSpec | None:
    """What must be survived beside what is sought."""
    if not isinstance(node.value, Mapping):
        return None
    parts = {key: entry.node for key, entry in node.value.items() if key in FAILING}
    if "survives" in parts:
        return read_failing(node, parts, _PATH, found)
    for key, part in parts.items():
        found.add(part, (*_PATH, key), f"{key} of what? write survives: [ups] beside it")
    return None


def question_spec(
    reader: Reader,
    found: Findings,
    sought: Sought | None,
    allow_outside: bool,
    failing: FailingSpec | None = None,
) -> QuestionSpec:
    """A question from what is sought and the rest of its study; problems go to ``found``."""
    base, base_mark, bound = reader.base(allow_outside)
    goal, where, mark, values, each = sought or ("", "", Mark(reader.file), (), ())
    seeds = reader.value("seeds", read_plan_seeds)
    return QuestionSpec(
        file=reader.file,
        name=reader.value("name", read_name) or "",
        base=base,
        base_mark=base_mark,
        root=bound,
        changes=reader.part("set", lambda node: read_changes(node, ("set",), found)) or (),
        goal=goal,
        where=where,
        mark=mark,
        values=values,
        each=each,
        subject_to=reader.part("subject_to", lambda node: read_lines(node, found)),
        seeds=SEEDS if seeds is None else seeds,
        failing=failing,
    )


def asked_of(path: str | os.PathLike[str], kinds: tuple[str, ...]) -> str:
    """Which of the kinds of questions a study asks: a key of its ``question:``.

    Where it asks none, or several, the first kind, whose reader says what is wrong.

    Raises:
        ScenarioError: the file cannot be read at all.
    """
    shown, real = real_path(path)
    root, _ = compose(text_of(shown, real, Mark(shown)), shown)
    question = root.at(_PATH)
    keys = question.value if question is not None and isinstance(question.value, dict) else {}
    return next((kind for kind in kinds if kind in keys), kinds[0])


def read_plan_seeds(value: object) -> int:
    """How many seeds a point of a plan gets at most; raises ``ValueError`` where that is none."""
    seeds = read_seeds(value)
    if seeds < 2:
        raise ValueError("a plan compares seeds: it needs 2 at least, and 5 to be certain of much")
    return seeds


def read_lines(node: Node, found: Findings) -> Node:
    """The node of ``subject_to``, which is a list."""
    if not isinstance(node.value, tuple) or not node.value:
        message = "expected lines as in expect:, such as [chat.ttft_p99 <= 2 s]"
        found.add(node, ("subject_to",), f"{message}, not {show(node.plain())}")
    return node


#: Goal, path with its place, values, and what comes with each one of them.
Sought = tuple[str, str, Mark, tuple[Scalar, ...], tuple[Each, ...]]


def read_sought(
    node: Node, found: Findings, at: Path = _PATH, also: tuple[str, ...] = ()
) -> Sought | None:
    """What is sought, of a mapping that stands at ``at``; None where it cannot be read.

    ``also``: keys that it has beside those, which somebody else reads.
    """
    parts = found.mapping(node, at, (*SOUGHT, *also))
    goals = [key for key in (MINIMUM, MAXIMUM) if key in parts]
    if len(goals) != 1:
        if parts or not found.problems:
            which = "one of minimum and maximum, not both" if goals else "minimum or maximum"
            message = f"expected {which}: the path whose value is sought"
            found.add(node, at, message)
        return None
    goal, path = goals[0], (*at, goals[0])
    where = parts[goal]
    if not isinstance(where.value, str):
        message = f"expected a path such as 'pools[chat].replicas', not {show(where.plain())}"
        found.add(where, path, message)
        return None
    if not sound_path(where.value, where, path, found):
        return None
    missing = [key for key in ("from", "to") if key not in parts]
    if missing:
        message = f"missing: {' and '.join(missing)} (the values that may be the answer)"
        found.add(node, at, message)
        return None
    values = tuple(_values(node, at, parts, found))
    if values and len(values) < 2:
        found.add(node, at, "from and to are the same: there is nothing to find")
    each: tuple[Each, ...] = ()
    if "each" in parts:
        each = tuple(_each(parts["each"], (*at, "each"), where.value, values, found))
    return goal, where.value, where.mark, values, each


def _each(
    node: Node, path: Path, counted: str, values: tuple[Scalar, ...], found: Findings
) -> Iterator[Each]:
    """What comes with each one of what is counted."""
    if not isinstance(node.value, Mapping) or not node.value:
        message = "expected paths and whole numbers, such as {'pools[chat].replicas': 8}"
        found.add(node, path, message)
        return
    if not all(isinstance(value, int) for value in values):
        found.add(node, path, f"each one of what? {counted} is no whole number here")
    for where, entry in node.value.items():
        read = number_and_unit(entry.node, (*path, where), found)
        if read is None:
            continue
        number, unit = read
        if number <= 0 or (not unit and number != int(number)):
            shown = show(entry.node.plain())
            message = f"expected a whole number from 1, or a quantity such as 7 /s, not {shown}"
            found.add(entry.node, (*path, where), message)
        elif where == counted:
            found.add(entry.node, (*path, where), "this is what is counted")
        elif sound_path(where, Node(entry.key, None), (*path, where), found):
            yield where, number, unit


def _values(node: Node, at: Path, parts: dict[str, Node], found: Findings) -> list[Scalar]:
    """The grid, ascending."""
    ends = [number_and_unit(parts[key], (*at, key), found) for key in ("from", "to")]
    if ends[0] is None or ends[1] is None:
        return []
    (first, unit), (last, other) = ends[0], ends[1]
    if unit != other:
        found.add(node, at, f"from and to need the same unit, not {unit!r} and {other!r}")
        return []
    if last < first:
        found.add(parts["to"], (*at, "to"), f"{last} is below {first}: from is the least value")
        return []
    whole = not unit and first == int(first) and last == int(last)
    step, step_unit = (Decimal(1), "" if whole else "%")
    if "step" in parts:
        read = number_and_unit(parts["step"], (*at, "step"), found)
        if read is None:
            return []
        step, step_unit = read
    if step_unit == "%" and unit != "%":
        return _in_percent(parts.get("step", node), (*at, "step"), first, last, step, unit, found)
    if step_unit != unit:
        found.add(
            parts["step"],
            (*at, "step"),
            f"expected a step in {unit!r} or in %, not {step_unit!r}",
        )
        return []
    return stepped(node, at, (first, last, step), unit, found)


def _in_percent(
    node: Node, path: Path, first: Decimal, last: Decimal, step: Decimal, unit: str, found: Findings
) -> list[Scalar]:
    """From ``first`` to ``last``, each ``step`` percent above the one before, to four digits."""
    if first <= 0:
        found.add(
            node, path, f"steps in percent never leave {first}; state one in {unit or 'numbers'}"
        )
        return []
    if step < Decimal("0.1"):
        found.add(node, path, f"a step of {step} % is too fine; 0.1 % at least")
        return []
    values = [first]
    exact = first
    while values[-1] < last and len(values) <= MOST_LEVELS:
        exact *= 1 + step / 100
        rounded = exact.quantize(Decimal(1).scaleb(exact.adjusted() - _DIGITS + 1))
        values.append(min(last, rounded))
    if len(values) > MOST_LEVELS:
        found.add(node, path, f"more than {MOST_LEVELS:,} steps of {step} % from {first} to {last}")
        return []
    return [f"{value:f} {unit}" if unit else float(value) for value in values]
