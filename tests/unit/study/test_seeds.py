"""Several seeds: the same bytes whoever ran them, nothing done twice, failures named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import sim
from sim.check.scenario import Scenario
from sim.errors import ResultError
from sim.results.parquet import ParquetSink
from sim.results.result import open_run
from sim.study.local import LocalExecutor
from sim.study.result import holds_several_seeds, open_seeds
from sim.study.seeds import NoSeedFinished, run_seeds
from tests.unit.study.works import InProcess, folder_bytes, scenario_file


@pytest.fixture(scope="module")
def scenario(tmp_path_factory: pytest.TempPathFactory) -> Scenario:
    return sim.load_scenario(scenario_file(tmp_path_factory.mktemp("tiny")))


@pytest.fixture(scope="module")
def made(scenario: Scenario, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seeds 1 to 3, run one after the other in this process."""
    out = tmp_path_factory.mktemp("made")
    run_seeds(scenario, range(1, 4), InProcess(), out=out, engine="reference")
    return out


def test_folders_are_byte_equal_whatever_the_jobs_and_the_order(
    scenario: Scenario, made: Path, tmp_path: Path
) -> None:
    sim.run_scenario(scenario, 2, engine="reference", sink=ParquetSink(tmp_path / "alone"))
    expected = folder_bytes(made)
    assert len({name.partition("/")[0] for name in expected}) == 4
    for name, executor in (
        ("backwards", InProcess(backwards=True)),
        ("two workers", LocalExecutor(2)),
    ):
        run_seeds(scenario, range(1, 4), executor, out=tmp_path / name, engine="reference")
        assert folder_bytes(tmp_path / name) == expected
    (second,) = made.glob("*-s2")
    assert folder_bytes(second) == folder_bytes(tmp_path / "alone")


def test_the_folder_says_it_all_again(scenario: Scenario, made: Path) -> None:
    (folder,) = made.glob("*-s1-3")
    assert holds_several_seeds(folder)
    found = open_seeds(folder)
    runs = {
        seed: open_run(made / name) for seed, name in enumerate(found.manifest["runs"].values(), 1)
    }
    assert found.seeds == (1, 2, 3)
    assert {seed: dict(run.metrics) for seed, run in runs.items()} == dict(found.by_seed)
    ttft = found.metrics["chat.ttft_p99"]
    assert ttft.value == pytest.approx(
        sum(run.metrics["chat.ttft_p99"].value for run in runs.values()) / 3
    )
    assert ttft.low < ttft.value < ttft.high
    assert ttft.seeds == 3
    content = json.loads((folder / "metrics.json").read_text())["chat.ttft_p99"]
    assert list(content) == ["value", "unit", "low", "high", "seeds"]
    (expectation,) = found.manifest["expectations"]
    assert (expectation["answer"], expectation["passed"]) == ("yes", True)
    assert found.manifest["resolved"] == runs[1].manifest["resolved"]
    assert sum(limit["seeds"] for limit in found.manifest["binding"]) == 3
    with pytest.raises(ResultError, match="holds the metrics over several seeds"):
        open_run(folder)
    assert not holds_several_seeds(made / found.manifest["runs"]["1"])


def test_what_is_there_is_not_run_again(scenario: Scenario, made: Path, tmp_path: Path) -> None:
    before = folder_bytes(made)
    said: list[str] = []
    executor = InProcess()
    run_seeds(scenario, range(2, 5), executor, out=made, engine="reference", notice=said.append)
    assert executor.ran == ["seed 4"]
    assert said == [f"seeds 2 and 3: already in {made}, taken as found"]
    after = folder_bytes(made)
    assert before.items() <= after.items()
    executor = InProcess()
    run_seeds(scenario, range(1, 4), executor, out=made, engine="reference", fresh=True)
    assert executor.ran == ["seed 1", "seed 2", "seed 3"]
    assert folder_bytes(made) == after


@pytest.mark.parametrize("damage", ["versions", "inputs", "outcome", "file"])
def test_a_run_that_is_not_the_same_is_run_again(
    scenario: Scenario, made: Path, tmp_path: Path, damage: str
) -> None:
    run_seeds(scenario, [1], InProcess(), out=tmp_path, engine="reference")
    (folder,) = tmp_path.glob("*-s1")
    whole = folder_bytes(folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    if damage == "file":
        next(folder.glob("requests/*.parquet")).unlink()
    else:
        manifest[damage] = "partial" if damage == "outcome" else {"rackplan": "0.0.1"}
        (folder / "manifest.json").write_text(json.dumps(manifest))
    executor = InProcess()
    run_seeds(scenario, [1], executor, out=tmp_path, engine="reference")
    assert executor.ran == ["seed 1"]
    assert folder_bytes(folder) == whole


def test_a_failed_seed_is_named_and_the_others_are_kept(scenario: Scenario, tmp_path: Path) -> None:
    said: list[str] = []
    ends: list[tuple[int, bool]] = []
    lossy = InProcess(lost=["seed 2"])
    found = run_seeds(
        scenario, range(1, 4), lossy, out=tmp_path, engine="reference",
        notice=said.append, ended=lambda seed, ran: ends.append((seed, ran)),
    )  # fmt: skip
    assert found.outcome == "partial"
    assert found.folder.name.endswith("-s1-3.partial")
    assert found.seeds == (1, 3)
    assert found.manifest["failed"] == [{"seed": 2, "reason": "its worker was killed by SIGKILL"}]
    assert said == ["seed 2 failed: its worker was killed by SIGKILL"]
    assert ends == [(1, True), (2, True), (3, True)]
    (expectation,) = found.manifest["expectations"]
    assert (expectation["passed"], expectation["reason"]) == (False, "1 of 3 seeds failed")
    executor = InProcess()
    whole = run_seeds(scenario, range(1, 4), executor, out=tmp_path, engine="reference")
    assert executor.ran == ["seed 2"]
    assert (whole.outcome, whole.seeds) == ("complete", (1, 2, 3))


def test_no_seed_at_all_is_an_error_that_says_whose(scenario: Scenario, tmp_path: Path) -> None:
    lossy = InProcess(lost=["seed 1", "seed 2"])
    with pytest.raises(NoSeedFinished, match="no seed finished: its worker was killed") as lost:
        run_seeds(scenario, [1, 2], lossy, out=tmp_path, engine="reference")
    assert not lost.value.input_wrong
    with pytest.raises(NoSeedFinished, match="unknown engine 'steam'") as wrong:
        run_seeds(scenario, [1, 2], InProcess(), out=tmp_path, engine="steam")
    assert wrong.value.input_wrong
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="different seeds"):
        run_seeds(scenario, [1, 1], InProcess(), out=tmp_path, engine="reference")


def test_a_damaged_folder_is_refused(scenario: Scenario, tmp_path: Path) -> None:
    found = run_seeds(scenario, [1, 2], InProcess(), out=tmp_path, engine="reference")
    file = found.folder / "by_seed.json"
    content = json.loads(file.read_text())
    for entry, complaint in (
        ({"unit": "s", "values": [1.0]}, "not one value for each seed"),
        ({"unit": "s", "values": [1.0, "x"]}, "damaged at"),
        ({"unit": "ms", "values": [1.0, 2.0]}, "damaged at"),
        (7, "not one value for each seed"),
    ):
        file.write_text(json.dumps({**content, "chat.ttft_p99": entry}))
        with pytest.raises(ResultError, match=complaint):
            open_seeds(found.folder)
    manifest = found.folder / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "format": 99}))
    with pytest.raises(ResultError, match="format 99"):
        open_seeds(found.folder)
