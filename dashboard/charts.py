"""The charts, as Altair specifications: each draws its limit in the same picture."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import altair as alt
import pandas as pd

from dashboard.series import Draw, Latency
from dashboard.style import BAD, BLUE, GOOD, GREY, Ink
from sim.results.wording import span
from sim.units import format_si

HEIGHT = 220
_POINTS_UP_TO = 40  # bins; more of them are a line without points
_LABEL_PX = 11
#: A limit this many times above the data is told in words: drawn, it would flatten the line.
_FAR = 30.0


@dataclass(frozen=True)
class Window:
    """The stretch of simulated time that charts show, and the warm-up that no metric counts."""

    end_s: float
    warm_up_s: float


@dataclass(frozen=True)
class _Clock:
    """How an axis shows simulated time."""

    unit_s: float
    title: str
    expression: str
    ticks: list[float]


def latency_chart(latency: Latency, window: Window, ink: Ink) -> alt.LayerChart:
    """TTFT p50 and p99 per bin of arrival on a log scale, with the objective as a rule."""
    clock = _clock(window.end_s)
    frame = latency.frame.copy()
    frame["time"] = frame["t_s"] / clock.unit_s
    frame["at"] = [_at(t, latency.bin_s) for t in frame["t_s"]]
    for name in ("p50", "p99"):
        frame[name] = frame[name].where(frame[name] > 0.0)
        frame[f"{name} shown"] = [_shown(value, "s") for value in frame[name]]
    values = [v for name in ("p50", "p99") for v in frame[name].dropna()]
    objective = latency.objective_s
    limits = [] if objective is None or is_far(latency) else [objective]
    y = _log_axis([*values, *limits], "TTFT (s, log scale)")
    lines = _lines(
        frame,
        {"p99": ("p99", BLUE, [1, 0]), "p50": ("p50", BLUE, [2, 2])},
        clock,
        window,
        y,
        latency,
    )
    tip = ["at", "p50 shown", "p99 shown", "n"]
    layers = [*_warm_up(window, clock, ink), lines, _hover(frame, clock, window, tip)]
    if limits:
        layers += _limit(limits[0], f"objective {_shown(limits[0], 's')}", BAD, [5, 3], y)
    return _layer(layers)


def draw_chart(draw: Draw, window: Window, ink: Ink) -> alt.LayerChart:
    """The site's mean and highest draw per bin, with budget and rating as rules."""
    clock = _clock(window.end_s)
    stated = [limit for limit in (draw.budget_w, draw.rating_w) if limit is not None]
    top = max([float(draw.frame["max_w"].max()), *stated])
    factor, unit = _power_unit(top)
    frame = draw.frame.copy()
    frame["time"] = frame["t_s"] / clock.unit_s
    frame["at"] = [_at(t, draw.bin_s) for t in frame["t_s"]]
    for name in ("mean", "max"):
        frame[name] = frame[f"{name}_w"] / factor
        frame[f"{name} shown"] = [_shown(value, "W") for value in frame[f"{name}_w"]]
    y = alt.Y(
        type="quantitative",
        title=f"site draw ({unit})",
        scale=alt.Scale(domain=[0.0, 1.15 * top / factor], nice=False),
        axis=alt.Axis(tickCount=5),
    )
    shown = {"max": ("peak", GOOD, [2, 2]), "mean": ("mean", GOOD, [1, 0])}
    lines = _lines(frame, shown, clock, window, y, draw)
    tip = ["at", "mean shown", "max shown"]
    layers = [*_warm_up(window, clock, ink), lines, _hover(frame, clock, window, tip)]
    for limit, word, colour, dash in (
        (draw.budget_w, "budget", BAD, [1, 0]),
        (draw.rating_w, "rating", GREY, [5, 3]),
    ):
        if limit is not None:
            layers += _limit(limit / factor, f"{word} {_shown(limit, 'W')}", colour, dash, y)
    return _layer(layers)


def _layer(layers: list[alt.Chart]) -> alt.LayerChart:
    return (
        alt.layer(*layers)
        .properties(height=HEIGHT, padding={"left": 2, "right": 8, "top": 0, "bottom": 2})
        .configure_view(strokeWidth=0)
        .configure_axis(labelFontSize=_LABEL_PX, titleFontSize=_LABEL_PX, titlePadding=4)
    )


def _shown(value: float, unit: str) -> str:
    return "–" if math.isnan(value) else format_si(value, unit)


