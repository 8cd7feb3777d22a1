"""Synthetic and closed workloads as sources of requests."""

from __future__ import annotations

import math
import sys
import tracemalloc
from itertools import islice
from subprocess import run

import numpy as np
import pytest

from sim.errors import BuildError, UnknownName
from sim.rng import KeyedBits
from sim.workload import build_source, fitted_source, synthetic_names
from sim.workload.types import OPEN


def test_ships_chat_and_code() -> None:
    assert synthetic_names() == ("synthetic-chat", "synthetic-code")
    with pytest.raises(UnknownName, match=r"'synthetic-chatt' \(did you mean 'synthetic-chat'"):
        fitted_source("synthetic-chatt")


@pytest.mark.parametrize("name", ["synthetic-chat", "synthetic-code"])
def test_every_number_has_a_source_and_a_mark(name: str) -> None:
    facts = fitted_source(name).facts
    for source in facts["sources"]:
        assert source["licence"] == "CC-BY-4.0"
        assert "Splitwise" in source["cite"]
    for part in ("facts", "arrivals", "lengths"):
        assert facts[part]["mark"] in ("read", "assumed")


def test_vectorised_keyed_bits_equal_the_scalar_ones() -> None:
    keyed = KeyedBits(2**70 + 5, "workload/chat/lengths")
    ids = np.array([0, 1, 2, 77, 2**40 + 3, 2**62, -1])
    assert keyed.bits_array(ids).tolist() == [keyed.bits(i) for i in ids.tolist()]
    assert keyed.uniform_array(ids).tolist() == [keyed.uniform(i) for i in ids.tolist()]


@pytest.mark.parametrize(
    "arrivals",
    [
        {"kind": "source"},
        {"kind": "poisson"},
        {"kind": "gamma", "cv": 3.0},
        {"kind": "on-off", "on_s": 10.0, "off_s": 30.0},
    ],
)
@pytest.mark.parametrize("rate", [None, 1.5, 21.0])
def test_same_seed_same_bytes(workload, synthetic, requests, arrivals, rate) -> None:
    w = workload(
        synthetic=synthetic("synthetic-chat", arrivals=arrivals),
        rate_per_s=rate,
        cancel_after_s=4.0,
        cancel_fraction=0.3,
    )
    one, two = requests(w, duration_s=4000.0), requests(w, duration_s=4000.0)
    other = requests(w, duration_s=4000.0, seed=8)
    longer = requests(w, duration_s=9000.0)
    for column in ("arrival_s", "input_tokens", "output_tokens", "cancel_after_s"):
        values = getattr(one, column)
        assert values.tobytes() == getattr(two, column).tobytes()
        assert values.tobytes() == getattr(longer, column)[: len(one)].tobytes()
    assert one.arrival_s.tobytes() != other.arrival_s.tobytes()
    assert one.input_tokens.tobytes() != other.input_tokens.tobytes()
    assert max(longer.chunk_sizes) <= 65_536
    assert (np.diff(one.arrival_s) >= 0).all()
    assert 0 <= one.arrival_s[0] <= one.arrival_s[-1] < 4000.0


def test_rate_and_process_leave_row_k_as_it_is(workload, synthetic, requests) -> None:
    base = requests(workload(synthetic=synthetic("synthetic-chat")))
    for changes in (
        {"rate_per_s": 40.0},
        {"rate_per_s": 0.5, "think_s": 3.0},
    ):
        for arrivals in ({"kind": "source"}, {"kind": "poisson"}):
            source = synthetic("synthetic-chat", arrivals=arrivals)
            got = requests(workload(synthetic=source, **changes))
            n = min(len(base), len(got))
            np.testing.assert_array_equal(got.input_tokens[:n], base.input_tokens[:n])
            np.testing.assert_array_equal(got.output_tokens[:n], base.output_tokens[:n])


def test_names_make_independent_requests(workload, synthetic, requests) -> None:
    one = requests(workload(synthetic=synthetic("synthetic-chat")))
    two = requests(workload(name="other", synthetic=synthetic("synthetic-chat")))
    assert one.arrival_s[0] != two.arrival_s[0]
    n = min(len(one), len(two))
    assert np.corrcoef(one.input_tokens[:n], two.input_tokens[:n])[0, 1] == pytest.approx(
        0, abs=0.04
    )


