"""What every study that asks a question says beside it: its base, its lines, its seeds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any

from sim.errors import Mark
from sim.spec.axes import Findings, read_changes
from sim.spec.merge import Change
from sim.spec.nodes import Node, show
from sim.spec.study import Reader, read_name, read_seeds

KEYS = ("rackplan", "kind", "name", "base", "set", "question", "subject_to", "seeds")
#: Seeds that a point gets at most, where the study does not say.
SEEDS = 16


@dataclass(frozen=True)
class Basis:
    """A study around its question, as read; nothing in it has been looked up yet.

    Attributes:
        file: the file as the user named it.
        base: the base scenario as messages name it; ``base_mark``: where it is named.
        root: the folder in whose tree everything must lie.
        changes: to the base, before anything else.
        subject_to: the node of the lines that must hold; None: those that the base expects.
        seeds: that a point gets at most, from the base's own seed on.
    """

    file: str
    name: str
    base: str
    base_mark: Mark
    root: FilePath
    changes: tuple[Change, ...]
    subject_to: Node | None
    seeds: int


def read_basis(reader: Reader, found: Findings, allow_outside: bool) -> dict[str, Any]:
    """The fields of ``Basis`` by name; what is wrong with them goes to ``found``."""
    base, base_mark, root = reader.base(allow_outside)
    seeds = reader.value("seeds", read_plan_seeds)
    return {
        "file": reader.file,
        "name": reader.value("name", read_name) or "",
        "base": base,
        "base_mark": base_mark,
        "root": root,
        "changes": reader.part("set", lambda node: read_changes(node, ("set",), found)) or (),
        "subject_to": reader.part("subject_to", lambda node: read_lines(node, found)),
        "seeds": SEEDS if seeds is None else seeds,
    }


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
