"""Predictions beside measurements: those that ship are what the product says today."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from sim import paths
from sim.cli.app import app
from sim.errors import ResultError
from sim.perf.calibration import read_tree
from sim.perf.stacks import FILE
from sim.results.result import open_run
from sim.validate.points import METRICS, Point, read_points, shipped, write_manifest
from sim.validate.runs import Layout, Run, stack_for
from sim.validate.serving import Evaluator


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(paths.data("validation"), tmp_path / "validation"))


def run_of(point: Point) -> Run:
    """The measured run of a point, as the public table has it."""
    names = {"TP": "tensor_parallel", "PP": "pipeline_parallel", "EP": "expert_parallel"}
    layout = Layout(**{names[n]: int(v) for n, v in re.findall(r"(TP|PP|EP) (\d+)", point.layout)})
    origin = "inferencex" if "inferencex" in point.stack else "nvidia"
    return Run(
        point.file, point.line, point.llm, point.gpu, point.precision, layout, point.stack, origin,
        point.input_tokens, point.output_tokens, point.clients, point.values["ttft"][1],
        point.values["tpot"][1], None,
    )  # fmt: skip


def test_the_shipped_points_are_whole() -> None:
    found = shipped()
    assert len(found.points) == 1059
    held = [p for p in found.points if p.kind == "seen stack, held out"]
    assert (len(held), sum(p.in_fit for p in found.points)) == (386, 524)
    assert {p.inside for p in held} == {True}
    # The errors of that half are of the size that the record has for such runs.
    recorded = read_tree(*FILE)["errors"]["seen stack"]
    for metric in METRICS:
        off = [abs(p.values[metric][0] / p.values[metric][1] - 1) for p in held]
        assert np.median(off) == pytest.approx(recorded[metric][0], rel=0.15)
    # Exactly those are held out which the fits left.
    for point in (p for p in found.points if p.stack == "vllm-0.12-bf16"):
        assert run_of(point).held_out != point.in_fit


def test_the_shipped_predictions_are_those_of_today() -> None:
    """If this fails after a fit or a change of the engine: validate again (docs/validation.md)."""
    cheap = [p for p in shipped().points if p.clients is not None and p.clients <= 8
             and p.output_tokens <= 256 and "attention" not in p.layout]  # fmt: skip
    chosen = {point.stack: point for point in cheap}
    assert len(chosen) >= 3
    evaluator = Evaluator()
    for point in chosen.values():
        run = run_of(point)
        outcome = evaluator.outcome(run, stack_for(run))
        for metric, predicted in zip(METRICS, outcome.predicted, strict=True):
            assert predicted == pytest.approx(point.values[metric][0], rel=1e-4), point


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("0.0165386", "0", "serving.csv:2: tpot of '0' is none that a run measures"),
        ("0.0165386", "inf", "serving.csv:2: tpot of 'inf'"),
        ("0.0165386", "fast", "serving.csv:2: could not convert"),
        ("concurrency", "clients", "serving.csv:2: 'concurrency'"),
    ],
)
def test_a_damaged_cell_is_named(folder: Path, old: str, new: str, message: str) -> None:
    file = folder / "serving.csv"
    file.write_text(file.read_text().replace(old, new, 1))
    with pytest.raises(ResultError, match=re.escape(message)):
        read_points(folder)


@pytest.mark.parametrize(
    "change", [{"every": 0}, {"every": "1"}, {"tables": [1]}, {"versions": 3}, {"kind": "study"},
               {"format": 1}, {"sources": "a"}],
)  # fmt: skip
def test_a_damaged_manifest_is_refused(folder: Path, change: dict[str, object]) -> None:
    file = folder / "manifest.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(ResultError):
        read_points(folder)


def test_links_are_not_followed(folder: Path, tmp_path: Path) -> None:
    (folder / "serving.csv").rename(tmp_path / "away.csv")
    (folder / "serving.csv").symlink_to(tmp_path / "away.csv")
    with pytest.raises(ResultError, match="is a link"):
        read_points(folder)


def test_the_command_leaves_a_folder_that_is_read(tmp_path: Path) -> None:
    own = tmp_path / "own.csv"
    own.write_text(
        "llm,gpu,precision,tensor_parallel,input_tokens,output_tokens,concurrency,ttft_s,tpot_s\n"
        "llama-3.1-8b,h100-sxm,bf16,1,500,20,2,0.05,0.01\n"
    )
    out = tmp_path / "runs" / "mine"
    arguments = ["validate", "--against", str(own), "--out", str(out)]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    found = read_points(out)
    assert (found.tables, found.every, found.sources) == (("own.csv",), 1, ())
    (point,) = found.points
    assert point.values["tpot"][1] == 0.01
    with pytest.raises(ResultError, match="holds predictions beside measurements"):
        open_run(out)
    assert CliRunner().invoke(app, arguments).exit_code == 0  # again, over itself
    (out / "manifest.json").write_text('{"format": 5, "kind": "plan"}')
    refused = CliRunner().invoke(app, arguments)
    assert "holds another result; name another folder" in str(refused.exception)


def test_a_manifest_says_what_was_compared(tmp_path: Path) -> None:
    write_manifest(tmp_path, ["b.csv", "a.csv"], 3)
    found = json.loads((tmp_path / "manifest.json").read_text())
    assert (found["kind"], found["tables"], found["every"]) == ("validation", ["a.csv", "b.csv"], 3)
