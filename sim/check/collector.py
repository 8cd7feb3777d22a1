"""Where problems and warnings gather while a document is checked, and which names it declares."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from sim.errors import BuildError, Problem, RackplanError, ScenarioError, UnknownName
from sim.spec import Document
from sim.spec.nodes import Path, shorten, show_path
from sim.spec.wording import LONGEST


@dataclass(frozen=True)
class Names:
    """The names of a list section, whole items or not; ``complete`` if none can be missing."""

    known: tuple[str, ...]
    complete: bool


class Collector:
    """Gathers what is wrong with one document."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self._problems: list[Problem] = list(document.problems)
        self._blamed = {problem.path for problem in document.problems}
        self._warnings: list[str] = []
        self._remarks: list[str] = []

    def error(self, path: Path, message: str, *, key: bool = False) -> None:
        """Something wrong at ``path``; with ``key`` the place is that of the key."""
        mark = self.document.mark(path, key=key)
        self._blamed.add(show_path(path))
        self._problems.append(Problem(mark, show_path(path), shorten(message, LONGEST)))

    def blames(self, path: Path) -> bool:
        """Whether something at exactly this path is reported already."""
        return show_path(path) in self._blamed

    def caught(self, path: Path, error: RackplanError) -> None:
        """An error that a lower layer raised about what stands at ``path``."""
        self.error(path, f"{error}")

    def built(self, error: BuildError) -> None:
        """An error that building the site or its power tree raised; its path says where."""
        path: list[str | int] = []
        for word, index in re.findall(r"([A-Za-z_]\w*)|\[(\d+)\]", error.path):
            path.append(word or int(index))
        self.error(tuple(path), str(error).removeprefix(f"{error.path}: "))

    def extend(self, error: ScenarioError) -> None:
        """Problems that already have their place."""
        self._problems.extend(error.problems)
        self._blamed.update(problem.path for problem in error.problems)

    def warn(self, path: Path, message: str) -> None:
        """Something a user should know that does not keep the scenario from running.

        The place reads as ``--set`` takes it: ``workload[chat].rate``.
        """
        self._warnings.append(f"{self._place(path)}: {message}")

    def remark(self, path: Path, message: str) -> None:
        """Something that is well, and by how much."""
        self._remarks.append(f"{self._place(path)}: {message}")

    def _place(self, path: Path) -> str:
        place = show_path(path)
        for i, name in self.document.declared(str(path[0])):
            if path[1:2] == (i,):
                inside = show_path(path[2:])
                place = f"{path[0]}[{name}]" + (f".{inside}" if inside else "")
        return place

    def names(self, section: str) -> Names:
        """The names that a list section declares."""
        items = self.document.tree.get(section)
        declared = [name for _, name in self.document.declared(section)]
        return Names(
            tuple(declared), isinstance(items, list) and items != [] and len(declared) == len(items)
        )

    def unknown(self, path: Path, kind: str, name: str, names: Names) -> None:
        """Report ``name`` as unknown, unless a broken part may be what declares it."""
        if names.complete:
            self.error(path, str(UnknownName(kind, shorten(name), names.known)))

    def unique(self, kind: str, items: Iterable[tuple[Path, str]]) -> bool:
        """Whether all names differ; every name that an earlier item has too is reported."""
        fine = True
        first: dict[str, Path] = {}
        for path, name in items:
            if name in first:
                fine = False
                self.error(
                    path, f"{kind} {name!r} is named twice (first: {show_path(first[name])})"
                )
            else:
                first[name] = path[:-1]
        return fine

    @property
    def warnings(self) -> tuple[str, ...]:
        """Every warning, in the order of checking."""
        return tuple(dict.fromkeys(self._warnings))

    @property
    def remarks(self) -> tuple[str, ...]:
        """Every remark, in the order of checking."""
        return tuple(dict.fromkeys(self._remarks))

    def raise_problems(self) -> None:
        """Raise ``ScenarioError`` with every problem, if there is one."""
        if self._problems:
            raise ScenarioError(self._problems)
