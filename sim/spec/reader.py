"""Reading a scenario: file → nodes → ``extends`` and ``--set`` → shape."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sim.errors import Problem, ScenarioError
from sim.spec.document import Document, shape
from sim.spec.files import Folders, load, load_text
from sim.spec.merge import Change, apply_change, apply_set
from sim.spec.nodes import Node


@dataclass(frozen=True)
class Source:
    """A scenario file as read, with all that it extends: what documents of it are made from."""

    file: str
    root: Node
    problems: tuple[Problem, ...]
    folders: Folders

    def document(self, sets: Sequence[str] = (), changes: Sequence[Change] = ()) -> Document:
        """The scenario after ``sets``, then ``changes``, each in order.

        Raises:
            ScenarioError: every change that fails.
        """
        root = self.root
        failed: list[Problem] = []
        every: list[str | Change] = [*sets, *changes]
        for change in every:
            try:
                if isinstance(change, str):
                    root = apply_set(root, change)
                else:
                    root = apply_change(root, change)
            except ScenarioError as error:
                failed.extend(error.problems)
        if failed:
            raise ScenarioError([*self.problems, *failed])
        return shape(self.file, root, list(self.problems), self.folders)


def open_source(
    path: str | os.PathLike[str], *, allow_outside: bool = False, root: Path | None = None
) -> Source:
    """Read a scenario file and all that it extends.

    Args:
        path: the file; messages name it as given.
        allow_outside: let paths in the file lead out of its folder tree.
        root: the folder whose tree that is, where it is not the file's own.

    Raises:
        ScenarioError: no file, not YAML, beyond the bounds, an ``extends`` that fails.
    """
    node, problems, folders = load(path, allow_outside=allow_outside, root=root)
    return Source(os.fspath(path), node, tuple(problems), folders)


def read(
    path: str | os.PathLike[str], *, sets: Sequence[str] = (), allow_outside: bool = False
) -> Document:
    """Read a scenario file.

    Problems of shape are kept in the document, so that ``sim.check.check`` can report them beside
    its own; only what leaves nothing to check is raised here.

    Args:
        path: the file; messages name it as given.
        sets: changes such as ``pools[chat].replicas=30``, applied in order after ``extends``.
        allow_outside: let paths in the file lead out of its folder tree.

    Raises:
        ScenarioError: no file, not YAML, beyond the bounds, an ``extends`` or a change that fails.
    """
    return open_source(path, allow_outside=allow_outside).document(sets)


def read_text(
    text: str, *, file: str = "scenario", folder: Path | None = None, sets: Sequence[str] = ()
) -> Document:
    """Read a scenario from text; paths in it start at ``folder`` (default: the working folder).

    Raises:
        ScenarioError: as for ``read``.
    """
    root, problems, folders = load_text(text, file, folder or Path())
    return Source(file, root, tuple(problems), folders).document(sets)
