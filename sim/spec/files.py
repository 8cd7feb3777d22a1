"""Scenario files on disk: read within bounds, follow ``extends``, stay inside the folder tree."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path as FilePath

from sim.errors import Mark, Problem, ScenarioError, nearest
from sim.spec.loader import MOST_BYTES, MOST_NODES, compose
from sim.spec.merge import merge
from sim.spec.nodes import Node, mapping_node, shorten, show

#: How many files may extend one another in a chain.
MOST_FILES = 16
#: The ``kind`` of a file that is no scenario but a study of many.
STUDY = "study"
_A_STUDY = "this is a study of many runs, not a scenario; 'rackplan sweep FILE' runs it"


@dataclass
class Folders:
    """The files that a scenario may use, and where the paths written in each of them start.

    ``root`` is the folder of the top file; nothing outside its tree may be used unless
    ``allow_outside``. ``by_file`` maps a file as messages name it to its folder. ``whose`` says in
    messages what ``root`` is. ``named`` has every file that was asked for: its place as it is
    written, links not followed, and what that leads to.
    """

    root: FilePath
    allow_outside: bool
    by_file: dict[str, FilePath] = field(default_factory=dict)
    whose: str = "the scenario's folder"
    named: dict[FilePath, FilePath] = field(default_factory=dict)

    def locate(self, text: str, mark: Mark, path: str) -> FilePath:
        """The real path of ``text`` written at ``mark``, relative to the file it is written in.

        Raises:
            ScenarioError: it leads out of the folder tree (symbolic links followed).
        """
        folder = self.by_file.get(mark.file, self.root)
        if not text or "\0" in text:
            raise ScenarioError([Problem(mark, path, "expected the path of a file")])
        try:
            target = (folder / text).resolve()
        except (OSError, RuntimeError):
            message = f"{show(text)} cannot be followed (a loop of symbolic links?)"
            raise ScenarioError([Problem(mark, path, message)]) from None
        if not self.allow_outside and not target.is_relative_to(self.root):
            message = (
                f"{show(text)} leads out of {self.whose}; "
                "move the file there, or pass --allow-outside"
            )
            raise ScenarioError([Problem(mark, path, message)])
        self.named[FilePath(os.path.normpath(folder / text))] = target
        return target


def load(
    path: str | os.PathLike[str], *, allow_outside: bool, root: FilePath | None = None
) -> tuple[Node, list[Problem], Folders]:
    """The tree of a file and of all that it extends, the problems met so far, and its folders.

    ``root``: the folder that bounds what it may use; default: its own.

    Raises:
        ScenarioError: a file that cannot be read at all; everything found until then is in it.
    """
    shown, real = real_path(path)
    folders = Folders(real.parent if root is None else root, allow_outside)
    problems: list[Problem] = []
    node = _load(shown, real, Mark(shown), folders, problems, ())
    return node, problems, folders


def real_path(path: str | os.PathLike[str]) -> tuple[str, FilePath]:
    """A path as the user wrote it, and what it leads to.

    Raises:
        ScenarioError: it cannot be the path of a file.
    """
    shown = os.fspath(path)
    if not shown:
        raise ScenarioError([Problem(Mark("''"), "", "is not the path of a file")])
    try:
        return shown, FilePath(path).resolve()
    except (OSError, RuntimeError, ValueError):
        raise ScenarioError([Problem(Mark(shown), "", "is not the path of a file")]) from None


def load_text(text: str, file: str, folder: FilePath) -> tuple[Node, list[Problem], Folders]:
    """The same for a text that is in no file; paths in it start at ``folder``."""
    folders = Folders(folder.resolve(), False, {file: folder.resolve()})
    problems: list[Problem] = []
    root = _finish(text, file, folders, problems, ())
    return root, problems, folders


def _load(
    shown: str,
    real: FilePath,
    blame: Mark,
    folders: Folders,
    problems: list[Problem],
    chain: tuple[FilePath, ...],
) -> Node:
    where = "extends" if blame.line else ""  # the top file is named in no other
    if real in chain:
        loop = " → ".join(file.name for file in (*chain[chain.index(real) :], real))
        raise ScenarioError(
            [*problems, Problem(blame, where, f"these files extend in a circle: {loop}")]
        )
    if len(chain) >= MOST_FILES:
        message = f"more than {MOST_FILES} files extend one another"
        raise ScenarioError([*problems, Problem(blame, where, message)])
    text = text_of(shown, real, blame, where, problems)
    folders.by_file[shown] = real.parent
    return _finish(text, shown, folders, problems, (*chain, real))


def _finish(
    text: str,
    shown: str,
    folders: Folders,
    problems: list[Problem],
    chain: tuple[FilePath, ...],
) -> Node:
    try:
        root, found = compose(text, shown)
    except ScenarioError as error:
        raise ScenarioError([*problems, *error.problems]) from None
    problems.extend(found)
    if not isinstance(root.value, dict):
        message = f"a scenario is a mapping (key: value), not {show(root.plain())}"
        raise ScenarioError([*problems, Problem(root.mark, "", message)])
    kind = root.value.get("kind")
    if kind is not None and kind.node.value == STUDY:
        raise ScenarioError([*problems, Problem(kind.node.mark, "kind", _A_STUDY)])
    extends = root.value.get("extends")
    if extends is None or extends.node.value is None:
        return root
    target, mark = extends.node.value, extends.node.mark
    if not isinstance(target, str):
        message = f"expected the path of one file, not {show(extends.node.plain())}"
        raise ScenarioError([*problems, Problem(mark, "extends", message)])
    try:
        real = folders.locate(target, mark, "extends")
    except ScenarioError as error:
        raise ScenarioError([*problems, *error.problems]) from None
    base_shown = os.path.normpath(os.path.join(os.path.dirname(shown), target))
    base = _load(base_shown, real, mark, folders, problems, chain)
    merged = merge(base, root)
    if merged.size > MOST_NODES:
        message = f"more than {MOST_NODES:,} values in all"
        raise ScenarioError([*problems, Problem(mark, "extends", message)])
    assert isinstance(merged.value, dict)
    return mapping_node(
        merged.mark, {key: entry for key, entry in merged.value.items() if key != "extends"}
    )


def text_of(
    shown: str, real: FilePath, blame: Mark, where: str = "", problems: Sequence[Problem] = ()
) -> str:
    """The text of a file: a regular file of at most ``MOST_BYTES`` bytes of UTF-8.

    Args:
        shown: the file as messages name it.
        real: where it is.
        blame, where: place and path of what names the file.
        problems: met so far; they are raised with what is wrong here.

    Raises:
        ScenarioError: it cannot be read.
    """

    def stop(message: str, mark: Mark = blame) -> ScenarioError:
        return ScenarioError([*problems, Problem(mark, where if mark is blame else "", message)])

    name = f"{show(shown)}: " if where else ""
    try:
        if not real.exists():
            raise stop(f"{name}no such file{_nearby(real)}")
        if not real.is_file():
            raise stop(f"{name}is {'a folder' if real.is_dir() else 'not a regular file'}")
        with real.open("rb") as stream:
            data = stream.read(MOST_BYTES + 1)
    except OSError as error:
        raise stop(f"{name}cannot be read: {(error.strerror or 'error').lower()}") from None
    if len(data) > MOST_BYTES:
        raise stop(f"{name}is larger than {MOST_BYTES >> 20} MiB, the most a scenario may be")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - (data.rfind(b"\n", 0, error.start) + 1) + 1
        message = f"not UTF-8 text (byte 0x{data[error.start]:02x})"
        raise stop(message, Mark(shown, line, column)) from None


def _nearby(real: FilePath) -> str:
    if not real.parent.is_dir():
        return f" (nor is there a folder {shorten(str(real.parent.name))!r})"
    return similar(real, (".yaml", ".yml"))


def similar(file: FilePath, suffixes: tuple[str, ...]) -> str:
    """`` (did you mean 'x.yaml'?)`` for a file that is not there, by the names beside it."""
    beside = {entry.stem: entry.name for entry in file.parent.iterdir() if entry.suffix in suffixes}
    close = nearest(file.stem, sorted(beside))
    return "" if close is None else f" (did you mean {beside[close]!r}?)"
