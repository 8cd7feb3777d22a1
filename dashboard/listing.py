"""Which runs there are: the real folders directly under one root.

A run is chosen by its name in this listing. A name from a URL is only compared with it, never
joined to a path.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

#: Environment variable with the folder that holds the run folders.
ROOT_VARIABLE = "RACKPLAN_RUNS"
#: Environment variable with the name of the run that is shown first.
RUN_VARIABLE = "RACKPLAN_RUN"

MANIFEST = "manifest.json"
#: A file that only the results of several seeds have.
SEEDS = "by_seed.json"
#: A folder that only the results of a placement have.
PLACEMENTS = "placements"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


@dataclass(frozen=True)
class Listing:
    """Names of the runs under a root, newest first, and what was left out and why."""

    root: Path
    names: tuple[str, ...]
    left_out: tuple[str, ...]
    missing: str  # why there is no listing at all; "" otherwise


def root_folder() -> Path:
    """The folder that holds the run folders, as the command that started the app said."""
    return Path(os.environ.get(ROOT_VARIABLE, "runs")).resolve()


def list_runs(root: Path) -> Listing:
    """The runs that are real folders directly under ``root``."""
    found: list[tuple[float, str]] = []
    left_out: list[str] = []
    try:
        with os.scandir(root) as entries:
            for entry in entries:
                if entry.name.startswith(".") or not _is_folder_or_link(entry):
                    continue
                reason = _left_out(entry, root)
                if reason:
                    left_out.append(f"{entry.name!r}: {reason}")
                    continue
                # A run that is being replaced is gone for a moment.
                with suppress(FileNotFoundError):
                    found.append((Path(entry.path, MANIFEST).stat().st_mtime, entry.name))
    except OSError as error:
        return Listing(root, (), (), f"the folder {root} cannot be read: {error.strerror}")
    found.sort(key=lambda run: (-run[0], run[1]))
    return Listing(root, tuple(name for _, name in found), tuple(sorted(left_out)), "")


def _is_folder_or_link(entry: os.DirEntry[str]) -> bool:
    return entry.is_symlink() or entry.is_dir(follow_symlinks=False)


def _left_out(entry: os.DirEntry[str], root: Path) -> str:
    """Why an entry of the root is no run; "" for a run."""
    if entry.is_symlink():
        return "it is a link, and links are not followed"
    manifest = Path(entry.path, MANIFEST)
    if not manifest.is_file():
        return f"it has no {MANIFEST}, so it is not the result of a run"
    if Path(entry.path, SEEDS).is_file():
        return "it holds metrics over several seeds, not a run; its runs are beside it"
    if Path(entry.path, PLACEMENTS).is_dir():
        return f"it is a placement, which has no page yet; 'rackplan show {entry.name}' prints it"
    if not manifest.resolve().is_relative_to(root):
        return "its manifest leads out of the folder"
    if not _NAME.fullmatch(entry.name):
        return "its name has other characters than letters, digits, '.', '_' and '-'"
    return ""
