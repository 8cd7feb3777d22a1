"""What differs between two scenarios: their resolved trees, path by path."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

#: Stands for a path that one of the trees does not have.
ABSENT = "(absent)"


@dataclass(frozen=True)
class Change:
    """One path and its two values; ``ABSENT`` where a tree does not have it."""

    path: str
    a: Any
    b: Any


def changes(a: Any, b: Any, path: str = "") -> Iterator[Change]:
    """Every difference between two JSON-like trees, in the order of the first.

    Entries of lists that have names are matched by them (``pools[chat].replicas``), others by
    position. A part that only one tree has is one change, not one for each of its leaves.
    """
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        yield from _of_mappings(a, b, path, "{}.{}" if path else "{}{}")
    elif _is_list(a) and _is_list(b):
        yield from _of_mappings(_keyed(a), _keyed(b), path, "{}[{}]")
    elif a != b or isinstance(a, bool) != isinstance(b, bool):
        yield Change(path, a, b)


def _of_mappings(
    a: Mapping[Any, Any], b: Mapping[Any, Any], path: str, pattern: str
) -> Iterator[Change]:
    for key in dict.fromkeys((*a, *b)):
        inner = pattern.format(path, key)
        if key in a and key in b:
            yield from changes(a[key], b[key], inner)
        else:
            yield Change(inner, a.get(key, ABSENT), b.get(key, ABSENT))


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _keyed(entries: Sequence[Any]) -> dict[Any, Any]:
    """List entries by name if each has one of its own, else by position."""
    names = [entry.get("name") if isinstance(entry, Mapping) else None for entry in entries]
    if all(isinstance(name, str) for name in names) and len(set(names)) == len(names):
        return dict(zip(names, entries, strict=True))
    return dict(enumerate(entries))
