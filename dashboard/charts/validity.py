"""Predicted against measured on logarithmic scales, and the error against size."""

from __future__ import annotations

import altair as alt
import numpy as np
import pandas as pd

from dashboard.charts.axes import log_axis
from dashboard.charts.marks import finish, legend
from dashboard.frames.validity import FITTED, KNOWN, OTHER
from dashboard.style import BLUE, GREY, ORANGE, Ink

_HEIGHT = 330
#: Errors beyond this are drawn at the edge, as triangles.
EDGE = 1.0
_COLOURS = {KNOWN: BLUE, OTHER: ORANGE, FITTED: GREY}
_BANDS = ((0.25, 0.10), (0.10, 0.12))  # half width, opacity
#: Column → what a tooltip calls it. Few, as each is made of every point when it is drawn.
_TIPS = {
    "setup": "run",
    "load": "load",
    "times": "time or rate",
    "region": "region",
    "place": "measured in",
}


def against(frame: pd.DataFrame, what: str, unit: str, ink: Ink) -> alt.LayerChart:
    """Predicted over measured, with the line on which they agree and ±10 and ±25 % about it."""
    values = [*frame["measured"], *frame["predicted"]]
    y = log_axis(values, f"predicted {what} ({unit}, log scale)")
    x = alt.X(
        type="quantitative", title=f"measured {what} ({unit}, log scale)", scale=y["scale"],
        axis=y["axis"],
    )  # fmt: skip
    low, high = y["scale"]["domain"]
    layers = []
    for half, opacity in _BANDS:
        ends = pd.DataFrame({"measured": [low, high]})
        # Cut at the frame: a mark beyond a scale would widen the picture.
        ends["low"] = (ends["measured"] * (1.0 - half)).clip(low, high)
        ends["high"] = (ends["measured"] * (1.0 + half)).clip(low, high)
        layers.append(
            alt.Chart(ends)
            .mark_area(color=ink.band, opacity=opacity, clip=True)
            .encode(x=_of(x, "measured"), y=_of(y, "low"), y2=alt.Y2("high:Q"))
        )
    same = pd.DataFrame({"measured": [low, high]})
    layers.append(
        alt.Chart(same)
        .mark_line(color=ink.faint, strokeWidth=1, strokeDash=[4, 3])
        .encode(x=_of(x, "measured"), y=_of(y, "measured"))
    )
    shown = _shown(frame)
    points = _points(shown, _of(x, "measured"), _of(y, "predicted"))
    return finish([*layers, *points], _HEIGHT)


def errors(frame: pd.DataFrame, size: str, title: str, ink: Ink) -> alt.LayerChart:
    """Relative error over a size; errors beyond ±100 % are triangles at the edge."""
    values = list(frame[size])
    axis = log_axis(values, title)
    x = alt.X(type="quantitative", title=title, scale=axis["scale"], axis=axis["axis"])
    y = alt.Y(
        type="quantitative",
        title="error: predicted over measured − 1",
        scale=alt.Scale(domain=[-1.05 * EDGE, 1.05 * EDGE], nice=False),
        axis=alt.Axis(format="+.0%", values=[-1, -0.5, -0.25, 0, 0.25, 0.5, 1], labelOverlap=False),
    )
    layers = [
        alt.Chart(pd.DataFrame({"low": [-half], "high": [half]}))
        .mark_rect(color=ink.band, opacity=opacity)
        .encode(y=_of(y, "low"), y2=alt.Y2("high:Q"))
        for half, opacity in _BANDS
    ]
    zero = alt.Chart(pd.DataFrame({"low": [0.0]}))
    layers.append(
        zero.mark_rule(color=ink.faint, strokeWidth=1, strokeDash=[4, 3]).encode(y=_of(y, "low"))
    )
    shown = _shown(frame)
    shown["at"] = shown["error"].clip(-EDGE, EDGE)
    shown["mark"] = np.where(shown["error"].abs() > EDGE, "triangle-up", "circle")
    return finish([*layers, *_points(shown, _of(x, size), _of(y, "at"))], _HEIGHT)


def _shown(frame: pd.DataFrame) -> pd.DataFrame:
    """The points, those of the fit first, so that they lie below the others."""
    shown = frame.assign(mark="circle")
    shown["region"] = shown["outside"].where(~shown["inside"], "inside the calibrated region")
    parts = (shown[name] for name in ("stack", "llm", "gpu", "precision", "layout"))
    shown["setup"] = [", ".join(row) for row in zip(*parts, strict=True)]
    shown["load"] = [
        f"{sent:,} tokens in, {made:,} out, {'all queued' if n != n else f'{n:,.0f} clients'}"
        for sent, made, n in zip(
            shown["input_tokens"], shown["output_tokens"], shown["clients"], strict=True
        )
    ]
    shown["times"] = [
        f"measured {measured:,.4g}, predicted {predicted:,.4g}: {100 * error:+.1f} %"
        for measured, predicted, error in zip(
            shown["measured"], shown["predicted"], shown["error"], strict=True
        )
    ]
    order = shown["kind"].map({FITTED: 0, KNOWN: 1, OTHER: 2})
    return shown.iloc[order.argsort(kind="stable")]


def _points(frame: pd.DataFrame, x: alt.X, y: alt.Y) -> list[alt.Chart]:
    """Filled inside the calibrated region, hollow outside."""
    kinds = [kind for kind in _COLOURS if (frame["kind"] == kind).any()]
    colours = alt.Scale(domain=kinds, range=[_COLOURS[kind] for kind in kinds])
    colour = alt.Color("kind:N", scale=colours, legend=legend("circle"))
    shape = alt.Shape("mark:N", scale=None, legend=None)
    columns = dict.fromkeys(("kind", "mark", str(x["field"]), str(y["field"]), *_TIPS))
    tooltip = [alt.Tooltip(f"{field}:N", title=title) for field, title in _TIPS.items()]
    layers = []
    for inside in (True, False):
        mine = frame.loc[frame["inside"] == inside, list(columns)]
        if not mine.empty:
            points = alt.Chart(mine).mark_point(
                filled=inside, size=34 if inside else 46, strokeWidth=1.6,
                opacity=0.75 if inside else 1.0,
            )  # fmt: skip
            layers.append(points.encode(x=x, y=y, color=colour, shape=shape, tooltip=tooltip))
    return layers


def _of(axis: alt.X | alt.Y, field: str) -> alt.X | alt.Y:
    copy = axis.copy()
    copy["field"] = field
    return copy
