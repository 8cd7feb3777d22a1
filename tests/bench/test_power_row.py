"""The row of scenarios/polca-row.yaml over ten days: every policy, the cliff, what breaks it.

Prints each table with 95 % intervals over the days; a loss is against the same arrivals without a
limit. About a quarter of an hour on two cores.
"""

from __future__ import annotations

from statistics import mean

import pytest

from tests.power_row import (
    FREE,
    NO_POLICY,
    POLICIES,
    UPS,
    Case,
    Day,
    Sets,
    loss,
    of_size,
    run_days,
    table,
)

pytestmark = pytest.mark.bench

TEN = range(1, 11)
ROW, STAMPEDE, SURGE = "polca-row.yaml", "polca-stampede.yaml", "polca-surge.yaml"


def dropped(days: list[Day]) -> int:
    return sum(day.dropped for day in days)


def test_the_pinned_row() -> None:
    cases: list[Case] = [("40 none", of_size(40) + NO_POLICY, ROW), ("free", FREE, ROW)]
    cases += [(f"52 {name}", sets, ROW) for name, sets in POLICIES.items()]
    days = run_days(cases, TEN)
    free = {name: days["free"] for name in days if name.startswith("52")}
    free["40 none"] = days["40 none"]
    print(f"\n{table(days, free)}")
    assert all(day.peak == pytest.approx(0.79, abs=0.01) for day in days["40 none"])
    polca = days["52 polca"]
    assert dropped(polca) == 0
    assert mean(day.brakes for day in polca) <= 0.5
    bounds = {"low": (0.05, 0.50), "high": (0.01, 0.05)}
    for kind, (p50, p99) in bounds.items():
        losses = [loss(day, open_, kind) for day, open_ in zip(polca, days["free"], strict=True)]
        assert mean(one.p50 for one in losses) < p50
        assert mean(one.p99 for one in losses) < p99
    assert all(day.over_s > 300.0 for day in days["52 none"])
    assert all(day.over_s < 60.0 for day in polca)


def test_the_cliff() -> None:
    sizes = (53, 54, 55, 56)
    days = run_days(
        [(f"{n} {word}", of_size(n) + sets, ROW)
         for n in sizes for word, sets in (("polca", ()), ("free", FREE))],
        TEN[:3],
    )  # fmt: skip
    print(f"\n{table(days, {f'{n} polca': days[f'{n} free'] for n in sizes})}")
    brakes = [mean(day.brakes for day in days[f"{n} polca"]) for n in sizes]
    assert brakes == sorted(brakes)
    assert brakes[0] > 1.0
    assert brakes[-1] > 100.0


#: Batch limit → peak rate of each server.
BATCHES = {1: 0.06, 2: 0.1, 4: 0.2, 8: 0.4, 16: 0.5}


@pytest.mark.parametrize("limit", BATCHES)
def test_continuous_batching_breaks_the_bound_of_the_high_class(limit: int) -> None:
    """The row's budget is such that 40 of these servers peak at 0.79 of it."""
    batch: Sets = (f"policies.batching.max_sequences={limit}",)
    rate = BATCHES[limit]
    small = run_days([("40", of_size(40, rate) + NO_POLICY + batch, ROW)], TEN[:3])["40"]
    budget: Sets = (f"power.ups[{UPS}].rating={206e3 * mean(d.peak for d in small) / 0.79:.0f} W",)
    sets = of_size(52, rate) + batch
    days = run_days([("polca", sets + budget, ROW), ("free", sets + FREE, ROW)], TEN[:3])
    print(f"\nlimit {limit}, {budget[0]}\n{table(days, {'polca': days['free']})}")
    losses = [loss(*pair, "high") for pair in zip(days["polca"], days["free"], strict=True)]
    high = mean(one.p50 for one in losses)
    assert dropped(days["polca"]) == 0
    assert high < 0.01 if limit <= 2 else high > 0.01
    if limit >= 8:
        assert high > 0.02


def test_the_stampede() -> None:
    until: Sets = ("duration=8.2 h",)
    cases: list[Case] = [
        ("none", NO_POLICY + until, STAMPEDE),
        ("40 none", of_size(40, stampede=0.2) + NO_POLICY + until, STAMPEDE),
        ("no brake", ("policies.power.brake_at=10", *until), STAMPEDE),
        ("fixed 0.85", POLICIES["fixed 0.85"] + until, STAMPEDE),
        ("dynamo 2 s", POLICIES["dynamo 2 s"] + until, STAMPEDE),
    ]
    cases += [
        (f"brake {s} s", (f"actuation.brake.delay={s} s", *until), STAMPEDE)
        for s in (4, 5, 6, 7, 8, 10)
    ]
    days = run_days(cases, TEN)
    for name, mine in days.items():
        longest = [day.longest_s for day in mine]
        print(f"{name}: drops {dropped(mine)} of {len(mine)}, longest {min(longest):.1f} to "
              f"{max(longest):.1f} s over")  # fmt: skip
    assert dropped(days["none"]) >= 8
    assert dropped(days["no brake"]) >= 8
    assert dropped(days["40 none"]) == dropped(days["brake 4 s"]) == dropped(days["brake 5 s"]) == 0
    assert 0 < dropped(days["brake 6 s"]) <= dropped(days["brake 8 s"])


def test_the_onset_of_the_stampede_against_the_telemetry() -> None:
    """Half a period later is not the same: the worst case of the chain is a matter of phase."""
    cases: list[Case] = []
    for shift in (0.5, 1.0, 1.5):
        steps = f"[{{from: 0 s, times: 0}}, {{from: {28800 + shift} s, times: 1}}, " \
                f"{{from: {28820 + shift} s, times: 0}}]"  # fmt: skip
        sets = tuple(f"workload[{name}-stampede].profile={steps}" for name in ("low", "high"))
        cases.append((f"{shift} s later", (*sets, "duration=8.2 h"), STAMPEDE))
    for name, mine in run_days(cases, TEN).items():
        longest = max(day.longest_s for day in mine)
        print(f"{name}: drops {dropped(mine)} of {len(mine)}, longest {longest:.1f} s")
        assert dropped(mine) <= 1


def test_surges_are_held_in_two_seconds() -> None:
    until: Sets = ("duration=14.5 h",)
    slow: Sets = ("actuation.clock.delay=10 s",)
    cases = [
        (f"{word} {rate}", of_size(50, surge=rate) + sets + until, SURGE)
        for rate in (0.067, 0.16)
        for word, sets in (("none", NO_POLICY), ("2 s", ()), ("10 s", slow))
    ]
    days = run_days(cases, TEN)
    for name, mine in days.items():
        longest = max(day.longest_s for day in mine)
        print(f"{name}: drops {dropped(mine)} of {len(mine)}, longest {longest:.1f} s")
    assert dropped(days["2 s 0.067"]) == dropped(days["2 s 0.16"]) == 0
    assert dropped(days["none 0.16"]) == len(TEN)
    assert dropped(days["10 s 0.16"]) > 0
