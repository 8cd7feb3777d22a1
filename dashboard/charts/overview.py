"""TTFT and draw over time: each drawn with its limit in the same picture."""

from __future__ import annotations

import math

import altair as alt
import pandas as pd

from dashboard.charts.axes import Window, clock_of, log_axis, log_span
from dashboard.charts.draw import mean_and_peak
from dashboard.charts.marks import (
    event_bands,
    finish,
    hover,
    late,
    limit_rule,
    lines,
    placed,
    stands_above,
    warm_up,
    words,
)
from dashboard.frames.overview import Draw, Latency
from dashboard.style import BAD, BLUE, GREY, Ink

#: A limit this many times above the data is told in words: drawn, it would flatten the line.
_FAR, _FAR_LOG = 8.0, 300.0


def latency_chart(
    latency: Latency,
    window: Window,
    ink: Ink,
    bands: pd.DataFrame | None = None,
    title: str = "TTFT",
) -> alt.LayerChart:
    """p50 and p99 of a latency per bin of arrival on a log scale, its objective as a rule."""
    clock = clock_of(window.end_s)
    frame = placed(latency.frame, latency.bin_s, window, clock)
    for name in ("p50", "p99"):
        frame[name] = frame[name].where(frame[name] > 0.0)
        frame[f"{name} shown"] = [words(value, "s") for value in frame[name]]
    values = [v for name in ("p50", "p99") for v in frame[name].dropna()]
    objective = latency.objective_s
    limits = [] if objective is None or is_far(latency) else [objective]
    y = log_axis([*values, *limits], f"{title} (s, log scale)")
    shown = {"p99": ("p99", BLUE, [1, 0]), "p50": ("p50", BLUE, [2, 2])}
    tip = {"at": "time", "p50 shown": f"{title} p50", "p99 shown": f"{title} p99", "n": "requests"}
    layers = [
        *warm_up(window, clock, ink),
        *([] if bands is None else event_bands(bands, window, clock, ink)),
        *lines(frame, shown, clock, window, y),
        hover(frame, clock, window, tip),
    ]
    if limits:
        label = f"objective {words(limits[0], 's')}"
        near = [math.log(v / limits[0]) for n in ("p50", "p99") for v in late(frame, n)]
        above = stands_above(near, log_span(y))
        layers += limit_rule(limits[0], label, BAD, [5, 3], y, above)
    return finish(layers)


def draw_chart(
    draw: Draw, window: Window, ink: Ink, bands: pd.DataFrame | None = None
) -> alt.LayerChart:
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
    axis = alt.Axis(tickCount=5)
    drawn = mean_and_peak(draw.frame, draw.bin_s, top, "site draw", axis, window, clock, ink, bands)
    rules = [layer for limit, *how in limits for layer in drawn.rule(limit, *how)]
    return finish([*drawn.layers, *rules])


def is_far(latency: Latency) -> bool:
    """Whether the objective is so far above the data that it is told in words, not drawn."""
    highest = float(latency.frame[["p50", "p99"]].max().max())
    return latency.objective_s is not None and latency.objective_s > _FAR_LOG * highest


def far_limits(draw: Draw) -> dict[str, float]:
    """The limits so far above the draw that they are told in words, not drawn: name → watts."""
    stated = {"budget": draw.budget_w, "rating": draw.rating_w}
    most = _FAR * float(draw.frame["max_w"].max())
    return {name: limit for name, limit in stated.items() if limit is not None and limit > most}
