"""Runs that the dashboard starts: a process each, and a folder that says all there is to say of it.

A job is ``ROOT/.jobs/ID/``: ``files/`` with the scenario and what it names, ``job.json`` (what was
started), ``progress.json`` (kept by the process itself), ``out.txt``, ``messages.txt``, ``cancel``.
Nothing of it is in the memory of the server, so a reload, a second tab or a server started later
finds the same job. The process is no child of any page: it goes on if the server is stopped.

One job at a time runs under a root. A process is told by its number, the moment it started and its
command line, so that a number that was given away again is not taken for it.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sim
from dashboard.drafts import Checked, put
from sim.errors import RackplanError, ResultError
from sim.results.folders import recover
from sim.results.result import read_json

FOLDER = ".jobs"
#: How long a cancelled run may take to write what it has.
GRACE_S = 20.0
#: Ended jobs that are kept.
KEPT = 10
_MOST_TEXT = 20_000
_ID = re.compile(r"job-[a-z0-9_]{8}")
_FOLDER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
#: What reading a folder raises that no job wrote.
_NO_JOB = (ResultError, KeyError, TypeError, ValueError, ArithmeticError, OSError)
_MAIN = "from sim.cli import main; main()"

#: States of a job.
RUNNING, STOPPING, DONE, STOPPED, FAILED = "running", "stopping", "done", "stopped", "failed"
LIVE = (RUNNING, STOPPING)


@dataclass(frozen=True)
class Job:
    """A run that was started here, as its folder says.

    Attributes:
        started_s: Unix time.
        scenario, seed: of what runs.
        origin, before: what it started from; the run to compare it with, "" where there is none.
        command: what a user would type for the same.
        simulated_s, total_s, wall_s: as the process last said; 0 before it did.
        result: name of the run folder that it wrote; "" where there is none yet.
        file: name of its scenario in ``files/``.
    """

    folder: Path
    state: str
    pid: int
    tick: str
    started_s: float
    scenario: str
    seed: int
    origin: str
    before: str
    command: str
    target: str
    simulated_s: float
    total_s: float
    wall_s: float
    result: str
    file: str

    @property
    def id(self) -> str:
        """Its name."""
        return self.folder.name

    @property
    def live(self) -> bool:
        """Whether its process is there."""
        return self.state in LIVE

    @property
    def share(self) -> float:
        """How much of the simulated time is done, 0 to 1."""
        return min(1.0, max(0.0, self.simulated_s / self.total_s)) if self.total_s > 0.0 else 0.0

    def messages(self) -> str:
        """The end of what the process said on standard error."""
        return _text(self.folder / "messages.txt")

    def answer(self) -> str:
        """The end of what it printed: the summary of the run."""
        return _text(self.folder / "out.txt")


def jobs(root: Path) -> list[Job]:
    """The jobs under a root, newest first; folders that are none of ours are left out."""
    place = root / FOLDER
    if place.is_symlink() or not place.is_dir():
        return []
    _reap()
    found = []
    with os.scandir(place) as entries:
        for entry in entries:
            if _ID.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False):
                with suppress(*_NO_JOB):
                    found.append(_read(Path(entry.path)))
    return sorted(found, key=lambda job: (-job.started_s, job.id))


def start(root: Path, text: str, checked: Checked, seed: int, origin: str, before: str) -> Job:
    """Run a checked text as ``rackplan run`` does, in a process of its own.

    Raises:
        RackplanError: another job is live, or a file cannot be written.
    """
    place = _place(root)
    with _alone(place):
        live = [job for job in jobs(root) if job.live]
        if live:
            raise RackplanError(
                f"{live[0].scenario} is running already; one run at a time is started here: wait "
                "for it, or cancel it"
            )
        _tidy(root)
        assert checked.scenario is not None
        try:
            folder = Path(tempfile.mkdtemp(prefix="job-", dir=place))
        except OSError as error:
            raise _cannot(error) from error
        process = None
        try:
            name = put(text, checked, folder / "files")
            process = _begin(root, folder, name, seed)
            said = {
                "pid": process.pid,
                "tick": _tick(process.pid),
                "started_s": time.time(),
                "scenario": checked.scenario.name,
                "seed": seed,
                "origin": origin,
                "before": before,
                "command": f"rackplan run {name} --seed {seed}",
                "target": checked.folder(seed),
                "file": name,
            }
            _write(folder / "job.json", json.dumps(said))
            return _read(folder)
        except BaseException as error:
            if process is not None:
                process.kill()
            shutil.rmtree(folder, ignore_errors=True)
            if isinstance(error, OSError):
                raise _cannot(error) from error
            raise


def _cannot(error: OSError) -> RackplanError:
    where = f"{error.filename}: " if error.filename else ""
    why = (error.strerror or "error").lower()
    return RackplanError(f"the run cannot be started: {where}{why}")


def cancel(job: Job) -> None:
    """Ask a live job to stop, as Ctrl-C does: what was simulated is kept as a partial run.

    If it has not ended after ``GRACE_S`` it is killed, and what it had begun to write is removed.
    """
    with suppress(OSError):
        _write(job.folder / "cancel", "")
    if not _is_ours(job.pid, job.tick, job.folder):
        return
    with suppress(ProcessLookupError):
        os.kill(job.pid, signal.SIGINT)
    threading.Thread(target=_end, args=(job, GRACE_S), daemon=True).start()


def _end(job: Job, grace_s: float) -> None:
    """Kill a job that outlives its grace, and remove the half of a run that it leaves."""
    deadline = time.monotonic() + grace_s
    while _is_ours(job.pid, job.tick, job.folder):
        if time.monotonic() >= deadline:
            with suppress(ProcessLookupError):
                os.killpg(job.pid, signal.SIGKILL)  # it leads a session of its own
            deadline = float("inf")
        time.sleep(0.1)
        _reap()
    if deadline == float("inf") and _FOLDER_NAME.fullmatch(job.target):
        with suppress(OSError):
            recover(job.folder.parents[1] / job.target)


def _place(root: Path) -> Path:
    """The folder of the jobs under a root.

    Raises:
        RackplanError: it cannot be made, or a link is in its place.
    """
    place = root / FOLDER
    if place.is_symlink():
        raise RackplanError(f"{place} is a link, and links are not followed: remove it")
    try:
        place.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise RackplanError(f"{place} cannot be made: {(error.strerror or '').lower()}") from error
    return place


@contextmanager
def _alone(place: Path) -> Iterator[None]:
    """No other page, and no other dashboard over the same root, starts a job meanwhile.

    Raises:
        RackplanError: its lock cannot be opened.
    """
    try:
        lock = os.open(place / ".lock", os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise _cannot(error) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


#: Processes that this server started, only to have them leave no zombies behind.
_CHILDREN: list[subprocess.Popen[bytes]] = []


def _begin(root: Path, folder: Path, name: str, seed: int) -> subprocess.Popen[bytes]:
    # -P: modules in the current folder do not shadow libraries. The scenario is named from its own
    # folder, so messages say "edited.yaml:3:4" and no file outside of it can be named.
    command = [sys.executable, "-P", "-c", _MAIN, "run", name, "--out", str(root),
               "--seed", str(seed), "--progress", str(folder / "progress.json")]  # fmt: skip
    paths = [str(Path(sim.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in paths if path)}
    with (folder / "out.txt").open("wb") as out, (folder / "messages.txt").open("wb") as messages:
        process = subprocess.Popen(
            command,
            cwd=folder / "files",
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=messages,
            start_new_session=True,  # a Ctrl-C that ends the server does not reach it
        )
    _CHILDREN.append(process)
    return process


def _reap() -> None:
    _CHILDREN[:] = [process for process in _CHILDREN if process.poll() is None]


def _read(folder: Path) -> Job:
    """Raises one of ``_NO_JOB``: it is not the folder of a job."""
    said = _mapping(folder / "job.json")
    if (folder / "files").is_symlink():
        raise ResultError(f"{folder / 'files'} is a link, and links are not followed")
    if int(said["seed"]) < 0:
        raise ResultError(f"{folder / 'job.json'} has a seed below 0")
    progress: dict[str, Any] = {}
    if (folder / "progress.json").exists():
        progress = _mapping(folder / "progress.json")
    pid, tick = int(said["pid"]), str(said["tick"])
    alive = _is_ours(pid, tick, folder)
    if not alive and (folder / "progress.json").exists():
        progress = _mapping(folder / "progress.json")  # its last word
    result = str(progress.get("result", ""))
    if not _FOLDER_NAME.fullmatch(result):
        result = ""
    asked = (folder / "cancel").exists()
    if alive:
        state = STOPPING if asked else RUNNING
    elif result:
        state = DONE if progress.get("outcome") == "complete" else STOPPED
    else:
        state = STOPPED if asked else FAILED
    return Job(
        folder, state, pid, tick, float(said["started_s"]), str(said["scenario"]),
        int(said["seed"]), str(said["origin"]), str(said["before"]), str(said["command"]),
        str(said["target"]),
        *(float(progress.get(key, 0.0)) for key in ("simulated_s", "total_s", "wall_s")),
        result, str(said["file"]),
    )  # fmt: skip


def _mapping(file: Path) -> dict[str, Any]:
    content = read_json(file)
    if not isinstance(content, dict):
        raise ResultError(f"{file} is not of a job")
    return content


def _is_ours(pid: int, tick: str, folder: Path) -> bool:
    """Whether process ``pid`` is the one that a job started, and has not ended."""
    if pid <= 1 or not tick or _tick(pid) != tick:
        return False
    command = _command_line(pid)
    return str(folder / "progress.json") in command


def _tick(pid: int) -> str:
    """The moment a process started, as the system counts it; "" where it has ended."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        # The name in parentheses may hold anything; state is field 3, the start time field 22.
        fields = status.rpartition(")")[2].split()
        return "" if fields[0] in ("Z", "X") else fields[19]
    except (OSError, IndexError):
        if Path("/proc/self/stat").exists():
            return ""
    state, _, started = _ps(pid, "state=,lstart=").partition(" ")
    return "" if state.startswith("Z") else started.strip()


def _command_line(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        if Path("/proc/self/stat").exists():
            return []
    return _ps(pid, "args=").split()


def _ps(pid: int, what: str) -> str:
    """What ``ps`` says of a process, on systems without /proc."""
    done = subprocess.run(
        ["ps", "-ww", "-o", what, "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return done.stdout.strip()


def _write(file: Path, text: str) -> None:
    """Whole or not at all."""
    young = file.with_name(f".{file.name}.new")
    young.write_text(text, encoding="utf-8")
    os.replace(young, file)


def _text(file: Path) -> str:
    """The end of a text file of a job; "" where there is none."""
    try:
        handle = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(handle, "rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            stream.seek(max(0, size - _MOST_TEXT))
            return stream.read(_MOST_TEXT).decode(errors="replace")
    except OSError:
        return ""


def _tidy(root: Path) -> None:
    """Remove all but the newest ended jobs; their results stay."""
    ended = [job for job in jobs(root) if not job.live]
    for job in ended[KEPT - 1 :]:
        shutil.rmtree(job.folder, ignore_errors=True)
