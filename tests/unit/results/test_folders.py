"""Run folders are whole or absent, whenever a process ends."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from sim.errors import ResultError
from sim.results.folders import WorkFolder, recover, run_folder_name
from sim.results.memory import MemorySink
from sim.results.parquet import ParquetSink
from sim.results.result import open_run
from tests.unit.results.by_hand import fill, parts, requests, run, summariser
from tests.unit.results.test_sinks import digests


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_name_depends_on_the_meaning_not_on_the_order_of_keys() -> None:
    name = run_folder_name("quick start/../x", {"a": 1, "b": [2]}, 3)
    assert name == run_folder_name("quick start/../x", {"b": [2], "a": 1}, 3)
    assert name.startswith("quick-start-..-x-")
    assert name.endswith("-s3")
    assert "/" not in name
    assert run_folder_name("x", {"a": 2}, 3) != run_folder_name("x", {"a": 1}, 3)
    assert run_folder_name("..", {}, 0).startswith("run-")


def test_a_sink_used_again_leaves_the_result_of_its_run(tmp_path: Path) -> None:
    sink = ParquetSink(tmp_path / "x")
    run(sink, rows=requests(100))
    first = digests(tmp_path / "x")
    with pytest.raises(ValueError, match=r"each run needs a sink of its own$"):
        fill(summariser(sink), requests(200))
    sink.discard()
    assert digests(tmp_path / "x") == first


def test_a_finished_run_is_replaced_and_nothing_else_is_left(tmp_path: Path) -> None:
    run(ParquetSink(tmp_path / "x"), rows=requests(100))
    first = digests(tmp_path / "x")
    run(ParquetSink(tmp_path / "x"), rows=requests(200))
    assert names(tmp_path) == ["x"]
    assert digests(tmp_path / "x") != first
    run(ParquetSink(tmp_path / "x"), rows=requests(100))
    assert digests(tmp_path / "x") == first


def test_while_a_run_writes_the_older_result_stays(tmp_path: Path) -> None:
    run(ParquetSink(tmp_path / "x"), rows=requests(100))
    sink = summariser(ParquetSink(tmp_path / "x"))
    fill(sink)
    assert open_run(tmp_path / "x").tables.rows["requests"] == 100
    sink.discard()
    assert names(tmp_path) == ["x"]


def test_a_killed_run_leaves_a_folder_that_is_refused_and_then_removed(tmp_path: Path) -> None:
    script = textwrap.dedent(f"""
        import os, signal
        from pathlib import Path
        from sim.results.parquet import ParquetSink
        from tests.unit.results.by_hand import fill, summariser
        sink = summariser(ParquetSink(Path({str(tmp_path / "x")!r})))
        fill(sink)
        sink.close(700.0)
        os.kill(os.getpid(), signal.SIGKILL)
    """)
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run([sys.executable, "-c", script], cwd=root, check=False)
    assert done.returncode == -9
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(".x.tmp-")
    with pytest.raises(ResultError, match="it is not the result of a run, or that run was killed"):
        open_run(left)
    with pytest.raises(ResultError, match="there is no run folder"):
        open_run(tmp_path / "x")
    run(ParquetSink(tmp_path / "x"))
    assert names(tmp_path) == ["x"]


def test_the_work_folder_of_a_run_that_lives_is_left_alone(tmp_path: Path) -> None:
    living = WorkFolder(tmp_path / "x")
    other = WorkFolder(tmp_path / "x")
    assert living.path.is_dir()
    assert other.path != living.path
    living.discard()
    other.discard()
    assert names(tmp_path) == []


def test_a_process_killed_between_the_two_renames_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(ParquetSink(tmp_path / "x"), rows=requests(100))
    before = digests(tmp_path / "x")
    rename = Path.rename

    def fails_on_the_second(self: Path, target: Path) -> Path:
        if self.name.startswith(".x.tmp-"):
            raise KeyboardInterrupt
        return rename(self, target)

    sink = summariser(ParquetSink(tmp_path / "x"))
    fill(sink)
    sink.close(700.0)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", fails_on_the_second)
        with pytest.raises(KeyboardInterrupt):
            sink.publish({}, {})
    assert ".x.old" in names(tmp_path)
    with pytest.raises(ResultError, match="its older result is in"):
        open_run(tmp_path / "x")
    recover(tmp_path / "x")
    assert digests(tmp_path / "x") == before
    sink.discard()
    assert names(tmp_path) == ["x"]


def test_a_folder_of_the_user_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "thesis.txt").write_text("years of work")
    with pytest.raises(ResultError, match="exists and is not the result of a run"):
        ParquetSink(tmp_path / "x")
    (tmp_path / "y").symlink_to(tmp_path / "x")
    with pytest.raises(ResultError, match="exists and is not the result of a run"):
        ParquetSink(tmp_path / "y")
    assert names(tmp_path) == ["x", "y"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(ResultError, match="cannot write results to"):
        ParquetSink(tmp_path / "x" / "y")


def test_a_file_where_a_folder_is_due_is_named(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("")
    with pytest.raises(ResultError, match="cannot write results to"):
        ParquetSink(tmp_path / "runs" / "x")


def test_a_stopped_run_is_kept_as_partial_beside_the_finished_one(tmp_path: Path) -> None:
    from sim.results.freeze import freeze

    run(ParquetSink(tmp_path / "x"), rows=requests(100))
    sink = summariser(ParquetSink(tmp_path / "x"))
    sink.write("requests", requests(50))
    sink.abort("stopped by the user")
    result = freeze(sink, parts(simulated_s=300.0))
    assert result.folder == tmp_path / "x.partial"
    assert names(tmp_path) == ["x", "x.partial"]
    again = open_run(tmp_path / "x.partial")
    assert again.outcome == "partial"
    assert again.manifest["reason"] == "stopped by the user"
    assert again.manifest["simulated_s"] == 300.0
    assert again.manifest["window"]["measured_s"] == 240.0
    assert again.metrics["energy_j"].reason == "the run ended before its meters were written"


def test_a_run_stopped_before_anything_arrived_leaves_nothing(tmp_path: Path) -> None:
    from sim.results.freeze import freeze

    sink = summariser(ParquetSink(tmp_path / "x"))
    sink.abort("stopped by the user")
    result = freeze(sink, parts(simulated_s=1.0))
    assert result.folder is None
    assert result.outcome == "partial"
    assert names(tmp_path) == []


def test_saving_from_memory_gives_the_bytes_of_a_run_into_a_folder(tmp_path: Path) -> None:
    run(ParquetSink(tmp_path / "x"))
    run(MemorySink()).save(tmp_path / "y")
    open_run(tmp_path / "x").save(tmp_path / "z")
    assert digests(tmp_path / "x") == digests(tmp_path / "y") == digests(tmp_path / "z")


def test_a_process_that_ends_while_its_folder_is_made_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def end(descriptor: int, how: int) -> None:
        raise SystemExit(143)  # what SIGTERM makes of a worker

    monkeypatch.setattr("sim.results.folders.fcntl.flock", end)
    with pytest.raises(SystemExit):
        WorkFolder(tmp_path / "run")
    assert list(tmp_path.iterdir()) == []
