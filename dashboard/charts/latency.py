"""Distributions of latencies, parts of the time to first token, misses by cause."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

import altair as alt
import numpy as np
import pandas as pd

from dashboard.charts.axes import Window, bin_words, clock_of, log_axis, time_axis
from dashboard.charts.marks import (
    LABEL_PX,
    event_bands,
    finish,
    legend,
    warm_up,
    words,
)
from dashboard.frames.latency import Distribution, Misses
from dashboard.frames.split import Split
from dashboard.style import BAD, BLUE, PARTS, Ink
from sim.results.wording import percent

#: An objective this many times above all values is told in words: drawn, it would squeeze the line.
_FAR = 30.0
_PERCENT = "format(100 * datum.value, '~g') + ' %'"
_ROOM = 2.0  # times the highest value: how far the axis goes at least
_LEAST = 1e-6  # of the whole: what is less is a rounding error, not a part
_MARKED = (("p50", 0.5), ("p90", 0.9), ("p99", 0.99))
#: Letters in a label of the axis of causes take this many pixels, about.
_PX_PER_SIGN, _LONGEST_PX = 6.2, 230


def distribution_chart(
    found: Distribution,
    title: str,
    ink: Ink,
    tail: bool,
    exact: Mapping[str, float] = MappingProxyType({}),
) -> alt.LayerChart:
    """The share of requests that a value is not exceeded by; ``tail``: that is exceeded by.

    ``exact``: quantiles as the metrics have them (``p99`` → s), to be named instead of the middles
    of their bins.
    """
    frame = _steps(found, tail)
    objective = None if is_far(found) else found.objective_s
    values = [float(v) for v in found.frame["value_s"] if v > 0.0] or [1e-3]
    log = log_axis([*values, *([] if objective is None else [objective])], "")
    x = alt.X("value:Q", title=f"{title} (s, log scale)", scale=log["scale"], axis=log["axis"])
    low, high = log["scale"]["domain"]
    high = max(high, _ROOM * max(values))  # for the name of p99
    x["scale"]["domain"] = [low, high]
    frame["value"] = frame["value"].clip(lower=low)
    least = max(0.5 / found.n, 1e-9)
    if tail:
        y = alt.Y(
            "share:Q", title="took longer (log scale)",
            scale=alt.Scale(type="log", domain=[least, 1.0], nice=False),
            axis=alt.Axis(values=_decades(least), labelExpr=_PERCENT),
        )  # fmt: skip
    else:
        y = alt.Y(
            "share:Q", title="share of requests within",
            scale=alt.Scale(domain=[0.0, 1.0], nice=False),
            axis=alt.Axis(format=".0%", tickCount=5),
        )  # fmt: skip
    base = alt.Chart(frame)
    layers = [
        base.mark_line(interpolate="step-after", color=BLUE, strokeWidth=1.8).encode(x=x, y=y),
        base.mark_rule(strokeWidth=8, opacity=0).encode(
            x=x,
            tooltip=[
                alt.Tooltip("value shown:N", title=title),
                alt.Tooltip("within:N", title="within"),
                alt.Tooltip("longer:N", title="longer"),
            ],
        ),
        *_quantile_marks(found, x, y, ink, tail, exact),
    ]
    if objective is not None:
        layers += _objective(objective, math.log(objective / low) / math.log(high / low), x, tail)
    return finish(layers)


def _steps(found: Distribution, tail: bool) -> pd.DataFrame:
    """The line: what holds from each value on."""
    share = found.frame["beyond" if tail else "share"]
    frame = pd.DataFrame({"value": found.frame["value_s"], "share": share})
    frame["value shown"] = [words(value, "s") for value in found.frame["value_s"]]
    frame["within"] = [percent(part) for part in found.frame["share"]]
    frame["longer"] = [percent(max(0.0, part)) for part in found.frame["beyond"]]
    return frame[frame["share"] > 0.4 / found.n] if tail else frame


def _decades(least: float) -> list[float]:
    return [10.0**power for power in range(math.ceil(math.log10(least)), 1)]


def _quantile_marks(
    found: Distribution, x: alt.X, y: alt.Y, ink: Ink, tail: bool, exact: Mapping[str, float]
) -> list[alt.Chart]:
    """Points of the quantiles that the metrics name, with their values."""
    rows = [
        {"value": found.quantile(share), "share": 1.0 - share if tail else share, "name": name}
        for name, share in _MARKED
        if tail or name != "p90"
    ]
    frame = pd.DataFrame([row for row in rows if row["value"] > 0.0])
    if frame.empty:
        return []
    frame["label"] = [
        f"{name} {words(exact.get(name, value), 's')}"
        for name, value in zip(frame["name"], frame["value"], strict=True)
    ]
    data = alt.Chart(frame)
    # Right of a point there is room below a line that rises, and above one that falls.
    side = {"align": "left", "dx": 7, "dy": -7 if tail else 9}
    return [
        data.mark_circle(color=BLUE, size=45, opacity=1).encode(x=x, y=y),
        data.mark_text(
            fontSize=LABEL_PX, color=ink.text, baseline="middle", **side
        ).encode(x=x, y=y, text=alt.Text("label:N")),
    ]  # fmt: skip


def _objective(objective_s: float, place: float, x: alt.X, tail: bool) -> list[alt.Chart]:
    """A vertical rule, its name where the picture is empty: low, or high in the tail."""
    data = alt.Chart(
        pd.DataFrame({"value": [objective_s], "label": [f"objective {words(objective_s, 's')}"]})
    )
    right = place > 0.7
    return [
        data.mark_rule(color=BAD, strokeWidth=1.8, strokeDash=[5, 3]).encode(x=x),
        data.mark_text(
            color=BAD, fontSize=LABEL_PX, fontWeight="bold", align="right" if right else "left",
            dx=-4 if right else 4, baseline="top" if tail else "bottom", dy=4 if tail else -4,
        ).encode(x=x, y=alt.YValue(0) if tail else alt.YValue("height"), text=alt.Text("label:N")),
    ]  # fmt: skip


def is_far(found: Distribution) -> bool:
    """Whether the objective is so far above all values that it is told in words, not drawn."""
    highest = float(found.frame["value_s"].max())
    return found.objective_s is not None and found.objective_s > _FAR * highest


def split_chart(
    split: Split, window: Window, ink: Ink, bands: pd.DataFrame | None
) -> alt.LayerChart:
    """The parts of the mean TTFT per bin of arrival, one above the other."""
    clock = clock_of(window.end_s)
    frame = split.frame
    ends = (frame["t_s"] + split.bin_s).clip(upper=max(window.end_s, 1.0))
    rows, below = [], pd.Series(0.0, index=frame.index)
    for column, name in split.parts.items():
        above = below + frame[column].clip(lower=0.0)
        rows.append(
            pd.DataFrame(
                {"time": frame["t_s"] / clock.unit_s, "end": ends / clock.unit_s, "part": name,
                 "from": below, "to": above, "n": frame["n"],
                 "mean": [words(value, "s") for value in frame[column]],
                 "at": [bin_words(t, split.bin_s) for t in frame["t_s"]]}
            )
        )  # fmt: skip
        below = above
    long = pd.concat(rows, ignore_index=True)
    total = max(float(below.max()), 1e-6)
    long = long[long["to"] - long["from"] > _LEAST * total]
    shown = [name for name in split.parts.values() if (long["part"] == name).any()]
    y = alt.Y(
        "from:Q", title="mean TTFT (s)", scale=alt.Scale(domain=[0.0, 1.08 * total], nice=False),
        axis=alt.Axis(tickCount=5),
    )  # fmt: skip
    bars = alt.Chart(long).mark_rect(stroke=None).encode(
        x=time_axis(clock, window), x2=alt.X2("end:Q"), y=y, y2=alt.Y2("to:Q"),
        color=alt.Color(
            "part:N", legend=legend("square"),
            scale=alt.Scale(domain=shown, range=[PARTS[name] for name in shown]),
        ),
        tooltip=[alt.Tooltip("part:N"), alt.Tooltip("mean:N", title="mean"),
                 alt.Tooltip("at:N", title="time"), alt.Tooltip("n:Q", title="requests")],
    )  # fmt: skip
    marks = [] if bands is None else event_bands(bands, window, clock, ink)[:1]
    return finish([*warm_up(window, clock, ink), bars, *marks])


def misses_chart(found: Misses, chosen: str, ink: Ink) -> alt.LayerChart:
    """How many requests missed for each cause, most first; ``chosen`` has a stroke."""
    frame = found.frame[["key", "label", "n", "share"]].copy()
    frame["text"] = [
        f"{n:,} · {percent(share)}" for n, share in zip(frame["n"], frame["share"], strict=True)
    ]
    frame["edge"] = np.where(frame["key"] == chosen, ink.text, BAD)
    order = list(frame["label"])
    longest = max(len(label) for label in order)
    x = alt.X(
        "n:Q", title="requests that missed",
        scale=alt.Scale(domain=[0.0, 1.3 * float(frame["n"].max())], nice=False),
        axis=alt.Axis(tickCount=4, format=",~d"),
    )  # fmt: skip
    y = alt.Y(
        "label:N", title=None, sort=order, scale=alt.Scale(domain=order),
        axis=alt.Axis(labelOverlap=False, labelLimit=_LONGEST_PX, ticks=False,
                      minExtent=min(_LONGEST_PX, _PX_PER_SIGN * longest)),
    )  # fmt: skip
    pick = alt.selection_point(name="cause", fields=["key"])
    bars = alt.Chart(frame).mark_bar(
        color=BAD, strokeWidth=2, cursor="pointer", height=22, aria=True
    ).encode(
        x=x, y=y, stroke=alt.Stroke("edge:N", scale=None), detail=alt.Detail("key:N"),
        tooltip=[alt.Tooltip("label:N", title="cause"), alt.Tooltip("n:Q", title="requests"),
                 alt.Tooltip("share:Q", title="of all arrivals", format=".3~p")],
    ).add_params(pick)  # fmt: skip
    text = alt.Chart(frame).mark_text(
        align="left", dx=5, fontSize=LABEL_PX, color=ink.text
    ).encode(x=x, y=y, text=alt.Text("text:N"))  # fmt: skip
    return finish([bars, text], height=min(220, 70 + 34 * len(order)))


def story_chart(parts: pd.DataFrame) -> alt.LayerChart:
    """What one request waited for until its first token, one part after the other."""
    frame = parts[parts["part"] != "decode"].copy()
    start = float(frame["start_s"].min())
    frame["from"], frame["to"] = frame["start_s"] - start, frame["end_s"] - start
    frame["took"] = [words(value, "s") for value in frame["seconds"]]
    frame = frame[frame["seconds"] > 0.0]
    shown = list(frame["part"])
    end = max(float(frame["to"].max()) if len(frame) else 0.0, 1e-6)
    bars = alt.Chart(frame[["part", "from", "to", "took"]]).mark_rect().encode(
        x=alt.X("from:Q", title="time since it was sent (s)",
                scale=alt.Scale(domain=[0.0, end], nice=False),
                axis=alt.Axis(tickCount=8, grid=False)),
        x2=alt.X2("to:Q"), y=alt.YValue(4), y2=alt.Y2Value(30),
        color=alt.Color("part:N", legend=legend("square"),
                        scale=alt.Scale(domain=shown, range=[PARTS[name] for name in shown])),
        tooltip=[alt.Tooltip("part:N"), alt.Tooltip("took:N", title="took")],
    )  # fmt: skip
    return finish([bars], height=110)
