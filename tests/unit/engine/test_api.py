"""The public functions as documented, without the command line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

import sim
from sim.engine.api import Interrupted
from sim.errors import BuildError, SimulationError, UnknownName
from sim.paths import share
from sim.policies.base import RoutingView, register
from sim.results.memory import MemorySink
from sim.results.parquet import ParquetSink
from sim.results.result import open_run
from tests.engine_world import Given, ListSink, model, pool, scenario, serve, workload

SHORT = ("duration=30 s", "warm_up=5 s", "workload[chat].rate=40 /s")


@pytest.fixture(scope="module")
def quickstart() -> sim.Scenario:
    """The shipped scenario, shortened."""
    return sim.load_scenario(share("scenarios") / "quickstart.yaml", sets=SHORT)


def test_a_run_in_memory(quickstart: sim.Scenario) -> None:
    result = sim.run_scenario(quickstart, seed=1)
    assert result.folder is None
    assert 0.9 < result.metrics["chat.goodput_fraction"].value <= 1.0
    requests = result.tables["requests"]
    assert requests.num_rows == pytest.approx(40 * 30, rel=0.2)
    assert requests.schema.field("arrival_s").metadata[b"unit"] == b"s"


def test_the_seed_of_the_scenario_is_the_default(quickstart: sim.Scenario) -> None:
    default = sim.run_scenario(quickstart)
    assert default.manifest["seed"] == quickstart.seed == 1
    assert sim.run_scenario(quickstart, 1).tables["requests"].equals(default.tables["requests"])


def test_a_run_to_a_folder_reads_back(quickstart: sim.Scenario, tmp_path: Path) -> None:
    made = sim.run_scenario(quickstart, sink=ParquetSink(tmp_path / "run"))
    read = open_run(tmp_path / "run")
    assert read.manifest == made.manifest
    assert read.tables["power"].equals(made.tables["power"])


def test_progress_goes_from_start_to_end(quickstart: sim.Scenario) -> None:
    seen: list[tuple[float, float]] = []
    sim.run_scenario(quickstart, progress=lambda now, end: seen.append((now, end)))
    assert [now for now, _ in seen] == sorted(now for now, _ in seen)
    assert seen[-1] == (330.0, 330.0)


@pytest.mark.parametrize("stop_s", [2.0, 20.0, 100.0])
def test_a_stopped_run_keeps_what_it_simulated(
    quickstart: sim.Scenario, tmp_path: Path, stop_s: float
) -> None:
    def stop(now: float, end: float) -> None:
        if now >= stop_s:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted) as caught:
        sim.run_scenario(quickstart, sink=ParquetSink(tmp_path / "run"), progress=stop)
    partial = caught.value.partial
    assert partial.outcome == "partial"
    assert partial.folder == tmp_path / "run.partial"
    assert not (tmp_path / "run").exists()
    requests = partial.tables["requests"]
    assert requests.num_rows > 0
    assert max(requests["arrival_s"].to_pylist()) <= stop_s + 1
    assert partial.tables["replicas"].num_rows == 28
    measured = partial.tables["power_nodes"]["mean_w"][0].as_py()
    assert (measured is None) == (stop_s < quickstart.warm_up_s)


def test_a_path_is_not_a_scenario() -> None:
    with pytest.raises(TypeError, match=r"sim\.run_scenario\(sim\.load_scenario\(path\)\)"):
        sim.run_scenario(cast(Any, "scenarios/quickstart.yaml"))


def test_a_sink_that_cannot_give_its_tables_back_is_refused_before_the_run(
    quickstart: sim.Scenario,
) -> None:
    sink = ListSink()
    with pytest.raises(TypeError, match=r"^ListSink cannot give its tables back.* MemorySink\)$"):
        sim.run_scenario(quickstart, sink=cast(Any, sink))
    assert sink.tables == {}


def test_a_sink_of_ones_own(quickstart: sim.Scenario) -> None:
    class Counting(MemorySink):
        rows = 0

        def write(self, table: str, columns: Mapping[str, Any]) -> None:
            self.rows += len(next(iter(columns.values()))) if table == "requests" else 0
            super().write(table, columns)

    sink = Counting()
    result = sim.run_scenario(quickstart, sink=sink)
    assert result.tables["requests"].num_rows == sink.rows > 0


@pytest.mark.parametrize("seed", [-1, 1.5, "1", True])
def test_a_seed_is_a_whole_number(quickstart: sim.Scenario, seed: Any) -> None:
    with pytest.raises(ValueError, match=f"^seed must be a whole number from 0, not {seed!r}$"):
        sim.run_scenario(quickstart, seed)


def test_seed_0_and_a_seed_of_numpy(quickstart: sim.Scenario) -> None:
    zero = sim.run_scenario(quickstart, 0)
    assert zero.manifest["seed"] == 0
    same = sim.run_scenario(quickstart, np.int64(0))
    assert same.tables["requests"].equals(zero.tables["requests"])
    assert not zero.tables["requests"].equals(sim.run_scenario(quickstart).tables["requests"])


def test_nothing_is_left_of_a_run_that_cannot_be_built(
    quickstart: sim.Scenario, tmp_path: Path
) -> None:
    pools = tuple(replace(pool, replicas=pool.replicas + 50) for pool in quickstart.pools)
    with pytest.raises(BuildError):
        sim.run_scenario(replace(quickstart, pools=pools), sink=ParquetSink(tmp_path / "run"))
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_engine_is_named(quickstart: sim.Scenario) -> None:
    with pytest.raises(UnknownName, match=r"unknown engine 'referenz' \(did you mean 'reference'"):
        sim.run_scenario(quickstart, engine="referenz")


def test_a_replica_without_a_place_is_a_build_error() -> None:
    crowded = scenario([pool(model(gpus=3), replicas=3)], [workload()])
    with pytest.raises(BuildError) as caught:
        serve(crowded, [Given([])])
    assert str(caught.value) == (
        "pools[pool].replicas: replica 3 of 3 has no place: it needs 3 GPUs (tensor-parallel "
        "groups of 3 in one NVLink domain), 2 suitable GPUs are free, and first-fit found none "
        "that hold (no suggestion)"
    )


def test_placement_never_splits_a_group_over_domains() -> None:
    setup = scenario([pool(model(gpus=3), replicas=4)], [workload()], nodes=2)
    run = serve(setup, [Given([])])
    assert [row["gpus"] for row in run.rows("replicas")] == [
        "0 1 2", "3 4 5", "8 9 10", "11 12 13",
    ]  # fmt: skip
    refused = [row for row in run.rows("decisions") if not row["accepted"]]
    assert {row["reason_code"] for row in refused} == {"nvlink-domain"}
    assert refused[0]["reason"] == "a tensor-parallel group of 3 would span NVLink domains"


@register("routing", "test-nonsense")
@dataclass(frozen=True)
class Nonsense:
    """Suggests a replica that is not there."""

    suggestion: Any = 99

    def new_state(self) -> None:
        """Nothing."""

    def decide(self, view: RoutingView, state: None, rng: Any) -> Iterator[Any]:
        """Always the same."""
        yield self.suggestion


@pytest.mark.parametrize("suggestion", [99, -1, "first", None])
def test_a_policy_that_suggests_nonsense_stops_the_run(suggestion: Any) -> None:
    wrong = replace(pool(model()), routing=Nonsense(suggestion))
    one = Given([{"arrival_s": 1.0, "input_tokens": 1, "output_tokens": 1}])
    with pytest.raises(SimulationError, match=r"at 1\.000000 s, routing policy test-nonsense"):
        serve(scenario([wrong], [workload()]), [one])


def test_refusals_are_logged_with_their_reason() -> None:
    busy = pool(model(), replicas=2, max_queue=1, max_sequences=1)
    rows = [{"arrival_s": 0.1 * i, "input_tokens": 1, "output_tokens": 900} for i in range(6)]
    run = serve(scenario([busy], [workload()]), [Given(rows)])
    outcomes = [row["outcome"] for row in run.rows("requests")]
    assert outcomes.count("queue-full") == 2
    refused = [r for r in run.rows("decisions") if r["role"] == "routing"]
    assert [(r["suggestion"], r["reason_code"]) for r in refused] == [
        ("0 (+1)", "queue-full"), ("1 (+1)", "queue-full"),
    ]  # fmt: skip
    assert refused[0]["reason"] == "1 requests wait there already (max_queue)"


def test_what_a_trace_needs_said_is_among_the_warnings(tmp_path: Path) -> None:
    rows = "\n".join(f"{second},100,20" for second in range(40))
    (tmp_path / "trace.csv").write_text(f"arrival_s,input_tokens,output_tokens\n{rows}\n")
    text = (share("scenarios") / "quickstart.yaml").read_text()
    line = next(line for line in text.splitlines() if "source: synthetic-chat" in line)
    traced = line.replace("source: synthetic-chat, rate: 240 /s", "trace: {file: trace.csv}")
    (tmp_path / "traced.yaml").write_text(text.replace(line, traced))
    loaded = sim.load_scenario(tmp_path / "traced.yaml", sets=SHORT[:2])
    result = sim.run_scenario(loaded)
    assert result.tables["requests"].num_rows == 30
    assert list(result.manifest["warnings"])[1:] == [
        "workload[chat].trace: the run's 30 s take 30 of its 40 requests"
    ]
    assert list(result.manifest["inputs"]) == ["chat: trace.csv"]
