"""Bins of simulated time: how wide they are, and what a power node drew in each.

The summaries of a run hold one value a minute. That is enough for an hour or a day; of a run of
minutes the tables behind them are read instead, where they were recorded whole.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dashboard.load import RunView, ask
from sim.errors import ResultError
from sim.results.bins import histogram_quantile, latency_middles
from sim.site.types import ON_INTAKE

MINUTE_S = 60.0
#: Runs up to this length are binned more finely than by minutes, if their rows are this few.
_FINE_BELOW_S = 1800.0
_FINE_ROWS = 4_000_000
_FINE_BINS_S = (1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0)
_FINE_BINS = 90
#: Bins are widened until they hold so many requests in the mean: of a few, p99 is just the worst.
_REQUESTS_PER_BIN = 20
#: Longer runs are shown in so many bins at most: more marks than pixels say nothing.
_MOST_BINS = 480
_MINUTES = (1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440)


def is_fine(run: RunView, table: str) -> bool:
    """Whether bins are made from the rows of ``table`` themselves, not from minutes."""
    return 0 < run.rows(table) <= _FINE_ROWS and run.end_s <= _FINE_BELOW_S


def fine_width(end_s: float, events: float = math.inf) -> float:
    """Width of a bin in seconds, for so many events over ``end_s``."""
    bins = min(_FINE_BINS, events / _REQUESTS_PER_BIN)
    return next((w for w in _FINE_BINS_S if end_s / w <= bins), _FINE_BINS_S[-1])


def fine_edges(end_s: float, width_s: float) -> NDArray[np.float64]:
    """Edges [bins + 1] of bins from 0 to ``end_s`` or just beyond."""
    return width_s * np.arange(max(1, int(np.ceil(end_s / width_s))) + 1)


def minutes_per_bin(end_s: float, events: float = math.inf) -> int:
    """Width of a bin in minutes, for so many events over ``end_s``."""
    bins = min(_MOST_BINS, events / _REQUESTS_PER_BIN)
    minutes = end_s / MINUTE_S
    return next((m for m in _MINUTES if minutes / m <= bins), math.ceil(minutes / max(1.0, bins)))


def counted_quantiles(
    counted: pd.DataFrame, slots: int, wanted: Mapping[str, float]
) -> pd.DataFrame:
    """Quantiles by slot of time from counted latencies.

    Args:
        counted: ``slot``, ``bin`` (of ``sim.results.bins``) and ``n``, ordered by slot and bin.
        slots: rows of the result; what was counted beyond them is left out.
        wanted: column → quantile in [0, 1].

    Returns:
        ``n`` and the columns of ``wanted`` in seconds, NaN where nothing was counted.

    Raises:
        ResultError: a count is below zero.
    """
    slot, bins, counts = (counted[name].to_numpy(np.int64) for name in ("slot", "bin", "n"))
    if (counts < 0).any():
        raise ResultError("a histogram of latencies holds a count below zero")
    middles = latency_middles(bins)
    n, found = np.zeros(slots, np.int64), np.full((len(wanted), slots), np.nan)
    edges = np.searchsorted(slot, np.arange(slots + 1))
    for at in np.flatnonzero(np.diff(edges)):
        mine = slice(edges[at], edges[at + 1])
        n[at] = counts[mine].sum()
        if not n[at]:
            continue
        for row, quantile in zip(found, wanted.values(), strict=True):
            row[at] = histogram_quantile(middles[mine], counts[mine], quantile)
    return pd.DataFrame({"n": n, **dict(zip(wanted, found, strict=True))})


def bin_width_s(run: RunView) -> float:
    """Width of a bin of draw over the run, in seconds."""
    if is_fine(run, "power"):
        return fine_width(run.end_s)
    return MINUTE_S * minutes_per_bin(run.end_s)


def power_nodes(run: RunView) -> pd.DataFrame:
    """The electrical tree: one row a node, as in the table ``power_nodes``, in its order.

    Raises:
        ResultError: the table is unreadable, or a limit is none that a scenario states.
    """
    nodes = ask(run, "select * from power_nodes order by node")
    for column in ("rating_w", "budget_w", "limit_w"):
        stated = nodes[column].dropna()
        bad = stated[~((stated > 0.0) & np.isfinite(stated))]
        if len(bad):
            raise ResultError(f"a limit of {bad.iloc[0]} is not what a scenario states")
    return nodes


def draws(run: RunView, nodes: list[int]) -> pd.DataFrame:
    """What nodes drew in each bin of [0, end): ``node``, ``t_s`` (a bin's start), ``mean_w``
    (time-weighted), ``max_w``; of what is compared with the node's limit.

    Bins have the width ``bin_width_s(run)``. Nodes without a row are not in it.

    Raises:
        ResultError: a table is unreadable or holds a number that no run measures.
    """
    frame = _exact_draws(run, nodes) if is_fine(run, "power") else _counted_draws(run, nodes)
    if not np.isfinite(frame["max_w"]).all():
        raise ResultError("the draw of a power node holds a number that no run measures")
    return frame


# Without a join, rows come in the order in which they were written: that of their time for each
# node, of several at one moment the one that lasts at the end.
_CHANGES = """
    select node, t_s,
           (case when list_contains($on_intake, node) then in_mw else out_mw end) / 1000.0 as w
    from power where list_contains($nodes, node)
"""


def _exact_draws(run: RunView, nodes: list[int]) -> pd.DataFrame:
    tree = power_nodes(run)
    on_intake = tuple(int(node) for node in tree.loc[tree["kind"].isin(ON_INTAKE), "node"])
    rows = ask(run, _CHANGES, nodes=tuple(map(int, nodes)), on_intake=on_intake)
    edges = np.minimum(fine_edges(run.end_s, bin_width_s(run)), run.end_s)
    frames = []
    for node, mine in rows.sort_values("node", kind="stable").groupby("node"):
        time, watts = mine["t_s"].to_numpy(), mine["w"].to_numpy()
        # Of several rows at one moment only the last one lasts.
        lasting = np.append(np.diff(time) > 0.0, True)
        mean, highest = _over(time[lasting], watts[lasting], edges)
        frames.append(
            pd.DataFrame({"node": node, "t_s": edges[:-1], "mean_w": mean, "max_w": highest})
        )
    return pd.concat(frames, ignore_index=True) if frames else _no_draw()


def _over(
    time: NDArray[np.float64], watts: NDArray[np.float64], edges: NDArray[np.float64]
) -> tuple[NDArray[np.float64], list[float]]:
    """Mean and highest [bins] of a draw that holds from each ``time`` on."""
    # Draw is constant between rows, so energy is linear there and exact at the edges.
    energy = np.concatenate(([0.0], np.cumsum(np.diff(time) * watts[:-1])))
    at = np.maximum(np.searchsorted(time, edges, side="right") - 1, 0)
    so_far = energy[at] + (edges - time[at]) * watts[at]
    seconds = np.diff(edges)
    mean = np.divide(np.diff(so_far), seconds, where=seconds > 0, out=np.full(len(seconds), np.nan))
    # The highest of the value held at the left edge and of the changes inside the bin.
    highest = [
        float(watts[first : max(first, beyond - 1) + 1].max())
        for first, beyond in zip(at[:-1], np.searchsorted(time, edges[1:], "left"), strict=True)
    ]
    return mean, highest


# A minute without a row drew as the one before it, so each row counts for the minutes until the
# next. Rows are spread over bins of $per minutes.
_MINUTE_ROWS = """
    select node, slot * $per * 60.0 as t_s,
           sum(mean_w * (least(until, (slot + 1) * $per) - greatest(minute, slot * $per)))
             / sum(least(until, (slot + 1) * $per) - greatest(minute, slot * $per)) as mean_w,
           max(max_w) as max_w
    from (
        select *, unnest(range(minute // $per, (until - 1) // $per + 1)) as slot
        from (
            select node, minute, mean_w, max_w,
                   lead(minute, 1, greatest($end, minute + 1))
                     over (partition by node order by minute) as until
            from summary_power
            where list_contains($nodes, node) and minute < $end
        )
    )
    group by node, slot order by node, slot
"""


def _counted_draws(run: RunView, nodes: list[int]) -> pd.DataFrame:
    return ask(
        run,
        _MINUTE_ROWS,
        nodes=tuple(map(int, nodes)),
        per=minutes_per_bin(run.end_s),
        end=max(1, math.ceil(run.end_s / MINUTE_S)),
    )


def _no_draw() -> pd.DataFrame:
    return pd.DataFrame(
        {name: pd.Series(dtype=float) for name in ("node", "t_s", "mean_w", "max_w")}
    )
