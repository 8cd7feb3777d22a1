"""Requests per CPU second of the compiled engine against the reference, in one process.

Whole runs of a 70B LLM at 70 % of saturation, with meters, a 2N power tree with budgets, time-outs,
two priorities and objectives (``sites.Bench``); compilation is over before anything is measured.
Nothing is asserted about time. The CPU time is of all threads: Arrow writes with several.
"""

from __future__ import annotations

from itertools import count
from pathlib import Path

import pytest

import sim
from sim.engine.build import build
from sim.engine.run import run
from sim.results.parquet import ParquetSink
from sim.results.result import RunResult
from tests.bench import python_routing
from tests.bench.drop import DropRows
from tests.bench.figures import REQUESTS, Figures, cpu_s, cpu_s_of
from tests.bench.sites import Bench

PER_CPU_S = "requests/CPU s"
#: The reference runs for less long, but past its start: residence is about ten seconds. What is
#: left of start and drain has small batches, so more iterations a request, which are stated; hence
#: also the ratios on the reference's own short run, where the compiled engine does the same work,
#: beside what it takes to start.
REFERENCE_S = 20.0
REFERENCE_REQUESTS = 40_000

VARIANTS = {
    "10 % load": Bench(64, load=0.1),
    "30 % load": Bench(64, load=0.3),
    "90 % load": Bench(64, load=0.9),
    "round-robin": Bench(64, routing="round-robin"),
    "power-of-two": Bench(64, routing="power-of-two"),
    "max_queue 64": Bench(64, max_queue=64),
    "shared prefixes": Bench(64, shared_prefix=True),
    "8B on 1 GPU": Bench(64, llm="llama-3.1-8b", tensor_parallel=1),
}


@pytest.fixture(scope="module", autouse=True)
def _compiled() -> None:
    """Compile, or load what was compiled, before anything is measured."""
    sim.run_scenario(Bench(8).scenario(20.0), engine="compiled")


def arrivals(result: RunResult) -> int:
    """Requests of the whole run."""
    return sum(result.tables["summary/counts"].column("n").to_pylist())


def iterations_of(result: RunResult) -> int:
    """Iterations of all replicas over the whole run."""
    return sum(result.tables["replicas"].column("iterations").to_pylist())


def whole_s(scenario: sim.Scenario, engine: str = "compiled", repeats: int = 3) -> float:
    """CPU seconds of ``run_scenario``: build, source, engine, results, metrics."""
    return cpu_s(lambda: sim.run_scenario(scenario, engine=engine), repeats)


def dropped_s(scenario: sim.Scenario, engine: str = "compiled", repeats: int = 3) -> float:
    """CPU seconds of source and engine."""
    return cpu_s_of(
        lambda: build(scenario, scenario.seed),
        lambda world: run(world, DropRows(), engine=engine),
        repeats,
    )


def source_s(scenario: sim.Scenario) -> float:
    """CPU seconds of drawing every request."""
    return cpu_s_of(
        lambda: build(scenario, scenario.seed).sources,
        lambda sources: [sum(len(chunk) for chunk in source.chunks()) for source in sources],
    )


def parquet_s(scenario: sim.Scenario, folder: Path) -> float:
    """CPU seconds of a whole run to Parquet."""
    numbers = count()

    def work() -> None:
        sim.run_scenario(
            scenario, engine="compiled", sink=ParquetSink(folder / f"run-{next(numbers)}")
        )

    return cpu_s(work)


