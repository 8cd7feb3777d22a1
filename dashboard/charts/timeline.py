"""A power node's draw over time with its limits and the moment that the page shows."""

from __future__ import annotations

import altair as alt
import pandas as pd

from dashboard.charts.axes import Window, clock_of, time_axis
from dashboard.charts.draw import Drawn, mean_and_peak
from dashboard.charts.marks import (
    cursor,
    finish,
    of,
)
from dashboard.frames.tree import Series
from dashboard.style import BAD, BLUE, GREY, Ink

#: Room left of charts that stand above each other, in pixels, so that their times are aligned.
LEFT_PX = 58
#: A limit this many times above the data is told in words: drawn, it would flatten the line.
_FAR = 8.0
#: So is a rating this many times above both the draw and the budget.
_FAR_RATING = 2.5
_LANES = {"facility": GREY, "breaker": BAD, "controller": BLUE}


def node_chart(
    series: Series,
    window: Window,
    ink: Ink,
    at_s: float,
    bands: pd.DataFrame | None = None,
    height: int = 220,
) -> alt.LayerChart:
    """Mean and peak draw per bin, the limit as a step line, the rating, bands, the cursor."""
    clock = clock_of(window.end_s)
    limits = drawn_limits(series)
    tops = [float(series.frame["max_w"].max()), 1.0, *limits["limit_w"].dropna()]
    rating = drawn_rating(series)
    top = max([*tops, *([] if rating is None else [rating])])
    axis = alt.Axis(tickCount=5, minExtent=LEFT_PX, maxExtent=LEFT_PX)
    drawn = mean_and_peak(series.frame, series.bin_s, top, "draw", axis, window, clock, ink, bands)
    layers = list(drawn.layers)
    if len(limits):
        layers += _limit(series, limits, drawn, window)
    if rating is not None:
        layers += drawn.rule(rating, "rating", GREY, [5, 3])
    return finish([*layers, cursor(at_s, clock, window, ink)], height)


def _limit(series: Series, limits: pd.DataFrame, drawn: Drawn, window: Window) -> list[alt.Chart]:
    """The limit as one rule, or as a step line where it changed."""
    colour, dash = (BAD, [1, 0]) if series.word == "budget" else (GREY, [5, 3])
    last = float(limits["limit_w"].iloc[-1])
    rule = drawn.rule(last, series.word, colour, dash)
    if len(limits) == 1:
        return rule
    clock = clock_of(window.end_s)
    times = [*limits["t_s"], window.end_s]
    steps = pd.DataFrame(
        {
            "time": [t / clock.unit_s for t in times],
            "limit": [w / drawn.factor for w in [*limits["limit_w"], last]],
        }
    )
    line = alt.Chart(steps).mark_line(interpolate="step-after", color=colour, strokeWidth=1.8)
    return [line.encode(x=time_axis(clock, window), y=of(drawn.y, "limit")), rule[1]]


def drawn_limits(series: Series) -> pd.DataFrame:
    """The limits that are drawn: all, or none where they are far above the draw."""
    limits = series.limits.dropna(subset="limit_w")
    far = limits["limit_w"] > _FAR * max(float(series.frame["max_w"].max()), 1.0)
    return limits.iloc[0:0] if far.all() else limits


def drawn_rating(series: Series) -> float | None:
    """The rating if it is drawn: it is stated, and does not flatten draw and limit."""
    tops = [float(series.frame["max_w"].max()), 1.0, *drawn_limits(series)["limit_w"]]
    far = _FAR_RATING * max(tops)
    return None if series.rating_w is None or series.rating_w > far else series.rating_w


def lane_chart(lanes: pd.DataFrame, window: Window, ink: Ink, at_s: float) -> alt.LayerChart:
    """Events by lane under a time line, on the same axis of time (``frames.control.lanes``)."""
    clock = clock_of(window.end_s)
    frame = lanes.assign(
        time=lanes["t_s"] / clock.unit_s,
        what=[
            text if n == 1 else f"{text}, and {n - 1:,} more close to it"
            for text, n in zip(lanes["what"], lanes["n"], strict=True)
        ],
    )
    names = list(_LANES)
    marks = (
        alt.Chart(frame[["time", "lane", "kind", "what"]])
        .mark_tick(thickness=2.5, size=15, opacity=1)
        .encode(
            x=time_axis(clock, window),
            y=alt.Y(
                "lane:N",
                title=" ",
                scale=alt.Scale(domain=names),
                axis=alt.Axis(
                    minExtent=LEFT_PX, maxExtent=LEFT_PX, grid=True, ticks=False,
                    labelLimit=LEFT_PX, domain=False,
                ),
            ),
            color=alt.Color(
                "lane:N", scale=alt.Scale(domain=names, range=list(_LANES.values())), legend=None
            ),
            tooltip=[alt.Tooltip("kind:N", title="event"), alt.Tooltip("what:N", title="first")],
        )
    )  # fmt: skip
    return finish([marks, cursor(at_s, clock, window, ink)], 104)
