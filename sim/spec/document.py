"""``Document``: a scenario file as read, with its places and whatever is wrong with its shape."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any

from pydantic import ValidationError

from sim.errors import Mark, Problem
from sim.spec.files import Folders
from sim.spec.kinds import FOREIGN, REQUIRED, foreign, kind_of
from sim.spec.nodes import Node, Path, show_path
from sim.spec.scenario import LISTS, ScenarioSpec
from sim.spec.wording import known_keys, model_at, problems_of, unknown_key, without_echoes


@dataclass(frozen=True)
class Document:
    """A scenario as read.

    Attributes:
        file: the file as the user named it.
        spec: its typed content. A part in ``failed`` is None (items of lists keep their positions)
            or at its default.
        failed: paths of the parts that were left out because their shape is wrong or missing.
        problems: everything wrong so far; ``check`` reports them beside its own.
        root: the nodes, for places.
        tree: plain dicts, lists and scalars after ``extends`` and ``--set``.
        folders: where relative paths of each file start, and what they may reach.
        located: path in the document → the file that is named there, as far as it was asked for.
    """

    file: str
    spec: ScenarioSpec
    failed: frozenset[Path]
    problems: tuple[Problem, ...]
    root: Node
    tree: dict[str, Any]
    folders: Folders
    located: dict[Path, FilePath] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """The kind of scenario, as stated or as it looks."""
        return kind_of(self.root)

    def mark(self, path: Path, *, key: bool = False) -> Mark:
        """The place of the value (or of the key) at ``path``, or of the nearest thing above it."""
        return self.root.mark_of(path, key=key)

    def declared(self, section: str) -> list[tuple[int, str]]:
        """(position, name) of every named item of a list section, whole or not."""
        items = self.tree.get(section)
        named = []
        for i, item in enumerate(items if isinstance(items, list) else ()):
            if not isinstance(item, dict):
                continue
            name = item.get("as", item.get("name")) if section == "llms" else item.get("name")
            if isinstance(name, str):
                named.append((i, name))
        return named

    def mentioned(self, section: str, key: str) -> list[str] | None:
        """What the items of a list section write under ``key``; None where there is no list."""
        items = self.tree.get(section)
        if not isinstance(items, list):
            return None
        values = [item.get(key) for item in items if isinstance(item, dict)]
        return [value for value in values if isinstance(value, str)]

    def locate(self, path: Path, text: str) -> FilePath:
        """The real path of a file that is named at ``path``.

        Raises:
            ScenarioError: it leads out of the folders that may be used.
        """
        file = self.folders.locate(text, self.mark(path), show_path(path))
        self.located[path] = file
        return file


def shape(file: str, root: Node, found: list[Problem], folders: Folders) -> Document:
    """Give a tree its types; parts that do not fit are left out and reported."""
    plain = root.plain()
    tree: dict[str, Any] = {key: value for key, value in plain.items() if not key.startswith("x-")}
    poisoned = {problem.path for problem in found}
    problems = list(found)
    kind = kind_of(root)
    others = list(foreign(root, kind))
    own = _without(tree, {path for path, _ in others})
    findings = [
        *others, *_gaps(root), *_empty_unknown(root, kind), *_findings(own, root, kind),
        *_missing(root, tree, kind),
    ]  # fmt: skip
    failed = {_unit(path) for path, _ in findings}
    problems += [problem for _, problem in without_echoes(findings) if problem.path not in poisoned]
    kept = _without(tree, failed)
    spec = ScenarioSpec.model_validate(kept)
    return Document(file, spec, frozenset(failed), tuple(problems), root, tree, folders)


def _findings(tree: dict[str, Any], root: Node, kind: str) -> list[tuple[Path, Problem]]:
    try:
        ScenarioSpec.model_validate(tree)
    except ValidationError as error:
        return [
            (path, problem)
            for path, problem in problems_of(error, root, kind)
            if not _is_gap(root, path)
        ]
    return []


def _is_gap(root: Node, path: Path) -> bool:
    """Whether ``path`` is an empty item of a list, which ``_gaps`` reports."""
    node = root.at(path)
    return node is not None and node.value is None and isinstance(path[-1], int)


def _gaps(root: Node, path: Path = ()) -> list[tuple[Path, Problem]]:
    """Items of lists that are empty (``-`` with nothing after it)."""
    if isinstance(root.value, tuple):
        found = []
        for i, item in enumerate(root.value):
            here = (*path, i)
            if item.value is None:
                found.append((here, Problem(item.mark, show_path(here), "an empty item")))
            found += _gaps(item, here)
        return found
    if isinstance(root.value, dict):
        return [
            gap
            for key, entry in root.value.items()
            if path or not key.startswith("x-")
            for gap in _gaps(entry.node, (*path, key))
        ]
    return []


def _empty_unknown(root: Node, kind: str, path: Path = ()) -> list[tuple[Path, Problem]]:
    """Unknown keys that are set to nothing: a null leaves a known key out, not a slip."""
    if isinstance(root.value, tuple):
        return [
            empty
            for i, item in enumerate(root.value)
            for empty in _empty_unknown(item, kind, (*path, i))
        ]
    model = model_at(path)
    if not isinstance(root.value, dict) or model is None:
        return []
    free = model.model_config.get("extra") == "allow"
    known = known_keys(path, kind)
    found: list[tuple[Path, Problem]] = []
    for key, entry in root.value.items():
        here = (*path, key)
        if key in known:
            found += _empty_unknown(entry.node, kind, here)
        elif not path and key in FOREIGN[kind]:
            continue  # of the other kind: nothing is said of it if nothing is in it
        elif entry.node.value is None and not free and (path or not key.startswith("x-")):
            message = unknown_key(here, None, known)
            found.append((here, Problem(entry.key, show_path(here), message)))
    return found


def _missing(root: Node, tree: dict[str, Any], kind: str) -> list[tuple[Path, Problem]]:
    model = model_at(())
    assert model is not None
    found: list[tuple[Path, Problem]] = []
    for key in REQUIRED[kind]:
        if key in tree and tree[key] != []:
            continue
        place = root.mark_of((key,), key=True)
        about = model.model_fields[key].description
        what = "the list is empty" if key in tree else "missing"
        if key == "rackplan":
            what, about = "missing", "write 'rackplan: 1', the version of the scenario language"
        found.append(((key,), Problem(place, key, f"{what} ({about})")))
    return found


def _unit(path: Path) -> Path:
    """The smallest part that can be left out: an item of a list, a policy's role, or a section."""
    if path[0] in LISTS and len(path) > 1 and isinstance(path[1], int):
        return path[:2]
    if path[0] == "policies" and len(path) > 1:
        return path[:2]
    return path[:1]


def _without(tree: dict[str, Any], failed: set[Path]) -> dict[str, Any]:
    kept = dict(tree)
    for path in failed:
        if len(path) == 1:
            kept.pop(str(path[0]), None)
    for path in failed:
        section = kept.get(str(path[0])) if len(path) == 2 else None
        if isinstance(section, list):
            kept[str(path[0])] = [None if i == path[1] else item for i, item in enumerate(section)]
        elif isinstance(section, dict):
            kept[str(path[0])] = {key: value for key, value in section.items() if key != path[1]}
    return kept
