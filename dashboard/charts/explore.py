"""The points of a study: two quantities against each other, or one along the study's only axis."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import pandas as pd

from dashboard.charts.axes import log_axis
from dashboard.charts.marks import LABEL_PX, finish, legend
from dashboard.frames.explore import AxisScale
from dashboard.frames.quantities import Quantity, wants_log
from dashboard.frames.study_answer import ALIKE, BEST, FEASIBLE, FRONT, OPEN, POINT, REFUSED
from dashboard.style import BAD, BLUE, GREY, Ink

#: Name of the point parameter: what is clicked.
SELECTION = "picked"
HEIGHT = 330
_NONE = "transparent"
#: Standing → stroke, fill, shape.
_LOOKS = {
    BEST: (BLUE, BLUE, "diamond"),
    FRONT: (BLUE, BLUE, "circle"),
    ALIKE: (BLUE, _NONE, "circle"),
    FEASIBLE: (GREY, GREY, "circle"),
    OPEN: (GREY, _NONE, "triangle-up"),
    REFUSED: (GREY, _NONE, "cross"),
    POINT: (GREY, GREY, "circle"),
}


def scatter_chart(
    frame: pd.DataFrame,
    x: Quantity,
    y: Quantity,
    front: pd.DataFrame,
    step: Any,
    chosen: int,
    ink: Ink,
) -> alt.LayerChart:
    """``frames.explore.scatter_frame`` with the front as a step line; ``chosen`` has a ring and
    its intervals."""
    frame = frame.copy()
    up = _of(_number_axis(y, _framing(frame, "y")), "y")
    across = _as_x(_number_axis(x, _framing(frame, "x")), "x")
    for axis, column in ((across, "x"), (up, "y")):
        low, high = axis["scale"]["domain"]
        for name in (column, f"{column}_low", f"{column}_high"):
            frame[name] = frame[name].clip(low, high)
    layers: list[alt.Chart] = []
    if len(front) > 1:
        layers.append(
            alt.Chart(front)
            .mark_line(interpolate=step, color=BLUE, strokeWidth=1.8)
            .encode(x=across, y=up, order=alt.Order("x:Q"))
        )
    layers += _chosen(frame, chosen, across, up, ink)
    tip = [
        alt.Tooltip("point:N", title="point"),
        alt.Tooltip("settings:N", title="settings"),
        alt.Tooltip("x_words:N", title=x.name),
        alt.Tooltip("y_words:N", title=y.name),
        alt.Tooltip("standing:N", title="standing"),
        alt.Tooltip("why:N", title="does not hold"),
    ]
    layers.append(_points(frame, across, up, tip))
    return finish(layers, height=HEIGHT)


def along_chart(
    frame: pd.DataFrame,
    scale: AxisScale,
    y: Quantity,
    limits: Mapping[str, float],
    chosen: int,
    ink: Ink,
) -> alt.LayerChart:
    """``frames.explore.along_frame``: one quantity with its intervals along the only axis."""
    across = _place_axis(frame, scale)
    reach = [float(value) for value in frame[["y", "y_low", "y_high"]].to_numpy().ravel()]
    if y.log:
        reach = [value for value in reach if value > 0.0]
    shown = {text: limit for text, limit in limits.items() if _near(limit, y)}
    up = _of(_number_axis(y, [*reach, *shown.values()]), "y")
    layers = [
        alt.Chart(pd.DataFrame({"limit": [limit], "text": [text]}))
        .mark_rule(color=BAD, strokeWidth=1.6, strokeDash=[5, 3])
        .encode(y=_of(up, "limit"), tooltip=[alt.Tooltip("text:N", title="constraint")])
        for text, limit in shown.items()
    ]
    layers.append(alt.Chart(frame).mark_line(color=GREY, strokeWidth=1.2).encode(x=across, y=up))
    spans = frame[frame["y_low"].notna() & frame["y_high"].notna()].copy()
    low, high = up["scale"]["domain"]
    for name in ("y_low", "y_high"):
        spans[name] = spans[name].clip(low, high)
    if len(spans):
        rules = alt.Chart(spans).mark_rule(color=GREY, strokeWidth=2)
        layers.append(rules.encode(x=across, y=_of(up, "y_low"), y2=alt.Y2("y_high:Q")))
    inside = frame.assign(y_low=frame["y_low"].clip(lower=low))
    layers += _chosen(inside, chosen, across, up, ink)
    tip = [
        alt.Tooltip("point:N", title="point"),
        alt.Tooltip("settings:N", title="settings"),
        alt.Tooltip("y_words:N", title=y.name),
        alt.Tooltip("standing:N", title="standing"),
        alt.Tooltip("why:N", title="does not hold"),
    ]
    layers.append(_points(frame, across, up, tip))
    return finish(layers, height=HEIGHT)


def _near(limit: float, y: Quantity) -> bool:
    """Whether a limit can be drawn without flattening the data."""
    numbers = y.numbers()
    if y.log:
        return limit > 0.0 and min(numbers) / 10.0 <= limit <= max(numbers) * 10.0
    spread = max(numbers) - min(numbers)
    return min(numbers) - 3.0 * spread <= limit <= max(numbers) + 3.0 * spread


def _points(frame: pd.DataFrame, across: alt.X, up: alt.Y, tip: Sequence[alt.Tooltip]) -> alt.Chart:
    """The points of a study, by their standing; a click on one chooses it."""
    present = [name for name in _LOOKS if name in set(frame["standing"])]
    strokes, fills, shapes = (
        list(column) for column in zip(*(_LOOKS[name] for name in present), strict=True)
    )

    # One legend for all three, so they have to agree in everything.
    def by(channel: type, values: Sequence[str]) -> alt.SchemaBase:
        return channel(
            "standing:N",
            scale=alt.Scale(domain=present, range=list(values)),
            legend=None if present == [POINT] else legend("circle"),
        )

    picked = alt.selection_point(
        name=SELECTION, fields=["number"], on="click", clear=False, empty=False, toggle=False
    )
    return (
        alt.Chart(frame)
        .mark_point(size=75, strokeWidth=1.8, opacity=0.9, cursor="pointer", aria=True)
        .encode(
            x=across,
            y=up,
            stroke=by(alt.Stroke, strokes),
            fill=by(alt.Fill, fills),
            shape=by(alt.Shape, shapes),
            tooltip=list(tip),
        )
        .add_params(picked)
    )


def _chosen(
    frame: pd.DataFrame, chosen: int, across: alt.X, up: alt.Y, ink: Ink
) -> list[alt.Chart]:
    """The chosen point: a ring, its number, and its intervals on axes of numbers."""
    mine = frame[frame["number"] == chosen]
    if mine.empty:
        return []
    base = alt.Chart(mine)
    layers = [
        base.mark_point(
            size=240, strokeWidth=2, filled=False, stroke=ink.text, shape="circle", opacity=1
        ).encode(x=across, y=up),
        base.mark_text(
            dx=10, dy=-10, align="left", fontSize=LABEL_PX, fontWeight="bold", color=ink.text
        ).encode(x=across, y=up, text=alt.Text("point:N")),
    ]
    bars = base.mark_rule(color=ink.text, strokeWidth=1.4)
    if mine["y_low"].notna().all() and mine["y_high"].notna().all():
        layers.append(bars.encode(x=across, y=_of(up, "y_low"), y2=alt.Y2("y_high:Q")))
    if "x_low" in mine and mine["x_low"].notna().all() and mine["x_high"].notna().all():
        layers.append(bars.encode(y=up, x=_as_x(across, "x_low"), x2=alt.X2("x_high:Q")))
    return layers


def beyond(frame: pd.DataFrame) -> int:
    """How many points of ``scatter_frame`` are drawn at an edge: they lie beyond the axes."""
    outside = pd.Series(False, index=frame.index)
    for column in ("x", "y"):
        low, high = _ends(_framing(frame, column))
        outside |= (frame[column] < low) | (frame[column] > high)
    return int(outside.sum())


def _framing(frame: pd.DataFrame, column: str) -> list[float]:
    """The values that an axis is made for: of points that may be feasible, where there are two.

    One that is far from its objectives would press the others into a corner.
    """
    may = frame[frame["standing"] != REFUSED]
    values = frame if len(may) < 2 or may[column].nunique() < 2 else may
    return [float(value) for value in values[column]]


def _ends(numbers: Sequence[float]) -> tuple[float, float]:
    """Where an axis ends for these numbers."""
    low, high = min(numbers), max(numbers)
    if wants_log(numbers):
        room = max(1.15, (high / low) ** 0.15)
        return low / room, high * room
    room = 0.07 * (high - low) or 0.1 * abs(high) or 1.0
    # Nothing that is never negative gets an axis below 0.
    return (max(0.0, low - room) if low >= 0.0 else low - room), high + room


def _number_axis(one: Quantity, values: Sequence[float]) -> alt.Y:
    """A linear or log scale around values of a quantity, with round ticks and its unit."""
    numbers = [value for value in values if not math.isnan(value)]
    if wants_log(numbers):
        return log_axis(numbers, f"{one.name} ({one.unit or 'number'}, log scale)")
    return alt.Y(
        type="quantitative",
        title=one.title,
        scale=alt.Scale(domain=list(_ends(numbers)), nice=False, zero=False),
        axis=alt.Axis(tickCount=5),
    )


def _place_axis(frame: pd.DataFrame, scale: AxisScale) -> alt.X:
    if scale.kind == "category":
        return alt.X(
            "place:N",
            title=scale.title,
            sort=list(scale.categories),
            axis=alt.Axis(labelOverlap=False, labelLimit=130, labelAngle=0),
        )
    numbers = [float(place) for place in frame["place"]]
    if scale.kind == "log":
        return _as_x(log_axis(numbers, f"{scale.title}, log scale"), "place")
    room = 0.05 * (max(numbers) - min(numbers)) or 0.1 * abs(numbers[0]) or 1.0
    domain = [min(numbers) - room, max(numbers) + room]
    few = sorted(set(numbers)) if len(set(numbers)) <= 12 else alt.Undefined
    return alt.X(
        "place:Q",
        title=scale.title,
        scale=alt.Scale(domain=domain, nice=False, zero=False),
        axis=alt.Axis(tickCount=8, values=few, grid=False),
    )


def _of(axis: alt.Y, field: str) -> alt.Y:
    copy = axis.copy()
    copy["field"] = field
    return copy


def _as_x(axis: alt.X | alt.Y, field: str) -> alt.X:
    """The same axis along the bottom, over a field."""
    parts = {
        key: axis[key]
        for key in ("type", "title", "scale", "axis", "sort")
        if axis[key] is not alt.Undefined
    }
    if isinstance(axis, alt.X) and parts.get("type") is None:
        parts["type"] = "nominal" if "sort" in parts else "quantitative"
    return alt.X(field, **parts)
