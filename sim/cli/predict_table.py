"""Reads the CSV files of ``rackplan predict``: every mistake names file, line and column."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sim.errors import DataError, RackplanError, did_you_mean


@dataclass(frozen=True)
class TableRow:
    """One row of a table, with its place."""

    file: str
    line: int
    values: dict[str, str]

    def word(self, column: str) -> str:
        """The text of a required column."""
        text = self.values[column].strip()
        if not text:
            raise self.fail(column, "is empty")
        return text

    def whole(self, column: str) -> int:
        """A whole number of at least 1."""
        text = self.word(column)
        try:
            number = int(text)
        except ValueError:
            raise self.fail(column, f"expected a whole number, not {text!r}") from None
        if number < 1:
            raise self.fail(column, f"must be at least 1, not {number}")
        return number

    def number(self, column: str) -> float:
        """A finite number."""
        text = self.word(column)
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise self.fail(column, f"expected a number, not {text!r}")
        return value

    def optional(self, column: str) -> str | None:
        """The text of a column that may be absent or empty."""
        return self.values.get(column, "").strip() or None

    def fail(self, column: str, message: str) -> DataError:
        """An error at this row and column."""
        return DataError(self.file, f"column {column!r}: {message}", self.line)

    def blame(self, error: RackplanError) -> DataError:
        """The same error, said of this row."""
        return DataError(self.file, str(error), self.line)


@dataclass(frozen=True)
class Table:
    """A CSV file's columns in their order, and its rows."""

    columns: tuple[str, ...]
    rows: tuple[TableRow, ...]


def read_table(path: Path, required: Sequence[str], optional: Sequence[str] | None) -> Table:
    """Reads a CSV with a header; ``optional`` None allows any further columns.

    Raises:
        DataError: no such file, not text, a column missing, unknown or doubled, a ragged row.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(str(path), f"cannot be read: {error}") from error
    reader = csv.reader(text.splitlines())
    header = [name.strip() for name in next(reader, [])]
    if not header:
        raise DataError(str(path), f"is empty; expected columns {', '.join(required)}")
    _check_header(str(path), header, required, optional)
    return Table(tuple(header), tuple(_rows(str(path), header, reader)))


def _check_header(
    file: str, header: list[str], required: Sequence[str], optional: Sequence[str] | None
) -> None:
    for name in required:
        if name not in header:
            raise DataError(file, f"column {name!r} is missing (found: {', '.join(header)})", 1)
    for i, name in enumerate(header):
        if name in header[:i]:
            raise DataError(file, f"column {name!r} occurs twice", 1)
        known = [*required, *(optional or ())]
        if optional is not None and name not in known:
            raise DataError(file, f"unknown column {name!r}{did_you_mean(name, known)}", 1)


def _rows(file: str, header: list[str], reader: Iterator[list[str]]) -> Iterator[TableRow]:
    for line, cells in enumerate(reader, start=2):
        if not cells:
            continue
        if len(cells) != len(header):
            raise DataError(file, f"has {len(cells)} cells, the header {len(header)}", line)
        yield TableRow(file, line, dict(zip(header, cells, strict=True)))
