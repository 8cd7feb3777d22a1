"""The forest plot: each metric's difference in % of A with its interval, around a zero rule."""

from __future__ import annotations

from collections.abc import Callable

import altair as alt
import pandas as pd

from dashboard.charts.marks import LABEL_PX, finish, legend
from dashboard.frames.compare import Forest
from dashboard.style import BAD, GOOD, GREY, PURPLE, Ink
from sim.study.difference import (
    BETTER,
    DIFFERS,
    NOT_JUDGED,
    NOT_SHOWN,
    SAME,
    UNCLEAR,
    WORSE,
)

#: Verdict → its name in the legend, colour and shape.
_LOOKS = {
    BETTER: ("B better", GOOD, "triangle-up"),
    WORSE: ("B worse", BAD, "triangle-down"),
    DIFFERS: ("B differs", PURPLE, "diamond"),
    UNCLEAR: ("unclear", GREY, "square"),
    NOT_SHOWN: ("no difference shown", GREY, "circle"),
    SAME: ("the same", GREY, "cross"),
    NOT_JUDGED: ("not judged: no interval", GREY, "circle"),
}
ROW_PX = 30  # as the rows of the table beside it
_HEAD_PX = 62


def forest_chart(found: Forest, ink: Ink) -> alt.LayerChart:
    """Points with intervals; hollow where there is none, arrows where one lies off the axis."""
    frame = found.frame.copy()
    frame["what"] = [_LOOKS[verdict][0] for verdict in frame["verdict"]]
    present = [look for verdict, look in _LOOKS.items() if verdict in set(frame["verdict"])]
    names, colours, shapes = (list(column) for column in zip(*present, strict=True))
    order = list(frame["metric"])
    y = alt.Y(
        "metric:N",
        sort=order,
        title=None,
        axis=alt.Axis(labelOverlap=False, labelLimit=190, ticks=False, domain=False, grid=True),
    )

    def x(field: str) -> alt.X:
        return alt.X(
            f"{field}:Q",
            title="difference of B, in % of A",
            scale=alt.Scale(domain=[-found.limit, found.limit], nice=False),
            axis=alt.Axis(tickCount=5, grid=False),
        )

    # The legend has no hollow points; where all are, the caption says what they are.
    words = None if set(frame["verdict"]) == {NOT_JUDGED} else legend("circle")
    colour = alt.Color("what:N", scale=alt.Scale(domain=names, range=colours), legend=words)
    shape = alt.Shape("what:N", scale=alt.Scale(domain=names, range=shapes), legend=words)
    tip = [
        alt.Tooltip("metric:N", title="metric"),
        alt.Tooltip("words:N", title="difference"),
        alt.Tooltip("what:N", title="verdict"),
        alt.Tooltip("p:N", title="p, corrected (Holm)"),
        alt.Tooltip("definition:N", title="metric is"),
    ]
    spans = frame[frame["low"].notna()]
    inside = frame[frame["beyond"] == 0]
    zero = alt.Chart(pd.DataFrame({"zero": [0.0]})).mark_rule(color=ink.text, strokeWidth=1.2)
    layers = [zero.encode(x=x("zero"))]
    if len(spans):
        layers.append(
            alt.Chart(spans)
            .mark_rule(strokeWidth=2.5)
            .encode(y=y, x=x("from"), x2=alt.X2("to:Q"), color=colour, tooltip=tip)
        )
    for part, filled in ((_solid(inside), True), (_hollow(inside), False)):
        if len(part):
            points = alt.Chart(part).mark_point(
                size=90, filled=filled, strokeWidth=2, opacity=1, cursor="default"
            )
            layers.append(points.encode(y=y, x=x("shown"), color=colour, shape=shape, tooltip=tip))
    layers += _arrows(frame[frame["beyond"] != 0], x, y, colour, tip, ink)
    return finish(layers, height=_HEAD_PX + ROW_PX * len(order))


def _solid(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[frame["verdict"] != NOT_JUDGED]


def _hollow(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[frame["verdict"] == NOT_JUDGED]


def _arrows(
    frame: pd.DataFrame,
    x: Callable[[str], alt.X],
    y: alt.Y,
    colour: alt.Color,
    tip: list[alt.Tooltip],
    ink: Ink,
) -> list[alt.Chart]:
    """Differences that lie off the axis, at its end, with their number."""
    layers = []
    for side, shape, align, dx in ((1, "triangle-right", "right", -9),
                                   (-1, "triangle-left", "left", 9)):  # fmt: skip
        mine = frame[frame["beyond"] == side].copy()
        if not len(mine):
            continue
        mine["number"] = [f"{value:+,.3g} %" for value in mine["percent"]]
        base = alt.Chart(mine)
        layers += [
            base.mark_point(
                shape=shape,
                size=110,
                filled=set(mine["verdict"]) != {NOT_JUDGED},
                strokeWidth=2,
                opacity=1,
            ).encode(y=y, x=x("shown"), color=colour, tooltip=tip),
            base.mark_text(align=align, dx=dx, fontSize=LABEL_PX, color=ink.text).encode(
                y=y, x=x("shown"), text=alt.Text("number:N")
            ),
        ]
    return layers
