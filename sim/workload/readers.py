"""Readers of trace files in text: Azure 2023 CSV, Mooncake JSONL and plain CSV.

A reader turns text into columns and refuses what is not of its format, with file and line; the
sense of the numbers is checked afterwards, alike for every format (``table.check_sense``).
"""

from __future__ import annotations

import csv
import json
import math
import re
import reprlib
from array import array
from collections.abc import Iterable, Iterator
from datetime import date
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from sim.errors import DataError, did_you_mean
from sim.workload.table import TraceTable, check_sense
from sim.workload.types import NO_SESSION, OPEN

REQUIRED = ("arrival_s", "input_tokens", "output_tokens")
OPTIONAL = ("priority", "after_request", "think_s", "cancel_after_s", "session")
#: Optional columns of whole numbers, and what is wrong with a negative one.
WHOLE = {"priority": "", "after_request": "rows count from 0", "session": "sessions count from 0"}

_AZURE = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")
_MOONCAKE = ("timestamp", "input_length", "output_length")
_STAMP = re.compile(
    r"(\d{4}-\d\d-\d\d) (\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?:\+00:00|Z)?", re.ASCII
)
#: Values in messages, of which a broken file may hold enormous or deeply nested ones.
_repr = reprlib.Repr()
_repr.maxstring = _repr.maxlong = 80
_show = _repr.repr


#: The fault of a blank line; the ones that end a file are no fault.
_BLANK = "is blank, and rows follow it; take the line out, or is the file damaged?"


class _Columns:
    """Columns of a trace while it is read; 8 bytes a number."""

    def __init__(self, file: Path) -> None:
        self.file = str(file)
        self.lines = array("q")
        self.arrival_s = array("d")
        self.input_tokens = array("q")
        self.output_tokens = array("q")
        self.optional: dict[str, array[Any]] = {}
        self.prefix_counts = array("q")
        self.prefix_ids = array("q")
        self.has_prefixes = False

    def table(self, *, generative: bool) -> TraceTable:
        n = len(self.lines)
        extra = {name: np.array(column) for name, column in self.optional.items()}
        counts = np.array(self.prefix_counts, dtype=np.int64)
        ptr = np.concatenate([[0], np.cumsum(counts)]) if self.has_prefixes else None
        table = TraceTable(
            arrival_s=np.array(self.arrival_s, dtype=np.float64),
            input_tokens=np.array(self.input_tokens, dtype=np.int64),
            output_tokens=np.array(self.output_tokens, dtype=np.int64),
            priority=extra.get("priority"),
            after_request=extra.get("after_request", np.full(n, OPEN, dtype=np.int64)),
            think_s=extra.get("think_s", np.zeros(n)),
            cancel_after_s=extra.get("cancel_after_s"),
            prefix_ptr=ptr,
            prefix_ids=np.array(self.prefix_ids, dtype=np.int64) if self.has_prefixes else None,
            period_s=math.nan,
            session=extra.get("session"),
        )
        check_sense(table, self.file, lambda row: (self.lines[row], ""), generative=generative)
        return table


