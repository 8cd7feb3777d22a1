"""The dashboard in Chromium: every page is whole, and the journeys of its users lead somewhere."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser, TimeoutError, expect

from dashboard.pages import PAGES
from tests.dashboard.browsed import make_results
from tools.browser import can_install, chromium, missing
from tools.window import Window, browser, served

pytestmark = [
    pytest.mark.skipif(
        chromium() is None and not can_install() and not os.environ.get("CI"), reason=missing()
    ),
]
PICTURES = Path(__file__).resolve().parents[2] / "build" / "screenshots"
#: How long a page may take to say what is waited for.
MOST_MS = 30_000


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One result of each kind, and a run that wants to reach out."""
    folder = tmp_path_factory.mktemp("browsed") / "runs"
    make_results(folder)
    return folder


@pytest.fixture(scope="module")
def url(root: Path) -> Iterator[str]:
    with served(root) as address:
        yield address


@pytest.fixture(scope="module")
def opened() -> Iterator[Browser]:
    with browser() as one:
        yield one


@pytest.fixture(scope="module")
def used(opened: Browser, url: str) -> Iterator[Window]:
    """A browser that keeps what it loaded."""
    one = Window(opened, url)
    yield one
    one.close()


@pytest.fixture
def window(used: Window, url: str) -> Iterator[Window]:
    """A new tab; whatever was done in it, nothing may have failed."""
    used.another_tab()
    yield used
    assert used.exceptions() == []
    assert used.errors == []
    assert [
        asked for asked in used.requested if not asked.startswith((url, "data:", "blob:"))
    ] == []


def asked(window: Window) -> dict[str, list[str]]:
    return parse_qs(urlsplit(window.page.url).query)


def choose(window: Window, label: str, name: str) -> None:
    """Choose in a box; a page that is still being put may close its list once."""
    option = window.page.get_by_role("option", name=name, exact=True)
    for _ in range(5):
        window.page.get_by_role("combobox", name=label, exact=True).click()
        try:
            option.click(timeout=5_000)
            return
        except TimeoutError:
            window.page.keyboard.press("Escape")
    pytest.fail(f"{label} never offered {name}")


def check_whole(tab: Window, name: str, size: tuple[int, int], theme: str) -> None:
    """A page has all that it should, and no more than fits; its picture is kept."""
    where = f"{name} at {size[0]} × {size[1]}"
    assert tab.exceptions() == [], where
    assert tab.errors == [], where
    assert tab.overflow()[0] <= 0, f"{where} is wider than its window"
    assert tab.page.get_by_test_id("stVegaLiteChart").count() == tab.page.locator(
        '[data-testid="stVegaLiteChart"] :is(svg, canvas)'
    ).count(), where  # fmt: skip
    tab.picture(PICTURES / f"{name}-{size[0]}-{theme}.png")
    assert asked(tab).get("run", ["braked"]) == ["braked"], where


def test_every_page_is_whole(opened: Browser, url: str) -> None:
    tab = Window(opened, url)
    tab.open(run="braked")
    for name, title in PAGES:
        if title != "Overview":
            tab.menu(title)
        check_whole(tab, name, (1280, 720), "light")
    tab.close()


def test_a_deep_link_opens_its_page_whole_on_a_large_dark_screen(opened: Browser, url: str) -> None:
    tab = Window(opened, url, (1920, 1080), "dark")
    for name, title in PAGES:
        tab.open("" if name == "overview" else name, run="braked")
        expect(tab.page.locator('[class*="st-key-page-title"]')).to_have_text(title)
        check_whole(tab, name, (1920, 1080), "dark")
    tab.close()


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
    window.after(lambda: choose(window, "Run", "free"))
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
    expect(window.page.get_by_role("button", name="CSV", exact=True)).to_have_count(2)
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


def wait_for(window: Window, text: str) -> None:
    """Until a text is on the page; nothing may have failed by then."""
    expect(window.page.get_by_test_id("stMain")).to_contain_text(text, timeout=MOST_MS)
    assert window.exceptions() == []


def test_the_time_is_dragged_and_goes_along(window: Window) -> None:
    window.open("floor", run="braked", t="0:30")
    window.page.locator('[aria-label^="row-2-rack-1:"]').first.click(force=True)
    wait_for(window, "Replicas of row-2-rack-1")
    slider = window.page.get_by_role("slider", name="Simulated time")
    slider.focus()
    for _ in range(14):
        slider.press("ArrowRight")
    wait_for(window, "Nodes of row-2-rack-1, 1:40")
    assert asked(window)["t"] == ["1:40"]
    window.picture(PICTURES / "journey-floor.png")
    window.menu("Power")
    wait_for(window, "highest draw at 1:40")
    assert asked(window)["run"] == ["braked"]
    window.page.locator('path[aria-label^="ups-a:"]').first.click(force=True)
    wait_for(window, "ups-a: mean and peak")
    window.picture(PICTURES / "journey-power.png")


