"""The local executor: deaths, silence and exceptions each hit exactly one task."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from sim.study.executor import Outcome, Task
from sim.study.local import LocalExecutor, cores
from tests.unit.study.works import act

ROOT = Path(__file__).resolve().parents[3]


def tasks(log: Path, *kinds: str) -> list[Task]:
    return [Task(f"task {index}", (kind, index, log)) for index, kind in enumerate(kinds)]


def starts(log: Path) -> Counter[str]:
    """How often each number was started."""
    return Counter(line.split()[0] for line in log.read_text().splitlines())


def test_each_lost_worker_costs_its_own_task_and_no_other(tmp_path: Path) -> None:
    log, notices, shares = tmp_path / "log", [], []
    executor = LocalExecutor(
        2,
        retries=1,
        silence_s=6.0,  # a worker that a busy machine is slow to start is not stuck
        notice=notices.append,
        progress=lambda task, share: shares.append((task.name, share)),
    )
    kinds = ("ok", "die once", "raise", "ok", "die", "exit", "hang", "ok")
    found = {o.task.name: o for o in executor.map(act, tasks(log, *kinds))}
    assert {name: o.value for name, o in found.items() if o.failure is None} == {
        "task 0": 0, "task 1": 1, "task 3": 9, "task 7": 49,
    }  # fmt: skip
    assert starts(log) == {"0": 1, "1": 2, "2": 1, "3": 1, "4": 2, "5": 2, "6": 2, "7": 1}
    assert {name: o.attempts for name, o in found.items()} == {
        f"task {index}": count for index, count in enumerate((1, 2, 1, 1, 2, 2, 2, 1))
    }
    raised, died, left, stuck = (found[f"task {n}"].failure for n in (2, 4, 5, 6))
    assert raised is not None
    assert (raised.kind, raised.message) == ("raised", "ValueError: no such thing")
    assert "second line" in raised.detail
    assert died is not None
    assert "was killed by SIGKILL" in died.message
    assert left is not None
    assert "ended with exit code 3" in left.message
    assert stuck is not None
    assert (stuck.kind, "no sign of life for 6 s" in stuck.message) == ("stuck", True)
    lost = Counter(notice.partition(":")[0] for notice in notices)
    assert lost == {"task 1": 1, "task 4": 2, "task 5": 2, "task 6": 2}
    assert sum("trying again (2 of 2)" in notice for notice in notices) == 4
    assert sum("given up after 2 attempts" in notice for notice in notices) == 3
    assert ("task 0", 0.5) in shares


def test_no_more_workers_than_tasks_and_none_is_left(tmp_path: Path) -> None:
    log = tmp_path / "log"
    found = list(LocalExecutor(8).map(act, tasks(log, "ok", "ok")))
    assert sorted(outcome.value for outcome in found) == [0, 1]
    processes = {int(line.split()[1]) for line in log.read_text().splitlines()}
    assert 1 <= len(processes) <= 2
    assert not any(alive(process) for process in processes)


def alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def test_what_cannot_be_sent_back_is_a_failure_that_says_so(tmp_path: Path) -> None:
    (found,) = LocalExecutor(1).map(act, tasks(tmp_path / "log", "unsendable"))
    assert found.failure is not None
    assert found.failure.kind == "raised"
    assert "local_object" in found.failure.message


def test_closing_stops_workers_through_their_own_clean_up(tmp_path: Path) -> None:
    log = tmp_path / "log"
    outcomes = LocalExecutor(2).map(act, tasks(log, "ok", "wait", "ok"))
    assert {next(outcomes).value, next(outcomes).value} == {0, 4}
    while "waits " not in log.read_text():
        time.sleep(0.01)
    outcomes.close()
    lines = log.read_text().splitlines()
    (waiting,) = (line.split()[1] for line in lines if line.startswith("waits "))
    assert f"clean {waiting}" in lines
    assert not alive(int(waiting))


def interrupt_after_the_first(executor: LocalExecutor, log: Path, found: list[Outcome]) -> None:
    """Send what Ctrl-C in a terminal sends, to every worker and to this process."""
    with closing(executor.map(act, tasks(log, "ok", "wait"))) as outcomes:
        for outcome in outcomes:
            found.append(outcome)
            while "waits " not in log.read_text():
                time.sleep(0.01)
            for line in log.read_text().splitlines():
                os.kill(int(line.split()[1]), signal.SIGINT)
            signal.raise_signal(signal.SIGINT)


def test_ctrl_c_reaches_the_parent_only_and_it_stops_the_workers(tmp_path: Path) -> None:
    log, found = tmp_path / "log", list[Outcome]()
    with pytest.raises(KeyboardInterrupt):
        interrupt_after_the_first(LocalExecutor(2), log, found)
    assert [outcome.value for outcome in found] == [0]
    lines = log.read_text().splitlines()
    assert any(line.startswith("clean") for line in lines)
    assert not any(alive(int(line.split()[1])) for line in lines)


@pytest.mark.parametrize("told", ["b''", "term"])
def test_a_worker_that_ends_is_not_told_to_again(told: str) -> None:
    """What libraries do at the end of a process would be cut off, and they would print that."""
    code = (
        "import atexit, os, signal, threading\n"
        "from multiprocessing import Pipe\n"
        "from sim.study.worker import serve\n"
        "def end():\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    print('at its end')\n"
        "atexit.register(end)\n"
        "mine, its = Pipe()\n"
    )
    if told == "term":
        code += "threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGTERM)).start()\n"
    else:
        code += f"mine.send_bytes({told})\n"
    command = [sys.executable, "-c", code + "serve(its)\n"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.stderr == ""
    assert (done.stdout, done.returncode) == ("at its end\n", 143 if told == "term" else 0)


def test_the_default_is_one_worker_a_core() -> None:
    assert LocalExecutor().jobs == cores() >= 1
    with pytest.raises(ValueError, match="at least one worker"):
        LocalExecutor(0)
    with pytest.raises(ValueError, match="more than 0 s"):
        LocalExecutor(1, silence_s=0.0)


def test_kept_workers_do_what_comes_later(tmp_path: Path) -> None:
    """One process for two maps; one that was killed between two of them is replaced."""
    log = tmp_path / "log"
    executor = LocalExecutor(1)
    with executor.kept():
        for number in range(2):
            (found,) = executor.map(act, [Task("task", ("ok", number, log))])
            assert found.value == number**2
        (worker,) = executor.workers
        os.kill(worker, signal.SIGKILL)
        (found,) = executor.map(act, [Task("task", ("ok", 2, log))])
        assert found.value == 4
    pids = [line.split()[1] for line in log.read_text().splitlines()]
    assert pids[0] == pids[1] == str(worker) != pids[-1]
    assert executor.workers == []