def _lines(
    frame: pd.DataFrame,
    shown: Mapping[str, tuple[str, str, list[int]]],
    clock: _Clock,
    window: Window,
    y: alt.Y,
    series: Latency | Draw,
) -> alt.Chart:
    """Lines by ``shown``: column → name in the legend, colour, dashes; broken where data lack."""
    long = frame.melt(
        ["time", "at"], list(shown), var_name="column", value_name="value", ignore_index=True
    )
    long["series"] = [shown[column][0] for column in long["column"]]
    names, colours, dashes = (list(column) for column in zip(*shown.values(), strict=True))
    legend = alt.Legend(orient="top", title=None, labelFontSize=_LABEL_PX, offset=2, padding=0,
                        symbolSize=500, symbolStrokeWidth=2)  # fmt: skip
    return (
        alt.Chart(long)
        .mark_line(strokeWidth=1.8, point=len(series.frame) <= _POINTS_UP_TO)
        .encode(
            x=_time_axis(clock, window),
            y=_of(y, "value"),
            color=alt.Color(
                "series:N", scale=alt.Scale(domain=names, range=colours), legend=legend
            ),
            strokeDash=alt.StrokeDash(
                "series:N", scale=alt.Scale(domain=names, range=dashes), legend=legend
            ),
        )
    )


def _hover(frame: pd.DataFrame, clock: _Clock, window: Window, fields: list[str]) -> alt.Chart:
    """Invisible full-height marks that show a bin's numbers under the pointer."""
    titles = {
        "at": "time",
        "p50 shown": "TTFT p50",
        "p99 shown": "TTFT p99",
        "n": "requests",
        "mean shown": "mean draw",
        "max shown": "peak draw",
    }
    return (
        alt.Chart(frame[["time", *fields]])
        .mark_rule(strokeWidth=10, opacity=0)
        .encode(
            x=_time_axis(clock, window),
            tooltip=[alt.Tooltip(field, title=titles[field]) for field in fields],
        )
    )


def _warm_up(window: Window, clock: _Clock, ink: Ink) -> list[alt.Chart]:
    """A shaded band over the warm-up, which no metric counts."""
    end = min(window.warm_up_s, window.end_s) / clock.unit_s
    if end <= 0:
        return []
    band = alt.Chart(pd.DataFrame({"time": [0.0], "end": [end], "label": ["warm-up"]}))
    x = _time_axis(clock, window)
    return [
        band.mark_rect(color=ink.band, opacity=0.07).encode(x=x, x2="end:Q"),
        band.mark_text(
            align="left", baseline="bottom", dx=3, dy=-3, fontSize=_LABEL_PX, color=ink.faint
        ).encode(x=x, y=alt.value("height"), text="label:N"),
    ]


def _limit(value: float, label: str, colour: str, dash: list[int], y: alt.Y) -> list[alt.Chart]:
    """A horizontal rule at a limit, with its name above its right end."""
    data = alt.Chart(pd.DataFrame({"limit": [value], "label": [label]}))
    return [
        data.mark_rule(color=colour, strokeWidth=1.8, strokeDash=dash).encode(y=_of(y, "limit")),
        data.mark_text(
            color=colour, align="right", baseline="bottom", dx=-4, dy=-3, fontSize=_LABEL_PX,
            fontWeight="bold",
        ).encode(x=alt.value("width"), y=_of(y, "limit"), text="label:N"),
    ]  # fmt: skip


def _of(y: alt.Y, field: str) -> alt.Y:
    """The same axis over another field."""
    copy = y.copy()
    copy["field"] = field
    return copy


def _time_axis(clock: _Clock, window: Window) -> alt.X:
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


def _clock(end_s: float) -> _Clock:
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
    step = next((s for s in _STEPS if length / s <= 8), _STEPS[-1])
    ticks = [float(step * i) for i in range(int(length / step) + 1)]
    return _Clock(unit_s, title, expression, ticks)


def _at(start_s: float, bin_s: float) -> str:
    """A bin in words, for a tooltip."""
    return f"{span(start_s)} to {span(start_s + bin_s)}"


def _log_axis(values: list[float], title: str) -> alt.Y:
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


def _power_unit(watts: float) -> tuple[float, str]:
    """Divisor and unit in which ``watts`` has one to three digits before its point."""
    for factor, unit in ((1e9, "GW"), (1e6, "MW"), (1e3, "kW")):
        if watts >= factor:
            return factor, unit
    return 1.0, "W"


def is_far(latency: Latency) -> bool:
    """Whether the objective is so far above the data that it is told in words, not drawn."""
    highest = float(latency.frame[["p50", "p99"]].max().max())
    return latency.objective_s is not None and latency.objective_s > _FAR * highest
