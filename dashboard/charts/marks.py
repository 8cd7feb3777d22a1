"""What charts have in common: lines with gaps, limits with their names, bands, hovering."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import pandas as pd

from dashboard.charts.axes import Clock, Window, bin_words, time_axis
from dashboard.style import BAD, Ink
from sim.units import format_si

HEIGHT = 220
LABEL_PX = 11
_LABEL_SHARE = 0.12  # of the height of the picture, taken by the name of a limit
_NARROW = 0.04  # share of the time axis below which a band has no room for its name
_PX_PER_SIGN = 0.0075  # share of a time axis that a letter of a band's name takes, about


class Picture(alt.LayerChart):
    """Layers that become Vega-Lite without being checked against its schema.

    The check takes longer than all the rest of a chart; tests do it (``checked``).
    """

    #: Whether pictures are checked after all.
    checked = False

    def to_dict(self, validate: bool = True, **options: Any) -> dict[str, Any]:
        """The Vega-Lite specification."""
        return super().to_dict(validate=validate and self.checked, **options)


def finish(layers: Sequence[alt.Chart], height: int = HEIGHT) -> Picture:
    """Layers as one chart in the look of all charts."""
    # All at once: each `properties` or `configure` after it would copy the whole chart.
    return Picture(
        layer=list(layers),
        height=height,
        padding={"left": 2, "right": 8, "top": 0, "bottom": 2},
        config=alt.Config(
            view=alt.ViewConfig(strokeWidth=0),
            # Each mark would be described one by one, which takes long; those that are clicked are,
            # and the chart as a whole has its words.
            mark=alt.MarkConfig(aria=False),
            axis=alt.AxisConfig(labelFontSize=LABEL_PX, titleFontSize=LABEL_PX, titlePadding=4),
        ),
    )


def words(value: float, unit: str) -> str:
    """A number for a tooltip; a dash where there is none."""
    return "–" if math.isnan(value) else format_si(value, unit)


def placed(frame: pd.DataFrame, bin_s: float, window: Window, clock: Clock) -> pd.DataFrame:
    """Bins with their middle on the axis (``time``) and in words (``at``); they have ``t_s``."""
    frame = frame.copy()
    ends = (frame["t_s"] + bin_s).clip(upper=max(window.end_s, 1.0))
    frame["time"] = (frame["t_s"] + ends) / 2.0 / clock.unit_s
    frame["at"] = [bin_words(t, bin_s) for t in frame["t_s"]]
    return frame


def legend(symbol: str = "stroke") -> alt.Legend:
    """The legend of all charts: one row above the picture."""
    return alt.Legend(
        orient="top", title=None, labelFontSize=LABEL_PX, offset=2, padding=0,
        symbolType=symbol, symbolSize=500 if symbol == "stroke" else 90, symbolStrokeWidth=2,
        labelLimit=220,
    )  # fmt: skip


def lines(
    frame: pd.DataFrame,
    shown: Mapping[str, tuple[str, str, list[int]]],
    clock: Clock,
    window: Window,
    y: alt.Y,
) -> list[alt.Chart]:
    """Lines by ``shown``: column → name in the legend, colour, dashes; broken where data lack.

    A value between two gaps has no line to be on, so it is a point.
    """
    long = frame.melt(
        ["time", "at"], list(shown), var_name="column", value_name="value", ignore_index=True
    )
    long["series"] = [shown[column][0] for column in long["column"]]
    names, colours, dashes = (list(column) for column in zip(*shown.values(), strict=True))
    layers = [
        alt.Chart(long)
        .mark_line(strokeWidth=1.8)
        .encode(
            x=time_axis(clock, window),
            y=of(y, "value"),
            color=alt.Color(
                "series:N", scale=alt.Scale(domain=names, range=colours), legend=legend()
            ),
            strokeDash=alt.StrokeDash(
                "series:N", scale=alt.Scale(domain=names, range=dashes), legend=legend()
            ),
        )
    ]
    for column, (_, colour, _) in shown.items():
        empty = frame[column].isna()
        alone = ~empty & empty.shift(1, fill_value=True) & empty.shift(-1, fill_value=True)
        if alone.any():
            points = alt.Chart(frame.loc[alone, ["time", column]])
            layers.append(
                points.mark_circle(color=colour, size=18, opacity=1).encode(
                    x=time_axis(clock, window), y=of(y, column)
                )
            )
    return layers


def hover(
    frame: pd.DataFrame, clock: Clock, window: Window, titles: Mapping[str, str]
) -> alt.Chart:
    """Invisible full-height marks that show a bin's numbers: column → what it is called."""
    return (
        alt.Chart(frame[["time", *titles]])
        .mark_rule(strokeWidth=10, opacity=0)
        .encode(
            x=time_axis(clock, window),
            tooltip=[alt.Tooltip(f"{field}:N", title=title) for field, title in titles.items()],
        )
    )


