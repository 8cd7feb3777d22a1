"""Files that a scenario names: where they are, or what is in their place."""

from __future__ import annotations

from pathlib import Path as FilePath

from sim.check.collector import Collector
from sim.errors import ScenarioError
from sim.spec.files import similar
from sim.spec.nodes import Path, show


def located_file(
    found: Collector, path: Path, text: str, suffixes: tuple[str, ...]
) -> FilePath | None:
    """The regular file that is named at ``path``, or None (and a problem).

    ``suffixes``: of files beside it whose names a message may suggest.
    """
    try:
        file = found.document.locate(path, text)
    except ScenarioError as error:
        found.extend(error)
        return None
    try:
        if file.is_file():
            return file
    except OSError:  # a name longer than any file system takes
        found.error(path, f"{show(text)} cannot be the path of a file")
        return None
    what, nearby = "is a folder" if file.is_dir() else "is not a regular file", ""
    if not file.exists():
        what = "there is no such file"
        nearby = similar(file, suffixes) if file.parent.is_dir() else ""
    found.error(path, f"{show(text)}: {what}{nearby}")
    return None
