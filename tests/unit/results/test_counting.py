"""The counting kernel against plain loops over the same rows, written from the definitions."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.kernels import counting, split
from sim.kernels.counting import KEEP
from sim.kernels.jit import entry
from sim.kernels.latency_bins import LatencyBins, latency_bin, lay_out
from sim.kernels.rows import REQUEST_ROW
from sim.results.bins import HIGH_BIN, LOW_BIN, ZERO_BIN, latency_bins, latency_edges
from sim.results.latency import CAUSES, FAMILIES
from sim.results.request_counts import RequestCounts
from sim.results.tables import OUTCOMES
from tests.unit.results.by_hand import Goals

GOALS = {
    "chat": Goals(ttft_s=0.3, tpot_s=0.05),
    "code": Goals(e2e_s=4.0),
    "batch": Goals(),
    "all": Goals(ttft_s=0.2, tpot_s=0.04, e2e_s=5.0),
}
WARM_UP_S, DURATION_S = 75.5, 1990.0


@entry
def find(values_s: Any, bins: LatencyBins, found: Any) -> None:
    for i in range(len(values_s)):
        found[i] = latency_bin(values_s[i], bins)


def compiled_bins(values_s: np.ndarray) -> np.ndarray:
    found = np.zeros(len(values_s), np.int64)
    find(values_s, lay_out(latency_edges()), found)
    return np.where(found == 0, ZERO_BIN, found + LOW_BIN - 1)


def test_both_searches_find_the_bin_of_every_edge_and_its_neighbours() -> None:
    edges = latency_edges()
    bins = np.arange(LOW_BIN, HIGH_BIN + 1)
    for values, expected in (
        (edges[:-1], bins),
        (np.nextafter(edges[:-1], 0.0), np.append(ZERO_BIN, bins[:-1])),
        (np.nextafter(edges[:-1], np.inf), bins),
    ):
        assert np.array_equal(latency_bins(values), expected)
        assert np.array_equal(compiled_bins(values), expected)


def test_both_searches_agree_far_out() -> None:
    values = np.array([0.0, 5e-324, 2.0**-31, 2.0**-30, 1e-9, 2.0**33, 1e10, 1e300, np.inf])
    assert np.array_equal(compiled_bins(values), latency_bins(values))
    assert latency_bins(values)[[0, -1]].tolist() == [ZERO_BIN, HIGH_BIN]


@given(st.lists(st.floats(1e-12, 1e11), min_size=1))
def test_both_searches_agree(values: list[float]) -> None:
    array = np.array(values)
    assert np.array_equal(compiled_bins(array), latency_bins(array))


@given(st.floats(2e-9, 1e9))
def test_a_bin_is_the_floor_of_the_logarithm(value_s: float) -> None:
    exact = math.log(value_s / 1e-3) / math.log(1.02)
    found = latency_bins(np.array([value_s]))[0]
    assert found == math.floor(exact) or abs(exact - round(exact)) < 1e-9


def drawn(n: int, seed: int) -> np.ndarray:
    """Requests of every kind of end, over half an hour, none impossible."""
    rng = np.random.default_rng(seed)
    rows = np.zeros(n, REQUEST_ROW)
    rows["request_id"] = rng.permutation(n)
    rows["arrival_s"] = rng.uniform(0.0, 2000.0, n)
    rows["workload"] = rng.integers(0, len(GOALS), n)
    rows["outcome"] = np.where(rng.uniform(size=n) < 0.6, 0, rng.integers(0, len(OUTCOMES), n))
    rows["input_tokens"] = rng.integers(1, 9000, n)
    rows["output_tokens"] = rng.integers(0, 4, n) * rng.integers(1, 200, n)
    rows["delivered_tokens"] = rng.integers(0, 200, n)
    rows["preemptions"] = rng.integers(0, 3, n)
    rows["prefix_hit_tokens"] = rng.integers(0, 900, n)
    wait = rng.exponential(0.1, n) * rng.integers(0, 2, n)
    # A third was sent again, some more than once.
    rows["attempts"] = 1 + rng.integers(0, 2, n) * rng.integers(0, 4, n)
    rows["ingress_s"] = np.where(rows["attempts"] > 1, rng.exponential(2.0, n), 0.0)
    rows["admitted_s"] = rows["arrival_s"] + rows["ingress_s"] + wait
    rows["first_token_s"] = rows["admitted_s"] + rng.exponential(0.2, n)
    rows["end_s"] = rows["first_token_s"] + rows["output_tokens"] * rng.exponential(0.05, n)
    ended = rows["outcome"] == 0
    # What did not complete stopped at some step, and some never ended.
    rows["first_token_s"][~ended & (rng.uniform(size=n) < 0.6)] = np.nan
    rows["admitted_s"][np.isnan(rows["first_token_s"]) & (rng.uniform(size=n) < 0.6)] = np.nan
    rows["end_s"][rows["outcome"] == 6] = np.nan
    # Equal times to the end among those that were turned away.
    away = rows["outcome"] == 2
    rows["end_s"][away] = rows["arrival_s"][away]
    rows["met"] = ended & (rng.uniform(size=n) < 0.3)
    rows["met"] |= ended & (rows["workload"] == 2)
    return rows


def latencies_of(row: np.void) -> dict[str, float]:
    found = {"ttft": row["first_token_s"] - row["arrival_s"]}
    if row["outcome"] == 0:
        if row["output_tokens"] >= 2:
            found["tpot"] = (row["end_s"] - row["first_token_s"]) / (row["output_tokens"] - 1)
        found["e2e"] = row["end_s"] - row["arrival_s"]
    found["queue"] = row["admitted_s"] - (row["arrival_s"] + row["ingress_s"])
    return {family: value for family, value in found.items() if not math.isnan(value)}


def cause_of(row: np.void, found: dict[str, float], goals: Goals) -> str:
    if row["met"]:
        return "met"
    if row["outcome"] != 0:
        return "outcome"
    limits = {"ttft": goals.ttft_s, "tpot": goals.tpot_s, "e2e": goals.e2e_s}
    use = {f: found[f] / limit for f, limit in limits.items() if limit is not None and f in found}
    over = [family for family, share in use.items() if share > 1.0]
    return over[0] if over else max(use, key=lambda family: use[family])


class Plain:
    """Everything counted with dictionaries, one request at a time."""

    def __init__(self, rows: np.ndarray) -> None:
        self.latency: dict[tuple[Any, ...], list[float]] = defaultdict(list)
        self.sums: dict[tuple[Any, ...], dict[str, float]] = {}
        groups: dict[tuple[int, str], list[tuple[float, int]]] = defaultdict(list)
        names = list(GOALS)
        for row in rows:
            name = names[row["workload"]]
            minute = int(row["arrival_s"] // 60)
            place = (minute, name, bool(WARM_UP_S <= row["arrival_s"] < DURATION_S))
            found = latencies_of(row)
            for family, value in found.items():
                self.latency[*place, family, latency_bins(np.array([value]))[0]].append(value)
            cause = cause_of(row, found, GOALS[name])
            self._add((*place, OUTCOMES[row["outcome"]], cause), row, found)
            if cause != "met":
                e2e = row["end_s"] - row["arrival_s"]
                rank = -math.inf if math.isnan(e2e) else -e2e
                groups[minute // 15, name].append((rank, int(row["request_id"])))
        self.worst = {key: [i for _, i in sorted(found)[:KEEP]] for key, found in groups.items()}

    def _add(self, key: tuple[Any, ...], row: np.void, found: dict[str, float]) -> None:
        sums = self.sums.setdefault(key, dict.fromkeys(counting.SUMS, 0))
        sums["n"] += 1
        sums["retries"] += int(row["attempts"]) - 1
        for column in ("input_tokens", "delivered_tokens", "preemptions", "prefix_hit_tokens"):
            sums[column] += int(row[column])
        if "queue" in found:
            sums["admitted_tokens"] += int(row["input_tokens"])
            sums["queue_s"] += found["queue"]
        prefill = row["first_token_s"] - row["admitted_s"]
        sums["to_first_token_s"] += 0.0 if math.isnan(prefill) else prefill


def listed(columns: dict[str, Any]) -> list[dict[str, Any]]:
    values = [v.to_pylist() if hasattr(v, "to_pylist") else v.tolist() for v in columns.values()]
    return [dict(zip(columns, row, strict=True)) for row in zip(*values, strict=True)]


@pytest.mark.parametrize("block", [1, 333, 6000])
@pytest.mark.parametrize("seed", [1, 2])
def test_counts_against_dictionaries(seed: int, block: int) -> None:
    rows = drawn(6000, seed)
    counts = RequestCounts(WARM_UP_S, DURATION_S, GOALS)
    for start in range(0, len(rows), block):
        counts.add(rows[start : start + block])
    plain = Plain(rows)
    found = [row for columns in counts.latency_rows() for row in listed(columns)]
    places = ("minute", "workload", "measured")
    assert {tuple(row[c] for c in (*places, "metric", "bin")): row["n"] for row in found} == {
        key: len(values) for key, values in plain.latency.items()
    }
    for row in found:
        values = plain.latency[tuple(row[c] for c in (*places, "metric", "bin"))]
        assert row["sum_s"] == pytest.approx(sum(values), rel=1e-12, abs=1e-15)
    counted = listed(counts.count_rows())
    assert {row["cause"] for row in counted} == set(CAUSES)
    assert len(counted) == len(plain.sums)
    for row in counted:
        sums = plain.sums[tuple(row[c] for c in (*places, "outcome", "cause"))]
        assert {name: row[name] for name in sums} == pytest.approx(sums, rel=1e-12)
    worst = listed(counts.worst_rows())
    assert len(worst) == sum(len(ids) for ids in plain.worst.values())
    assert max(len(ids) for ids in plain.worst.values()) == KEEP
    by_id = {int(row["request_id"]): row for row in rows}
    kept = defaultdict(list)
    for row in worst:
        kept[int(row["arrival_s"] // 900), row["workload"]].append(row["request_id"])
        from_rows = by_id[row["request_id"]]
        assert row["outcome"] == OUTCOMES[from_rows["outcome"]]
        assert np.isnan(row["e2e_s"]) == np.isnan(from_rows["end_s"])
    assert dict(kept) == plain.worst


def test_rows_come_in_order_of_minutes_and_bins() -> None:
    counts = RequestCounts(WARM_UP_S, DURATION_S, GOALS)
    counts.add(drawn(3000, 3))
    latency = [row for columns in counts.latency_rows() for row in listed(columns)]
    for rows, kind, kinds, rank in (
        (latency, "metric", FAMILIES, lambda row: row["bin"]),
        (listed(counts.count_rows()), "outcome", OUTCOMES, lambda row: CAUSES.index(row["cause"])),
    ):
        order = [
            (
                row["minute"], row["measured"], list(GOALS).index(row["workload"]),
                kinds.index(row[kind]), rank(row),
            )
            for row in rows
        ]  # fmt: skip
        assert len(order) > 10
        assert order == sorted(set(order))


@pytest.mark.parametrize("shape", ["rising", "falling", "equal"])
def test_the_worst_are_kept_whatever_the_order(shape: str) -> None:
    n = 3000
    rows = np.zeros(n, REQUEST_ROW)
    rows["request_id"] = np.random.default_rng(1).permutation(n)
    rows["outcome"] = 4
    rows["admitted_s"] = rows["first_token_s"] = np.nan
    rows["end_s"] = {"rising": np.arange(n), "falling": n - np.arange(n), "equal": np.ones(n)}[
        shape
    ]
    counts = RequestCounts(0.0, 10.0, {"chat": Goals()})
    counts.add(rows)
    kept = counts.worst_rows()
    expected = np.lexsort((rows["request_id"], -rows["end_s"]))[:KEEP]
    assert kept["request_id"].tolist() == rows["request_id"][expected].tolist()
    assert kept["e2e_s"].tolist() == rows["end_s"][expected].tolist()


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("arrival_s", np.nan, "has no arrival_s"),
        ("arrival_s", -1.0, "arrival_s of -1"),
        ("arrival_s", 1e12, "arrival_s of 1000000000000"),
        ("workload", 4, "names workload 4 of 4"),
        ("workload", -1, "names workload -1 of 4"),
        ("outcome", 8, "names outcome 8 of 8"),
        ("first_token_s", -5.0, "has a ttft of -"),
        ("end_s", 0.0, "has a tpot of -"),
        ("admitted_s", 0.0, "has a queue of -"),
    ],
)
def test_rows_that_no_run_can_have_made_are_refused(
    column: str, value: float, message: str
) -> None:
    rows = drawn(40, 4)
    rows[20] = rows[rows["outcome"] == 0][0]
    rows["output_tokens"][20] = 10
    rows[column][20] = value
    counts = RequestCounts(WARM_UP_S, DURATION_S, GOALS)
    with pytest.raises(ValueError, match=message):
        counts.add(rows)


def test_rounding_of_a_time_is_no_fault() -> None:
    rows = drawn(40, 4)
    rows["admitted_s"] = rows["arrival_s"] + rows["ingress_s"] - 1e-7
    counts = RequestCounts(WARM_UP_S, DURATION_S, GOALS)
    counts.add(rows)
    queue = [
        row for columns in counts.latency_rows() for row in listed(columns)
        if row["metric"] == "queue"
    ]  # fmt: skip
    assert sum(row["n"] for row in queue) == 40
    assert {(row["bin"], row["sum_s"]) for row in queue} == {(ZERO_BIN, 0.0)}


def test_memory_follows_what_is_counted() -> None:
    counts = RequestCounts(0.0, 1e9, {"chat": Goals()})
    rows = drawn(20_000, 5)
    rows = rows[rows["outcome"] == 0]
    rows["workload"], rows["met"] = 0, True
    counts.add(rows)
    before = [array.nbytes for array in counts.kernel_state[1:]]
    for _ in range(20):
        counts.add(rows)
    assert [array.nbytes for array in counts.kernel_state[1:]] == before
    assert sum(before) < 2_000_000


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (
            counting.count_requests,
            lambda rows: (rows, 0, RequestCounts(0.0, 1.0, {"chat": Goals()}).kernel_state),
        ),
        (
            split.split_requests,
            lambda rows: (rows, np.zeros(1, np.int32), len(OUTCOMES), split.columns(len(rows))),
        ),
    ],
)
def test_no_reference_counting_is_left_in_the_loops(function: Any, arguments: Any) -> None:
    # Compiled afresh, because code from the cache cannot be looked at.
    fresh = numba.njit(**{k: v for k, v in function.targetoptions.items() if k == "_nrt"})(
        function.py_func
    )
    fresh(*arguments(np.zeros(2, REQUEST_ROW)))
    [text] = fresh.inspect_llvm().values()
    assert "define" in text
    assert "NRT_incref" not in text
