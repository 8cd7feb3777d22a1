"""Reading a scenario: file → nodes → ``extends`` and ``--set`` → shape."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from sim.errors import Problem, ScenarioError
from sim.spec.document import Document, shape
from sim.spec.files import Folders, load, load_text
from sim.spec.merge import apply_set
from sim.spec.nodes import Node


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
    root, problems, folders = load(path, allow_outside=allow_outside)
    return _finish(os.fspath(path), root, problems, folders, sets)


def read_text(
    text: str, *, file: str = "scenario", folder: Path | None = None, sets: Sequence[str] = ()
) -> Document:
    """Read a scenario from text; paths in it start at ``folder`` (default: the working folder).

    Raises:
        ScenarioError: as for ``read``.
    """
    root, problems, folders = load_text(text, file, folder or Path())
    return _finish(file, root, problems, folders, sets)


def _finish(
    file: str, root: Node, problems: list[Problem], folders: Folders, sets: Sequence[str]
) -> Document:
    failed: list[Problem] = []
    for change in sets:
        try:
            root = apply_set(root, change)
        except ScenarioError as error:
            failed.extend(error.problems)
    if failed:
        raise ScenarioError([*problems, *failed])
    return shape(file, root, problems, folders)
