"""A worker process of the local executor: it takes tasks from a pipe until it is told to end."""

from __future__ import annotations

import os
import pickle
import signal
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from types import FrameType
from typing import Any

#: Message kinds from worker to parent: (kind, …).
PROGRESS, DONE, RAISED = "progress", "done", "raised"

#: A task may report as often as it likes; more often than this is of no use to anybody.
REPORT_S = 0.2
#: One core a worker: libraries that start threads of their own would fight over the cores.
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


class Left(BaseException):
    """Nobody waits for the task any more; no ``except Exception`` of the work's own holds it up."""


def serve(pipe: Connection) -> None:
    """Take (work, argument) from the pipe, do it, send what came of it; until None or its end."""
    for name in _THREADS:
        os.environ.setdefault(name, "1")
    _obey_the_parent_only()

    def send(share: float) -> None:
        try:
            pipe.send_bytes(pickle.dumps((PROGRESS, share)))
        except OSError as error:
            raise Left from error

    try:
        # A parent that is gone closes the pipe; then there is nobody to work for.
        with suppress(EOFError, OSError, Left):
            while (received := pipe.recv_bytes()) != b"":
                pipe.send_bytes(attempt(received, send))
    finally:
        # It ends: who is told to now would only cut off what libraries do last, which they print.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _obey_the_parent_only() -> None:
    """Ctrl-C in a terminal reaches every process of the group, but only the parent decides.

    It sends SIGTERM, which leaves through the work's own clean-up.
    """

    def leave(signum: int, frame: FrameType | None) -> None:
        signal.signal(signum, signal.SIG_IGN)  # once: a clean-up is not cut off
        raise SystemExit(128 + signum)

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, leave)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def attempt(received: bytes, send: Callable[[float], None], every_s: float = REPORT_S) -> bytes:
    """Do one task; the message that says what came of it.

    Args:
        received: the pickled work and argument.
        send: takes the task's share that is done, once in ``every_s`` at most. A ``Left`` that it
            raises ends the task and passes through.
    """
    said_s = -every_s

    def report(share: float) -> None:
        nonlocal said_s
        now_s = time.monotonic()
        if now_s - said_s >= every_s:
            said_s = now_s
            send(share)

    try:
        work, argument = pickle.loads(received)
        return pickle.dumps((DONE, work(argument, report)))
    except Exception as error:  # whatever a task raises is its outcome, not the worker's end
        return pickle.dumps((RAISED, _one_line(error), traceback.format_exc()))


def _one_line(error: Any) -> str:
    text = str(error).strip()
    return f"{type(error).__name__}: {text.splitlines()[0]}" if text else type(error).__name__
