"""The ``axes`` of a study: what its points set in the base scenario, level by level.

An axis is named by the path that it sets, as ``--set`` takes it, and lists values or a range. One
that sets several paths together has a name of its own and levels ``{label: …, set: {…}}``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeAlias

from sim.errors import Problem, did_you_mean
from sim.spec.merge import Change, steps_of
from sim.spec.nodes import Node, Path, Scalar, shorten, show, show_path
from sim.spec.span import SCALES, Span

#: How many levels an axis may have.
MOST_LEVELS = 1000
#: Columns of a study's rows that no axis may be called as.
TAKEN = ("point", "side", "seed", "feasible", "front", "status", "message", "run")
#: What a level is called in tables: numbers stay numbers.
Label: TypeAlias = int | float | str

_SEEDS = "the study itself gives the seeds: write 'seeds: 8'"
_LEVEL = ("label", "set")
_RANGE = ("from", "to", "step")
_SPAN = ("from", "to", "scale")
_NUMBER = re.compile(r"([+-]?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)\s*(.*)")


@dataclass(frozen=True)
class Level:
    """One position of an axis: its label, and what it sets, in order."""

    label: Label
    changes: tuple[Change, ...]


@dataclass(frozen=True)
class Axis:
    """An axis with its levels, in order; or, of a study that draws points, a range without any."""

    name: str
    levels: tuple[Level, ...]
    span: Span | None = None

    def level(self, share: float) -> Level:
        """What stands at a share of the axis, 0 ≤ share < 1; each level takes up as much."""
        if self.span is None:
            return self.levels[int(share * len(self.levels))]
        return self.of_value(self.span.at(share))

    def of_value(self, value: Scalar) -> Level:
        """The level with a value of the range."""
        assert self.span is not None
        return Level(_scalar_label(value), (Change(self.name, Node(self.span.mark, value)),))

    @property
    def ends(self) -> tuple[Level, Level]:
        """The first level and the last."""
        if self.span is None:
            return self.levels[0], self.levels[-1]
        low, high = (self.span.shown(end) for end in (self.span.low, self.span.high))
        return self.of_value(low), self.of_value(high)


class Findings:
    """What is wrong with a study, gathered while it is read."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def add(self, node: Node, path: Path, message: str) -> None:
        """Something wrong with the value of ``node``, which stands at ``path``."""
        self.problems.append(Problem(node.mark, show_path(path), message))

    def mapping(self, node: Node, path: Path, keys: tuple[str, ...]) -> dict[str, Node]:
        """The entries of a mapping with these keys and no others; empty where it is none."""
        if not isinstance(node.value, Mapping):
            self.add(node, path, f"expected a mapping (key: value), not {show(node.plain())}")
            return {}
        for key, entry in node.value.items():
            if key not in keys:
                where = show_path((*path, key))
                message = f"unknown key {key!r}{did_you_mean(key, keys)}"
                self.problems.append(Problem(entry.key, where, message))
        return {key: entry.node for key, entry in node.value.items() if key in keys}


def read_axes(node: Node, found: Findings, drawn: bool = False) -> tuple[Axis, ...]:
    """Every sound axis of a study's ``axes``; what is wrong goes to ``found``.

    ``drawn``: points are drawn, so a range needs no step.
    """
    if not isinstance(node.value, Mapping) or not node.value:
        message = "expected one axis or more, such as 'pools[chat].replicas: [8, 12, 16]'"
        found.add(node, ("axes",), message)
        return ()
    axes = []
    for name, entry in node.value.items():
        path = ("axes", name)
        if name in TAKEN:
            message = f"a study's rows have a column {name!r}; name it otherwise"
            found.add(entry.node, path, _SEEDS if name == "seed" else message)
            continue
        if drawn and isinstance(entry.node.value, Mapping) and "step" not in entry.node.value:
            span = _span(entry.node, path, found)
            if span is not None and sound_path(name, entry.node, path, found):
                axes.append(Axis(name, (), span))
            continue
        levels = tuple(_levels(name, entry.node, path, found))
        if levels and _labels_differ(levels, entry.node, path, found):
            axes.append(Axis(name, levels))
    _apart(axes, found)
    return tuple(axes)


