"""The same scenario and seed give the same bytes: twice, in another process, in two threads."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import sim
from sim.paths import share
from sim.results.parquet import ParquetSink

SETS = ("duration=40 s", "warm_up=10 s", "workload[chat].rate=60 /s", "record.iterations=true")

SHORT = ("duration=40 s", "warm_up=10 s")
CONTROLLED = (
    *SHORT, "power.pdus.budget=112 kW", "telemetry.lost=10 %", "actuation.clock.delay=5 s",
)  # fmt: skip
#: What is run alone first.
ALONE = ("quickstart", "agents", "power-control")


def digest(folder: Path) -> dict[str, str]:
    """SHA-256 of every file of a run folder, by its place in it."""
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def run_into(folder: Path, name: str, seed: int = 1) -> dict[str, str]:
    """Run a shipped scenario into ``folder``."""
    sets = {"quickstart": SETS, "power-control": CONTROLLED}.get(name, SHORT)
    scenario = sim.load_scenario(share("scenarios") / f"{name}.yaml", sets=sets)
    sim.run_scenario(scenario, seed, sink=ParquetSink(folder))
    return digest(folder)


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """Each scenario run alone."""
    root = tmp_path_factory.mktemp("once")
    return {name: run_into(root / name, name) for name in ALONE}


def test_a_second_run_is_byte_equal(tmp_path: Path, once: dict[str, dict[str, str]]) -> None:
    assert run_into(tmp_path / "again", "quickstart") == once["quickstart"]
    assert any(name.startswith("iterations/") for name in once["quickstart"])


def test_two_runs_interleaved_in_threads_are_byte_equal(
    tmp_path: Path, once: dict[str, dict[str, str]]
) -> None:
    with ThreadPoolExecutor(2) as threads:
        found = {name: threads.submit(run_into, tmp_path / name, name) for name in ALONE}
    assert {name: future.result() for name, future in found.items()} == once


def test_another_seed_gives_other_bytes(tmp_path: Path, once: dict[str, dict[str, str]]) -> None:
    other = run_into(tmp_path / "other", "quickstart", seed=2)
    assert other["manifest.json"] != once["quickstart"]["manifest.json"]
    assert other["requests/part-00000.parquet"] != once["quickstart"]["requests/part-00000.parquet"]


@pytest.mark.parametrize("name", ["agents", "power-control"])
@pytest.mark.parametrize("hash_seed", ["0", "4711"])
def test_another_process_with_another_hash_seed_is_byte_equal(
    tmp_path: Path, once: dict[str, dict[str, str]], hash_seed: str, name: str
) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from tests.determinism.test_bytes import run_into\n"
        f"run_into(Path(sys.argv[1]), {name!r})\n"
    )
    root = Path(__file__).resolve().parents[2]
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(root)}
    subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "run")], check=True, env=environment, cwd=root
    )
    assert digest(tmp_path / "run") == once[name]
