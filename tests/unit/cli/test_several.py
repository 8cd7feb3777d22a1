"""``run --seeds`` and ``compare`` from the command line: output, JSON, exit codes, Ctrl-C."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from sim.cli.compare import compare
from sim.cli.run import run
from sim.cli.seeds_bar import SeedsBar
from sim.cli.show import show
from tests.unit.study.works import InProcess, scenario_file

app = typer.Typer()
for command in (run, show, compare):
    app.command(command.__name__)(command)


@pytest.fixture
def scenario(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tiny scenario in an empty folder; studies run in this process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sim.study.local.LocalExecutor", lambda jobs, **options: InProcess())
    return scenario_file(tmp_path)


def rackplan(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_run_answers_and_show_repeats_the_answer(scenario: Path) -> None:
    made = rackplan("run", scenario, "--seeds", 3, "--seed", 4)
    assert made.exit_code == 0, made.output
    assert max(map(len, made.stdout.splitlines())) <= 100
    for part in (
        "tiny, seeds 4 to 6, compiled engine: 10.0 s simulated under each",
        "± (95 %)",
        "<= 2.00 s yes",
        ">= 99 %",
        "(under 3 of 3 seeds)",
        "The p99 of chat rest on",
        "✓ chat.ttft_p99 <= 2 s",
    ):
        assert part in made.stdout
    names = sorted(path.name for path in Path("runs").iterdir())
    assert [re.sub(r"[0-9a-f]{8}", "#", name) for name in names] == [
        "tiny-#-s4", "tiny-#-s4-6", "tiny-#-s5", "tiny-#-s6",
    ]  # fmt: skip
    shown = rackplan("show", names[1])
    assert (shown.exit_code, shown.stdout) == (0, made.stdout)
    again = rackplan("run", scenario, "--seeds", 3, "--seed", 4)
    assert again.stdout == made.stdout
    assert again.stderr == "seeds 4 to 6: already in runs, taken as found\n"


def test_json_has_the_shape_of_a_run_with_the_interval(scenario: Path) -> None:
    made = rackplan("run", scenario, "--seeds", 2, "--json", "--out", "o")
    content = json.loads(made.stdout)
    assert list(content) == [
        "run", "outcome", "seeds", "failed", "metrics", "expectations", "warnings",
    ]  # fmt: skip
    ttft = content["metrics"]["chat.ttft_p99"]
    assert (ttft["unit"], ttft["seeds"]) == ("s", 2)
    assert ttft["low"] < ttft["value"] < ttft["high"]
    assert content["expectations"][0]["answer"] == "yes"
    shown = rackplan("show", content["run"], "--json")
    assert json.loads(shown.stdout) == content


def test_what_is_undecided_exits_with_1(scenario: Path) -> None:
    undecided = "expect=[chat.goodput_fraction >= 99.9 %]"
    made = rackplan("run", scenario, "--seeds", 2, "--set", undecided)
    assert made.exit_code == 1
    assert "? chat.goodput_fraction >= 99.9 %" in made.stdout
    assert "holds both answers" in made.stdout
    assert "Try next: --seeds 8" in made.stdout


def test_a_failed_seed_exits_with_3_and_the_rest_is_shown(
    scenario: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "sim.study.local.LocalExecutor", lambda jobs, **options: InProcess(lost=["seed 2"])
    )
    made = rackplan("run", scenario, "--seeds", 3)
    assert made.exit_code == 3
    assert "NOT WHOLE" in made.stdout
    assert "Seed 2 failed: its worker was killed by SIGKILL" in made.stdout
    assert "tiny, seeds 1 and 3," in made.stdout
    assert made.stderr == "seed 2 failed: its worker was killed by SIGKILL\n"
    only = rackplan("run", scenario, "--seeds", 2, "--seed", 2, "--set", "duration=9 s")
    assert only.exit_code == 3
    alone = InProcess(lost=["seed 2", "seed 3"])
    monkeypatch.setattr("sim.study.local.LocalExecutor", lambda jobs, **options: alone)
    none = rackplan("run", scenario, "--seeds", 2, "--seed", 2, "--out", "o")
    assert (none.exit_code, none.stdout) == (3, "")
    assert "no seed finished: its worker was killed by SIGKILL" in none.stderr


def test_compare_runs_files_under_the_same_seeds(scenario: Path) -> None:
    made = rackplan(
        "compare", scenario, scenario, "--seeds", 5, "--set-b", "pools[chat].replicas=4"
    )
    assert made.exit_code == 0, made.output
    assert max(map(len, made.stdout.splitlines())) <= 100
    assert "pools[chat].replicas: 2 -> 4" in made.stdout
    assert "differences are real: paired under seeds 1 to 5, 95 %, corrected (Holm)" in made.stdout
    assert re.search(r"mean_draw_w +[0-9.]+ kW +[0-9.]+ kW +\+", made.stdout)
    a, b = sorted(Path("runs").glob("*-s1-5"), key=lambda path: path.stat().st_mtime)
    content = json.loads(rackplan("compare", a.name, b.name, "--json").stdout)
    assert content["seeds"] == [1, 2, 3, 4, 5]
    assert content["scenario"] == [{"path": "pools[chat].replicas", "a": 2, "b": 4}]
    draw = content["metrics"]["mean_draw_w"]
    assert draw["difference"] == pytest.approx(draw["b"] - draw["a"])
    assert draw["low"] < draw["difference"] < draw["high"]
    busy = "pools[chat].busy_fraction"
    alone = rackplan("compare", a.name, b.name, "--metric", busy, "--json")
    assert json.loads(alone.stdout)["metrics"][busy]["verdict"] == "differs"
    only = rackplan("compare", a, scenario, "--metric", "mean_draw_w", "--json")
    assert list(json.loads(only.stdout)["metrics"]) == ["mean_draw_w"]
    assert json.loads(only.stdout)["metrics"]["mean_draw_w"]["verdict"] == "same"
    single = rackplan("compare", f"{a.name.removesuffix('-5')}", f"{b.name.removesuffix('-5')}")
    assert single.exit_code == 0
    assert "not judged" in single.stdout
    assert "nobody can tell a difference from chance" in " ".join(single.stdout.split())


def test_compare_refuses_what_it_cannot_compare(scenario: Path) -> None:
    Path("empty").mkdir()
    for arguments, message in (
        (
            ("nowhere", scenario),
            "there is no run folder or scenario file nowhere (nor runs/nowhere)",
        ),
        (("empty", scenario), "empty has no manifest.json"),
    ):
        found = rackplan("compare", *arguments)
        assert found.exit_code != 0
        assert message in str(found.exception)


def living(group: int) -> list[str]:
    """Processes of a group that are not just waiting to be collected."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(FileNotFoundError, ProcessLookupError):
            state, _, its_group = stat.read_text().rpartition(")")[2].split()[:3]
            if state != "Z" and int(its_group) == group:
                found.append(stat.parent.name)
    return found


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads processes from /proc")
def test_ctrl_c_stops_workers_and_keeps_what_had_finished(tmp_path: Path) -> None:
    file = scenario_file(tmp_path)
    long = ["--set", "duration=60 s"]
    command = [sys.executable, "-c", "from sim.cli import main; main()", "run", str(file),
               "--seeds", "500", "--jobs", "2", *long]  # fmt: skip
    root = Path(__file__).resolve().parents[3]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    process = subprocess.Popen(
        command, cwd=tmp_path, env=environment, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    runs = tmp_path / "runs"
    while not list(runs.glob("*-s1")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert err == "stopped; seeds that had finished are kept: the same command goes on from there\n"
    patience_s = time.monotonic() + 10.0  # multiprocessing's own helper ends a moment later
    while living(process.pid) and time.monotonic() < patience_s:
        time.sleep(0.01)
    assert living(process.pid) == []
    kept = [path.name for path in runs.iterdir()]
    assert 1 <= len(kept) < 500
    assert [n for n in kept if not re.fullmatch(r"tiny-[0-9a-f]{8}-s[0-9]+", n)] == []


def test_the_bar_reckons_with_the_seeds_that_run_now() -> None:
    bar = SeedsBar(4)
    start_s = bar._start_s
    assert bar.left_s(start_s + 10.0) is None
    bar.ended(1, ran=False)
    bar.running(2, 0.01)
    assert bar.left_s(start_s + 10.0) is None
    bar.running(2, 0.5)
    assert bar.left_s(start_s + 10.0) == pytest.approx(50.0)
    bar.ended(2, ran=True)
    assert bar.left_s(start_s + 10.0) == pytest.approx(20.0)
