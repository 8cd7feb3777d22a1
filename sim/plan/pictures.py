"""Charts of an answer as SVG text."""

from __future__ import annotations

import io
import math
from typing import Any

import altair as alt

from sim.plan.told import BARS, LINE, POINTS, WATERFALL, Chart, Series

#: Okabe and Ito's colours, which the colour-blind tell apart ("Color Universal Design", 2008).
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_LIMIT = "#8B0000"
_WIDTH, _HEIGHT = 640, 260


def svg_of(chart: Chart) -> str:
    """A chart drawn; text that comes from files is escaped by the renderer."""
    drawn = {LINE: _lines, POINTS: _points, BARS: _bars, WATERFALL: _waterfall}[chart.kind](chart)
    layers = alt.layer(*drawn, *_limits(chart)).properties(width=_WIDTH, height=_HEIGHT)
    shown = layers.configure_view(stroke=None).configure_axis(gridColor="#e6e6e6", labelLimit=340)
    out = io.StringIO()
    shown.save(out, format="svg")
    return out.getvalue()


def _finite(values: tuple[float, ...], index: int) -> float | None:
    return values[index] if values and math.isfinite(values[index]) else None


def _chart(rows: list[dict[str, Any]]) -> alt.Chart:
    return alt.Chart(alt.InlineData(values=rows))


def _rows(series: tuple[Series, ...]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for one in series:
        for index, y in enumerate(one.y):
            x = one.names[index] if one.names else one.x[index]
            rows.append(
                {
                    "series": one.name, "x": x, "order": index, "y": y,
                    "low": _finite(one.low, index), "high": _finite(one.high, index),
                    "chosen": index in one.chosen,
                }
            )  # fmt: skip
    return rows


def _x(chart: Chart) -> alt.X:
    """Numbers as such, anything else in its own order."""
    numbers = all(isinstance(x, (int, float)) for one in chart.series for x in one.x)
    if numbers and chart.series and chart.series[0].x:
        whole = all(float(x).is_integer() for one in chart.series for x in one.x)
        axis = alt.Axis(labelOverlap=True, tickCount=8, tickMinStep=1.0 if whole else alt.Undefined)
        return alt.X("x:Q", title=chart.x, scale=alt.Scale(zero=False), axis=axis)
    order = [str(x) for x in (chart.series[0].names or chart.series[0].x)] if chart.series else []
    return alt.X(
        "x:N", title=chart.x, sort=order, axis=alt.Axis(labelAngle=-40, labelOverlap=False)
    )


def _colour(chart: Chart) -> alt.Color:
    names = [one.name for one in chart.series]
    legend = alt.Legend(title=None, orient="top") if len(names) > 1 else None
    return alt.Color("series:N", scale=alt.Scale(domain=names, range=_COLOURS), legend=legend)


def _y(chart: Chart, *, zero: bool) -> alt.Y:
    return alt.Y("y:Q", title=chart.y, scale=alt.Scale(zero=zero))


def _lines(chart: Chart) -> list[Any]:
    base = _chart(_rows(chart.series)).encode(x=_x(chart), color=_colour(chart))
    band = base.transform_filter("isValid(datum.low) && isValid(datum.high)").mark_errorbar(
        thickness=1.5
    )
    drawn: list[Any] = [
        band.encode(y=alt.Y("low:Q", title=chart.y), y2="high:Q"),
        base.mark_line(strokeWidth=1.5).encode(y=_y(chart, zero=False), order="order:Q"),
        base.mark_point(filled=True, size=45).encode(y=_y(chart, zero=False)),
    ]
    chosen = base.transform_filter("datum.chosen").mark_point(size=220, strokeWidth=2.5)
    return [*drawn, chosen.encode(y=_y(chart, zero=False))]


def _points(chart: Chart) -> list[Any]:
    rows = _rows(
        tuple(Series(one.name, one.y, one.x, one.low, one.high, (), one.chosen)
              for one in chart.series)
    )  # fmt: skip
    names = [name for one in chart.series for name in (one.names or ("",) * len(one.y))]
    named = [{**row, "name": name} for row, name in zip(rows, names, strict=True)]
    base = _chart(named).encode(x=_x(chart), y=_y(chart, zero=False), color=_colour(chart))
    words = base.mark_text(dy=-9, align="left", color="#444444").encode(text="name:N")
    chosen = base.transform_filter("datum.chosen").mark_point(size=260, strokeWidth=2.5)
    return [base.mark_point(filled=True, size=60), chosen, words]


def _bars(chart: Chart) -> list[Any]:
    base = _chart(_rows(chart.series)).encode(x=_x(chart))
    bars = base.mark_bar(size=16).encode(y=_y(chart, zero=True), color=_colour(chart))
    if any(one.chosen for one in chart.series):
        strong = alt.condition("datum.chosen", alt.value(1.0), alt.value(0.4))
        bars = bars.encode(opacity=strong)
    errors = base.transform_filter("isValid(datum.low) && isValid(datum.high)").mark_errorbar()
    return [bars, errors.encode(y=alt.Y("low:Q", title=chart.y), y2="high:Q")]


def _waterfall(chart: Chart) -> list[Any]:
    (one,) = chart.series
    rows, level = [], 0.0
    for index, (name, value) in enumerate(zip(one.names, one.y, strict=True)):
        whole = index in (0, len(one.y) - 1)
        start = 0.0 if whole else level
        end = value if whole else level - value
        rows.append(
            {"x": name, "from": start, "y": end, "part": "whole" if whole else "taken off",
             "text": f"{value:.3g}"}
        )  # fmt: skip
        level = end
    base = _chart(rows).encode(x=_x(chart))
    colours = alt.Scale(domain=["whole", "taken off"], range=[_COLOURS[0], _COLOURS[4]])
    bars = base.mark_bar(size=26).encode(
        y=_y(chart, zero=True), y2="from:Q", color=alt.Color("part:N", scale=colours, legend=None)
    )
    return [bars, base.mark_text(dy=-6).encode(y="y:Q", text="text:N")]


def _limits(chart: Chart) -> list[Any]:
    if not chart.limits:
        return []
    base = _chart([{"name": name, "y": level} for name, level in chart.limits])
    rule = base.mark_rule(color=_LIMIT, strokeDash=[5, 3]).encode(y="y:Q")
    words = base.mark_text(align="right", dx=-2, dy=-6, color=_LIMIT).encode(
        y="y:Q", text="name:N", x=alt.value("width")
    )
    return [rule, words]