def warm_up(window: Window, clock: Clock, ink: Ink) -> list[alt.Chart]:
    """A shaded band over the warm-up, which no metric counts."""
    end = min(window.warm_up_s, window.end_s) / clock.unit_s
    if end < _NARROW * window.end_s / clock.unit_s:
        return []
    band = alt.Chart(pd.DataFrame({"time": [0.0], "end": [end], "label": ["warm-up"]}))
    x = time_axis(clock, window)
    return [
        band.mark_rect(color=ink.band, opacity=0.07).encode(x=x, x2=alt.X2("end:Q")),
        band.mark_text(
            align="left", baseline="bottom", dx=3, dy=-3, fontSize=LABEL_PX, color=ink.faint
        ).encode(x=x, y=alt.YValue("height"), text=alt.Text("label:N")),
    ]


def event_bands(bands: pd.DataFrame, window: Window, clock: Clock, ink: Ink) -> list[alt.Chart]:
    """States that lasted (``frames.events.bands``) as shaded bands, named where there is room."""
    if bands.empty:
        return []
    least = 0.003 * window.end_s  # a state of an instant is seen, too
    frame = pd.DataFrame(
        {
            "time": bands["start_s"] / clock.unit_s,
            "end": bands["end_s"].clip(lower=bands["start_s"] + least) / clock.unit_s,
            "what": bands["label"],
        }
    )
    frame["label"] = _labels(frame, max(window.end_s, 1.0) / clock.unit_s)
    x = time_axis(clock, window)
    base = alt.Chart(frame)
    return [
        base.mark_rect(color=BAD, opacity=0.12).encode(
            x=x, x2=alt.X2("end:Q"), tooltip=[alt.Tooltip("what:N", title="event")]
        ),
        base.mark_text(
            align="left", baseline="bottom", dx=3, dy=-3, fontSize=LABEL_PX, color=ink.faint
        ).encode(x=x, y=alt.YValue("height"), text=alt.Text("label:N")),
    ]


def _labels(bands: pd.DataFrame, length: float) -> list[str]:
    """The names of bands that fit beside those before them; the others are told on hovering."""
    free, shown = 0.0, []
    for start, name in zip(bands["time"], bands["what"], strict=True):
        needed = _PX_PER_SIGN * len(name) * length
        fits = start >= free and start + needed <= length
        shown.append(name if fits else "")
        free = start + needed if fits else free
    return shown


def cursor(time: float, clock: Clock, window: Window, ink: Ink) -> alt.Chart:
    """A vertical rule at a moment, in seconds: the time that the page shows."""
    return (
        alt.Chart(pd.DataFrame({"time": [time / clock.unit_s]}))
        .mark_rule(color=ink.text, strokeWidth=1.2, strokeDash=[3, 3])
        .encode(x=time_axis(clock, window))
    )


def limit_rule(
    value: float, label: str, colour: str, dash: list[int], y: alt.Y, above: bool
) -> list[alt.Chart]:
    """A horizontal rule at a limit, with its name above or below its right end."""
    data = alt.Chart(pd.DataFrame({"limit": [value], "label": [label]}))
    return [
        data.mark_rule(color=colour, strokeWidth=1.8, strokeDash=dash).encode(y=of(y, "limit")),
        data.mark_text(
            color=colour, align="right", baseline="bottom" if above else "top", dx=-4,
            dy=-3 if above else 5, fontSize=LABEL_PX, fontWeight="bold",
        ).encode(x=alt.XValue("width"), y=of(y, "limit"), text=alt.Text("label:N")),
    ]  # fmt: skip


def late(frame: pd.DataFrame, column: str) -> list[float]:
    """The values at the right end, where the names of limits stand."""
    return list(frame[column].iloc[-max(1, len(frame) // 4) :].dropna())


def stands_above(distances: list[float], axis: float) -> bool:
    """Whether a limit's name stands above its rule: unless lines run there, but not below.

    ``distances``: of the lines from the limit, up positive; ``axis``: length of the axis.
    """
    parts = [distance / axis for distance in distances]
    above = any(0.0 <= part < _LABEL_SHARE for part in parts)
    below = any(-_LABEL_SHARE < part < 0.0 for part in parts)
    return below or not above


def of(y: alt.Y, field: str) -> alt.Y:
    """The same axis over another field."""
    copy = y.copy()
    copy["field"] = field
    return copy
