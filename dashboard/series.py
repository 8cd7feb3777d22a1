"""Quantities over simulated time: TTFT per bin of arrival, the site's draw per bin.

The summaries of a run hold one value a minute. That is enough for an hour or a day; of a run of
minutes the tables behind them are read instead, where they were recorded whole.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sim.errors import ResultError
from sim.results.bins import LATENCY_ERROR, histogram_quantile, latency_middles
from sim.results.latency import COLUMNS, latencies
from sim.results.metrics import QUANTILES
from sim.results.result import RunResult

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

QUANTILES_SHOWN = ("p50", "p99")


@dataclass(frozen=True)
class Latency:
    """TTFT of one workload over time.

    Attributes:
        frame: one row a bin: ``t_s`` (its start), ``n`` (requests with a first token), ``p50``
            and ``p99`` in seconds, NaN in a bin without a request.
        bin_s: width of a bin.
        relative_error: bound on the error of the quantiles; 0 = exact.
        objective_s: the workload's TTFT objective, None if none is stated.
        without: requests that arrived and got no first token, which no quantile counts.
    """

    frame: pd.DataFrame
    bin_s: float
    relative_error: float
    objective_s: float | None
    without: int


@dataclass(frozen=True)
class Draw:
    """The site's draw from the utility over time.

    Attributes:
        frame: one row a bin: ``t_s`` (its start), ``mean_w`` (time-weighted) and ``max_w``.
        bin_s: width of a bin.
        budget_w, rating_w: of the utility, None if not stated.
    """

    frame: pd.DataFrame
    bin_s: float
    budget_w: float | None
    rating_w: float | None


def latency_series(result: RunResult, workload: str, end_s: float) -> Latency:
    """TTFT quantiles of ``workload`` by bin of arrival in [0, end_s).

    Raises:
        ResultError: no request of the workload got a first token, or its table is unreadable.
    """
    entry = next(w for w in result.manifest["workloads"] if w["name"] == workload)
    objective = _limit(entry["objectives"].get("ttft"))
    whole = result.manifest["record"] == "full"
    if whole and _fine(result, "requests", end_s):
        frame, bin_s = _exact_latency(result, workload, end_s)
        error = 0.0
    else:
        frame, bin_s = _counted_latency(result, workload, end_s)
        error = LATENCY_ERROR
    counts = result.tables.select("summary/counts", ["workload", "n"])
    counts = counts.filter(pc.equal(counts.column("workload"), workload))
    arrived = int(pc.sum(counts.column("n"), min_count=0).as_py())
    if not arrived:
        raise ResultError(f"no request of {workload} arrived")
    if not frame["n"].any():
        raise ResultError(f"none of the {arrived:,} requests of {workload} got a first token")
    highest = float(frame["p99"].max())
    if not 0.0 < highest < math.inf:
        raise ResultError(f"the TTFT of {workload} is {highest} s, which no run measures")
    return Latency(frame, bin_s, error, objective, max(0, arrived - int(frame["n"].sum())))


def _fine(result: RunResult, table: str, end_s: float) -> bool:
    rows = result.tables.rows.get(table, 0)
    return 0 < rows <= _FINE_ROWS and end_s <= _FINE_BELOW_S


def _fine_edges(end_s: float, events: float = np.inf) -> tuple[NDArray[np.float64], float]:
    """Edges [bins + 1] of bins from 0 to ``end_s`` or just beyond, and their width."""
    bins = min(_FINE_BINS, events / _REQUESTS_PER_BIN)
    width = next((w for w in _FINE_BINS_S if end_s / w <= bins), _FINE_BINS_S[-1])
    return width * np.arange(max(1, int(np.ceil(end_s / width))) + 1), width


def _minutes_per_bin(end_s: float, events: float = np.inf) -> int:
    bins = min(_MOST_BINS, events / _REQUESTS_PER_BIN)
    minutes = end_s / MINUTE_S
    return next((m for m in _MINUTES if minutes / m <= bins), math.ceil(minutes / max(1.0, bins)))


def _exact_latency(result: RunResult, workload: str, end_s: float) -> tuple[pd.DataFrame, float]:
    rows = result.tables.select("requests", ["workload", *COLUMNS])
    rows = rows.filter(pc.equal(rows.column("workload"), workload))
    arrival = rows.column("arrival_s").to_numpy()
    ttft = latencies(rows)["ttft"]
    edges, width = _fine_edges(end_s, len(ttft))
    reached = ~np.isnan(ttft) & (arrival < edges[-1])
    ttft, which = ttft[reached], np.floor(arrival[reached] / width).astype(np.int64)
    order = np.argsort(which, kind="stable")
    ttft, which = ttft[order], which[order]
    starts = np.searchsorted(which, np.arange(len(edges)))
    columns: dict[str, list[float]] = {name: [] for name in QUANTILES_SHOWN}
    for first, last in pairwise(starts):
        for name, values in columns.items():
            found = ttft[first:last]
            values.append(float(np.quantile(found, QUANTILES[name])) if len(found) else np.nan)
    return pd.DataFrame({"t_s": edges[:-1], "n": np.diff(starts), **columns}), width


def _counted_latency(result: RunResult, workload: str, end_s: float) -> tuple[pd.DataFrame, float]:
    rows = result.tables["summary/latency"]
    rows = rows.filter(
        pc.and_(
            pc.equal(rows.column("workload"), workload), pc.equal(rows.column("metric"), "ttft")
        )
    )
    counted = rows.select(["minute", "bin", "n"]).to_pandas()
    per_bin = _minutes_per_bin(end_s, float(counted["n"].sum()))
    counted["slot"] = counted["minute"] // per_bin
    grouped = counted.groupby(["slot", "bin"], as_index=False)["n"].sum()
    slots = max(1, int(np.ceil(end_s / (MINUTE_S * per_bin))))
    frame = pd.DataFrame(
        {"t_s": np.arange(slots) * MINUTE_S * per_bin, "n": 0, "p50": np.nan, "p99": np.nan}
    )
    for slot, mine in grouped.groupby("slot"):
        if slot >= slots:
            continue
        middles = latency_middles(mine["bin"].to_numpy(dtype=np.int64))
        counts = mine["n"].to_numpy(dtype=np.int64)
        frame.loc[slot, "n"] = int(counts.sum())
        for name in QUANTILES_SHOWN:
            frame.loc[slot, name] = histogram_quantile(middles, counts, QUANTILES[name])
    return frame, MINUTE_S * per_bin


def draw_series(result: RunResult, end_s: float) -> Draw:
    """The utility's intake in [0, end_s), per bin.

    Raises:
        ResultError: nothing was metered, or the table is unreadable.
    """
    utility = _utility(result)
    if _fine(result, "power", end_s):
        frame, bin_s = _exact_draw(result, int(utility["node"]), end_s)
    else:
        frame, bin_s = _counted_draw(result, int(utility["node"]), end_s)
    if not math.isfinite(float(frame["max_w"].max())):
        raise ResultError("the utility's draw holds a number that no run measures")
    return Draw(frame, bin_s, _limit(utility["budget_w"]), _limit(utility["rating_w"]))


def _limit(value: Any) -> float | None:
    """A stated limit as a number; None if none is stated."""
    if value is None:
        return None
    limit = float(value)
    if not 0.0 < limit < math.inf:
        raise ResultError(f"a limit of {limit} is not what a scenario states")
    return limit


def _utility(result: RunResult) -> Mapping[str, Any]:
    """Index, budget and rating of the utility feed."""
    rows = result.tables.select("power_nodes", ["node", "kind", "budget_w", "rating_w"])
    for row in rows.to_pylist():
        if row["kind"] == "utility":
            return dict(row)
    raise ResultError("the run has no utility feed, so the site's draw was not measured")


def _exact_draw(result: RunResult, node: int, end_s: float) -> tuple[pd.DataFrame, float]:
    rows = result.tables.select("power", ["node", "t_s", "in_mw"])
    rows = rows.filter(pc.equal(rows.column("node"), node))
    time = rows.column("t_s").to_numpy()
    watts = rows.column("in_mw").to_numpy() / 1000.0
    if not len(time):
        raise ResultError("the run has no row of the utility's draw")
    # Of several rows at one moment only the last one lasts.
    lasting = np.append(np.diff(time) > 0.0, True)
    time, watts = time[lasting], watts[lasting]
    edges, width = _fine_edges(end_s)
    edges = np.minimum(edges, end_s)
    # Draw is constant between rows, so energy is linear there and exact at the edges.
    energy = np.concatenate(([0.0], np.cumsum(np.diff(time) * watts[:-1])))
    last = np.searchsorted(time, edges, side="right") - 1
    at = np.maximum(last, 0)
    so_far = energy[at] + (edges - time[at]) * watts[at]
    seconds = np.diff(edges)
    mean = np.divide(np.diff(so_far), seconds, where=seconds > 0, out=np.full(len(seconds), np.nan))
    # The highest of the value held at the left edge and of the changes inside the bin.
    highest = [
        float(watts[first : max(first, beyond - 1) + 1].max())
        for first, beyond in zip(at[:-1], np.searchsorted(time, edges[1:], "left"), strict=True)
    ]
    return pd.DataFrame({"t_s": edges[:-1], "mean_w": mean, "max_w": highest}), width


def _counted_draw(result: RunResult, node: int, end_s: float) -> tuple[pd.DataFrame, float]:
    columns = ["node", "minute", "mean_w", "max_w"]
    mine = [
        rows.filter(pc.equal(rows.column("node"), node))
        for rows in result.tables.pieces("summary/power", columns)
    ]
    written = pa.concat_tables(mine).to_pandas().sort_values("minute").set_index("minute")
    if written.empty:
        raise ResultError("the run has no row of the utility's draw")
    # A minute without a row drew as the one before it.
    last = max(math.ceil(end_s / MINUTE_S) - 1, int(written.index[0]))
    minutes = written.reindex(np.arange(written.index[0], last + 1), method="ffill")
    per_bin = _minutes_per_bin(end_s)
    slots = minutes.groupby(minutes.index // per_bin)
    frame = pd.DataFrame({"mean_w": slots["mean_w"].mean(), "max_w": slots["max_w"].max()})
    frame.insert(0, "t_s", frame.index.to_numpy() * MINUTE_S * per_bin)
    return frame.reset_index(drop=True), MINUTE_S * per_bin
