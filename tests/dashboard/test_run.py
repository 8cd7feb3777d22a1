"""The page Run: editing, checking, starting, watching, cancelling, opening."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from dashboard import jobs
from dashboard.drafts import look
from dashboard.frames.run import effect_rows
from dashboard.listing import list_results
from dashboard.load import read_view
from sim.errors import RackplanError
from sim.results.result import open_run
from sim.results.wording import shown
from tests.dashboard.conftest import SCENARIO, damage, table, texts
from tests.dashboard.hostile import BEACON, markup
from tests.dashboard.test_jobs import LONG, SAID, ended, leftovers, root, until

__all__ = ["root"]  # the fixture

App = Callable[..., AppTest]


def edit(page: AppTest, text: str) -> AppTest:
    page.text_area[0].input(text).run()
    assert not page.exception
    return page


def codes(page: AppTest) -> str:
    return "\n".join(code.value for code in page.code)


def test_it_starts_from_the_chosen_run(app: App, made: Path) -> None:
    page = app(made, "run", run="over-budget")
    assert not page.exception
    assert page.selectbox(key="from").value == "the chosen run"
    assert "budget: 15 kW" in page.text_area[0].value
    assert page.number_input[0].value == 0
    assert "✓ tiny: 40.0 s simulated, 32 GPUs" in texts(page)
    assert not page.button(key="start").disabled
    assert "Nothing yet. Change a value above; this shows the lines that differ." in texts(page)


def test_without_any_run_it_starts_from_a_shipped_scenario(app: App, tmp_path: Path) -> None:
    page = app(tmp_path, "run")
    assert not page.exception
    assert page.selectbox(key="from").value == "shipped: quickstart.yaml"
    assert "the chosen run" not in page.selectbox(key="from").options
    assert any(text.startswith("✓ quickstart: ") for text in texts(page))


def test_a_file_under_the_root_can_be_started_from(app: App, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(SCENARIO + "seed: 7\n")
    page = app(tmp_path, "run", **{"from": "file: mine.yaml"})
    assert page.text_area[0].value == SCENARIO + "seed: 7\n"
    assert page.number_input[0].value == 7


def test_all_problems_are_told_with_their_places(app: App, made: Path) -> None:
    page = app(made, "run", run="complete")
    text = page.text_area[0].value
    bad = text.replace("rate: 20 /s", "rate: 20").replace("replicas: 4", "replicas: four")
    edit(page, bad)
    assert "✕ 2 problems" in texts(page)
    assert page.button(key="start").disabled
    said = " ".join(codes(page).split())
    assert "pools[0].replicas" in said
    assert "workload[0].rate" in said
    assert "edited.yaml:" in said
    assert said.count("^") == 2
    edit(page, text)
    assert not page.button(key="start").disabled


def test_what_was_changed_is_shown_as_lines(app: App, made: Path) -> None:
    page = app(made, "run", run="complete")
    edit(page, page.text_area[0].value.replace("rate: 20 /s", "rate: 25 /s"))
    lines = page.code[-1].value.splitlines()
    assert [line for line in lines if line[0] in "+-"][2:] == ["-  rate: 20 /s", "+  rate: 25 /s"]


@pytest.mark.parametrize(
    "text",
    ["!!python/object/apply:os.system ['touch FOLDER/pwned']", "extends: /etc/passwd\n",
     f"name: {BEACON!r}\nrackplan: 1\n", f"{SCENARIO}x: '{BEACON}'\n", "x" * (10 << 20), "",
     SCENARIO.replace("source:", "trace: ../../x\n    source:")],
    ids=["tag", "passwd", "name", "key", "10 MB", "empty", "trace"],
)  # fmt: skip
def test_crafted_text_in_the_editor_is_only_text(app: App, tmp_path: Path, text: str) -> None:
    page = edit(app(tmp_path, "run"), text.replace("FOLDER", str(tmp_path)))
    assert not (tmp_path / "pwned").exists()
    assert markup(page) == []
    assert page.button(key="start").disabled
    assert any(text.startswith("✕ ") for text in texts(page))
    assert "root:x:0" not in codes(page)


def test_a_changed_run_is_started_watched_and_compared(app: App, made: Path, root: Path) -> None:
    """Two sessions: what one has started, the other finds."""
    import shutil

    shutil.copytree(made / "complete", root / "complete")
    page = app(root, "run", run="complete")
    faster = page.text_area[0].value.replace("rate: 20 /s", "rate: 200 /s")
    edit(page, faster.replace("duration: 30 s", "duration: 10 min"))
    page.button(key="start").click().run()
    assert not page.exception
    other = app(root, "run", run="complete")
    (job,) = jobs.jobs(root)
    if job.live:  # else it was quicker than two pages on a busy machine
        assert page.button(key="start").disabled
        assert "tiny, seed 0: running" in texts(page)
        assert "tiny, seed 0: running" in texts(other)
        assert os.getsid(job.pid) == job.pid != os.getsid(0)  # it outlives the server
    job = until(root, ended)
    other.run()
    assert not other.exception
    assert "tiny, seed 0: done" in texts(other)
    assert job.state == jobs.DONE
    assert job.result == job.target
    assert "Results: " in job.answer()
    assert leftovers(root) == []
    before, after = open_run(root / "complete"), open_run(root / job.result)
    rows = {row["metric"]: row for row in table(other, 0)}
    for name in ("goodput_per_s", "peak_draw_w", "chat.ttft_p99"):
        assert rows[name]["before"] == shown(before.metrics[name])
        assert rows[name]["after"] == shown(after.metrics[name])
        assert rows[name]["what it is"] == after.metrics[name].definition.definition
    grown = after.metrics["goodput_per_s"].value / before.metrics["goodput_per_s"].value
    assert grown > 5.0
    assert any("One seed each: no interval can be given." in text for text in texts(other))
    other.selectbox(key="from").select("what was run last").run()
    assert "rate: 200 /s" in other.text_area[0].value
    links = [link.proto for link in other.get("page_link")]
    (opened,) = (link for link in links if link.label == "Open its result")
    assert f"run={job.result}" in opened.query_string


def test_a_run_is_cancelled_from_the_page(app: App, root: Path) -> None:
    page = edit(app(root, "run"), LONG)
    page.button(key="start").click().run()
    until(root, lambda job: job.simulated_s > 0.0)
    page.run()
    assert any("of 300 d simulated" in text for text in texts(page))
    found = look(SCENARIO, root)
    with pytest.raises(RackplanError, match="tiny is running already; one run at a time"):
        jobs.start(root, SCENARIO, found, 1, "", "")
    page.button(key="cancel").click().run()
    assert not page.exception
    job = until(root, ended)
    page.run()
    assert job.state == jobs.STOPPED
    assert open_run(root / job.result).outcome == "partial"
    assert job.messages().startswith("stopped; what there is: ")
    assert leftovers(root) == []
    assert "tiny, seed 1: stopped, kept as partial" in texts(page)
    assert not page.button(key="start").disabled
    assert job.result in texts(page)


def test_messages_of_a_failed_run_are_text(app: App, made: Path, tmp_path: Path) -> None:
    folder = tmp_path / ".jobs" / "job-aaaaaaaa"
    folder.mkdir(parents=True)
    (folder / "job.json").write_text(json.dumps({**SAID, "scenario": BEACON}))
    (folder / "messages.txt").write_text(BEACON)
    page = app(tmp_path, "run")
    assert not page.exception
    assert f"{BEACON}, seed 1: failed" in texts(page)
    assert BEACON in codes(page)
    assert markup(page) == []


def test_a_run_that_kept_no_scenario_says_so(app: App, runs: Path) -> None:
    damage(runs, lambda manifest: manifest.pop("written"))
    page = app(runs, "run", run="complete")
    assert not page.exception
    assert "There is nothing to start from" in texts(page)
    page.selectbox(key="from").select("shipped: quickstart.yaml").run()
    assert not page.exception
    assert "There is nothing to start from" not in texts(page)


def test_a_partial_and_an_idle_run_can_be_started_from(app: App, made: Path) -> None:
    for name in ("stopped.partial", "idle", "summary"):
        page = app(made, "run", run=name)
        assert not page.exception
        assert any(text.startswith("✓ tiny: ") for text in texts(page))


def test_changes_are_in_percent_points_or_the_metrics_own_unit(made: Path) -> None:
    listing = list_results(made)
    before, after = read_view(listing, "complete"), read_view(listing, "over-budget")
    rows = {row["metric"]: row for row in effect_rows(before, after)}
    assert rows["goodput_fraction"]["change"] == "none"
    over = after.metrics["over_budget_s"].value
    assert over is not None
    assert rows["over_budget_s"]["change"] == f"+{shown(after.metrics['over_budget_s'])}"
    more = effect_rows(before, read_view(listing, "two"))
    two = {row["metric"]: row for row in more}
    assert two["code.ttft_p99"]["before"] == "–"
    assert two["peak_draw_w"]["change"].endswith(" %")
    assert "before" not in effect_rows(None, after)[0]
