"""The schedule of a build-out costs what the best of all schedules does, found by trying each.

All orders, all steps of power, and for each unit all months in which it may be retired are
enumerated and paid for here, without any of the formulas of the product.
"""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from sim.spec.build_out import BuildOutSpec, UnitType
from tests.unit.plan.build_outs import START, build_out, contract, solved, there, unit

CASES = 60


def random_case(seed: int) -> tuple[BuildOutSpec, list[float]]:
    """Up to two types, up to four months, few units, so that every schedule can be tried."""
    rng = np.random.default_rng([2027, seed])
    months = int(rng.integers(2, 5))
    types = []
    for name in ("a", "b")[: int(rng.integers(1, 3))]:
        life = int(rng.integers(1, 8))
        age = int(rng.integers(0, life))
        types.append(
            unit(
                name=name,
                capacity=float(rng.integers(6, 16)),
                power_w=1e3 * float(rng.integers(2, 12)),
                racks=int(rng.integers(1, 3)),
                price_usd=float(rng.integers(20, 300)),
                lead=int(rng.integers(0, 3)),
                life=life,
                maintenance_usd=float(rng.integers(0, 9)),
                most=2 if months < 4 else 1,
                orders_from=START + 1 if rng.random() < 0.2 else None,
                installed=(there(1, months=age),) if rng.random() < 0.6 else (),
            )
        )
    power = contract(
        contract_w=1e3 * float(rng.integers(2, 10)),
        step_w=1e3 * float(rng.integers(3, 9)),
        lead=int(rng.integers(0, 3)),
        price_usd=12.0 * float(rng.integers(1, 5)),
        fee_usd=float(rng.integers(0, 9)),
        most=1,
        most_w=30e3 if rng.random() < 0.5 else None,
    )
    spec = build_out(
        months,
        *types,
        discount=float(rng.choice([0.0, 0.1, 0.5])),
        shortfall_usd=float(rng.choice([2.0, 9.0, 60.0])),
        contract=power if rng.random() < 0.7 else None,
        racks=((None, int(rng.integers(1, 4))),) if rng.random() < 0.5 else None,
    )
    return spec, rng.integers(0, 16, months).astype(float).tolist()


def of_type(spec: BuildOutSpec, one: UnitType, worth: list[float]) -> dict[tuple[int, ...], float]:
    """Units in service month by month → the least that this costs, over all orders and ends."""
    months = spec.months
    may = [s for s in range(months) if s + one.lead < months
           and (one.orders_from is None or s >= one.orders_from - START)]  # fmt: skip
    least: dict[tuple[int, ...], float] = {}
    assert one.most is not None
    for chosen in product(range(one.most + 1), repeat=len(may)):
        cost = 0.0
        spans = [(0, min(months, batch.since + one.life - START)) for batch in one.installed]
        for s, number in zip(may, chosen, strict=True):
            for _ in range(number):
                come, used = s + one.lead, months - s - one.lead
                left = max(0.0, (one.life - used) / one.life)
                cost += one.price_usd * (worth[s] - left * worth[months])
                spans.append((come, min(months, come + one.life)))
        for ends in product(*(range(come, end + 1) for come, end in spans)):
            served = [
                sum(come <= t < end for (come, _), end in zip(spans, ends, strict=True))
                for t in range(months)
            ]
            usd = cost + sum(one.maintenance_usd * n * worth[t] for t, n in enumerate(served))
            key = tuple(served)
            least[key] = min(usd, least.get(key, np.inf))
    return least


def best_cost(spec: BuildOutSpec, load: list[float]) -> float:
    """The least cost of all schedules."""
    months = spec.months
    worth = [(1.0 + spec.discount) ** (-t / 12) for t in range(months + 1)]
    options = [list(of_type(spec, one, worth).items()) for one in spec.types]
    best = np.inf
    for power, steps_usd in contracts(spec, worth):
        for choice in product(*options):
            cost = steps_usd + sum(usd for _, usd in choice)
            for t in range(months):
                served = [counts[t] for counts, _ in choice]
                pairs = list(zip(spec.types, served, strict=True))
                if sum(one.power_w or 0.0 for one, n in pairs for _ in range(n)) > power[t] + 1e-6:
                    break
                if spec.racks and sum(one.racks * n for one, n in pairs) > spec.racks[0][1]:
                    break
                short = load[t] - sum(one.capacity * n for one, n in pairs)
                cost += max(0.0, short) * spec.shortfall_usd * worth[t]
            else:
                best = min(best, cost)
    return best


def contracts(spec: BuildOutSpec, worth: list[float]) -> list[tuple[list[float], float]]:
    """Power month by month and its cost, of all ways to order steps."""
    held = spec.contract
    if held is None:
        return [([np.inf] * spec.months, 0.0)]
    found = []
    may = range(max(0, spec.months - held.lead))
    for chosen in product((0, 1), repeat=len(may)):
        if held.most_w is not None and held.contract_w + sum(chosen) * held.step_w > held.most_w:
            continue
        power, usd = [held.contract_w] * spec.months, 0.0
        for s, number in zip(may, chosen, strict=True):
            if number:
                usd += held.fee_usd * worth[s]
                for t in range(s + held.lead, spec.months):
                    power[t] += held.step_w
                    usd += held.price_usd / 12 * worth[t]
        found.append((power, usd))
    return found


@pytest.mark.parametrize("seed", range(CASES))
def test_no_schedule_is_cheaper(seed: int) -> None:
    spec, load = random_case(seed)
    found = solved(spec, *load)
    best = best_cost(spec, load)
    assert found.costs.total == pytest.approx(best, rel=1e-5, abs=1e-5)
    assert found.bound <= best + 1e-4 * max(1.0, abs(best))


def test_the_cases_differ() -> None:
    """Some are served whole and some are not; power, room and early retirement all occur."""
    found = [(spec, solved(spec, *load)) for spec, load in map(random_case, range(CASES))]
    assert 5 <= sum(bool(one.short.any()) for _, one in found) <= CASES - 10
    assert sum(bool(one.orders.any()) for _, one in found) >= 15
    assert sum(bool(one.steps.any()) for _, one in found) >= 5
    assert sum(bool(one.retired.any()) for _, one in found) >= 3
    assert sum(bool(one.ended.any()) for _, one in found) >= 3


def test_the_brute_force_knows_a_case_by_hand() -> None:
    """10 asked for in both months; one unit at once for 2 of its 50 months costs 4."""
    assert best_cost(build_out(2, unit(most=1)), [10.0, 10.0]) == pytest.approx(4.0)
