"""The executor on a Dask cluster (extra ``cluster``): workers on many machines, one shared folder.

Dask carries tasks to workers and results back; who gets what is decided here. Each worker process
has one task in its hands, and that task is for it alone. So the loss of a worker names exactly one
task, which is tried again elsewhere under a new key, and Dask has no occasion to blame, move or
compute again anything else. What a task returns is released as soon as it is here: results that
stay in the memory of workers die with them. Runs are on disk before their tasks end.
"""

from __future__ import annotations

import logging
import pickle
import queue
import time
import uuid
from collections import Counter
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sim.study.cluster_worker import at_work, die, perform, stop
from sim.study.cluster_workers import ClusterError, Workers, listed
from sim.study.executor import Failure, Outcome, Queue, Task, Work
from sim.study.local import RETRIES, SILENCE_S, Notice, Progress
from sim.study.worker import DONE

#: How long is waited for the scheduler, for its first worker, and for one after all are gone.
CONNECT_S, FIRST_S, NONE_LEFT_S = 10.0, 30.0, 300.0

_TICK_S = 0.5  # how often is looked who came, who left and who is silent
_GRACE_S = 5.0  # for tasks to clean up after themselves when they are told to stop
_FETCH_S = 10.0  # for a result, which is small, to come from its worker
_PROGRESS, _ENDED = "progress", "ended"


class DaskExecutor:
    """Every worker of a cluster, one task at a time each.

    Args:
        scheduler: its address, such as ``tcp://10.0.0.1:8786``.
        folder: of the runs, absolute; every worker must see it.
        jobs: workers at a time; default: all that there are.
        retries: how often a task is tried again after it lost its worker.
        silence_s: a worker that reports nothing for this long is killed as stuck; its nanny starts
            another.
        notice: takes a line whenever a worker is lost or refused.
        progress: takes (task, share of it that is done) now and then.

    Raises:
        ClusterError: Dask is not installed, the scheduler does not answer, there is no worker, or
            a worker has other versions or does not see the folder.
    """

    def __init__(
        self,
        scheduler: str,
        *,
        folder: Path,
        jobs: int | None = None,
        retries: int = RETRIES,
        silence_s: float = SILENCE_S,
        notice: Notice = lambda text: None,
        progress: Progress = lambda task, share: None,
    ) -> None:
        self.scheduler, self.jobs, self.retries = scheduler, jobs, retries
        self.silence_s, self.notice, self.progress = silence_s, notice, progress
        self.client = _client(scheduler)
        self.workers = Workers(self.client, folder)
        try:
            self._first_workers()
        except BaseException:
            self.close()
            raise

    def _first_workers(self) -> None:
        start_s = time.monotonic()
        while not self.workers.admitted:
            try:
                refused = self.workers.look()
            except OSError as error:
                raise ClusterError(f"the scheduler at {self.scheduler} is gone: {error}") from error
            if refused:
                raise ClusterError(listed(refused))
            if time.monotonic() - start_s > FIRST_S:
                raise ClusterError(
                    f"the scheduler at {self.scheduler} has no worker after {FIRST_S:g} s: start "
                    f"some with 'dask worker {self.scheduler} --nworkers auto --nthreads 1'"
                )
            if not self.workers.admitted:
                time.sleep(_TICK_S)

    def close(self) -> None:
        """Leave the cluster."""
        with _quiet():
            self.client.close()

    def __enter__(self) -> DaskExecutor:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @contextmanager
    def kept(self) -> Iterator[None]:
        """As for the local executor; workers of a cluster stay in any case."""
        yield

    def map(self, work: Work, tasks: Iterable[Task]) -> Generator[Outcome, None, None]:
        """One outcome for every task, in the order in which they end (see ``Executor``)."""
        with _quiet():
            crew = _Crew(self, work, tasks)
            try:
                while crew.busy_after_hiring():
                    yield from crew.listen()
                yield from crew.lost
            finally:
                crew.stop()


