"""Traces in replay: spread, sliced, looped, at other rates."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from sim.errors import BuildError, DataError
from sim.workload import build_source, source
from sim.workload.types import OPEN

HEAD = "arrival_s,input_tokens,output_tokens"


def _steady(rows: int = 400, gap_s: float = 2.5) -> str:
    """Row i has input i + 1 and output 2 (i + 1), so that a pair tells its row."""
    return "".join(f"{i * gap_s},{i + 1},{2 * (i + 1)}\n" for i in range(rows))


def test_replays_every_row_once_as_recorded(csv_trace, trace, workload, requests) -> None:
    got = requests(workload(trace=trace(csv_trace(_steady())), priority=3))
    np.testing.assert_array_equal(got.arrival_s, np.arange(400) * 2.5)
    np.testing.assert_array_equal(got.input_tokens, np.arange(400) + 1)
    np.testing.assert_array_equal(got.output_tokens, 2 * got.input_tokens)
    assert set(got.priority.tolist()) == {3}
    assert set(got.after_request.tolist()) == {OPEN}
    assert np.isinf(got.cancel_after_s).all()


def test_duration_cuts_strictly_below(csv_trace, trace, workload, requests) -> None:
    got = requests(workload(trace=trace(csv_trace(_steady()))), duration_s=50.0)
    assert got.arrival_s[-1] == 47.5


def test_slice_counts_from_its_start_and_time_scale_stretches(
    csv_trace, trace, workload, requests
) -> None:
    spec = trace(csv_trace(_steady()), start_s=100.0, end_s=200.0, time_scale=2.0)
    got = requests(workload(trace=spec))
    np.testing.assert_allclose(got.arrival_s, np.arange(40) * 5.0)
    np.testing.assert_array_equal(got.input_tokens, np.arange(40, 80) + 1)


def test_slice_past_the_end_and_empty_slice(csv_trace, trace, workload, requests) -> None:
    file = csv_trace(_steady())
    with pytest.raises(DataError, match="the slice ends at 2000 s, but the trace ends at 1000 s"):
        requests(workload(trace=trace(file, end_s=2000.0)))
    expected = (
        "no request arrives in the slice from 1 s to 2 s; the trace's arrivals are from 0 s to "
        "997.5 s"
    )
    with pytest.raises(DataError, match=expected):
        requests(workload(trace=trace(file, start_s=1.0, end_s=2.0)))
    with pytest.raises(BuildError, match=r"workload\[0\]\.trace: the trace's first request"):
        requests(workload(trace=trace(csv_trace("7200,1,1\n7201,1,1\n"))))


def test_loop_repeats_with_the_trace_s_period(csv_trace, trace, workload, requests) -> None:
    got = requests(workload(trace=trace(csv_trace(_steady()), loop=True)), duration_s=2500.0)
    np.testing.assert_allclose(got.arrival_s, np.arange(1000) * 2.5)
    np.testing.assert_array_equal(got.input_tokens, np.arange(1000) % 400 + 1)


def test_one_arrival_tells_no_period(csv_trace, trace, workload, requests) -> None:
    file = csv_trace("3,1,1\n")
    assert len(requests(workload(trace=trace(file)))) == 1
    with pytest.raises(BuildError, match="one arrival does not tell the trace's period"):
        requests(workload(trace=trace(file, loop=True)))
    looped = trace(file, loop=True, end_s=10.0)
    got = requests(workload(trace=looped), duration_s=35.0)
    assert got.arrival_s.tolist() == [3.0, 13.0, 23.0, 33.0]


@pytest.mark.parametrize("ratio", [0.2, 0.75, 1.0, 1.3, 3.0, 7.5])
def test_rate_is_met_and_pairs_stay(csv_trace, trace, workload, requests, ratio: float) -> None:
    spec = trace(csv_trace(_steady()), loop=True)
    got = requests(workload(trace=spec, rate_per_s=0.4 * ratio), duration_s=100_000.0)
    wanted = 40_000 * ratio
    # Whole copies are exact; only the thinned one varies, as a binomial count.
    fraction = ratio - math.floor(ratio)
    assert abs(len(got) - wanted) <= 5 * math.sqrt(40_000 * fraction * (1 - fraction)) + ratio
    np.testing.assert_array_equal(got.output_tokens, 2 * got.input_tokens)
    assert (np.diff(got.arrival_s) >= 0).all()
    assert got.arrival_s[0] >= 0
    assert got.arrival_s[-1] < 100_000.0


def test_whole_copies_send_every_row_that_often(csv_trace, trace, workload, requests) -> None:
    got = requests(workload(trace=trace(csv_trace(_steady())), rate_per_s=0.4 * 3), duration_s=1e4)
    assert Counter(got.input_tokens.tolist()) == dict.fromkeys(range(1, 401), 3)
    # Copy 0 is the trace as recorded, the others are rotated inside the same period.
    times = set(zip(got.arrival_s.tolist(), got.input_tokens.tolist(), strict=True))
    assert {(i * 2.5, i + 1) for i in range(400)} <= times
    assert got.arrival_s[-1] < 1000.0


def test_thinning_is_nested_in_rate(csv_trace, trace, workload, requests) -> None:
    """A request sent at a low rate is sent at every higher one below the trace's own."""
    spec = trace(csv_trace(_steady()), loop=True)
    sent = [
        set(requests(workload(trace=spec, rate_per_s=0.4 * r), duration_s=5000.0).arrival_s)
        for r in (0.2, 0.5, 0.9)
    ]
    assert sent[0] < sent[1] < sent[2]


