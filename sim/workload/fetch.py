"""Public traces by address and checksum; nothing of them is shipped."""

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
class PublicTrace:
    """Where a trace is, what it must be, and under which licence."""

    name: str
    about: str
    address: str
    file: str
    format: str
    bytes: int
    sha256: str
    licence: str


def public_traces() -> Mapping[str, PublicTrace]:
    """Every trace that can be fetched, by name (``data/traces.yaml``)."""
    rows = yaml.safe_load(paths.data("traces.yaml").read_text(encoding="utf-8"))
    return {name: PublicTrace(name, **row) for name, row in rows.items()}


def public_trace(name: str) -> PublicTrace:
    """One of them.

    Raises:
        UnknownName: no such trace.
    """
    known = public_traces()
    if name not in known:
        raise UnknownName("trace", name, known)
    return known[name]


def fetch(trace: PublicTrace, folder: Path) -> tuple[Path, bool]:
    """Bring ``trace`` into ``folder``; (the file, whether it had to be fetched).

    A file that is there already and has the right content is left alone.

    Raises:
        RackplanError: another file is in its place, the address cannot be reached, or what came
            from there is not the file that was promised; nothing is left behind then.
    """
    target = folder / trace.file
    if target.exists():
        if target.is_file() and _sha256(target.read_bytes()) == trace.sha256:
            return target, False
        raise RackplanError(f"{target} is there already and is not {trace.name}; move it away")
    content = _download(trace)
    if _sha256(content) != trace.sha256:
        raise RackplanError(
            f"{trace.address} gave {len(content):,} bytes with SHA-256 {_sha256(content)}, but "
            f"{trace.name} has {trace.bytes:,} with {trace.sha256}; it was not kept"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Written beside its place and renamed, so that no half file ever has the right name.
        handle, part = tempfile.mkstemp(dir=folder, prefix=f".{trace.file}.")
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
        os.replace(part, target)
    except OSError as error:
        raise RackplanError(f"{target} cannot be written: {error.strerror}") from None
    return target, True


def _download(trace: PublicTrace) -> bytes:
    try:
        with urllib.request.urlopen(trace.address, timeout=TIMEOUT_S) as answer:
            # One byte more than promised is enough to know that it is another file.
            content: bytes = answer.read(trace.bytes + 1)
    except (urllib.error.URLError, OSError) as error:
        reason = getattr(error, "reason", error)
        raise RackplanError(
            f"{trace.address} cannot be reached ({reason}); fetch it by other means and check "
            f"that its SHA-256 is {trace.sha256}"
        ) from None
    return content


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
