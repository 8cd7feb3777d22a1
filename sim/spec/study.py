"""A study file: a base scenario, axes that span a grid of points, seeds, and what is looked at."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any, TypeVar

from pydantic_core import PydanticCustomError

from sim.errors import Mark, Problem, ScenarioError, did_you_mean
from sim.spec.axes import Axis, Findings, read_axes, read_changes
from sim.spec.expect import Expectation, ExpectSpec
from sim.spec.files import STUDY, Folders, real_path, text_of
from sim.spec.goals import BudgetSpec, GoalSpec, read_budget, read_objectives
from sim.spec.loader import compose
from sim.spec.merge import Change
from sim.spec.nodes import Node, Path, show
from sim.spec.sampling import SEARCH, SamplingSpec, read_sampling
from sim.spec.scenario import Version
from sim.spec.types import Name, refuse
from sim.spec.wording import whole

T = TypeVar("T")

KEYS = (
    "rackplan", "kind", "name", "base", "axes", "sampling", "seeds", "metrics", "probabilities",
    "baseline", "objective", "objectives", "constraints", "budget",
)  # fmt: skip
REQUIRED = {
    "rackplan": "write 'rackplan: 1', the version of the scenario language",
    "name": "the study's name, also of its results",
    "base": "the scenario that the points change, such as '../quickstart.yaml'",
    "axes": "what the points set, such as 'pools[chat].replicas: [8, 12, 16]'",
    "seeds": "how many runs each point gets, such as 8",
}
#: A folder of this name reaches its scenarios in the folder above.
STUDIES = "studies"
MOST_SEEDS = 10_000
#: A larger grid is a slip of the keyboard.
MOST_POINTS = 10_000
#: The share of runs that have one is asked for in every study.
TRIP = "trips > 0"


@dataclass(frozen=True)
class Asked:
    """A name or line of the study, where it stands and at which path."""

    text: str
    mark: Mark
    path: str


@dataclass(frozen=True)
class Chance(Asked):
    """A line like ``trips > 0``: what share of runs it holds for, or whether it holds, is asked."""

    line: ExpectSpec


@dataclass(frozen=True)
class StudySpec:
    """A study as read; nothing in it has been looked up yet.

    Attributes:
        file: the file as the user named it.
        base: the base scenario as messages name it; ``base_mark``: where it is named.
        root: the folder in whose tree everything must lie.
        seeds: how many, from the base's own seed on.
        metrics: full names; ``chances``: lines whose probability is asked for, trips first.
        baseline: what is changed at every point for the runs it is compared with; None = no such.
        sampling: how points are drawn; None = all of the grid.
        objectives: what is to be small or large; ``constraints``: lines that must hold.
        budget: what one call may spend; None = whatever it takes.
    """

    file: str
    name: str
    base: str
    base_mark: Mark
    root: FilePath
    axes: tuple[Axis, ...]
    seeds: int
    metrics: tuple[Asked, ...]
    chances: tuple[Chance, ...]
    baseline: tuple[Change, ...] | None
    sampling: SamplingSpec | None = None
    objectives: tuple[GoalSpec, ...] = ()
    constraints: tuple[Chance, ...] = ()
    budget: BudgetSpec | None = None


def read_study(path: str | os.PathLike[str], *, allow_outside: bool = False) -> StudySpec:
    """Read a study file.

    The base lies in the tree of the study's folder, or of the folder above if the study's is
    called ``studies``.

    Raises:
        ScenarioError: everything that is wrong with the file itself.
    """
    reader, found = open_reader(path, "axes", KEYS, REQUIRED)
    base, base_mark, bound = reader.base(allow_outside)
    drawn = reader.has("sampling")
    spec = StudySpec(
        file=reader.file,
        name=reader.value("name", read_name) or "",
        base=base,
        base_mark=base_mark,
        root=bound,
        axes=reader.part("axes", lambda node: read_axes(node, found, drawn)) or (),
        seeds=reader.value("seeds", read_seeds) or 0,
        metrics=tuple(reader.texts("metrics")),
        chances=tuple(reader.chances()),
        baseline=reader.part("baseline", lambda node: _baseline(node, found)),
        sampling=reader.part("sampling", lambda node: read_sampling(node, MOST_POINTS, found)),
        objectives=read_objectives(reader.node("objective"), reader.node("objectives"), found),
        constraints=tuple(reader.lines("constraints").values()),
        budget=reader.part("budget", lambda node: read_budget(node, found)),
    )
    if spec.sampling is not None and spec.sampling.kind == SEARCH and not spec.objectives:
        message = "a search looks for the best of something: write objective: {minimise: METRIC}"
        found.problems.append(Problem(spec.sampling.mark, "sampling", message))
    if found.problems:
        raise ScenarioError(found.problems)
    return spec


#: As for scenarios: a study's name becomes that of a folder too.
_NAME = (r"[a-z0-9][a-z0-9._-]*", "small letters, digits, '.', '-' and '_'")


def read_name(value: Any) -> str:
    """The name of a study; raises as ``Value.read`` does."""
    return str(Name(*_NAME).read(value))


def open_reader(
    path: str | os.PathLike[str], asks: str, keys: tuple[str, ...], required: Mapping[str, str]
) -> tuple[Reader, Findings]:
    """A study file, ready to be read, and where what is wrong with it is gathered.

    Args:
        asks: "axes" or "question", whichever a file that is read here has.
        keys, required: of such a file.

    Raises:
        ScenarioError: it cannot be read at all, or is of another kind.
    """
    shown, real = real_path(path)
    root, problems = compose(text_of(shown, real, Mark(shown)), shown)
    if not isinstance(root.value, dict):
        message = f"a study is a mapping (key: value), not {show(root.plain())}"
        raise ScenarioError([*problems, Problem(root.mark, "", message)])
    found = Findings()
    found.problems.extend(problems)
    _refuse_scenario(root, found)
    _refuse_other(root, asks, found)
    return Reader(shown, real, root, found, keys, required), found


def is_study(path: str | os.PathLike[str]) -> bool:
    """Whether a file says that it is a study; False also where it cannot be read."""
    return _study_of(path) is not None


def asks_question(path: str | os.PathLike[str]) -> bool:
    """Whether a file is a study that asks a question; False also where it cannot be read."""
    root = _study_of(path)
    return root is not None and root.at(("question",)) is not None


def _study_of(path: str | os.PathLike[str]) -> Node | None:
    """The content of a file that says that it is a study."""
    try:
        shown, real = real_path(path)
        root, _ = compose(text_of(shown, real, Mark(shown)), shown)
    except ScenarioError:
        return None
    kind = root.at(("kind",))
    return root if kind is not None and kind.value == STUDY else None


def _refuse_scenario(root: Node, found: Findings) -> None:
    """Raise if this is no study at all, so that one message says so instead of many."""
    kind = root.at(("kind",))
    if kind is not None and kind.value == STUDY:
        return
    mark, path = (root.mark, "") if kind is None else (kind.mark, "kind")
    if any(root.at((key,)) is not None for key in ("base", "axes", "question")):
        path, message = "kind", "missing: a study says 'kind: study'"
    else:
        message = (
            "this is a scenario, not a study: 'rackplan run FILE' runs it; a study has "
            "'kind: study', a base and axes"
        )
    raise ScenarioError([*found.problems, Problem(mark, path, message)])


def _refuse_other(root: Node, asks: str, found: Findings) -> None:
    """Raise if this study has axes in place of a question, or the other way round."""
    other, command = ("question", "plan") if asks == "axes" else ("axes", "sweep")
    node = root.at((other,))
    if node is not None and root.at((asks,)) is None:
        message = f"this study has {'a question' if other == 'question' else 'axes'}"
        message += (
            f": 'rackplan {command} FILE' {'answers it' if other == 'question' else 'runs it'}"
        )
        raise ScenarioError(
            [*found.problems, Problem(root.mark_of((other,), key=True), other, message)]
        )


def read_seeds(value: Any) -> int:
    """How many seeds; raises ``ValueError`` where that is no such number."""
    if type(value) is not int:
        raise ValueError(whole(value))
    if not 1 <= value <= MOST_SEEDS:
        raise ValueError(f"must be from 1 to {MOST_SEEDS:,}, not {value:,}")
    return value


def _baseline(node: Node, found: Findings) -> tuple[Change, ...]:
    parts = found.mapping(node, ("baseline",), ("set",))
    if "set" not in parts:
        if parts or node.value == {}:
            found.add(node, ("baseline",), "expected {set: {…}}: what a point's baseline changes")
        return ()
    return read_changes(parts["set"], ("baseline", "set"), found)


def _line(value: Any) -> ExpectSpec:
    line = Expectation().read(value)
    if not isinstance(line, ExpectSpec):
        raise refuse("no comparison can stand here: expected text such as trips > 0")
    return line


class Reader:
    """Reads the sections of a study, each on its own; what is wrong goes to ``found``."""

    def __init__(
        self,
        file: str,
        real: FilePath,
        root: Node,
        found: Findings,
        keys: tuple[str, ...],
        required: Mapping[str, str],
    ) -> None:
        assert isinstance(root.value, dict)
        self.file, self._folder, self._found = file, real.parent, found
        self._nodes = {
            key: entry.node for key, entry in root.value.items() if entry.node.value is not None
        }
        for key, entry in root.value.items():
            if key in keys or key.startswith("x-"):
                continue
            hint = did_you_mean(key, keys)
            found.problems.append(Problem(entry.key, key, f"unknown key {key!r}{hint}"))
        for key, about in required.items():
            if key not in self._nodes:
                place = root.mark_of((key,), key=True)
                found.problems.append(Problem(place, key, f"missing ({about})"))
        self.value("rackplan", Version().read)

    def has(self, key: str) -> bool:
        """Whether there is such a section."""
        return key in self._nodes

    def node(self, key: str) -> Node | None:
        """A section as it is; None where there is none."""
        return self._nodes.get(key)

    def part(self, key: str, read: Callable[[Node], T]) -> T | None:
        """What ``read`` makes of a section; None where there is none."""
        node = self._nodes.get(key)
        return None if node is None else read(node)

    def value(self, key: str, read: Callable[[Any], T]) -> T | None:
        """The value of a section; None where there is none, or it is wrong."""
        node = self._nodes.get(key)
        return None if node is None else self._read(node, (key,), read)

    def _read(self, node: Node, path: Path, read: Callable[[Any], T]) -> T | None:
        try:
            return read(node.plain())
        except PydanticCustomError as error:
            self._found.add(node, path, error.message())
        except ValueError as error:
            self._found.add(node, path, str(error))
        return None

    def folders(self, allow_outside: bool) -> Folders:
        """The folders that the study's files may lie in."""
        bound = self._folder.parent if self._folder.name == STUDIES else self._folder
        whose = "the study's folder" if bound == self._folder else f"the folder above {STUDIES}/"
        return Folders(bound, allow_outside, {self.file: self._folder}, whose)

    def base(self, allow_outside: bool) -> tuple[str, Mark, FilePath]:
        """The base as messages name it, where it is named, and the folder that bounds its tree."""
        folders = self.folders(allow_outside)
        bound = folders.root
        node = self._nodes.get("base")
        if node is None:
            return "", Mark(self.file), bound
        if not isinstance(node.value, str):
            message = f"expected the path of one file, not {show(node.plain())}"
            self._found.add(node, ("base",), message)
            return "", node.mark, bound
        try:
            folders.locate(node.value, node.mark, "base")
        except ScenarioError as error:
            self._found.problems.extend(error.problems)
        shown = os.path.normpath(os.path.join(os.path.dirname(self.file), node.value))
        return shown, node.mark, bound

    def texts(self, key: str) -> list[Asked]:
        """A list of names."""
        found: dict[str, Asked] = {}
        for index, node in enumerate(self._items(key)):
            path: Path = (key, index)
            text = node.value
            if not isinstance(text, str) or not text:
                message = f"expected the name of a metric, not {show(node.plain())}"
                self._found.add(node, path, message)
            elif text in found:
                self._found.add(node, path, f"{text!r} is named twice")
            else:
                found[text] = Asked(text, node.mark, f"{key}[{index}]")
        return list(found.values())

    def chances(self) -> list[Chance]:
        """The lines whose probability is asked for; that of a trip is always one of them."""
        trip = Chance(TRIP, Mark("every study"), "probabilities", _line(TRIP))
        return list({TRIP: trip, **self.lines("probabilities")}.values())

    def lines(self, key: str) -> dict[str, Chance]:
        """A list of lines as in ``expect:``, by their text."""
        found = {}
        for index, node in enumerate(self._items(key)):
            line = self._read(node, (key, index), _line)
            if line is not None:
                found[line.text] = Chance(line.text, node.mark, f"{key}[{index}]", line)
        return found

    def _items(self, key: str) -> tuple[Node, ...]:
        node = self._nodes.get(key)
        if node is None:
            return ()
        if not isinstance(node.value, tuple):
            message = "expected a list (in [ ], or a line with '- ' for each)"
            self._found.add(node, (key,), f"{message}, not {show(node.plain())}")
            return ()
        return node.value
