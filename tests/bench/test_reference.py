"""What parts of a run cost, as ratios of CPU time on the same work in one process.

Nothing is asserted about time: the figures are printed for `make bench`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import pytest

import sim
from sim.engine.build import build
from sim.engine.power_meter import PowerMeter
from sim.engine.run import run
from sim.paths import share
from tests.engine_world import ListSink

SETS = ("duration=60 s", "warm_up=10 s")
REPEATS = 3


class NoSink:
    """Takes rows and forgets them."""

    def write(self, table: str, columns: object) -> None:
        """Nothing."""

    def abort(self, reason: str) -> None:
        """Nothing."""


def cpu_s(work: Callable[[], object]) -> float:
    """CPU seconds of the fastest of a few repeats."""
    best = float("inf")
    for _ in range(REPEATS):
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return best


@pytest.mark.bench
def test_what_a_run_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests per CPU second of the reference engine, and what meters and results add."""
    scenario = sim.load_scenario(share("scenarios") / "quickstart.yaml", sets=SETS)
    summary = replace(scenario, record="summary")
    rows = ListSink()
    run(build(scenario, 1), rows)
    requests = len(rows.rows("requests"))
    metered = cpu_s(lambda: run(build(scenario, 1), NoSink()))
    full = cpu_s(lambda: sim.run_scenario(scenario))
    counted = cpu_s(lambda: sim.run_scenario(summary))
    with monkeypatch.context() as patch:
        patch.setattr(PowerMeter, "change", lambda self, server, delta_mw, time_s: None)
        bare = cpu_s(lambda: run(build(scenario, 1), NoSink()))
    print(
        f"\n{requests} requests; engine without results: {requests / metered:,.0f} per CPU second"
    )
    print(f"  power tree: {metered / bare:.2f} x the engine without it")
    print(f"  results in full: {full / metered:.2f} x, summaries only: {counted / metered:.2f} x")
    assert requests > 10_000
