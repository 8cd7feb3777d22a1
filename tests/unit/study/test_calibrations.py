"""Samples of the calibration: ranges of metrics, what holds, what is there already, failures."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterable
from dataclasses import replace
from pathlib import Path

import pytest

import sim
from sim.check.scenario import Scenario
from sim.errors import RackplanError, ResultError
from sim.results.parquet import ParquetSink
from sim.results.result import RunResult, open_run
from sim.study.calibrations import (
    CalibrationResult,
    holds_calibrations,
    open_calibrations,
    run_calibrations,
    share,
    with_interval,
)
from sim.study.executor import Failure, Outcome, Task, Work
from tests.unit.study.works import InProcess, folder_bytes, scenario_file

SAMPLES = range(1, 6)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return scenario_file(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def scenarios(file: Path) -> dict[int, Scenario]:
    return {n: sim.load_scenario(file, sets=[f"calibration.sample={n}"]) for n in SAMPLES}


@pytest.fixture(scope="module")
def fitted(file: Path, tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    sink = ParquetSink(tmp_path_factory.mktemp("fitted") / "tiny-s1")
    return sim.run_scenario(sim.load_scenario(file), 1, engine="reference", sink=sink)


def run(
    scenarios: dict[int, Scenario], fitted: RunResult, out: Path, executor: object = None
) -> CalibrationResult:
    return run_calibrations(
        scenarios, fitted.metrics, fitted.metrics, executor or InProcess(), name="tiny-s1",
        seed=1, out=out, engine="reference",
    )  # fmt: skip


@pytest.fixture(scope="module")
def made(
    scenarios: dict[int, Scenario], fitted: RunResult, tmp_path_factory: pytest.TempPathFactory
) -> CalibrationResult:
    return run(scenarios, fitted, tmp_path_factory.mktemp("made"))


def test_a_metric_has_the_range_of_its_samples(
    made: CalibrationResult, fitted: RunResult, scenarios: dict[int, Scenario]
) -> None:
    runs = [
        open_run(made.folder.parent / name).metrics["chat.tpot_p50"].value
        for name in made.manifest["runs"].values()
    ]
    found = made.metrics["chat.tpot_p50"]
    assert found.value == fitted.metrics["chat.tpot_p50"].value
    assert (found.calibration_low, found.calibration_high) == (min(runs), max(runs))
    assert found.calibration_low < found.calibration_high
    # The same requests arrive under every sample.
    arrivals = made.metrics["chat.arrivals"]
    assert arrivals.calibration_low == arrivals.calibration_high == arrivals.value
    assert made.share == share(5) == pytest.approx(4 / 6)
    # What was drawn is what the times show: TPOT of a hardly loaded replica follows decoding.
    drawn = {n: by["chat"]["h100-sxm"]["decode"] for n, by in made.manifest["drawn"].items()}
    slowest = max(drawn, key=drawn.__getitem__)
    assert made.by_sample[int(slowest)]["chat.tpot_p50"].value == max(runs)


def test_the_folder_says_it_all_again(made: CalibrationResult) -> None:
    assert holds_calibrations(made.folder)
    found = open_calibrations(made.folder)
    assert dict(found.metrics) == dict(made.metrics)
    assert {n: dict(m) for n, m in found.by_sample.items()} == {
        n: dict(m) for n, m in made.by_sample.items()
    }
    entry = json.loads((made.folder / "metrics.json").read_text())["chat.tpot_p50"]
    assert list(entry) == ["value", "unit", "calibration_low", "calibration_high"]
    with pytest.raises(ResultError, match="intervals of their calibration"):
        open_run(made.folder)
    assert not holds_calibrations(made.folder.parent / made.manifest["runs"]["1"])


def test_lines_are_counted_over_the_samples(
    made: CalibrationResult, file: Path, fitted: RunResult
) -> None:
    lines = {line["text"]: line for line in made.manifest["holds"]}
    assert lines["chat.ttft_p99 <= 2 s"]["samples"] == 5
    limit = sorted(m["chat.tpot_p50"].value for m in made.by_sample.values())[1]
    tight = {
        n: sim.load_scenario(
            file,
            sets=[f"calibration.sample={n}", f"expect=['chat.tpot_p50 <= {1000 * limit} ms']"],
        )
        for n in SAMPLES
    }
    again = run(tight, fitted, made.folder.parent / "tight")
    (line,) = [one for one in again.manifest["holds"] if one["metric"] == "chat.tpot_p50"]
    assert line["held"] == 2


def test_what_is_there_is_not_run_again(
    scenarios: dict[int, Scenario], fitted: RunResult, made: CalibrationResult
) -> None:
    before = folder_bytes(made.folder.parent)
    executor = InProcess()
    run(scenarios, fitted, made.folder.parent, executor)
    assert not executor.ran
    assert folder_bytes(made.folder.parent) == before


class Losing:
    """Loses the samples that it is told to."""

    def __init__(self, lost: set[str]) -> None:
        self.lost = lost

    def map(self, work: Work, tasks: Iterable[Task]) -> Generator[Outcome, None, None]:
        every = list(tasks)
        yield from InProcess().map(work, [t for t in every if t.name not in self.lost])
        for name in sorted(self.lost):
            (task,) = [t for t in every if t.name == name]
            yield Outcome(task, failure=Failure("died", "its worker died"))


def test_a_lost_sample_is_named_and_too_few_are_an_error(
    scenarios: dict[int, Scenario], fitted: RunResult, tmp_path: Path
) -> None:
    some = run(scenarios, fitted, tmp_path / "one", Losing({"sample 2"}))
    assert some.manifest["outcome"] == "partial"
    assert some.manifest["failed"] == [{"sample": 2, "reason": "its worker died"}]
    assert some.manifest["samples"] == [1, 3, 4, 5]
    assert some.folder.name.endswith(".partial")
    with pytest.raises(RackplanError, match=r"2 of 5 samples .* fewer than 4: its worker died"):
        run(scenarios, fitted, tmp_path / "two", Losing({"sample 2", "sample 5"}))


def test_over_seeds_the_range_moves_with_the_mean(fitted: RunResult) -> None:
    reference = fitted.metrics["chat.tpot_p50"]
    assert reference.value is not None
    samples = [replace(reference, value=reference.value + d) for d in (-0.001, 0.002)]
    mean = replace(reference, value=reference.value + 0.01)
    found = with_interval(mean, reference, list(samples))
    assert found.calibration_low == pytest.approx(mean.value - 0.001)
    assert found.calibration_high == pytest.approx(mean.value + 0.002)
    # A share is no more than 1, whatever the range.
    good = fitted.metrics["chat.goodput_fraction"]
    high = with_interval(replace(good, value=0.99), replace(good, value=0.9), [good, good])
    assert high.calibration_high == 1.0
    # What one sample cannot measure has no range.
    lost = with_interval(mean, reference, [*samples, replace(reference, value=None)])
    assert lost.calibration_low is None
