"""Makes the pictures of the README: runs shipped scenarios and looks at them in the dashboard.

``make screenshots``: about two minutes. Results are kept under ``build/`` and made again only if
they are gone; pictures go to ``docs/images``.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tools.window import ROOT, Window, browser, served

RESULTS = ROOT / "build" / "screenshots-results"
PICTURES = ROOT / "docs" / "images"
#: What is run first: arguments of ``rackplan``.
COMMANDS = (
    ("run", "scenarios/lost-feed.yaml"),
    ("sweep", "scenarios/studies/energy-or-latency.yaml"),
)
SIZE = (1280, 760)


def results() -> Path:
    """The folder with the results of ``COMMANDS``.

    Raises:
        RuntimeError: one of them failed; the message is what it said.
    """
    for command, file in COMMANDS:
        if list(RESULTS.glob(f"{Path(file).stem}-*/manifest.json")):
            continue
        done = subprocess.run(
            [sys.executable, "-c", "from sim.cli import main; main()", command, file,
             "--out", str(RESULTS)],
            cwd=ROOT, text=True, capture_output=True, check=False,
        )  # fmt: skip
        if done.returncode not in (0, 1):  # 1: an expectation failed, which is a result, too
            raise RuntimeError(f"rackplan {command} {file}: {done.stderr}")
    return RESULTS


def named(start: str) -> str:
    """The result whose name starts so."""
    return next(path.name for path in sorted(RESULTS.glob(f"{start}-*")) if path.is_dir())


def take(window: Window) -> None:
    """Open each page that the README shows and store it."""
    run = named("lost-feed")
    for name, page, query in (
        ("overview", "", {"run": run}),
        ("power", "power", {"run": run, "t": "1:45"}),
        ("explore", "explore", {"study": named("energy-or-latency")}),
    ):
        window.open(page, **query)
        window.page.mouse.move(5, 700)  # nothing is hovered over
        if window.exceptions() or window.errors:
            raise RuntimeError(f"{name}: {window.exceptions()} {window.errors}")
        print(window.picture(PICTURES / f"{name}.png").relative_to(ROOT))


def main() -> None:
    """Make them all."""
    with served(results()) as url, browser() as opened:
        window = Window(opened, url, SIZE)
        take(window)
        window.close()


if __name__ == "__main__":
    main()
