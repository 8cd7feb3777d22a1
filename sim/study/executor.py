"""What runs the tasks of a study: one Protocol, so that a study does not know where it runs."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

#: ``report(share)``: a task says how much of it is done, from 0 to 1.
Report = Callable[[float], None]
#: What a task does: a function of a module, so that another process can import it. It takes the
#: task's argument and a ``report``; it returns something small, because that crosses processes.
Work = Callable[[Any, Report], Any]


@dataclass(frozen=True)
class Task:
    """One piece of work; ``name`` ("seed 3") is unique in its study and stands in messages."""

    name: str
    argument: Any


@dataclass(frozen=True)
class Failure:
    """Why a task has no value.

    Attributes:
        kind: "raised" (the work raised), "died" (its worker ended) or "stuck" (its worker gave no
            sign of life for too long and was killed).
        message: what happened, in one line.
        detail: the traceback of what was raised; "" otherwise.
    """

    kind: str
    message: str
    detail: str = ""


@dataclass(frozen=True)
class Outcome:
    """What became of a task: its value, or else the failure of its last attempt."""

    task: Task
    value: Any = None
    failure: Failure | None = None
    attempts: int = 1


class Executor(Protocol):
    """Runs tasks somewhere."""

    def map(self, work: Work, tasks: Iterable[Task]) -> Generator[Outcome, None, None]:
        """One outcome for every task, in the order in which they end.

        A task whose worker is lost is tried again, a bounded number of times, and no other task
        with it. A task that raises is not: it would raise again. Closing the iterator stops
        whatever still runs.
        """
        ...