def test_longer_run_starts_with_the_shorter(csv_trace, trace, workload, requests) -> None:
    for rate in (None, 0.3, 1.7):
        w = workload(trace=trace(csv_trace(_steady()), loop=True), rate_per_s=rate)
        short, long = requests(w, duration_s=1234.0), requests(w, duration_s=9000.0)
        np.testing.assert_array_equal(short.arrival_s, long.arrival_s[: len(short)])
        np.testing.assert_array_equal(short.input_tokens, long.input_tokens[: len(short)])


def test_chunk_size_changes_no_row(csv_trace, trace, workload, requests, monkeypatch) -> None:
    w = workload(trace=trace(csv_trace(_steady()), loop=True), rate_per_s=1.5)
    whole = requests(w, duration_s=5000.0)
    monkeypatch.setattr(source, "CHUNK_ROWS", 64)
    small = requests(w, duration_s=5000.0)
    assert max(small.chunk_sizes) <= 64
    np.testing.assert_array_equal(whole.arrival_s, small.arrival_s)
    np.testing.assert_array_equal(whole.input_tokens, small.input_tokens)


def test_called_again_yields_the_same(csv_trace, trace, workload) -> None:
    w = workload(trace=trace(csv_trace(_steady()), loop=True), rate_per_s=1.1)
    made = build_source(w, index=0, seed=3, duration_s=3000.0)
    assert not made.closed
    first, second = ([chunk.arrival_s for chunk in made.chunks()] for _ in range(2))
    np.testing.assert_array_equal(np.concatenate(first), np.concatenate(second))
    other = build_source(w, index=0, seed=4, duration_s=3000.0)
    moved = np.concatenate([chunk.arrival_s for chunk in other.chunks()])
    assert not np.array_equal(np.concatenate(first), moved)


CONVERSATIONS = (
    f"{HEAD},after_request,think_s\n"
    "0,1,1,,\n"  # 0
    "1,2,1,,\n"  # 1
    ",3,1,0,5\n"  # 2 follows 0
    ",4,1,1,6\n"  # 3 follows 1
    ",5,1,2,7\n"  # 4 follows 2
    "8,6,1,,\n"  # 5
)


def _check_conversations(got) -> None:
    """Inputs tell the rows: 3 follows 1, 5 follows 3, 4 follows 2, wherever they are."""
    leader = {3: 1, 5: 3, 4: 2}
    pause = {3: 5.0, 5: 7.0, 4: 6.0}
    for place, (tokens, after) in enumerate(
        zip(got.input_tokens.tolist(), got.after_request.tolist(), strict=True)
    ):
        if tokens in leader:
            assert after < place
            assert got.input_tokens[after] == leader[tokens]
            assert math.isnan(got.arrival_s[place])
            assert got.think_s[place] == pause[tokens]
        else:
            assert after == OPEN
            assert not math.isnan(got.arrival_s[place])


