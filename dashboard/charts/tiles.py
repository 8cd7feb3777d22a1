"""What the tiles of the floor show: their colour, their number, and what that means."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pandas as pd

from dashboard.charts.floor import Tiles
from dashboard.frames.floor import at_moment, held, most_heat
from dashboard.frames.site import racks, tenants
from dashboard.load import RunView
from sim.results.wording import percent
from sim.units import format_si

LOAD, HEADROOM = "Load", "Headroom"
AIR, LIQUID = "Heat into air", "Heat into liquid"
TENANT, IDLE, STRANDED = "Tenant", "Idle GPUs", "GPUs without replica"
#: Those that are of the whole window, or of its end, and not of the moment.
WHOLE = (TENANT, IDLE, STRANDED)

_NO_TEMPERATURE = "The model knows no temperature of a rack: this is its heat."
CAPTIONS = {
    LOAD: "number and colour: highest draw of the rack in the bin, % of its limit; a vermilion "
    "stroke: above it",
    HEADROOM: "number: kW from the highest draw in the bin to the rack's limit; colour: the same "
    "in % of the limit",
    AIR: f"number: kW of the rack's mean draw that the air takes up. {_NO_TEMPERATURE}",
    LIQUID: f"number: kW of the rack's mean draw that the liquid takes up. {_NO_TEMPERATURE}",
    TENANT: "number: GPUs that replicas have at the end of the run; colour: whose they are (the "
    "pool where no tenant is stated; of several, the one with most GPUs)",
    IDLE: "number and colour: % of the GPU time of the measured window outside iterations; a GPU "
    "without a replica counts as idle",
    STRANDED: "number: GPUs without a replica at the end of the run; colour: % of the rack's GPUs",
}


def choices(run: RunView) -> tuple[str, ...]:
    """What the tiles can show of a run."""
    liquid = bool((racks(run)["liquid_share"] > 0.0).any())
    return (LOAD, HEADROOM, AIR, *((LIQUID,) if liquid else ()), TENANT, IDLE, STRANDED)


def tiles(run: RunView, show: str, t_s: float) -> Tiles:
    """The tiles of a run that show ``show`` in the bin from ``t_s``.

    Raises:
        RackplanError: see ``frames.floor``.
    """
    make: dict[str, Callable[[], Tiles]] = {
        LOAD: lambda: _load(run, t_s),
        HEADROOM: lambda: _headroom(run, t_s),
        AIR: lambda: _heat(run, t_s, "air"),
        LIQUID: lambda: _heat(run, t_s, "liquid"),
        TENANT: lambda: _tenant(run),
        IDLE: lambda: _idle(run),
        STRANDED: lambda: _stranded(run),
    }
    return make[show]()


def _load(run: RunView, t_s: float) -> Tiles:
    now = at_moment(run, t_s)
    share = now["max_w"] / now["limit_w"]
    return Tiles(
        _frame(
            now,
            100.0 * share,
            [_whole(100.0 * value) for value in share],
            [_draw_words(row) for row in now.to_dict("records")],
            over=share > 1.0,
        ),
        "draw, % of the rack's limit",
    )


def _headroom(run: RunView, t_s: float) -> Tiles:
    now = at_moment(run, t_s)
    left = now["limit_w"] - now["max_w"]
    words = [
        _draw_words(row) if math.isnan(spare) else
        f"{format_si(spare, 'W')} to its limit of {format_si(row['limit_w'], 'W')}" if spare >= 0.0
        else f"{format_si(-spare, 'W')} over its limit of {format_si(row['limit_w'], 'W')}"
        for spare, row in zip(left, now.to_dict("records"), strict=True)
    ]  # fmt: skip
    return Tiles(
        _frame(
            now, 100.0 * left / now["limit_w"], [_kilo(value) for value in left], words,
            over=left < 0.0,
        ),
        "to the rack's limit, % of it",
        reverse=True,
    )  # fmt: skip


def _heat(run: RunView, t_s: float, into: str) -> Tiles:
    now = at_moment(run, t_s)
    heat, limit = now[f"{into}_w"], now[f"{into}_limit_w"]
    # A limit of 0 W says that the hall has no such loop: nothing can be a share of it.
    of_limit = bool((limit > 0.0).any())
    words = [
        "not metered" if math.isnan(value) else
        f"{format_si(value, 'W')} into the {into}"
        + (f", {percent(value / most)} of the hall's limit of {format_si(most, 'W')} a rack"
           if most > 0.0 else ", no limit is stated for its hall")
        for value, most in zip(heat, limit, strict=True)
    ]  # fmt: skip
    top = max(most_heat(run, into) / 1e3, 1e-3)
    return Tiles(
        _frame(
            now,
            100.0 * heat / limit.where(limit > 0.0) if of_limit else heat / 1e3,
            [_kilo(value) for value in heat],
            words,
            over=heat > limit,
        ),
        f"heat into the {into}, % of the hall's limit a rack"
        if of_limit
        else f"heat into the {into}, kW (no limit is stated)",
        (0.0, 100.0) if of_limit else (0.0, top),
    )


def _tenant(run: RunView) -> Tiles:
    now, has = racks(run), held(run)
    names = tuple(dict.fromkeys(tenants(run).values()))
    first = [each[0] if len(each) else "no replica" for each in has["tenants"]]
    words = [
        f"{taken} of {gpus} GPUs: {', '.join(each)}" if len(each) else f"none of {gpus} GPUs taken"
        for taken, gpus, each in zip(has["taken"], has["gpus"], has["tenants"], strict=True)
    ]
    frame = _frame(now, pd.Series(np.nan, now.index), has["taken"].astype(str).tolist(), words)
    return Tiles(frame.drop(columns="value").assign(name=first), "whose replicas", names=names)


def _idle(run: RunView) -> Tiles:
    now, has = racks(run), held(run)
    words = [
        "the window is empty" if math.isnan(idle)
        else f"{percent(idle)} of its GPU time outside iterations"
        for idle in has["idle"]
    ]  # fmt: skip
    share = 100.0 * has["idle"]
    return Tiles(
        _frame(now, share, [_whole(value) for value in share], words),
        "GPU time outside iterations, %",
    )


def _stranded(run: RunView) -> Tiles:
    now, has = racks(run), held(run)
    free = has["gpus"] - has["taken"]
    words = [
        f"{left} of {gpus} GPUs have no replica"
        + (f"; {format_si(power, 'W')} of its limit stand behind them" if power > 0.0 else "")
        for left, gpus, power in zip(free, has["gpus"], has["stranded_w"], strict=True)
    ]
    return Tiles(
        _frame(now, 100.0 * free / has["gpus"], free.astype(str).tolist(), words),
        "GPUs without a replica, %",
    )


def _frame(
    now: pd.DataFrame,
    value: pd.Series,
    text: list[str],
    words: list[str],
    over: pd.Series | None = None,
) -> pd.DataFrame:
    frame = now[["rack", "hall", "line", "column"]].copy()
    frame["value"] = value.to_numpy(dtype=float)
    frame["text"], frame["words"] = text, words
    frame["over"] = False if over is None else over.to_numpy(dtype=bool)
    return frame


def _draw_words(row: dict[str, float]) -> str:
    if math.isnan(row["max_w"]):
        return "not metered"
    drawn = format_si(row["max_w"], "W")
    if math.isnan(row["limit_w"]):
        return f"{drawn}, no limit is stated"
    return f"{drawn} of {format_si(row['limit_w'], 'W')}, {percent(row['max_w'] / row['limit_w'])}"


def _whole(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.0f}"


def _kilo(watts: float) -> str:
    return "–" if math.isnan(watts) else f"{watts / 1e3:.3g}"
