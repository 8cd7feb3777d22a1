"""``extends`` lays one file over another, ``--set`` one value over both."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from sim.errors import Mark, Problem, ScenarioError, did_you_mean
from sim.spec.loader import MOST_DEPTH, MOST_NODES, compose
from sim.spec.nodes import Entry, Node, Path, list_node, mapping_node, shorten, show_path
from sim.spec.scalars import resolve

_STEP = re.compile(r"(?:^|(?!^)\.)([\w-]+)|\[([^\[\]]+)\]")


def merge(base: Node, over: Node, path: Path = ()) -> Node:
    """``over`` laid on ``base``: mappings key by key, everything else (lists too) replaced.

    A policy of another ``kind`` replaces the policy below it whole, since parameters of one kind
    mean nothing to another.
    """
    if not isinstance(base.value, Mapping) or not isinstance(over.value, Mapping):
        return over
    if "policies" in path and _kind(base) != _kind(over) and _kind(over) is not None:
        return over
    entries = dict(base.value)
    for key, entry in over.value.items():
        below = entries.get(key)
        node = entry.node if below is None else merge(below.node, entry.node, (*path, key))
        entries[key] = Entry(entry.key, node)
    return mapping_node(over.mark, entries)


def _kind(node: Node) -> object:
    kind = node.at(("kind",))
    return None if kind is None else kind.value


@dataclass(frozen=True)
class Change:
    """A value to be set at ``where``, such as ``pools[chat].replicas``; places are the value's."""

    where: str
    value: Node


def apply_set(root: Node, text: str) -> Node:
    """``root`` with ``pools[chat].replicas=30`` applied; places below it point to the ``--set``.

    The value reads as a YAML scalar, or as YAML where it starts with a bracket, a brace or a quote.

    Raises:
        ScenarioError: a path that does not parse or leads nowhere, or a value that is not YAML.
    """
    return apply_change(root, change_of(text))


def change_of(text: str) -> Change:
    """``pools[chat].replicas=30`` as a change.

    Raises:
        ScenarioError: a path that does not parse, or a value that is not YAML.
    """
    mark = Mark(f"--set {shorten(text, 80)}")
    where, equals, value = text.partition("=")
    if not equals or steps_of(where.strip()) is None:
        message = "expected PATH=VALUE, such as pools[chat].replicas=30"
        raise ScenarioError([Problem(mark, "", message)])
    return Change(where.strip(), _value(value.strip(), mark))


def apply_change(root: Node, change: Change) -> Node:
    """``root`` with a change applied; problems are told at the place of its value.

    Raises:
        ScenarioError: its path does not parse or leads nowhere.
    """
    mark, steps = change.value.mark, steps_of(change.where)
    if steps is None:
        message = f"{shorten(change.where)!r} is no path such as pools[chat].replicas"
        raise ScenarioError([Problem(mark, "", message)])
    if len(steps) > MOST_DEPTH:
        raise ScenarioError([Problem(mark, "", f"nested deeper than {MOST_DEPTH} levels")])
    if steps[0] == "extends":
        raise ScenarioError([Problem(mark, "extends", "only a file can say what it extends")])
    root = _replace(root, steps, (), change.value, mark)
    if root.size > MOST_NODES:
        raise ScenarioError([Problem(mark, "", f"more than {MOST_NODES:,} values in all")])
    return root


def steps_of(where: str) -> list[str] | None:
    """``pools[chat].replicas`` → its steps; ``[chat]`` stays bracketed to tell it from a key.

    None where it does not parse.
    """
    steps, end = [], 0
    for match in _STEP.finditer(where):
        if match.start() != end:
            return None
        steps.append(match[1] if match[1] is not None else f"[{match[2]}")
        end = match.end()
    return steps if steps and end == len(where) and not steps[0].startswith("[") else None


def _value(text: str, mark: Mark) -> Node:
    if text[:1] in ("[", "{", '"', "'"):
        node, problems = compose(text, mark.file)
        if problems:
            raise ScenarioError(problems)
        return _marked(node, mark)
    try:
        return Node(mark, resolve(text))
    except ValueError as error:
        raise ScenarioError([Problem(mark, "", str(error))]) from None


def _marked(node: Node, mark: Mark) -> Node:
    if isinstance(node.value, Mapping):
        entries = {k: Entry(mark, _marked(e.node, mark)) for k, e in node.value.items()}
        return mapping_node(mark, entries)
    if isinstance(node.value, tuple):
        return list_node(mark, tuple(_marked(item, mark) for item in node.value))
    return Node(mark, node.value)


def _replace(node: Node, steps: list[str], path: Path, new: Node, mark: Mark) -> Node:
    if not steps:
        # A policy's kind set anew drops parameters that belong to the old kind (see merge).
        return new
    step, rest = steps[0], steps[1:]
    if step.startswith("["):
        if not isinstance(node.value, tuple):
            raise _nowhere(mark, path, f"is not a list, so {step}] leads nowhere")
        index = _index(node.value, step[1:], path, mark)
        items = list(node.value)
        items[index] = _replace(items[index], rest, (*path, index), new, mark)
        return list_node(node.mark, tuple(items))
    if node.value is None:
        node = mapping_node(mark, {})
    if not isinstance(node.value, Mapping):
        instead = f" (write '{show_path(path)}[{step}]')" if isinstance(node.value, tuple) else ""
        raise _nowhere(mark, path, f"is not a mapping, so '.{step}' leads nowhere{instead}")
    entries = dict(node.value)
    if rest:
        old = entries.get(step)
        below = mapping_node(mark, {}) if old is None else old.node
        key = mark if old is None else old.key
        entries[step] = Entry(key, _replace(below, rest, (*path, step), new, mark))
    else:
        old_kind = _kind(node)
        if step == "kind" and "policies" in path and old_kind != new.value:
            entries = {}
        entries[step] = Entry(mark, new)
    return mapping_node(node.mark, entries)


def _index(items: tuple[Node, ...], step: str, path: Path, mark: Mark) -> int:
    """The position that ``[3]`` or ``[chat]`` names: a number, or an item's ``as`` or ``name``."""
    names = [_name(item) for item in items]
    if step in names:
        return names.index(step)
    if re.fullmatch(r"[0-9]{1,6}", step):
        if int(step) < len(items):
            return int(step)
        raise _nowhere(mark, path, f"has {len(items)} items, so [{step}] leads nowhere")
    hint = did_you_mean(step, [name for name in names if name])
    raise _nowhere(mark, path, f"has no item named {shorten(step)!r}{hint}")


def _name(item: Node) -> str | None:
    for key in ("as", "name"):
        node = item.at((key,))
        if node is not None and isinstance(node.value, str):
            return node.value
    return None


def _nowhere(mark: Mark, path: Path, message: str) -> ScenarioError:
    return ScenarioError([Problem(mark, show_path(path), message)])
