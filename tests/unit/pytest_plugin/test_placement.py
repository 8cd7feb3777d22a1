"""Placements as tests: a policy of one's own is held to what it promised, and a slip is caught."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sim.place.read import read_lists
from sim.place.report import report
from sim.policies.base import policies
from tests.unit.place.lists import random_lists, write
from tests.unit.pytest_plugin.conftest import Session

SCENARIO = """
rackplan: 1
kind: placement
name: cluster
nodes: nodes.csv
pods: pods.csv
seed: 1
policies: {placement: {kind: best-fit}}
"""
#: A policy that fills nodes; with the sign of the score turned it spreads pods.
CONFTEST = '''
from dataclasses import dataclass

from sim.policies.base import register


@register("placement", "ours")
@dataclass(frozen=True)
class Ours:
    """Fill what is fullest."""

    @staticmethod
    def score(node, pod, known):
        return pod.request - node.left
'''
OURS = """expect:
  - {better: {policies.placement: [ours, best-fit]}, metric: unallocated_at_90, by: 0.5 points}
"""


@pytest.fixture(scope="module")
def mean(tmp_path_factory: pytest.TempPathFactory) -> float:
    """What best-fit leaves over the first seeds.

    Not in a test itself: pytester forgets what was imported in it, and numba loads only once.
    """
    cluster = read_lists(*write(tmp_path_factory.mktemp("lists"), *random_lists(1)))
    policy = policies("placement")["best-fit"]()
    found = report(cluster, "best-fit", policy, range(1, 5), 1.3, {})
    return float(found.unallocated[:, -1].mean())


@pytest.fixture
def project(pytester: pytest.Pytester, runs: Path) -> pytest.Pytester:
    """A project of its own with lists and one scenario, which a test completes."""
    (pytester.path / "tox.ini").write_text(f"[pytest]\nrackplan_out = {runs}\n")
    write(pytester.path, *random_lists(1))
    return pytester


def expecting(project: pytest.Pytester, lines: str) -> None:
    (project.path / "cluster.rackplan.yaml").write_text(SCENARIO + lines)


def test_lines_pass_fail_or_stay_undecided(
    project: pytest.Pytester, run: Session, mean: float
) -> None:
    assert 0.0 < mean < 0.1
    better = "{better: {policies.placement: [fgd, best-fit]}, metric: unallocated"
    lines = ["placed >= 100", "unallocated <= 0.1 %", f"unallocated <= {mean:.6f}",
             f"{better}, by: 10 %}}", f"{better}, by: 9 points}}"]  # fmt: skip
    expecting(project, f"expect: [{', '.join(lines)}]")
    result = run("--rackplan-seeds=4")
    result.assert_outcomes(passed=1, failed=4)
    result.stdout.fnmatch_lines(
        [
            "cluster.rackplan.yaml: missed: unallocated <= 0.1 %",
            "unallocated is * % (* % to * % at 95 %), wanted <= 0.1 %",
            "seeds 1 to 4, in */runs*/cluster-*-s1-4",
            f"*undecided, which is no proof that it is met: unallocated <= {mean:.6f}",
            "*undecided, which is no *: unallocated: fgd better than best-fit by 10 %",
            "*missed: unallocated: fgd better than best-fit by 9 points",
        ]
    )
    assert "Traceback" not in result.stdout.str()


def test_a_regression_of_a_policy_is_caught(project: pytest.Pytester, run: Session) -> None:
    """Although there are results of the policy as it was, of the same name and scenario."""
    expecting(project, OURS)
    conftest = project.path / "conftest.py"
    conftest.write_text(CONFTEST)
    run().assert_outcomes(passed=1)
    conftest.write_text(CONFTEST.replace("pod.request - node.left", "node.left - pod.request"))
    result = run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "*missed: unallocated_at_90: ours better than best-fit by 0.5 points",
            "first * %, second * %; the first less the second plus 0.5 points, paired by seed, is "
            "* % (* % to * % at * %), wanted below 0",
            "4 seeds, in:",
        ]
    )


def test_a_baseline_tells_of_a_list_that_changed(project: pytest.Pytester, run: Session) -> None:
    expecting(project, "expect: [placed >= 100]\n")
    run("--rackplan-update").assert_outcomes(passed=2)
    content = json.loads((project.path / "cluster.rackplan.baseline.json").read_text())
    assert {"unallocated", "fragmentation", "failed_gpu"} < set(content["metrics"])
    pods = project.path / "pods.csv"
    pods.write_text(pods.read_text().replace(",12000,24000,", ",24000,24000,"))
    result = run()
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*metrics moved by more than 1 %*", "*failed_cpu: was *more"])


def test_lists_outside_of_the_folder_are_refused(project: pytest.Pytester, run: Session) -> None:
    """``tests/scenarios`` has one that may lead there."""
    inner = project.path / "inner"
    inner.mkdir()
    text = SCENARIO.replace("nodes: ", "nodes: ../").replace("pods: ", "pods: ../")
    (inner / "cluster.rackplan.yaml").write_text(text + "expect: [placed >= 100]\n")
    result = run()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*'../nodes.csv' leads out of the scenario's folder*"])