def test_fixed_lengths_priority_and_cancellation(workload, synthetic, requests) -> None:
    w = workload(
        synthetic=synthetic(input_tokens=77, output_tokens=3),
        rate_per_s=10.0,
        priority=5,
        cancel_after_s=2.5,
        cancel_fraction=0.25,
    )
    got = requests(w)
    assert set(got.input_tokens.tolist()) == {77}
    assert set(got.output_tokens.tolist()) == {3}
    assert set(got.priority.tolist()) == {5}
    assert set(got.cancel_after_s.tolist()) == {2.5, math.inf}
    share = np.isfinite(got.cancel_after_s).mean()
    assert share == pytest.approx(0.25, abs=4 * (0.25 * 0.75 / len(got)) ** 0.5)


def test_cancellers_are_nested_in_the_fraction(workload, synthetic, requests) -> None:
    gone = [
        set(np.flatnonzero(np.isfinite(requests(w, duration_s=500.0).cancel_after_s)))
        for w in (
            workload(
                synthetic=synthetic(), rate_per_s=5.0, cancel_after_s=1.0, cancel_fraction=fraction
            )
            for fraction in (0.0, 0.1, 0.6, 1.0)
        )
    ]
    assert gone[0] == set()
    assert gone[0] < gone[1] < gone[2] < gone[3]


def test_embedding_generates_nothing(workload, synthetic, requests) -> None:
    for source in (synthetic(output_tokens=0), synthetic(output_tokens=None)):
        got = requests(workload(kind="embedding", synthetic=source, rate_per_s=5.0))
        assert set(got.output_tokens.tolist()) == {0}
    got = requests(workload(kind="embedding", synthetic=synthetic("synthetic-chat")))
    assert set(got.output_tokens.tolist()) == {0}
    assert got.input_tokens.min() >= 1


@pytest.mark.parametrize(
    ("source", "changes", "message"),
    [
        ({"output_tokens": 0}, {"rate_per_s": 1.0},
         "workload[0].output_tokens: fixed lengths need at least 1, not 0; only "
         "`kind: embedding` has 0"),
        ({"input_tokens": 0}, {"rate_per_s": 1.0},
         "workload[0].input_tokens: fixed lengths need at least 1, not 0"),
        ({}, {"rate_per_s": 1.0, "kind": "embedding"},
         "workload[0].output_tokens: an embedding request generates nothing, so this must be 0, "
         "not 10"),
        ({}, {}, "workload[0].rate: requests of fixed length need a rate, such as '5 /s'"),
        ({}, {"rate_per_s": 0.0}, "workload[0].rate: must be above 0, not 0 /s"),
        ({}, {"rate_per_s": math.inf}, "workload[0].rate: must be above 0, not inf /s"),
        ({"arrivals": {"kind": "source"}}, {"rate_per_s": 1.0},
         "workload[0].arrivals.kind: requests of fixed length have no process of their own; use "
         "'poisson', 'gamma' or 'on-off'"),
        ({"arrivals": {"kind": "weibull"}}, {"rate_per_s": 1.0},
         "workload[0].arrivals.kind: unknown process 'weibull' (known: gamma, on-off, poisson, "
         "source)"),
        ({"arrivals": {"kind": "on-off", "on_s": 1.0}}, {"rate_per_s": 1.0},
         "workload[0].arrivals: process 'on-off' needs on_s and off_s"),
        ({"arrivals": {"kind": "gamma", "cv": 0.0}}, {"rate_per_s": 1.0},
         "workload[0].arrivals.cv: must be above 0, not 0"),
        ({"arrivals": {"kind": "on-off", "on_s": 1.0, "off_s": -2.0}}, {"rate_per_s": 1.0},
         "workload[0].arrivals.off_s: must be above 0, not -2"),
        ({"profile": ((3600.0, 1.0), (0.0, 2.0))}, {"rate_per_s": 1.0},
         "workload[0].profile: times of day must ascend from 0 h to below 24 h"),
        ({"profile": ((0.0, 0.0),)}, {"rate_per_s": 1.0},
         "workload[0].profile: multiples must be 0 or more, and one above 0"),
    ],
)  # fmt: skip
def test_says_what_is_wrong(workload, synthetic, source, changes, message) -> None:
    with pytest.raises(BuildError) as caught:
        build_source(
            workload(synthetic=synthetic(**source), **changes), index=0, seed=1, duration_s=9.0
        )
    assert str(caught.value) == message


