"""Run folders that are whole or absent: written beside their place, locked, then renamed.

While a run writes, its folder is ``.NAME.tmp-…`` and holds a file that the process has locked;
the kernel drops the lock however the process ends. So a folder of that name whose lock can be
taken belongs to nobody any more, and the next run of the same name removes it. No name or content
depends on the time of day.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sim.errors import ResultError

MANIFEST = "manifest.json"
METRICS = "metrics.json"
LOCK = ".lock"
PARTIAL = ".partial"

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


def run_folder_name(name: str, resolved: Mapping[str, Any], seed: int) -> str:
    """``<scenario>-<hash8>-s<seed>``: hash8 is of the resolved scenario, whatever its key order."""
    text = json.dumps(resolved, sort_keys=True, separators=(",", ":"), default=str)
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    safe = _UNSAFE.sub("-", name).strip(".-_")[:80] or "run"
    return f"{safe}-{digest}-s{seed}"


class WorkFolder:
    """A folder under construction for the final place ``target``.

    Raises:
        ResultError: ``target`` exists and is no result of a run, or cannot be written.
    """

    def __init__(self, target: Path) -> None:
        self.target = target
        self._lock = -1
        self._published = False
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            _refuse_foreign(target)
            recover(target)
            self.path = self._make()
        except OSError as error:
            raise ResultError(f"cannot write results to {target}: {error.strerror}") from error

    def _make(self) -> Path:
        # The lock is taken under a name that nobody cleans up, so that the folder never bears its
        # working name unlocked.
        young = Path(tempfile.mkdtemp(prefix=f".{self.target.name}.new-", dir=self.target.parent))
        path = young.with_name(young.name.replace(".new-", ".tmp-"))
        try:
            young.chmod(0o755)
            self._lock = os.open(young / LOCK, os.O_CREAT | os.O_RDWR, 0o644)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            young.rename(path)
        except BaseException:  # also a signal that ends the process
            for folder in (young, path):
                shutil.rmtree(folder, ignore_errors=True)
            self._unlock()
            raise
        return path

    def publish(self, partial: bool) -> Path:
        """Rename to the final place (``NAME.partial`` for a partial result); replaces an older one.

        A process killed between the two renames leaves the older result under another name, which
        ``recover`` puts back.
        """
        place = self.target
        if partial:
            place = place.with_name(place.name.removesuffix(PARTIAL) + PARTIAL)
            _refuse_foreign(place)
        old = _old(place)
        if place.exists():
            if old.exists():
                shutil.rmtree(old)
            place.rename(old)
        self.path.rename(place)
        self.path, self._published = place, True
        (place / LOCK).unlink()
        self._unlock()
        if old.exists():
            shutil.rmtree(old)
        return place

    def discard(self) -> None:
        """Remove it; what is published stays."""
        if not self._published:
            shutil.rmtree(self.path, ignore_errors=True)
        self._unlock()

    def _unlock(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def recover(target: Path) -> None:
    """Put right what killed processes left around ``target``: their work folders, a half swap."""
    for place in (target, target.with_name(target.name.removesuffix(PARTIAL) + PARTIAL)):
        old = _old(place)
        if old.is_dir():
            if place.exists():
                shutil.rmtree(old)
            else:
                old.rename(place)
    # A study may have ten thousand folders here, and each of its runs looks: so by name first.
    work = f".{target.name}.tmp-"
    with os.scandir(target.parent) as entries:
        found = sorted(entry.path for entry in entries if entry.name.startswith(work))
    for path in map(Path, found):
        if path.is_dir() and _abandoned(path):
            shutil.rmtree(path, ignore_errors=True)


def _abandoned(folder: Path) -> bool:
    try:
        lock = os.open(folder / LOCK, os.O_RDWR | os.O_NOFOLLOW)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(lock)
    return True


def _old(place: Path) -> Path:
    return place.with_name(f".{place.name}.old")


def _refuse_foreign(target: Path) -> None:
    if target.is_symlink() or (target.exists() and not (target / MANIFEST).is_file()):
        raise ResultError(
            f"{target} exists and is not the result of a run (it has no {MANIFEST}); "
            "move it away or choose another --out"
        )
