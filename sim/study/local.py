"""The executor on this machine: worker processes over pipes.

Each worker has a pipe of its own, so that the death of one names exactly one task: the pipe ends,
and what it had in hand is known. Nothing that others did is lost or done again. Workers are spawned
(not forked), so threads and locks of the parent do not matter.
"""

from __future__ import annotations

import os
import pickle
import signal
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from multiprocessing import connection, get_context
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any

from sim.study.executor import Failure, Outcome, Queue, Task, Work
from sim.study.worker import DONE, PROGRESS, serve

#: A worker that gives no sign of life for this long is stuck. The longest silence of a run is its
#: building or its measuring, minutes for the largest.
SILENCE_S = 900.0
RETRIES = 2

_TICK_S = 0.5  # how often silence is looked at
_GRACE_S = 5.0  # for a worker to clean up after itself when it is told to stop

Notice = Callable[[str], None]
Progress = Callable[[Task, float], None]


def cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class LocalExecutor:
    """Up to ``jobs`` worker processes.

    Args:
        jobs: workers at a time; never more than there are tasks.
        retries: how often a task is tried again after it lost its worker.
        silence_s: a worker that reports nothing for this long is killed as stuck.
        notice: takes a line whenever a worker is lost.
        progress: takes (task, share of it that is done) now and then.

    In a script of your own, start a study below ``if __name__ == "__main__":``; a spawned process
    imports the script.
    """

    def __init__(
        self,
        jobs: int | None = None,
        *,
        retries: int = RETRIES,
        silence_s: float = SILENCE_S,
        notice: Notice = lambda text: None,
        progress: Progress = lambda task, share: None,
    ) -> None:
        self.jobs = cores() if jobs is None else jobs
        if self.jobs < 1:
            raise ValueError(f"an executor needs at least one worker, not {jobs}")
        if not silence_s > 0.0:
            raise ValueError(f"a worker is stuck after more than 0 s, not {silence_s:g} s")
        self.retries, self.silence_s = retries, silence_s
        self.notice, self.progress = notice, progress
        self._kept: list[_Worker] | None = None

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Workers stay from one ``map`` to the next inside of this: each takes seconds to start."""
        self._kept = []
        try:
            yield
        finally:
            workers, self._kept = self._kept, None
            for worker in workers:
                worker.process.terminate()
            for worker in workers:
                worker.end()

    @property
    def workers(self) -> list[int]:
        """Process ids of the workers that are kept and idle."""
        kept = self._kept or []
        return [worker.process.pid for worker in kept if worker.process.pid is not None]

    def map(self, work: Work, tasks: Iterable[Task]) -> Generator[Outcome, None, None]:
        """One outcome for every task, in the order in which they end (see ``Executor``)."""
        crew = _Crew(self, work, tasks)
        try:
            while crew.busy_after_hiring():
                yield from crew.listen()
            yield from crew.lost  # of tasks that no worker ever took in
        finally:
            crew.stop()


class _Worker:
    """One process, its pipe, and the task in its hands."""

    def __init__(self) -> None:
        context = get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process: SpawnProcess = context.Process(target=serve, args=(theirs,), daemon=True)
        # A child inherits the mask: until it can ignore Ctrl-C itself, none reaches it.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self.process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            theirs.close()  # with a copy here, the pipe would not end when the child does
        self.task: Task | None = None
        self.heard_s = time.monotonic()

    def give(self, work: Work, task: Task) -> None:
        """Hand it a task.

        Raises:
            OSError: it is dead.
        """
        self.task, self.heard_s = task, time.monotonic()
        self.pipe.send_bytes(pickle.dumps((work, task.argument)))

    def end(self, kill: bool = False) -> None:
        """Wait for its end; kill it after a while, or at once."""
        if kill:
            self.process.kill()
        self.process.join(_GRACE_S)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        self.pipe.close()


class _Crew:
    """The workers and the open tasks of one ``map``."""

    def __init__(self, executor: LocalExecutor, work: Work, tasks: Iterable[Task]) -> None:
        self._executor, self._work = executor, work
        self._waiting = Queue(tasks)
        self._attempts: Counter[str] = Counter()
        self._idle: list[_Worker] = [] if executor._kept is None else executor._kept
        self._busy: dict[Connection, _Worker] = {}
        self.lost: list[Outcome] = []

    def busy_after_hiring(self) -> bool:
        """Give waiting tasks to free workers; whether any is at work."""
        while len(self._busy) < self._executor.jobs and self._waiting:
            fresh = not self._idle
            worker = _Worker() if fresh else self._idle.pop()
            task = self._waiting.take()
            self._attempts[task.name] += 1
            try:
                worker.give(self._work, task)
            except OSError:
                if fresh:
                    self._bury(worker, "died")
                else:  # it died between two tasks: no task is to blame
                    worker.end()
                    self._attempts[task.name] -= 1
                    self._waiting.put_back(task)
                continue
            self._busy[worker.pipe] = worker
        return bool(self._busy)

    def listen(self) -> Iterator[Outcome]:
        """Wait a moment for messages; the outcomes among them."""
        for pipe in connection.wait(list(self._busy), _TICK_S):
            assert isinstance(pipe, Connection)
            worker = self._busy[pipe]
            try:
                message = pickle.loads(pipe.recv_bytes())
            except (EOFError, OSError, pickle.UnpicklingError):  # the last: died in mid-sentence
                self._bury(worker, "died")
                continue
            yield from self._heard(worker, message)
        now_s = time.monotonic()
        for worker in list(self._busy.values()):
            if now_s - worker.heard_s > self._executor.silence_s:
                self._bury(worker, "stuck")
        yield from self.lost
        self.lost.clear()

    def _heard(self, worker: _Worker, message: tuple[Any, ...]) -> Iterator[Outcome]:
        kind, content, *detail = message
        task = worker.task
        assert task is not None
        worker.heard_s = time.monotonic()
        if kind == PROGRESS:
            self._executor.progress(task, content)
            return
        del self._busy[worker.pipe]
        self._idle.append(worker)
        worker.task = None
        attempts = self._attempts[task.name]
        if kind == DONE:
            yield Outcome(task, content, attempts=attempts)
        else:
            yield Outcome(task, failure=Failure("raised", content, *detail), attempts=attempts)

    def _bury(self, worker: _Worker, kind: str) -> None:
        """A worker is lost: its task, and no other, goes back to the end of the queue or fails."""
        task = worker.task
        assert task is not None
        self._busy.pop(worker.pipe, None)
        worker.end(kill=kind == "stuck")
        attempts = self._attempts[task.name]
        message = self._what_happened(worker, kind)
        tries = self._executor.retries + 1
        if attempts < tries:
            again = f"trying again ({attempts + 1} of {tries})"
            self._waiting.again(task)
        else:
            again = f"given up after {attempts} attempt{'s' if attempts > 1 else ''}"
            self.lost.append(Outcome(task, failure=Failure(kind, message), attempts=attempts))
        self._executor.notice(f"{task.name}: {message}; {again}")

    def _what_happened(self, worker: _Worker, kind: str) -> str:
        who = f"its worker (process {worker.process.pid})"
        if kind == "stuck":
            return f"{who} gave no sign of life for {self._executor.silence_s:g} s and was killed"
        code = worker.process.exitcode or 0
        if code >= 0:
            return f"{who} ended with exit code {code}"
        name = signal.Signals(-code).name if -code in list(signal.Signals) else f"signal {-code}"
        hint = " (is there memory for all jobs at once?)" if -code == signal.SIGKILL else ""
        return f"{who} was killed by {name}{hint}"

    def stop(self) -> None:
        """End every worker; one at work first cleans up what it was writing."""
        idle = self._idle if self._executor._kept is None else []
        workers = [*idle, *self._busy.values()]
        try:
            for worker in workers:
                worker.process.terminate()
            for worker in workers:
                worker.end()
        except KeyboardInterrupt:  # a second Ctrl-C: no more patience
            for worker in workers:
                worker.end(kill=True)
            raise
