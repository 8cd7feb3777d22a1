"""Links as pictures: a heat map of pairs, use over time, the tiers as a graph."""

from __future__ import annotations

from collections.abc import Mapping

import altair as alt
import pandas as pd

from dashboard.charts.axes import Window, clock_of
from dashboard.charts.marks import (
    LABEL_PX,
    event_bands,
    finish,
    hover,
    lines,
    placed,
    warm_up,
)
from dashboard.frames.fabric import HeatMap
from dashboard.style import BAD, BLUE, GREY, PARTS, Ink
from sim.results.wording import percent
from sim.units import format_si

#: What the tiles can show → its column.
SHOWN: Mapping[str, str] = {"peak use": "max_use", "mean use": "mean_use", "time full": "full"}
#: The scale of all of them: 0 to 100 %.
_SCALE = alt.Scale(domain=[0.0, 1.0], scheme="viridis", clamp=True)
_WITH_NUMBERS, _WITH_EVERY_NAME = 220, 24
_PX = {"few": 24, "some": 16, "many": 10}
_PX_PER_SIGN, _LONGEST_PX = 6.2, 190


def heat_chart(found: HeatMap, shown: str, chosen: str, ink: Ink) -> alt.LayerChart:
    """A tile a pair of ends, on a fixed scale from 0 to 100 %; ``chosen`` has a stroke."""
    cells = found.cells.copy()
    cells["value"] = cells[SHOWN[shown]].fillna(0.0)
    for column in SHOWN.values():
        cells[f"{column} shown"] = [
            "–" if pd.isna(value) else percent(float(value)) for value in cells[column]
        ]
    cells["chosen"] = cells["pair"] == chosen
    cells["number"] = [f"{100 * value:.0f}" for value in cells["value"]]
    rows = len(found.rows)
    every = rows <= _WITH_EVERY_NAME
    size = _PX["few" if rows <= 12 else "some" if every else "many"]
    longest = max(len(name) for name in found.rows)
    y = alt.Y(
        "row:N", title=found.row_title, sort=found.rows,
        axis=alt.Axis(labelOverlap=False if every else "parity", labelLimit=_LONGEST_PX,
                      ticks=False, domain=False,
                      minExtent=min(_LONGEST_PX, _PX_PER_SIGN * longest)),
    )  # fmt: skip
    x = alt.X(
        "column:N", title=found.column_title, sort=found.columns,
        axis=alt.Axis(labelOverlap=len(found.columns) > _WITH_EVERY_NAME, ticks=False,
                      domain=False, labelAngle=-40 if len(found.columns) > 4 else 0,
                      labelLimit=110),
    )  # fmt: skip
    pick = alt.selection_point(name="pair", fields=["pair"])
    base = alt.Chart(cells)
    tiles = base.mark_rect(strokeWidth=2.5, cursor="pointer", aria=True).encode(
        x=x, y=y,
        color=alt.Color(
            "value:Q", scale=_SCALE,
            legend=alt.Legend(title=shown, orient="top", format=".0%", gradientLength=220,
                              gradientThickness=10, titleFontSize=LABEL_PX, labelFontSize=LABEL_PX,
                              titleOrient="left", offset=2, padding=0, titleLimit=240,
                              values=[0.0, 0.5, 1.0]),
        ),
        stroke=alt.condition("datum.chosen", alt.value(BAD), alt.value(ink.page)),
        tooltip=[alt.Tooltip("pair:N"), alt.Tooltip("mean_use shown:N", title="mean use"),
                 alt.Tooltip("max_use shown:N", title="peak use"),
                 alt.Tooltip("full shown:N", title="time full"),
                 alt.Tooltip("held:Q", title="flows held longest"),
                 alt.Tooltip("links:Q", title="links")],
    ).add_params(pick)  # fmt: skip
    layers = [tiles]
    if len(cells) <= _WITH_NUMBERS and size >= _PX["some"]:
        layers.append(
            base.mark_text(fontSize=10).encode(
                x=x, y=y, text=alt.Text("number:N"),
                color=alt.condition("datum.value > 0.6", alt.value("#000000"),
                                    alt.value("#FFFFFF")),
            )
        )  # fmt: skip
    return finish(layers, height=max(150, 105 + size * rows))


