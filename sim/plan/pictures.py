"""Charts of an answer: as layers in any colours, and as SVG text for a page on its own."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import altair as alt

from sim.plan.told import BARS, LINE, POINTS, WATERFALL, Chart, Series

#: Okabe and Ito's colours, which the colour-blind tell apart ("Color Universal Design", 2008).
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_GREY = "#8A8F98"
_WIDTH, _HEIGHT = 640, 260
#: Height of a chart that has a row for each of its names, for one of them and for the rest.
ROW_PX, _AXES_PX = 24, 70
_LABEL_PX = 420
_MONTH = re.compile(r"\d{4}-(0[1-9]|1[0-2])")


@dataclass(frozen=True)
class Look:
    """Colours of a chart: of series in their order, of limits, of text; ``parts``: of a waterfall's
    parts by their kind, the first colour being that of any other.
    """

    colours: tuple[str, ...] = _COLOURS
    limit: str = "#8B0000"
    text: str = "#444444"
    parts: Mapping[str, str] = field(
        default_factory=lambda: {
            "provisioned": _GREY, "stranded": "#CC79A7", "spent": "#56B4E9", "useful": "#0072B2",
        }
    )  # fmt: skip


def svg_of(chart: Chart) -> str:
    """A chart drawn; text that comes from files is escaped by the renderer."""
    drawn = alt.layer(*layers_of(chart, Look())).properties(width=_WIDTH, height=height_of(chart))
    shown = drawn.configure_view(stroke=None).configure_axis(
        gridColor="#e6e6e6", labelLimit=_LABEL_PX
    )
    out = io.StringIO()
    shown.save(out, format="svg")
    return out.getvalue()


def layers_of(chart: Chart, look: Look) -> list[alt.Chart]:
    """The layers of a chart, without a size."""
    drawn = {LINE: _lines, POINTS: _points, BARS: _bars, WATERFALL: _waterfall}[chart.kind]
    return [*drawn(chart, look), *_limits(chart, look)]


def height_of(chart: Chart, height: int = _HEIGHT) -> int:
    """How high a chart is drawn: those with a row for each name as high as these need."""
    if not lies(chart):
        return height
    names = {name for one in chart.series for name in one.names}
    return _AXES_PX + ROW_PX * max(2, len(names))


def lies(chart: Chart) -> bool:
    """Whether values go to the right, so that long names beside them can be read."""
    return chart.kind in (BARS, WATERFALL)


def rows_of(series: tuple[Series, ...]) -> list[dict[str, Any]]:
    """One row a value: series, x (or its name), y, low and high; None where there is none."""
    rows: list[dict[str, Any]] = []
    for one in series:
        for index, _ in enumerate(one.y):
            rows.append(
                {
                    "series": one.name,
                    "x": one.x[index] if one.x else one.names[index],
                    "name": one.names[index] if one.names else "",
                    "order": index,
                    "y": _finite(one.y, index),
                    "low": _finite(one.low, index),
                    "high": _finite(one.high, index),
                    "chosen": index in one.chosen,
                }
            )
    return rows


def _finite(values: tuple[float, ...], index: int) -> float | None:
    return values[index] if values and math.isfinite(values[index]) else None


def _chart(rows: list[dict[str, Any]]) -> alt.Chart:
    return alt.Chart(alt.InlineData(values=rows))


def _along(chart: Chart) -> list[float | str]:
    return [x for one in chart.series for x in (one.x or one.names)]


def _months(chart: Chart) -> bool:
    """Whether x is months, which are drawn as time: a few labels, at equal steps."""
    places = _along(chart)
    return bool(places) and all(isinstance(x, str) and _MONTH.fullmatch(x) for x in places)


def _x(chart: Chart) -> alt.X:
    """Numbers and months as such, anything else in its own order."""
    places = _along(chart)
    if _months(chart):
        # Months begin in universal time, whatever the clock of whoever looks.
        scale, axis = alt.Scale(type="utc"), alt.Axis(format="%Y-%m", labelOverlap=True)
        return alt.X("x:T", title=chart.x, scale=scale, axis=axis)
    numbers = [float(x) for x in places if isinstance(x, (int, float))]
    if numbers and len(numbers) == len(places):
        whole = all(x.is_integer() for x in numbers)
        axis = alt.Axis(labelOverlap=True, tickCount=8, tickMinStep=1.0 if whole else alt.Undefined)
        return alt.X("x:Q", title=chart.x, scale=alt.Scale(zero=False, padding=12), axis=axis)
    order = list(dict.fromkeys(str(x) for x in places))
    return alt.X(
        "x:N", title=chart.x, sort=order, axis=alt.Axis(labelAngle=-40, labelOverlap=False)
    )


def _colour(chart: Chart, look: Look) -> alt.Color:
    names = [one.name for one in chart.series]
    legend = (
        alt.Legend(title=None, orient="top", labelLimit=_LABEL_PX, symbolOpacity=1.0)
        if len(names) > 1
        else None
    )
    colours = [look.colours[index % len(look.colours)] for index in range(len(names))]
    return alt.Color("series:N", scale=alt.Scale(domain=names, range=colours), legend=legend)


def _y(chart: Chart, *, zero: bool) -> alt.Y:
    return alt.Y("y:Q", title=chart.y, scale=alt.Scale(zero=zero))


def _tooltip(chart: Chart, where: str = "x") -> list[alt.Tooltip]:
    ends = any(one.low or one.high for one in chart.series)
    shown = [
        alt.Tooltip(f"{where}:N", title=chart.x),
        *([alt.Tooltip("series:N", title="of")] if len(chart.series) > 1 else []),
        alt.Tooltip("y:Q", title=chart.y, format=",.4~g"),
    ]
    if ends:
        shown += [alt.Tooltip(f"{end}:Q", title=end, format=",.4~g") for end in ("low", "high")]
    return shown


def _with_ends(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row for row in rows if row["low"] is not None and row["high"] is not None]


def _lines(chart: Chart, look: Look) -> list[alt.Chart]:
    rows = rows_of(chart.series)
    for row in rows:
        row["at"] = row["x"]  # as a tooltip shows it
    months, y = _months(chart), _y(chart, zero=False)
    places: dict[str, Any] = {"x": _x(chart), "color": _colour(chart, look)}
    known = _chart([row for row in rows if row["y"] is not None]).encode(
        y=y, tooltip=_tooltip(chart, "at"), **places
    )
    drawn: list[alt.Chart] = []
    # A layer without a row has no extent, which a browser's console complains of.
    if ends := _with_ends(rows):
        marks = _chart(ends)
        marks = marks.mark_area(opacity=0.22) if months else marks.mark_rule(strokeWidth=1.5)
        low = alt.Y("low:Q", title=chart.y, scale=alt.Scale(zero=False))
        drawn.append(marks.encode(y=low, y2=alt.Y2("high:Q"), **places))
    line = _chart(rows).mark_line(strokeWidth=1.8).encode(y=y, order=alt.Order("order:Q"), **places)
    drawn += [line, known.mark_point(filled=True, size=12 if months else 45)]
    return drawn + _chosen(known, rows)


def _chosen(known: alt.Chart, rows: list[dict[str, Any]]) -> list[alt.Chart]:
    """Rings about the chosen points of ``known``."""
    if not any(row["chosen"] and row["y"] is not None for row in rows):
        return []
    return [known.transform_filter("datum.chosen").mark_point(size=240, strokeWidth=2.5)]


def _points(chart: Chart, look: Look) -> list[alt.Chart]:
    rows = [row for row in rows_of(chart.series) if row["y"] is not None]
    base = _chart(rows).encode(x=_x(chart), y=_y(chart, zero=False), color=_colour(chart, look))
    known = base.encode(tooltip=_tooltip(chart))
    words = base.mark_text(dy=-9, align="left").encode(
        text=alt.Text("name:N"), color=alt.ColorValue(look.text)
    )
    return [known.mark_point(filled=True, size=60), *_chosen(known, rows), words]


def _names(names: list[str]) -> alt.Y:
    """A row for each name, in the order of the chart."""
    order = list(dict.fromkeys(names))
    axis = alt.Axis(labelOverlap=False, labelLimit=_LABEL_PX, grid=False, ticks=False)
    # What the names are is told by the tooltip: a title would stand on the longest of them.
    return alt.Y("x:N", title=None, sort=order, axis=axis)


def _bars(chart: Chart, look: Look) -> list[alt.Chart]:
    names = [str(name) for one in chart.series for name in one.names]
    rows = rows_of(chart.series)
    places: dict[str, Any] = {"y": _names(names), "tooltip": _tooltip(chart)}
    bars = _chart(rows).encode(
        x=alt.X("y:Q", title=chart.y, scale=alt.Scale(zero=True), stack=None),
        color=_colour(chart, look),
        **places,
    )
    drawn = [bars.mark_bar(size=14)]
    if any(row["chosen"] for row in rows):
        # They are told by their outline: fading the others would change what colours mean.
        outline = bars.transform_filter("datum.chosen").mark_bar(size=14, strokeWidth=2.5)
        drawn.append(outline.encode(stroke=alt.StrokeValue(look.text)))
    if ends := _with_ends(rows):
        low, colour = alt.X("low:Q", title=chart.y), alt.value(look.text)
        rule = _chart(ends).mark_rule(strokeWidth=1.5)
        drawn.append(rule.encode(x=low, x2=alt.X2("high:Q"), color=colour, **places))
    return drawn


def _short(value: float) -> str:
    """Three digits; what is next to nothing is said to be."""
    if 0.0 < value < 1e-3:
        return "≈ 0"
    return f"{value:,.3g}" if value < 1e3 else f"{value:,.0f}"


def _waterfall(chart: Chart, look: Look) -> list[alt.Chart]:
    (one,) = chart.series
    rows: list[dict[str, Any]] = []
    level = 0.0
    for index, (name, value) in enumerate(zip(one.names, one.y, strict=True)):
        whole = index in (0, len(one.y) - 1)
        start = 0.0 if whole else level
        end = value if whole else level - value
        kind = one.kinds[index] if one.kinds else "whole" if whole else "taken off"
        rows.append(
            {"x": name, "from": start, "y": end, "value": value, "part": kind,
             "right": max(start, end), "text": _short(value)}
        )  # fmt: skip
        level = end
    kinds = list(dict.fromkeys(str(row["part"]) for row in rows))
    other = {"whole": look.colours[0], "taken off": look.parts["spent"]} | dict(look.parts)
    colours = [other.get(kind, look.colours[0]) for kind in kinds]
    legend = alt.Legend(title=None, orient="top", symbolType="square") if one.kinds else None
    base = _chart(rows).encode(y=_names(list(one.names)))
    highest = max((value for value in one.y if math.isfinite(value)), default=0.0) or 1.0
    x = alt.X("y:Q", title=chart.y, scale=alt.Scale(domain=[0.0, 1.08 * highest], nice=False))
    bars = base.mark_bar(size=15).encode(
        x=x,
        x2=alt.X2("from:Q"),
        color=alt.Color("part:N", scale=alt.Scale(domain=kinds, range=colours), legend=legend),
        tooltip=[
            alt.Tooltip("x:N", title=chart.x),
            alt.Tooltip("value:Q", title=chart.y, format=",.4~g"),
            alt.Tooltip("part:N", title="kind"),
        ],
    )
    words = base.mark_text(align="left", dx=4).encode(
        x=alt.X("right:Q", title=chart.y), text=alt.Text("text:N"), color=alt.ColorValue(look.text)
    )
    return [bars, words]


def _limits(chart: Chart, look: Look) -> list[alt.Chart]:
    """Rules with their names: above the highest, below the lowest, the others at the other end.

    What is above all values has its name below, inside the picture.
    """
    known = sorted(
        ((level, name) for name, level in chart.limits if math.isfinite(level)), reverse=True
    )
    values = [v for one in chart.series for v in (*one.y, *one.high) if math.isfinite(v)]
    highest = max(values, default=0.0)
    drawn: list[alt.Chart] = []
    for index, (level, name) in enumerate(known):
        base = _chart([{"name": name, "y": level}])
        above = level < highest and (index == 0 or index < len(known) - 1)
        first = index in (0, len(known) - 1)
        if lies(chart):
            x = alt.X("y:Q", title=chart.y)
            rule = base.mark_rule(color=look.limit, strokeDash=[5, 3]).encode(x=x)
            right = level < 0.6 * max(highest, *(one for one, _ in known))
            words = base.mark_text(
                align="left" if right else "right", baseline="bottom", dy=-2, color=look.limit
            ).encode(x=x, text=alt.Text("name:N"), y=alt.value(0))
        else:
            y = alt.Y("y:Q", title=chart.y)
            rule = base.mark_rule(color=look.limit, strokeDash=[5, 3]).encode(y=y)
            words = base.mark_text(
                align="left" if first else "right", dx=4 if first else -4, dy=-7 if above else 8,
                color=look.limit,
            ).encode(
                y=y, text=alt.Text("name:N"), x=alt.value(0 if first else "width"),
            )  # fmt: skip
        drawn += [rule, words]
    return drawn