def read_changes(node: Node, path: Path, found: Findings) -> tuple[Change, ...]:
    """The changes of a ``set:`` mapping of paths and values."""
    if not isinstance(node.value, Mapping) or not node.value:
        message = "expected paths and values, such as 'pools[chat].replicas: 30'"
        found.add(node, path, message)
        return ()
    for where, entry in node.value.items():
        sound_path(where, Node(entry.key, None), (*path, where), found)
    return tuple(Change(where, entry.node) for where, entry in node.value.items())


def sound_path(where: str, at: Node, path: Path, found: Findings) -> bool:
    """Whether ``where`` is a path that a study may set; else a problem."""
    steps = steps_of(where)
    if steps is None:
        message = f"{shorten(where)!r} is no path as --set takes it, such as pools[chat].replicas"
        found.add(at, path, message)
    elif steps[0] == "seed":
        found.add(at, path, _SEEDS)
    elif steps[0] == "extends":
        found.add(at, path, "only a file can say what it extends")
    else:
        return True
    return False


def _levels(name: str, node: Node, path: Path, found: Findings) -> Iterator[Level]:
    if isinstance(node.value, Mapping):
        if sound_path(name, node, path, found):
            for value in _range(node, path, found):
                yield Level(_scalar_label(value), (Change(name, Node(node.mark, value)),))
        return
    if not isinstance(node.value, tuple) or not node.value:
        message = f"expected a list of values, or {{from, to, step}}, not {show(node.plain())}"
        found.add(node, path, message if node.value != () else "the list is empty")
        return
    if len(node.value) > MOST_LEVELS:
        found.add(node, path, f"{len(node.value):,} values; an axis has {MOST_LEVELS:,} at most")
        return
    linked = [_is_linked(item) for item in node.value]
    if any(linked):
        for index, item in enumerate(node.value):
            yield from _linked(item, (*path, index), found)
    elif sound_path(name, node, path, found):
        labels = _labels([item.plain() for item in node.value])
        for index, (item, label) in enumerate(zip(node.value, labels, strict=True)):
            if item.value is None:
                found.add(item, (*path, index), "an empty item")
            else:
                yield Level(label, (Change(name, item),))


def _is_linked(item: Node) -> bool:
    return isinstance(item.value, Mapping) and "set" in item.value


def _linked(item: Node, path: Path, found: Findings) -> Iterator[Level]:
    """A level that sets several paths together."""
    parts = found.mapping(item, path, _LEVEL)
    if not parts:
        return
    for key in _LEVEL:
        if key not in parts:
            found.add(item, (*path, key), "missing: a level is {label: …, set: {…}}")
            return
    label = parts["label"].value
    if isinstance(label, bool) or not isinstance(label, (int, float, str)) or label == "":
        found.add(parts["label"], (*path, "label"), "expected a number or a short text")
        return
    changes = read_changes(parts["set"], (*path, "set"), found)
    if changes:
        yield Level(label, changes)


def _range(node: Node, path: Path, found: Findings) -> list[Scalar]:
    """The values of ``{from, to, step}``, both ends included."""
    parts = found.mapping(node, path, _RANGE)
    if len(parts) < len(_RANGE):
        if len(parts) == len(node.value if isinstance(node.value, Mapping) else ()):
            missing = ", ".join(key for key in _RANGE if key not in parts)
            found.add(node, path, f"a range is {{from, to, step}}; missing: {missing}")
        return []
    numbers: list[Decimal] = []
    units: list[str] = []
    for key in _RANGE:
        read = number_and_unit(parts[key], (*path, key), found)
        if read is None:
            return []
        numbers.append(read[0])
        units.append(read[1])
    if len(set(units)) > 1:
        found.add(node, path, f"from, to and step need the same unit, not {_listed(units)}")
        return []
    return stepped(node, path, numbers, units[0], found)


def _span(node: Node, path: Path, found: Findings) -> Span | None:
    """The range ``{from, to}`` or ``{from, to, scale}``."""
    before = len(found.problems)
    parts = found.mapping(node, path, _SPAN)
    if "from" not in parts or "to" not in parts:
        if len(found.problems) == before:
            found.add(node, path, "points are drawn from a range {from, to} or a list of values")
        return None
    ends = [number_and_unit(parts[key], (*path, key), found) for key in ("from", "to")]
    if ends[0] is None or ends[1] is None:
        return None
    (low, unit), (high, other) = ends[0], ends[1]
    scale = parts["scale"].value if "scale" in parts else SCALES[0]
    if scale not in SCALES:
        message = f"expected {' or '.join(SCALES)}, not {show(parts['scale'].plain())}"
        found.add(parts["scale"], (*path, "scale"), message)
    elif unit != other:
        found.add(node, path, f"from and to need the same unit, not {_listed([unit, other])}")
    elif high <= low:
        found.add(parts["to"], (*path, "to"), f"{high} is not above {low}: from is the least value")
    elif scale == "log" and low <= 0:
        found.add(parts["from"], (*path, "from"), f"a log scale has no {low}: it starts above 0")
    else:
        whole = not unit and all(type(parts[key].value) is int for key in ("from", "to"))
        return Span(low, high, unit, whole, scale == "log", node.mark)
    return None


