"""Pools with step times of aiconfigurator-core: what is resolved, warned of, refused, recorded.

An estimator of our own form stands in for the package, which need not be installed.
"""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import sim
from sim.check.scenario import Scenario
from sim.errors import ScenarioError
from sim.perf import silicon
from sim.results.expected import expected_sentences
from sim.results.manifest import manifest_parts
from tests.unit.perf.test_estimator import LIMITS, known

SCENARIO = """\
rackplan: 1
name: s
duration: 2 min
site: {halls: [{name: h, rows: [{name: row, racks: [%s]}]}]}
llms: [{name: llama-3.1-70b, precision: fp8}]
workload: [{name: w, pool: p, source: synthetic-chat, rate: 1 /s}]
pools:
  - {name: p, llm: llama-3.1-70b, replicas: 2, %s}
"""
H100 = "{type: dgx-h100-2, count: 2}"
KEY = "tensor_parallel: 4, silicon: trtllm"


def load(folder: Path, pool: str, racks: str = H100, text: str = SCENARIO) -> Scenario:
    file = folder / "s.yaml"
    file.write_text(text % (racks, pool))
    return sim.load_scenario(file)


def refusals(folder: Path, pool: str, text: str = SCENARIO) -> list[str]:
    with pytest.raises(ScenarioError) as caught:
        load(folder, pool, text=text)
    return [f"{problem.path}: {problem.message}" for problem in caught.value.problems]


def installs(monkeypatch: pytest.MonkeyPatch, release: str | None) -> None:
    """Whether, and in which release, the package seems to be installed."""
    others = metadata.version

    def version(name: str) -> str:
        if name != silicon.PACKAGE:
            return others(name)
        if release is None:
            raise metadata.PackageNotFoundError(name)
        return release

    monkeypatch.setattr(metadata, "version", version)


@pytest.fixture(autouse=True)
def fake(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The package's engine as a known cost, of kernels whose version is the stated one."""

    def engine(asked: Any, release: str) -> Any:
        if asked.system == "a100_sxm":
            raise silicon.SiliconError("no such kernels on a100_sxm")
        estimator = known(LIMITS)
        estimator.name = f"package {release}, {asked.backend} {asked.version or 'current'}"
        return estimator

    monkeypatch.setattr(silicon, "_Engine", engine)
    installs(monkeypatch, "0.12.0")
    silicon._reduced.cache_clear()
    yield
    silicon._reduced.cache_clear()


def test_an_absent_package_is_an_error_of_the_scenario(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installs(monkeypatch, None)
    assert refusals(tmp_path, KEY) == [
        "pools[0].silicon: needs the package aiconfigurator-core, which is not installed: "
        "pip install 'rackplan[silicon]'"
    ]


def test_the_tree_has_backend_version_release_and_kernels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = load(tmp_path, KEY)
    assert first.resolved["pools"][0]["silicon"] == {
        "backend": "trtllm",
        "version": None,
        "release": "0.12.0",
        "kernels": {"h100-sxm": "package 0.12.0, trtllm current"},
    }
    pinned = load(tmp_path, "tensor_parallel: 4, silicon: {backend: trtllm, version: 1.3.0rc20}")
    installs(monkeypatch, "0.12.1")
    newer = load(tmp_path, KEY)
    without = load(tmp_path, "tensor_parallel: 4")
    trees = [one.resolved for one in (first, pinned, newer, without)]
    assert all(tree not in trees[:i] for i, tree in enumerate(trees))
    assert "silicon" not in without.resolved["pools"][0]


def test_the_reduction_is_warned_of(tmp_path: Path) -> None:
    (warning,) = [line for line in load(tmp_path, KEY).warnings if "silicon" in line]
    assert warning.startswith(
        "pools[p].silicon: step times on h100-sxm are from package 0.12.0, trtllm current, reduced "
        "to the engine's form within 0.0 % (median; P90 0 %) on 90 batches"
    )


def test_the_manifest_says_whose_times_and_how_far_off(tmp_path: Path) -> None:
    scenario = load(tmp_path, KEY)
    parts = manifest_parts(scenario, seed=1, engine="compiled", simulated_s=1.0)
    (pool,) = parts["pools"]
    assert pool["stack"] is None
    assert pool["expected_error"] == {}
    entry = pool["silicon"]["h100-sxm"]
    assert entry["step_times"] == "package 0.12.0, trtllm current"
    assert entry["reduction_error"]["batches"] == 90
    result: Any = SimpleNamespace(manifest=parts, tables={})
    ((sentence, warns),) = expected_sentences(result.manifest, {})
    assert not warns
    assert sentence.startswith(
        "Expected error of p on h100-sxm (package 0.12.0, trtllm current): TPOT ±10 % (P90 58 %), "
    )
    assert sentence.endswith("step times reduced within 0.0 % (P90 0 %)")


def test_layouts_that_its_kernels_say_nothing_about(tmp_path: Path) -> None:
    assert refusals(tmp_path, f"{KEY}, pipeline_parallel: 2") == [
        "pools[0].silicon: step times of aiconfigurator-core are asked for without a pipeline: "
        "write pipeline_parallel: 1"
    ]
    assert refusals(tmp_path, "tensor_parallel: 16, silicon: vllm") == [
        "pools[0].silicon: tensor_parallel 16 is over 2 NVLink domains; step times of "
        "aiconfigurator-core are asked for within one"
    ]


def test_an_llm_that_does_not_fit_is_still_told_as_such(tmp_path: Path) -> None:
    larger = SCENARIO.replace("70b", "405b")
    (message,) = refusals(tmp_path, "tensor_parallel: 4, silicon: vllm", larger)
    assert message.startswith("pools[0].llm: llama-3.1-405b in fp8 does not fit")


def test_replicas_go_where_the_package_has_kernels(tmp_path: Path) -> None:
    racks = f"{H100}, {{type: dgx-a100-4, count: 1}}"
    bf16 = SCENARIO.replace("precision: fp8", "precision: bf16")
    scenario = load(tmp_path, "tensor_parallel: 8, silicon: trtllm", racks, bf16)
    assert list(scenario.pools[0].models) == ["h100-sxm"]
    assert any("no such kernels on a100_sxm" in line for line in scenario.warnings)


def test_without_silicon_nothing_asks_for_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def engine(asked: Any, release: str) -> Any:
        raise AssertionError("asked")

    monkeypatch.setattr(silicon, "_Engine", engine)
    installs(monkeypatch, None)
    scenario = load(tmp_path, "tensor_parallel: 4")
    assert scenario.pools[0].silicon is None
    assert scenario.pools[0].models["h100-sxm"].reduction is None
