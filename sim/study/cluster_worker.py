"""What the workers of a Dask cluster do for the executor: say what they are, work, and stop.

All but ``perform`` run in a worker's event loop, whatever its tasks do; ``perform`` is
a task, in a thread of its own.
"""

from __future__ import annotations

import os
import platform
import signal
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sim.study.worker import Left, attempt

#: Reports go over the scheduler: often enough for a bar, rare enough for hundreds of workers.
REPORT_S = 2.0

_left: set[str] = set()  # maps whose tasks are to end
_at_work: dict[str, int] = {}  # tasks of a map that this worker has begun and not ended


@dataclass(frozen=True)
class About:
    """A worker as it says itself.

    Attributes:
        identity: differs between any two worker processes, also under the same address.
        who: its process and machine, for messages.
        versions: of everything that the bytes of a result depend on.
        problem: why it cannot use the folder of the runs; "" if it can.
    """

    identity: str
    who: str
    versions: dict[str, str]
    problem: str


def about(token: str, dask_worker: Any) -> About:
    """What this worker is. ``token``: a file in the folder of the runs, which holds its own name.

    ``dask_worker`` is given by Dask.
    """
    from sim.results.manifest import versions

    who = f"process {os.getpid()} on {platform.node()}"
    return About(dask_worker.id, who, versions(), _problem(Path(token)))


def _problem(token: Path) -> str:
    try:
        if token.read_text(encoding="utf-8") != token.name:
            return f"{token} reads otherwise there"
        with tempfile.NamedTemporaryFile(dir=token.parent, prefix=f"{token.name}-"):
            return ""
    except OSError as error:
        return f"{error.filename or token}: {error.strerror}"


def perform(identity: str, mark: str, task: str, received: bytes) -> bytes | None:
    """Do one task: what ``attempt`` makes of it; None where this is not the worker it was for.

    Args:
        identity: of that worker. Another may have its address by now.
        mark: of the map that the task belongs to, which is also the topic of its reports.
        task: the name of the task.
        received: as ``attempt`` takes it.

    Raises:
        Left: nobody waits for it any more.
    """
    from distributed import get_worker

    worker: Any = get_worker()
    if worker.id != identity:
        return None

    def send(share: float) -> None:
        if mark in _left:
            raise Left
        worker.log_event(mark, [task, share])

    _at_work[mark] = _at_work.get(mark, 0) + 1
    try:
        send(0.0)
        return attempt(received, send, REPORT_S)
    finally:
        _at_work[mark] -= 1


def stop(mark: str) -> None:
    """Let the tasks of a map end at their next report, through the work's own clean-up."""
    _left.add(mark)


def at_work(mark: str) -> int:
    """How many tasks of a map have not ended here."""
    return _at_work.get(mark, 0)


def die() -> None:
    """End this worker at once: a task that is stuck cannot be ended in any other way."""
    os.kill(os.getpid(), signal.SIGKILL)