def use_chart(
    frame: pd.DataFrame,
    bin_s: float,
    window: Window,
    ink: Ink,
    bands: pd.DataFrame | None,
    several: bool,
) -> alt.LayerChart:
    """Mean and peak use per slot, on the fixed scale; of several links also how many are full."""
    clock = clock_of(window.end_s)
    frame = placed(frame, bin_s, window, clock)
    for name in ("mean", "max", "full"):
        frame[f"{name} shown"] = [percent(float(value)) for value in frame[name]]
    y = alt.Y(
        type="quantitative", title="use of capacity",
        scale=alt.Scale(domain=[0.0, 1.05], nice=False),
        axis=alt.Axis(format=".0%", values=[0.0, 0.25, 0.5, 0.75, 1.0]),
    )  # fmt: skip
    colour = PARTS["transfer"]
    shown = {"max": ("peak", colour, [2, 2]), "mean": ("mean", colour, [1, 0])}
    if several and frame["full"].any():
        shown["full"] = ("full", BAD, [1, 0])
    tip = {"at": "time", "mean shown": "mean use", "max shown": "peak use",
           "full shown": "time full"}  # fmt: skip
    layers = [
        *warm_up(window, clock, ink),
        *([] if bands is None else event_bands(bands, window, clock, ink)),
        *lines(frame, shown, clock, window, y),
        hover(frame, clock, window, tip),
    ]
    return finish(layers)


def moved_chart(
    frame: pd.DataFrame, bin_s: float, window: Window, ink: Ink, bands: pd.DataFrame | None
) -> alt.LayerChart:
    """Transfers under way over time."""
    clock = clock_of(window.end_s)
    frame = placed(frame, bin_s, window, clock)
    frame["moved"] = [format_si(float(value), "B/s") for value in frame["bytes_per_s"]]
    frame["count"] = [f"{value:.3g}" for value in frame["under_way"]]
    y = alt.Y(
        type="quantitative", title="transfers under way",
        scale=alt.Scale(domain=[0.0, 1.1 * max(1.0, float(frame["under_way"].max()))], nice=False),
        axis=alt.Axis(tickCount=5),
    )  # fmt: skip
    shown = {"under_way": ("transfers under way", PARTS["transfer"], [1, 0])}
    tip = {"at": "time", "count": "under way, mean", "moved": "moved"}
    layers = [
        *warm_up(window, clock, ink),
        *([] if bands is None else event_bands(bands, window, clock, ink)),
        *lines(frame, shown, clock, window, y),
        hover(frame, clock, window, tip),
    ]
    return finish(layers)


def tiers_graph(tiers: pd.DataFrame, chosen: str, ink: Ink) -> str:
    """The tiers as a graph in DOT: kinds of vertices, and between them what the links carried."""
    out = [
        "digraph {", "rankdir=LR; bgcolor=transparent; nodesep=0.35; ranksep=0.7;",
        f'node [shape=box style=rounded fontname=sans fontsize=12 color="{ink.faint}" '
        f'fontcolor="{ink.text}"];',
        f'edge [fontname=sans fontsize=10 fontcolor="{ink.text}"];',
    ]  # fmt: skip
    for row in tiers.to_dict("records"):
        one, _, other = str(row["tier"]).partition(" → ")
        used = int(row["used_links"])
        label = f"{used:,} of {int(row['links']):,} used\n"
        label += rate(float(row["capacity_bytes_per_s"]))
        if used:
            mean = float(row["mean_use"]) if not pd.isna(row["mean_use"]) else 0.0
            label += f"\nmean {percent(mean)}, peak {percent(float(row['max_use']))}"
        full = float(row["saturated_s"] or 0.0) > 0.0
        colour = BAD if full else BLUE if used else GREY
        width = 3 if row["tier"] == chosen else 1.5
        style = "solid" if used else "dashed"
        out.append(
            f"{quoted(one)} -> {quoted(other)} [label={quoted(label)} color={quoted(colour)} "
            f"penwidth={width} style={style}];"
        )
    return "\n".join([*out, "}"])


def rate(bytes_per_s: float) -> str:
    """Bytes a second as networks name them: ``400 Gb/s``."""
    bits = 8.0 * bytes_per_s
    for factor, unit in ((1e12, "Tb/s"), (1e9, "Gb/s"), (1e6, "Mb/s")):
        if bits >= factor:
            return f"{bits / factor:,.3g} {unit}"
    return f"{bits:,.3g} b/s"


def quoted(text: str) -> str:
    """Text as a string of DOT: nothing in it ends the string or is an escape of its own."""
    flat = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + flat.replace("\n", "\\n").replace("\r", " ") + '"'
