"""A YAML document as a tree of nodes that remember where each key and value was written.

Nodes never change, so an alias is the same node seen twice, and a change (``extends``, ``--set``)
makes new nodes along its path and leaves every other place that shares them alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from sim.errors import Mark

Scalar: TypeAlias = bool | int | float | str | None
#: Where a value stands in a document: keys and list positions from the root.
Path: TypeAlias = tuple[str | int, ...]

_PLAIN_KEY = re.compile(r"[\w-]+")
_LONGEST = 40


@dataclass(frozen=True)
class Entry:
    """One ``key: value`` of a mapping, with the place of its key."""

    key: Mark
    node: Node


@dataclass(frozen=True)
class Node:
    """A value and its place; ``size`` counts the nodes below it with aliases expanded."""

    mark: Mark
    value: Scalar | tuple[Node, ...] | Mapping[str, Entry]
    size: int = 1

    def at(self, path: Path) -> Node | None:
        """The node at ``path`` below this one, or None where there is none."""
        node = self
        for part in path:
            below = node.child(part)
            if below is None:
                return None
            node = below
        return node

    def child(self, part: str | int) -> Node | None:
        """The node one step below, or None where there is none."""
        if isinstance(self.value, Mapping):
            entry = self.value.get(str(part))
            return None if entry is None else entry.node
        if isinstance(self.value, tuple) and isinstance(part, int):
            return self.value[part] if 0 <= part < len(self.value) else None
        return None

    def mark_of(self, path: Path, *, key: bool = False) -> Mark:
        """The place of the value at ``path`` (or of its key), or of the nearest thing above."""
        node = self
        for i, part in enumerate(path):
            below = node.child(part)
            if below is None:
                break
            if key and i == len(path) - 1 and isinstance(node.value, Mapping):
                return node.value[str(part)].key
            node = below
        return node.mark

    def plain(self) -> Any:
        """Plain dicts, lists and scalars, without places. A key set to null counts as absent."""
        if isinstance(self.value, Mapping):
            return {
                key: entry.node.plain()
                for key, entry in self.value.items()
                if entry.node.value is not None
            }
        if isinstance(self.value, tuple):
            return [node.plain() for node in self.value]
        return self.value


def mapping_node(mark: Mark, entries: Mapping[str, Entry]) -> Node:
    """A mapping node with its size counted."""
    return Node(mark, dict(entries), 1 + sum(entry.node.size for entry in entries.values()))


def list_node(mark: Mark, items: tuple[Node, ...]) -> Node:
    """A list node with its size counted."""
    return Node(mark, items, 1 + sum(node.size for node in items))


def show_path(path: Path) -> str:
    """``("pools", 0, "llm")`` → ``pools[0].llm``; keys with odd characters are quoted."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif _PLAIN_KEY.fullmatch(part):
            text += f".{part}" if text else part
        else:
            text += f"[{shorten(part)!r}]"
    return text


def shorten(text: str, most: int = _LONGEST) -> str:
    """``text``, cut to ``most`` characters with an ellipsis."""
    return text if len(text) <= most else text[: most - 1] + "…"


def show(value: Any) -> str:
    """A value of a document in a few words, for messages."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return repr(shorten(value))
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, (list, tuple)):
        return "a list"
    return shorten(f"{value}")
