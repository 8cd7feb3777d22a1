"""Compiled sources against plain NumPy ones, byte by byte."""

from __future__ import annotations

import math
import tracemalloc
from collections.abc import Iterator
from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from sim.kernels import pcg64
from sim.kernels.time_change import accumulate, to_real_time
from sim.rng import KeyedBits, generator, generator_seeds
from sim.workload import build_source, fitted_source
from sim.workload.arrivals import Pieces, superposed
from sim.workload.copies import Copies
from sim.workload.lengths import LengthTable, TableLengths
from sim.workload.plan import Workload
from tests.unit.workload import plain_source
from tests.unit.workload.conftest import make_synthetic, make_workload

NAMES = ["synthetic-chat", "synthetic-code"]
#: Copies come and go, all fall silent, and an epoch is cut inside an hour.
PROFILE = ((0.0, 0.3), (1800.0, 1.7), (5000.0, 0.0), (7000.0, 1.0))
DIURNAL = tuple((h * 3600.0, 1.0 + 0.6 * math.sin(h / 24 * 2 * math.pi)) for h in range(24))


def assert_same_bytes(workload: Workload, seed: int, duration_s: float, chunks: int = 10**6) -> int:
    """The rows of a workload are those of the plain source, in the same chunks; how many."""
    made = build_source(workload, index=0, seed=seed, duration_s=duration_s).chunks()
    plain = plain_source.source_chunks(workload, seed, duration_s)
    rows = 0
    for got, want in zip(islice(made, chunks), islice(plain, chunks), strict=True):
        for name, column in want.items():
            found = getattr(got, name)
            assert found.dtype == column.dtype, name
            assert found.tobytes() == column.tobytes(), name
        rows += len(got)
    return rows


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("rate", "duration_s", "profile"),
    [
        (None, 20_000.0, ()),
        (0.3, 90_000.0, PROFILE),
        (21.0, 9_000.0, PROFILE),
        (21.0, 86_401.0, tuple((time, multiple / 8) for time, multiple in DIURNAL)),
        (400.0, 700.0, ()),
    ],
)
@pytest.mark.parametrize("seed", [0, 2**33 + 5])
def test_source_at_a_rate(name, rate, duration_s, profile, seed) -> None:
    workload = make_workload(
        synthetic=make_synthetic(name, profile=profile), rate_per_s=rate, priority=2
    )
    assert assert_same_bytes(workload, seed, duration_s) > 1000


@pytest.mark.parametrize("name", NAMES)
def test_source_of_a_thousand_copies(name: str) -> None:
    """So many that an epoch's steps come in several windows."""
    own = fitted_source(name).rate_per_s
    workload = make_workload(synthetic=make_synthetic(name), rate_per_s=999.4 * own)
    assert assert_same_bytes(workload, 5, 120.0) > 250_000


@pytest.mark.parametrize(
    "arrivals",
    [
        {"kind": "poisson"},
        {"kind": "gamma", "cv": 2.5},
        {"kind": "on-off", "on_s": 3.0, "off_s": 40.0},
        {"kind": "on-off", "on_s": 0.1, "off_s": 0.05},
    ],
)
@pytest.mark.parametrize("profile", [(), PROFILE])
def test_other_processes(arrivals, profile) -> None:
    synthetic = make_synthetic("synthetic-chat", arrivals=arrivals, profile=profile)
    assert assert_same_bytes(make_workload(synthetic=synthetic, rate_per_s=9.0), 6, 9000.0) > 50_000


@settings(max_examples=40, deadline=None)
@given(
    name=st.sampled_from(NAMES),
    seed=st.integers(0, 2**64),
    copies=st.floats(0.01, 30.0),
    hours=st.lists(st.integers(0, 23), max_size=4, unique=True).map(sorted),
    multiples=st.lists(st.sampled_from([0.25, 0.5, 1.0, 1.0, 1.5, 0.0]), min_size=4, max_size=4),
    duration_s=st.floats(1.0, 20_000.0),
)
def test_any_source(name, seed, copies, hours, multiples, duration_s) -> None:
    profile = tuple((3600.0 * h, m) for h, m in zip(hours, multiples, strict=False))
    if profile and max(m for _, m in profile) == 0.0:
        profile = ()
    rate = copies * fitted_source(name).rate_per_s
    workload = make_workload(synthetic=make_synthetic(name, profile=profile), rate_per_s=rate)
    assert assert_same_bytes(workload, seed, min(duration_s, 100_000.0 / rate)) >= 0


