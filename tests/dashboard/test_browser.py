"""The dashboard in Chromium: every page is whole, and the journeys of its users lead somewhere."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser, expect
from typer.testing import CliRunner

from dashboard.pages import PAGES
from sim.cli.app import app
from sim.engine.api import load_scenario, run_scenario
from sim.paths import share
from sim.results.parquet import ParquetSink
from tests.dashboard.conftest import SCENARIO, make_run
from tests.dashboard.test_placement import NODES, PLACEMENT, PODS
from tools.browser import can_install, chromium, missing
from tools.window import Window, browser, served

pytestmark = [
    pytest.mark.skipif(
        chromium() is None and not can_install() and not os.environ.get("CI"), reason=missing()
    ),
]
PICTURES = Path(__file__).resolve().parents[2] / "build" / "screenshots"
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
PLAN = """\
rackplan: 1
kind: plan
name: least
base: tiny.yaml
"""


def command(*arguments: str) -> None:
    done = CliRunner().invoke(app, [*arguments])
    assert done.exit_code in (0, 1), done.output


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One result of each kind, and a run that wants to reach out."""
    folder = tmp_path_factory.mktemp("browsed") / "runs"
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
    return folder


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


@pytest.fixture(scope="module")
def url(root: Path) -> Iterator[str]:
    with served(root) as address:
        yield address


@pytest.fixture(scope="module")
def opened() -> Iterator[Browser]:
    with browser() as one:
        yield one


@pytest.fixture
def window(opened: Browser, url: str) -> Iterator[Window]:
    """A tab; whatever was done in it, nothing may have failed."""
    tab = Window(opened, url)
    yield tab
    assert tab.exceptions() == []
    assert tab.errors == []
    assert [asked for asked in tab.requested if not asked.startswith((url, "data:", "blob:"))] == []
    tab.close()


def asked(window: Window) -> dict[str, list[str]]:
    return parse_qs(urlsplit(window.page.url).query)


@pytest.mark.parametrize(
    ("size", "theme"), [((1280, 720), "light"), ((1920, 1080), "dark")], ids=["small", "large"]
)
def test_every_page_is_whole(opened: Browser, url: str, size: tuple[int, int], theme: str) -> None:
    tab = Window(opened, url, size, theme)
    tab.open(run="braked")
    for name, title in PAGES:
        if title != "Overview":
            tab.menu(title)
        where = f"{title} at {size[0]} × {size[1]}"
        assert tab.exceptions() == [], where
        assert tab.errors == [], where
        assert tab.overflow()[0] <= 0, f"{where} is wider than its window"
        assert tab.page.get_by_test_id("stVegaLiteChart").count() == tab.page.locator(
            '[data-testid="stVegaLiteChart"] :is(svg, canvas)'
        ).count(), where  # fmt: skip
        tab.picture(PICTURES / f"{name}-{size[0]}-{theme}.png")
        assert asked(tab).get("run", ["braked"]) == ["braked"], where
    tab.close()


def test_a_deep_link_opens_its_page(window: Window) -> None:
    for name, title in PAGES:
        window.open("" if name == "overview" else name, run="free")
        expect(window.page.locator('[class*="st-key-page-title"]')).to_have_text(title)
        assert asked(window).get("run", ["free"]) == ["free"], title


def test_nothing_of_a_run_reaches_out(window: Window) -> None:
    window.page.on("dialog", lambda dialog: pytest.fail(f"a script ran: {dialog.message}"))
    window.open(run="hostile")
    for _, title in PAGES[1:]:
        window.menu(title)
        assert window.page.locator('[data-testid="stMain"] img[src*="evil"]').count() == 0, title
        assert window.page.locator('[data-testid="stMain"] a[href*="evil"]').count() == 0, title
        assert window.page.locator('a[href^="javascript:"]').count() == 0, title


def test_another_run_is_chosen_and_stays_chosen(window: Window) -> None:
    window.open()
    assert "Objectives missed" in window.text()
    window.page.get_by_role("combobox", name="Run", exact=True).click()
    window.after(lambda: window.page.get_by_role("option", name="free", exact=True).click())
    assert "Objectives met" in window.text()
    assert asked(window)["run"] == ["free"]
    window.menu("Placement")
    assert asked(window)["run"] == ["free"]
    window.page.go_back()
    expect(window.page.locator('[class*="st-key-page-title"]')).to_have_text("Overview")
    assert asked(window)["run"] == ["free"]


def test_back_leads_off_a_page_that_has_many_choices(window: Window) -> None:
    window.open(run="free")
    window.menu("Latency")
    window.page.wait_for_function("() => new URL(location).searchParams.has('tail')")
    assert asked(window)["measure"] == ["TTFT"]
    before = window.page.evaluate("history.length")
    window.menu("Power")
    window.page.wait_for_function("() => new URL(location).searchParams.has('node')")
    # The step to the page, and one that fills in all that is chosen there.
    assert window.page.evaluate("history.length") == before + 2
    for _ in range(2):
        window.page.go_back()
    expect(window.page.locator('[class*="st-key-page-title"]')).to_have_text("Latency")
    assert asked(window)["tail"] == ["False"]


def test_charts_come_as_numbers_and_pictures(window: Window, tmp_path: Path) -> None:
    window.open(run="braked")
    for kind, begins in (("CSV", b"t_s,"), ("SVG", b"<svg"), ("PNG", b"\x89PNG")):
        with window.page.expect_download() as waiting:
            window.page.get_by_role("button", name=kind, exact=True).last.click()
        file = tmp_path / f"draw.{kind.lower()}"
        waiting.value.save_as(file)
        assert waiting.value.suggested_filename == f"braked-draw.{kind.lower()}"
        assert file.read_bytes().startswith(begins)
    assert len((tmp_path / "draw.csv").read_text().splitlines()) > 20
    assert re.search(r"budget 80(\.0)? kW", (tmp_path / "draw.svg").read_text())


def test_a_run_that_is_made_again_is_shown_as_it_is_now(window: Window, root: Path) -> None:
    shutil.copytree(root / "free", root / "again")
    window.open(run="again")
    assert "Objectives met" in window.text()
    for part in ("manifest.json", "metrics.json", "summary", "replicas", "power_nodes", "events",
                 "power", "requests", "decisions", "controllers", "over_limit"):  # fmt: skip
        here, there = root / "again" / part, root / "braked" / part
        if there.is_dir():
            shutil.rmtree(here)
            shutil.copytree(there, here)
        else:
            shutil.copy(there, here)
    window.open(run="again")
    assert "Objectives missed" in window.text()
    shutil.rmtree(root / "again")
