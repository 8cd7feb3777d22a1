"""The executor on a Dask cluster: results as on this machine, each loss hits one task."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sim.results.manifest import versions
from sim.study.cluster import ClusterError, DaskExecutor
from sim.study.cluster_worker import About, about
from sim.study.cluster_workers import Workers, listed
from sim.study.executor import Outcome
from sim.study.points import load_study
from sim.study.sweep import run_study
from sim.study.sweep_files import save
from tests.unit.study.studies import study_file
from tests.unit.study.test_local import starts, tasks
from tests.unit.study.works import InProcess, act, folder_bytes, tick

distributed = pytest.importorskip("distributed", reason="needs the extra `cluster`")


@pytest.fixture(scope="module")
def scheduler() -> Iterator[str]:
    """The address of a cluster of two worker processes, whose nannies start others."""
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0", silence_logs=50
    ) as cluster:
        yield cluster.scheduler_address


@contextmanager
def executor(scheduler: str, folder: Path, **options: Any) -> Iterator[DaskExecutor]:
    with DaskExecutor(scheduler, folder=folder, **options) as made:
        while len(made.workers.admitted) < 2:  # a test before may have killed one
            made.workers.look()
            time.sleep(0.02)
        yield made


def pid(worker: About) -> int:
    return int(worker.who.split()[1])


def test_a_study_that_lost_a_worker_has_the_bytes_of_one_that_did_not(
    scheduler: str, tmp_path: Path
) -> None:
    study = load_study(study_file(tmp_path), seeds=1)
    here, there = tmp_path / "here", tmp_path / "there"
    save(run_study(study, InProcess(), out=here, engine="reference"), here)
    notices: list[str] = []
    ended: list[str] = []
    with executor(scheduler, there, notice=notices.append) as dask:

        def kill_at_the_first(name: str, ran: bool) -> None:
            ended.append(name)
            if len(ended) == 1:
                busy = [address for address, keys in dask.client.processing().items() if keys]
                os.kill(pid(dask.workers.admitted[busy[0]]), signal.SIGKILL)

        result = run_study(study, dask, out=there, engine="reference", ended=kill_at_the_first)
    save(result, there)
    assert result.failed == 0
    assert len(ended) == len(set(ended)) == 4
    (notice,) = notices
    assert "is gone" in notice
    assert "trying again (2 of 3)" in notice
    assert folder_bytes(there) == folder_bytes(here)


def test_each_lost_worker_costs_its_own_task_and_no_other(scheduler: str, tmp_path: Path) -> None:
    log, notices, shares = tmp_path / "log", list[str](), list[tuple[str, float]]()
    with executor(
        scheduler, tmp_path, retries=1, notice=notices.append,
        progress=lambda task, share: shares.append((task.name, share)),
    ) as dask:  # fmt: skip
        kinds = ("ok", "die once", "raise", "ok", "exit", "unsendable", "ok")
        found = {o.task.name: o for o in dask.map(act, tasks(log, *kinds))}
    assert {name: o.value for name, o in found.items() if o.failure is None} == {
        "task 0": 0, "task 1": 1, "task 3": 9, "task 6": 36,
    }  # fmt: skip
    assert starts(log) == {"0": 1, "1": 2, "2": 1, "3": 1, "4": 2, "5": 1, "6": 1}
    assert [found[f"task {n}"].attempts for n in range(7)] == [1, 2, 1, 1, 2, 1, 1]
    raised, died, unsent = (found[f"task {n}"].failure for n in (2, 4, 5))
    assert raised is not None
    assert (raised.kind, raised.message) == ("raised", "ValueError: no such thing")
    assert died is not None
    assert (died.kind, "is gone" in died.message) == ("died", True)
    assert unsent is not None
    assert "local_object" in unsent.message
    lost = Counter(notice.partition(":")[0] for notice in notices)
    assert lost == {"task 1": 1, "task 4": 2}
    assert ("task 0", 0.0) in shares


def test_closing_stops_tasks_through_their_own_clean_up(scheduler: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with executor(scheduler, tmp_path) as dask:
        outcomes = dask.map(tick, tasks(log, "wait", "ok"))
        first: Outcome = next(outcomes)
        assert first.value == "ok"
        while "waits " not in log.read_text():
            time.sleep(0.01)
        outcomes.close()
        (waiting,) = (line.split()[1] for line in log.read_text().splitlines() if "waits" in line)
        assert f"clean {waiting}" in log.read_text().splitlines()
        # The worker is free for what comes next.
        assert [o.value for o in dask.map(tick, tasks(log, "ok", "ok"))] == ["ok", "ok"]


def test_a_silent_worker_is_killed_and_its_task_given_up(scheduler: str, tmp_path: Path) -> None:
    log, notices = tmp_path / "log", list[str]()
    with executor(scheduler, tmp_path, retries=0, silence_s=1.0, notice=notices.append) as dask:
        (found,) = dask.map(act, tasks(log, "hang"))
    assert found.failure is not None
    assert (found.failure.kind, found.attempts) == ("stuck", 1)
    assert "gave no sign of life for 1 s and was killed" in found.failure.message
    assert notices == [f"task 0: {found.failure.message}; given up after 1 attempt"]


def test_no_scheduler_is_said_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sim.study.cluster.CONNECT_S", 0.3)
    with pytest.raises(ClusterError, match=r"no Dask scheduler answers at 'tcp://127\.0\.0\.1:9'"):
        DaskExecutor("tcp://127.0.0.1:9", folder=tmp_path)
    with pytest.raises(ClusterError, match=r"expected an address such as tcp://10\.0\.0\.1:8786"):
        DaskExecutor("nonsense://x", folder=tmp_path)


def test_without_the_scheduler_what_is_left_fails_and_says_so(
    scheduler: str, tmp_path: Path
) -> None:
    log, notices = tmp_path / "log", list[str]()

    def nthreads() -> dict[str, int]:
        raise OSError("no answer")

    with executor(scheduler, tmp_path, jobs=1, notice=notices.append) as dask:
        outcomes = dask.map(tick, tasks(log, "ok", "ok", "ok"))
        assert next(outcomes).value == "ok"
        dask.client.nthreads = nthreads
        dask.workers.admitted.clear()  # nobody can be given the other two
        left = list(outcomes)
    message = f"the scheduler at {scheduler} is gone (no answer)"
    assert [(o.task.name, o.failure and o.failure.message) for o in left] == [
        ("task 1", message), ("task 2", message),
    ]  # fmt: skip
    assert notices == [f"{message}: 2 tasks are left undone"]


class Cluster:
    """A client whose workers answer as a test has them answer."""

    def __init__(self, **answers: Any) -> None:
        self.answers, self.asked = answers, list[str]()

    def nthreads(self) -> dict[str, int]:
        return dict.fromkeys(self.answers, 1)

    def run(self, ask: Any, token: str, workers: list[str], on_error: str) -> dict[str, Any]:
        self.asked += workers
        return {
            address: self.answers[address](ask, token)
            if callable(self.answers[address])
            else self.answers[address]
            for address in workers
        }


class Worker:
    id = "Worker-1"


def test_workers_that_would_give_other_results_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "runs"

    def on_another_disk(ask: Any, token: str) -> About:
        return about(str(tmp_path / "elsewhere" / Path(token).name), Worker())

    cluster = Cluster(
        same=lambda ask, token: ask(token, Worker()),
        older=About("Worker-2", "process 7 on b", {**versions(), "numpy": "1.0"}, ""),
        blind=on_another_disk,
        bare=ModuleNotFoundError("No module named 'sim.study.cluster_worker'"),
        leaving=OSError("gone"),
    )
    workers = Workers(cluster, folder)
    older, blind, bare = workers.look()
    assert older == (
        f"worker older (process 7 on b): it has numpy 1.0, not {versions()['numpy']} as here: "
        "results would depend on who made them"
    )
    assert "it does not see the folder of the runs" in blind
    assert "No such file" in blind
    assert "cannot import this version of rackplan" in bare
    assert list(workers.admitted) == ["same"]
    assert list(folder.iterdir()) == []  # nothing of the asking is left
    cluster.asked.clear()
    assert workers.look() == []
    assert cluster.asked == ["leaving"]
    del cluster.answers["same"]
    workers.look()
    assert workers.admitted == {}
    assert listed(["a", "b", "c", "d", "e"]) == "a\nb\nc\nand 2 workers more"
