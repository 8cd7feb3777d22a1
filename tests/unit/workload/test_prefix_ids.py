"""Prefix ids of traces: how many tokens one stands for, and that they are chained."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sim.errors import DataError
from sim.workload import build_source, probe_trace, read_trace

HEADER = "arrival_s,input_tokens,output_tokens,prefix_ids\n"


def chunk_of(made):
    """The only chunk of a workload."""
    (chunk,) = build_source(made, index=0, seed=7, duration_s=60.0).chunks()
    return chunk


def test_csv_has_ids_with_spaces_between(csv_trace) -> None:
    table = read_trace(csv_trace(HEADER + "0,100,10,7 8 9\n1,90,20,\n2,40,5, 7\n"), "csv")
    assert table.prefix_ptr is not None
    assert table.prefix_ids is not None
    assert table.prefix_ptr.tolist() == [0, 3, 3, 4]
    assert table.prefix_ids.tolist() == [7, 8, 9, 7]


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("7 x", ":2: prefix_ids: 'x' is not a whole number"),
        ("7 -8", ":2: prefix_ids: -8 is negative; ids start at 0"),
        ("7;8", ":2: prefix_ids: '7;8' is not a whole number"),
    ],
)
def test_csv_with_other_ids_is_refused(csv_trace, cell, message) -> None:
    with pytest.raises(DataError, match=message):
        read_trace(csv_trace(HEADER + f"0,100,10,{cell}\n"), "csv")


def test_a_source_says_how_many_tokens_an_id_stands_for(csv_trace, trace, workload) -> None:
    file = csv_trace(HEADER + "0,100,10,1 2 3\n1,90,20,1 2\n")
    chunk = chunk_of(workload(trace=replace(trace(file), prefix_block_tokens=32)))
    assert chunk.prefix_block_tokens == 32
    assert chunk.prefix_ids is not None
    assert chunk.prefix_ids.tolist() == [0, 1, 2, 0, 1]


def test_without_ids_there_is_nothing_to_say(csv_trace, trace, workload) -> None:
    chunk = chunk_of(workload(trace=trace(csv_trace("0,100,10\n"))))
    assert chunk.prefix_ids is None
    assert chunk.prefix_block_tokens == 0


def test_ids_of_mooncake_stand_for_512_tokens(tmp_path, trace, workload) -> None:
    file = tmp_path / "trace.jsonl"
    line = '{"timestamp": 0, "input_length": 600, "output_length": 1, "hash_ids": [0, 1]}\n'
    file.write_text(line)
    spec = replace(trace(file, "mooncake"), spread_s=0.0)
    assert chunk_of(workload(trace=spec)).prefix_block_tokens == 512
    finer = replace(spec, prefix_block_tokens=16)
    assert chunk_of(workload(trace=finer)).prefix_block_tokens == 16


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (None, r"trace\.csv: has prefix_ids; say how many tokens one stands for: `prefix_block"),
        (100, r"trace\.csv: prefix_block_tokens is 100, .* 16 tokens: write 96 or 112"),
        (8, r"is 8, but one id must stand for whole KV blocks of 16 tokens: write 16"),
    ],
)
def test_ids_of_no_whole_blocks_are_refused(csv_trace, trace, workload, tokens, message) -> None:
    spec = replace(trace(csv_trace(HEADER + "0,100,10,1\n")), prefix_block_tokens=tokens)
    with pytest.raises(DataError, match=message):
        probe_trace(spec)
    with pytest.raises(DataError, match=message):
        chunk_of(workload(trace=spec))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("0,100,10,1 2 3\n1,90,20,1 4 3\n", "id 3 follows 4 in request 1 and follows 2 in request"),
        ("0,100,10,1 2\n1,90,20,2 1\n", "id 2 starts a prompt in request 1 and follows 1 in"),
        ("0,100,10,\n1,90,20,5 6 5\n", "id 5 follows 6 in request 1 and starts a prompt in"),
    ],
)
def test_ids_that_name_no_prefix_are_refused(csv_trace, trace, workload, rows, message) -> None:
    spec = replace(trace(csv_trace(HEADER + rows)), prefix_block_tokens=16)
    with pytest.raises(DataError, match=message):
        probe_trace(spec)
    with pytest.raises(DataError, match=message):
        chunk_of(workload(trace=spec))


def test_hashes_become_small_numbers(tmp_path, trace, workload) -> None:
    file = tmp_path / "trace.parquet"
    hashes = [[2**62, 5], [2**62, 2**61], []]
    columns = {
        "arrival_s": [0.0, 1.0, 2.0], "input_tokens": [64, 64, 64], "output_tokens": [1, 1, 1],
        "prefix_ids": hashes,
    }  # fmt: skip
    pq.write_table(pa.table(columns), file)
    spec = replace(trace(file, "parquet", loop=True), prefix_block_tokens=16)
    source = build_source(workload(trace=spec), index=0, seed=7, duration_s=6.0)
    ids = [chunk.prefix_ids.tolist() for chunk in source.chunks()]
    assert ids == [[2, 0, 2, 1], [5, 3, 5, 4]]  # two passes of three ids


def test_mooncake_trace_is_chained(shared_data, trace) -> None:
    spec = trace(shared_data / "traces" / "mooncake_conversation.jsonl", "mooncake")
    table = probe_trace(spec)
    assert table.prefix_ids is not None
    assert len(np.unique(table.prefix_ids)) > 10_000
