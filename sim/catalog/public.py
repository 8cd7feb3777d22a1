"""Public traces and tables by address and checksum; nothing of them is shipped."""

from __future__ import annotations

import hashlib
import os
import tempfile
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from sim import paths
from sim.errors import RackplanError, UnknownName

TIMEOUT_S = 30.0


@dataclass(frozen=True)
class PublicFile:
    """Where a file is, what it must be, and under which licence.

    ``kind`` is ``trace`` (of requests), ``pods`` or ``nodes`` (lists for placement); ``format`` is
    how a trace is read, empty for the others.
    """

    name: str
    kind: str
    about: str
    address: str
    file: str
    bytes: int
    sha256: str
    licence: str
    format: str = ""


def public_files() -> Mapping[str, PublicFile]:
    """Every file that can be fetched, by name (``data/public.yaml``)."""
    rows = yaml.safe_load(paths.data("public.yaml").read_text(encoding="utf-8"))
    return {name: PublicFile(name, **row) for name, row in rows.items()}


def public_file(name: str) -> PublicFile:
    """One of them.

    Raises:
        UnknownName: no such file.
    """
    known = public_files()
    if name not in known:
        raise UnknownName("public file", name, known)
    return known[name]


def public_folder() -> Path:
    """Where fetched files are kept: ``rackplan/public`` in the user's cache.

    That is ``$XDG_CACHE_HOME``, else ``~/.cache``.
    """
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "rackplan" / "public"


def fetch(wanted: PublicFile, folder: Path) -> tuple[Path, bool]:
    """Bring ``wanted`` into ``folder``; (the file, whether it had to be fetched).

    A file that is there already and has the right content is left alone.

    Raises:
        RackplanError: another file is in its place, the address cannot be reached, or what came
            from there is not the file that was promised; nothing is left behind then.
    """
    target = folder / wanted.file
    if target.exists():
        if target.is_file() and _sha256(target.read_bytes()) == wanted.sha256:
            return target, False
        raise RackplanError(f"{target} is there already and is not {wanted.name}; move it away")
    content = _download(wanted, folder)
    if _sha256(content) != wanted.sha256:
        raise RackplanError(
            f"{wanted.address} gave {len(content):,} bytes with SHA-256 {_sha256(content)}, but "
            f"{wanted.name} has {wanted.bytes:,} with {wanted.sha256}; it was not kept"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Written beside its place and renamed, so that no half file ever has the right name.
        handle, part = tempfile.mkstemp(dir=folder, prefix=f".{wanted.file}.")
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
        os.replace(part, target)
    except OSError as error:
        raise RackplanError(f"{target} cannot be written: {error.strerror}") from None
    return target, True


def _download(wanted: PublicFile, folder: Path) -> bytes:
    try:
        with urllib.request.urlopen(wanted.address, timeout=TIMEOUT_S) as answer:
            # One byte more than promised is enough to know that it is another file.
            content: bytes = answer.read(wanted.bytes + 1)
    except (urllib.error.URLError, OSError) as error:
        if isinstance(error, urllib.error.HTTPError):
            error.close()  # it holds the connection
        reason = getattr(error, "reason", error)
        raise RackplanError(
            f"{wanted.address} cannot be reached ({reason}): without a network, bring the file by "
            f"other means to {folder / wanted.file}; its SHA-256 must be {wanted.sha256}"
        ) from None
    return content


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
