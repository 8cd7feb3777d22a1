"""The reduction of an estimator: exact where its form is ours, and honest where it is not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pytest

from sim.errors import RackplanError
from sim.perf.estimator import (
    HELD_OUT,
    Estimator,
    Limits,
    Work,
    designed,
    held_out,
    reduce,
    token_grid,
)
from sim.perf.step import StepCost

LIMITS = Limits(
    sequences=256, batch_tokens=8192, context=131072, kv_tokens=400_000, window=0, groups=1
)


@dataclass
class Known:
    """An estimator that is a ``StepCost``, bent by a function of the work."""

    cost: StepCost
    limits: Limits
    bend: Callable[[Work], float] = lambda work: 1.0
    name: str = "known 1.0"

    def iteration_s(self, work: Work) -> float:
        batch = work.batch(self.limits.window, self.limits.groups)
        return self.bend(work) * self.cost.iteration_s(batch)


def known(limits: Limits) -> Known:
    """Concave g, and every term that these limits have."""
    grid = [limits.groups * tokens for tokens in token_grid(limits.batch_tokens)]
    seconds = [4e-3 + 1e-5 * tokens + 2e-4 * np.sqrt(tokens) for tokens in grid]
    windowed = limits.window > 0
    cost = StepCost(
        0.0, (0, *grid), (seconds[0], *seconds), 3e-6, 4e-9, 2.5e-9 if windowed else 0.0,
        6e-11, 4e-11 if windowed else 0.0, limits.window,
    )  # fmt: skip
    return Known(cost, limits)


@pytest.mark.parametrize(
    "limits",
    [
        LIMITS,
        replace(LIMITS, window=128),
        replace(LIMITS, sequences=64, batch_tokens=1024, kv_tokens=50_000, groups=4),
        replace(LIMITS, sequences=1, batch_tokens=300, context=2048, kv_tokens=1024),
    ],
)
def test_a_cost_of_our_form_comes_back(limits: Limits) -> None:
    estimator = known(limits)
    cost, reduction = reduce(estimator, limits)
    assert reduction.median < 1e-6
    assert reduction.p90 < 1e-5
    assert reduction.estimator == "known 1.0"
    want = estimator.cost
    assert cost.per_kv_token_s == pytest.approx(want.per_kv_token_s, rel=1e-4)
    assert cost.per_prefill_pair_s == pytest.approx(want.per_prefill_pair_s, rel=1e-4)
    windowed = want.per_windowed_kv_token_s
    assert cost.per_windowed_kv_token_s == pytest.approx(windowed, rel=1e-4)
    inside = want.per_windowed_prefill_pair_s
    assert cost.per_windowed_prefill_pair_s == pytest.approx(inside, rel=1e-4)
    for tokens in (0, 1, 2, 3, 40, 100, 300):
        assert cost.tokens_s(tokens) == pytest.approx(want.tokens_s(tokens), rel=1e-3)


def test_the_error_is_that_of_batches_outside_of_the_fit() -> None:
    estimator = known(LIMITS)
    estimator.bend = lambda work: 1.0 + 0.1 * np.sin(5.0 * np.log(work.chunk + work.context))
    cost, reduction = reduce(estimator, LIMITS)
    off = [
        abs(cost.iteration_s(work.batch(0, 1)) / estimator.iteration_s(work) - 1.0)
        for work in held_out(LIMITS)
    ]
    assert reduction.batches == len(off) == 3 * HELD_OUT
    assert reduction.median == pytest.approx(np.median(off))
    assert reduction.p90 == pytest.approx(np.percentile(off, 90))
    assert 0.01 < reduction.median < 0.1
    assert not set(held_out(LIMITS)) & set(designed(LIMITS))


def test_no_coefficient_is_negative_and_g_never_falls() -> None:
    rng = np.random.default_rng(3)
    estimator = known(LIMITS)
    estimator.bend = lambda work: float(np.exp(0.3 * rng.standard_normal()))
    cost, _ = reduce(estimator, LIMITS)
    assert all(low <= high for low, high in pairwise(cost.grid_s))
    assert min(cost.per_decode_s, cost.per_kv_token_s, cost.per_prefill_pair_s) >= 0.0
    assert cost.grid_s[0] > 0.0


@pytest.mark.parametrize("kv_tokens", [1000, 30_000, 10_000_000])
def test_batches_are_some_that_a_replica_can_hold(kv_tokens: int) -> None:
    limits = replace(LIMITS, kv_tokens=kv_tokens, context=16_384)
    works = [*designed(limits), *held_out(limits)]
    assert {work.kind for work in works} == {0, 1, 2}
    for work in works:
        assert work.sequences <= 256
        assert work.sequences + work.prompts * work.chunk <= 8192
        assert max(work.context, work.past + work.chunk) <= 16_384
        held = work.sequences * (work.context + 1) + work.prompts * (work.past + work.chunk)
        assert held <= kv_tokens


def test_work_in_the_terms_of_a_step() -> None:
    batch = Work(sequences=3, context=200, prompts=2, chunk=100, past=50).batch(128, 2)
    assert batch.tokens == 2 * 203
    assert batch.decodes == 6
    assert batch.kv_tokens == 2 * 3 * 201
    assert batch.windowed_kv_tokens == 2 * 3 * 128
    assert batch.prefill_pairs == 2 * 2 * 100 * 200
    # h(150) − h(50) with h(x) = min(x, 128)² + 2·128·max(x − 128, 0)
    assert batch.windowed_prefill_pairs == 2 * 2 * (128**2 + 2 * 128 * 22 - 50**2)


def test_a_replica_without_room_is_refused() -> None:
    tiny = replace(LIMITS, kv_tokens=1)
    with pytest.raises(RackplanError, match="room for 1 tokens"):
        reduce(known(tiny), tiny)


@pytest.mark.parametrize("nonsense", [0.0, -1.0, float("nan"), float("inf")])
def test_a_time_that_is_none_is_refused(nonsense: float) -> None:
    estimator: Estimator = Known(known(LIMITS).cost, LIMITS, lambda work: nonsense)
    with pytest.raises(RackplanError, match="takes"):
        reduce(estimator, LIMITS)
