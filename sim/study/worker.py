"""A worker process of the local executor: it takes tasks from a pipe until it is told to end."""

from __future__ import annotations

import os
import pickle
import signal
import time
import traceback
from contextlib import suppress
from multiprocessing.connection import Connection
from types import FrameType
from typing import Any

#: Message kinds from worker to parent: (kind, …).
PROGRESS, DONE, RAISED = "progress", "done", "raised"

#: A task may report as often as it likes; more than this many a second are of no use to anybody.
_REPORT_S = 0.2
#: One core a worker: libraries that start threads of their own would fight over the cores.
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


def serve(pipe: Connection) -> None:
    """Take (work, argument) from the pipe, do it, send what came of it; until None or its end."""
    for name in _THREADS:
        os.environ.setdefault(name, "1")
    _obey_the_parent_only()
    # A parent that is gone closes the pipe; then there is nobody to work for.
    with suppress(EOFError, OSError):
        while (received := pipe.recv_bytes()) != b"":
            message = _attempt(received, pipe)
            pipe.send_bytes(message)


def _obey_the_parent_only() -> None:
    """Ctrl-C in a terminal reaches every process of the group, but only the parent decides.

    It sends SIGTERM, which leaves through the work's own clean-up.
    """

    def leave(signum: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + signum)

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, leave)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def _attempt(received: bytes, pipe: Connection) -> bytes:
    """Do one task; the message that says what came of it."""
    said_s = -_REPORT_S

    def report(share: float) -> None:
        nonlocal said_s
        now_s = time.monotonic()
        if now_s - said_s >= _REPORT_S:
            said_s = now_s
            pipe.send_bytes(pickle.dumps((PROGRESS, share)))

    try:
        work, argument = pickle.loads(received)
        return pickle.dumps((DONE, work(argument, report)))
    except BrokenPipeError:
        raise  # of `report`: the parent is gone
    except Exception as error:  # whatever a task raises is its outcome, not the worker's end
        return pickle.dumps((RAISED, _one_line(error), traceback.format_exc()))


def _one_line(error: Any) -> str:
    text = str(error).strip()
    return f"{type(error).__name__}: {text.splitlines()[0]}" if text else type(error).__name__
