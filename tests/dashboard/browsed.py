"""A folder of results for tests in a browser."""

from __future__ import annotations

import json
import os
from pathlib import Path

from typer.testing import CliRunner

from sim.cli.app import app
from sim.engine.api import load_scenario, run_scenario
from sim.paths import share
from sim.results.parquet import ParquetSink
from tests.dashboard.conftest import SCENARIO, make_run
from tests.dashboard.test_placement import NODES, PLACEMENT, PODS

STUDY = """\
rackplan: 1
kind: study
name: few-points
base: tiny.yaml
axes:
  pools[chat].replicas: [2, 4]
  workload[chat].rate: [15 /s, 30 /s]
seeds: 2
objectives: [{minimise: chat.ttft_p99}, {minimise: energy_per_output_token}]
"""


def command(*arguments: str) -> None:
    """A command of rackplan, in this process."""
    done = CliRunner().invoke(app, [*arguments])
    assert done.exit_code in (0, 1), done.output


def make_results(folder: Path) -> None:
    """One result of each kind, and a run that wants to reach out."""
    scenario = share("scenarios") / "lost-feed.yaml"
    for name, sets in (("free", ("policies.power={kind: none}",)), ("braked", ())):
        checked = load_scenario(scenario, sets=sets)
        run_scenario(checked, 1, sink=ParquetSink(folder / name))
    make_run(folder, "hostile")
    _reach_out(folder / "hostile" / "manifest.json")
    make_run(folder, "stopped", sets=["duration=10 min"], stop_s=20.0)
    beside = folder.parent
    for name, text in (("nodes.csv", NODES), ("pods.csv", PODS), ("few.yaml", PLACEMENT),
                       ("tiny.yaml", SCENARIO), ("study.yaml", STUDY)):  # fmt: skip
        (beside / name).write_text(text)
    run_scenario(load_scenario(beside / "few.yaml"), 1, sink=ParquetSink(folder / "few"))
    command("sweep", str(beside / "study.yaml"), "--out", str(folder), "--jobs", "1")
    os.utime(folder / "braked" / "manifest.json")  # the newest, which is shown first


def _reach_out(manifest: Path) -> None:
    beacon = (
        "![x](http://evil.example/p.png) <img src='http://evil.example/i.png'> "
        "<script>fetch('http://evil.example/s')</script> [go](javascript:alert(1)) www.evil.example"
    )
    content = json.loads(manifest.read_text())
    content["scenario"] = content["resolved"]["name"] = beacon
    content["warnings"] = [beacon]
    for line in content["expectations"]:
        line["text"] = line["reason"] = beacon
    content["definitions"] = dict.fromkeys(content["definitions"], beacon)
    content["sources"] = [beacon]
    content["versions"]["rackplan"] = beacon
    manifest.write_text(json.dumps(content))
