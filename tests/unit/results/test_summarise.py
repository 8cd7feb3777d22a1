"""The summaries against the rows they were counted from, by other means."""

from __future__ import annotations

import numpy as np
import pytest

from sim.kernels.counting import KEEP
from sim.results.bins import LATENCY_ERROR
from sim.results.memory import MemorySink
from tests.unit.results.by_hand import Goals, fill, part, requests, run, summariser


def test_every_quantile_of_a_summary_is_within_its_stated_error() -> None:
    full, summary = run(), run(record="summary")
    for name, metric in full.metrics.items():
        other = summary.metrics[name]
        if metric.value is None:
            assert other.value is None
        elif other.relative_error:
            assert other.relative_error == LATENCY_ERROR
            assert abs(other.value - metric.value) <= LATENCY_ERROR * metric.value + 1e-12
        else:
            assert other.value == pytest.approx(metric.value, rel=1e-12)


def test_counts_are_conserved_and_split_at_the_window_not_at_the_minute() -> None:
    rows = requests(3000)
    sink = summariser(MemorySink(), warm_up_s=75.5)
    fill(sink, rows)
    counts = sink.close(700.0)["summary/counts"]
    assert sum(counts.column("n").to_pylist()) == 3000
    measured = counts.filter(counts.column("measured"))
    assert sum(measured.column("n").to_pylist()) == int(np.sum(rows["arrival_s"] >= 75.5))
    assert sum(counts.column("input_tokens").to_pylist()) == int(rows["input_tokens"].sum())
    met = [n for n, cause in zip(*(counts.column(c).to_pylist() for c in ("n", "cause")),
                                 strict=True) if cause == "met"]  # fmt: skip
    assert sum(met) == int(rows["met"].sum())
    # Minute 1 is in both halves.
    halves = {
        (minute, flag)
        for minute, flag in zip(*(counts.column(c).to_pylist() for c in ("minute", "measured")),
                                strict=True)
    }  # fmt: skip
    assert {(1, True), (1, False)} <= halves
    assert (0, True) not in halves


def test_the_cause_is_the_objective_missed_first() -> None:
    rows = part(requests(6), 0, 6)
    first = np.array([0.5, 2.0, 0.5, 2.0, 0.5, np.nan])
    gap = np.array([0.01, 0.01, 0.2, 0.2, 0.01, np.nan])
    rows |= {
        "arrival_s": np.zeros(6),
        "admitted_s": [0.0] * 5 + [None],
        "first_token_s": first,
        "output_tokens": [11] * 6,
        "end_s": first + 10 * gap,
        "outcome": ["completed"] * 5 + ["queue-full"],
        "met": [True, False, False, False, False, False],
    }
    goals = {"chat": Goals(ttft_s=1.0, tpot_s=0.1, e2e_s=0.55)}
    sink = summariser(MemorySink(), objectives=goals)
    fill(sink, rows)
    counts = sink.close(700.0)["summary/counts"].to_pylist()
    found = {row["cause"]: row["n"] for row in counts}
    assert found == {"met": 1, "ttft": 2, "tpot": 1, "e2e": 1, "outcome": 1}


def test_summaries_do_not_depend_on_chunks() -> None:
    rows = requests(1000)
    tables = []
    for size in (1000, 37, 1):
        sink = summariser(MemorySink())
        for start in range(0, 1000, size):
            sink.write("requests", part(rows, start, start + size))
        fill(sink, part(rows, 0, 0))
        tables.append(sink.close(700.0))
    for name in ("summary/latency", "summary/counts", "summary/worst", "requests"):
        assert tables[0][name].num_rows > 0
        assert tables[0][name].equals(tables[1][name])
        assert tables[0][name].equals(tables[2][name])


def test_sampling_keeps_the_same_requests_whatever_the_seed() -> None:
    first = run(record="sampled", rows=requests(4000, seed=1))
    second = run(record="sampled", rows=requests(4000, seed=2))
    ids = [r.tables["requests"].column("request_id").to_pylist() for r in (first, second)]
    assert ids[0] == ids[1]
    assert 300 < len(ids[0]) < 500
    assert first.tables["summary/counts"].num_rows
    assert sum(first.tables["summary/counts"].column("n").to_pylist()) == 4000


