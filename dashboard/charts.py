"""The charts, as Altair specifications: each draws its limit in the same picture."""

from __future__ import annotations

import math
from collections.abc import Mapping

import altair as alt
import pandas as pd

from dashboard.axes import (
    Clock,
    Window,
    bin_words,
    clock_of,
    log_axis,
    log_span,
    power_unit,
    time_axis,
)
from dashboard.series import Draw, Latency
from dashboard.style import BAD, BLUE, GOOD, GREY, Ink
from sim.units import format_si

HEIGHT = 220
_LABEL_PX = 11
_LABEL_SHARE = 0.12  # of the height of the picture, taken by the name of a limit
_NARROW = 0.04  # share of the time axis below which a band has no room for its name
#: A limit this many times above the data is told in words: drawn, it would flatten the line.
_FAR, _FAR_LOG = 8.0, 300.0


def latency_chart(latency: Latency, window: Window, ink: Ink) -> alt.LayerChart:
    """TTFT p50 and p99 per bin of arrival on a log scale, with the objective as a rule."""
    clock = clock_of(window.end_s)
    frame = _placed(latency, window, clock)
    for name in ("p50", "p99"):
        frame[name] = frame[name].where(frame[name] > 0.0)
        frame[f"{name} shown"] = [_shown(value, "s") for value in frame[name]]
    values = [v for name in ("p50", "p99") for v in frame[name].dropna()]
    objective = latency.objective_s
    limits = [] if objective is None or is_far(latency) else [objective]
    y = log_axis([*values, *limits], "TTFT (s, log scale)")
    shown = {"p99": ("p99", BLUE, [1, 0]), "p50": ("p50", BLUE, [2, 2])}
    lines = _lines(frame, shown, clock, window, y)
    tip = ["at", "p50 shown", "p99 shown", "n"]
    layers = [*_warm_up(window, clock, ink), *lines, _hover(frame, clock, window, tip)]
    if limits:
        label = f"objective {_shown(limits[0], 's')}"
        near = [math.log(v / limits[0]) for n in ("p50", "p99") for v in _late(frame, n)]
        layers += _limit(limits[0], label, BAD, [5, 3], y, _above(near, log_span(y)))
    return _layer(layers)


def draw_chart(draw: Draw, window: Window, ink: Ink) -> alt.LayerChart:
    """The site's mean and highest draw per bin, with budget and rating as rules."""
    clock = clock_of(window.end_s)
    far = far_limits(draw)
    limits = [
        (limit, word, colour, dash)
        for limit, word, colour, dash in (
            (draw.budget_w, "budget", BAD, [1, 0]),
            (draw.rating_w, "rating", GREY, [5, 3]),
        )
        if limit is not None and word not in far
    ]
    top = max([float(draw.frame["max_w"].max()), *(limit for limit, *_ in limits), 1.0])
    factor, unit = power_unit(top)
    frame = _placed(draw, window, clock)
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
    lines = _lines(frame, shown, clock, window, y)
    tip = ["at", "mean shown", "max shown"]
    layers = [*_warm_up(window, clock, ink), *lines, _hover(frame, clock, window, tip)]
    for limit, word, colour, dash in limits:
        near = [v - limit / factor for name in ("mean", "max") for v in _late(frame, name)]
        above = _above(near, 1.15 * top / factor)
        layers += _limit(limit / factor, f"{word} {_shown(limit, 'W')}", colour, dash, y, above)
    return _layer(layers)


def is_far(latency: Latency) -> bool:
    """Whether the objective is so far above the data that it is told in words, not drawn."""
    highest = float(latency.frame[["p50", "p99"]].max().max())
    return latency.objective_s is not None and latency.objective_s > _FAR_LOG * highest


def far_limits(draw: Draw) -> dict[str, float]:
    """The limits so far above the draw that they are told in words, not drawn: name → watts."""
    stated = {"budget": draw.budget_w, "rating": draw.rating_w}
    most = _FAR * float(draw.frame["max_w"].max())
    return {name: limit for name, limit in stated.items() if limit is not None and limit > most}


def _placed(series: Latency | Draw, window: Window, clock: Clock) -> pd.DataFrame:
    """The series' frame with each bin's middle on the axis (``time``) and in words (``at``)."""
    frame = series.frame.copy()
    ends = (frame["t_s"] + series.bin_s).clip(upper=max(window.end_s, 1.0))
    frame["time"] = (frame["t_s"] + ends) / 2.0 / clock.unit_s
    frame["at"] = [bin_words(t, series.bin_s) for t in frame["t_s"]]
    return frame