def _client(scheduler: str) -> Any:
    """A client of the scheduler.

    Raises:
        ClusterError: there is none, or no Dask here.
    """
    try:
        from distributed import Client
    except ImportError as error:
        raise ClusterError(
            f"--scheduler needs Dask, which is not installed ({error}): "
            "pip install 'rackplan[cluster]'"
        ) from error
    try:
        with _quiet():
            connect: Any = Client
            return connect(scheduler, timeout=CONNECT_S, set_as_default=False)
    except (OSError, ValueError) as error:
        raise ClusterError(
            f"no Dask scheduler answers at {scheduler!r} within {CONNECT_S:g} s ({error}): "
            "expected an address such as tcp://10.0.0.1:8786, which 'dask scheduler' prints"
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Dask logs lost connections with tracebacks; what a user must know is said here."""
    loggers = [logging.getLogger(f"distributed.{name}") for name in ("client", "core", "comm")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


class _Hand:
    """A task in the hands of a worker.

    ``heard_s``: when it last gave a sign of life; None before the first, while it waits for what
    others have the worker do.
    """

    def __init__(self, task: Task, who: str, future: Any) -> None:
        self.task, self.who, self.future = task, who, future
        self.heard_s: float | None = None


class _Crew:
    """The open tasks of one ``map`` and who has them."""

    def __init__(self, executor: DaskExecutor, work: Work, tasks: Iterable[Task]) -> None:
        self._executor, self._work = executor, work
        self._client, self._workers = executor.client, executor.workers
        self._waiting = Queue(tasks)
        self._attempts: Counter[str] = Counter()
        self._busy: dict[str, _Hand] = {}  # by address
        self._mark = f"rackplan-{uuid.uuid4().hex}"
        self._heard: queue.SimpleQueue[tuple[Any, ...]] = queue.SimpleQueue()
        self._looked_s = self._hired_s = time.monotonic()
        self.lost: list[Outcome] = []
        self._client.subscribe_topic(self._mark, self._on_report)

    def _on_report(self, event: tuple[float, Any]) -> None:
        name, share = event[1]
        self._heard.put((_PROGRESS, name, share))

    def busy_after_hiring(self) -> bool:
        """Give waiting tasks to free workers; whether there is anything to wait for."""
        jobs = self._executor.jobs
        for address, about in self._workers.admitted.items():
            if jobs is not None and len(self._busy) >= jobs:
                break
            if address not in self._busy and self._waiting:
                self._give(address, about.identity, about.who)
        if self._busy:
            self._hired_s = time.monotonic()
        return bool(self._busy) or bool(self._waiting)

    def _give(self, address: str, identity: str, who: str) -> None:
        task = self._waiting.take()
        self._attempts[task.name] += 1
        number = sum(self._attempts.values())
        received = pickle.dumps((self._work, task.argument))
        future = self._client.submit(
            perform, identity, self._mark, task.name, received,
            key=f"{self._mark}-{number}", workers=[address], pure=False,
        )  # fmt: skip
        self._busy[address] = _Hand(task, who, future)
        future.add_done_callback(lambda ended: self._heard.put((_ENDED, address, ended)))

    def listen(self) -> Iterator[Outcome]:
        """Wait a moment for messages; the outcomes among them."""
        with suppress(queue.Empty):
            message = self._heard.get(timeout=_TICK_S)
            while True:
                yield from self._take(*message)
                message = self._heard.get_nowait()
        if time.monotonic() - self._looked_s >= _TICK_S:
            self._look()
        yield from self.lost
        self.lost.clear()

    def _take(self, kind: str, whose: str, what: Any) -> Iterator[Outcome]:
        if kind == _PROGRESS:
            for hand in self._busy.values():
                if hand.task.name == whose:
                    hand.heard_s = time.monotonic()
                    self._executor.progress(hand.task, what)
            return
        hand_or_none = self._busy.get(whose)
        if hand_or_none is None or hand_or_none.future is not what:
            return  # of a worker that was buried
        message = self._fetch(what)
        if message is None:
            self._look()  # without a scheduler every task is lost, and no worker to blame
            if self._busy.get(whose) is hand_or_none:
                self._bury(whose, "died")
                self._workers.gone(whose)
            return
        del self._busy[whose]
        kind, content, *detail = pickle.loads(message)
        task, attempts = hand_or_none.task, self._attempts[hand_or_none.task.name]
        if kind == DONE:
            yield Outcome(task, content, attempts=attempts)
        else:
            yield Outcome(task, failure=Failure("raised", content, *detail), attempts=attempts)

    def _fetch(self, future: Any) -> bytes | None:
        """What the worker sent; None if it was lost before it had, or was another one."""
        from concurrent.futures import CancelledError

        from distributed import KilledWorker

        try:
            message: bytes | None = future.result(timeout=_FETCH_S)
        except (KilledWorker, CancelledError, OSError):
            return None
        finally:
            future.release()
        return message

    def _look(self) -> None:
        """See who came and who left, and who says nothing."""
        self._looked_s = time.monotonic()
        try:
            for text in self._workers.look():
                self._executor.notice(text)
        except OSError as error:
            self._give_up(f"the scheduler at {self._executor.scheduler} is gone ({error})")
            return
        for address, hand in list(self._busy.items()):
            if address not in self._workers.admitted:
                self._bury(address, "died")
            elif hand.heard_s and self._looked_s - hand.heard_s > self._executor.silence_s:
                self._bury(address, "stuck")
        if not self._busy and self._looked_s - self._hired_s > NONE_LEFT_S:
            self._give_up(f"no worker came for {NONE_LEFT_S:g} s")

    def _bury(self, address: str, kind: str) -> None:
        """A worker is lost: its task, and no other, goes back to the end of the queue or fails."""
        hand = self._busy.pop(address)
        hand.future.cancel()
        who = f"its worker ({hand.who})"
        message = f"{who} is gone (is there memory for its run?)"
        if kind == "stuck":
            silence_s = self._executor.silence_s
            message = f"{who} gave no sign of life for {silence_s:g} s and was killed"
            self._client.run(die, workers=[address], on_error="ignore")
            self._workers.gone(address)
        task = hand.task
        attempts, tries = self._attempts[task.name], self._executor.retries + 1
        if attempts < tries:
            again = f"trying again ({attempts + 1} of {tries})"
            self._waiting.again(task)
        else:
            again = f"given up after {attempts} attempt{'s' if attempts > 1 else ''}"
            self.lost.append(Outcome(task, failure=Failure(kind, message), attempts=attempts))
        self._executor.notice(f"{task.name}: {message}; {again}")

    def _give_up(self, why: str) -> None:
        """Nobody is left to do anything: every open task fails."""
        tasks = [hand.task for hand in self._busy.values()]
        self._busy.clear()
        while self._waiting:
            tasks.append(self._waiting.take())
        self._executor.notice(f"{why}: {len(tasks)} tasks are left undone")
        for task in tasks:
            failure = Failure("died", why)
            self.lost.append(Outcome(task, failure=failure, attempts=self._attempts[task.name]))

    def stop(self) -> None:
        """End what still runs; a task at work first cleans up what it was writing."""
        with suppress(OSError, KeyError, ValueError):
            self._client.unsubscribe_topic(self._mark)
            self._end_tasks()

    def _end_tasks(self) -> None:
        busy = [address for address in self._busy if address in self._workers.admitted]
        if not busy:
            return
        self._client.run(stop, self._mark, workers=busy, on_error="ignore")
        self._client.cancel([hand.future for hand in self._busy.values()])
        until_s = time.monotonic() + _GRACE_S
        while time.monotonic() < until_s:
            left = self._client.run(at_work, self._mark, workers=busy, on_error="ignore")
            if not any(left.values()):
                return
            time.sleep(0.05)
