"""Which results there are: the real folders directly under one root.

A result is chosen by its name in this listing. A name from a URL is only compared with it, never
joined to a path.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

#: Environment variable with the folder that holds the run folders.
ROOT_VARIABLE = "RACKPLAN_RUNS"
#: Environment variable with the name of the run that is shown first.
RUN_VARIABLE = "RACKPLAN_RUN"

MANIFEST = "manifest.json"
#: Kinds of results.
RUN, PLACEMENT, SEEDS, STUDY, PLAN = "run", "placement", "seeds", "study", "plan"
VALIDATION = "validation"
#: What only the folders of a kind have, beside their manifest; a run has none of these.
_MARKS = {
    "by_seed.json": SEEDS,
    "study.json": STUDY,
    "answer.json": PLAN,
    "serving.csv": VALIDATION,
    "placements": PLACEMENT,
}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


@dataclass(frozen=True)
class Listing:
    """Names of the results under a root by kind, newest first, and what was left out and why."""

    root: Path
    kinds: dict[str, str] = field(default_factory=dict)  # name → kind
    left_out: tuple[str, ...] = ()
    missing: str = ""  # why there is no listing at all; "" otherwise

    def names(self, *kinds: str) -> tuple[str, ...]:
        """The results of these kinds."""
        return tuple(name for name, kind in self.kinds.items() if kind in kinds)


def root_folder() -> Path:
    """The folder that holds the run folders, as the command that started the app said."""
    return Path(os.environ.get(ROOT_VARIABLE, "runs")).resolve()


def list_results(root: Path) -> Listing:
    """The results that are real folders directly under ``root``."""
    found: list[tuple[float, str, str]] = []
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
                # A result that is being replaced is gone for a moment.
                with suppress(FileNotFoundError):
                    written = Path(entry.path, MANIFEST).stat().st_mtime
                    found.append((written, entry.name, _kind(Path(entry.path))))
    except OSError as error:
        return Listing(root, missing=f"the folder {root} cannot be read: {error.strerror}")
    found.sort(key=lambda one: (-one[0], one[1]))
    return Listing(root, {name: kind for _, name, kind in found}, tuple(sorted(left_out)))


def _kind(folder: Path) -> str:
    return next((kind for mark, kind in _MARKS.items() if (folder / mark).exists()), RUN)


def _is_folder_or_link(entry: os.DirEntry[str]) -> bool:
    return entry.is_symlink() or entry.is_dir(follow_symlinks=False)


def _left_out(entry: os.DirEntry[str], root: Path) -> str:
    """Why an entry of the root is no result; "" for one."""
    if entry.is_symlink():
        return "it is a link, and links are not followed"
    manifest = Path(entry.path, MANIFEST)
    if not manifest.is_file():
        return f"it has no {MANIFEST}, so it is not the result of a run"
    if not manifest.resolve().is_relative_to(root):
        return "its manifest leads out of the folder"
    if not _NAME.fullmatch(entry.name):
        return "its name has other characters than letters, digits, '.', '_' and '-'"
    return ""