def test_the_floor_plays_and_stops_where_it_is(window: Window) -> None:
    window.open("floor", run="braked", t="0:00")
    window.page.get_by_role("button", name="Play", exact=True).click()
    expect(window.page.get_by_role("button", name="Stop", exact=True)).to_be_visible()
    window.page.wait_for_function(
        """() => { const slider = document.querySelector('input[type="range"], [role="slider"]');
             return +(slider.value ?? slider.getAttribute('aria-valuenow')) >= 3; }"""
    )
    window.page.get_by_role("button", name="Stop", exact=True).click()
    expect(window.page.get_by_role("button", name="Play", exact=True)).to_be_visible()
    window.page.wait_for_function("() => new URL(location).searchParams.get('t') !== '0:00'")
    window.page.wait_for_timeout(1500)  # a step that was on its way is the last one
    stopped = asked(window)["t"]
    window.page.wait_for_timeout(1500)
    assert asked(window)["t"] == stopped
    wait_for(window, f", {stopped[0]}")


def test_why_requests_missed_is_followed_to_one_of_them(window: Window) -> None:
    window.open("latency", run="braked")
    wait_for(window, "Main cause: TTFT")
    window.page.locator('path[aria-label*="cause: TTFT"]').first.click(force=True)
    window.page.wait_for_function("() => new URL(location).searchParams.get('cause') === 'ttft'")
    table = window.page.locator('[class*="st-key-worst-table-0-ttft"]').get_by_test_id(
        "stDataFrame"
    )
    table.scroll_into_view_if_needed()
    box = table.bounding_box()
    assert box is not None
    window.page.mouse.click(box["x"] + 17, box["y"] + 50)
    wait_for(window, "of chat")
    window.page.wait_for_function("() => new URL(location).searchParams.has('request')")
    window.picture(PICTURES / "journey-latency.png")


def test_two_runs_are_compared(window: Window) -> None:
    window.open("compare", a="free", b="braked")
    wait_for(window, "one seed each")
    wait_for(window, "kind: polca")  # the difference of the scenarios
    window.picture(PICTURES / "journey-compare.png")
    window.open("compare", a="free", b="free")
    wait_for(window, "A and B are the same result")


def test_a_point_of_a_study_is_opened_as_a_run(window: Window) -> None:
    window.open("explore")
    window.page.locator('path[aria-label*="point: point 2"]').first.click(force=True)
    wait_for(window, "Point 2")
    assert asked(window)["point"] == ["2"]
    window.picture(PICTURES / "journey-explore.png")
    window.after(window.page.get_by_role("link", name="seed 1", exact=True).click)
    expect(window.page.locator('[class*="st-key-page-title"]')).to_have_text("Overview")
    assert asked(window)["run"][0].startswith("tiny-")


@pytest.fixture
def editor(window: Window) -> Window:
    window.open("run", run="stopped.partial")
    wait_for(window, "Ctrl+Enter checks")
    return window


def write(window: Window, before: str, after: str) -> None:
    """Change the text of the editor, and have it checked."""
    area = window.page.get_by_test_id("stTextArea").get_by_role("textbox")
    expect(area).not_to_have_value("")
    text = area.input_value()
    assert before in text
    area.fill(text.replace(before, after))
    area.press("Control+Enter")


def test_a_scenario_is_edited_run_and_opened(editor: Window) -> None:
    start = editor.page.get_by_role("button", name="Run it", exact=True)
    write(editor, "replicas: 4", "replicas: many")
    wait_for(editor, "replicas: expected a whole number")
    assert "^" in editor.text()
    expect(start).to_be_disabled()
    editor.picture(PICTURES / "journey-run-problems.png")
    write(editor, "replicas: many", "replicas: 3")
    write(editor, "duration: 10 min", "duration: 20 s")
    expect(start).to_be_enabled(timeout=MOST_MS)
    start.click()
    wait_for(editor, "Open its result")
    editor.picture(PICTURES / "journey-run-done.png")
    editor.after(editor.page.get_by_role("link", name="Open its result").click)
    expect(editor.page.locator('[class*="st-key-page-title"]')).to_have_text("Overview")
    assert asked(editor)["run"][0].startswith("tiny-")
    assert "20.0 s of arrivals" in editor.page.get_by_test_id("stSidebar").inner_text()


def test_a_run_is_cancelled_and_nothing_is_broken(editor: Window, root: Path) -> None:
    write(editor, "duration: 10 min", "duration: 400 h")
    start = editor.page.get_by_role("button", name="Run it", exact=True)
    expect(start).to_be_enabled(timeout=MOST_MS)
    start.click()
    cancel = editor.page.get_by_role("button", name="Cancel", exact=True)
    expect(cancel).to_be_visible(timeout=MOST_MS)
    editor.page.reload()  # whoever comes back finds it
    expect(cancel).to_be_visible(timeout=MOST_MS)
    cancel.click()
    # A page that is put again has no button for a moment; only this says that the run has ended.
    ended = re.compile("stopped, kept as partial|cancelled")
    expect(editor.page.get_by_test_id("stMain")).to_contain_text(ended, timeout=2 * MOST_MS)
    expect(cancel).to_be_hidden()
    assert not list(root.glob(".tiny*"))
    editor.menu("Overview")
    assert editor.exceptions() == []
