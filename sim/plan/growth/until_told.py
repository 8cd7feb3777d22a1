"""What is said of the month in which a load exceeds a capacity."""

from __future__ import annotations

import math
from collections.abc import Iterator

from sim.plan.growth.crossing import EXCEEDED, NOT_WITHIN, Capacity, Crossing
from sim.plan.growth.forecast import Forecast
from sim.plan.least.find import Plan
from sim.plan.least.told import told_of as told_of_plan
from sim.plan.told import BAD, GOOD, LINE, OPEN, Chart, Part, Series, Table, Told, digits, sentences
from sim.spec.months import month_text, span_text
from sim.spec.until import UntilSpec


def told_of(
    spec: UntilSpec,
    forecast: Forecast,
    plan: Plan | None,
    capacity: Capacity | None,
    found: Crossing | None,
) -> Told:
    """The whole answer."""
    what = "the capacity stated" if plan is None else plan.question.spec.where
    of = "" if plan is None else f" of {plan.question.spec.base}"
    parts = [_forecast_part(spec, forecast, capacity, found)]
    if plan is not None:
        parts += _plan_parts(plan)
    if capacity is None or found is None:
        assert plan is not None
        headline = "NO CAPACITY  no load asked about meets the lines"
        return Told(_asked(spec, what, of), headline, BAD, told_of_plan(plan, None).reasons,
                    tuple(parts))  # fmt: skip
    meant = {EXCEEDED: BAD, NOT_WITHIN: GOOD}.get(found.status, OPEN)
    return Told(
        asked=_asked(spec, what, of),
        headline=_headline(spec, forecast, found),
        meant=meant,
        reasons=sentences(tuple(_reasons(spec, forecast, plan, capacity, found)), capacity.notes),
        parts=tuple(parts),
    )


def _asked(spec: UntilSpec, what: str, of: str) -> str:
    return f"{spec.name}: the first month whose peak is above {what}{of}"


def _headline(spec: UntilSpec, forecast: Forecast, found: Crossing) -> str:
    ends = _ends(found, forecast.start)
    if found.status == NOT_WITHIN:
        until = month_text(forecast.start + spec.within)
        first = ends.replace("(", "(the first month that does not fit, ")
        return f"NOT WITHIN {span_text(spec.within)}  by P50 the load fits until {until}{first}"
    assert found.middle is not None
    if found.status == EXCEEDED:
        return f"ALREADY EXCEEDED  in {month_text(found.middle)}{ends}"
    first = f"{month_text(found.middle)} is the first month that does not fit"
    return f"UNTIL {month_text(found.middle - 1)}  by P50; {first}{ends}"


def _ends(found: Crossing, start: int) -> str:
    def named(month: int | None) -> str:
        return "not in the months looked at" if month is None else month_text(month)

    if found.earliest == found.latest == found.middle:
        return ""
    if found.earliest is not None and found.earliest <= start and found.status != EXCEEDED:
        return f"  (earliest: perhaps already, latest: {named(found.latest)})"
    return f"  (earliest: {named(found.earliest)}, latest: {named(found.latest)})"


def _reasons(
    spec: UntilSpec, forecast: Forecast, plan: Plan | None, capacity: Capacity, found: Crossing
) -> Iterator[str]:
    unit = spec.growth.unit
    between = ""
    if capacity.low < capacity.high < math.inf:
        between = f", between {_load(capacity.low, '')} and {_load(capacity.high, unit)}"
    elif math.isinf(capacity.high):
        between = f", from {_load(capacity.low, unit)} on"
    yield f"Capacity: {_load(capacity.value, unit)}{between}"
    now = forecast.curves[1, 0]
    yield (
        f"Load of {month_text(forecast.start)}: {_load(now, unit)}, "
        f"{100 * now / capacity.value:.0f} % of it"
    )
    if plan is not None and plan.binding and plan.binding[0]["label"] != "none":
        top, runs = plan.binding[0], sum(limit["seeds"] for limit in plan.binding)
        yield f"It ends at {top['label']} ({top['seeds']} of {runs} runs at {plan.binding_at})"
    if (found.earliest, found.latest) != (found.middle, found.middle):
        yield (
            "Earliest: P90 of the load against the low end of the capacity; latest: P10 against "
            "its high end"
        )


def _load(value: float, unit: str) -> str:
    return f"{digits(value)} {unit}".strip()


def _forecast_part(
    spec: UntilSpec, forecast: Forecast, capacity: Capacity | None, found: Crossing | None
) -> Part:
    unit = spec.growth.unit
    told = [f"Forecast: {forecast.method}", *forecast.notes]
    told += [
        f"Known to come: {_load(launch.load, unit)} from {month_text(launch.month)} on"
        for launch in spec.growth.launches
    ]
    return Part(
        "Load to come",
        tuple(told),
        (_table(spec, forecast, capacity),),
        (_fan(spec, forecast, capacity, found),),
    )


def _table(spec: UntilSpec, forecast: Forecast, capacity: Capacity | None) -> Table:
    """The curves once in half a year, and in the months of launches, until P10 does not fit."""
    launched = {launch.month - forecast.start for launch in spec.growth.launches}
    last = forecast.curves.shape[1] - 1
    shown = sorted({*range(0, last + 1, 6), *launched, last})
    limit = math.inf if capacity is None else capacity.value
    ends = [index for index in shown if forecast.curves[0, index] > limit]
    shown = [index for index in shown if not ends or index <= ends[0]]
    rows = tuple(
        (
            forecast.months[index],
            *(
                f"{digits(value)}{' > capacity' if value > limit else ''}"
                for value in forecast.curves[:, index].tolist()
            ),
        )
        for index in shown
    )
    unit = f" ({spec.growth.unit})" if spec.growth.unit else ""
    return Table(("month", f"P10{unit}", f"P50{unit}", f"P90{unit}"), rows)


def _fan(
    spec: UntilSpec, forecast: Forecast, capacity: Capacity | None, found: Crossing | None
) -> Chart:
    """The loads of all months; marked is the first one that does not fit, by P50."""
    unit = spec.growth.unit
    months: tuple[float | str, ...] = tuple(forecast.months)
    low, middle, high = (tuple(curve.tolist()) for curve in forecast.curves)
    first = None if found is None or found.middle is None else found.middle - forecast.start
    marked = frozenset({first}) if first is not None and 0 <= first < len(months) else frozenset()
    series = [Series("P50 (band: P10 to P90)", middle, x=months, low=low, high=high, chosen=marked)]
    if forecast.past is not None:
        past = forecast.past
        named: tuple[float | str, ...] = tuple(
            month_text(past.first + index) for index in range(len(past.loads))
        )
        series.insert(0, Series("history", tuple(past.loads.tolist()), x=named))
    limits: list[tuple[str, float]] = []
    if capacity is not None:
        limits.append(("capacity", capacity.value))
        if capacity.low < capacity.value:
            limits.append(("its low end", capacity.low))
        if capacity.value < capacity.high < math.inf:
            limits.append(("its high end", capacity.high))
    return Chart(
        title="Peak load of each month",
        kind=LINE,
        x="month",
        y=f"peak load ({unit})" if unit else "peak load",
        series=tuple(series),
        limits=tuple(limits),
        note="ring: the first month whose P50 is above the capacity" if marked else "",
    )


def _plan_parts(plan: Plan) -> Iterator[Part]:
    """What the capacity rests on, and what binds at it."""
    told = told_of_plan(plan, None)
    yield Part("How the capacity was found", sentences((told.headline,), told.reasons))
    yield from told.parts