def test_rate_beyond_all_copies(workload, synthetic) -> None:
    chat = synthetic("synthetic-chat")
    with pytest.raises(BuildError) as caught:
        build_source(workload(synthetic=chat, rate_per_s=1e9), index=0, seed=1, duration_s=9.0)
    assert str(caught.value) == (
        "workload[0].rate: 1,000,000,000 /s is 1.81e+08 times synthetic-chat's own 5.53 /s; at "
        "most 100,000 copies are superposed, which is 553,010 /s"
    )
    peaked = synthetic("synthetic-chat", profile=((0.0, 0.1), (3600.0, 10.0)))
    with pytest.raises(BuildError) as caught:
        build_source(workload(synthetic=peaked, rate_per_s=1e5), index=0, seed=1, duration_s=9.0)
    assert str(caught.value).startswith(
        "workload[0].rate: 1,000,000 /s at the profile's peak is 1.81e+05 times"
    )
    steady = synthetic("synthetic-chat", arrivals={"kind": "poisson"})
    made = build_source(workload(synthetic=steady, rate_per_s=1e9), index=0, seed=1, duration_s=9.0)
    assert not made.closed  # a process that is not superposed takes any rate


def test_synthetic_and_closed_sources_have_no_notes(workload, synthetic) -> None:
    for changes in ({"rate_per_s": 1.0}, {"clients": 2}):
        w = workload(synthetic=synthetic(), **changes)
        assert build_source(w, index=0, seed=1, duration_s=9.0).notes == ()


def test_needs_exactly_one_source(workload) -> None:
    with pytest.raises(BuildError, match=r"^workload\[3\]: needs either a trace or a synthetic"):
        build_source(workload(), index=3, seed=1, duration_s=9.0)


def test_closed_loop_rows(workload, synthetic) -> None:
    w = workload(
        synthetic=synthetic("synthetic-code"), clients=3, think_s=2.0, cancel_after_s=9.0,
        cancel_fraction=0.5,
    )  # fmt: skip
    source = build_source(w, index=0, seed=1, duration_s=1.0)
    assert source.closed
    first, second = islice(source.chunks(), 2)
    np.testing.assert_array_equal(first.arrival_s[:4], [0.0, 0.0, 0.0, math.nan])
    assert first.after_request[:5].tolist() == [OPEN, OPEN, OPEN, 0, 1]
    assert first.think_s[:5].tolist() == [0.0, 0.0, 0.0, 2.0, 2.0]
    n = len(first)
    assert second.after_request.tolist() == list(range(n - 3, 2 * n - 3))
    assert np.isnan(second.arrival_s).all()
    assert 0.4 < np.isfinite(first.cancel_after_s).mean() < 0.6
    again = next(source.chunks())
    np.testing.assert_array_equal(first.input_tokens, again.input_tokens)
    open_loop = build_source(workload(synthetic=w.synthetic), index=0, seed=1, duration_s=9000.0)
    rows = np.concatenate([chunk.input_tokens for chunk in open_loop.chunks()])
    np.testing.assert_array_equal(first.input_tokens[: len(rows)], rows[:n])


def test_more_clients_than_a_chunk(workload, synthetic) -> None:
    w = workload(synthetic=synthetic(), clients=100_000)
    first, second = islice(build_source(w, index=0, seed=1, duration_s=1.0).chunks(), 2)
    assert (first.arrival_s == 0.0).all()
    assert (second.arrival_s[: 100_000 - len(first)] == 0.0).all()
    assert second.after_request[100_000 - len(first)] == 0


def test_memory_does_not_grow_with_the_duration(workload, synthetic) -> None:
    """Two weeks at 50 /s are 60 M requests; a tenth of a day of them needs as much memory."""
    source = build_source(
        workload(synthetic=synthetic("synthetic-chat"), rate_per_s=50.0),
        index=0, seed=1, duration_s=14 * 86_400.0,
    )  # fmt: skip
    chunks = source.chunks()
    tracemalloc.start()
    try:
        rows = 0
        for chunk in islice(chunks, 12):
            rows += len(chunk)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert rows > 400_000
    assert peak_bytes < 40e6


def test_import_loads_nothing_heavy() -> None:
    code = (
        "import sys, sim.workload; "
        "heavy = {'numba', 'scipy', 'pyarrow', 'simpy', 'cupy', 'streamlit'} & set(sys.modules); "
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
