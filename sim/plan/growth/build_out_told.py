"""What is said of a build-out: what to order when, what limits it, what it costs."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from sim.plan.growth.build_out_limits import Limit, Wait
from sim.plan.growth.forecast import Forecast
from sim.plan.growth.schedule import Schedule
from sim.plan.told import BAD, GOOD, LINE, OPEN, Chart, Part, Series, Table, Told, digits
from sim.results.wording import percent
from sim.spec.build_out import BuildOutSpec
from sim.spec.months import month_text, span_text
from sim.units import format_si


def told_of(
    spec: BuildOutSpec,
    forecast: Forecast,
    plans: dict[str, Schedule],
    limits: list[Limit],
    waits: list[Wait],
    unavoidable: Schedule | None,
    capacities: tuple[str, ...],
) -> Told:
    """The whole answer; ``capacities``: where those that were measured come from."""
    telling = _Telling(spec, forecast, plans)
    return telling.told(limits, waits, unavoidable, capacities)


def usd(value: float) -> str:
    """A sum of money: ``3.21 M USD``, ``850,000 USD``."""
    if abs(value) >= 999_500.0:
        return f"{digits(value / 1e6)} M USD"
    return f"{value:,.0f} USD"


class _Telling:
    """Puts the parts together; ``best``: the schedule that decides."""

    def __init__(self, spec: BuildOutSpec, forecast: Forecast, plans: dict[str, Schedule]) -> None:
        self._spec, self._forecast, self._plans = spec, forecast, plans
        self._best = plans[spec.plan_for]
        self._start = forecast.start

    def _month(self, t: int) -> str:
        return month_text(self._start + t)

    def told(
        self,
        limits: list[Limit],
        waits: list[Wait],
        unavoidable: Schedule | None,
        capacities: tuple[str, ...],
    ) -> Told:
        """The whole answer."""
        spec, best = self._spec, self._best
        upto = self._month(spec.months - 1)
        word, meant = self._word(unavoidable)
        return Told(
            asked=f"{spec.name}: what to order when, {self._month(0)} to {upto}, so that the "
            f"{spec.plan_for.upper()} of the load is carried at least discounted cost",
            headline=f"{word}  {spec.plan_for.upper()} plan: {usd(best.costs.total)} net of "
            f"residual value, discounted at {percent(spec.discount)} a year",
            meant=meant,
            reasons=tuple(self._now(waits)),
            parts=(
                Part("Orders", (), (self._orders(),), tuple(self._charts())),
                *self._gone(),
                *([] if unavoidable is None else [self._short(limits, unavoidable)]),
                self._binding(limits),
                Part("Cost", tuple(self._bounds()), (self._costs(),)),
                Part("What it rests on", (*capacities, *self._assumptions())),
            ),
        )

    def _word(self, unavoidable: Schedule | None) -> tuple[str, str]:
        if unavoidable is None:
            return "CARRIED", GOOD if self._best.optimal else OPEN
        short = int((self._best.short > 0.0).sum())
        text = f"SHORT in {short} of {self._spec.months} months"
        if not unavoidable.short.any():
            return f"{text}, as that is cheaper", OPEN
        return text, BAD

    def _now(self, waits: list[Wait]) -> Iterator[str]:
        """What must be ordered in month 0; all else can wait for the next plan."""
        if not waits:
            yield f"Nothing has to be ordered in {self._month(0)}: all can wait for the next plan"
            return
        other = self._plans["p50" if self._spec.plan_for == "p90" else "p90"]
        names = [one.name for one in self._spec.types]
        yield f"Order now, in {self._month(0)}; all else can wait for the next plan:"
        for wait in waits:
            if wait.what in names:
                also = int(other.orders[names.index(wait.what), 0])
            else:
                also = int(other.steps[0])
            what = f"{wait.number} × {wait.what}"
            if wait.what not in names:
                what = f"{format_si(wait.number * self._step_w(), 'W')} of contracted power"
            which = "P50" if self._spec.plan_for == "p90" else "P90"
            yield (
                f"  {what}; a month later costs {usd(wait.costs_usd)} more "
                f"(the {which} plan orders {also if also != wait.number else 'as many'} now)"
            )

    def _step_w(self) -> float:
        return 0.0 if self._spec.contract is None else self._spec.contract.step_w

    def _orders(self) -> Table:
        """Each order of the plan that decides, beside that of the other plan."""
        spec, plans = self._spec, self._plans
        rows: list[tuple[str, ...]] = []
        now: set[int] = set()
        for t in range(spec.months):
            for k, one in enumerate(spec.types):
                numbers = {name: int(plan.orders[k, t]) for name, plan in plans.items()}
                if any(numbers.values()):
                    cost = numbers[spec.plan_for] * one.price_usd
                    text = usd(cost) if cost else "-"
                    rows.append(self._row(t, one.name, numbers, one.lead, text))
            if spec.contract is not None:
                steps = {name: int(plan.steps[t]) for name, plan in plans.items()}
                if any(steps.values()):
                    name = f"{format_si(spec.contract.step_w, 'W')} of power"
                    yearly = steps[spec.plan_for] * spec.contract.price_usd
                    text = f"{usd(yearly)} a year" if yearly else "-"
                    rows.append(self._row(t, name, steps, spec.contract.lead, text))
            if t == 0:
                now = set(range(len(rows)))
        columns = ("order in", "what", "P90 plan", "P50 plan", "arrives", "cost")
        return Table(
            columns, tuple(rows), left=frozenset({0, 1}), chosen=frozenset(now),
            note=f"cost: of the {spec.plan_for.upper()} plan, not discounted",
        )  # fmt: skip

    def _row(
        self, t: int, what: str, numbers: dict[str, int], lead: int, cost: str
    ) -> tuple[str, ...]:
        p90, p50 = (str(numbers[name]) if numbers[name] else "-" for name in ("p90", "p50"))
        return (self._month(t), what, p90, p50, self._month(t + lead), cost)

    def _gone(self) -> Iterator[Part]:
        """Units that leave, of the plan that decides."""
        rows = []
        for t in range(self._spec.months):
            for k, one in enumerate(self._spec.types):
                ended, early = int(self._best.ended[k, t]), int(self._best.retired[k, t])
                if ended or early:
                    cells = (str(ended) if ended else "-", str(early) if early else "-")
                    rows.append((self._month(t), one.name, *cells))
        if rows:
            columns = ("no longer from", "what", "end of life", "retired early")
            table = Table(columns, tuple(rows), left=frozenset({0, 1}))
            yield Part(f"Retirements of the {self._spec.plan_for.upper()} plan", (), (table,))

    def _short(self, limits: list[Limit], unavoidable: Schedule) -> Part:
        """Where the load is not served, and whether money would help."""
        best, unit = self._best, self._spec.growth.unit
        total, least = float(best.short.sum()), float(unavoidable.short.sum())
        told = [f"Not served: {digits(total)} {unit or 'units'} × months in all"]
        if least <= 1e-6 * total:
            told.append("All of it could be carried: to fall short is cheaper, at the price stated")
        else:
            told.append(f"{percent(least / total)} of it no money avoids, within these limits")
            told += [
                f"  without the limit of {one.name} {digits(one.short)} are left"
                for one in limits
                if one.short < 0.999 * total
            ]
        rows = tuple(
            (
                self._month(t),
                f"{digits(best.load[t])}",
                f"{digits(best.capacity[t])}",
                f"{digits(best.short[t])}",
                f"{digits(unavoidable.short[t])}" if unavoidable.short[t] > 0.0 else "-",
            )
            for t in np.flatnonzero(best.short > 0.0).tolist()
        )
        in_unit = f" ({unit})" if unit else ""
        columns = ("month", f"load{in_unit}", "capacity", "short", "in the least short schedule")
        return Part("Shortfalls", tuple(told), (Table(columns, rows),))

    def _binding(self, limits: list[Limit]) -> Part:
        if not limits:
            nothing = "Nothing limits it: no contract, no space and no lead time is stated"
            return Part("What binds", (nothing,))
        unit = f" ({self._spec.growth.unit} × months)" if self._spec.growth.unit else ""
        rows = tuple(
            (
                one.name,
                (usd(one.saving_usd) if one.binds else "does not bind")
                + ("" if one.proven else " (solver's time was up)"),
                f"{digits(one.short)}",
            )
            for one in limits
        )
        columns = ("limit", "the plan would cost less without it by", f"not served then{unit}")
        return Part("What binds", (), (Table(columns, rows),))

    def _bounds(self) -> Iterator[str]:
        for name, plan in self._plans.items():
            if plan.optimal:
                text = f"no schedule is cheaper by more than {percent(max(plan.gap, 1e-6))}"
            elif math.isfinite(plan.bound):
                text = f"the solver's time was up: one may be cheaper by {percent(plan.gap)}"
            else:
                text = "the solver's time was up without a bound"
            yield f"{name.upper()} plan: {text} (bound {usd(plan.bound)})"

    def _costs(self) -> Table:
        rows = []
        for name in ("hardware", "residual", "running", "contract", "shortfall", "total"):
            sign = -1.0 if name == "residual" else 1.0
            title = {
                "hardware": "units ordered",
                "residual": "their value at the end",
                "running": "maintenance and energy",
                "contract": "contract steps",
            }.get(name, name)
            values = (sign * getattr(self._plans[plan].costs, name) for plan in ("p90", "p50"))
            rows.append((title, *(usd(value) if value else "-" for value in values)))
        return Table(
            ("discounted", "P90 plan", "P50 plan"), tuple(rows), chosen=frozenset({len(rows) - 1})
        )

    def _assumptions(self) -> Iterator[str]:
        spec = self._spec
        yield f"Load: {self._forecast.method}"
        yield from self._forecast.notes
        for launch in spec.growth.launches:
            yield (
                f"Known to come: {digits(launch.load)} {spec.growth.unit} from "
                f"{month_text(launch.month)} on"
            )
        yield (
            f"A unit ordered serves after its lead time; at the end of {span_text(spec.months)} "
            "it is worth its price times the share of its life that is left"
        )
        yield f"Load that is not served costs {usd(spec.shortfall_usd)} a unit and month"
        if spec.contract is None:
            yield "No power contract is stated: power does not limit"
        if spec.racks is None:
            yield "No positions are stated: space does not limit"
        if spec.energy_usd_per_j is None:
            yield "No price of energy is stated: energy is left out"

    def _charts(self) -> Iterator[Chart]:
        months: tuple[float | str, ...] = tuple(self._month(t) for t in range(self._spec.months))
        unit, spec = self._spec.growth.unit, self._spec
        p50, p90 = self._plans["p50"], self._plans["p90"]

        def series(name: str, values: np.ndarray) -> Series:
            return Series(name, tuple(float(value) for value in values), x=months)

        yield Chart(
            title="Load and what is in service",
            kind=LINE,
            x="month",
            y=f"load ({unit})" if unit else "load",
            series=(
                series("load, P90", p90.load),
                series("load, P50", p50.load),
                series("capacity, P90 plan", p90.capacity),
                series("capacity, P50 plan", p50.capacity),
            ),
        )
        if spec.contract is None:
            return
        most = spec.contract.most_w
        yield Chart(
            title=f"Power of the {spec.plan_for.upper()} plan",
            kind=LINE,
            x="month",
            y="power (kW)",
            series=(
                series("contracted", self._best.contract_w / 1e3),
                series("taken", self._best.power_w / 1e3),
            ),
            limits=() if most is None else (("most of the utility", most / 1e3),),
        )
