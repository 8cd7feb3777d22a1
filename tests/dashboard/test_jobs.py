"""Runs started from the dashboard: real processes, and folders that say all there is of them."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dashboard import jobs
from dashboard.drafts import Checked, look
from dashboard.jobs import Job
from sim.errors import RackplanError
from tests.dashboard.conftest import SCENARIO

#: Too long to end by itself, and small on disk.
LONG = SCENARIO.replace("duration: 30 s", "duration: 300 d\nrecord: summary")

#: What is said of a job whose process has ended.
SAID = {"pid": 2**22, "tick": "1", "started_s": 1.0, "scenario": "x", "seed": 1, "origin": "",
        "before": "", "command": "", "target": "x", "file": "edited.yaml"}  # fmt: skip


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """A root; what a test leaves running there is killed."""
    yield tmp_path
    for job in jobs.jobs(tmp_path):
        if job.live:
            os.kill(job.pid, signal.SIGKILL)
    for process in jobs._CHILDREN:
        process.wait(20)
    jobs._CHILDREN.clear()


def begin(root: Path, text: str, seed: int = 3) -> Job:
    return jobs.start(root, text, checked(text, root), seed, "shipped: quickstart.yaml", "")


def checked(text: str, root: Path) -> Checked:
    found = look(text, root)
    assert found.problems == ()
    return found


def until(root: Path, holds: Callable[[Job], bool], most_s: float = 120.0) -> Job:
    """The newest job once ``holds``."""
    deadline = time.monotonic() + most_s
    while time.monotonic() < deadline:
        job = jobs.jobs(root)[0]
        if holds(job):
            return job
        time.sleep(0.05)
    pytest.fail(f"{job}\n{job.messages()}")


def ended(job: Job) -> bool:
    return not job.live


def leftovers(root: Path) -> list[str]:
    """Half results: what a run writes before it is whole."""
    return [
        path.name for path in root.iterdir() if path.name.startswith(".") and path.name != ".jobs"
    ]


def test_a_run_that_does_not_heed_is_killed_and_leaves_nothing(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "GRACE_S", 0.2)
    begin(root, LONG)
    job = until(root, lambda job: job.simulated_s > 0.0)
    assert leftovers(root) != []
    os.kill(job.pid, signal.SIGSTOP)  # as one that hangs: it cannot act on an interrupt
    jobs.cancel(job)
    assert until(root, ended).state == jobs.STOPPED
    deadline = time.monotonic() + 20.0
    while leftovers(root) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert leftovers(root) == []
    assert not [path for path in root.iterdir() if path.name != ".jobs"]


def test_what_a_failed_run_said_is_kept(root: Path) -> None:
    found = checked(SCENARIO, root)
    (root / found.folder(3)).mkdir()  # a folder that is no result is not replaced
    begin(root, SCENARIO)
    job = until(root, ended)
    assert job.state == jobs.FAILED
    assert "exists and is not the result of a run" in job.messages()


def test_the_process_is_told_from_another_with_its_number(root: Path) -> None:
    """As after the end of the run, when the system gives the number away again."""
    other = subprocess.Popen(["sleep", "60"])
    try:
        folder = root / ".jobs" / "job-aaaaaaaa"
        folder.mkdir(parents=True)
        said = {**SAID, "pid": other.pid, "tick": jobs._tick(other.pid), "target": "../.."}
        (folder / "job.json").write_text(json.dumps(said))
        (job,) = jobs.jobs(root)
        assert job.state == jobs.FAILED
        jobs.cancel(job)
        time.sleep(0.2)
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


@pytest.mark.parametrize(
    "content",
    ["{", "[]", "[" * 200_000, '{"pid": "x"}', '{"pid": 1, "tick": []}', "null",
     '{"pid": 1, "tick": "1", "started_s": "soon"}', json.dumps(SAID | {"seed": -5}),
     json.dumps(SAID | {"seed": math.inf}), json.dumps(SAID | {"pid": math.inf})],
)  # fmt: skip
def test_a_folder_that_is_no_job_is_left_out(root: Path, content: str) -> None:
    folder = root / ".jobs" / "job-aaaaaaaa"
    folder.mkdir(parents=True)
    (folder / "job.json").write_text(content)
    assert jobs.jobs(root) == []


def test_links_in_the_place_of_jobs_are_not_followed(root: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "job-aaaaaaaa").mkdir(parents=True)
    (root / ".jobs").symlink_to(elsewhere)
    assert jobs.jobs(root) == []
    with pytest.raises(RackplanError, match="is a link, and links are not followed"):
        begin(root, SCENARIO)
    assert [path.name for path in elsewhere.iterdir()] == ["job-aaaaaaaa"]


def test_a_lock_that_cannot_be_opened_is_told(root: Path, tmp_path: Path) -> None:
    (root / ".jobs").mkdir()
    (root / ".jobs" / ".lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RackplanError, match=r"cannot be started: .*\.lock: too many levels"):
        begin(root, SCENARIO)
    assert not (tmp_path / "elsewhere").exists()


def test_a_job_whose_files_lie_elsewhere_is_left_out(root: Path, tmp_path: Path) -> None:
    """Its scenario would be shown in the editor, and might name what lies beside it."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "edited.yaml").write_text("secret")
    folder = root / ".jobs" / "job-aaaaaaaa"
    folder.mkdir(parents=True)
    (folder / "job.json").write_text(json.dumps(SAID))
    assert len(jobs.jobs(root)) == 1
    (folder / "files").symlink_to(elsewhere)
    assert jobs.jobs(root) == []


def test_messages_that_are_links_are_not_read(root: Path) -> None:
    file = root / "messages.txt"
    file.symlink_to("/etc/passwd")
    assert jobs._text(file) == ""


def test_old_jobs_make_room(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "KEPT", 2)
    ids = []
    for place in range(3):
        folder = root / ".jobs" / f"job-aaaaaaa{place}"
        folder.mkdir(parents=True)
        said = {**SAID, "started_s": float(place)}
        (folder / "job.json").write_text(json.dumps(said))
        ids.append(folder.name)
    assert [job.id for job in jobs.jobs(root)] == ids[::-1]
    jobs._tidy(root)
    assert [job.id for job in jobs.jobs(root)] == ids[:1:-1]
