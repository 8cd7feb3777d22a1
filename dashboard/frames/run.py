"""What a changed scenario gives beside what it started from: a few metrics of both."""

from __future__ import annotations

from collections.abc import Iterator

from dashboard.load import RunView, View
from sim.results.metrics import Metric
from sim.results.wording import percent, quantity, shown

_SITE = ("goodput_fraction", "goodput_per_s", "peak_draw_w", "over_budget_s", "goodput_per_mw")
_WORKLOAD = ("goodput_fraction", "ttft_p99", "tpot_p99")
#: From here on a change is told in its unit: so many times more says little.
_FAR = 10.0
_PLACEMENT = ("unallocated", "placed", "failed")


def effect_rows(before: View | None, after: View) -> list[dict[str, str]]:
    """Rows of a table: metric, before, after, change (after - before), definition.

    Of a workload that only one of them has, the other's value is "–". Without ``before`` there is
    no such column.
    """
    rows = []
    for name in _names(before, after):
        was = None if before is None else before.metrics.get(name)
        now = after.metrics.get(name)
        one = now if now is not None else was
        if one is None:
            continue
        row = {"metric": name}
        if before is not None:
            row |= {"before": _value(was), "after": _value(now), "change": _change(was, now)}
        else:
            row["after"] = _value(now)
        rows.append({**row, "what it is": one.definition.definition})
    return rows


def _names(before: View | None, after: View) -> Iterator[str]:
    if not isinstance(after, RunView):
        yield from _PLACEMENT
        return
    yield from _SITE
    workloads = dict.fromkeys(after.workloads)
    if isinstance(before, RunView):
        workloads |= dict.fromkeys(before.workloads)
    for workload in workloads:
        yield from (f"{workload}.{name}" for name in _WORKLOAD)


def _value(metric: Metric | None) -> str:
    return "–" if metric is None or metric.value is None else shown(metric)


def _change(was: Metric | None, now: Metric | None) -> str:
    """The difference in percent of what it was, or in the metric's unit; of shares, in points."""
    if was is None or now is None or was.value is None or now.value is None:
        return "–"
    difference = now.value - was.value
    if difference == 0.0:
        return "none"
    definition = now.definition
    sign = "+" if difference > 0.0 else "−"
    if definition.dimension == "fraction":
        return f"{sign}{100.0 * abs(difference):.3g} points"
    if was.value and abs(difference) < _FAR * abs(was.value):
        return f"{sign}{percent(abs(difference / was.value))}"
    return f"{sign}{quantity(abs(difference), now.unit, definition.dimension)}"
