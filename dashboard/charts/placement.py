"""Bars of reasons: why suggestions were refused, what stood in the way of pods."""

from __future__ import annotations

import altair as alt
import pandas as pd

from dashboard.charts.marks import LABEL_PX, finish
from dashboard.style import BLUE, GOOD, Ink

PICKED = "picked"


def reason_bars(
    frame: pd.DataFrame, code: str, words: str, title: str, ink: Ink, height: int
) -> alt.LayerChart:
    """One bar a reason, its number at the end; a click on it picks ``code``.

    ``frame`` is in the order in which bars are drawn and has ``n`` beside the two columns.
    """
    rows = frame[[code, words, "n"]].assign(shown=[f"{n:,}" for n in frame["n"]])
    order = list(dict.fromkeys(rows[words]))
    y = alt.Y(
        f"{words}:N", sort=order, title=None, axis=alt.Axis(labelLimit=300, labelOverlap=False)
    )
    x = alt.X(
        "n:Q", title=title, scale=alt.Scale(domain=[0.0, 1.2 * float(rows["n"].max())], nice=False),
        axis=alt.Axis(tickCount=5, tickMinStep=1),
    )  # fmt: skip
    picked = alt.selection_point(name=PICKED, fields=[code], empty=False)
    base = alt.Chart(rows)
    bars = base.mark_bar(cursor="pointer", aria=True).encode(
        y=y,
        x=x,
        color=alt.condition(
            alt.FieldEqualPredicate(field=code, equal="placed"), alt.value(GOOD), alt.value(BLUE)
        ),
        stroke=alt.condition(picked, alt.value(ink.text), alt.value(None)),
        strokeWidth=alt.StrokeWidthValue(2.5),
        tooltip=[
            alt.Tooltip(f"{words}:N", title="reason"),
            alt.Tooltip("shown:N", title="how many"),
        ],
    )
    ends = base.mark_text(align="left", dx=4, fontSize=LABEL_PX, color=ink.text)
    return finish(
        [bars.add_params(picked), ends.encode(y=y, x=x, text=alt.Text("shown:N"))], height
    )