@pytest.mark.parametrize("clients", [3, 100_000])
def test_closed_source_whose_clients_give_up(clients: int) -> None:
    workload = make_workload(
        synthetic=make_synthetic("synthetic-code"), clients=clients, think_s=2.0,
        cancel_after_s=9.0, cancel_fraction=0.3,
    )  # fmt: skip
    assert assert_same_bytes(workload, 4, 1.0, chunks=3) == 3 * 65_536


@pytest.mark.parametrize("fraction", [1e-9, 0.25, 1.0])
def test_open_source_whose_clients_give_up(fraction: float) -> None:
    workload = make_workload(
        synthetic=make_synthetic("synthetic-chat"), cancel_after_s=4.0, cancel_fraction=fraction
    )
    assert assert_same_bytes(workload, 4, 5000.0) > 20_000


def _epochs(pieces: Iterator[Pieces]) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Edges and rates of each epoch, its runs of pieces joined."""
    edges, rates = [], []
    for part in pieces:
        assert not edges or edges[-1][-1] == part.edges[0]
        edges.append(part.edges)
        rates.append(part.rates)
        if part.last:
            yield (
                np.append(np.concatenate([e[:-1] for e in edges]), edges[-1][-1]),
                np.concatenate(rates),
            )
            edges, rates = [], []


@pytest.mark.parametrize(("name", "count"), [("synthetic-code", 700), ("synthetic-chat", 90)])
def test_windows_of_an_epoch_join_to_its_pieces(name: str, count: int, monkeypatch) -> None:
    monkeypatch.setattr("sim.workload.arrivals.STEPS", 1000)
    source = fitted_source(name)
    own, states, visits = source.rate_per_s, source.states, source.visits
    profile = ((0.0, 1.0), (3600.0, 0.5), (7200.0, 0.0), (10_800.0, 1.0))
    plain = [
        plain_source.one_copy(generator(3, f"s/{copy}"), states, visits) for copy in range(count)
    ]
    want = plain_source.superposed(plain, own, (count - 0.3) * own, profile)
    copies = Copies(count, 3, "s", states, visits)
    made = _epochs(superposed(copies, own, (count - 0.3) * own, profile))
    for (edges, rates), (plain_edges, plain_rates) in islice(zip(made, want, strict=True), 5):
        # The plain ones have a piece of no length for each copy at the start of the epoch.
        kept = np.append(np.diff(plain_edges) > 0.0, True)
        np.testing.assert_array_equal(edges, plain_edges[kept])
        np.testing.assert_array_equal(rates, plain_rates[kept[:-1]])
        assert len(edges) > 1


def _table(joint: NDArray[np.int64], probabilities: list[float]) -> LengthTable:
    p = np.asarray(probabilities)
    return LengthTable(p, 1.0 + 5000.0 * p**2, 1.0 + 300.0 * p**3, joint)


@pytest.mark.parametrize(
    "table",
    [
        _table(np.array([[1]]), [0.0, 1.0]),
        _table(np.array([[0, 0, 1], [0, 0, 0], [10**9, 0, 0]]), [0.0, 1e-6, 2e-6, 0.5, 1.0]),
        _table(np.eye(64, dtype=np.int64), [0.0, *np.linspace(0.3, 0.30001, 500), 1.0]),
        _table(np.arange(2500).reshape(50, 50), np.linspace(0.0, 1.0, 4001).tolist()),
    ],
    ids=["one cell", "empty cells", "crowded knots", "large"],
)
def test_lengths_of_any_table(table: LengthTable) -> None:
    rows = np.random.default_rng(3).integers(0, 2**40, 100_000)
    want = plain_source.Lengths(table, 9, "w").draw(rows)
    got = TableLengths(table, 9, "w").draw(rows)
    for found, column in zip(got, want, strict=True):
        np.testing.assert_array_equal(found, column)


def test_a_draw_at_the_edge_of_a_cell_is_in_the_next() -> None:
    row = np.array([5])
    share = int(KeyedBits(9, "workload/w/lengths").uniform(2 * 5) * 2**53)
    table = _table(np.array([[share, 2**53 - share], [0, 0]]), [0.0, 0.25, 0.5, 1.0])
    inputs, outputs = TableLengths(table, 9, "w").draw(row)
    assert outputs[0] > np.interp(0.5, table.probabilities, table.output_tokens)
    assert (inputs[0], outputs[0]) == plain_source.Lengths(table, 9, "w").draw(row)


@pytest.mark.parametrize("seed", [0, 7, 2**31, 2**32, 2**70 + 3])
def test_generators_are_numpy_s(seed: int) -> None:
    names = [f"workload/chat/arrivals/{copy}" for copy in range(50)]
    made = np.zeros(50, pcg64.PCG64)
    pcg64.start(generator_seeds(seed, names), made)
    plain = [generator(seed, name) for name in names]
    uniform = np.empty(50)
    pcg64.random(made, uniform)
    assert uniform.tolist() == [rng.random() for rng in plain]
    for visits in (1, 2, 3, 12, 16, 33, 100):
        ranks = np.empty((49, 3, visits))
        pcg64.stratified_ranks(made, np.arange(1, 50), ranks)
        for rng, tables in zip(plain[1:], ranks, strict=True):
            for row in tables:
                want = (rng.permutation(np.arange(visits)) + rng.random(visits)) / visits
                assert row.tolist() == want.tolist()


def test_real_times_are_interpolated() -> None:
    """Also on knots, across pieces of rate 0 and of no length; what is beyond stays."""
    edges_s = np.array([0.0, 1.0, 3.0, 3.0, 4.0, 9.0])
    steps = np.array([0.0, 2.5, 2.5, 2.5, 2.5 + 1e-9, 20.0])
    pending = np.sort(np.append(np.random.default_rng(1).random(500) * 22.0, steps))
    beyond = int(np.searchsorted(pending, 20.0))
    times_s = np.full(len(pending), -1.0)
    first = 0
    while pending[first] < 20.0:  # in two calls
        limit = first + 300 if first == 0 else len(pending)
        first, place, over = to_real_time(
            pending[:limit], first, steps, edges_s, 0, math.inf, times_s
        )
        assert not over
        assert place == 4 or first == limit
    assert first == beyond
    np.testing.assert_array_equal(times_s[:beyond], np.interp(pending[:beyond], steps, edges_s))
    assert (times_s[beyond:] == -1.0).all()
    stopped, _, over = to_real_time(pending, 0, steps, edges_s, 0, 3.0, times_s)
    assert over
    assert stopped == int(np.searchsorted(times_s[:beyond], 3.0))


def test_gaps_add_up_as_numpy_does() -> None:
    gaps = np.random.default_rng(2).standard_exponential(10_000)
    want = 1e6 + np.cumsum(gaps)
    assert accumulate(gaps, 1e6) == want[-1]
    np.testing.assert_array_equal(gaps, want)


@pytest.mark.parametrize(
    ("name", "peak_bytes"), [("synthetic-chat", 20e6), ("synthetic-code", 40e6)]
)
def test_memory_of_a_large_day(name: str, peak_bytes: float) -> None:
    """At 31,000 /s a day is 2.7 billion requests of 5,600 or 12,000 copies."""
    workload = make_workload(synthetic=make_synthetic(name), rate_per_s=31_000.0)
    chunks = build_source(workload, index=0, seed=1, duration_s=86_400.0).chunks()
    tracemalloc.start()
    try:
        rows = sum(len(chunk) for chunk in islice(chunks, 60))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert rows == 60 * 65_536
    assert peak < peak_bytes
