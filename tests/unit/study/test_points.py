"""The grid of a study: its points in order, with what each sets."""

from __future__ import annotations

from pathlib import Path

import pytest

import sim
from sim.errors import ScenarioError
from sim.spec.study import TRIP, is_study
from sim.study.points import load_study
from tests.unit.study.studies import SMALL, study_file

AXES = SMALL[SMALL.index("axes:") : SMALL.index("seeds:")]


def study_of(folder: Path, axes: str) -> Path:
    return study_file(folder, SMALL.replace(AXES, f"axes:\n{axes}"))


def test_the_grid(tmp_path: Path) -> None:
    file = study_file(tmp_path)
    study = load_study(file)
    assert study.axes == ("pools[chat].replicas", "load")
    assert [point.labels for point in study.points] == [
        (1, "low"), (1, "high"), (2, "low"), (2, "high"),
    ]  # fmt: skip
    assert [point.number for point in study.points] == [1, 2, 3, 4]
    assert [point.scenario.pools[0].replicas for point in study.points] == [1, 1, 2, 2]
    assert [point.scenario.drain_s for point in study.points] == [300.0, 60.0, 300.0, 60.0]
    assert [point.baseline.pools[0].replicas for point in study.points] == [2] * 4
    rates = [point.baseline.resolved["workload"][0]["rate_per_s"]
             for point in study.points]  # fmt: skip
    assert rates == [4.0, 8.0, 4.0, 8.0]
    assert study.seeds == (1, 2)
    assert [line.text for line in study.chances] == [
        TRIP, "arrivals > 40", "chat.goodput_fraction >= 0",
    ]  # fmt: skip
    assert study.label(study.points[1]) == "pools[chat].replicas 1, load high"
    # What a point runs is what --set would run.
    alone = sim.load_scenario(tmp_path / "tiny.yaml", sets=["pools[chat].replicas=1"])
    assert study.points[0].scenario.resolved == alone.resolved


def test_sets_change_the_base_and_axes_win(tmp_path: Path) -> None:
    sets = ["duration=20 s", "pools[chat].replicas=8", "seed=5"]
    study = load_study(study_file(tmp_path), sets=sets, seeds=3)
    assert study.seeds == (5, 6, 7)
    assert {point.scenario.duration_s for point in study.points} == {20.0}
    assert {point.scenario.pools[0].replicas for point in study.points} == {1, 2}


@pytest.mark.parametrize(
    ("axis", "labels"),
    [
        ("drain: {from: 0.5 min, to: 1.5 min, step: 0.25 min}",
         ["0.50 min", "0.75 min", "1.00 min", "1.25 min", "1.50 min"]),
        ("pools[chat].replicas: {from: 4, to: 1, step: -1}", [4, 3, 2, 1]),
        ("workload[chat].priority: [high, 3, low]", ["high", 3, "low"]),
        ("policies.routing: [{kind: random}, {kind: round-robin}]", ["random", "round-robin"]),
        ("policies.power: [{kind: none}, {kind: polca, watch: rack}]", ["none", "polca"]),
        ("record: [{level: full}, {level: full, iterations: true}]",
         ["{level: full}", "{level: full, iterations: true}"]),
        ("pools[chat].prefix_cache: [true, false]", ["true", "false"]),
    ],
)  # fmt: skip
def test_levels_have_labels(tmp_path: Path, axis: str, labels: list[object]) -> None:
    study = load_study(study_of(tmp_path, f"  {axis}\n"))
    assert [point.labels[0] for point in study.points] == labels


def test_a_range_of_numbers_has_no_rounding(tmp_path: Path) -> None:
    axis = "  warm_up: {from: 0.1 s, to: 0.3 s, step: 0.1 s}\n"
    study = load_study(study_of(tmp_path, axis))
    assert [point.scenario.warm_up_s for point in study.points] == [0.1, 0.2, 0.3]


def test_a_study_in_a_folder_of_studies_reaches_the_folder_above(tmp_path: Path) -> None:
    study_file(tmp_path)
    for name, fine in (("studies", True), ("elsewhere", False)):
        folder = tmp_path / name
        folder.mkdir()
        file = folder / "small.yaml"
        file.write_text(SMALL.replace("tiny.yaml", "../tiny.yaml"))
        if fine:
            assert len(load_study(file).points) == 4
            continue
        with pytest.raises(ScenarioError, match="leads out of the study's folder"):
            load_study(file)
        assert len(load_study(file, allow_outside=True).points) == 4


def test_what_is_a_study(tmp_path: Path) -> None:
    file = study_file(tmp_path)
    assert is_study(file)
    assert not is_study(tmp_path / "tiny.yaml")
    assert not is_study(tmp_path / "absent.yaml")
    with pytest.raises(ScenarioError, match="this is a study of many runs, not a scenario"):
        sim.load_scenario(file)
