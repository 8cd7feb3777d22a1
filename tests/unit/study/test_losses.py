"""Losses against a baseline: worked out by hand, and honest about what is not known."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from sim.results.bins import LATENCY_ERROR
from sim.results.slices import Slices
from sim.study.intervals import student
from sim.study.losses import LOSSES, WorkloadFacts, losses_over, seed_losses
from tests.unit.study.works import metric


def slices(p50: list[float], good: list[int], **changes: Any) -> Slices:
    count = len(p50)
    return Slices(**{
        "length_s": 600.0,
        "start_s": 600.0 * np.arange(count),
        "arrivals": np.full(count, 1000),
        "good": np.array(good),
        "completed": np.full(count, 1000),
        "e2e_s": {"e2e_p50": np.array(p50), "e2e_p99": 3.0 * np.array(p50)},
        "relative_error": 0.0,
        **changes,
    })  # fmt: skip


def facts(
    p50: float, p99: float | None, good: float, of: Slices | None, error: float = 0.0
) -> WorkloadFacts:
    whole = {
        "e2e_p50": metric("chat.e2e_p50", p50, relative_error=error),
        "e2e_p99": metric("chat.e2e_p99", p99, relative_error=error),
        "goodput_fraction": metric("chat.goodput_fraction", good),
    }
    return WorkloadFacts(whole, of)


BASE = facts(4.0, 10.0, 0.98, slices([4.0, 5.0, 4.0], [990, 980, 970]))


def test_losses_by_hand() -> None:
    run = facts(4.4, 10.0, 0.95, slices([4.4, 10.0, 4.0], [990, 500, 975]))
    found = seed_losses(run, BASE)
    assert tuple(found) == LOSSES
    values = {name: loss.value for name, loss in found.items()}
    assert values == pytest.approx({
        "e2e_p50_loss": 0.1, "e2e_p50_loss_worst": 1.0,
        "e2e_p99_loss": 0.0, "e2e_p99_loss_worst": 1.0,
        "goodput_loss": 0.03, "goodput_loss_worst": 0.48,
    })  # fmt: skip
    assert [found[name].at_s for name in LOSSES] == [None, 600.0] * 3
    assert all(loss.error == 0.0 for loss in found.values())


def test_a_slice_counts_where_both_sides_have_enough() -> None:
    nan = math.nan
    few = slices([nan, 6.0, 4.0], [0, 980, 970], arrivals=np.array([99, 1000, 1000]))
    run = facts(4.4, None, 0.9, few)
    found = seed_losses(run, BASE)
    assert found["e2e_p50_loss_worst"].value == pytest.approx(0.2)
    assert found["goodput_loss_worst"].value == 0.0  # the first slice would have said 0.99
    assert found["e2e_p99_loss"].value is None
    assert found["e2e_p99_loss"].reason == "nothing to measure"
    none = seed_losses(
        run, facts(4.0, 10.0, 0.98, slices([nan] * 3, [0] * 3, arrivals=np.zeros(3)))
    )
    assert none["e2e_p50_loss_worst"].reason.startswith("no part of the window has enough requests")
    assert none["goodput_loss_worst"].value is None


def test_slices_that_do_not_match_are_not_compared() -> None:
    other = facts(4.0, 10.0, 0.98, slices([4.0, 5.0], [990, 980]))
    assert "do not match" in seed_losses(other, BASE)["e2e_p50_loss_worst"].reason
    assert "do not match" in seed_losses(other, BASE)["goodput_loss_worst"].reason
    short = facts(4.0, 10.0, 0.98, None)
    assert "shorter than two minutes" in seed_losses(short, BASE)["e2e_p99_loss_worst"].reason
    assert seed_losses(short, BASE)["e2e_p50_loss"].value == 0.0


def test_over_seeds_it_is_the_mean_with_students_t() -> None:
    ratios = {1: 1.1, 2: 1.3, 3: 1.2}
    by_seed = {
        seed: seed_losses(facts(4.0 * r, 10.0, 0.98, slices([4.0 * r, 5.0, 4.0], [990] * 3)), BASE)
        for seed, r in ratios.items()
    }
    found = losses_over(by_seed)
    loss = found["e2e_p50_loss"]
    expected = student([0.1, 0.3, 0.2]).interval
    assert (loss.mean, loss.low, loss.high) == pytest.approx((0.2, expected.low, expected.high))
    assert (loss.highest, loss.seed, loss.seeds) == (pytest.approx(0.3), 2, 3)
    worst = found["e2e_p50_loss_worst"]
    assert (worst.seed, worst.at_s) == (2, 0.0)
    alike = found["e2e_p99_loss"]
    assert (alike.mean, alike.low, alike.reason) == (0.0, None, "the same under all 3 seeds")
    assert losses_over({1: by_seed[1]})["e2e_p50_loss"].reason == "one seed has no interval"
    assert losses_over({})["e2e_p50_loss"].mean is None


def test_quantiles_from_bins_widen_the_interval_by_their_error() -> None:
    """Both sides off by at most e: their ratio by at most r · ((1 + e)/(1 - e) - 1)."""
    run = facts(4.4, 10.0, 0.98, None, error=LATENCY_ERROR)
    base = facts(4.0, 10.0, 0.98, None, error=LATENCY_ERROR)
    found = seed_losses(run, base)["e2e_p50_loss"]
    e = LATENCY_ERROR
    assert found.error == pytest.approx(1.1 * ((1 + e) / (1 - e) - 1))
    loss = losses_over({seed: seed_losses(run, base) for seed in (1, 2)})["e2e_p50_loss"]
    assert loss.low <= 0.1 - found.error
    assert loss.high >= 0.1 + found.error
