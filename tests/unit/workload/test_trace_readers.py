"""Traces as their files tell them, and every way in which a file can be wrong."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sim.errors import DataError
from sim.workload import probe_trace, read_trace
from sim.workload.types import OPEN

AZURE_HEAD = "TIMESTAMP,ContextTokens,GeneratedTokens\r\n"
HEAD = "arrival_s,input_tokens,output_tokens\n"


def _write(folder: Path, text: str, name: str = "trace.csv") -> Path:
    file = folder / name
    file.write_bytes(text.encode())
    return file


def _refusal(file: Path, format: str, **options: bool) -> str:
    with pytest.raises(DataError) as caught:
        read_trace(file, format, **options)
    text = str(caught.value)
    assert text.startswith(str(file))
    return text.removeprefix(str(file))


def test_azure_rows_are_relative_to_the_first_with_100_ns_kept(tmp_path: Path) -> None:
    text = AZURE_HEAD + (
        "2023-11-16 23:59:59.9999999,374,44\r\n"
        "2023-11-17 00:00:00.0000001,396,109\r\n"
        "2023-11-17 00:00:01,879,55"
    )
    table = read_trace(_write(tmp_path, text), "azure")
    np.testing.assert_allclose(table.arrival_s, [0.0, 2e-7, 1.0000001], rtol=0, atol=1e-15)
    assert table.input_tokens.tolist() == [374, 396, 879]
    assert table.output_tokens.tolist() == [44, 109, 55]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("16.11.2023 18:15,1,1", "TIMESTAMP: '16.11.2023 18:15' is not like"),
        ("2023-02-30 00:00:00,1,1", "TIMESTAMP: '2023-02-30 00:00:00': day"),
        ("2023-11-32 00:00:00,1,1", "TIMESTAMP: '2023-11-32 00:00:00': day"),
        (
            "2023-11-16 25:61:61.5,1,1",
            "TIMESTAMP: '2023-11-16 25:61:61.5': times of day are 00:00:00 to 23:59:59",
        ),
        ("2023-11-16 24:00:00,1,1", "TIMESTAMP: '2023-11-16 24:00:00': times of day are"),
        ("2023-11-16 23:60:00,1,1", "TIMESTAMP: '2023-11-16 23:60:00': times of day are"),
        ("2023-11-16 23:59:60,1,1", "TIMESTAMP: '2023-11-16 23:59:60': times of day are"),
        ("2023-11-16 18:15:46.1,1.5,1", "ContextTokens: '1.5' is not a whole number"),
        ("2023-11-16 18:15:46.1,1,", "GeneratedTokens: '' is not a whole number"),
        ("2023-11-16 18:15:46.1,1", "has 2 fields where the header has 3; is the line cut short?"),
    ],
)
def test_broken_azure_row(tmp_path: Path, rows: str, message: str) -> None:
    text = AZURE_HEAD + "2023-01-16 18:15:46.6805900,374,44\r\n" + rows
    assert _refusal(_write(tmp_path, text), "azure").startswith(f":3: {message}")


def test_azure_row_before_the_first(tmp_path: Path) -> None:
    text = AZURE_HEAD + "2023-11-16 10:00:01,1,1\r\n2023-11-16 10:00:00,1,1"
    message = "TIMESTAMP: '2023-11-16 10:00:00' is before the first row; sort by TIMESTAMP"
    assert _refusal(_write(tmp_path, text), "azure") == f":3: {message}"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("0,-3,1\n", ":2: input tokens are -3; they cannot be negative"),
        ("0,0,1\n", ":2: input tokens are 0; a request has at least 1"),
        ("0,1,1\n1,5,-1\n", ":3: output tokens are -1; they cannot be negative"),
        (
            "0,2147483647,1\n1,2147483648,1\n",
            ":3: input tokens are 2147483648; no request has more than 2,147,483,647",
        ),
        (
            "0,1,3000000000\n",
            ":2: output tokens are 3000000000; no request has more than 2,147,483,647",
        ),
        (
            "0,1,1\n5,1,1\n3.5,1,1\n",
            ":4: arrival 3.5 s is before the 5 s of an earlier row; sort the trace by arrival",
        ),
        ("-1,1,1\n", ":2: arrival -1 s is negative; time starts at 0"),
        ("nan,1,1\n", ":2: arrival_s: 'nan' is not a finite number"),
        ("1e999,1,1\n", ":2: arrival_s: '1e999' is not a finite number"),
        ("soon,1,1\n", ":2: arrival_s: 'soon' is not a finite number"),
        ("0,1e3,1\n", ":2: input_tokens: '1e3' is not a whole number"),
        ("0,99999999999999999999,1\n", ":2: input_tokens: '99999999999999999999' is not a whole"),
        (",1,1\n", ":2: has neither arrival_s nor after_request"),
        ("0,1\n", ":2: has 2 fields where the header has 3; is the line cut short?"),
        ('0,1,"1\n', ":2: is not CSV: unexpected end of data"),
        ("", ": has no requests; a trace needs at least one row"),
    ],
)
def test_broken_csv_row(tmp_path: Path, body: str, message: str) -> None:
    assert _refusal(_write(tmp_path, HEAD + body), "csv").startswith(message)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            ",1,1,1,0",
            "after_request 1 does not point back: this is row 1 (counting from 0), so it must be "
            "from 0 to 0",
        ),
        (",1,1,-1,0", "after_request is -1; rows count from 0"),
        ("2,1,1,0,0", "has both arrival_s and after_request; leave one of them empty"),
        (",1,1,0,-4", "think_s is -4; it must be finite and not negative"),
        ("2,1,1,,4", "has think_s but no after_request; a pause needs a request to follow"),
        (",1,1,0,inf", "think_s: 'inf' is not a finite number"),
    ],
)
def test_broken_follower(tmp_path: Path, row: str, message: str) -> None:
    text = HEAD.strip() + ",after_request,think_s\n0,1,1,,\n" + row + "\n"
    assert _refusal(_write(tmp_path, text), "csv") == f":3: {message}"


@pytest.mark.parametrize("priority", [-1, 8, 300])
def test_priority_outside_the_classes(tmp_path: Path, priority: int) -> None:
    text = HEAD.strip() + f",priority\n0,1,1,7\n1,1,1,{priority}\n"
    message = f":3: priority is {priority}; classes are 0 (served first) to 7"
    assert _refusal(_write(tmp_path, text), "csv") == message


def test_first_row_cannot_follow(tmp_path: Path) -> None:
    text = HEAD.strip() + ",after_request\n,1,1,0\n"
    message = "after_request is 0, but the first row has no row to follow"
    assert _refusal(_write(tmp_path, text), "csv") == f":2: {message}"


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (
            "arrival_s,input_token,output_tokens",
            "column 'input_tokens' is missing (is it 'input_token'?)",
        ),
        ("a,b", "column 'arrival_s' is missing (the columns are a, b)"),
        (
            AZURE_HEAD.strip(),
            "column 'arrival_s' is missing (this is an Azure LLM trace: say that its format is "
            "azure)",
        ),
        (
            HEAD.strip() + ",priorty",
            "unknown column 'priorty' (did you mean 'priority'?); columns of your own start with "
            "'x-'",
        ),
        (HEAD.strip() + ",arrival_s", "column 'arrival_s' is there 2 times"),
    ],
)
def test_broken_header(tmp_path: Path, header: str, message: str) -> None:
    assert _refusal(_write(tmp_path, header + "\n0,1,1\n"), "csv") == f":1: {message}"


def test_empty_missing_binary_and_unknown(tmp_path: Path) -> None:
    expected = ": is empty; expected a header arrival_s,input_tokens,output_tokens"
    assert _refusal(_write(tmp_path, ""), "csv") == expected
    assert _refusal(tmp_path / "no.csv", "csv") == ": cannot be read: No such file or directory"
    assert _refusal(tmp_path, "csv") == ": cannot be read: Is a directory"
    file = tmp_path / "trace.bin"
    file.write_bytes(b"\xff\xfe\x00\x01")
    assert "is not UTF-8 text" in _refusal(file, "csv")
    assert _refusal(file, "mooncacke").startswith(
        ": unknown trace format 'mooncacke' (did you mean 'mooncake'?)"
    )


def test_csv_optional_columns(tmp_path: Path) -> None:
    text = (
        HEAD.strip() + ",priority,after_request,think_s,cancel_after_s,x-user\n"
        "0.5,10,1,2,,,,ann\n,20,2,,0,1.5,30,ann\n1.5,30,3,0,,0,,bob\n"
    )
    table = read_trace(_write(tmp_path, text), "csv")
    np.testing.assert_array_equal(table.arrival_s, [0.5, math.nan, 1.5])
    assert table.priority is not None
    assert table.priority.tolist() == [2, 0, 0]
    assert table.after_request.tolist() == [OPEN, 0, OPEN]
    assert table.think_s.tolist() == [0.0, 1.5, 0.0]
    assert table.cancel_after_s is not None
    assert table.cancel_after_s.tolist() == [math.inf, 30.0, math.inf]


def test_output_of_zero_only_where_nothing_is_generated(tmp_path: Path) -> None:
    file = _write(tmp_path, HEAD + "0,5,0\n")
    assert read_trace(file, "csv").output_tokens.tolist() == [0]
    message = "output tokens are 0; only requests of `kind: embedding` generate nothing"
    assert _refusal(file, "csv", generative=True) == f":2: {message}"


MOONCAKE = '{"timestamp": 0, "input_length": 600, "output_length": 5, "hash_ids": [0, 1]}\n'


def test_mooncake_rows(tmp_path: Path) -> None:
    text = MOONCAKE + (
        '{"timestamp": 3001, "input_length": 20, "output_length": 7, "hash_ids": [0]}'
    )
    table = read_trace(_write(tmp_path, text), "mooncake")
    assert table.arrival_s.tolist() == [0.0, 3.001]
    assert table.prefix_ptr is not None
    assert table.prefix_ids is not None
    assert table.prefix_ptr.tolist() == [0, 2, 3]
    assert table.prefix_ids.tolist() == [0, 1, 0]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ('{"timestamp": 3000, "inp', "is not a whole JSON object: Unterminated string"),
        ("[1, 2]", "is not a JSON object but list"),
        (
            '{"timestamp": 1, "input_len": 3, "output_length": 1}',
            "field 'input_length' is missing (is it 'input_len'?)",
        ),
        (
            '{"timestamp": "1", "input_length": 3, "output_length": 1}',
            "timestamp: '1' is not a finite number of ms",
        ),
        (
            '{"timestamp": NaN, "input_length": 3, "output_length": 1}',
            "timestamp: nan is not a finite number of ms",
        ),
        (
            '{"timestamp": 1, "input_length": 3.5, "output_length": 1}',
            "input_length: 3.5 is not a whole number",
        ),
        (
            '{"timestamp": 1, "input_length": true, "output_length": 1}',
            "input_length: True is not a whole number",
        ),
        (
            '{"timestamp": 1, "input_length": 3, "output_length": 1}',
            "field 'hash_ids' is in some rows and not in others",
        ),
        (
            '{"timestamp": 1, "input_length": 3, "output_length": 1, "hash_ids": [-1]}',
            "hash_ids: -1 is negative; ids start at 0",
        ),
        (
            '{"timestamp": 1, "input_length": 3, "output_length": 1, "hash_ids": 4}',
            "hash_ids: 4 is not a list of block ids",
        ),
        (
            '{"timestamp": 1, "input_length": ' + "9" * 5000 + ', "output_length": 1}',
            "holds a number of too many digits",
        ),
        ("[" * 100_000, "is nested too deeply; a request is one flat JSON object"),
    ],
)
def test_broken_mooncake_row(tmp_path: Path, row: str, message: str) -> None:
    assert _refusal(_write(tmp_path, MOONCAKE + row), "mooncake").startswith(f":2: {message}")


def test_probe_refuses_numbers_and_nesting_beyond_reason(tmp_path: Path, trace) -> None:
    for row, message in (
        ('{"timestamp": ' + "1" * 5000 + "}", "holds a number of too many digits"),
        ('{"a":' * 100_000, "is nested too deeply; a request is one flat JSON object"),
    ):
        file = _write(tmp_path, MOONCAKE + row, "trace.jsonl")
        with pytest.raises(DataError) as caught:
            probe_trace(trace(file, "mooncake"))
        assert str(caught.value) == f"{file}:2: {message}"


def test_messages_cut_enormous_values_short(tmp_path: Path) -> None:
    digits = "7" * 4000
    row = f'{{"timestamp": 1, "input_length": {digits}, "output_length": 1, "hash_ids": []}}'
    mooncake = _refusal(_write(tmp_path, MOONCAKE + row), "mooncake")
    plain = _refusal(_write(tmp_path, HEAD + f"0,{digits},1\n"), "csv")
    for refusal in (mooncake, plain):
        assert refusal.startswith(":2: input_length: 777") or ":2: input_tokens: '777" in refusal
        assert refusal.endswith(" is not a whole number")
        assert len(refusal) < 140


BLANK = "is blank, and rows follow it; take the line out, or is the file damaged?"


def test_blank_lines_may_end_a_file_and_not_part_it(tmp_path: Path) -> None:
    rows = {
        "csv": (HEAD, "0,1,1\n"),
        "azure": (AZURE_HEAD, "2023-11-16 18:15:46.1,1,1\r\n"),
        "mooncake": (MOONCAKE, MOONCAKE),
    }
    for format, (head, row) in rows.items():
        whole = read_trace(_write(tmp_path, head + row), format)
        for end in ("\n", "\r\n\r\n", "  \n\n"):
            ended = read_trace(_write(tmp_path, head + row + end), format)
            assert len(ended) == len(whole)
        for gap in ("\n", " \t\r\n", "\n\n"):
            file = _write(tmp_path, head + row + gap + row)
            assert _refusal(file, format) == f":3: {BLANK}"


def test_blank_header(tmp_path: Path) -> None:
    message = ":1: is blank; expected a header arrival_s,input_tokens,output_tokens"
    assert _refusal(_write(tmp_path, "\n" + HEAD), "csv") == message
    file = _write(tmp_path, "\n\n", "trace.jsonl")
    assert _refusal(file, "mooncake") == ": has no requests; a trace needs at least one row"


def _parquet(folder: Path, **columns: object) -> Path:
    base: dict[str, object] = {
        "arrival_s": [0.0, 1.0],
        "input_tokens": [5, 6],
        "output_tokens": [1, 2],
    }
    file = folder / "trace.parquet"
    pq.write_table(pa.table({**base, **columns}), file)
    return file


def test_parquet_columns(tmp_path: Path) -> None:
    file = _parquet(
        tmp_path,
        arrival_s=[0.0, None],
        after_request=pa.array([None, 0], pa.int32()),
        think_s=[None, 2.0],
        prefix_ids=[[4, 5], []],
    )
    table = read_trace(file, "parquet")
    np.testing.assert_array_equal(table.arrival_s, [0.0, math.nan])
    assert table.after_request.tolist() == [OPEN, 0]
    assert table.think_s.tolist() == [0.0, 2.0]
    assert table.prefix_ptr is not None
    assert table.prefix_ptr.tolist() == [0, 2, 2]
    assert table.priority is None
    assert table.cancel_after_s is None


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"input_tokens": [5.5, 6.0]}, "row 0: input_tokens: 5.5 is not a whole number"),
        ({"input_tokens": [5, None]}, "row 1: input_tokens is null; every request has it"),
        ({"input_tokens": ["5", "6"]}, "column 'input_tokens' holds string; it must hold numbers"),
        ({"arrival_s": [1.0, 0.0]}, "row 1: arrival 0 s is before the 1 s of an earlier row"),
        ({"arrival_s": [0.0, math.nan]}, "row 1: arrival_s is NaN; leave it null"),
        ({"arrival_s": [0.0, None]}, "row 1: has neither arrival_s nor after_request"),
        ({"prefix_ids": [1, 2]}, "column 'prefix_ids' holds int64; it must hold lists of integers"),
        ({"prefix_ids": [[1], None]}, "row 1: prefix_ids is null; write an empty list for none"),
        ({"prefix_ids": [[1], [-2]]}, "prefix_ids holds -2; ids start at 0"),
        ({"after_request": [None, -1]}, "row 1: after_request is -1; rows count from 0"),
        ({"prioriti": [1, 2]}, "unknown column 'prioriti' (did you mean 'priority'?)"),
    ],
)
def test_broken_parquet(tmp_path: Path, columns: dict[str, object], message: str) -> None:
    refusal = _refusal(_parquet(tmp_path, **columns), "parquet")
    assert refusal.startswith(f": {message}")


def test_parquet_that_is_none(tmp_path: Path) -> None:
    file = _write(tmp_path, HEAD + "0,1,1\n", "trace.parquet")
    assert _refusal(file, "parquet").startswith(": is not a whole Parquet file: ")
    assert _refusal(tmp_path / "no.parquet", "parquet").startswith(": cannot be read: ")


def test_same_requests_from_csv_and_parquet(tmp_path: Path) -> None:
    text = HEAD + "0,5,1\n1,6,2\n"
    left = read_trace(_write(tmp_path, text), "csv")
    right = read_trace(_parquet(tmp_path), "parquet")
    np.testing.assert_array_equal(left.arrival_s, right.arrival_s)
    np.testing.assert_array_equal(left.input_tokens, right.input_tokens)
    np.testing.assert_array_equal(left.output_tokens, right.output_tokens)


def test_probe_looks_at_the_head_only(tmp_path: Path, trace) -> None:
    good = HEAD + "".join(f"{i},1,1\n" for i in range(2000))
    probe_trace(trace(_write(tmp_path, good + "broken\n")))
    with pytest.raises(DataError, match=r":12: has 1 fields"):
        probe_trace(trace(_write(tmp_path, HEAD + "0,1,1\n" * 10 + "broken\n")))
    with pytest.raises(DataError, match="No such file"):
        probe_trace(trace(tmp_path / "none.jsonl", "mooncake"))


def test_probe_knows_whether_requests_must_generate(tmp_path: Path, trace) -> None:
    spec = trace(_write(tmp_path, HEAD + "0,5,1\n1,5,0\n"))
    probe_trace(spec)
    message = ":3: output tokens are 0; only requests of `kind: embedding` generate nothing"
    with pytest.raises(DataError) as caught:
        probe_trace(spec, generative=True)
    assert str(caught.value) == f"{spec.file}{message}"