def test_followers_come_behind_their_request(csv_trace, trace, workload, requests) -> None:
    got = requests(workload(trace=trace(csv_trace(CONVERSATIONS))))
    assert got.input_tokens.tolist() == [1, 3, 5, 2, 4, 6]
    assert got.after_request.tolist() == [OPEN, 0, 1, OPEN, 3, OPEN]
    _check_conversations(got)


@pytest.mark.parametrize("ratio", [0.5, 1.0, 2.4])
def test_conversations_stay_whole_at_any_rate(
    csv_trace, trace, workload, requests, ratio: float, monkeypatch
) -> None:
    spec = trace(csv_trace(CONVERSATIONS), loop=True)
    own = 6 / 12.0  # last open arrival at 8 s, mean gap 4 s: a period of 12 s
    w = workload(trace=spec, rate_per_s=own * ratio)
    got = requests(w, duration_s=6000.0)
    assert len(got) == pytest.approx(3000 * ratio, rel=0.08)
    _check_conversations(got)
    counts = Counter(got.input_tokens.tolist())
    assert counts[1] == counts[3] == counts[5]
    assert counts[2] == counts[4]
    monkeypatch.setattr(source, "CHUNK_ROWS", 4)
    chunks = list(build_source(w, index=0, seed=7, duration_s=6000.0).chunks())
    assert max(len(chunk) for chunk in chunks) <= 4
    first = 0
    for chunk in chunks:  # a row is in the same chunk as the one it follows
        follows = chunk.after_request[chunk.after_request != OPEN]
        assert ((follows >= first) & (follows < first + len(chunk))).all()
        first += len(chunk)


def test_slice_keeps_whole_conversations(csv_trace, trace, workload, requests) -> None:
    got = requests(workload(trace=trace(csv_trace(CONVERSATIONS), start_s=1.0, time_scale=2.0)))
    assert got.input_tokens.tolist() == [2, 4, 6]
    assert got.think_s.tolist() == [0.0, 12.0, 0.0]
    np.testing.assert_array_equal(got.arrival_s, [0.0, math.nan, 14.0])


def test_trace_s_own_columns_win(csv_trace, trace, workload, requests) -> None:
    text = f"{HEAD},priority,cancel_after_s\n0,1,1,4,\n1,1,1,,9\n"
    w = workload(trace=trace(csv_trace(text)), priority=2, cancel_after_s=5.0, cancel_fraction=1.0)
    got = requests(w)
    assert got.priority.tolist() == [4, 0]
    assert got.cancel_after_s.tolist() == [math.inf, 9.0]


def test_embedding_generates_nothing(csv_trace, trace, workload, requests) -> None:
    file = csv_trace("0,5,0\n1,5,3\n")
    got = requests(workload(kind="embedding", trace=trace(file)))
    assert got.output_tokens.tolist() == [0, 0]
    with pytest.raises(DataError, match=r":2: output tokens are 0; only requests of"):
        requests(workload(trace=trace(file)))


def test_prefix_ids_of_passes_never_meet(tmp_path, trace, workload, requests) -> None:
    file = tmp_path / "trace.jsonl"
    file.write_text(
        "".join(
            f'{{"timestamp": {3000 * i}, "input_length": 9, "output_length": {i + 1}, '
            f'"hash_ids": [0, {i + 1}]}}\n'
            for i in range(10)
        )
    )
    spec = trace(file, "mooncake", loop=True)
    got = requests(workload(trace=spec, rate_per_s=2 / 3.0), duration_s=60.0)
    assert len(got) == 40
    passes: dict[int, set[int]] = {}
    for ids, output in zip(got.prefixes, got.output_tokens.tolist(), strict=True):
        number, shared = divmod(ids[0], 11)
        assert shared == 0
        assert ids[1] == 11 * number + output
        passes.setdefault(number, set()).add(output)
    assert passes == {number: set(range(1, 11)) for number in range(4)}


