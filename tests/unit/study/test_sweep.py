"""A study: nothing run twice, the same bytes whoever ran it, failures kept as rows."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from sim.errors import ResultError
from sim.results.result import open_run
from sim.study.executor import Executor
from sim.study.local import LocalExecutor
from sim.study.points import Study, Threshold, load_study
from sim.study.sweep import StudyResult, _probability, run_study
from sim.study.sweep_files import content_of, save
from tests.unit.study.studies import study_file
from tests.unit.study.works import InProcess, folder_bytes, metric

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return load_study(study_file(tmp_path_factory.mktemp("small")))


def swept(
    study: Study, out: Path, executor: Executor | None = None, **options: object
) -> StudyResult:
    return run_study(study, executor or InProcess(), out=out, engine="reference", **options)


@pytest.fixture(scope="module")
def made(study: Study, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, StudyResult]:
    out = tmp_path_factory.mktemp("made")
    result = swept(study, out)
    save(result, out)
    return out, result


def test_equal_runs_are_made_once_and_none_twice(study: Study, tmp_path: Path) -> None:
    first = InProcess()
    ended: list[tuple[str, bool]] = []
    swept(study, tmp_path, first, ended=lambda name, ran: ended.append((name, ran)))
    # Points 3 and 4 are the baselines of 1 and 2: four scenarios under two seeds.
    assert first.ran == [
        "point 1's baseline, seed 1", "point 1's baseline, seed 2",
        "point 1, seed 1", "point 1, seed 2",
        "point 2's baseline, seed 1", "point 2's baseline, seed 2",
        "point 2, seed 1", "point 2, seed 2",
    ]  # fmt: skip
    assert ended == [(name, True) for name in first.ran]
    said: list[str] = []
    again = InProcess()
    swept(study, tmp_path, again, notice=said.append)
    assert again.ran == []
    assert said == [f"8 of 8 runs: already in {tmp_path}, taken as found"]
    more = InProcess()
    longer = load_study(study.spec.file, seeds=3)
    swept(longer, tmp_path, more)
    assert [name[-6:] for name in more.ran] == ["seed 3"] * 4
    fresh = InProcess()
    swept(study, tmp_path, fresh, fresh=True)
    assert fresh.ran == first.ran


def test_bytes_do_not_depend_on_who_ran_it(
    study: Study, made: tuple[Path, StudyResult], tmp_path: Path
) -> None:
    expected = folder_bytes(made[0])
    assert {name.partition("/")[2] for name in expected if name.startswith("small-")} == {
        "manifest.json", "study.json", "study.parquet",
    }  # fmt: skip
    for name, executor in (
        ("backwards", InProcess(backwards=True)), ("two workers", LocalExecutor(2)),
    ):  # fmt: skip
        save(swept(study, tmp_path / name, executor), tmp_path / name)
        assert folder_bytes(tmp_path / name) == expected
    save(swept(study, tmp_path / name), tmp_path / name)  # of what is there
    assert folder_bytes(tmp_path / name) == expected


def test_the_parquet_file_has_a_row_for_every_run(made: tuple[Path, StudyResult]) -> None:
    out, _ = made
    (folder,) = out.glob("small-*")
    assert re.fullmatch(r"small-[0-9a-f]{8}-s1-2", folder.name)
    table = pq.read_table(folder / "study.parquet")
    rows = table.to_pylist()
    assert [(row["point"], row["side"], row["seed"]) for row in rows] == [
        (point, side, seed)
        for point in (1, 2, 3, 4) for side in ("point", "baseline") for seed in (1, 2)
    ]  # fmt: skip
    assert table.schema.field("pools[chat].replicas").type == "int64"
    assert [row["load"] for row in rows[::4]] == ["low", "high", "low", "high"]
    assert table.schema.field("chat.e2e_p50").metadata[b"unit"] == b"s"
    for row in rows:
        run = open_run(out / row["run"])
        assert run.manifest["seed"] == row["seed"]
        for name in ("chat.e2e_p50", "peak_draw_w", "arrivals"):
            assert row[name] == run.metrics[name].value
        assert (row["status"], row["message"], row["trips"]) == ("finished", None, None)
    first, baseline = rows[0], rows[2]
    assert first["chat.e2e_p50_loss"] == first["chat.e2e_p50"] / baseline["chat.e2e_p50"] - 1.0
    assert first["chat.e2e_p50_loss"] > 0.0
    assert baseline["chat.e2e_p50_loss"] is None
    assert rows[8]["run"] == rows[10]["run"] == baseline["run"]
    assert rows[8]["chat.e2e_p50_loss"] == 0.0
    with pytest.raises(ResultError, match=r"holds a study: its rows are in study\.parquet"):
        open_run(folder)


def test_what_a_point_says(made: tuple[Path, StudyResult]) -> None:
    out, result = made
    content = content_of(result)
    (folder,) = out.glob("small-*")
    assert json.loads((folder / "study.json").read_text()) == content
    point = content["points"][0]
    rows = [row for row in result.rows if row.point.number == 1 and row.side == "point"]
    values = [row.facts.metrics["chat.e2e_p50"].value for row in rows]
    e2e = point["metrics"]["chat.e2e_p50"]
    assert e2e["value"] == pytest.approx(sum(values) / 2)
    assert e2e["low"] < e2e["value"] < e2e["high"]
    assert point["labels"] == {"pools[chat].replicas": 1, "load": "low"}
    change = point["changes"]["chat.e2e_p50"]
    assert change["change"] == pytest.approx(e2e["value"] - change["baseline"])
    assert content["points"][2]["changes"]["chat.e2e_p50"]["change"] == 0.0
    assert point["slice_s"] is None
    assert "shorter than two minutes" in point["losses"]["chat"]["e2e_p99_loss_worst"]["reason"]
    trip = point["probabilities"]["trips > 0"]
    assert (trip["runs"], trip["low"]) == (0, None)
    assert trip["reason"].startswith("no breaker, UPS product or battery is stated")
    certain = point["probabilities"]["chat.goodput_fraction >= 0"]
    assert (certain["hits"], certain["runs"], certain["high"]) == (2, 2, 1.0)
    busy = [p["probabilities"]["arrivals > 40"]["hits"] for p in content["points"]]
    assert busy == [0, 2, 0, 2]
    (expectation,) = point["expectations"]
    assert expectation["answer"] == "yes"


def test_a_run_that_fails_is_a_row_and_the_others_go_on(study: Study, tmp_path: Path) -> None:
    said: list[str] = []
    lossy = InProcess(lost=["point 1, seed 2", "point 2's baseline, seed 1"])
    result = swept(study, tmp_path, lossy, notice=said.append)
    assert len(lossy.ran) == 8
    assert len(said) == 2
    folder = save(result, tmp_path)
    assert folder.name.endswith("-s1-2.partial")
    manifest = json.loads((folder / "manifest.json").read_text())
    # The lost baseline of point 2 is point 4 as well, and its own baseline.
    assert (manifest["kind"], manifest["outcome"]) == ("study", "partial")
    assert manifest["reason"] == "4 of 16 runs failed"
    rows = pq.read_table(folder / "study.parquet").to_pylist()
    failed = [row for row in rows if row["status"] == "failed"]
    assert [(row["point"], row["side"], row["seed"]) for row in failed] == [
        (1, "point", 2), (2, "baseline", 1), (4, "point", 1), (4, "baseline", 1),
    ]  # fmt: skip
    assert all(row["message"] == "its worker was killed by SIGKILL" for row in failed)
    assert all(row["run"] is row["chat.e2e_p50"] is None for row in failed)
    first, second, *_ = content_of(result)["points"]
    assert first["metrics"]["chat.e2e_p50"]["seeds"] == 1
    certain = first["probabilities"]["chat.goodput_fraction >= 0"]
    assert (certain["hits"], certain["runs"]) == (1, 1)
    assert certain["reason"] == "1 of 2 runs failed and are not counted"
    assert first["losses"]["chat"]["e2e_p50_loss"]["seeds"] == 1
    assert second["failed"] == [
        {"side": "baseline", "seed": 1, "reason": "its worker was killed by SIGKILL"}
    ]
    put_right = InProcess()
    whole = swept(study, tmp_path, put_right)
    assert put_right.ran == ["point 1, seed 2", "point 2's baseline, seed 1"]
    assert save(whole, tmp_path).name.endswith("-s1-2")


def test_a_study_of_which_nothing_finished_still_has_its_rows(study: Study, tmp_path: Path) -> None:
    every = [f"point {point}{side}, seed {seed}" for point in (1, 2) for seed in (1, 2)
             for side in ("", "'s baseline")]  # fmt: skip
    result = swept(study, tmp_path, InProcess(lost=every))
    assert result.failed == 16
    folder = save(result, tmp_path)
    assert len(pq.read_table(folder / "study.parquet")) == 16


TRIPS = Threshold("trips > 0", "trips", ">", 0.0)


@pytest.mark.parametrize("runs", [1, 4, 8, 64])
def test_bounds_of_a_probability_are_clopper_and_pearsons(runs: int) -> None:
    """Where nothing or everything was seen they have closed forms."""
    none = _probability(TRIPS, {seed: {"trips": metric("trips", 0)} for seed in range(runs)}, 0)
    assert (none.hits, none.runs, none.low) == (0, runs, 0.0)
    assert none.high == pytest.approx(1.0 - 0.025 ** (1.0 / runs))
    every = _probability(TRIPS, {seed: {"trips": metric("trips", 3)} for seed in range(runs)}, 0)
    assert (every.hits, every.high) == (runs, 1.0)
    assert every.low == pytest.approx(0.025 ** (1.0 / runs))


def test_bounds_of_a_probability_cover_the_binomial_tails() -> None:
    from scipy.stats import binom

    values = [1, 0, 0, 2, 0, 0, 0, 0]
    found = _probability(TRIPS, {s: {"trips": metric("trips", v)} for s, v in enumerate(values)}, 0)
    assert (found.hits, found.runs) == (2, 8)
    assert binom.sf(1, 8, found.low) == pytest.approx(0.025)
    assert binom.cdf(2, 8, found.high) == pytest.approx(0.025)


def test_runs_in_which_it_cannot_be_measured_do_not_count() -> None:
    runs = {
        1: {"trips": metric("trips", 0)},
        2: {"trips": metric("trips", None, reason="no guard")},
    }
    found = _probability(TRIPS, runs, 0)
    assert (found.hits, found.runs, found.reason) == (0, 1, "no guard")


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="kills a process group")
def test_a_killed_study_goes_on_where_it_was(tmp_path: Path) -> None:
    file = study_file(tmp_path)
    command = [sys.executable, "-c", "from sim.cli import main; main()", "sweep", str(file),
               "--seeds", "15", "--jobs", "2", "--set", "duration=60 s"]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        command, cwd=tmp_path, env=environment, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    runs = tmp_path / "runs"
    while len(list(runs.glob("tiny-*"))) < 3:
        assert process.poll() is None
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    kept = {path.name: path.stat().st_ino for path in runs.glob("tiny-*")}
    assert 3 <= len(kept) < 60
    assert not list(runs.glob("small-*"))
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert f"{len(kept)} of 60 runs: already in runs, taken as found" in done.stderr
    after = {path.name: path.stat().st_ino for path in runs.glob("tiny-*")}
    assert len(after) == 60
    assert {name: after[name] for name in kept} == kept
    assert not [path.name for path in runs.iterdir() if path.name.startswith(".")]
    assert "small: 4 points of" in done.stdout
