"""Finds the Chromium that tests and screenshots of the dashboard drive.

``python tools/browser.py`` installs it by apt where it is missing, which needs root; otherwise it
prints the command. Playwright's own browsers are not needed: its library drives the system's one.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_RETRY = "-o Acquire::Retries=3"
COMMAND = (
    f"apt-get {_RETRY} update && apt-get {_RETRY} install --yes --no-install-recommends chromium"
)
#: Where a browser is, for machines that have it under another name.
VARIABLE = "RACKPLAN_CHROMIUM"


def chromium() -> str | None:
    """Path of the browser; None if there is none."""
    asked = os.environ.get(VARIABLE)
    if asked:
        return asked
    return next((path for name in _NAMES if (path := shutil.which(name))), None)


def missing() -> str:
    """Why there is no browser and what to do, for those who have to do without."""
    return f"no Chromium is installed, and only root can install it by apt: sudo sh -c '{COMMAND}'"


def can_install() -> bool:
    """Whether this process may install packages by apt: as root, or by sudo without a password."""
    return shutil.which("apt-get") is not None and (os.geteuid() == 0 or _has_sudo())


def _has_sudo() -> bool:
    if shutil.which("sudo") is None:
        return False
    return subprocess.run(["sudo", "-n", "true"], capture_output=True, check=False).returncode == 0


def main() -> int:
    """Install the browser if it is missing and can be installed; exit code."""
    if chromium():
        return 0
    if not can_install():
        print(missing(), file=sys.stderr)
        # A check without its browser tests is none in CI; elsewhere they are skipped by name.
        return 1 if os.environ.get("CI") else 0
    print("installing Chromium for the tests of the dashboard", file=sys.stderr)
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    as_root = [] if os.geteuid() == 0 else ["sudo", "-n", "--preserve-env=DEBIAN_FRONTEND"]
    done = subprocess.run(
        [*as_root, "sh", "-c", f"({COMMAND}) >&2"], env=os.environ | quiet, check=False
    ).returncode
    if done or not chromium():
        print(f"Chromium could not be installed: {COMMAND}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