@pytest.mark.bench
@pytest.mark.parametrize("replicas", [8, 64, 1250])
def test_engines(replicas: int, figures: Figures, tmp_path: Path) -> None:
    bench, name = Bench(replicas), f"engines/{replicas:,} replicas"
    scenario = bench.scenario(bench.duration_s(REQUESTS))
    result = sim.run_scenario(scenario, engine="compiled")
    made = arrivals(result)
    assert result.metrics["goodput_fraction"].value > 0.95  # it serves what is sent
    figures.add(f"{name}/iterations", iterations_of(result) / made, "a request")

    built = cpu_s(lambda: build(scenario, scenario.seed))
    figures.add(f"{name}/build", built, "CPU s")
    whole, dropped, source = whole_s(scenario), dropped_s(scenario), source_s(scenario)
    figures.add(f"{name}/summary", made / whole, PER_CPU_S)
    figures.add(f"{name}/rows dropped", made / dropped, PER_CPU_S)
    figures.add(f"{name}/share of the source", source / whole, "of summary's time")
    figures.add(f"{name}/share of results", (whole - built - dropped) / whole, "of summary's time")
    for power in ("minutes", "changes"):
        # Every change of a large site's draw is many rows a request: fewer requests will do.
        duration_s = bench.duration_s(REQUESTS if power == "minutes" else REQUESTS // 10)
        full = bench.scenario(duration_s, {"level": "full", "power": power})
        made_full = arrivals(sim.run_scenario(bench.scenario(duration_s), engine="compiled"))
        taken = parquet_s(full, tmp_path / power)
        figures.add(f"{name}/full, power {power}", made_full / taken, PER_CPU_S)

    duration_s = max(REFERENCE_S, bench.duration_s(REFERENCE_REQUESTS))
    short = bench.scenario(duration_s)
    result = sim.run_scenario(short, engine="compiled")
    few = arrivals(result)
    reference = whole_s(short, "reference", repeats=1)
    per_s = figures.add(f"{name}/reference, summary", few / reference, PER_CPU_S)
    figures.add(f"{name}/summary, times the reference", made / whole / per_s, "x")
    figures.add(f"{name}/rows dropped, times the reference", made / dropped / per_s, "x")
    figures.add(f"{name}/reference, iterations", iterations_of(result) / few, "a request")
    figures.add(f"{name}/its run, summary, times the reference", reference / whole_s(short), "x")
    figures.add(f"{name}/its run, dropped, times the reference", reference / dropped_s(short), "x")


@pytest.mark.bench
@pytest.mark.parametrize("name", VARIANTS)
def test_variants(name: str, figures: Figures) -> None:
    bench = VARIANTS[name]
    scenario = bench.scenario(bench.duration_s(REQUESTS))
    result = sim.run_scenario(scenario, engine="compiled")
    if bench.shared_prefix and not result.metrics["interactive.prefix_hit_fraction"].value:
        pytest.skip("the compiled engine found no shared prefix")
    made = arrivals(result)
    assert made > REQUESTS / 3  # the rate swings
    figures.add(f"variants/{name}/summary", made / whole_s(scenario), PER_CPU_S)
    figures.add(f"variants/{name}/rows dropped", made / dropped_s(scenario), PER_CPU_S)


@pytest.mark.bench
@pytest.mark.parametrize("replicas", [64, 1250])
def test_protection(replicas: int, figures: Figures) -> None:
    """A tree of six levels with breakers and overload tables, against one of five without."""
    name = f"protection/{replicas:,} replicas"
    plain, guarded = (
        Bench(replicas, protected=protected).scenario(Bench(replicas).duration_s(REQUESTS // 4))
        for protected in (False, True)
    )
    without, with_ = dropped_s(plain), dropped_s(guarded)
    result = sim.run_scenario(guarded, engine="compiled")
    assert result.metrics["failed"].value == 0  # everything is watched, nothing opens
    made = arrivals(result)
    figures.add(f"{name}/rows dropped", made / with_, PER_CPU_S)
    figures.add(f"{name}/throughput lost", 1.0 - without / with_, "of that without")


@pytest.mark.bench
@pytest.mark.parametrize("replicas", [8, 64, 1250])
def test_a_routing_policy_in_python(replicas: int, figures: Figures) -> None:
    """Fewer requests will do: each costs a call of the policy with a view of every replica."""
    assert python_routing.InPython is not None  # registered by its import
    routed = Bench(replicas, routing="bench-in-python")
    scenario = routed.scenario(routed.duration_s(REQUESTS // 20))
    made = arrivals(sim.run_scenario(scenario, engine="compiled"))
    taken = dropped_s(scenario)
    figures.add(f"routing in Python/{replicas:,} replicas", made / taken, PER_CPU_S)
    assert made > 0
