"""Scenarios of ``kind: placement``: what they say is what ``rackplan place`` says, and is kept."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import sim
from sim.check.scenario import Scenario
from sim.cli.app import app
from sim.engine.api import input_digests
from sim.errors import ResultError, ScenarioError
from sim.place.scenario import PlacementScenario
from sim.policies import base
from sim.policies.base import register
from sim.results.parquet import ParquetSink
from sim.results.placement_metrics import FAILURES, PLACEMENT_METRICS, STEPS
from sim.results.result import open_run
from sim.study.here import InThisProcess
from sim.study.points import load_study
from sim.study.result import open_seeds
from sim.study.runs import Run, those_there
from sim.study.seeds import run_seeds
from tests.unit.place.lists import random_lists, write
from tests.unit.place.test_kubernetes import node, pod
from tests.unit.place.test_kubernetes import read as read_kubernetes

TENANTS = ("team-a", "team-b")
SCENARIO = """
rackplan: 1
kind: placement
name: cluster
nodes: nodes.csv
pods: pods.csv
arrival: 130 %
quotas: {team-a: 20}
seed: 5
policies: {placement: {kind: fgd}}
expect: [unallocated <= 50 %, failed_quota <= 200]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A scenario and its lists, the pods of two tenants."""
    nodes, pods = random_lists(1)
    head, *rows = pods.splitlines()
    rows = [f"{row},{TENANTS[i % 2]}" for i, row in enumerate(rows)]
    write(tmp_path, nodes, "\n".join([f"{head},tenant", *rows]) + "\n")
    (tmp_path / "cluster.yaml").write_text(SCENARIO)
    return tmp_path / "cluster.yaml"


@pytest.fixture(autouse=True)
def _policies_of_users_are_forgotten() -> Iterator[None]:
    """What a test registers is not there for the next ones of this process."""
    base.policies("placement")  # those that are built in stay
    before = dict(base._registry)
    yield
    base._registry.clear()
    base._registry.update(before)


def loaded(file: Path, *sets: str) -> PlacementScenario:
    scenario = sim.load_scenario(file, sets=sets)
    assert isinstance(scenario, PlacementScenario)
    return scenario


def invoke(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout


def placed(file: Path, kind: str, seed: int, arrival: str) -> dict:
    """What ``rackplan place --json`` says of one policy under one seed."""
    lists = [f"--nodes={file.parent / 'nodes.csv'}", f"--pods={file.parent / 'pods.csv'}"]
    how = [f"--policy={kind}", f"--seeds={seed}", f"--arrival={arrival}", "--quota=team-a=20"]
    return json.loads(invoke("place", *lists, *how, "--json")[1])["policies"][kind]


@pytest.mark.parametrize(
    ("kind", "seed", "arrival"), [("fgd", 5, "130%"), ("random", 9, "1.0"), ("best-fit", 5, "list")]
)
def test_metrics_are_those_of_rackplan_place(
    file: Path, kind: str, seed: int, arrival: str
) -> None:
    other = placed(file, kind, seed, arrival)
    written = "100 %" if arrival == "1.0" else arrival
    sets = (f"policies.placement.kind={kind}", f"arrival={written}")
    metrics = sim.run_scenario(loaded(file, *sets), seed).metrics
    assert list(metrics) == list(PLACEMENT_METRICS)
    values = {name: metric.value for name, metric in metrics.items()}
    assert 100 * values["unallocated"] == other["unallocated_pct"]["mean"]
    assert 100 * values["fragmentation"] == other["fragmentation_pct"]["mean"]
    for name, share in STEPS.items():
        at = other["at_arrival_pct"][f"{100 * share:g}"]
        assert 100 * values[name] == at["unallocated_pct"]["mean"]
    assert values["placed"] == other["placed"]["mean"]
    assert values["failed"] == other["failed"]["mean"] > 0
    for name, reason in FAILURES.items():
        assert values[name] == other["failures"][reason]["mean"]
    assert set(FAILURES.values()) == set(other["failures"])
    assert values["failed_quota"] > 0


def test_a_share_that_demand_does_not_reach_has_no_value(file: Path) -> None:
    metric = sim.run_scenario(loaded(file, "arrival=92 %")).metrics["unallocated_at_95"]
    assert metric.value is None
    assert metric.reason == "pods arrive until demand is 92 % of the GPUs, and no further"


def test_a_run_folder_says_where_it_came_from_and_who_is_where(file: Path, tmp_path: Path) -> None:
    scenario = loaded(file)
    written = sim.run_scenario(scenario, 7, sink=ParquetSink(tmp_path / "run"))
    result = open_run(tmp_path / "run")
    assert result.metrics == written.metrics
    manifest = result.manifest
    assert (manifest["seed"], manifest["engine"], manifest["outcome"]) == (7, "replay", "complete")
    assert manifest["resolved"] == dict(scenario.resolved)
    assert manifest["resolved"]["quotas"] == {"team-a": 20.0}
    assert manifest["inputs"] == {
        f"{key}: {key}.csv": hashlib.sha256((file.parent / f"{key}.csv").read_bytes()).hexdigest()
        for key in ("nodes", "pods")
    }
    assert str(tmp_path) not in json.dumps(dict(manifest))
    assert [line["passed"] for line in manifest["expectations"]] == [True, True]
    rows = result.tables["placements"].to_pylist()
    there = [row for row in rows if row["outcome"] == "placed"]
    assert len(there) == result.metrics["placed"].value
    assert len(rows) - len(there) == result.metrics["failed"].value
    assert all((row["node"] is None) == (row["outcome"] != "placed") for row in rows)
    milli = dict(zip(scenario.cluster.pods.names, scenario.cluster.pods.request, strict=True))
    used = sum(int(milli[row["pod"]]) for row in there)
    share = 1.0 - used / scenario.cluster.nodes.gpu_milli
    assert result.metrics["unallocated"].value == pytest.approx(share, abs=1e-12)
    assert result.save(tmp_path / "again").is_dir()
    for name in ("manifest.json", "metrics.json", "placements/part-00000.parquet"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "run" / name).read_bytes()


def test_a_folder_without_its_metrics_is_refused(file: Path, tmp_path: Path) -> None:
    sim.run_scenario(loaded(file), sink=ParquetSink(tmp_path / "run"))
    (tmp_path / "run" / "metrics.json").unlink()
    with pytest.raises(ResultError, match=r"metrics\.json cannot be read"):
        open_run(tmp_path / "run")


def test_seeds_are_kept_until_a_list_changes(file: Path, tmp_path: Path) -> None:
    out, ran = tmp_path / "runs", []

    def go() -> list[bool]:
        ran.clear()
        run_seeds(loaded(file), range(5, 8), InThisProcess(), out=out, engine="compiled",
                  ended=lambda seed, made: ran.append(made))  # fmt: skip
        return list(ran)

    assert go() == [True, True, True]
    assert go() == [False, False, False]
    pods = file.parent / "pods.csv"
    pods.write_text(pods.read_text() + "one-more,1000,1024,1,500,,team-b\n")
    assert go() == [True, True, True]
    result = open_seeds(next(out.glob("cluster-*-s5-7")))
    assert result.seeds == (5, 6, 7)
    metric = result.metrics["unallocated"]
    values = [metrics["unallocated"].value for metrics in result.by_seed.values()]
    assert metric.value == pytest.approx(np.mean(values))
    assert 0.0 <= metric.low < metric.value < metric.high


def test_the_commands_know_it(file: Path, tmp_path: Path) -> None:
    out = tmp_path / "runs"
    code, text = invoke("check", file)
    assert (code, text) == (0, f"{file}: ok\n")
    code, text = invoke("run", file, "--out", out, "--set", "policies.placement.kind=best-fit")
    assert code == 0
    assert "best-fit leaves" in text
    assert "because of a quota" in text
    code, text = invoke("run", file, "--out", out, "--json", "--set", "expect=[placed <= 3]")
    assert code == 1
    assert json.loads(text)["metrics"]["placed"]["value"] > 3
    code, text = invoke("run", file, "--out", out, "--seeds", 2, "--jobs", 1)
    assert "fgd leaves" in text
    assert "seeds 5 and 6" in text
    (several,) = out.glob("cluster-*-s5-6")
    assert invoke("show", several)[1] == text
    run = several.with_name(several.name.replace("-s5-6", "-s6"))
    assert "cluster, seed 6: 160 pods" in invoke("show", run)[1]


def test_two_policies_are_compared_seed_by_seed(file: Path, tmp_path: Path) -> None:
    code, text = invoke(
        "compare", file, file, "--set-b", "policies.placement.kind=random", "--seeds", 8,
        "--jobs", 1, "--out", tmp_path / "runs", "--json",
    )  # fmt: skip
    found = json.loads(text)
    assert (code, found["pairing"]) == (0, "paired")
    assert found["metrics"]["unallocated_at_90"]["verdict"] == "worse"
    assert list(found["metrics"]) == list(PLACEMENT_METRICS)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run", "{file}", "--engine", "reference"), "--engine needs 'kind: serving'"),
        (("run", "{file}", "--uncertainty", "4"), "--uncertainty needs 'kind: serving'"),
        (("show", "{file}", "--outages"), "--outages needs 'kind: serving'"),
        (("show", "{file}", "--fabric"), "--fabric needs 'kind: serving'"),
        (("show", "{run}", "--tree"), "--tree needs 'kind: serving'"),
        (("show", "{run}", "--links"), "--links needs 'kind: serving'"),
        (("explain", "{run}"), "explain needs 'kind: serving'"),
        (("compare", "{run}", "{run}", "--losses"), "losses are of 'kind: serving'"),
        (("compare", "{run}", "{run}", "--metric", "chat.ttft_p99"), "a metric of 'kind: serving'"),
    ],
)
def test_what_only_serving_has_is_refused(
    file: Path, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    run = tmp_path / "run"
    sim.run_scenario(loaded(file), sink=ParquetSink(run))
    with pytest.raises(sim.RackplanError, match=message):
        invoke(*(argument.format(file=file, run=run) for argument in arguments))


def test_a_study_of_placements_is_refused(file: Path) -> None:
    study = file.parent / "study.yaml"
    study.write_text(
        "rackplan: 1\nkind: study\nname: study\nbase: cluster.yaml\nseeds: 2\n"
        "axes: {policies.placement.kind: [fgd, best-fit]}\n"
    )
    with pytest.raises(ScenarioError, match="the base of a study needs 'kind: serving'"):
        load_study(study)


def test_a_policy_that_cannot_rank_nodes_is_refused(file: Path) -> None:
    @register("placement", "by-site")
    @dataclass(frozen=True)
    class BySite:
        """Decides by what a list of nodes does not have."""

        def new_state(self) -> None: ...

        def decide(self, view: object, state: None, rng: object) -> Iterator[tuple[int, ...]]:
            yield ()

    with pytest.raises(ScenarioError, match="'by-site' decides by a site's topology and has no"):
        loaded(file, "policies.placement={kind: by-site}")


def test_a_function_that_changes_the_network_is_refused(file: Path) -> None:
    with pytest.raises(ScenarioError, match="a placement has no network"):
        sim.load_scenario(file, fabric=lambda graph: graph)


def test_the_lists_may_lie_elsewhere_only_if_that_is_asked_for(file: Path) -> None:
    inner = file.parent / "inner"
    inner.mkdir()
    moved = inner / "cluster.yaml"
    moved.write_text(SCENARIO.replace("nodes: ", "nodes: ../").replace("pods: ", "pods: ../"))
    with pytest.raises(ScenarioError, match="leads out of the scenario's folder"):
        sim.load_scenario(moved)
    scenario = sim.load_scenario(moved, allow_outside=True)
    assert not isinstance(scenario, Scenario)
    assert scenario.resolved["nodes"] == "../nodes.csv"


def test_every_policy_gets_the_same_pods_under_a_seed(file: Path) -> None:
    orders = [
        sim.run_scenario(loaded(file, f"policies.placement.kind={kind}"), seed)
        .tables["placements"]
        .column("pod")
        .to_pylist()
        for kind, seed in (("fgd", 3), ("random", 3), ("fgd", 4))
    ]
    assert orders[0] == orders[1]
    assert orders[0] != orders[2]


def test_lists_of_kubernetes_and_quotas_of_its_namespaces(tmp_path: Path) -> None:
    pods = [pod(f"p{i}", gpus=2, namespace="ml" if i < 6 else "web") for i in range(9)]
    read_kubernetes(tmp_path, [node("n0"), node("n1")], pods)
    text = SCENARIO.replace(".csv", ".json").replace("{team-a: 20}", "{ml: 8}")
    (tmp_path / "k.yaml").write_text(text.replace("130 %", "list"))
    result = sim.run_scenario(loaded(tmp_path / "k.yaml"))
    values = {name: metric.value for name, metric in result.metrics.items()}
    assert (values["placed"], values["failed_quota"], values["failed"]) == (7, 2, 2)
    assert values["unallocated"] == pytest.approx(2 / 16)


@dataclass(frozen=True)
class Own:
    """Fill what is fullest."""

    @staticmethod
    def score(node, pod, known):  # type: ignore[no-untyped-def]
        return pod.request - node.left


def test_a_policy_of_ones_own_belongs_to_the_inputs(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register("placement", "test-own")(Own)
    scenario = loaded(file, "policies.placement={kind: test-own}")
    digests = input_digests(scenario)
    name = f"policy: {__name__}"
    assert digests[name] == hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
    monkeypatch.setattr(Own, "__module__", "nowhere")
    assert input_digests(scenario)["policy: nowhere"] is None


def test_results_of_code_that_is_in_no_file_are_not_taken_as_found(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenario, folder = loaded(file), tmp_path / "run"
    run = Run("seed 5", scenario, 5, "compiled", folder)
    sim.run_scenario(scenario, 5, sink=ParquetSink(folder))
    assert those_there([run]) == {"seed 5"}
    own = {**input_digests(scenario), "policy: nowhere": None}
    monkeypatch.setattr("sim.study.runs.input_digests", lambda scenario: own)
    assert those_there([run]) == set()
