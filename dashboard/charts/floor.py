"""The plan of the floor: one tile a rack, its number in it, its colour by what is asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import altair as alt
import numpy as np
import pandas as pd

from dashboard.charts.marks import LABEL_PX, finish, legend
from dashboard.style import BAD, GREY, NAMED, Ink

#: Name of the point parameter by which a tile is clicked.
CLICKED = "tile"
_MOST_PX = 520
#: From this part of viridis on its colours are light, so that numbers on them are dark.
_LIGHT = 0.55
_NONE = "not measured"


@dataclass(frozen=True)
class Tiles:
    """What tiles show.

    Attributes:
        frame: one row a rack: ``rack``, ``hall``, ``line``, ``column``, ``value`` (of the colour;
            NaN: no such number), ``text`` (in the tile), ``words`` (for the tooltip), ``over``
            (beyond its limit); or ``name`` in place of ``value`` where colours are of names.
        title: what the colour is, with its unit.
        domain: lowest and highest of the colour, the same at every moment.
        reverse: the low values have the bright colours.
        names: of colours of names, in order; empty where colours are of values.
    """

    frame: pd.DataFrame
    title: str
    domain: tuple[float, float] = (0.0, 100.0)
    reverse: bool = False
    names: tuple[str, ...] = field(default=())


def plan_chart(tiles: Tiles, chosen: str, ink: Ink) -> alt.LayerChart:
    """Halls, rows and racks as tiles; ``chosen`` has a stroke, and a click chooses another."""
    frame = tiles.frame.copy()
    lines = _lines(frame)
    narrow = int(frame["column"].max()) + 1
    frame["number"] = np.where(frame["text"].str.len() <= 5, frame["text"], "")
    frame["ink"] = np.where(_light(tiles, frame), "#111111", "#FFFFFF")
    frame["edge"] = np.where(frame["over"], BAD, "transparent")
    y = alt.Y(
        "line:N",
        title=None,
        scale=alt.Scale(domain=lines, paddingInner=0.1, paddingOuter=0.02),
        axis=alt.Axis(
            labelLimit=150,
            ticks=False,
            domain=False,
            labelOverlap=False,
            labelPadding=6,
            labelFlush=False,
            labelBound=False,
        ),
    )
    x = alt.X(
        "column:O",
        title=None,
        scale=alt.Scale(domain=list(range(narrow)), paddingInner=0.06, paddingOuter=0.02),
        axis=None,
    )
    click = alt.selection_point(name=CLICKED, fields=["rack"], empty=False, on="click")
    tip = [alt.Tooltip("rack:N", title="rack"), alt.Tooltip("hall:N", title="hall"),
           alt.Tooltip("words:N", title="now")]  # fmt: skip
    base = alt.Chart(frame)
    rect = base.mark_rect(cornerRadius=2, strokeWidth=2.5, aria=True)
    paint = (
        rect.encode(
            x=x,
            y=y,
            color=_colour(tiles),
            stroke=alt.Stroke("edge:N", scale=None),
            tooltip=tip,
            description="label:N",
        )
        .transform_calculate(label="datum.rack + ': ' + datum.words")
        .add_params(click)
    )
    numbers = base.mark_text(fontSize=_font(narrow, len(lines)), tooltip=None).encode(
        x=x,
        y=y,
        text=alt.Text("number:N"),
        # Not the channel of the tiles: Vega-Lite cannot lay a scale over none.
        fill=alt.Fill("ink:N", scale=None),
    )
    frame_of = frame.loc[frame["rack"] == chosen, ["line", "column"]]
    # Two strokes, so that one of them is seen on any colour.
    marks = [
        alt.Chart(frame_of)
        .mark_rect(filled=False, stroke=stroke, strokeWidth=width, cornerRadius=2)
        .encode(x=x, y=y)
        for stroke, width in ((ink.page, 5.0), (ink.text, 2.5))
    ]
    height = int(min(_MOST_PX, max(140, 34 + len(lines) * (44 if len(lines) <= 6 else 24))))
    # Only the tiles have the click and tooltips, so what is above them lets both through.
    return finish([paint, numbers, *marks], height)


def _lines(frame: pd.DataFrame) -> list[str]:
    """Labels of the lines from the top, each hall's name above its own where there are several."""
    halls = list(dict.fromkeys(frame["hall"]))
    if len(halls) == 1:
        return list(dict.fromkeys(frame["line"]))
    found: list[str] = []
    for hall in halls:
        mine = dict.fromkeys(frame.loc[frame["hall"] == hall, "line"])
        found += [f"{hall}:", *mine]
    return found


def _font(columns: int, lines: int) -> int:
    return 13 if columns <= 8 and lines <= 8 else LABEL_PX if columns <= 16 else 10


def _light(tiles: Tiles, frame: pd.DataFrame) -> Sequence[bool]:
    if tiles.names:
        light = {name: colour in _LIGHT_NAMES for name, colour in _named(tiles.names).items()}
        return [light.get(name, False) for name in frame["name"]]
    low, high = tiles.domain
    part = (frame["value"] - low) / max(high - low, 1e-9)
    part = 1.0 - part if tiles.reverse else part
    return list((part > _LIGHT).fillna(False))


#: Of the colours of names those on which numbers are dark.
_LIGHT_NAMES = frozenset({"#E69F00", "#56B4E9", "#F0E442", "#CC79A7"})


def _named(names: Sequence[str]) -> dict[str, str]:
    """Name → colour; the list of colours begins again where there are more names."""
    return {name: NAMED[place % len(NAMED)] for place, name in enumerate(names)}


def _colour(tiles: Tiles) -> alt.Color | alt.ConditionalValueDefType:
    if tiles.names:
        named = _named(tiles.names) | {"no replica": GREY}
        return alt.Color(
            "name:N",
            scale=alt.Scale(domain=list(named), range=list(named.values())),
            legend=legend("square"),
        )
    scale = alt.Scale(
        scheme="viridis", domain=list(tiles.domain), clamp=True, reverse=tiles.reverse
    )
    bar = alt.Legend(
        orient="top", title=tiles.title, titleFontSize=LABEL_PX, labelFontSize=LABEL_PX, offset=4,
        gradientLength=180, gradientThickness=9, titleLimit=400, titleOrient="left",
        tickCount=5,
    )  # fmt: skip
    return (
        alt.when("isValid(datum.value)")
        .then(alt.Color("value:Q", scale=scale, legend=bar))
        .otherwise(alt.value(GREY))
    )
