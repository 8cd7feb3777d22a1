"""The ladder of power nodes, and the single-line diagram."""

from __future__ import annotations

import math
from collections.abc import Mapping

import altair as alt
import pandas as pd

from dashboard.charts.axes import power_unit
from dashboard.charts.marks import LABEL_PX, finish, words
from dashboard.frames.power import Ladder
from dashboard.style import BAD, GOOD, GREY, MARKS, NEAR, Ink
from sim.results.wording import percent
from sim.units import format_si

CLICKED = "bar"
#: From here on a draw is near its limit; above 1 it is over it.
NEAR_SHARE = 0.9
_BAR_PX = 19
_LABEL_PX, _SIGN_PX = 190, 5.4
#: One of each level of the tree; Vega strips spaces that a label begins with.
_INDENT, _START = "\N{EM SPACE}", "\N{WORD JOINER}"
_COLOURS = {"good": GOOD, "near": NEAR, "bad": BAD, "none": GREY}
_MEANING = {"good": "below 90 %", "near": "90 to 100 %", "bad": "over its limit"}
_ROOM = 0.85  # of the axis, right of the longest bar, for the numbers beside the bars


def state_of(share: float) -> str:
    """The key of ``style.STATES`` of a draw as a share of its limit (NaN: no limit)."""
    if math.isnan(share):
        return "none"
    return "bad" if share > 1.0 else "near" if share >= NEAR_SHARE else "good"


def ladder_chart(ladder: Ladder, chosen: str, ink: Ink) -> alt.LayerChart:
    """One bar a node in the order of the tree: the highest draw of its limit, with its mark."""
    frame = _rungs(ladder)
    most = max(100.0, float(frame["use"].max()))
    width = min(_LABEL_PX, int(14 + _SIGN_PX * frame["label"].str.len().max()))
    low = frame["rating"].where((frame["rating"] > 100.5) & (frame["rating"] <= 1.3 * most))
    x = alt.X(
        "use:Q",
        title="highest draw in the bin, % of the limit (budget, else rating)",
        scale=alt.Scale(domain=[0.0, most * (1.0 + _ROOM)], nice=False),
        axis=alt.Axis(values=list(range(0, int(most) + 1, 25)), grid=True),
    )
    y = alt.Y(
        "label:N",
        title=None,
        sort=None,
        scale=alt.Scale(domain=list(frame["label"]), paddingInner=0.22, paddingOuter=0.1),
        axis=alt.Axis(
            labelAlign="left", labelPadding=width, labelLimit=width, minExtent=width,
            maxExtent=width, labelOverlap=False, labelFlush=False, labelBound=False,
            ticks=False, domain=False,
        ),
    )  # fmt: skip
    data = frame[["name", "label", "state", "use", "beside", "about", "fed", "kind"]]
    base = alt.Chart(data)
    click = alt.selection_point(name=CLICKED, fields=["name"], empty=False, on="click")
    tip = [alt.Tooltip(f"{field}:N", title=title) for field, title in
           (("name", "node"), ("kind", "kind"), ("beside", "draw"), ("fed", "fed by"))]  # fmt: skip
    states = list(_MEANING)
    bars = base.mark_bar(cornerRadius=1).encode(
        x=x,
        y=y,
        color=alt.Color(
            "state:N",
            scale=alt.Scale(domain=states, range=[_COLOURS[state] for state in states]),
            legend=None,
        ),
        description="about:N",
    )
    # Whole rows take clicks, so that a node without a draw can be chosen, too.
    rows = (
        base.transform_calculate(whole=str(most * (1.0 + _ROOM)))
        .mark_bar(opacity=0, aria=True)
        .encode(x=alt.X("whole:Q"), y=y, tooltip=tip, description="about:N")
        .add_params(click)
    )
    limit = (
        alt.Chart(pd.DataFrame({"use": [100.0]})).mark_rule(color=BAD, strokeWidth=1.8).encode(x=x)
    )
    ticks = (
        alt.Chart(frame.assign(use=low).dropna(subset="use")[["label", "use"]])
        .mark_tick(color=GREY, thickness=2.5, size=_BAR_PX - 3)
        .encode(x=x, y=y)
    )
    text = (
        base.transform_calculate(right=str(1.02 * most))
        .mark_text(align="left", dx=4, fontSize=LABEL_PX, color=ink.text)
        .encode(x=alt.X("right:Q"), y=y, text=alt.Text("beside:N"))
    )
    mark = (
        alt.Chart(data[data["name"] == chosen][["label"]])
        .transform_calculate(whole=str(most * (1.0 + _ROOM)))
        .mark_bar(filled=False, stroke=ink.text, strokeWidth=1.5)
        .encode(x=alt.X("whole:Q"), y=y)
    )
    return finish([limit, bars, ticks, text, mark, rows], 46 + _BAR_PX * len(frame))


