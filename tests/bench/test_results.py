"""What results cost a request, per level of recording, in CPU time of one core."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sim.kernels.rows import MINUTE_ROW, POWER_ROW, REQUEST_ROW
from sim.results.latency import ObjectivesLike
from sim.results.manifest import manifest_of
from sim.results.measure import measure
from sim.results.memory import MemorySink
from sim.results.parquet import ParquetSink
from sim.results.result import RunResult
from sim.results.sink import Store
from sim.results.summarise import Summariser
from tests.bench.figures import Figures
from tests.unit.results import by_hand
from tests.unit.results.by_hand import Goals, fill, part, parts

WORKLOADS = 8
REQUESTS = 500_000
BLOCK = 4096
REPEATS = 3


def requests(late: bool) -> np.ndarray:
    """Requests in order of their end, 2,000 a second; ``late``: under a growing queue."""
    n, rng = REQUESTS, np.random.default_rng(1)
    rows = np.zeros(n, REQUEST_ROW)
    rows["arrival_s"] = np.cumsum(rng.exponential(1 / 2000.0, n))
    rows["workload"] = rng.integers(0, WORKLOADS, n)
    rows["request_id"] = rows["workload"].astype(np.int64) << 40 | np.arange(n)
    wait = rng.exponential(0.02, n) * (rng.random(n) < 0.6)
    wait += (5.0 + rows["arrival_s"] / 20.0) * late
    rows["admitted_s"] = rows["arrival_s"] + wait
    rows["first_token_s"] = rows["admitted_s"] + rng.lognormal(-2.5, 0.6, n)
    rows["output_tokens"] = 1 + rng.lognormal(5.0, 0.8, n)
    rows["delivered_tokens"] = rows["output_tokens"]
    gaps_s = (rows["output_tokens"] - 1) * rng.lognormal(-3.6, 0.25, n)
    rows["end_s"] = rows["first_token_s"] + gaps_s
    rows["input_tokens"] = 1 + rng.lognormal(6.5, 1.0, n)
    rows["replica"] = rng.integers(0, 1250, n)
    rows["met"] = (rng.random(n) < 0.95) & (not late)
    return rows[np.argsort(rows["end_s"], kind="stable")]


class NoStore(MemorySink):
    """Takes rows and forgets them."""

    def write(self, table: str, columns: object) -> None:
        """Nothing."""


def summariser(inner: Store, record: str, nodes: int = 1) -> Summariser:
    goals: dict[str, ObjectivesLike] = {
        f"load-{k}": Goals(ttft_s=1.0, tpot_s=0.05, e2e_s=60.0) for k in range(WORKLOADS)
    }
    return Summariser(
        inner, record=record, sample_every=100, warm_up_s=30.0, duration_s=1e6, objectives=goals,
        power_kinds=["utility", *["server"] * (nodes - 1)],
        pools=[f"pool-{k // 2}" for k in range(WORKLOADS)],
    )  # fmt: skip


def nanoseconds(count: int, work: Callable[[int], Any]) -> float:
    """CPU time of the fastest of a few repeats, over ``count``."""
    best = float("inf")
    for repeat in range(REPEATS):
        start = time.process_time()
        work(repeat)
        best = min(best, time.process_time() - start)
    return best / count * 1e9


def feed(write: Callable[[np.ndarray], None], rows: np.ndarray) -> None:
    for start in range(0, len(rows), BLOCK):
        write(rows[start : start + BLOCK])


@pytest.mark.bench
def test_what_a_request_costs(tmp_path: Path, figures: Figures) -> None:
    """Counting alone, and with every row in Parquet."""
    sizes: list[float] = []

    def counted(rows: np.ndarray) -> float:
        def work(repeat: int) -> None:
            sink = summariser(NoStore(), "summary")
            feed(sink.write_requests, rows)
            sink.close(1e6)

        return nanoseconds(len(rows), work)

    def written(repeat: int) -> None:
        sink = summariser(ParquetSink(tmp_path / f"run-{repeat}"), "full")
        feed(sink.write_requests, rows)
        sink.close(1e6)
        files = tmp_path.glob(f".run-{repeat}.tmp-*/requests/*.parquet")
        sizes.append(sum(file.stat().st_size for file in files) / len(rows))
        sink.discard()

    rows = requests(late=False)
    usual, overload = counted(rows), counted(requests(late=True))
    full = nanoseconds(len(rows), written)
    figures.add("results/summary", usual, "ns a request")
    figures.add("results/summary, every request misses", overload, "ns a request")
    figures.add("results/full, to Parquet", full, "ns a request")
    figures.add("results/size in Parquet", sizes[0], "bytes a request")
    assert 10 < sizes[0] < 60


@pytest.mark.bench
def test_what_a_row_of_power_costs(figures: Figures) -> None:
    """Changes and minutes of 10,000 nodes, kept as envelopes of minutes."""
    nodes, rng = 10_000, np.random.default_rng(1)
    changes = np.zeros(100 * nodes, POWER_ROW)
    changes["node"] = rng.integers(0, nodes, len(changes))
    changes["t_s"] = np.linspace(0.0, 600.0, len(changes))
    changes["out_mw"] = changes["in_mw"] = rng.integers(1_000_000, 2_000_000, len(changes))
    minutes = np.zeros(30 * nodes, MINUTE_ROW)
    minutes["node"], minutes["minute"] = np.tile(np.arange(nodes), 30), np.arange(30).repeat(nodes)
    minutes["minutes"], minutes["seconds"] = 1, 60.0
    minutes["low_mw"], minutes["high_mw"] = 1_000_000, rng.integers(1_000_000, 2_000_000, 300_000)
    minutes["energy_mj"] = 60.0 * minutes["low_mw"]

    def work(write: str, rows: np.ndarray) -> Callable[[int], None]:
        def once(repeat: int) -> None:
            sink = summariser(NoStore(), "summary", nodes)
            feed(getattr(sink, write), rows)
            sink.close(1800.0)

        return once

    by_change = nanoseconds(len(changes), work("write_power", changes))
    by_minute = nanoseconds(len(minutes), work("write_minutes", minutes))
    figures.add("results/power, changes", by_change, "ns a change")
    figures.add("results/power, minutes", by_minute, "ns a node and minute")
    assert by_change > 0.0


@pytest.mark.bench
def test_what_measuring_costs(tmp_path: Path, figures: Figures) -> None:
    """Exact quantiles from the rows in Parquet, and from the counts."""
    rows = requests(late=False)
    workloads = [
        {"name": f"load-{k}", "pool": "pool", "kind": "llm", "objectives": {}}
        for k in range(WORKLOADS)
    ]
    found = []
    for record in ("full", "summary"):
        sink = summariser(ParquetSink(tmp_path / record), record, nodes=3)
        fill(sink, part(by_hand.requests(1), 0, 0))
        feed(sink.write_requests, rows)
        content = parts(workloads=workloads, record=record, duration_s=1e6, simulated_s=1e6)
        tables = sink.close(1e6)
        result = RunResult(tables, manifest_of(content, aborted=None, tables=tables.rows))
        assert measure(result)["load-3.ttft_p99"].value is not None
        found.append(nanoseconds(len(rows), lambda repeat, result=result: measure(result)))
        sink.discard()
    figures.add("results/measuring a full record", found[0], "ns a request")
    figures.add("results/measuring a summary", found[1], "ns a request")
    assert found[1] < found[0]
