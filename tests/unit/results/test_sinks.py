"""Sinks: equal rows give equal bytes however they were written, and nothing is dropped."""

from __future__ import annotations

import hashlib
import tempfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.errors import UnknownName
from sim.results import parquet, schema, stored
from sim.results.memory import MemorySink
from sim.results.parquet import ParquetSink
from sim.results.schema import to_batch
from sim.results.tables import OUTCOMES, TABLES
from tests.unit.results.by_hand import empty, part, power_edges, requests


def digests(folder: Path) -> dict[str, str]:
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


@given(st.lists(st.integers(0, 300), max_size=6), st.booleans())
@settings(max_examples=25, deadline=None)
def test_bytes_do_not_depend_on_how_rows_were_written(cuts: list[int], as_lists: bool) -> None:
    rows = requests(300)
    rows["replica"] = [None if i % 7 == 0 else i % 3 for i in range(300)]
    rows["end_s"] = np.where(np.arange(300) % 11 == 0, np.nan, rows["end_s"])
    with tempfile.TemporaryDirectory() as place, pytest.MonkeyPatch.context() as patch:
        for module, name, value in (
            (parquet, "GROUP_ROWS", 32), (parquet, "PART_ROWS", 96), (stored, "PART_ROWS", 96),
        ):  # fmt: skip
            patch.setattr(module, name, value)
        whole, cut = ParquetSink(Path(place, "whole")), ParquetSink(Path(place, "cut"))
        whole.write("requests", rows)
        edges = [0, *sorted(cuts), 300]
        for start, stop in pairwise(edges):
            piece = part(rows, start, stop)
            if as_lists:
                piece = {name: list(values) for name, values in piece.items()}
            cut.write("requests", piece)
        for sink in (whole, cut):
            sink.close(0.0)
            sink.publish({}, {})
        assert digests(Path(place, "whole")) == digests(Path(place, "cut"))
        assert len(list(Path(place, "cut", "requests").iterdir())) == 4
        assert cut.tables()["requests"].num_rows == 300


def test_bytes_do_not_depend_on_whether_names_or_codes_were_written(tmp_path: Path) -> None:
    rows = requests(300)
    rng = np.random.default_rng(1)
    for name, names in (
        ("workload", ["chat", "code", "batch", "spare"]), ("pool", ["b", "a"]),
        ("outcome", [*OUTCOMES]),
    ):  # fmt: skip
        used = [value for value in names if value != "spare"]
        rows[name] = [used[k] for k in rng.integers(0, len(used), 300)]
    coded = dict(rows)
    for name in ("workload", "pool", "outcome"):
        names = ["spare", "none", *sorted(set(rows[name]), reverse=True)]
        codes = np.array([names.index(value) for value in rows[name]], np.int16)
        coded[name] = pa.DictionaryArray.from_arrays(codes, names)
    for place, content in (("names", rows), ("codes", coded)):
        sink = ParquetSink(tmp_path / place)
        for start in range(0, 300, 70):
            sink.write("requests", part(content, start, start + 70))
        sink.close(0.0)
        sink.publish({}, {})
    assert digests(tmp_path / "names") == digests(tmp_path / "codes")
    table = pq.read_table(tmp_path / "codes" / "requests")
    assert table.schema.field("workload").type == pa.string()
    assert table.column("workload").to_pylist() == rows["workload"]


def test_a_category_may_be_null_and_may_be_of_many_values(tmp_path: Path) -> None:
    reasons = [None if i % 3 else f"reason-{i % 1200}" for i in range(3000)]
    columns = {**{c.name: ["x"] * 3000 for c in TABLES["decisions"]}, "t_s": np.arange(3000.0),
               "rank": [0] * 3000, "accepted": [False] * 3000, "reason_code": reasons}  # fmt: skip
    sink = ParquetSink(tmp_path / "run")
    sink.write("decisions", columns)
    assert sink.close(0.0)["decisions"].column("reason_code").to_pylist() == reasons
    sink.discard()


def test_units_and_meanings_are_in_the_field_metadata(tmp_path: Path) -> None:
    sink = ParquetSink(tmp_path / "run")
    sink.write("requests", requests(10))
    field = sink.close(0.0)["requests"].schema.field("arrival_s")
    assert field.metadata[b"unit"] == b"s"
    assert field.metadata[b"meaning"] == b"sent by the user, for the first time"
    sink.discard()
    assert list(tmp_path.iterdir()) == []


def test_none_and_nan_are_null() -> None:
    rows = part(requests(3), 0, 3)
    rows["end_s"] = np.array([1.0, np.nan, 2.0])
    rows["replica"] = [None, 1, 2]
    batch = to_batch("requests", rows)
    assert batch.column("end_s").to_pylist() == [1.0, None, 2.0]
    assert batch.column("replica").to_pylist() == [None, 1, 2]


def test_memory_and_parquet_give_equal_tables(tmp_path: Path) -> None:
    memory, files = MemorySink(), ParquetSink(tmp_path / "run")
    for sink in (memory, files):
        sink.write("requests", requests(500))
        sink.write("power_edges", power_edges())
        sink.write("events", empty("events"))
    left, right = memory.close(0.0), files.close(0.0)
    assert list(left) == list(right) == ["events", "power_edges", "requests"]
    for name in left:
        assert left[name].equals(right[name], check_metadata=True)
    assert right.select("requests", ["met"]).column_names == ["met"]
    files.discard()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"end": []}, "table 'power_edges' takes exactly its columns: unknown: end"),
        ({"share": None}, "table 'power_edges' takes exactly its columns: missing: share"),
        (
            {"share": [1.0]},
            "columns of table 'power_edges' differ in length (child: 2, parent: 2, share: 1)",
        ),
        (
            {"child": [1, 2**40]},
            "column 'child' of table 'power_edges' does not fit int32: ",
        ),
    ],
)
def test_columns_that_do_not_fit_are_refused(change: dict[str, object], message: str) -> None:
    columns = {k: v for k, v in {**power_edges(), **change}.items() if v is not None}
    with pytest.raises(ValueError, match="power_edges") as caught:
        MemorySink().write("power_edges", columns)
    assert str(caught.value).startswith(message)


def test_an_unknown_table_is_refused_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match="did you mean 'requests'"):
        MemorySink().write("request", {})


def test_rows_after_the_end_are_refused(tmp_path: Path) -> None:
    sink = ParquetSink(tmp_path / "run")
    sink.close(0.0)
    with pytest.raises(ValueError, match="after the sink was closed"):
        sink.write("power_edges", power_edges())
    sink.discard()


def test_blocks_keep_order_and_lose_nothing() -> None:
    blocks = schema.Blocks("power_edges", 4)
    numbers = list(range(23))
    seen: list[int] = []
    for start in range(0, 23, 5):
        piece = numbers[start : start + 5]
        columns = {"child": piece, "parent": piece, "share": [1.0] * len(piece)}
        for block in blocks.add(to_batch("power_edges", columns)):
            assert block.num_rows == 4
            assert isinstance(block, pa.Table)
            seen += block.column("child").to_pylist()
    assert seen + blocks.rest().column("child").to_pylist() == numbers
