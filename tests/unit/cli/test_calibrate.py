"""``rackplan calibrate`` as its user sees it: a real measurement of this CPU, end to end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import yaml

from sim.calibrate.read import read
from sim.calibrate.roofline import LEAST_ROWS

#: Seconds of each run: enough for a few dozen kernels on a free machine, a few on a busy one.
SECONDS = 5.0


def rackplan(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a folder; one thread for BLAS, so that the tests beside it are left be."""
    code = "from sim.cli import main; main()"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "XDG_DATA_HOME": str(folder / "data")}
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True, text=True, cwd=folder, env=environment, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, object]]:
    """A file of this CPU, and what the command said of it as JSON."""
    folder = tmp_path_factory.mktemp("calibrate")
    minutes = str(SECONDS / 60)
    done = rackplan(folder, "calibrate", "--device", "cpu", "--minutes", minutes,
                    "--out", "cpu.jsonl", "--json")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "the CPU, through NumPy, as asked for; " in done.stderr
    return folder / "cpu.jsonl", json.loads(done.stdout)


def test_a_short_run_measures_this_cpu(measured: tuple[Path, dict[str, object]]) -> None:
    path, said = measured
    file = read(path)
    assert said["measured"] == said["kernels_in_file"] == len(file.timed) >= 3
    assert said["file"] == "cpu.jsonl"
    # The budget is used; how far a busy machine runs beyond it is nothing to assert.
    assert float(str(said["seconds"])) > 0.5 * SECONDS
    assert file.identity.kind == "cpu"
    for timed in file.timed:
        warm, cold = timed.cases["warm"], timed.cases["cold"]
        assert 1e-8 < warm.median < 10.0
        assert cold.low <= cold.median <= cold.high
        # No CPU moves a terabyte per second from beyond its caches.
        assert timed.kernel.work.bytes / cold.median < 1e12
    assert file.identity.libraries["blas threads"] == "OMP_NUM_THREADS=1"


def test_a_run_is_resumed_and_explained(measured: tuple[Path, dict[str, object]]) -> None:
    path, _ = measured
    before = {timed.kernel for timed in read(path).timed}
    done = rackplan(path.parent, "calibrate", "--device", "cpu", "--minutes", str(SECONDS / 60),
                    "--resume", "cpu.jsonl")  # fmt: skip
    assert done.returncode == 0, done.stderr
    file = read(path)
    assert before < {timed.kernel for timed in file.timed}
    assert file.sessions == 2
    printed = done.stdout
    for part in (
        f"Measured {len(file.timed) - len(before)} kernels in ",
        f"on {file.identity.name}: the time is used up.",
        "kernels of ", "± of median", "best rate", "Not read: memory_clock_hz: ",
        "NumPy has no bf16", f"File: cpu.jsonl ({len(file.timed)} kernels of all sessions)",
        "Next: rackplan calibrate fit cpu.jsonl",
    ):  # fmt: skip
        assert part in " ".join(printed.split()) or part in printed, part


def test_this_cpu_is_fitted(measured: tuple[Path, dict[str, object]]) -> None:
    path, _ = measured
    steady = Counter(timed.kernel.family for timed in read(path).timed if not timed.drifted)
    if max(steady.values(), default=0) < LEAST_ROWS:
        pytest.skip("needs a less busy machine: too few kernels were timed at a steady clock")
    done = rackplan(path.parent, "calibrate", "fit", "cpu.jsonl")
    assert done.returncode == 0, done.stderr
    (target,) = (path.parent / "data" / "rackplan" / "calibration").glob("*.yaml")
    assert f"Written: {target}" in done.stdout.replace("\n", "")
    tree = yaml.safe_load(target.read_text())
    for kinds in tree["roofline"].values():
        for entry in kinds.values():
            assert 1e8 < entry["constants"]["bytes_per_s"] < 1e14
            assert entry["held_out"] is None or entry["held_out"]["mean"] > 0
    again = rackplan(path.parent, "calibrate", "fit", "cpu.jsonl", "--to", "k.yaml", "--json")
    assert json.loads(again.stdout)["roofline"] == tree["roofline"]
    assert json.loads(again.stdout)["written"] == "k.yaml"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--device", "tpu"], "--device tpu: must be one of auto, gpu, cpu"),
        (["--minutes", "0"], "--minutes 0: must be above 0 and at most 1440"),
        (["--out", "a", "--resume", "b"], "--out is for a new file, --resume for one that is"),
        (["--resume", "b"], "b: cannot be read: No such file or directory"),
        (["fit", "b"], "b: cannot be read: No such file or directory"),
    ],
)
def test_mistakes_are_explained(tmp_path: Path, arguments: list[str], message: str) -> None:
    done = rackplan(tmp_path, "calibrate", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr


def test_a_gpu_that_is_not_there_is_said(tmp_path: Path) -> None:
    """Asked for, it is an error; with auto the CPU is taken, and the reason is told."""
    hidden = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    code = "from sim.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "calibrate", "--device", "gpu", "--out", "a.jsonl"],
        capture_output=True, text=True, cwd=tmp_path, env=hidden, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "no CUDA device" in done.stderr or "CuPy cannot be loaded" in done.stderr
    assert not (tmp_path / "a.jsonl").exists()
