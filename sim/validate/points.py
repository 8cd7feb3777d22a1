"""Predictions beside measurements, one point a serving run: as ``rackplan validate`` wrote them.

A folder of them has ``serving.csv`` and a manifest. ``data/validation`` is such a folder: what the
shipped parameters say of the public tables, none of which is needed to read it.
"""

from __future__ import annotations

import csv
import json
import math
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sim import paths
from sim.errors import ResultError
from sim.results.folders import MANIFEST
from sim.results.manifest import FORMAT, versions
from sim.results.result import MAX_JSON_BYTES, VALIDATION, read_json

POINTS = "serving.csv"
METRICS = ("tpot", "throughput", "ttft")
#: How classes of runs that a fit saw end, and how those begin that no fit is of.
IN_FIT, UNSEEN = "in the fit", "unseen"
_TEXT = ("file", "class", "stack", "llm", "gpu", "precision", "layout")
_WHOLE = ("line", "input_tokens", "output_tokens")


@dataclass(frozen=True)
class Point:
    """A measured run and its prediction; TPOT and TTFT in s, throughput in tokens/s.

    Attributes:
        kind: "seen stack, in the fit", "seen stack, held out", "unseen stack" and so on.
        clients: of a closed loop; None: all requests queued at once.
        values: metric → (predicted, measured), of those that were both.
    """

    file: str
    line: int
    kind: str
    stack: str
    llm: str
    gpu: str
    precision: str
    layout: str
    input_tokens: int
    output_tokens: int
    clients: int | None
    values: Mapping[str, tuple[float, float]]

    @property
    def in_fit(self) -> bool:
        """Whether the shipped parameters were fitted to it."""
        return self.kind.endswith(IN_FIT)

    @property
    def inside(self) -> bool:
        """Whether its stack, LLM and GPU are in the calibrated region."""
        return UNSEEN not in self.kind


@dataclass(frozen=True)
class Validation:
    """Points of a folder; ``tables``: files that the measurements are from, ``every``: n if only
    each n-th run was simulated; ``sources``: ids of the shipped data's sources.
    """

    folder: Path
    points: tuple[Point, ...]
    tables: tuple[str, ...]
    every: int
    rackplan: str
    sources: tuple[str, ...]


def shipped() -> Validation:
    """What the shipped parameters say of the public tables.

    Raises:
        ResultError: the installation is damaged.
    """
    return read_points(paths.data("validation"))


def write_manifest(folder: Path, tables: Sequence[str], every: int) -> None:
    """Say of a folder of ``rackplan validate`` what it is; written last."""
    content = {
        "format": FORMAT,
        "kind": VALIDATION,
        "outcome": "complete",
        "tables": sorted(tables),
        "every": every,
        "versions": versions(),
    }
    text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
    (folder / MANIFEST).write_text(text, encoding="utf-8")


def refuse_other_results(folder: Path) -> None:
    """Refuse to write among the files of another result.

    Raises:
        ResultError: the folder is one.
    """
    file = folder / MANIFEST
    if not file.exists():
        return
    manifest = read_json(file)
    if not isinstance(manifest, dict) or manifest.get("kind") != VALIDATION:
        raise ResultError(f"--out {folder} holds another result; name another folder")


def read_points(folder: Path) -> Validation:
    """The points of a folder; every cell is checked.

    Raises:
        ResultError: it is not what ``rackplan validate`` writes.
    """
    manifest = read_json(folder / MANIFEST)
    if not isinstance(manifest, dict) or manifest.get("kind") != VALIDATION:
        raise ResultError(f"{folder} does not hold predictions beside measurements")
    if manifest.get("format") != FORMAT:
        raise ResultError(
            f"{folder} was written in format {manifest.get('format')!r:.60}; this rackplan reads "
            f"format {FORMAT}: validate again"
        )
    every, wrote = manifest.get("every"), manifest.get("versions")
    if type(every) is not int or every < 1 or not isinstance(wrote, dict):
        raise ResultError(f"{folder / MANIFEST} is damaged: 'every' or 'versions' is missing")
    return Validation(
        folder,
        tuple(_points(folder / POINTS)),
        _texts(folder, manifest, "tables"),
        every,
        str(wrote.get("rackplan", "unknown")),
        _texts(folder, manifest, "sources") if "sources" in manifest else (),
    )


def _texts(folder: Path, manifest: Mapping[str, Any], key: str) -> tuple[str, ...]:
    found = manifest.get(key)
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise ResultError(f"{folder / MANIFEST} is damaged: {key!r} is not a list of names")
    return tuple(found)


def _points(file: Path) -> Iterator[Point]:
    try:
        status = file.lstat()
        if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_JSON_BYTES:
            raise ResultError(f"{file} is a link, or too large for what rackplan validate writes")
        with file.open(encoding="utf-8", newline="") as lines:
            rows = csv.DictReader(lines)
            for row in rows:
                try:
                    if row["why_not"]:
                        continue
                    yield _point(row)
                except (KeyError, TypeError, ValueError) as error:
                    raise ResultError(f"{file}:{rows.line_num}: {error}") from error
    except OSError as error:
        raise ResultError(f"{file} cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise ResultError(f"{file} is no CSV in UTF-8: {error}") from error


def _point(row: Mapping[str, str]) -> Point:
    text = {name: row[name] for name in _TEXT}
    whole = {name: int(row[name]) for name in _WHOLE}
    values = {}
    for name in METRICS:
        predicted, measured = row[f"predicted_{name}"], row[f"measured_{name}"]
        if predicted and measured:
            values[name] = (_positive(predicted, name), _positive(measured, name))
    kind = text.pop("class")
    clients = int(row["concurrency"]) if row["concurrency"] else None
    return Point(kind=kind, clients=clients, values=values, **text, **whole)  # type: ignore[arg-type]


def _positive(text: str, name: str) -> float:
    value = float(text)
    if not 0.0 < value < math.inf:
        raise ValueError(f"{name} of {text!r} is none that a run measures")
    return value
