"""Metrics over seeds: what their value, their interval and their reason say."""

from __future__ import annotations

import pytest

from sim.results.metrics import Metric
from sim.study.across import across, combine
from sim.study.naming import seeds_folder_name, seeds_in_words
from tests.unit.study.works import metric, metrics


def over(name: str, *values: float | None, **changes: float) -> Metric:
    return combine({seed: metric(name, value, **changes) for seed, value in enumerate(values, 1)})


def test_the_value_is_the_mean_and_the_interval_is_students() -> None:
    found = over("chat.ttft_p99", 1.0, 2.0, 3.0, 4.0)
    assert found.value == 2.5
    assert found.seeds == 4
    half = 3.1824463 * 1.2909944 / 2
    assert found.low == pytest.approx(2.5 - half)
    assert found.high == pytest.approx(2.5 + half)
    assert found.reason == ""


def test_an_interval_stays_within_what_is_possible() -> None:
    assert over("over_budget_s", 0.0, 0.0, 0.0, 1.0).low == 0.0
    assert over("pools[chat].busy_fraction", 1.0, 1.0, 0.5, 1.0).high == 1.0
    assert over("headroom_w", -5.0, 3.0, 1.0).low < -5.0


def test_values_that_are_alike_have_no_interval_and_say_what_that_means() -> None:
    found = over("over_budget_s", *[0.0] * 8)
    assert (found.value, found.low, found.high) == (0.0, None, None)
    assert "the same under all 8 seeds" in found.reason
    assert "at most 31.2 % of all seeds differ" in found.reason


def test_no_miss_and_no_loss_at_all_still_leave_a_bound() -> None:
    seeds = {seed: metrics(goodput_fraction=1.0, arrivals=1000, timed_out=0) for seed in range(8)}
    found = across(seeds)
    good, lost = found["chat.goodput_fraction"], found["chat.timed_out"]
    assert good.high == 1.0
    assert good.low == pytest.approx(1.0 - 3.69 / 8000, abs=1e-6)
    assert (lost.value, lost.low) == (0.0, 0.0)
    assert lost.high == pytest.approx(0.461, abs=0.001)


def test_a_seed_that_could_not_measure_is_named() -> None:
    found = over("chat.ttft_p99", 1.0, None, 3.0, None)
    assert (found.value, found.seeds) == (2.0, 2)
    assert found.reason == (
        "not measurable under seeds 2 and 4 of 4 seeds (nothing to measure), and not in the mean"
    )
    assert found.low is not None
    alone = over("chat.ttft_p99", None, 3.0)
    assert (alone.value, alone.low) == (3.0, None)
    assert "seed 1 of 2 seeds" in alone.reason
    assert "one seed has no interval" in alone.reason
    nothing = over("chat.ttft_p99", None, None)
    assert (nothing.value, nothing.seeds) == (None, 0)
    assert nothing.reason == "under every seed: nothing to measure"


def test_a_quantile_from_bins_carries_their_error() -> None:
    exact = over("chat.itl_p99", 1.0, 1.02, 1.0, 1.02)
    binned = over("chat.itl_p99", 1.0, 1.02, 1.0, 1.02, relative_error=0.01)
    assert binned.relative_error == 0.01
    assert binned.high - binned.low > exact.high - exact.low + 0.02
    alike = over("chat.itl_p99", 1.0, 1.0, 1.0, relative_error=0.01)
    assert alike.low < 0.99
    assert alike.high > 1.01


def test_a_share_of_an_unknown_number_of_requests_has_no_interval() -> None:
    found = across({1: metrics(goodput_fraction=0.9), 2: metrics(goodput_fraction=0.8)})
    assert found["chat.goodput_fraction"].low is None
    assert "number of requests" in found["chat.goodput_fraction"].reason


def test_seeds_in_words_and_in_names() -> None:
    assert seeds_in_words([3]) == "seed 3"
    assert seeds_in_words([2, 1]) == "seeds 1 and 2"
    assert seeds_in_words(range(1, 5)) == "seeds 1 to 4"
    assert seeds_in_words([1, 3, 5, 6, 7, 8]) == "seeds 1, 3 and 5 to 8"
    name = seeds_folder_name("a b/..", {"x": 1}, range(3, 9))
    assert name.startswith("a-b-")
    assert name.endswith("-s3-8")
    with pytest.raises(ValueError, match="at least one seed"):
        across({})
