"""Memory is bounded: four times the requests take hardly more of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]

#: Runs so many seconds of some 5,400 requests each and prints its peak of resident memory in bytes.
#: Read here, for ``ru_maxrss`` counts what the parent had when it started this process.
CODE = """
import sys
from pathlib import Path
import sim
from sim.results.parquet import ParquetSink
from tests.bench.sites import Bench

level, duration_s, folder = sys.argv[1:]
record = {"level": level} | ({"power": "minutes"} if level == "full" else {})
bench = Bench(256, llm="llama-3.1-8b", tensor_parallel=1)
scenario = bench.scenario(float(duration_s), record)
sink = ParquetSink(Path(folder)) if level == "full" else None
result = sim.run_scenario(scenario, engine="compiled", sink=sink)
status = Path("/proc/self/status").read_text()
peak = next(line for line in status.splitlines() if line.startswith("VmHWM"))
print(int(peak.split()[1]) * 1024, int(result.metrics["arrivals"].value))
"""


def peak_bytes(level: str, duration_s: float, folder: Path) -> tuple[int, int]:
    """Peak memory of a run in a process of its own, and the requests that it measured."""
    done = subprocess.run(
        [sys.executable, "-c", CODE, level, str(duration_s), str(folder)],
        capture_output=True, text=True, cwd=ROOT, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    peak, arrivals = done.stdout.split()
    return int(peak), int(arrivals)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc, which is Linux's")
@pytest.mark.parametrize("level", ["summary", "full"])
def test_memory_does_not_follow_requests(level: str, tmp_path: Path) -> None:
    peak_bytes(level, 1.0, tmp_path / "first")  # compiles, which takes memory too
    once, few = peak_bytes(level, 60.0, tmp_path / "once")
    four_times, many = peak_bytes(level, 240.0, tmp_path / "four-times")
    if four_times >= 1.1 * once:
        # What others do to the times of writing only adds: the lesser of two is the run's own.
        four_times = min(four_times, peak_bytes(level, 240.0, tmp_path / "again")[0])
    assert many > 3.5 * few > 500_000
    # That is at most some 45 bytes for each further request. A row has 100; for exact quantiles
    # measuring a full record holds four numbers of each request.
    assert four_times < 1.1 * once
