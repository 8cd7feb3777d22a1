"""Values that hold for an hour each: prices, carbon, weather; and the CSV files they come from."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.errors import DataError, did_you_mean

_HOUR_S = 3600
#: A file of all hours of a century is smaller.
_MOST_BYTES = 64 << 20


@dataclass(frozen=True)
class Hours:
    """Step-held values; ``flat`` = one value for ever.

    ``lead_min``: minutes from the beginning of the first hour to the start of the run.
    """

    values: tuple[float, ...]
    lead_min: int = 0
    flat: bool = False

    def at(self, minutes: NDArray[np.int64]) -> NDArray[np.float64]:
        """The value in each of ``minutes``, counted from the start of the run.

        Raises:
            ValueError: a minute outside the hours; nothing is held beyond them.
        """
        if self.flat:
            return np.full(minutes.shape, self.values[0])
        hour = (minutes + self.lead_min) // 60
        if hour.size and (hour.min() < 0 or hour.max() >= len(self.values)):
            raise ValueError(f"hours 0 to {len(self.values) - 1} do not hold {hour.max()}")
        return np.array(self.values)[hour]


def flat(value: float) -> Hours:
    """One value for ever."""
    return Hours((value,), flat=True)


@dataclass(frozen=True)
class Column:
    """A column of a CSV file, and the span that a run needs of it.

    Attributes:
        file: where it is.
        label: the file as messages call it.
        name: of the column.
        factor: from its unit to SI.
        start_s: seconds since 1970 (UTC) at which the run begins, on a whole minute.
        length_s: how long the run needs values.
        hold: carry the last value over missing hours; else they are refused.
        least, most: what a value may be, in SI.
    """

    file: Path
    label: str
    name: str
    factor: float
    start_s: float
    length_s: float
    hold: bool
    least: float = -math.inf
    most: float = math.inf


def read_hours(column: Column) -> tuple[Hours, int]:
    """The hours of a column that a run needs, and how many of them were missing and held.

    The first column has the time of each row: ISO 8601, on the hour, ascending, with its zone,
    or in UTC where the column's name ends in ``_utc``. An empty cell is a missing hour, as is an
    hour without a row.

    Raises:
        DataError: a file that is not such, does not span the run, or lacks hours that may not be
            held; with the line where there is one.
    """
    cells = _cells(column)
    first = math.floor(column.start_s / _HOUR_S)
    beyond = math.ceil((column.start_s + column.length_s) / _HOUR_S)
    _refuse_short(column, cells, first, beyond)
    values: list[float] = []
    missing: list[int] = []
    for hour in range(first, beyond):
        value = _value(column, *cells.get(hour, (0, "")))
        if value is None:
            missing.append(hour)
            value = values[-1] if values else _before(column, cells, hour)
        values.append(value)
    if missing and not column.hold:
        raise DataError(
            column.label,
            f"column {column.name!r} lacks {len(missing)} of the {beyond - first} hours of the "
            f"run, first {_stamp(missing[0])}; 'gaps: hold' carries the last value over them",
        )
    lead_min = round(column.start_s / 60) - 60 * first
    return Hours(tuple(values), lead_min), len(missing)


def _cells(column: Column) -> dict[int, tuple[int, str]]:
    """Hour since 1970 → (line, text) of the column's cell."""
    file, label = column.file, column.label
    try:
        if file.stat().st_size > _MOST_BYTES:
            raise DataError(label, f"is larger than {_MOST_BYTES >> 20} MiB")
        with file.open(newline="", encoding="utf-8-sig") as stream:
            return _rows(column, csv.reader(stream))
    except OSError as error:
        raise DataError(label, f"cannot be read: {(error.strerror or 'error').lower()}") from None
    except UnicodeDecodeError:
        raise DataError(label, "is not UTF-8 text") from None
    except csv.Error as error:
        raise DataError(label, f"is not a CSV file: {error}") from None


def _rows(column: Column, reader: Any) -> dict[int, tuple[int, str]]:
    head: Sequence[str] = next(reader, [])
    if not head:
        raise DataError(column.label, "is empty")
    if column.name not in head[1:]:
        hint = did_you_mean(column.name, head[1:])
        raise DataError(column.label, f"has no column {column.name!r}{hint}", 1)
    at, utc = head.index(column.name, 1), head[0].strip().endswith("_utc")
    cells: dict[int, tuple[int, str]] = {}
    last = -math.inf
    for row in reader:
        line: int = reader.line_num
        if not row:
            continue
        if len(row) != len(head):
            message = f"has {len(row)} cells where the head has {len(head)}"
            raise DataError(column.label, message, line)
        hour = _hour(column, head[0], row[0], utc, line)
        if hour <= last:
            raise DataError(column.label, f"{row[0]} is not after the row above it", line)
        cells[hour] = (line, row[at].strip())
        last = hour
    if not cells:
        raise DataError(column.label, "has no row below its head")
    return cells


def _hour(column: Column, head: str, text: str, utc: bool, line: int) -> int:
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        message = f"{text!r} in the first column is not a time such as 2023-06-01T00:00Z"
        raise DataError(column.label, message, line) from None
    if moment.tzinfo is None:
        if not utc:
            message = f"{text!r} states no zone; end times in 'Z', or the name {head!r} in '_utc'"
            raise DataError(column.label, message, line)
        moment = moment.replace(tzinfo=UTC)
    hour, rest = divmod(moment.timestamp(), _HOUR_S)
    if rest:
        raise DataError(column.label, f"{text!r} is not on the hour in UTC", line)
    return int(hour)


def _value(column: Column, line: int, text: str) -> float | None:
    """The SI value of a cell; None where it is empty."""
    if not text:
        return None
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        message = f"{text!r} is not a number (a missing hour is an empty cell)"
        raise DataError(column.label, message, line)
    value = number * column.factor
    for word, bound, beyond in (
        ("below", column.least, value < column.least),
        ("above", column.most, value > column.most),
    ):
        if beyond:
            message = f"{column.name} is {text}, {word} {bound / column.factor:g}"
            raise DataError(column.label, message, line)
    return value


def _before(column: Column, cells: Mapping[int, tuple[int, str]], hour: int) -> float:
    """The last value before ``hour``, which is itself missing."""
    for earlier in sorted((h for h in cells if h < hour), reverse=True):
        value = _value(column, *cells[earlier])
        if value is not None:
            return value
    message = (
        f"column {column.name!r} has no value at or before {_stamp(hour)}, where the run begins"
    )
    raise DataError(column.label, message)


def _refuse_short(
    column: Column, cells: Mapping[int, tuple[int, str]], first: int, beyond: int
) -> None:
    low, high = min(cells), max(cells)
    if first < low or beyond - 1 > high:
        raise DataError(
            column.label,
            f"has the hours {_stamp(low)} to {_stamp(high)}; the run needs {_stamp(first)} to "
            f"{_stamp(beyond - 1)}",
        )


def _stamp(hour: int) -> str:
    return datetime.fromtimestamp(hour * _HOUR_S, UTC).strftime("%Y-%m-%dT%H:%MZ")
