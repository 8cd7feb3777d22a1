"""A schedule of orders: what follows from it month by month, and what it costs.

What is left of an order's life at the end of the horizon is worth that share of its price then
(straight line), or nothing would be ordered near the end. What was paid or contracted before month
0 is the same in every schedule, and left out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim.spec.build_out import BuildOutSpec, UnitType
from sim.spec.months import MONTHS_A_YEAR

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

SECONDS_A_MONTH = 365.25 * 86400.0 / MONTHS_A_YEAR
#: The relative gap at which a program has been solved.
GAP = 1e-6


@dataclass(frozen=True)
class Costs:
    """Discounted, in USD; ``residual`` is what is left at the end, above 0."""

    hardware: float
    residual: float
    running: float
    contract: float
    shortfall: float

    @property
    def total(self) -> float:
        """All of it, less the residual."""
        return self.hardware - self.residual + self.running + self.contract + self.shortfall


@dataclass(frozen=True)
class Schedule:
    """What is ordered, and what follows. K types in their order, T months.

    Attributes:
        orders: [K, T] units ordered.
        steps: [T] steps of contracted power ordered.
        in_service, ended, retired: [K, T] units in service, whose life ends in, and that are
            retired early in a month (so that they serve no longer from it on).
        load, capacity, short: [T] load asked for, served at most, and not served.
        power_w, contract_w: [T] taken and contracted; the second infinite without a contract.
        racks: [T] positions taken.
        bound: no schedule costs less, in USD; ``optimal``: the solver has shown that it costs no
            more than that, within ``GAP``.
    """

    orders: Ints
    steps: Ints
    in_service: Ints
    ended: Ints
    retired: Ints
    load: Floats
    capacity: Floats
    short: Floats
    power_w: Floats
    contract_w: Floats
    racks: Ints
    costs: Costs
    bound: float
    optimal: bool
    seconds: float

    @property
    def gap(self) -> float:
        """How much cheaper another schedule may be, as a share of this one's cost."""
        total = self.costs.total
        return 0.0 if total == 0.0 else max(0.0, (total - self.bound) / abs(total))


def discounts(spec: BuildOutSpec, months: int) -> Floats:
    """[months] what a dollar of month t is worth in month 0."""
    return np.asarray((1.0 + spec.discount) ** (-np.arange(months) / MONTHS_A_YEAR))


def positions(spec: BuildOutSpec, start: int) -> Floats:
    """[T] positions for racks; infinite without a limit."""
    if spec.racks is None:
        return np.full(spec.months, np.inf)
    limit = np.zeros(spec.months)
    for month, number in spec.racks:
        limit[max(0, 0 if month is None else month - start) :] = number
    return limit


def residual_share(one: UnitType, ordered: int, months: int) -> float:
    """What of a unit's life is left at the end of the horizon."""
    return max(0.0, 1.0 - (months - ordered - one.lead) / one.life)


def running_usd(spec: BuildOutSpec, one: UnitType) -> float:
    """What a unit costs a month in service: maintenance and energy."""
    energy = 0.0
    if spec.energy_usd_per_j is not None and one.mean_w is not None:
        energy = spec.energy_usd_per_j * one.mean_w * SECONDS_A_MONTH
    return one.maintenance_usd + energy


def order_months(spec: BuildOutSpec, one: UnitType, start: int) -> range:
    """Months of orders that are allowed and arrive within the horizon."""
    first = 0 if one.orders_from is None else max(0, one.orders_from - start)
    last = spec.months - one.lead
    if one.orders_until is not None:
        last = min(last, one.orders_until - start + 1)
    return range(first, max(first, last))


def arrivals(spec: BuildOutSpec, start: int, orders: Ints) -> tuple[Ints, Ints]:
    """[K, T] units that come into service, and units that are there in month t by their life alone.

    Units that were there before count as arrived in month 0.
    """
    months = spec.months
    come, alive = np.zeros_like(orders), np.zeros_like(orders)
    for k, one in enumerate(spec.types):
        if one.lead < months:
            come[k, one.lead :] = orders[k, : months - one.lead]
        for t in range(months):
            alive[k, t] = come[k, max(0, t - one.life + 1) : t + 1].sum()
        for batch in one.installed:
            come[k, 0] += batch.count
            alive[k, : batch.since + one.life - start] += batch.count
    return come, alive


def contracted(spec: BuildOutSpec, steps: Ints) -> Floats:
    """[T] contracted power."""
    if spec.contract is None:
        return np.full(spec.months, np.inf)
    power = np.full(spec.months, spec.contract.contract_w)
    lead = spec.contract.lead
    if lead < spec.months:
        power[lead:] += spec.contract.step_w * np.cumsum(steps)[: spec.months - lead]
    return power


def schedule(
    spec: BuildOutSpec,
    start: int,
    load: Floats,
    orders: Ints,
    steps: Ints,
    service: Ints,
    *,
    bound: float,
    optimal: bool,
    seconds: float,
) -> Schedule:
    """All that follows from orders and from what is kept in service, reckoned in whole units."""
    come, alive = arrivals(spec, start, orders)
    before = np.pad(service, ((0, 0), (1, 0)))[:, :-1]
    gone = before + come - service
    # Ends of life among those that go: what is alive by its life, less what was retired before.
    ended = np.zeros_like(gone)
    for k in range(len(spec.types)):
        total = 0
        for t in range(spec.months):
            due = int(come[k, : t + 1].sum() - alive[k, t])
            ended[k, t] = min(int(gone[k, t]), max(0, due - total))
            total += int(gone[k, t])
    units = spec.types
    capacity = np.asarray(np.array([one.capacity for one in units]) @ service, np.float64)
    short = np.maximum(0.0, load - capacity)
    return Schedule(
        orders=orders,
        steps=steps,
        in_service=service,
        ended=ended,
        retired=gone - ended,
        load=load,
        capacity=capacity,
        short=short,
        power_w=np.array([one.power_w or 0.0 for one in units]) @ service,
        contract_w=contracted(spec, steps),
        racks=np.array([one.racks for one in units]) @ service,
        costs=costs_of(spec, orders, steps, service, short),
        bound=bound,
        optimal=optimal,
        seconds=seconds,
    )


def costs_of(spec: BuildOutSpec, orders: Ints, steps: Ints, service: Ints, short: Floats) -> Costs:
    """What a schedule costs."""
    months = spec.months
    worth = discounts(spec, months + 1)
    prices = np.array([one.price_usd for one in spec.types])
    left = np.array([[residual_share(one, s, months) for s in range(months)] for one in spec.types])
    contract = 0.0
    if spec.contract is not None:
        in_force = (contracted(spec, steps) - spec.contract.contract_w) / spec.contract.step_w
        yearly = spec.contract.price_usd / MONTHS_A_YEAR
        contract = float(worth[:-1] @ (in_force * yearly + steps * spec.contract.fee_usd))
    running = np.array([running_usd(spec, one) for one in spec.types])
    return Costs(
        hardware=float(prices @ orders @ worth[:-1]),
        residual=float(worth[-1] * (prices @ (orders * left)).sum()),
        running=float(running @ service @ worth[:-1]),
        contract=contract,
        shortfall=float(spec.shortfall_usd * (short @ worth[:-1])),
    )