def read_text(file: Path, format: str, rows: int | None, *, generative: bool) -> TraceTable:
    """The first ``rows`` requests (None: all) of a text trace, as the file tells them.

    Raises:
        DataError: the file cannot be read or is not of this format.
    """
    readers = {"azure": _read_azure, "mooncake": _read_mooncake, "csv": _read_csv}
    columns = _Columns(file)
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            readers[format](stream, columns, rows)
    except OSError as error:
        raise DataError(str(file), f"cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        message = f"is not UTF-8 text (byte {error.start} of a block); is it compressed or Parquet?"
        raise DataError(str(file), message) from error
    return columns.table(generative=generative)


def csv_rows(
    stream: TextIO, file: str, required: Iterable[str], optional: Iterable[str]
) -> Iterator[tuple[int, dict[str, str]]]:
    """(line, column → text) of each row, after checking the header; blank lines may end it."""
    reader = csv.reader(stream, strict=True)
    blank = 0
    try:
        header = next(reader, None)
        if header is None:
            raise DataError(file, f"is empty; expected a header {','.join(required)}")
        header = [name.strip() for name in header]
        if not any(header):
            raise DataError(file, f"is blank; expected a header {','.join(required)}", line=1)
        check_columns(file, header, required, optional, line=1)
        for fields in reader:
            if not "".join(fields).strip() and len(fields) <= 1:
                blank = blank or reader.line_num
                continue
            if blank:
                raise DataError(file, _BLANK, blank)
            if len(fields) != len(header):
                message = f"has {len(fields)} fields where the header has {len(header)}"
                raise DataError(file, f"{message}; is the line cut short?", reader.line_num)
            yield reader.line_num, dict(zip(header, fields, strict=True))
    except csv.Error as error:
        raise DataError(file, f"is not CSV: {error}", reader.line_num) from error


def check_columns(
    file: str, header: list[str], required: Iterable[str], optional: Iterable[str], line: int = 0
) -> None:
    """Refuse missing, unknown (unless ``x-…``) and repeated columns, with the nearest name.

    Raises:
        DataError: at ``line``.
    """
    known = (*required, *optional)
    for name in required:
        if name not in header:
            spare = [column for column in header if column not in known]
            hint = did_you_mean(name, spare)
            if set(_AZURE) <= set(header):
                hint = " (this is an Azure LLM trace: say that its format is azure)"
            elif hint.startswith(" (did you mean"):
                hint = hint.replace("did you mean", "is it")
            else:
                hint = f" (the columns are {', '.join(header)})"
            raise DataError(file, f"column {name!r} is missing{hint}", line)
    for name in header:
        if name not in known and not name.startswith("x-"):
            hint = did_you_mean(name, known)
            message = f"unknown column {name!r}{hint}; columns of your own start with 'x-'"
            raise DataError(file, message, line)
        if header.count(name) > 1:
            raise DataError(file, f"column {name!r} is there {header.count(name)} times", line)


def _whole(text: str, what: str, file: str, line: int) -> int:
    body = text.strip()
    digits = body.removeprefix("-")
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 18:
        raise DataError(file, f"{what}: {_show(text)} is not a whole number", line)
    return int(body)


def number(text: str, what: str, file: str, line: int) -> float:
    """A finite number; raises DataError at ``line``."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DataError(file, f"{what}: {_show(text)} is not a finite number", line)
    return value


def _read_csv(stream: TextIO, into: _Columns, rows: int | None) -> None:
    """Plain CSV in our own columns; empty cells of optional ones mean "not stated"."""
    file = into.file
    empty = {
        "priority": 0, "after_request": OPEN, "think_s": 0.0, "cancel_after_s": math.inf,
        "session": NO_SESSION,
    }  # fmt: skip
    for line, row in islice(csv_rows(stream, file, REQUIRED, (*OPTIONAL, "prefix_ids")), rows):
        into.lines.append(line)
        text = row["arrival_s"]
        into.arrival_s.append(number(text, "arrival_s", file, line) if text else math.nan)
        into.input_tokens.append(_whole(row["input_tokens"], "input_tokens", file, line))
        into.output_tokens.append(_whole(row["output_tokens"], "output_tokens", file, line))
        if "prefix_ids" in row:
            into.has_prefixes = True
            texts = row["prefix_ids"].split()
            _prefixes(
                "prefix_ids", [_whole(text, "prefix_ids", file, line) for text in texts], into, line
            )
        for name in OPTIONAL:
            if name not in row:
                continue
            integral = name in WHOLE
            column = into.optional.setdefault(name, array("q" if integral else "d"))
            text = row[name]
            if not text:
                column.append(empty[name])
            elif integral:
                value = _whole(text, name, file, line)
                if value < 0 and WHOLE[name]:
                    raise DataError(file, f"{name} is {value}; {WHOLE[name]}", line)
                column.append(value)
            else:
                column.append(number(text, name, file, line))


def _read_azure(stream: TextIO, into: _Columns, rows: int | None) -> None:
    """Azure LLM inference traces: stamps of 100 ns, told here relative to the first row."""
    file = into.file
    first = 0
    days: dict[str, int] = {}
    for line, row in islice(csv_rows(stream, file, _AZURE, ()), rows):
        stamp = row["TIMESTAMP"]
        match = _STAMP.fullmatch(stamp.strip())
        if match is None:
            message = f"TIMESTAMP: {_show(stamp)} is not like '2023-11-16 18:15:46.6805900'"
            raise DataError(file, message, line)
        day, hours, minutes, seconds, fraction = match.groups()
        if day not in days:
            try:
                days[day] = date.fromisoformat(day).toordinal()
            except ValueError as error:
                raise DataError(file, f"TIMESTAMP: {_show(stamp)}: {error}", line) from error
        if int(hours) > 23 or int(minutes) > 59 or int(seconds) > 59:
            message = f"TIMESTAMP: {_show(stamp)}: times of day are 00:00:00 to 23:59:59"
            raise DataError(file, message, line)
        whole = ((days[day] * 24 + int(hours)) * 60 + int(minutes)) * 60 + int(seconds)
        stamp_ns = whole * 1_000_000_000 + int((fraction or "0").ljust(9, "0"))
        if not into.lines:
            first = stamp_ns
        if stamp_ns < first:
            message = f"TIMESTAMP: {_show(stamp)} is before the first row; sort by TIMESTAMP"
            raise DataError(file, message, line)
        into.lines.append(line)
        into.arrival_s.append((stamp_ns - first) / 1e9)
        into.input_tokens.append(_whole(row["ContextTokens"], "ContextTokens", file, line))
        into.output_tokens.append(_whole(row["GeneratedTokens"], "GeneratedTokens", file, line))


def _read_mooncake(stream: TextIO, into: _Columns, rows: int | None) -> None:
    """Mooncake JSONL: stamps in ms; ``hash_ids``, one for each prefix block, where given."""
    file = into.file
    for line, row in islice(_json_rows(stream, file), rows):
        for name in _MOONCAKE:
            if name not in row:
                spare = [key for key in row if key not in (*_MOONCAKE, "hash_ids")]
                hint = did_you_mean(name, spare).replace("did you mean", "is it")
                raise DataError(file, f"field {name!r} is missing{hint}", line)
        stamp = row["timestamp"]
        if isinstance(stamp, bool) or not isinstance(stamp, (int, float)) or not _finite(stamp):
            raise DataError(file, f"timestamp: {_show(stamp)} is not a finite number of ms", line)
        if not into.lines:
            into.has_prefixes = "hash_ids" in row
        into.lines.append(line)
        into.arrival_s.append(stamp / 1000.0)
        into.input_tokens.append(_json_whole(row["input_length"], "input_length", file, line))
        into.output_tokens.append(_json_whole(row["output_length"], "output_length", file, line))
        if ("hash_ids" in row) != into.has_prefixes:
            raise DataError(file, "field 'hash_ids' is in some rows and not in others", line)
        if into.has_prefixes:
            _prefixes("hash_ids", row["hash_ids"], into, line)


def _prefixes(name: str, ids: object, into: _Columns, line: int) -> None:
    file = into.file
    if not isinstance(ids, list):
        raise DataError(file, f"{name}: {_show(ids)} is not a list of block ids", line)
    into.prefix_counts.append(len(ids))
    for identity in ids:
        block = _json_whole(identity, name, file, line)
        if block < 0:
            raise DataError(file, f"{name}: {block} is negative; ids start at 0", line)
        into.prefix_ids.append(block)


def _json_rows(stream: TextIO, file: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line, object) of each line; blank lines may end the file."""
    blank = 0
    for line, text in enumerate(stream, start=1):
        if not text.strip():
            blank = blank or line
            continue
        if blank:
            raise DataError(file, _BLANK, blank)
        try:
            row = json.loads(text)
        except json.JSONDecodeError as error:
            message = f"is not a whole JSON object: {error.msg} at column {error.colno}"
            raise DataError(file, message, line) from error
        except ValueError as error:  # Python refuses to convert integers of thousands of digits
            raise DataError(file, "holds a number of too many digits", line) from error
        except RecursionError as error:
            message = "is nested too deeply; a request is one flat JSON object"
            raise DataError(file, message, line) from error
        if not isinstance(row, dict):
            raise DataError(file, f"is not a JSON object but {type(row).__name__}", line)
        yield line, row


def _finite(value: float) -> bool:
    return abs(value) < 2.0**63


def _json_whole(value: object, what: str, file: str, line: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) >= 10**18:
        raise DataError(file, f"{what}: {_show(value)} is not a whole number", line)
    return value
