"""Axes: how charts show simulated time, latencies and watts, with round ticks."""

from __future__ import annotations

import math
from dataclasses import dataclass

import altair as alt

from sim.results.wording import span


@dataclass(frozen=True)
class Window:
    """The stretch of simulated time that charts show, and the warm-up that no metric counts."""

    end_s: float
    warm_up_s: float


@dataclass(frozen=True)
class Clock:
    """How an axis shows simulated time."""

    unit_s: float
    title: str
    expression: str
    ticks: list[float]


def time_axis(clock: Clock, window: Window) -> alt.X:
    """The axis over a column ``time``, in units of ``clock``; the same domain in every chart."""
    return alt.X(
        "time:Q",
        title=clock.title,
        scale=alt.Scale(domain=[0.0, max(window.end_s, 1.0) / clock.unit_s], nice=False),
        axis=alt.Axis(values=clock.ticks, labelExpr=clock.expression, grid=False),
    )


_NUMBER = "datum.label"
_HOURS = "format(floor(datum.value / 60), '02') + ':' + format(datum.value % 60, '02')"
_DAYS = (
    "floor(datum.value / 1440) + '+' + format(floor(datum.value % 1440 / 60), '02') + ':' + "
    "format(datum.value % 60, '02')"
)
_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440, 2880, 10_080, 20_160, 43_200)


def clock_of(end_s: float) -> Clock:
    """Seconds up to 3 min, minutes up to 2 h, then hh:mm, and from two days d+hh:mm."""
    if end_s <= 180.0:
        unit_s, title, expression = 1.0, "simulated time (s)", _NUMBER
    elif end_s <= 7200.0:
        unit_s, title, expression = 60.0, "simulated time (min)", _NUMBER
    elif end_s < 172_800.0:
        unit_s, title, expression = 60.0, "simulated time (hh:mm)", _HOURS
    else:
        unit_s, title, expression = 60.0, "simulated time (days+hh:mm)", _DAYS
    length = end_s / unit_s
    step = next((s for s in _STEPS if length / s <= 8), math.ceil(length / 8))
    ticks = [float(step * i) for i in range(int(length / step) + 1)]
    return Clock(unit_s, title, expression, ticks)


def bin_words(start_s: float, bin_s: float) -> str:
    """A bin in words, for a tooltip."""
    return f"{span(start_s)} to {span(start_s + bin_s)}"


def log_axis(values: list[float], title: str) -> alt.Y:
    """A log scale around ``values`` (> 0) with few, round ticks."""
    # Room at both ends for the labels, which stand inside the picture.
    room = max(1.15, (max(values) / min(values)) ** 0.15)
    low, high = min(values) / room, max(values) * room
    return alt.Y(
        type="quantitative",
        title=title,
        scale=alt.Scale(type="log", domain=[low, high], nice=False),
        axis=alt.Axis(values=_log_ticks(low, high), labelExpr="format(datum.value, '~g')"),
    )


def log_span(y: alt.Y) -> float:
    """Length of a log axis: the logarithm of its highest over its lowest value."""
    low, high = y["scale"]["domain"]
    return math.log(high / low)


_FINE_STEPS = tuple(step / 10 for step in range(10, 100, 5))


def _log_ticks(low: float, high: float) -> list[float]:
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks: list[float] = []
    for steps in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 5, 7), _FINE_STEPS):
        ticks = [float(f"{s}e{d}") for d in decades for s in steps]
        ticks = [tick for tick in ticks if low <= tick <= high]
        if len(ticks) >= 4:
            break
    return ticks


def power_unit(watts: float) -> tuple[float, str]:
    """Divisor and unit in which ``watts`` has one to three digits before its point."""
    for factor, unit in ((1e9, "GW"), (1e6, "MW"), (1e3, "kW")):
        if watts >= factor:
            return factor, unit
    return 1.0, "W"


def moment_words(t_s: float, end_s: float) -> str:
    """A moment as the axis of a run of ``end_s`` shows it: ``95 s``, ``12:30``, ``2+06:15``."""
    if end_s <= 180.0:
        return f"{t_s:g} s"
    if end_s <= 7200.0:
        minutes, seconds = divmod(round(t_s), 60)
        return f"{minutes}:{seconds:02}"
    days, rest = divmod(round(t_s), 86_400)
    clock = f"{rest // 3600:02}:{rest % 3600 // 60:02}"
    return clock if end_s < 172_800.0 else f"{days}+{clock}"