def test_the_summary_level_keeps_no_rows_of_requests_and_power() -> None:
    names = list(run(record="summary").tables)
    assert "requests" not in names
    assert "power" not in names
    assert {"summary/power", "summary/latency", "replicas", "power_nodes", "events"} <= set(names)


def test_worst_keeps_the_slowest_misses_of_each_quarter() -> None:
    rows = requests(4000, duration_s=1800.0)
    rows["end_s"][5] = np.nan
    rows["outcome"][5] = "unfinished"
    rows["met"][5] = False
    rows["replica"] = [None if i == 5 else i % 7 for i in range(4000)]
    rows["attempts"] = np.arange(4000) % 3 + 1
    sink = summariser(MemorySink(), duration_s=1800.0)
    fill(sink, rows)
    table = sink.close(2000.0)["summary/worst"].to_pylist()
    assert len(table) == 2 * KEEP
    assert table[0]["request_id"] == 5
    assert table[0]["e2e_s"] is None
    missed = [
        (rows["end_s"][i] - rows["arrival_s"][i], i)
        for i in range(4000)
        if not rows["met"][i] and rows["arrival_s"][i] >= 900.0
    ]
    expected = [i for _, i in sorted(missed, reverse=True)[:KEEP]]
    assert [row["request_id"] for row in table[KEEP:]] == expected
    assert table[0]["replica"] is table[0]["tpot_s"] is None
    assert table[0]["cause"] == "outcome"
    for row in table[KEEP:]:
        i = row["request_id"]
        for name in ("replica", "input_tokens", "output_tokens", "attempts", "outcome"):
            assert row[name] == rows[name][i], name
        late = rows["first_token_s"][i] - rows["arrival_s"][i] > 1.0
        assert row["cause"] == ("ttft" if late else "tpot")
        gaps = rows["output_tokens"][i] - 1
        tpot_s = (rows["end_s"][i] - rows["first_token_s"][i]) / gaps if gaps else None
        assert row["tpot_s"] == (None if tpot_s is None else pytest.approx(tpot_s))


def test_rows_that_no_run_can_have_made_are_refused() -> None:
    for change, message in (
        ({"workload": ["chatt"] * 5}, "names workload 'chatt'; known: chat"),
        ({"arrival_s": [None] * 5}, "has no arrival_s"),
        ({"arrival_s": [-1.0] * 5}, r"an arrival_s of -1\.0 s, which no run reaches"),
        ({"first_token_s": [-5.0] * 5}, "has a ttft of"),
        ({"ingress_s": [1e5] * 5}, "has a queue of"),
    ):
        sink = summariser(MemorySink())
        with pytest.raises(ValueError, match=message):
            sink.write("requests", {**part(requests(5), 0, 5), **change})


def test_a_counted_table_may_not_be_written() -> None:
    with pytest.raises(ValueError, match="counted here"):
        summariser(MemorySink()).write("summary/counts", {})


@pytest.mark.parametrize(
    ("goals", "cause"),
    [
        (Goals(ttft_s=1.0, tpot_s=0.12), "tpot"),
        (Goals(ttft_s=0.55, tpot_s=0.12), "ttft"),
        (Goals(e2e_s=100.0), "e2e"),
    ],
)
def test_a_miss_hidden_by_rounding_goes_to_the_nearest_objective(goals: Goals, cause: str) -> None:
    row = part(requests(1), 0, 1) | {
        "arrival_s": [0.0], "admitted_s": [0.0], "first_token_s": [0.5], "end_s": [1.5],
        "output_tokens": [11], "met": [False],
    }  # fmt: skip
    sink = summariser(MemorySink(), objectives={"chat": goals})
    fill(sink, row)
    assert sink.close(1.0)["summary/counts"].column("cause").to_pylist() == [cause]


def test_a_miss_without_an_objective_is_refused() -> None:
    sink = summariser(MemorySink(), objectives={"chat": Goals()})
    row = part(requests(1), 0, 1) | {"met": [False]}
    with pytest.raises(ValueError, match="cannot miss where no objective is stated"):
        sink.write("requests", row)