def _rungs(ladder: Ladder) -> pd.DataFrame:
    """The ladder's frame with what is drawn and said of each node."""
    frame = ladder.frame.copy()
    frame["label"] = [
        _START * (depth > 0)
        + _INDENT * depth
        + name
        + (f" ({len(feeds)} feeds)" if len(feeds) > 1 else "")
        for depth, name, feeds in zip(frame["depth"], frame["name"], frame["feeds"], strict=True)
    ]
    frame["state"] = [state_of(share) for share in frame["share"]]
    frame["use"] = 100.0 * frame["share"].fillna(0.0)
    frame["beside"] = [_beside(row) for row in frame.to_dict("records")]
    frame["fed"] = [_fed(feeds) for feeds in frame["feeds"]]
    frame["rating"] = 100.0 * frame["rating_w"] / frame["limit_w"]
    frame["about"] = frame["name"] + ": " + frame["beside"]
    return frame


def _several(feeds: list[str]) -> str:
    return f" ({len(feeds)} feeds)" if len(feeds) > 1 else ""


def _beside(row: Mapping[str, object]) -> str:
    draw, limit, share = (float(str(row[key])) for key in ("max_w", "limit_w", "share"))
    if row["note"]:
        return f"{MARKS['bad']} {row['note']}, {words(draw, 'W')}"
    if draw == 0.0:
        return f"{MARKS['none']} draws nothing"
    if math.isnan(draw):
        return "– not metered"
    if math.isnan(limit):
        return f"– {format_si(draw, 'W')}, no limit"
    factor, unit = power_unit(limit)
    drawn = f"{draw / factor:.3g} / {limit / factor:.3g} {unit}"
    return f"{MARKS[state_of(share)]} {percent(share)}: {drawn}"


def _fed(feeds: list[str]) -> str:
    return " and ".join(feeds) if feeds else "nothing of the tree"


def diagram(
    nodes: pd.DataFrame,
    flows: pd.DataFrame,
    standby: list[tuple[str, str]],
    chosen: str,
    ink: Ink,
) -> str:
    """A single-line diagram in Graphviz's language.

    ``nodes``: ``node``, ``name``, ``mean_w``, ``max_w``, ``limit_w``, ``share``, ``note``;
    ``flows``: ``parent``, ``child``, ``w``; ``standby``: names, drawn dashed. Names are data:
    quotes and backslashes in them are escaped.
    """
    lines = [
        "digraph {",
        'rankdir=TB; bgcolor="transparent"; nodesep=0.2; ranksep=0.35;',
        f'node [shape=box, style=rounded, fontname="sans-serif", fontsize=11, '
        f'fontcolor="{ink.text}", color="{GREY}", height=0.3, margin="0.08,0.04"];',
        f'edge [fontname="sans-serif", fontsize=10, fontcolor="{ink.text}", color="{GREY}", '
        "arrowsize=0.6];",
    ]
    index = {}
    for row in nodes.to_dict("records"):
        index[row["name"]] = row["node"]
        state = "bad" if row["note"] else state_of(row["share"]) if row["max_w"] > 0.0 else "none"
        limit = "no limit" if math.isnan(row["limit_w"]) else f"of {format_si(row['limit_w'], 'W')}"
        second = _dot(row["note"]) or f"{words(row['mean_w'], 'W')} {limit}"
        label = f"{_dot(row['name'])}\\n{second}"
        width = 3 if row["name"] == chosen else 1.5
        lines.append(
            f'n{row["node"]} [label="{label}", color="{_COLOURS[state]}", penwidth={width}];'
        )
    for row in flows.to_dict("records"):
        style = "" if row["w"] > 0.0 else ", style=dotted"
        text = format_si(row["w"], "W")
        lines.append(f'n{row["parent"]} -> n{row["child"]} [label="{text}"{style}];')
    for feed, fed in standby:
        if feed in index and fed in index:
            lines.append(f'n{index[feed]} -> n{index[fed]} [label="standby", style=dashed];')
    return "\n".join([*lines, "}"])


def _dot(text: object) -> str:
    """Text inside a quoted label."""
    flat = " ".join(str(text).split())
    return flat.replace("\\", "\\\\").replace('"', '\\"')
