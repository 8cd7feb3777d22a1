"""Every error that a user can cause, each with the place that caused it.

Errors are the interface: a message names the file, line and path, what was wrong, and what would
be right. Nothing here prints; the command line renders these and sets the exit code.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


class RackplanError(Exception):
    """Base of every error that rackplan raises for something outside its own code.

    An error may cross to another process: it is restored as it was, not made again from its text.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (type(self), self.args, self.__dict__)


def _restored(kind: type[RackplanError], args: tuple[Any, ...], fields: Any) -> RackplanError:
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(fields)
    return error


@dataclass(frozen=True, order=True)
class Mark:
    """A position in a file a user wrote; ``line`` and ``column`` count from 1, 0 is "unknown"."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        if not self.line:
            return self.file
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, order=True)
class Problem:
    """One thing wrong with an input: where it is, the path inside the document, and the message."""

    mark: Mark
    path: str
    message: str

    def __str__(self) -> str:
        return ": ".join(part for part in (str(self.mark), self.path, self.message) if part)


class ScenarioError(RackplanError):
    """A scenario that cannot be read or makes no sense; carries every problem found, in order."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems: tuple[Problem, ...] = tuple(sorted(set(problems)))
        if not self.problems:
            raise ValueError("a ScenarioError needs at least one problem")
        super().__init__("\n".join(str(problem) for problem in self.problems))


class DataError(RackplanError):
    """A data file (a trace, a table of measurements, catalog data) that cannot be used as given."""

    def __init__(self, file: str, message: str, line: int = 0) -> None:
        self.file, self.line = file, line
        super().__init__(f"{file}:{line}: {message}" if line else f"{file}: {message}")


class BuildError(RackplanError):
    """A checked scenario that still cannot become a world; ``path`` is the YAML path to blame."""

    def __init__(self, path: str, message: str) -> None:
        self.path = path
        super().__init__(f"{path}: {message}")


class SimulationError(RackplanError):
    """A run that cannot go on, with the simulated time and the entity it happened to."""

    def __init__(self, time_s: float, entity: str, message: str) -> None:
        self.time_s, self.entity = time_s, entity
        super().__init__(f"at {time_s:.6f} s, {entity}: {message}")


class PartitionError(RackplanError):
    """Two ends of the network that nothing joins; ``entity`` is the one that is cut off."""

    def __init__(self, entity: str, message: str) -> None:
        self.entity = entity
        super().__init__(f"{entity}: {message}")


class ResultError(RackplanError):
    """A results folder that is missing, not whole, or written by an incompatible version."""


class UnknownName(RackplanError):
    """A name that is in no table, with the nearest names that are."""

    def __init__(self, kind: str, name: str, known: Iterable[str], most: int = 12) -> None:
        self.kind, self.name, self.known = kind, name, tuple(known)
        super().__init__(f"unknown {kind} {name!r}{did_you_mean(name, self.known, most)}")


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name closest to ``name`` by spelling (case ignored), or None if nothing is."""
    from difflib import get_close_matches

    by_folded: dict[str, str] = {}
    for candidate in known:
        by_folded.setdefault(candidate.casefold(), candidate)
    match = get_close_matches(name.casefold(), by_folded, n=1, cutoff=0.6)
    return by_folded[match[0]] if match else None


def did_you_mean(name: str, known: Iterable[str], most: int = 12) -> str:
    """`` (did you mean 'x'?)``, or the known names when none is close and they are few."""
    names = tuple(name for name in known if name)
    close = nearest(name, names)
    if close is not None:
        return f" (did you mean {close!r}?)"
    if 0 < len(names) <= most:
        return f" (known: {', '.join(sorted(names))})"
    return ""
