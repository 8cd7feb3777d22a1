"""``rackplan sweep`` from the command line: output, JSON, exit codes, Ctrl-C."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from sim.cli.check import check
from sim.cli.compare import compare
from sim.cli.sweep import sweep
from sim.cli.sweep_table import WIDTH
from sim.errors import RackplanError, ScenarioError
from tests.unit.study.studies import SMALL, study_file
from tests.unit.study.works import InProcess

app = typer.Typer()
for command in (sweep, check, compare):
    app.command(command.__name__)(command)

#: What only the test's own scenario adds to ``SMALL``: something that can trip, and long enough.
TRIPPABLE = ["--set", "power={ups: [{name: u, rating: 100 kW, product: galaxy-vxl}]}"]
LONG = ["--set", "duration=130 s", "--set", "warm_up=0 s"]


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small study in an empty folder; it is run in this process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sim.study.local.LocalExecutor", lambda jobs, **options: InProcess())
    return study_file(tmp_path)


def rackplan(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def lines_with(text: str, *parts: str) -> list[str]:
    return [line for line in text.splitlines() if all(part in line for part in parts)]


def test_the_tables(study: Path) -> None:
    made = rackplan("sweep", study, *TRIPPABLE, *LONG)
    assert made.exit_code == 0, made.output
    text = made.stdout
    assert max(map(len, text.splitlines())) <= WIDTH
    assert "small: 4 points of" in text
    assert "under seeds 1 and 2, compiled engine; mean ± 95 % over the seeds" in " ".join(
        text.split()
    )
    first = lines_with(text, "1 ", "low", "0 of 2 (0-84 %)")
    assert len(first) == 1
    assert re.search(r"[0-9.]+ ± [0-9.]+ (m?s|kW)", first[0])
    assert "Losses against the same point with pools[chat].replicas=2" in text
    assert re.search(r"workload +e2e p50 +worst 1 min +e2e p99 +worst 1 min +goodput", text)
    (loss,) = lines_with(text, "1 ", "low", "chat")
    assert re.search(r"chat +\+[0-9.]+ ± [0-9.]+ +\+[0-9.]+ ± ", loss)
    (own,) = (line for line in lines_with(text, "low", "chat") if line.startswith("2 "))
    assert own.split()[3] == "0"
    assert "Change of the metrics against the baseline, paired by seed" in text
    assert "time over a budget is not a trip" in " ".join(text.split())
    assert "e2e_p99_loss_worst: no part of the window has enough requests on both sides" in text
    (folder,) = Path("runs").glob("small-*")
    assert f"Results: {folder}, and a folder beside it for each run" in text
    again = rackplan("sweep", study, *TRIPPABLE, *LONG)
    assert again.stdout == text
    assert again.stderr == "8 of 8 runs: already in runs, taken as found\n"


def test_without_devices_a_trip_is_not_modelled(study: Path) -> None:
    made = rackplan("sweep", study, "--seeds", 1)
    assert made.exit_code == 0
    assert len(lines_with(made.stdout, "not modelled")) == 4
    assert "trip probability: no breaker, UPS product or battery is stated" in made.stdout
    assert "0 of 1" not in "".join(lines_with(made.stdout, "low"))[:40]


def test_json(study: Path) -> None:
    made = rackplan("sweep", study, "--json", "--out", "o", *TRIPPABLE)
    content = json.loads(made.stdout)
    assert list(content) == [
        "study", "name", "outcome", "engine", "base", "seeds", "axes", "baseline", "confidence",
        "definitions", "points",
    ]  # fmt: skip
    folder = Path(content.pop("study"))
    assert json.loads((folder / "study.json").read_text()) == content
    assert content["axes"] == ["pools[chat].replicas", "load"]
    assert content["baseline"] == {"pools[chat].replicas": 2}
    assert "time over a budget is none" in " ".join(content["definitions"].values())
    for point in content["points"]:
        assert list(point) == [
            "point", "labels", "metrics", "probabilities", "changes", "losses", "slice_s",
            "expectations", "failed",
        ]  # fmt: skip
        assert list(point["metrics"]) == ["chat.e2e_p50", "chat.goodput_fraction", "peak_draw_w"]
        assert point["metrics"]["peak_draw_w"].keys() >= {"value", "unit", "low", "high", "seeds"}
        assert point["probabilities"]["trips > 0"] == {
            "hits": 0, "runs": 2, "low": 0.0, "high": pytest.approx(0.8419, abs=1e-4), "reason": "",
        }  # fmt: skip
        assert list(point["losses"]["chat"]) == [
            "e2e_p50_loss", "e2e_p50_loss_worst", "e2e_p99_loss", "e2e_p99_loss_worst",
            "goodput_loss", "goodput_loss_worst",
        ]  # fmt: skip
        assert list(point["losses"]["chat"]["e2e_p50_loss"]) == [
            "mean", "low", "high", "highest", "seed", "at_s", "seeds", "reason",
        ]  # fmt: skip


def test_a_failed_run_exits_with_3_and_is_told(
    study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lossy = InProcess(lost=["point 1, seed 2"])
    monkeypatch.setattr("sim.study.local.LocalExecutor", lambda jobs, **options: lossy)
    made = rackplan("sweep", study)
    assert made.exit_code == 3
    told = "Point 1 (pools[chat].replicas 1, load low) failed under seed 2: its worker was killed"
    assert told in " ".join(made.stdout.split())
    last = made.stderr.splitlines()[-1]
    assert last == "point 1, seed 2 failed: its worker was killed by SIGKILL"
    assert lines_with(made.stdout, "Results: runs/small-", ".partial")


def test_a_wrong_point_keeps_everything_from_running(study: Path) -> None:
    study.write_text(SMALL.replace("{from: 1, to: 2, step: 1}", "[1, 0, 5000]"))
    made = rackplan("sweep", study)
    assert isinstance(made.exception, ScenarioError)
    messages = str(made.exception).splitlines()
    assert len(messages) == 2
    assert "small.yaml:7:29: pools[0].replicas: must be at least 1, not 0 (points 3, 4 of 6; " in (
        messages[0] + messages[1]
    )
    assert not Path("runs").exists()
    checked = rackplan("check", study)
    assert checked.exit_code == 2
    assert checked.stderr.splitlines() == messages


def test_check_reads_studies_too(study: Path) -> None:
    found = rackplan("check", study, "tiny.yaml")
    assert (found.exit_code, found.stdout) == (0, f"{study}: ok\ntiny.yaml: ok\n")


def test_compare_says_what_is_lost(study: Path) -> None:
    arguments = ["compare", "tiny.yaml", "tiny.yaml", "--set-b", "pools[chat].replicas=1",
                 "--seeds", 3, "--set", "duration=15 min", "--set", "record=summary"]  # fmt: skip
    made = rackplan(*arguments, "--losses")
    assert made.exit_code == 0, made.output
    assert "Losses of B against A, % of A (goodput: points), ± 95 % over the seeds" in made.stdout
    (row,) = [line for line in made.stdout.splitlines() if re.match(r"chat +\+", line)]
    assert row.count("±") >= 3
    content = json.loads(rackplan(*arguments, "--losses", "--json").stdout)
    loss = content["losses"]["chat"]["e2e_p50_loss"]
    a, b = (content["metrics"]["chat.tpot_p50"][side] for side in "ab")
    assert b > a
    assert loss["low"] < loss["mean"] < loss["high"]
    assert loss["mean"] > 0.0
    worst = content["losses"]["chat"]["e2e_p50_loss_worst"]
    assert worst["mean"] >= loss["mean"] - 0.02
    assert worst["at_s"] % 60.0 == 0.0
    plain = json.loads(rackplan(*arguments, "--json").stdout)
    assert "losses" not in plain


def test_without_dask_or_a_scheduler_it_says_so(
    study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = ["--scheduler", "tcp://127.0.0.1:9"]
    monkeypatch.setitem(sys.modules, "distributed", None)
    made = rackplan("sweep", study, *cluster)
    assert isinstance(made.exception, RackplanError)
    assert "pip install 'rackplan[cluster]'" in str(made.exception)
    assert not Path("runs").exists()


GOALS = """
objective: {minimise: chat.e2e_p50}
constraints: ["chat.goodput_fraction >= 0", peak_draw_w <= 14.8 kW]
"""


def test_the_best_point_is_told(study: Path) -> None:
    study.write_text(SMALL + GOALS)
    made = rackplan("sweep", study)
    assert made.exit_code == 0, made.output
    text = " ".join(made.stdout.split())
    # A second replica draws half a kilowatt more: certain with many requests, not with few.
    assert "Best to minimise chat.e2e_p50: point 2 (pools[chat].replicas 1, load high): " in text
    assert "Not told apart from it: point 1 (paired by seed" in text
    assert re.search(r"  2 +1 +high .* yes +yes\n", made.stdout)
    content = json.loads(rackplan("sweep", study, "--json").stdout)
    assert content["answer"]["best"] == 2
    assert [point["feasible"] for point in content["points"]] == ["yes", "yes", "undecided", "no"]
    assert content["objectives"] == [{"minimise": "chat.e2e_p50"}]


def test_a_front_and_what_the_budget_left(study: Path) -> None:
    goals = "objectives: [{minimise: chat.e2e_p50}, {minimise: peak_draw_w}]\nbudget: {runs: 6}\n"
    study.write_text(SMALL + goals)
    made = rackplan("sweep", study)
    assert made.exit_code == 0, made.output
    text = " ".join(made.stdout.split())
    assert "Front to minimise chat.e2e_p50 and minimise peak_draw_w, by the means (" in text
    assert "Not run (budget): " in text
    assert "2 of 8 runs were not made: the budget is spent" in made.stderr
    assert "or were not made and are not counted" in text


def test_a_page_shows_the_front(study: Path) -> None:
    goals = "objectives: [{minimise: chat.e2e_p50}, {minimise: peak_draw_w}]\n"
    study.write_text(SMALL[: SMALL.index("baseline:")] + goals)
    made = rackplan("sweep", study, "--report", "page.html", "--json")
    assert made.exit_code == 0, made.output
    front = json.loads(made.stdout)["answer"]["front"]
    page = Path("page.html").read_text(encoding="utf-8")
    assert page.count('<tr class="chosen">') == len(front) >= 1
    assert "the front is marked" in page
    assert "chat.e2e_p50 (s)" in page
    assert "<script" not in page
    study.write_text(SMALL[: SMALL.index("baseline:")] + "objective: {minimise: chat.e2e_p50}\n")
    assert rackplan("sweep", study, "--report", "page.html").exit_code == 0
    page = Path("page.html").read_text(encoding="utf-8")
    assert "chat.e2e_p50 along pools[chat].replicas" in page
    assert page.count('<tr class="chosen">') == 1
    assert isinstance(rackplan("sweep", study, "--report", "no/page.html").exception, RackplanError)
