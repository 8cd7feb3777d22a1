"""The row of scenarios/polca-row.yaml in short: two mornings. The whole is in ``make bench``."""

from __future__ import annotations

from statistics import mean

import pytest

from tests.power_row import FREE, NO_POLICY, UPS, Sets, loss, of_size, run_day

#: A day until its peak has passed.
PEAK: Sets = ("duration=14.5 h",)
SEEDS = (1, 2)


def test_forty_servers_peak_at_79_percent() -> None:
    days = [run_day(of_size(40) + NO_POLICY + PEAK, seed) for seed in SEEDS]
    assert [day.peak for day in days] == pytest.approx([0.79] * 2, abs=0.01)
    assert all(day.over_s == 0.0 for day in days)


def test_polca_carries_52_within_the_published_losses() -> None:
    polca = [run_day(PEAK, seed) for seed in SEEDS]
    free = [run_day(FREE + PEAK, seed) for seed in SEEDS]
    assert not any(day.dropped or day.unserved for day in polca)
    assert mean(day.brakes for day in polca) <= 0.5
    for kind, most_p50, most_p99 in (("low", 0.05, 0.5), ("high", 0.01, 0.05)):
        losses = [loss(*pair, kind) for pair in zip(polca, free, strict=True)]
        assert 0.0 < mean(one.p50 for one in losses) < most_p50
        assert 0.0 < mean(one.p99 for one in losses) < most_p99
        assert mean(one.hour_p50 for one in losses) > mean(one.p50 for one in losses)
    none = run_day(NO_POLICY + PEAK, 1)
    assert none.over_s > 300.0
    assert not none.dropped
    assert polca[0].over_s < 60.0


def test_four_servers_more_are_over_the_cliff() -> None:
    assert run_day((*of_size(56), "duration=12 h"), 1).brakes > 50


def test_continuous_batching_breaks_the_bound_of_the_high_class() -> None:
    """With a batch of 8 the row always decodes; 222.7 kW is 40 servers' peak over 0.79."""
    sets = ("policies.batching.max_sequences=8", "duration=14.5 h")
    budget = f"power.ups[{UPS}].rating=222.7 kW"
    small = run_day((*of_size(40, 0.4), *NO_POLICY, *sets, budget), 1)
    assert small.peak == pytest.approx(0.79, abs=0.01)
    polca = run_day((*of_size(52, 0.4), *sets, budget), 1)
    free = run_day((*of_size(52, 0.4), *sets, *FREE), 1)
    assert not polca.dropped
    assert loss(polca, free, "high").p50 > 0.01


@pytest.mark.parametrize(
    ("sets", "drops"),
    [(NO_POLICY, True), ((), False), (("actuation.brake.delay=8 s",), True)],
    ids=["none", "brake 5 s", "brake 8 s"],
)
def test_a_stampede_needs_a_brake_in_time(sets: Sets, drops: bool) -> None:
    assert run_day((*sets, "duration=8.05 h"), 2, "polca-stampede.yaml").dropped == drops


@pytest.mark.parametrize(("sets", "drops"), [(NO_POLICY, True), ((), False)], ids=["none", "2 s"])
def test_a_surge_is_held_by_clocks_that_act_in_two_seconds(sets: Sets, drops: bool) -> None:
    day = run_day((*of_size(50, surge=0.16), *sets, "duration=14.3 h"), 1, "polca-surge.yaml")
    assert day.dropped == drops
