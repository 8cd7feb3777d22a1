"""Tables of measurements: CSV whose first line may say, after a #, where it is from."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.catalog.library import load
from sim.catalog.types import Gpu
from sim.errors import DataError, UnknownName

Row = Mapping[str, str]
Line = tuple[int, Row]  # with its number in the file
Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
#: Name → one value a row, all equally long.
Columns = dict[str, Any]


def lines_of(path: Path) -> list[Line]:
    """Rows with their lines; a first line that begins with # is a comment.

    Raises:
        DataError: the file cannot be read as UTF-8 CSV.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            start = 1
            position = file.tell()
            if not file.readline().startswith("#"):
                file.seek(position)
                start = 0
            reader = csv.DictReader(file)
            return [
                (start + reader.line_num, {k: v or "" for k, v in row.items() if k is not None})
                for row in reader
            ]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(str(path), f"cannot be read: {error}") from error


def columns_of(path: Path) -> set[str]:
    """The columns of a CSV file; none if it has no rows."""
    lines = lines_of(path)
    return set(lines[0][1]) if lines else set()


def number(path: Path, line: Line, name: str) -> float:
    """A cell that must be a number above 0.

    Raises:
        DataError: it is none.
    """
    text = line[1].get(name, "")
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise DataError(
            str(path), f"column {name!r}: expected a number above 0, not {text!r}", line[0]
        )
    return value


def columns(path: Path, lines: Sequence[Line], numbers: Iterable[str]) -> Columns:
    """Columns as arrays; ``seconds`` from ``latency_ms``.

    Raises:
        DataError: a cell that is no number above 0.
    """
    found: Columns = {
        name: np.array([number(path, line, name) for line in lines])
        for name in (*numbers, "latency_ms")
    }
    found["seconds"] = found.pop("latency_ms") / 1e3
    return found


def take(table: Columns, mask: Mask) -> Columns:
    """The rows of the mask."""
    return {name: values[mask] for name, values in table.items()}


def groups(lines: Iterable[Line], *names: str) -> dict[tuple[str, ...], list[Line]]:
    """Rows by what these columns say; a column that is missing says nothing."""
    found: dict[tuple[str, ...], list[Line]] = {}
    for line in lines:
        found.setdefault(tuple(line[1].get(name, "") for name in names), []).append(line)
    return found


def gpu_of(name: str, path: Path, prefix: str) -> Gpu | None:
    """The catalog's GPU of a row, by its column or else by the file's name behind ``prefix``.

    None if the catalog has no such GPU.
    """
    catalog = load()
    try:
        return catalog.gpus[catalog.canonical("gpu", name or path.stem.removeprefix(prefix))]
    except (UnknownName, KeyError):
        return None


def precision_of(name: str) -> str | None:
    """The catalog's word for a data type of a table, None if it has none."""
    try:
        return load().canonical("precision", name)
    except UnknownName:
        return None
