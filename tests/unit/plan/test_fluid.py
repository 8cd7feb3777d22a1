"""The steady state of a replica, against iterating its fixed point, and against simulation."""

from __future__ import annotations

import numpy as np
import pytest

from sim.perf.step import StepCost
from sim.plan.fluid import Limits, Saturation, Work, iteration_s, saturation, steady

WIDE = Limits(sequences=10_000, tokens=1_000_000, kv_tokens=10**9)


def cost(**changes: object) -> StepCost:
    """An invented cost with one bend."""
    parts: dict[str, object] = {
        "fixed_s": 0.004, "grid_tokens": (0, 256, 8192), "grid_s": (0.008, 0.010, 0.330),
        "per_decode_s": 3e-5, "per_kv_token_s": 1.5e-8, "per_windowed_kv_token_s": 0.0,
        "per_prefill_pair_s": 4e-10, "per_windowed_prefill_pair_s": 0.0, "window": 0,
    }  # fmt: skip
    return StepCost(**{**parts, **changes})  # type: ignore[arg-type]


def work(prefilled: float = 1000.0, decoded: float = 200.0) -> Work:
    kv = decoded * prefilled + decoded * (decoded + 1) / 2
    return Work(prefilled, decoded, kv, 0.0, prefilled**2, 0.0)


def by_iterating(of: StepCost, mean: Work, rate_per_s: float) -> float | None:
    """τ = T(rate·τ) from below; None where it runs away."""
    tau = 0.0
    for _ in range(100_000):
        following = iteration_s(of, mean, rate_per_s * tau)
        if following > 60.0:
            return None
        if following - tau < 1e-12 * tau:
            return following
        tau = following
    return None


def test_a_random_cost_against_the_fixed_point_by_iteration() -> None:
    rng = np.random.default_rng(2)
    for _ in range(200):
        grid = tuple(int(x) for x in np.cumsum(rng.integers(1, 900, 6)))
        seconds = tuple(np.cumsum(rng.exponential(0.01, 7)))
        of = cost(grid_tokens=(0, *grid), grid_s=seconds, fixed_s=rng.exponential(0.004))
        mean = work(rng.uniform(1, 4000), rng.integers(0, 500))
        top = saturation(of, mean, WIDE)
        for share in (0.05, 0.5, 0.9):
            found = steady(of, mean, WIDE, share * top.rate_per_s)
            assert found is not None
            expected = by_iterating(of, mean, share * top.rate_per_s)
            assert found.iteration_s == pytest.approx(expected, rel=1e-6)
            assert found.sequences == pytest.approx(
                share * top.rate_per_s * mean.decoded * found.iteration_s
            )
        assert steady(of, mean, WIDE, 1.001 * top.rate_per_s) is None


def test_saturation_in_closed_form() -> None:
    """One straight line: T = a + b·x, so x/T rises to 1/b, which no limit lets it reach."""
    of = cost(grid_tokens=(0, 1000), grid_s=(0.008, 0.048), fixed_s=0.002)
    mean = Work(1000.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    assert iteration_s(of, mean, 2.0) == pytest.approx(0.010 + 2.0 * 0.040)
    found = saturation(of, mean, Limits(8, 4000, 1))
    assert found == Saturation(pytest.approx(4.0 / (0.010 + 4.0 * 0.040)), "tokens")
    at = steady(of, mean, Limits(8, 4000, 1), 10.0)
    assert at is not None
    assert at.per_iteration == pytest.approx(10.0 * 0.010 / (1.0 - 10.0 * 0.040))


@pytest.mark.parametrize(
    ("limits", "limit"),
    [
        (Limits(20, 1_000_000, 10**9), "sequences"),
        (Limits(10_000, 1_000_000, 22_000), "kv"),
        (Limits(10_000, 512, 10**9), "tokens"),
    ],
)
def test_what_ends_it_has_a_name(limits: Limits, limit: str) -> None:
    found = saturation(cost(), work(), limits)
    assert found.limit == limit
    assert found.rate_per_s < saturation(cost(), work(), WIDE).rate_per_s
    assert steady(cost(), work(), limits, 1.001 * found.rate_per_s) is None
    assert steady(cost(), work(), limits, 0.999 * found.rate_per_s) is not None


def test_mixes() -> None:
    mean = work(100.0, 10.0).plus(work(300.0, 50.0), 0.25)
    assert (mean.prefilled, mean.decoded) == (150.0, 20.0)
