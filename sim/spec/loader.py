"""YAML text → ``Node`` tree, within bounds, with every place kept.

PyYAML scans and parses; composing is done here, because PyYAML's own composer recurses without
bound, accepts duplicate keys and resolves scalars by YAML 1.1.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NoReturn

import yaml

from sim.errors import Mark, Problem, ScenarioError
from sim.spec.nodes import (
    Entry,
    Node,
    Path,
    Scalar,
    list_node,
    mapping_node,
    shorten,
    show_path,
)
from sim.spec.scalars import resolve

#: Bounds of one file. A scenario of a large site stays far below all of them.
MOST_BYTES = 1 << 20
MOST_DEPTH = 32
MOST_NODES = 50_000
MOST_KEY = 200


def compose(text: str, file: str) -> tuple[Node, list[Problem]]:
    """The document in ``text`` and the problems that did not keep it from being read.

    Raises:
        ScenarioError: not YAML, not exactly one document, or beyond the bounds.
    """
    composer = _Composer(text, file)
    try:
        return composer.document(), composer.problems
    except _Stop as stop:
        raise ScenarioError([*composer.problems, stop.problem]) from None


class _Stop(Exception):
    """Reading cannot go on."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem


class _Composer:
    def __init__(self, text: str, file: str) -> None:
        self.file = file
        self.problems: list[Problem] = []
        self._events = self._parse(text)
        self._anchors: dict[str, Node | None] = {}  # None: still being read

    def _parse(self, text: str) -> Iterator[Any]:
        try:
            yield from yaml.parse(text, Loader=yaml.SafeLoader)
        except yaml.reader.ReaderError as error:
            line = text.count("\n", 0, error.position) + 1
            column = error.position - (text.rfind("\n", 0, error.position) + 1) + 1
            message = f"the character U+{ord(text[error.position]):04X} is not allowed in YAML"
            raise _Stop(Problem(Mark(self.file, line, column), "", message)) from None
        except yaml.MarkedYAMLError as error:
            place = error.problem_mark or error.context_mark
            mark = self._mark(place) if place is not None else Mark(self.file)
            raise _Stop(Problem(mark, "", f"not YAML: {_syntax(error)}")) from None
        except (ValueError, OverflowError):
            # PyYAML hands impossible escapes ("\UFFFFFFFF") and versions to chr() and int().
            raise _Stop(
                Problem(Mark(self.file), "", "not YAML: an escape or a version is out of range")
            ) from None

    def document(self) -> Node:
        """The root node of the only document."""
        root: Node | None = None
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent) and root is not None:
                self._stop(event, (), "a second document begins here; a scenario is one document")
            if isinstance(event, yaml.NodeEvent):
                root = self._node(event, ())
        if root is None or root.value is None:
            raise _Stop(Problem(Mark(self.file), "", "the file is empty"))
        return root

    def _node(self, event: Any, path: Path) -> Node:
        if len(path) > MOST_DEPTH:
            self._stop(event, path[:4], f"nested deeper than {MOST_DEPTH} levels")
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, path)
        if event.tag is not None:
            tag = event.tag.replace("tag:yaml.org,2002:", "!!")
            self._add(event, path, f"tags such as {shorten(tag)!r} are not allowed")
        if event.anchor is not None:
            self._anchors[event.anchor] = None
        if isinstance(event, yaml.ScalarEvent):
            node = Node(self._mark(event.start_mark), self._scalar(event, path))
        elif isinstance(event, yaml.SequenceStartEvent):
            node = self._list(event, path)
        else:
            node = self._mapping(event, path)
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        return node

    def _alias(self, event: Any, path: Path) -> Node:
        name = shorten(event.anchor)
        if event.anchor not in self._anchors:
            self._stop(event, path, f"the alias *{name} has no anchor &{name} before it")
        node = self._anchors[event.anchor]
        if node is None:
            self._stop(event, path, f"the alias *{name} stands inside its own anchor")
        return node

    def _scalar(self, event: Any, path: Path) -> Scalar:
        text: str = event.value
        if any("\ud800" <= character <= "\udfff" for character in text):
            self._add(event, path, "an escape in this text is half a character")
            return text.encode(errors="replace").decode()
        if event.style is not None or not event.implicit[0]:
            return text
        try:
            return resolve(text)
        except ValueError as error:
            self._add(event, path, str(error))
            return None

    def _list(self, start: Any, path: Path) -> Node:
        items: list[Node] = []
        size = 1
        for event in self._events:
            if isinstance(event, yaml.SequenceEndEvent):
                break
            items.append(self._node(event, (*path, len(items))))
            size = self._grow(size, items[-1], event, path)
        return list_node(self._mark(start.start_mark), tuple(items))

    def _mapping(self, start: Any, path: Path) -> Node:
        entries: dict[str, Entry] = {}
        size = 1
        for event in self._events:
            if isinstance(event, yaml.MappingEndEvent):
                break
            key = self._key(event, path)
            value_event = next(self._events)
            value = self._node(value_event, (*path, key or "?"))
            size = self._grow(size, value, value_event, path)
            if key is None:
                continue
            if key in entries:
                first = entries[key].key.line
                message = f"the key {key!r} is written twice (first in line {first})"
                self._add(event, (*path, key), message)
            else:
                entries[key] = Entry(self._mark(event.start_mark), value)
        return mapping_node(self._mark(start.start_mark), entries)

    def _key(self, event: Any, path: Path) -> str | None:
        """The text of a key, whatever its type would be; None (and a problem) where it is none."""
        if not isinstance(event, yaml.ScalarEvent):
            self._add(event, path, "a key must be text, not a list, a mapping or an alias")
            self._node(event, (*path, "?"))
            return None
        text: str = event.value
        if event.tag is not None or event.anchor is not None:
            self._add(event, path, f"the key {shorten(text)!r} may carry no tag and no anchor")
        if text == "<<" and event.style is None:
            self._add(event, path, "merge keys (<<) are not part of YAML 1.2; use 'extends:'")
            return None
        if len(text) > MOST_KEY or not text.isprintable() or not text:
            self._add(event, path, f"{shorten(text)!r} cannot be a key")
            return None
        return text

    def _grow(self, size: int, node: Node, event: Any, path: Path) -> int:
        if size + node.size > MOST_NODES:
            message = f"more than {MOST_NODES:,} values once aliases are expanded"
            self._stop(event, path[:4], message)
        return size + node.size

    def _mark(self, place: Any) -> Mark:
        return Mark(self.file, place.line + 1, place.column + 1)

    def _add(self, event: Any, path: Path, message: str) -> None:
        self.problems.append(Problem(self._mark(event.start_mark), show_path(path), message))

    def _stop(self, event: Any, path: Path, message: str) -> NoReturn:
        raise _Stop(Problem(self._mark(event.start_mark), show_path(path), message))


#: How a complaint of PyYAML begins, or what it contains, → what is behind it.
_SLIPS = (
    ("'\\t' that cannot start any token", "a tab stands where YAML allows only spaces"),
    (
        "mapping values are not allowed here",
        "a second ': ' in one line; quote the text, or check the indentation",
    ),
    ("expected <block end>", "this line's indentation fits no line above it"),
    ("expected '<document start>'", "the document ended before this line"),
    ("could not find expected ':'", "a key without ': ' after it"),
    ("expected ',' or ']'", "a '[' is not closed, or a ',' is missing before this"),
    ("expected ',' or '}'", "a '{' is not closed, or a ',' is missing before this"),
    ("expected the node content", "a value is missing before this"),
    ("found unexpected end of stream", "a quote is not closed"),
)


def _syntax(error: yaml.MarkedYAMLError) -> str:
    """PyYAML's complaint in our words where a common slip hides behind it."""
    problem = (error.problem or error.context or "it cannot be parsed").strip()
    said = next((ours for theirs, ours in _SLIPS if theirs in problem), problem)
    opened, met = error.context_mark, error.problem_mark
    if "not closed" in said and opened is not None and met is not None and opened.line < met.line:
        said += f" (opened in line {opened.line + 1})"
    return said
