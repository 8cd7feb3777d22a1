"""A dashboard in a real browser: for its tests, its speed and the pictures of the README."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, sync_playwright

from tools.browser import chromium, missing

ROOT = Path(__file__).resolve().parents[1]
#: A page of Streamlit that is opened by its URL asks these two first under its own path.
_KNOWN = re.compile(r"/(_stcore/health|_stcore/host-config)$")
#: What Streamlit's drawing of graphs says each time.
_OF_GRAPHS = 'No script tag of type "javascript/worker" was found and "useWorker" is true'
_MOST_MS = 60_000

# The number of the last whole run of the page; -1 before the first.
_RUNS = """() => Math.max(-1, ...[...document.querySelectorAll('[class*="st-key-rerun-"]')]
    .map(e => +(e.className.match(/st-key-rerun-(\\d+)/) || [0, -1])[1]))"""
# Run to its end again, nothing stale, running or still to come, every chart has its picture.
_PAINTED = f"""before => {{
    if (({_RUNS})() <= before) return false;
    const app = document.querySelector('[data-testid="stApp"]');
    if (!app || app.dataset.testScriptState === 'running') return false;
    if (document.querySelector('[data-testid="stSkeleton"]')) return false;
    return [...document.querySelectorAll('[data-testid="stVegaLiteChart"]')]
        .every(chart => chart.querySelector('svg, canvas'));
}}"""
_FRAMES = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"


@contextmanager
def served(root: Path) -> Iterator[str]:
    """The dashboard of a folder of results as its command starts it; the URL.

    Raises:
        RuntimeError: it did not start; the message is what it said.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    command = [sys.executable, "-c", "from sim.cli import main; main()", "dashboard", str(root)]
    process = subprocess.Popen(
        [*command, "--headless", "--port", str(port)], cwd=root, text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        if "http://" not in process.stdout.readline():
            raise RuntimeError(f"the dashboard did not start: {process.communicate()[1]}")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.communicate(timeout=30)


@contextmanager
def browser() -> Iterator[Browser]:
    """The Chromium of this machine, without a window.

    Raises:
        RuntimeError: there is none.
    """
    path = chromium()
    if path is None:
        raise RuntimeError(missing())
    flags = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=flags)
        try:
            yield opened
        finally:
            opened.close()


class Window:
    """A tab of the dashboard that knows when a page is painted, and what went wrong in it.

    Attributes:
        page: Playwright's.
        errors: what the console said that no page should make it say.
    """

    def __init__(
        self,
        opened: Browser,
        url: str,
        size: tuple[int, int] = (1280, 720),
        theme: str = "light",
    ) -> None:
        width, height = size
        context = opened.new_context(
            viewport={"width": width, "height": height}, color_scheme=theme, locale="en-GB"
        )  # type: ignore[arg-type]
        self.errors: list[str] = []
        self.requested: list[str] = []
        self._url = url
        self.page = self._tab(context)

    def _tab(self, context: BrowserContext) -> Page:
        page = context.new_page()
        page.set_default_timeout(_MOST_MS)
        page.on("console", self._listen)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", lambda request: self.requested.append(request.url))
        return page

    def another_tab(self) -> None:
        """Go on in a new tab of the same browser, which has kept what it loaded."""
        before = self.page
        self.errors, self.requested = [], []
        self.page = self._tab(before.context)
        before.close()

    def _listen(self, message: ConsoleMessage) -> None:
        known = "404" in message.text and _KNOWN.search(message.location.get("url", ""))
        known = known or _OF_GRAPHS in message.text
        if message.type in ("error", "warning") and not known:
            self.errors.append(f"{message.type}: {message.text}")

    def open(self, page: str = "", **query: str) -> None:
        """Open a page by its URL and wait until it is painted."""
        self.page.goto(f"{self._url}/{page}?{urlencode(query)}")
        self._wait(-1)

    def menu(self, title: str) -> float:
        """Choose a page in the menu; seconds until it is painted."""
        entry = self.page.locator(".st-key-menu").get_by_role("link", name=title, exact=True)
        return self.after(entry.click)

    def after(self, act: Callable[[], Any]) -> float:
        """Do what makes the page run again; seconds until it is painted."""
        before = int(self.page.evaluate(_RUNS))
        start = time.perf_counter()
        act()
        self._wait(before)
        return time.perf_counter() - start

    def _wait(self, before: int) -> None:
        self.page.wait_for_function(_PAINTED, arg=before)
        self.page.evaluate(_FRAMES)

    def exceptions(self) -> list[str]:
        """What failed on the page itself, in its own words."""
        return self.page.get_by_test_id("stException").all_inner_texts()

    def text(self) -> str:
        """All text of the page beside its menu."""
        return self.page.get_by_test_id("stMain").inner_text()

    def overflow(self) -> tuple[int, int]:
        """Pixels by which the page is wider and higher than its window."""
        wide, high = self.page.evaluate(
            """() => { const main = document.querySelector('[data-testid="stMain"]');
                 return [main.scrollWidth - main.clientWidth,
                         main.scrollHeight - main.clientHeight]; }"""
        )
        return int(wide), int(high)

    def picture(self, file: Path) -> Path:
        """Store what is seen; the file."""
        file.parent.mkdir(parents=True, exist_ok=True)
        self.page.wait_for_timeout(200)  # fonts and what fades in
        self.page.screenshot(path=file)
        return file

    def close(self) -> None:
        """Close the tab."""
        self.page.context.close()