def test_a_trace_has_no_clients(csv_trace, trace, workload) -> None:
    w = workload(trace=trace(csv_trace(_steady(rows=5))), clients=2, think_s=1.0)
    with pytest.raises(BuildError) as caught:
        build_source(w, index=1, seed=1, duration_s=10.0)
    assert str(caught.value) == "workload[1]: a trace has its own arrivals; clients need a source"


def test_rate_beyond_all_copies(csv_trace, trace, workload) -> None:
    spec = trace(csv_trace(_steady(gap_s=1.0)))
    with pytest.raises(BuildError) as caught:
        build_source(workload(trace=spec, rate_per_s=1e9), index=2, seed=1, duration_s=10.0)
    assert str(caught.value) == (
        "workload[2].rate: 1,000,000,000 /s is 1e+09 times the trace's own 1 /s; at most 100,000 "
        "copies are superposed, which is 100,000 /s"
    )
    build_source(workload(trace=spec, rate_per_s=1e5), index=2, seed=1, duration_s=10.0)


def test_azure_conversation_trace(shared_data, trace, workload, requests) -> None:
    """The facts published beside the traces, read again through the replay."""
    spec = trace(shared_data / "traces" / "azure_llm_2023_conv.csv", "azure")
    got = requests(workload(trace=spec))
    check_facts(
        got,
        rows=19_366,
        duration_s=3501.7,
        rate=5.530,
        inputs=[29, 181, 207, 396, 1020, 1189, 2734.5, 4083, 4142],
        outputs=[16, 41, 54, 85, 129, 395, 424, 451, 601],
    )
    assert (got.input_tokens.sum(), got.output_tokens.sum()) == (22_361_870, 4_088_665)


def test_azure_code_trace(shared_data, trace, workload, requests) -> None:
    spec = trace(shared_data / "traces" / "azure_llm_2023_code.csv", "azure")
    check_facts(
        requests(workload(trace=spec)),
        rows=8_819,
        duration_s=3435.9,
        rate=2.566,
        inputs=[17, 75, 147, 578, 1469, 2744.5, 5187.6, 7303.3, 7436],
        outputs=[6, 6, 7, 9, 13, 24, 55, 90, 251.5],
    )


def check_facts(got, *, rows, duration_s, rate, inputs, outputs) -> None:
    span = got.arrival_s[-1] - got.arrival_s[0]
    assert len(got) == rows
    assert span == pytest.approx(duration_s, abs=0.06)
    assert (rows - 1) / span == pytest.approx(rate, abs=6e-4)
    levels = [1, 5, 10, 25, 50, 75, 90, 95, 99]
    np.testing.assert_allclose(np.percentile(got.input_tokens, levels), inputs, atol=0.06)
    np.testing.assert_allclose(np.percentile(got.output_tokens, levels), outputs, atol=0.06)


def test_mooncake_trace_is_spread_inside_its_bins(shared_data, trace, workload, requests) -> None:
    spec = trace(shared_data / "traces" / "mooncake_conversation.jsonl", "mooncake")
    got = requests(workload(trace=spec))
    raw = requests(workload(trace=replace(spec, spread_s=0.0)))
    assert len(got) == len(raw) == 12_031
    assert sum(len(ids) for ids in got.prefixes) == 288_500
    assert len({identity for ids in got.prefixes for identity in ids}) == 182_790
    stamps = dict(zip(raw.prefixes, raw.arrival_s.tolist(), strict=True))
    assert len(stamps) > 11_000  # most requests are told apart by their prefixes
    counts = Counter(raw.prefixes)
    for ids, time in zip(got.prefixes, got.arrival_s.tolist(), strict=True):
        if counts[ids] == 1:
            assert 0.0 <= time - stamps[ids] < 3.0
    gaps = np.diff(got.arrival_s)
    assert gaps.std() / gaps.mean() < 1.2  # 3.03 as recorded, an artefact of the bins
    assert (gaps >= 0).all()
