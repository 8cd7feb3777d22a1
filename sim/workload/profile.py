"""Daily profiles in CSV files: from which second of the day on which multiple of the rate holds."""

from __future__ import annotations

from pathlib import Path

from sim.errors import DataError
from sim.workload.arrivals import DAY_S
from sim.workload.readers import csv_rows, number

_COLUMNS = ("from_s", "times")


def read_profile(file: Path, label: str) -> tuple[tuple[float, float], ...]:
    """((second of the day, multiple of the rate), …), ascending; before the first the last holds.

    Raises:
        DataError: what is no such file, with the line where there is one; ``label`` is the file
            as messages call it.
    """
    steps: list[tuple[float, float]] = []
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            for line, row in csv_rows(stream, label, _COLUMNS, ()):
                start_s, times = (number(row[name], name, label, line) for name in _COLUMNS)
                if not 0.0 <= start_s < DAY_S:
                    raise DataError(label, f"from_s: {start_s:g} is not from 0 to 86400 s", line)
                if steps and start_s <= steps[-1][0]:
                    raise DataError(label, "from_s: times of day must ascend", line)
                if times < 0.0:
                    raise DataError(label, f"times: {times:g} is negative", line)
                steps.append((start_s, times))
    except OSError as error:
        raise DataError(label, f"cannot be read: {(error.strerror or 'error').lower()}") from error
    except UnicodeDecodeError:
        raise DataError(label, "is not UTF-8 text") from None
    if not steps:
        raise DataError(label, "has no row below its head")
    if not any(times for _, times in steps):
        raise DataError(label, "every multiple is 0, so no request would ever arrive")
    return tuple(steps)
