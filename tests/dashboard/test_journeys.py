"""What users come for, walked in Chromium: the time, a comparison, a study, a run of one's own."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.dashboard.test_browser import PICTURES, asked, opened, pytestmark, root, url, window
from tools.window import Window

__all__ = ["opened", "pytestmark", "root", "url", "window"]  # fixtures and marks

SECONDS = 30_000


def wait_for(window: Window, text: str) -> None:
    """Until a text is on the page; nothing may have failed by then."""
    expect(window.page.get_by_test_id("stMain")).to_contain_text(text, timeout=SECONDS)
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
    wait_for(window, ", 0:15")
    window.page.get_by_role("button", name="Stop", exact=True).click()
    expect(window.page.get_by_role("button", name="Play", exact=True)).to_be_visible()
    window.page.wait_for_function("() => new URL(location).searchParams.get('t') !== '0:00'")
    stopped = asked(window)["t"]
    window.page.wait_for_timeout(1500)
    assert asked(window)["t"] == stopped


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
    expect(start).to_be_enabled(timeout=SECONDS)
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
    expect(start).to_be_enabled(timeout=SECONDS)
    start.click()
    cancel = editor.page.get_by_role("button", name="Cancel", exact=True)
    expect(cancel).to_be_visible(timeout=SECONDS)
    editor.page.reload()  # whoever comes back finds it
    expect(cancel).to_be_visible(timeout=SECONDS)
    cancel.click()
    expect(cancel).to_be_hidden(timeout=2 * SECONDS)
    assert not list(root.glob(".tiny*"))
    editor.menu("Overview")
    assert editor.exceptions() == []
