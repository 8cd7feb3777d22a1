"""What a leap computes at once against the same, one iteration after another."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.engine.compile import compile_world
from sim.kernels.blocks import needed_over, starts_possible
from sim.kernels.cost import boundaries_before, boundary_s
from sim.kernels.layout import GAP_LOW, GAPS_PER_OCTAVE, REPLICA
from sim.kernels.meters import count_gaps, count_kv
from sim.kernels.state import State
from sim.results.bins import gap_bin
from tests.engine_world import Given, model, pool, scenario, workload, world

#: The first example compiles.
UNHURRIED = settings(max_examples=200, deadline=None)

firsts = st.sampled_from([2.0**-6, 0.0137, 1e-4, 3.1])
growths = st.sampled_from([0.0, 2.0**-22, 3.3e-7, 1e-3])
anchors = st.sampled_from([0.0, 0.25, 1234.5678, 86_399.999])


def run_of(anchor_s: float, first_s: float, growth_s: float) -> Any:
    """A replica in a run."""
    replica = np.zeros(1, REPLICA)
    replica["anchor_s"], replica["first_s"], replica["growth_s"] = anchor_s, first_s, growth_s
    return replica[0]


@pytest.fixture(scope="module")
def state() -> State:
    """One replica that nobody has asked for anything."""
    a_world = world(scenario([pool(model())], [workload()]), [Given([])])
    return compile_world(a_world, minutes=False, changes=False)[0]


@UNHURRIED
@given(anchors, firsts, growths, st.integers(0, 3000))
def test_a_boundary_is_the_anchor_and_the_sum_of_iterations(
    anchor_s: float, first_s: float, growth_s: float, n: int
) -> None:
    total = math.fsum(first_s + k * growth_s for k in range(n))
    found = boundary_s(run_of(anchor_s, first_s, growth_s), n)
    assert found == pytest.approx(anchor_s + total, rel=1e-12)


@UNHURRIED
@given(
    anchors, firsts, growths, st.integers(0, 3000), st.sampled_from([-1, 0, 1]), st.booleans(),
    st.integers(0, 50),
)  # fmt: skip
def test_boundaries_before_a_time_are_counted_to_the_float(
    anchor_s: float, first_s: float, growth_s: float, n: int, beside: int, including: bool,
    low: int,
) -> None:  # fmt: skip
    """At the very time of a boundary, and one float before and after it."""
    replica = run_of(anchor_s, first_s, growth_s)
    t = boundary_s(replica, n)
    if beside:
        t = math.nextafter(t, beside * math.inf)
    high = max(low, n + 2)
    wanted = low
    for k in range(max(low, n - 3), high + 1):
        moment = boundary_s(replica, k)
        if moment <= t if including else moment < t:
            wanted = max(wanted, k)
    assert boundaries_before(replica, t, including, low, high) == wanted


@UNHURRIED
@given(
    st.lists(st.integers(0, 5), min_size=16, max_size=16), st.integers(0, 40),
    st.integers(0, 100), st.integers(0, 200),
)  # fmt: skip
def test_blocks_of_a_leap(
    state: State, residues: list[int], step: int, starts: int, free: int
) -> None:
    """By residue, all at once, against one start after another."""
    state.residues[0] = residues
    state.replica[0]["decoding"] = sum(residues)
    state.replica[0]["free"] = free
    takes = [residues[-(step + k) % 16] for k in range(starts)]
    assert needed_over(state, 0, step, starts) == sum(takes)
    possible, left = 0, free
    while possible < starts and takes[possible] <= left:
        left -= takes[possible]
        possible += 1
    if sum(residues):
        assert starts_possible(state, 0, step, starts) == possible


@UNHURRIED
@given(firsts, growths, st.integers(0, 40), st.integers(1, 900), st.integers(1, 5))
def test_gaps_of_a_leap(
    state: State, first_s: float, growth_s: float, done: int, m: int, sequences: int
) -> None:
    """Bin by bin, against one gap after another."""
    replica = state.replica[0]
    replica["first_s"], replica["growth_s"], replica["done"] = first_s, growth_s, done
    replica["decoding"] = sequences
    state.gaps[:] = 0
    count_gaps(state, 0, m)
    wanted = np.zeros(state.gaps.shape[1], np.int64)
    for k in range(done, done + m):
        wanted[gap_bin(first_s + k * growth_s) - GAP_LOW * GAPS_PER_OCTAVE] += sequences
    np.testing.assert_array_equal(state.gaps[0], wanted)


@UNHURRIED
@given(firsts, growths, st.integers(0, 40), st.integers(1, 900), st.integers(0, 10**6))
def test_tokens_in_kv_over_a_leap(
    state: State, first_s: float, growth_s: float, done: int, m: int, tokens: int
) -> None:
    """The integral of what each iteration starts with, against its sum."""
    replica = state.replica[0]
    replica["anchor_s"], replica["first_s"], replica["growth_s"] = 5.0, first_s, growth_s
    replica["done"], replica["serving"], replica["decoding"] = done, 1, 7
    replica["kv_tokens"] = tokens
    replica["kv_counted_s"] = boundary_s(replica, done)
    replica["kv_token_s"] = 0.0
    count_kv(state, 0, m)
    wanted = math.fsum((tokens + 7 * k) * (first_s + (done + k) * growth_s) for k in range(m))
    assert replica["kv_token_s"] == pytest.approx(wanted, rel=1e-9, abs=1e-9)
