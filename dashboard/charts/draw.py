"""Mean and peak draw per bin with its limits: the part that every chart of draw shares."""

from __future__ import annotations

from dataclasses import dataclass

import altair as alt
import pandas as pd

from dashboard.charts.axes import Clock, Window, power_unit
from dashboard.charts.marks import (
    event_bands,
    hover,
    late,
    limit_rule,
    lines,
    placed,
    stands_above,
    warm_up,
    words,
)
from dashboard.style import GOOD, Ink

#: Room above the highest of draw and limits, for their names.
_ROOM = 1.15


@dataclass(frozen=True)
class Drawn:
    """Draw on an axis of its own.

    Attributes:
        layers: bands, lines and what is shown on hovering.
        y: the axis; ``factor``: watts of one of its units; ``length``: its highest value.
    """

    layers: list[alt.Chart]
    frame: pd.DataFrame
    y: alt.Y
    factor: float
    length: float

    def stands_above(self, limit_w: float) -> bool:
        """Whether the name of a limit stands above its rule, clear of the lines."""
        near = [
            v - limit_w / self.factor for name in ("mean", "max") for v in late(self.frame, name)
        ]
        return stands_above(near, self.length)

    def rule(self, limit_w: float, word: str, colour: str, dash: list[int]) -> list[alt.Chart]:
        """A limit as a rule with its name and value: two layers."""
        label, above = f"{word} {words(limit_w, 'W')}", self.stands_above(limit_w)
        return limit_rule(limit_w / self.factor, label, colour, dash, self.y, above)


def mean_and_peak(
    series: pd.DataFrame,
    bin_s: float,
    top_w: float,
    title: str,
    axis: alt.Axis,
    window: Window,
    clock: Clock,
    ink: Ink,
    bands: pd.DataFrame | None,
) -> Drawn:
    """Lines of ``mean_w`` and ``max_w`` by ``t_s``, up to ``top_w`` with the limits above them."""
    factor, unit = power_unit(top_w)
    frame = placed(series, bin_s, window, clock)
    for name in ("mean", "max"):
        frame[name] = frame[f"{name}_w"] / factor
        frame[f"{name} shown"] = [words(value, "W") for value in frame[f"{name}_w"]]
    length = _ROOM * top_w / factor
    y = alt.Y(
        type="quantitative",
        title=f"{title} ({unit})",
        scale=alt.Scale(domain=[0.0, length], nice=False),
        axis=axis,
    )
    shown = {"max": ("peak", GOOD, [2, 2]), "mean": ("mean", GOOD, [1, 0])}
    tip = {"at": "time", "mean shown": "mean draw", "max shown": "peak draw"}
    layers = [
        *warm_up(window, clock, ink),
        *([] if bands is None else event_bands(bands, window, clock, ink)),
        *lines(frame, shown, clock, window, y),
        hover(frame, clock, window, tip),
    ]
    return Drawn(layers, frame, y, factor, length)
