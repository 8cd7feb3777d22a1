"""The executor in this very process: one task after the other."""

from __future__ import annotations

import traceback
from collections.abc import Generator, Iterable

from sim.study.executor import Failure, Outcome, Task, Work


class InThisProcess:
    """Runs tasks here, in their order: no worker to start, none to lose."""

    def map(self, work: Work, tasks: Iterable[Task]) -> Generator[Outcome, None, None]:
        """One outcome for each task (see ``Executor``)."""
        for task in tasks:
            try:
                value = work(task.argument, lambda share: None)
            except Exception as error:  # whatever it is becomes the task's failure, as in a worker
                detail = traceback.format_exc()
                failure = Failure("raised", f"{type(error).__name__}: {error}", detail)
                yield Outcome(task, failure=failure)
            else:
                yield Outcome(task, value)