def _late(frame: pd.DataFrame, column: str) -> list[float]:
    """The values at the right end, where the names of limits stand."""
    return list(frame[column].iloc[-max(1, len(frame) // 4) :].dropna())


def _above(distances: list[float], axis: float) -> bool:
    """Whether a limit's name stands above its rule: unless lines run there, but not below.

    ``distances``: of the lines from the limit, up positive; ``axis``: length of the axis.
    """
    parts = [distance / axis for distance in distances]
    above = any(0.0 <= part < _LABEL_SHARE for part in parts)
    below = any(-_LABEL_SHARE < part < 0.0 for part in parts)
    return below or not above


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
    clock: Clock,
    window: Window,
    y: alt.Y,
) -> list[alt.Chart]:
    """Lines by ``shown``: column → name in the legend, colour, dashes; broken where data lack.

    A value between two gaps has no line to be on, so it is a point.
    """
    long = frame.melt(
        ["time", "at"], list(shown), var_name="column", value_name="value", ignore_index=True
    )
    long["series"] = [shown[column][0] for column in long["column"]]
    names, colours, dashes = (list(column) for column in zip(*shown.values(), strict=True))
    legend = alt.Legend(
        orient="top", title=None, labelFontSize=_LABEL_PX, offset=2, padding=0,
        symbolType="stroke", symbolSize=500, symbolStrokeWidth=2,
    )  # fmt: skip
    layers = [
        alt.Chart(long)
        .mark_line(strokeWidth=1.8)
        .encode(
            x=time_axis(clock, window),
            y=_of(y, "value"),
            color=alt.Color(
                "series:N", scale=alt.Scale(domain=names, range=colours), legend=legend
            ),
            strokeDash=alt.StrokeDash(
                "series:N", scale=alt.Scale(domain=names, range=dashes), legend=legend
            ),
        )
    ]
    for column, (_, colour, _) in shown.items():
        empty = frame[column].isna()
        alone = ~empty & empty.shift(1, fill_value=True) & empty.shift(-1, fill_value=True)
        if alone.any():
            points = alt.Chart(frame.loc[alone, ["time", column]])
            layers.append(
                points.mark_circle(color=colour, size=18, opacity=1).encode(
                    x=time_axis(clock, window), y=_of(y, column)
                )
            )
    return layers


def _hover(frame: pd.DataFrame, clock: Clock, window: Window, fields: list[str]) -> alt.Chart:
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
            x=time_axis(clock, window),
            tooltip=[alt.Tooltip(field, title=titles[field]) for field in fields],
        )
    )


def _warm_up(window: Window, clock: Clock, ink: Ink) -> list[alt.Chart]:
    """A shaded band over the warm-up, which no metric counts."""
    end = min(window.warm_up_s, window.end_s) / clock.unit_s
    if end < _NARROW * window.end_s / clock.unit_s:
        return []
    band = alt.Chart(pd.DataFrame({"time": [0.0], "end": [end], "label": ["warm-up"]}))
    x = time_axis(clock, window)
    return [
        band.mark_rect(color=ink.band, opacity=0.07).encode(x=x, x2="end:Q"),
        band.mark_text(
            align="left", baseline="bottom", dx=3, dy=-3, fontSize=_LABEL_PX, color=ink.faint
        ).encode(x=x, y=alt.value("height"), text="label:N"),
    ]


def _limit(
    value: float, label: str, colour: str, dash: list[int], y: alt.Y, above: bool
) -> list[alt.Chart]:
    """A horizontal rule at a limit, with its name above or below its right end."""
    data = alt.Chart(pd.DataFrame({"limit": [value], "label": [label]}))
    return [
        data.mark_rule(color=colour, strokeWidth=1.8, strokeDash=dash).encode(y=_of(y, "limit")),
        data.mark_text(
            color=colour, align="right", baseline="bottom" if above else "top", dx=-4,
            dy=-3 if above else 5, fontSize=_LABEL_PX, fontWeight="bold",
        ).encode(x=alt.value("width"), y=_of(y, "limit"), text="label:N"),
    ]  # fmt: skip


def _of(y: alt.Y, field: str) -> alt.Y:
    """The same axis over another field."""
    copy = y.copy()
    copy["field"] = field
    return copy
