"""What limits a build-out: what a schedule would cost without each of its limits, and waiting."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from sim.plan.growth.build_out import solve
from sim.plan.growth.schedule import GAP, Floats, Schedule
from sim.spec.build_out import BuildOutSpec

#: Limits in words.
POWER, SPACE = "power contract", "space"
LEAD_OF_UNITS, LEAD_OF_POWER, SUPPLY = "lead times of units", "lead time of power", "supply"


@dataclass(frozen=True)
class Limit:
    """A limit, and what the best schedule without it would save.

    Attributes:
        saving_usd: of the whole cost, shortfall included, discounted; 0: it does not bind.
        short: load times months not served without it.
        proven: both schedules are known to be the best.
    """

    name: str
    saving_usd: float
    short: float
    proven: bool

    @property
    def binds(self) -> bool:
        """Whether anything is gained without it."""
        return self.saving_usd > 0.0


@dataclass(frozen=True)
class Wait:
    """What is ordered in month 0, and what waiting a month costs.

    Attributes:
        what: the type, or "contracted power"; ``number`` of units or steps.
        costs_usd: more than the schedule, if nothing of it may be ordered in month 0.
    """

    what: str
    number: int
    costs_usd: float


def limits(spec: BuildOutSpec, start: int, best: Schedule) -> list[Limit]:
    """Every limit there is, the one that costs most first."""
    found = []
    for name, relaxed in _without(spec):
        other = solve(relaxed, start, best.load)
        saving = best.costs.total - other.costs.total
        if saving <= 2.0 * GAP * abs(best.costs.total):
            saving = 0.0
        proven = best.optimal and other.optimal
        found.append(Limit(name, saving, float(other.short.sum()), proven))
    return sorted(found, key=lambda limit: (-limit.saving_usd, limit.name))


def _without(spec: BuildOutSpec) -> Iterator[tuple[str, BuildOutSpec]]:
    """The same question without one limit at a time."""
    if spec.contract is not None:
        yield POWER, replace(spec, contract=None)
        if spec.contract.lead:
            yield LEAD_OF_POWER, replace(spec, contract=replace(spec.contract, lead=0))
    if spec.racks is not None:
        yield SPACE, replace(spec, racks=None)
    if any(one.lead for one in spec.types):
        yield LEAD_OF_UNITS, replace(spec, types=tuple(replace(o, lead=0) for o in spec.types))
    if any(one.most or one.orders_from or one.orders_until for one in spec.types):
        free = tuple(
            replace(one, most=None, orders_from=None, orders_until=None) for one in spec.types
        )
        yield SUPPLY, replace(spec, types=free)


def physics(spec: BuildOutSpec, start: int, load: Floats) -> Schedule:
    """The schedule that falls short of the least load, whatever it costs."""
    free = replace(
        spec,
        discount=0.0,
        shortfall_usd=1.0,
        energy_usd_per_j=None,
        types=tuple(replace(one, price_usd=0.0, maintenance_usd=0.0) for one in spec.types),
        contract=None
        if spec.contract is None
        else replace(spec.contract, price_usd=0.0, fee_usd=0.0),
    )
    return solve(free, start, load)


def waits(spec: BuildOutSpec, start: int, best: Schedule) -> list[Wait]:
    """What the schedule orders in month 0, each with what a month's delay would cost."""
    found = []
    for k, one in enumerate(spec.types):
        if best.orders[k, 0]:
            types = list(spec.types)
            types[k] = replace(one, orders_from=start + 1)
            later = solve(replace(spec, types=tuple(types)), start, best.load)
            found.append(Wait(one.name, int(best.orders[k, 0]), _more(later, best)))
    if spec.contract is not None and best.steps[0]:
        contract = replace(spec.contract, first=1)
        later = solve(replace(spec, contract=contract), start, best.load)
        found.append(Wait("contracted power", int(best.steps[0]), _more(later, best)))
    return found


def _more(later: Schedule, best: Schedule) -> float:
    return float(np.maximum(0.0, later.costs.total - best.costs.total))
