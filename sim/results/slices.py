"""A run cut by the time at which its requests arrived: what each hour of them met.

A percentile over a day hides ten minutes in which everything was late. Slices are hours; where the
measurement window is too short for two of them, ten minutes or one, and no slices at all in the
shortest runs. Slices begin at multiples of their length, and those that lie less than half in the
window are left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sim.results.bins import LATENCY_ERROR, histogram_quantile, latency_middles
from sim.results.latency import COLUMNS, Floats, floats, latencies

if TYPE_CHECKING:
    from sim.results.result import RunResult

Ints = NDArray[np.int64]

#: Quantiles of the end-to-end latency that slices have, and of how many completed requests at
#: least: 10 beyond the 99th percentile, and as good as that for the median.
QUANTILES: Mapping[str, tuple[float, int]] = {"e2e_p50": (0.5, 100), "e2e_p99": (0.99, 1000)}

#: Length of slices in minutes, from the largest; each for windows of twice its length and more.
_MINUTES = (60, 10, 1)
_MINUTE_S = 60.0


@dataclass(frozen=True)
class Slices:
    """The requests of one workload, slice by slice, in order; arrays are [slices].

    Attributes:
        length_s: of each.
        start_s: when each begins.
        arrivals, good, completed: requests that arrived in it, and what became of them.
        e2e_s: name in ``QUANTILES`` → the quantile, NaN where too few requests completed.
        relative_error: bound of the error of the quantiles; 0 where all requests were recorded.
    """

    length_s: float
    start_s: Floats
    arrivals: Ints
    good: Ints
    completed: Ints
    e2e_s: Mapping[str, Floats]
    relative_error: float


def slice_minutes(measured_s: float) -> int | None:
    """How long slices of a window are, in minutes; None if it is too short for two of them."""
    return next((m for m in _MINUTES if measured_s >= 2 * m * _MINUTE_S), None)


def slices_of(result: RunResult) -> dict[str, Slices] | None:
    """Workload → its slices; None where the window is too short.

    Exact where every request was recorded, else from ``summary/latency``, which every run has.

    Raises:
        ResultError: a table is missing or cannot be read.
    """
    window = result.manifest["window"]
    minutes = slice_minutes(window["measured_s"])
    if minutes is None:
        return None
    chosen = _inside(window, minutes)
    names = [workload["name"] for workload in result.manifest["workloads"]]
    exact = _exact(result, names, minutes) if result.manifest["record"] == "full" else None
    counts = _by_slice(result, "summary/counts", ["outcome", "cause", "n"], minutes)
    bins = None if exact else _by_slice(result, "summary/latency", ["metric", "bin", "n"], minutes)
    found = {}
    for name in names:
        mine = counts.filter(pc.equal(counts.column("workload"), name))
        done = mine.filter(pc.equal(mine.column("outcome"), "completed"))
        good = mine.filter(pc.equal(mine.column("cause"), "met"))
        if exact is not None:
            quantiles = {q: _quantiles(exact[name], chosen, q) for q in QUANTILES}
        else:
            assert bins is not None
            quantiles = _binned(bins.filter(pc.equal(bins.column("workload"), name)), chosen)
        found[name] = Slices(
            length_s=minutes * _MINUTE_S,
            start_s=chosen.astype(np.float64) * (minutes * _MINUTE_S),
            arrivals=_sums(mine, chosen),
            good=_sums(good, chosen),
            completed=_sums(done, chosen),
            e2e_s=quantiles,
            relative_error=0.0 if exact is not None else LATENCY_ERROR,
        )
    return found


def _inside(window: Mapping[str, Any], minutes: int) -> Ints:
    """The numbers of the slices of which at least half lies in the window."""
    length_s = minutes * _MINUTE_S
    start_s, end_s = window["warm_up_s"], window["warm_up_s"] + window["measured_s"]
    every = np.arange(int(start_s // length_s), int(-(-end_s // length_s)), dtype=np.int64)
    begin = every * length_s
    inside_s = np.minimum(begin + length_s, end_s) - np.maximum(begin, start_s)
    chosen: Ints = every[inside_s >= 0.5 * length_s]
    return chosen


def _by_slice(result: RunResult, table: str, columns: list[str], minutes: int) -> pa.Table:
    """Measured rows of a summary with their slice, summed over its minutes; of latencies e2e's.

    Piece by piece, so that only what is kept of a long run is in memory.
    """
    kept = []
    for rows in result.tables.pieces(table, ["minute", "workload", "measured", *columns]):
        rows = rows.filter(rows.column("measured"))
        if "metric" in columns:
            rows = rows.filter(pc.equal(rows.column("metric"), "e2e"))
        number = pa.array(rows.column("minute").to_numpy().astype(np.int64) // minutes)
        rows = rows.append_column("slice", number)
        kept.append(rows.group_by(["slice", "workload", *columns[:-1]]).aggregate([("n", "sum")]))
    by = ["slice", "workload", *columns[:-1]]
    return pa.concat_tables(kept).rename_columns([*by, "n"]).group_by(by).aggregate([("n", "sum")])


def _sums(rows: pa.Table, chosen: Ints) -> Ints:
    """How many requests each chosen slice has."""
    number = rows.column("slice").to_numpy()
    n = rows.column("n_sum").to_numpy().astype(np.int64)
    at = np.searchsorted(chosen, number)
    at[at == len(chosen)] = 0
    there = chosen[at] == number if len(chosen) else np.zeros(len(number), dtype=bool)
    total = np.zeros(len(chosen), dtype=np.int64)
    np.add.at(total, at[there], n[there])
    return total


def _exact(result: RunResult, names: list[str], minutes: int) -> dict[str, tuple[Ints, Floats]]:
    """Workload → (slice, latency) of each measured request that completed."""
    window = result.manifest["window"]
    found: dict[str, list[tuple[Ints, Floats]]] = {name: [] for name in names}
    for rows in result.tables.pieces("requests", ["workload", *COLUMNS]):
        arrival = floats(rows, "arrival_s")
        e2e = latencies(rows)["e2e"]
        counted = (arrival >= window["warm_up_s"]) & (arrival < window["duration_s"])
        counted &= ~np.isnan(e2e)
        workload = rows.column("workload")
        # As the summaries do: the minute first, then the slice, so that both agree at the edges.
        number = (arrival / _MINUTE_S).astype(np.int64) // minutes
        for name in names:
            mine = counted & pc.equal(workload, name).to_numpy()
            found[name].append((number[mine], e2e[mine]))
    return {
        name: (np.concatenate([n for n, _ in parts]), np.concatenate([e for _, e in parts]))
        for name, parts in found.items()
    }


def _quantiles(requests: tuple[Ints, Floats], chosen: Ints, name: str) -> Floats:
    """A quantile of each chosen slice, from all of its requests."""
    number, e2e = requests
    quantile, least = QUANTILES[name]
    order = np.argsort(number, kind="stable")
    number, e2e = number[order], e2e[order]
    first = np.searchsorted(number, chosen, side="left")
    last = np.searchsorted(number, chosen, side="right")
    return np.array(
        [
            np.quantile(e2e[a:b], quantile) if b - a >= least else np.nan
            for a, b in zip(first, last, strict=True)
        ]
    )


def _binned(rows: pa.Table, chosen: Ints) -> dict[str, Floats]:
    """The quantiles of each chosen slice, from bins."""
    rows = rows.sort_by("bin")
    number = rows.column("slice").to_numpy()
    n = rows.column("n_sum").to_numpy().astype(np.int64)
    middles = latency_middles(rows.column("bin").to_numpy().astype(np.int64))
    found = {name: np.full(len(chosen), np.nan) for name in QUANTILES}
    for at, slice_number in enumerate(chosen):
        mine = number == slice_number
        for name, (quantile, least) in QUANTILES.items():
            if n[mine].sum() >= least:
                found[name][at] = histogram_quantile(middles[mine], n[mine], quantile)
    return found
