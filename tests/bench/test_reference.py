"""What parts of a run cost the reference engine, as ratios of CPU time in one process."""

from __future__ import annotations

from dataclasses import replace

import pytest

import sim
from sim.engine.build import build
from sim.engine.power_meter import PowerMeter
from sim.engine.run import run
from sim.paths import share
from tests.bench.drop import DropRows
from tests.bench.figures import Figures, cpu_s

SETS = ("duration=60 s", "warm_up=10 s")


@pytest.mark.bench
def test_what_a_run_costs(monkeypatch: pytest.MonkeyPatch, figures: Figures) -> None:
    """Requests per CPU second of the quickstart, and what meters and results add."""
    scenario = sim.load_scenario(share("scenarios") / "quickstart.yaml", sets=SETS)
    summary = replace(scenario, record="summary")
    counter = DropRows()
    run(build(scenario, 1), counter, engine="reference")

    def engine() -> None:
        run(build(scenario, 1), DropRows(), engine="reference")

    metered = cpu_s(engine)
    full = cpu_s(lambda: sim.run_scenario(scenario, engine="reference"))
    counted = cpu_s(lambda: sim.run_scenario(summary, engine="reference"))
    with monkeypatch.context() as patch:
        patch.setattr(PowerMeter, "change", lambda self, server, delta_mw, time_s: None)
        bare = cpu_s(engine)
    name = "reference/quickstart"
    figures.add(f"{name}, rows dropped", counter.requests / metered, "requests/CPU s")
    figures.add(f"{name}, with a power tree", metered / bare, "x without")
    figures.add(f"{name}, results in full", full / metered, "x rows dropped")
    figures.add(f"{name}, summaries", counted / metered, "x rows dropped")
    assert counter.requests > 10_000
