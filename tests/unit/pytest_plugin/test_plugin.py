"""The pytest plugin, as a project that uses it sees it."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tests.unit.pytest_plugin.conftest import OPTIONS, Session
from tests.unit.study.works import TINY

LINES = """
expect:
  - chat.ttft_p99 <= 2 s
  - chat.ttft_p50 <= 1 ms
  - {better: {"pools[chat].replicas": [4, 1]}, metric: chat.tpot_p50}
"""
BODY = TINY.partition("expect:")[0].replace("replicas: 2", "replicas: 1")


@pytest.fixture
def project(pytester: pytest.Pytester, runs: Path) -> pytest.Pytester:
    """A project of its own with one scenario; runs by the reference engine, few seeds."""
    (pytester.path / "tox.ini").write_text(
        f"[pytest]\nrackplan_seeds = 4\nrackplan_engine = reference\nrackplan_out = {runs}\n"
    )
    (pytester.path / "chat.rackplan.yaml").write_text(BODY + LINES)
    return pytester


def test_every_line_is_a_test_and_a_failure_says_everything(project: pytest.Pytester) -> None:
    """In a process of its own, as its users start it."""
    result = project.runpytest_subprocess(*OPTIONS)
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(
        [
            "*tiny: chat.ttft_p50 <= 1 ms*",
            "chat.rackplan.yaml: missed: chat.ttft_p50 <= 1 ms",
            "chat.ttft_p50 is * ms (* ms to * ms at 95 %), wanted <= 1.00 ms",
            "seeds 1 to 4, in */runs*/tiny-*-s1-4",
            "FAILED chat.rackplan.yaml::chat.ttft_p50 <= 1 ms*",
        ]
    )
    assert "Traceback" not in result.stdout.str()


def test_lines_are_chosen_by_name_and_mark(project: pytest.Pytester, run: Session) -> None:
    run("-k", "ttft_p99").assert_outcomes(passed=1, deselected=2)
    run("-m", "not rackplan").assert_outcomes(deselected=3)
    result = run("--collect-only", "-q")
    result.stdout.fnmatch_lines(
        ["chat.rackplan.yaml::chat.ttft_p99 <= 2 s", "*::chat.tpot_p50: 4 better than 1"]
    )


def test_numbers_are_in_junit_xml(project: pytest.Pytester, run: Session) -> None:
    run("--junitxml=out.xml", "-k", "ttft_p50")
    (case,) = ET.parse(project.path / "out.xml").iter("testcase")
    noted = {p.get("name"): p.get("value") for p in case.iter("property")}
    assert noted["metric"] == "chat.ttft_p50"
    assert noted["answer"] == "no"
    assert float(noted["low"]) < float(noted["value"]) < float(noted["high"])
    assert Path(noted["results"]).is_dir()
    (failure,) = case.iter("failure")
    assert "wanted <= 1.00 ms" in failure.text


def test_a_wrong_scenario_fails_with_its_problems(project: pytest.Pytester, run: Session) -> None:
    file = project.path / "chat.rackplan.yaml"
    file.write_text(BODY.replace("llama-3.1-8b", "lama-3.1-8b") + LINES)
    result = run()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*unknown LLM 'lama-3.1-8b'*did you mean 'llama-3.1-8b'*"])
    assert "Traceback" not in result.stdout.str()
    file.write_text(BODY)
    run().stdout.fnmatch_lines(["*nothing is expected*"])
    (project.path / "tox.ini").write_text("[pytest]\nrackplan_seeds = three\n")
    file.write_text(BODY + LINES)
    run().stdout.fnmatch_lines(["*rackplan_seeds is a whole number from 1 on, not 'three'*"])
    (project.path / "tox.ini").write_text("[pytest]\nrackplan_seeds = 2\n")
    run().stdout.fnmatch_lines(["*rackplan_seeds is 2; a line needs 4 seeds at least*"])


def test_a_variant_that_is_wrong_fails_its_line_alone(
    project: pytest.Pytester, run: Session
) -> None:
    lines = LINES.replace('"pools[chat].replicas": [4, 1]', "policies.routing: [randm, random]")
    (project.path / "chat.rackplan.yaml").write_text(BODY + lines)
    result = run("-k", "ttft_p99 or better")
    result.assert_outcomes(passed=1, failed=1, deselected=1)
    result.stdout.fnmatch_lines(
        ["*chat.rackplan.yaml: chat.tpot_p50: randm better *'randm'*did you mean 'random'*"]
    )


def test_folders_are_collected_where_the_ini_line_says(
    project: pytest.Pytester, run: Session
) -> None:
    folder = project.path / "sites"
    folder.mkdir()
    (folder / "one.yaml").write_text(BODY + "expect: [chat.ttft_p99 <= 2 s]\n")
    (folder / "part.yaml").write_text("name: part\n")
    (folder / "study.yaml").write_text("kind: study\nexpect: [a]\n")
    (project.path / "other.yaml").write_text(BODY + LINES)
    ini = project.path / "tox.ini"
    ini.write_text(ini.read_text() + "rackplan_scenarios = sites\n")
    result = run("--collect-only", "-q")
    result.stdout.fnmatch_lines(["sites/one.yaml::chat.ttft_p99 <= 2 s"])
    assert "other.yaml" not in result.stdout.str()
    assert "part.yaml" not in result.stdout.str()
    assert "study.yaml" not in result.stdout.str()


def test_a_baseline_is_recorded_and_a_change_is_told(
    project: pytest.Pytester, run: Session
) -> None:
    passing = BODY + "expect: [chat.ttft_p99 <= 2 s]\n"
    file = project.path / "chat.rackplan.yaml"
    file.write_text(passing)
    run("--rackplan-update").assert_outcomes(passed=2)
    baseline = project.path / "chat.rackplan.baseline.json"
    content = json.loads(baseline.read_text())
    assert content["seeds"] == [1, 4]
    assert content["metrics"]["chat.ttft_p99"]["unit"] == "s"
    run().assert_outcomes(passed=2)
    file.write_text(passing.replace("rate: 4 /s", "rate: 8 /s"))
    result = run()
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        [
            "*metrics moved by more than 1 % from chat.rackplan.baseline.json*",
            "*ttft_p50: was *more",
        ]
    )
    run("--rackplan-tolerance=500 %").assert_outcomes(passed=2)
    baseline.write_text("{}")
    run("-k", "baseline").stdout.fnmatch_lines(["*is no baseline*--rackplan-update*"])


def test_workers_of_xdist_share_what_was_run(project: pytest.Pytester) -> None:
    result = project.runpytest_subprocess(
        "-p", "no:rackplan", "-p", "sim.pytest_plugin", "-n", "2", "--dist", "loadgroup"
    )
    result.assert_outcomes(passed=2, failed=1)
