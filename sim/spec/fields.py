"""The entries of one mapping of a study, each read on its own; what is wrong is gathered."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from pydantic_core import PydanticCustomError

from sim.spec.axes import Findings, number_and_unit
from sim.spec.nodes import Node, Path, show

T = TypeVar("T")


class Fields:
    """Reads the entries of a mapping.

    Attributes:
        node, path: the mapping and where it stands.
        parts: key → node, of the known keys that have a value.
    """

    def __init__(self, node: Node, path: Path, keys: tuple[str, ...], found: Findings) -> None:
        self.node, self.path, self.found = node, path, found
        parts = found.mapping(node, path, keys)
        self.parts = {key: part for key, part in parts.items() if part.value is not None}
        self.sound = bool(parts) or node.value == {}

    def add(self, key: str, message: str) -> None:
        """Something wrong with the value of ``key``, or with the whole where it has none."""
        self.found.add(self.parts.get(key, self.node), (*self.path, key), message)

    def refuse(self, message: str) -> None:
        """Something wrong with the mapping as a whole."""
        self.found.add(self.node, self.path, message)

    def value(
        self, key: str, read: Callable[[Any], T], about: str = "", default: T | None = None
    ) -> T | None:
        """What ``read`` makes of an entry; ``default`` where there is none, None if it is wrong.

        ``about``: what it is and an example; an entry without that may be left out.
        """
        node = self.parts.get(key)
        if node is None:
            if about and self.sound:
                self.found.add(self.node, (*self.path, key), f"missing ({about})")
            return default
        try:
            return read(node.plain())
        except PydanticCustomError as error:
            self.add(key, error.message())
        except ValueError as error:
            self.add(key, str(error))
        return None

    def load(self, key: str, about: str = "") -> tuple[float, str] | None:
        """A load with its unit ("": none), such as 180 /s."""
        node = self.parts.get(key)
        if node is None:
            if about and self.sound:
                self.found.add(self.node, (*self.path, key), f"missing ({about})")
            return None
        read = number_and_unit(node, (*self.path, key), self.found)
        return None if read is None else (float(read[0]), read[1])

    def items(self, key: str, example: str) -> Iterator[tuple[Node, Path]]:
        """The items of a list, each with its path."""
        node = self.parts.get(key)
        if node is None:
            return
        if not isinstance(node.value, tuple) or not node.value:
            self.add(key, f"expected a list such as {example}, not {show(node.plain())}")
            return
        for index, item in enumerate(node.value):
            yield item, (*self.path, key, index)


def read_whole(least: int, most: int = 1_000_000) -> Callable[[Any], int]:
    """A reader of whole numbers within bounds; raises ``ValueError`` as readers do."""

    def read(value: Any) -> int:
        if type(value) is not int:
            raise ValueError(f"expected a whole number, not {show(value)}")
        if not least <= value <= most:
            raise ValueError(f"must be from {least:,} to {most:,}, not {value:,}")
        return value

    return read


def read_text(value: Any) -> str:
    """Some text; raises ``ValueError`` as readers do."""
    if not isinstance(value, str) or not value:
        raise ValueError(f"expected text, not {show(value)}")
    return value


def beside(file: str, name: str) -> str:
    """A file that is named in another one, as messages name it."""
    return os.path.normpath(os.path.join(os.path.dirname(file), name))
