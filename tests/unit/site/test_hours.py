"""Hours from a file: which hour holds when, gaps, and what is no such file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sim.errors import DataError
from sim.site.hours import Column, Hours, flat, read_hours

#: 2023-06-01T00:00Z.
DAY_S = 1685577600.0


def column(folder: Path, text: str, **changes: Any) -> Column:
    file = folder / "h.csv"
    file.write_text(text, encoding="utf-8")
    given: dict[str, Any] = {
        "file": file, "label": "h.csv", "name": "v", "factor": 1.0, "start_s": DAY_S,
        "length_s": 7200.0, "hold": False,
    }  # fmt: skip
    return Column(**{**given, **changes})


def rows(*cells: str, zone: str = "Z") -> str:
    lines = [f"2023-06-01T{hour:02}:00{zone},{cell}" for hour, cell in enumerate(cells)]
    return "\n".join(["time,v", *lines]) + "\n"


def test_a_value_holds_from_its_hour_to_the_next(tmp_path: Path) -> None:
    hours, held = read_hours(column(tmp_path, rows("1", "2", "3"), start_s=DAY_S + 1800))
    assert (hours, held) == (Hours((1.0, 2.0, 3.0), lead_min=30), 0)
    assert hours.at(np.array([0, 29, 30, 89, 90, 119])).tolist() == [1, 1, 2, 2, 3, 3]
    with pytest.raises(ValueError, match="hours 0 to 2 do not hold 3"):
        hours.at(np.array([150]))


def test_a_flat_value_holds_for_ever() -> None:
    assert flat(7.0).at(np.array([0, 10**7])).tolist() == [7.0, 7.0]


def test_only_the_hours_of_the_run_are_kept_and_scaled(tmp_path: Path) -> None:
    text = rows("x", "2", "-3", "x")
    hours, _ = read_hours(column(tmp_path, text, start_s=DAY_S + 3600, factor=0.5))
    assert hours.values == (1.0, -1.5)


@pytest.mark.parametrize("gap", ["", "  "])
def test_a_gap_is_refused_or_held(tmp_path: Path, gap: str) -> None:
    text = rows("1", gap, "3")
    with pytest.raises(DataError, match=r"lacks 1 of the 2 hours of the run, first 2023-06-01T01"):
        read_hours(column(tmp_path, text))
    hours, held = read_hours(column(tmp_path, text, hold=True))
    assert (hours.values, held) == ((1.0, 1.0), 1)


def test_an_hour_without_a_row_is_a_gap_too(tmp_path: Path) -> None:
    text = rows("1", "2", "3").replace("2023-06-01T01:00Z,2\n", "")
    hours, held = read_hours(column(tmp_path, text, start_s=DAY_S + 3600, hold=True))
    assert (hours.values, held) == ((1.0, 3.0), 1)


def test_nothing_is_held_beyond_the_end_of_the_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the run needs 2023-06-01T00:00Z to 2023-06-01T01:00Z"):
        read_hours(column(tmp_path, rows("1"), hold=True))


def test_zones_are_turned_into_utc(tmp_path: Path) -> None:
    text = rows("1", "2", "3", "4", zone="+02:00")
    hours, _ = read_hours(column(tmp_path, text, length_s=3600.0))
    assert hours.values == (3.0,)


def test_a_column_named_utc_needs_no_zone(tmp_path: Path) -> None:
    text = rows("1", "2", zone="").replace("time,", "hour_utc,")
    assert read_hours(column(tmp_path, text))[0].values == (1.0, 2.0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "h.csv: is empty"),
        ("time,v\n", "h.csv: has no row below its head"),
        ("v,w\n2023-06-01T00:00Z,1\n", "h.csv:1: has no column 'v' (known: w)"),
        ("time,v\nmorning,1\n", "h.csv:2: 'morning' in the first column is not a time such as "
         "2023-06-01T00:00Z"),
        ("time,v\n2023-06-01T00:00Z,1,2\n", "h.csv:2: has 3 cells where the head has 2"),
        (rows("1", "nan"), "h.csv:3: 'nan' is not a number (a missing hour is an empty cell)"),
        (rows("1", "51"), "h.csv:3: v is 51, above 50"),
    ],
)  # fmt: skip
def test_what_is_no_such_file(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError) as caught:
        read_hours(column(tmp_path, text, most=50.0))
    assert str(caught.value) == message


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    given = column(tmp_path, "")
    given.file.write_bytes(b"time,v\n\xff\xfe")
    with pytest.raises(DataError, match="is not UTF-8 text"):
        read_hours(given)
    with pytest.raises(DataError, match="cannot be read: no such file"):
        read_hours(column(tmp_path, "", file=tmp_path / "none.csv"))
