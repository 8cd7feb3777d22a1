"""What runs the tasks of a study: one Protocol, so that a study does not know where it runs."""

from __future__ import annotations

from collections import deque
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


class Queue:
    """The tasks that no worker has: first those that were never tried, as they are needed.

    So who makes the tasks may look at the time, or at what came of others, before each.
    """

    def __init__(self, tasks: Iterable[Task]) -> None:
        self._rest = iter(tasks)
        self._next: list[Task] = []
        self._again: deque[Task] = deque()

    def __bool__(self) -> bool:
        if not self._next:
            self._next = [task for task in (next(self._rest, None),) if task is not None]
        return bool(self._next or self._again)

    def take(self) -> Task:
        """The next task; there must be one."""
        return self._next.pop() if self and self._next else self._again.popleft()

    def put_back(self, task: Task) -> None:
        """A task that no worker took in after all: it is the next."""
        assert not self._next
        self._next.append(task)

    def again(self, task: Task) -> None:
        """A task that lost its worker: after all others."""
        self._again.append(task)


class Executor(Protocol):
    """Runs tasks somewhere."""

    def map(self, work: Work, tasks: Iterable[Task]) -> Generator[Outcome, None, None]:
        """One outcome for every task, in the order in which they end.

        A task whose worker is lost is tried again, a bounded number of times, and no other task
        with it. A task that raises is not: it would raise again. Closing the iterator stops
        whatever still runs.
        """
        ...
