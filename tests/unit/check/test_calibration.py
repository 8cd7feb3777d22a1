"""The ``calibration`` section: constants of one's own and draws of the errors, up to a run."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest
import yaml

import sim
from sim.errors import ScenarioError
from sim.perf.calibration import gemm_constants
from sim.perf.step import Batch
from tests.unit.study.works import scenario_file

PROMPT = Batch(4096, 0, 0, 0, 4096**2, 0)


def own_file(folder: Path, gpu: str = "h100-sxm", compute: float = 0.5) -> Path:
    """Constants of this GPU like the shipped ones, but products reach less of the peak."""
    constants = {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in asdict(gemm_constants(gpu, "bf16")).items()
    }
    constants["compute"] *= compute
    entry = {"constants": constants, "held_out": {"mean": 0.07}}
    file = folder / "own.yaml"
    file.write_text(yaml.safe_dump({"record": {"version": 1}, "gemm": {gpu: {"bf16": entry}}}))
    return file


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    return scenario_file(tmp_path)


def test_own_constants_change_products_and_the_name_of_a_run(scenario: Path) -> None:
    own_file(scenario.parent)
    bf16 = ["llms[llama-3.1-8b].precision=bf16"]
    plain = sim.load_scenario(scenario, sets=bf16)
    own = sim.load_scenario(scenario, sets=[*bf16, "calibration.file=own.yaml"])
    before, after = (
        s.pools[0].models["h100-sxm"].cost[0].iteration_s(PROMPT) for s in (plain, own)
    )
    assert 1.3 * before < after < 2.5 * before
    assert "calibration" not in plain.resolved
    assert own.resolved["calibration"]["own"]["gpu"] == "h100-sxm"
    assert own.calibration.own is not None
    result = sim.run_scenario(own, 1, engine="reference")
    record = result.manifest["calibration"]
    assert record["own"]["file"] == "own.yaml"
    assert record["own"]["error"] == {"bf16": 0.07}
    assert record["own"]["sha256"] == own.resolved["calibration"]["own"]["sha256"]
    assert set(record["constants"]) >= {"calibration/kernels.yaml", "calibration/power.yaml"}


def test_own_constants_of_another_gpu_have_no_effect_and_say_so(scenario: Path) -> None:
    own_file(scenario.parent, "a100-sxm")
    found = sim.load_scenario(scenario, sets=["calibration.file=own.yaml"])
    assert any("no pool predicts speeds on a100-sxm" in text for text in found.warnings)
    assert found.pools[0].models == sim.load_scenario(scenario).pools[0].models


def test_own_constants_of_other_data_types_say_whose_products_they_are_not(scenario: Path) -> None:
    own_file(scenario.parent)
    sets = ["calibration.file=own.yaml", "llms[llama-3.1-8b].precision=fp8"]
    (text,) = [t for t in sim.load_scenario(scenario, sets=sets).warnings if "bf16" in t]
    assert "constants of bf16 products only: the layers of pool chat compute in fp8" in text
    # int4 weights are multiplied in bf16.
    sets = ["calibration.file=own.yaml", "llms[llama-3.1-8b].precision=int4"]
    found = sim.load_scenario(scenario, sets=sets).warnings
    assert not any("bf16 products only" in text for text in found)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("constants.bandwidth", -1.0, "constants.bandwidth: must be above 0, not -1"),
        ("constants.norm", 0.5, "constants.norm: must be 1 or more, not 0.5"),
        ("constants.compute", float("nan"), "constants.compute: must be above 0, not nan"),
        ("constants.stairs", 1.0, "constants.stairs: must be below 1, not 1"),
        ("constants", None, "constants: must be a mapping"),
        ("held_out.mean", "much", "held_out.mean: must be a number from 0 on, not 'much'"),
        ("held_out.mean", None, "held_out.mean: must be a number from 0 on, not None"),
        ("held_out", {}, "held_out: lacks 'mean'"),
    ],
)
def test_own_constants_that_no_gpu_has_are_refused(
    scenario: Path, path: str, value: object, message: str
) -> None:
    file = own_file(scenario.parent)
    tree = yaml.safe_load(file.read_text())
    *parents, last = path.split(".")
    entry = tree["gemm"]["h100-sxm"]["bf16"]
    for name in parents:
        entry = entry[name]
    entry[last] = value
    file.write_text(yaml.safe_dump(tree))
    with pytest.raises(ScenarioError) as caught:
        sim.load_scenario(scenario, sets=["calibration.file=own.yaml"])
    assert f"calibration.file: own.yaml: gemm.h100-sxm.bf16.{message}" in str(caught.value)


@pytest.mark.parametrize("table", [None, {}, {"fp99": {}}])
def test_own_constants_without_data_types_are_refused(scenario: Path, table: object) -> None:
    content = {"record": {"version": 1}, "gemm": {"h100-sxm": table}}
    (scenario.parent / "own.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(ScenarioError, match=r"own.yaml: gemm.h100-sxm.*data type"):
        sim.load_scenario(scenario, sets=["calibration.file=own.yaml"])


def test_a_sample_is_in_the_models_and_the_manifest(scenario: Path) -> None:
    plain = sim.load_scenario(scenario)
    third = sim.load_scenario(scenario, sets=["calibration.sample=3"])
    assert third.resolved["calibration"] == {"sample": 3}
    by = third.pools[0].drawn["h100-sxm"]
    decoding = Batch(8, 8, 8 * 500, 0, 0, 0)
    ratio = third.pools[0].models["h100-sxm"].cost[0].iteration_s(decoding) / plain.pools[0].models[
        "h100-sxm"
    ].cost[0].iteration_s(decoding)
    assert ratio == pytest.approx(by.decode)
    assert sim.load_scenario(scenario, sets=["calibration.sample=0"]).resolved == plain.resolved
    manifest = sim.run_scenario(third, 1, engine="reference").manifest
    assert manifest["calibration"]["sample"] == 3
    assert manifest["pools"][0]["drawn"]["h100-sxm"]["decode"] == by.decode


@pytest.mark.parametrize(
    ("calibration", "message"),
    [
        ("{file: absent.yaml}", "calibration.file: 'absent.yaml': there is no such file"),
        ("{file: ../own.yaml}", "leads out of the scenario's folder"),
        ("{file: notes.yaml}", "notes.yaml: is no file of rackplan calibrate fit"),
        ("{sample: -1}", "calibration.sample"),
        ("{sample: two}", "calibration.sample"),
        ("{samples: 3}", "did you mean 'sample'?"),
    ],
)
def test_what_is_wrong_is_said_at_its_place(scenario: Path, calibration: str, message: str) -> None:
    (scenario.parent / "notes.yaml").write_text("a: 1\n")
    with pytest.raises(ScenarioError) as caught:
        sim.load_scenario(scenario, sets=[f"calibration={calibration}"])
    assert message in str(caught.value)
