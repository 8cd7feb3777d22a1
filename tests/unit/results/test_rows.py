"""Rows of kernels and columns of tables say the same."""

from __future__ import annotations

import numpy as np
import pytest

from sim.kernels.rows import POWER_ROW, REQUEST_ROW
from sim.results.memory import MemorySink
from sim.results.rows import power_columns, request_columns
from sim.results.sink import RowSink
from sim.results.tables import OUTCOMES, TABLES
from tests.unit.results.by_hand import fill, part, requests, summariser


def as_rows(columns: dict[str, object]) -> np.ndarray:
    """Columns of ``requests`` made by hand as rows of a kernel, one by one."""
    rows = np.zeros(len(columns["request_id"]), REQUEST_ROW)
    for name in REQUEST_ROW.names:
        if name == "workload":
            values = [["chat", "code"].index(value) for value in columns[name]]
        elif name == "again":
            values = [False] * len(rows)
        elif name == "outcome":
            values = [OUTCOMES.index(value) for value in columns[name]]
        else:
            empty = -1 if name == "replica" else np.nan
            values = [empty if value is None else value for value in columns[name]]
        rows[name] = values
    return rows


def test_request_columns_are_the_tables() -> None:
    rows = as_rows(part(requests(3), 0, 3))
    rows["workload"] = [1, 0, 1]
    rows["outcome"] = [0, 3, 6]
    rows["replica"] = [4, -1, 0]
    rows["ingress_s"][1], rows["attempts"][1] = 2.5, 3
    rows["end_s"][2] = np.nan
    columns = request_columns(rows, ["chat", "code"], ["big", "small"])
    assert list(columns) == [column.name for column in TABLES["requests"]]
    assert columns["workload"].to_pylist() == ["code", "chat", "code"]
    assert columns["pool"].to_pylist() == ["small", "big", "small"]
    assert columns["outcome"].to_pylist() == ["completed", "shed", "unfinished"]
    assert columns["replica"].to_pylist() == [4, None, 0]
    assert columns["end_s"].to_pylist() == [*rows["end_s"][:2], None]
    assert columns["ingress_s"].to_pylist() == [0.0, 2.5, 0.0]
    assert columns["attempts"].to_pylist() == [1, 3, 1]
    rows["arrival_s"] = -1.0  # the memory is used again
    assert min(columns["arrival_s"].to_pylist()) >= 0.0


def test_power_columns_are_the_tables() -> None:
    rows = np.array([(1.5, 7, 9, 2), (2.5, 8, 10, 0)], POWER_ROW)
    columns = power_columns(rows)
    assert list(columns) == [column.name for column in TABLES["power"]]
    assert {name: values.to_pylist() for name, values in columns.items()} == {
        "node": [2, 0], "t_s": [1.5, 2.5], "out_mw": [7, 8], "in_mw": [9, 10]
    }  # fmt: skip


@pytest.mark.parametrize("record", ["full", "sampled", "summary"])
def test_rows_and_columns_give_equal_results(record: str) -> None:
    columns = requests(2000)
    columns["met"][::5] = False
    columns["end_s"][7] = columns["first_token_s"][7] = np.nan
    columns["outcome"][7] = "unfinished"
    columns["met"][7] = False
    columns["attempts"][9], columns["ingress_s"][9] = 3, 1.5
    for name in ("admitted_s", "first_token_s", "end_s"):
        columns[name][9] += 1.5
    power = {"node": [0, 1, 0, 2], "t_s": [0.0, 0.0, 70.5, 1.0], "out_mw": [5, 6, 7, 8],
             "in_mw": [9, 8, 7, 6]}  # fmt: skip
    by_columns = summariser(MemorySink(), record=record)
    fill(by_columns, columns, power=power)
    by_rows = summariser(MemorySink(), record=record, pools=["chat"])
    assert isinstance(by_rows, RowSink)
    fill(by_rows, part(columns, 0, 0), power={name: [] for name in power})
    rows = as_rows(columns)
    for start in range(0, 2000, 300):
        block = rows[start : start + 300].copy()
        by_rows.write_requests(block)
        block[:] = 0
    changes = np.zeros(4, POWER_ROW)
    for name, values in power.items():
        changes[name] = values
    by_rows.write_power(changes)
    left, right = by_columns.close(700.0), by_rows.close(700.0)
    assert list(left) == list(right)
    for name in left:
        assert left[name].equals(right[name]), name
