"""Results over several seeds and studies for the tests of pages, made in this process."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sim.engine.api import load_scenario
from sim.study.here import InThisProcess
from sim.study.points import load_study
from sim.study.seeds import run_seeds
from sim.study.sweep import run_study
from sim.study.sweep_files import save
from tests.dashboard.conftest import SCENARIO

#: A front of two objectives over numbers, a range with a log scale and words.
TWO_GOALS = """\
# Which of these is worth having?
rackplan: 1
kind: study
name: two-goals
base: base.yaml
axes:
  pools[chat].replicas: [2, 4]
  workload[chat].rate: {from: 10 /s, to: 60 /s, scale: log}
  policies.routing: [{kind: round-robin}, {kind: least-outstanding-tokens}]
sampling: {kind: latin-hypercube, points: 6, seed: 1}
seeds: 2
objectives:
  - {minimise: chat.ttft_p99}
  - {minimise: energy_per_output_token}
constraints: [peak_draw_w <= 15.2 kW]
"""
#: One axis, one objective, a baseline and probabilities.
ONE_AXIS = """\
# How many replicas are enough?
rackplan: 1
kind: study
name: one-axis
base: base.yaml
axes:
  pools[chat].replicas: {from: 1, to: 4, step: 1}
seeds: 3
metrics: [peak_draw_w]
probabilities: [chat.ttft_p99 > 40 ms]
objective: {minimise: chat.ttft_p99}
constraints: [chat.goodput_fraction >= 90 %]
baseline:
  set:
    pools[chat].replicas: 4
"""


def make_seeds(root: Path, seeds: Sequence[int], sets: Sequence[str] = ()) -> str:
    """Run conftest's scenario under seeds into ``root``; the name of the folder of them all."""
    file = root.parent / "tiny.yaml"
    file.write_text(SCENARIO)
    scenario = load_scenario(file, sets=[*sets, "duration=15 s"])
    return run_seeds(scenario, seeds, InThisProcess(), out=root, engine="compiled").folder.name


def make_study(root: Path, text: str, sets: Sequence[str] = ()) -> str:
    """Run a study of conftest's scenario into ``root``; the name of its folder."""
    (root.parent / "base.yaml").write_text(SCENARIO.replace("duration: 30 s", "duration: 10 s"))
    file = root.parent / "study.yaml"
    file.write_text(text)
    study = load_study(file, sets=sets)
    return save(run_study(study, InThisProcess(), out=root, engine="compiled"), root).name
