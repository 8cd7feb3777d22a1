"""Parallel axes: every setting and every measure of a study as one axis, a line for each point."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from dashboard.frames.explore import AxisScale
from dashboard.frames.quantities import Quantity
from dashboard.frames.study_answer import REFUSED
from dashboard.style import GREY, Ink

HEIGHT = 330
#: Viridis, without the end that fades into a light or a dark page.
_ON_LIGHT = ["#440154", "#414487", "#2A788E", "#22A884", "#7AD151"]
_ON_DARK = ["#414487", "#2A788E", "#22A884", "#7AD151", "#FDE725"]
_LONGEST = 26
_FONT = 11


def parallel_chart(
    frame: pd.DataFrame,
    scales: Sequence[AxisScale],
    shown: Sequence[Quantity],
    colour: Quantity,
    ink: Ink,
) -> dict[str, Any]:
    """An ECharts option over ``frames.explore.parallel_frame``; dragging along an axis filters."""
    axes = [_setting(index, scale, ink) for index, scale in enumerate(scales)]
    axes += [
        _measure(len(scales) + index, one, frame.iloc[:, 2 + len(scales) + index])
        for index, one in enumerate(shown)
    ]
    dimension = len(scales) + [one.name for one in shown].index(colour.name)
    refused = frame["standing"] == REFUSED
    values = frame.iloc[:, 2 + dimension]
    numbers = values[~refused].dropna()
    if numbers.empty:
        numbers = values.dropna()
    colours = _ON_DARK if ink.band == "#FFFFFF" else _ON_LIGHT
    return {
        "animation": False,
        "parallel": {
            "left": 60, "right": 90, "top": 62, "bottom": 40,
            "parallelAxisDefault": {
                "nameLocation": "end", "nameGap": 14,
                "nameTextStyle": {"color": ink.text, "fontSize": _FONT, "lineHeight": 13},
                "axisLabel": _labels(ink),
                "axisLine": {"lineStyle": {"color": ink.faint}},
                "areaSelectStyle": {"width": 16, "opacity": 0.3},
            },
        },
        "parallelAxis": axes,
        "visualMap": {
            "type": "continuous", "dimension": dimension, "seriesIndex": 0,
            "min": float(numbers.min()), "max": float(numbers.max()),
            "inRange": {"color": colours}, "orient": "horizontal", "left": "center", "bottom": 0,
            "itemWidth": 10, "itemHeight": 160, "calculable": False, "precision": 3,
            "text": [f"{numbers.max():,.3g}", f"{colour.title}   {numbers.min():,.3g}"],
            "textStyle": {"color": ink.text, "fontSize": _FONT},
        },
        "toolbox": {
            "right": 0, "bottom": 0, "itemSize": 13, "iconStyle": {"borderColor": ink.faint},
            "feature": {"saveAsImage": {"title": "PNG", "name": "parallel-axes",
                                        "backgroundColor": ink.page}},
        },
        "series": [
            _lines(frame[~refused], scales, {"width": 1.6, "opacity": 0.85}),
            _lines(frame[refused], scales,
                   {"width": 1, "opacity": 0.45, "color": GREY, "type": "dashed"}),
        ],
    }  # fmt: skip


def _lines(
    frame: pd.DataFrame, scales: Sequence[AxisScale], style: dict[str, Any]
) -> dict[str, Any]:
    rows = []
    for row in frame.drop(columns=["point", "standing"]).itertuples(index=False):
        places: list[Any] = ["-" if value != value else value for value in row]
        for index, scale in enumerate(scales):
            if scale.kind == "category":
                places[index] = scale.categories.index(places[index])
        rows.append(places)
    return {
        "type": "parallel", "animation": False, "lineStyle": style, "data": rows,
        "inactiveOpacity": 0.05, "activeOpacity": 1, "smooth": False,
    }  # fmt: skip


def _setting(index: int, scale: AxisScale, ink: Ink) -> dict[str, Any]:
    axis: dict[str, Any] = {"dim": index, "name": _folded(scale.title), "type": scale.kind}
    if scale.kind == "category":
        axis["data"] = [_brief(category) for category in scale.categories]
        axis["axisLabel"] = {**_labels(ink), "interval": 0}
        return axis
    numbers = [float(place) for place in scale.places.values()]
    return axis | _ends(numbers, scale.kind == "log")


def _labels(ink: Ink) -> dict[str, Any]:
    """Labels stand on the lines, so they have an edge in the colour of the page."""
    return {
        "color": ink.text, "fontSize": _FONT, "textBorderColor": ink.page, "textBorderWidth": 3,
    }  # fmt: skip


def _brief(text: str) -> str:
    """A category that fits beside its axis; lines go by its place, so two may look the same."""
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _measure(index: int, one: Quantity, values: pd.Series) -> dict[str, Any]:
    kind = "log" if one.log else "value"
    return {"dim": index, "name": _folded(one.title), "type": kind} | _ends(
        list(values.dropna()), one.log
    )


def _ends(numbers: Sequence[float], log: bool) -> dict[str, Any]:
    """Round ends of an axis, so that lines spread over all of it."""
    low, high = min(numbers), max(numbers)
    if log:
        return {"min": float(f"{low / 1.05:.2g}"), "max": float(f"{high * 1.05:.2g}")}
    if low == high:
        room = abs(low) or 1.0
        return {"min": low - room, "max": high + room}
    return {"scale": True}


def _folded(title: str) -> str:
    """A title in lines that fit between two axes: ``policies.batching`` / ``.max_batch_tokens``."""
    lines = [""]
    for part in title.replace(" (", "\n(").replace(".", "\n.").split("\n"):
        if len(lines[-1]) + len(part) > 18 and lines[-1]:
            lines.append("")
        lines[-1] += part if not lines[-1] or part.startswith(".") else f" {part}"
    return "\n".join(lines[-3:])
