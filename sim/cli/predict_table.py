"""Reads the CSV files of ``rackplan predict``: every mistake names file, line and column."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sim.errors import DataError, RackplanError, did_you_mean

#: Largest whole number in a table; matrix-product libraries take no larger dimension.
LARGEST = 2**31 - 1


@dataclass(frozen=True)
class TableRow:
    """One row of a table, with its place; ``line`` 0: the options of a command line instead."""

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
        """A whole number from 1 to ``LARGEST``, in plain digits."""
        text = self.word(column)
        digits = text.removeprefix("-")
        if not (digits.isascii() and digits.isdigit()):
            raise self.fail(column, f"expected a whole number, not {text!r}")
        if len(digits.lstrip("0")) > len(str(LARGEST)) or int(digits) > LARGEST:
            raise self.fail(column, f"must be at most {LARGEST:,}")
        if int(text) < 1:
            raise self.fail(column, f"must be at least 1, not {int(text)}")
        return int(text)

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

    def fail(self, column: str, message: str) -> RackplanError:
        """An error at this row and column, or at this option."""
        if not self.line:
            return RackplanError(f"--{column.replace('_', '-')}: {message}")
        return DataError(self.file, f"column {column!r}: {message}", self.line)

    def blame(self, error: RackplanError) -> RackplanError:
        """The same error, said of this row."""
        return DataError(self.file, str(error), self.line) if self.line else error

    @contextmanager
    def at(self, column: str) -> Iterator[None]:
        """What goes wrong inside is said of this column."""
        try:
            yield
        except RackplanError as error:
            raise self.fail(column, str(error)) from error


@dataclass(frozen=True)
class Table:
    """A CSV file's columns in their order, and its rows."""

    columns: tuple[str, ...]
    rows: tuple[TableRow, ...]


def read_table(
    path: Path,
    required: Sequence[str],
    optional: Sequence[str] | None,
    added: Sequence[str] = (),
) -> Table:
    """Reads a CSV with a header; ``optional`` None allows any further columns but ``added``.

    Raises:
        DataError: no such file, not text, broken quotes, a column missing, unknown, doubled or of
            a name that the answer adds, a ragged row.
    """
    file = str(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(file, f"cannot be read: {error}") from error
    lines = _lines(file, text)
    place, cells = next(lines, (0, []))
    if not cells:
        raise DataError(file, f"is empty; expected columns {', '.join(required)}")
    header = [name.strip() for name in cells]
    if wrong := _check_header(header, required, optional, added):
        raise DataError(file, wrong, place)
    return Table(tuple(header), tuple(_rows(file, header, lines)))


def _lines(file: str, text: str) -> Iterator[tuple[int, list[str]]]:
    """The rows that are not blank, each with the line that it begins on."""
    reader = csv.reader(io.StringIO(text), strict=True)
    while True:
        begins = reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise DataError(file, f"is not CSV: {error}", begins) from error
        if cells is None:
            return
        if cells:
            yield begins, cells


def _check_header(
    header: list[str],
    required: Sequence[str],
    optional: Sequence[str] | None,
    added: Sequence[str],
) -> str | None:
    """What is wrong with the header, if anything."""
    known = [*required, *(optional or ())]
    for name in required:
        if name not in header:
            return f"column {name!r} is missing (found: {', '.join(header)})"
    for i, name in enumerate(header):
        if name in header[:i]:
            return f"column {name!r} occurs twice"
        if name in added:
            return f"column {name!r} is one that this command adds: rename it"
        if optional is not None and name not in known:
            return f"unknown column {name!r}{did_you_mean(name, known)}"
    return None


def _rows(
    file: str, header: list[str], lines: Iterator[tuple[int, list[str]]]
) -> Iterator[TableRow]:
    for line, cells in lines:
        if len(cells) != len(header):
            raise DataError(file, f"has {len(cells)} cells, the header {len(header)}", line)
        yield TableRow(file, line, dict(zip(header, cells, strict=True)))
