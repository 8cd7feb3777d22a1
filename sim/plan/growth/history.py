"""A history of monthly peaks: a CSV file with the columns ``month`` and ``peak``."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from sim.errors import Mark, Problem, ScenarioError
from sim.spec.files import text_of
from sim.spec.growth import History
from sim.spec.months import MONTHS_A_YEAR, month_text, read_month

COLUMNS = ("month", "peak")
#: Fewer months say too little of how much growth differs from month to month.
LEAST = 12
#: Of a season, two of each month.
LEAST_OF_SEASON = 2 * MONTHS_A_YEAR


@dataclass(frozen=True)
class Peaks:
    """[n] the load of the busiest time of each month, from ``first`` on."""

    first: int
    loads: NDArray[np.float64]

    @property
    def last(self) -> int:
        """The last month."""
        return self.first + len(self.loads) - 1


def read_peaks(history: History) -> Peaks:
    """Read a history: every month once, in order, without a gap.

    Raises:
        ScenarioError: everything that is wrong with the file, with its lines, or that it is too
            short.
    """
    text = text_of(history.file, history.real, history.mark, "growth.history")
    problems: list[Problem] = []
    rows = list(_rows(history.file, text, problems))
    if all(problem.path == "peak" for problem in problems):  # else a gap may be an echo
        problems += _gaps(history.file, rows)
    if not problems:
        problems += _short(history, len(rows))
    if problems:
        raise ScenarioError(problems)
    return Peaks(rows[0][1], np.array([load for _, _, load in rows]))


def _rows(file: str, text: str, problems: list[Problem]) -> Iterator[tuple[int, int, float]]:
    """(line, month, load) of the rows whose month can be read; the load is none where it cannot."""
    reader = csv.reader(text.splitlines())

    def wrong(line: int, message: str, column: str = "") -> None:
        problems.append(Problem(Mark(file, line, 1), column, message))

    try:
        head = [name.strip() for name in next(reader, [])]
        if sorted(head) != sorted(COLUMNS):
            written = ", ".join(head) if head else "nothing"
            wrong(1, f"expected the columns month,peak, not {written}")
            return
        for row in reader:
            line = reader.line_num
            if not row:
                continue
            if len(row) != len(head):
                wrong(line, f"expected {len(head)} values, not {len(row)}")
                continue
            cells = dict(zip(head, row, strict=True))
            month, load = _month(cells["month"]), _load(cells["peak"])
            if isinstance(month, str):
                wrong(line, month, "month")
            if isinstance(load, str):
                wrong(line, load, "peak")
            if isinstance(month, int):
                yield line, month, load if isinstance(load, float) else math.nan
    except csv.Error as error:
        wrong(reader.line_num, f"is no CSV: {error}")


def _month(text: str) -> int | str:
    try:
        return read_month(text)
    except ValueError as error:  # of which pydantic's own is one
        return error.message() if hasattr(error, "message") else str(error)


def _load(text: str) -> float | str:
    try:
        load = float(text)
    except ValueError:
        return f"expected a number without a unit, not {text.strip()!r}"
    if not math.isfinite(load) or load <= 0.0:
        return f"must be above 0, not {text.strip()} (growth is reckoned of logarithms)"
    return load


def _gaps(file: str, rows: list[tuple[int, int, float]]) -> Iterator[Problem]:
    for (_, before, _), (line, month, _) in pairwise(rows):
        if month == before + 1:
            continue
        after = month_text(before)
        if month <= before:
            message = f"{month_text(month)} after {after}: months must ascend, each once"
        else:
            missing = month - before - 1
            upto = "" if missing == 1 else f" to {month_text(month - 1)}"
            message = f"{month_text(before + 1)}{upto} missing: nothing is made up for a gap"
        yield Problem(Mark(file, line, 1), "month", message)


def _short(history: History, months: int) -> Iterator[Problem]:
    least, what = LEAST, "a forecast"
    if history.season is not None and months >= LEAST:
        least, what = LEAST_OF_SEASON, "'season: yearly'"
    if months < least:
        message = f"has {months} month{'' if months == 1 else 's'}; {what} needs {least} at least"
        if history.season is None or least == LEAST:
            message += "; state the growth's quantiles instead"
        yield Problem(history.mark, "growth.history", f"{history.file} {message}")
