"""Which requests belong together: clients, a column of a trace, conversations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sim.engine.arrivals import Feed, sessions
from sim.engine.prefix import prefix_key
from sim.errors import DataError
from sim.workload import build_source
from sim.workload.traces import read_trace

HEAD = "arrival_s,input_tokens,output_tokens"
NAMED = f"{HEAD},session\n0,1,1,70\n1,2,1,\n2,3,1,7\n3,4,1,70\n"


def of(workload: Any, rows: int = 100) -> list[int] | None:
    """The sessions of the first rows of a workload; None where it tells nothing."""
    chunk = next(build_source(workload, index=0, seed=7, duration_s=3600.0).chunks())
    return None if chunk.session is None else chunk.session[:rows].tolist()


def test_each_client_is_one(workload, synthetic) -> None:
    closed = workload(
        clients=3, rate_per_s=None, synthetic=synthetic(input_tokens=5, output_tokens=1)
    )
    assert of(closed, 7) == [0, 1, 2, 0, 1, 2, 0]


def test_an_open_source_tells_nothing(workload, synthetic) -> None:
    assert (
        of(workload(rate_per_s=1.0, synthetic=synthetic(input_tokens=5, output_tokens=1))) is None
    )


def test_a_trace_s_column_is_numbered_from_0(workload, trace, csv_trace) -> None:
    assert of(workload(trace=trace(csv_trace(NAMED)))) == [1, -1, 0, 1]


def test_a_slice_of_it(workload, trace, csv_trace) -> None:
    assert of(workload(trace=trace(csv_trace(NAMED), start_s=1.0))) == [-1, 0, 1]


def test_else_each_conversation_is_one(workload, trace, csv_trace) -> None:
    text = f"{HEAD},after_request,think_s\n0,1,1,,\n1,2,1,,\n,3,1,0,1\n,4,1,2,1\n"
    found = of(workload(trace=trace(csv_trace(text))))
    assert found == [0, 0, 0, 1]  # the rows that follow the first stand behind it


def test_else_nothing_is_known(workload, trace, csv_trace) -> None:
    assert of(workload(trace=trace(csv_trace("0,1,1\n1,2,1\n")))) is None


def test_sessions_of_passes_never_meet(workload, trace, csv_trace) -> None:
    spec = trace(csv_trace(NAMED), loop=True)
    source = build_source(workload(trace=spec), index=0, seed=7, duration_s=12.0)
    found = [s for chunk in source.chunks() for s in np.asarray(chunk.session).tolist()]
    assert found == [1, -1, 0, 1, 3, -1, 2, 3, 5, -1, 4, 5]


def test_parquet_tells_the_same(tmp_path: Path) -> None:
    file = tmp_path / "trace.parquet"
    columns = {"arrival_s": [0.0, 1.0], "input_tokens": [1, 2], "output_tokens": [1, 1]}
    pq.write_table(pa.table({**columns, "session": [70, None]}), file)
    table = read_trace(file, "parquet")
    assert table.session is not None
    assert table.session.tolist() == [70, -1]
    pq.write_table(pa.table({**columns, "session": [70, -2]}), file)
    with pytest.raises(DataError, match="row 1: session is -2; sessions count from 0"):
        read_trace(file, "parquet")


@pytest.mark.parametrize(
    ("cell", "message"),
    [("-1", "session is -1; sessions count from 0"), ("bob", "session: 'bob' is not a whole")],
)
def test_senseless_sessions(csv_trace, cell: str, message: str) -> None:
    with pytest.raises(DataError, match=f":2: {message}"):
        read_trace(csv_trace(f"{HEAD},session\n0,1,1,{cell}\n"), "csv")


def test_those_of_two_workloads_differ(workload, trace, csv_trace) -> None:
    source = build_source(workload(trace=trace(csv_trace(NAMED))), index=1, seed=7, duration_s=9.0)
    (chunk,) = source.chunks()
    assert sessions(chunk, 1).tolist() == [prefix_key(1, 1), -1, prefix_key(1, 0), prefix_key(1, 1)]
    feed = Feed(source, 1)
    rows = [feed.next_open() for _ in range(4)]
    assert [row.session for row in rows if row] == sessions(chunk, 1).tolist()