def number_and_unit(node: Node, path: Path, found: Findings) -> tuple[Decimal, str] | None:
    """``60 /s`` in its two parts (no unit: ""); None and a problem where it is no number."""
    value = node.value
    match = _NUMBER.fullmatch(str(value)) if _is_number_or_text(value) else None
    if match is None:
        found.add(node, path, f"expected a number, not {show(node.plain())}")
        return None
    return Decimal(match[1]), match[2].strip()


def _is_number_or_text(value: object) -> bool:
    return isinstance(value, (int, float, str)) and not isinstance(value, bool)


def _listed(units: list[str]) -> str:
    return ", ".join(repr(unit) for unit in units)


def stepped(
    node: Node, path: Path, numbers: Sequence[Decimal], unit: str, found: Findings
) -> list[Scalar]:
    """The values from, to, step in ``unit`` ("": none), both ends included; none if they do not
    meet."""
    first, last, step = numbers
    if step == 0 or (last - first) / step < 0:
        found.add(node, path, f"a step of {step} never leads from {first} to {last}")
        return []
    count, rest = divmod(last - first, step)
    if count >= MOST_LEVELS:
        found.add(node, path, f"{count + 1:,} values; an axis has {MOST_LEVELS:,} at most")
        return []
    if rest:
        before = first + count * step
        message = f"steps of {step} from {first} do not meet {last}; write 'to: {before}' or "
        found.add(node, path, message + f"'to: {before + step}'")
        return []
    values = [first + index * step for index in range(int(count) + 1)]
    if unit:
        return [f"{value:f} {unit}" for value in values]
    whole = all(number == int(number) for number in numbers)
    return [int(value) if whole else float(value) for value in values]


def _labels(values: list[Any]) -> list[Label]:
    """Labels of values: themselves, a policy's kind where that tells them apart, or their text."""
    kinds = [value.get("kind") if isinstance(value, dict) else value for value in values]
    told = all(isinstance(kind, str) for kind in kinds) and len(set(kinds)) == len(kinds)
    return [str(kind) for kind in kinds] if told else [_scalar_label(value) for value in values]


def _scalar_label(value: Any) -> Label:
    if _is_number_or_text(value):
        label: Label = value
        return label
    return shorten(flow(value))


def flow(value: Any) -> str:
    """A plain tree as one line of YAML: ``{kind: polca, watch: pdu}``."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(flow(item) for item in value) + "]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)


def _labels_differ(levels: tuple[Level, ...], node: Node, path: Path, found: Findings) -> bool:
    seen: set[str] = set()
    for level in levels:
        text = str(level.label)
        if text in seen:
            found.add(node, path, f"{text!r} is there twice; every level needs its own label")
            return False
        seen.add(text)
    return True


def _apart(axes: list[Axis], found: Findings) -> None:
    """No two axes may set the same, or one what lies inside of what the other sets."""
    for index, axis in enumerate(axes):
        for other in axes[:index]:
            clash = _clash(axis, other)
            if clash is not None:
                change, theirs = clash
                message = f"sets {change.where}, and so does the axis {other.name!r}"
                if change.where != theirs.where:
                    message = (
                        f"sets {change.where}, and the axis {other.name!r} sets {theirs.where}: "
                        "one lies inside the other"
                    )
                found.add(change.value, ("axes", axis.name), message)


def _clash(axis: Axis, other: Axis) -> tuple[Change, Change] | None:
    mine, theirs = (
        {change.where: change for level in (one.levels or one.ends) for change in level.changes}
        for one in (axis, other)
    )
    for where, change in mine.items():
        for their_where, their in theirs.items():
            steps, their_steps = steps_of(where) or [], steps_of(their_where) or []
            short = min(len(steps), len(their_steps))
            if steps[:short] == their_steps[:short]:
                return change, their
    return None
