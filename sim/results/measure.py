"""Metrics of a result: computed from its tables, each with its unit, or null with the reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sim.results.bins import (
    GAP_ERROR,
    LATENCY_ERROR,
    gap_middles,
    histogram_quantile,
    latency_middles,
)
from sim.results.latency import COLUMNS, FAMILIES, Floats, floats, latencies
from sim.results.measure_links import link_values
from sim.results.measure_power import (
    Controllers,
    pool_values,
    power_node_values,
    site_values,
    workload_energy,
)
from sim.results.metrics import DEFINITIONS, QUANTILES, Metric, full_name, names
from sim.results.ttft_parts import part_values, parts_of, why_unknown
from sim.results.values import NO_WINDOW, Value, known, ratio, unknown

if TYPE_CHECKING:
    from sim.results.result import RunResult

_EMPTY = "no request arrived in the measurement window"


def measure(result: RunResult) -> dict[str, Metric]:
    """Every metric of a run by full name, in listing order.

    Raises:
        ResultError: a table that is needed is missing or cannot be read.
    """
    window_s = float(result.manifest["window"]["measured_s"])
    metrics: dict[str, Metric] = {}

    def put(scope: str, entity: str, values: Mapping[str, Value]) -> None:
        for name in names(scope):
            if name not in values:
                raise ValueError(f"metric {name} of scope {scope} has a definition and no value")
            value, reason, error = values[name]
            definition = DEFINITIONS[scope, name]
            metrics[full_name(scope, entity, name)] = Metric(
                value, definition.unit, definition, "" if value is not None else reason, error
            )

    exact = _exact_latencies(result)
    parts = parts_of(result)
    bins = _latency_bins(result)
    counts = result.tables["summary/counts"]
    counts = counts.filter(counts.column("measured"))
    site = _counted(counts, window_s)
    for workload in result.manifest["workloads"]:
        name = workload["name"]
        mine = counts.filter(pc.equal(counts.column("workload"), name))
        values = _counted(mine, window_s)
        values |= _counted_latencies(bins, name) if exact is None else exact[name]
        values |= part_values(parts.get(name), why_unknown(result, name))
        values |= _gaps(result, name)
        values |= workload_energy(result, name, window_s)
        values["preemptions"] = _sum(mine, "preemptions")
        values["prefix_hit_fraction"] = _prefix_hits(mine)
        put("workload", name, values)
    for pool in result.manifest["pools"]:
        put("pool", pool["name"], pool_values(result, pool["name"], window_s))
    nodes = result.tables["power_nodes"].to_pylist()
    controllers = Controllers(result)
    for node in nodes:
        put("power", node["name"], power_node_values(node) | controllers.at(node["node"]))
    put("site", "", site | site_values(result, nodes, site, window_s) | link_values(result))
    return metrics


def _sum(table: pa.Table, column: str) -> Value:
    return known(pc.sum(table.column(column), min_count=0).as_py())


def _prefix_hits(counts: pa.Table) -> Value:
    hits, admitted = (_sum(counts, c)[0] for c in ("prefix_hit_tokens", "admitted_tokens"))
    return ratio(hits, admitted or 0.0, _reason("queue"))


def _counted(counts: pa.Table, window_s: float) -> dict[str, Value]:
    """Counts, rates and shares that come from ``summary/counts`` alone (exact at every level)."""
    by_outcome: dict[str, int] = {}
    for row in counts.group_by("outcome").aggregate([("n", "sum")]).to_pylist():
        by_outcome[row["outcome"]] = row["n_sum"]
    met = pc.sum(counts.filter(pc.equal(counts.column("cause"), "met")).column("n"), min_count=0)
    done = counts.filter(pc.equal(counts.column("outcome"), "completed"))
    arrivals = sum(by_outcome.values())
    values = {
        "goodput_fraction": ratio(met.as_py(), arrivals, _EMPTY),
        "goodput_per_s": ratio(met.as_py(), window_s, NO_WINDOW),
        "arrivals": known(arrivals),
        "arrival_rate": ratio(arrivals, window_s, NO_WINDOW),
        "retries": _sum(counts, "retries"),
        "input_tokens_per_s": ratio(_sum(done, "input_tokens")[0], window_s, NO_WINDOW),
    }
    for outcome in ("completed", "never-fits", "queue-full", "shed", "timed-out", "cancelled",
                    "unfinished", "failed"):  # fmt: skip
        values[outcome.replace("-", "_")] = known(by_outcome.get(outcome, 0))
    return values


def _reason(family: str) -> str:
    what = {
        "ttft": "got a first token",
        "tpot": "completed with two or more tokens",
        "e2e": "completed",
        "queue": "was admitted",
    }
    return f"no request of the measurement window {what[family]}"


def _exact_latencies(result: RunResult) -> dict[str, dict[str, Value]] | None:
    """Workload → its latency metrics from all its requests that arrived in the window.

    None where not all of them were recorded. Of the table one row group at a time is in memory,
    of the requests four numbers.
    """
    if result.manifest["record"] != "full":
        return None
    window = result.manifest["window"]
    names = [workload["name"] for workload in result.manifest["workloads"]]
    found: dict[tuple[str, str], list[Floats]] = {}
    for rows in result.tables.pieces("requests", ["workload", *COLUMNS]):
        arrival = floats(rows, "arrival_s")
        measured = (arrival >= window["warm_up_s"]) & (arrival < window["duration_s"])
        values = latencies(rows)
        mine = _by_workload(rows, names)
        for name, of_workload in mine.items():
            chosen = of_workload & measured
            for family in FAMILIES:
                reached = values[family][chosen]
                found.setdefault((name, family), []).append(reached[~np.isnan(reached)])
    metrics: dict[str, dict[str, Value]] = {name: {} for name in names}
    for name in names:
        for family in FAMILIES:
            metrics[name] |= _statistics(family, found.pop((name, family)))
    return metrics


def _by_workload(rows: pa.Table, names: Sequence[str]) -> dict[str, NDArray[np.bool_]]:
    """Which of ``rows`` belong to each workload; one alone owns them all."""
    if len(names) == 1:
        return {names[0]: np.ones(rows.num_rows, dtype=bool)}
    codes = pc.index_in(rows.column("workload"), value_set=pa.array(names)).fill_null(-1).to_numpy()
    return {name: codes == index for index, name in enumerate(names)}


def _statistics(family: str, pieces: list[Floats]) -> dict[str, Value]:
    """Mean and quantiles of a latency; ``pieces`` is emptied, for its memory."""
    reached = np.concatenate(pieces)
    pieces.clear()
    if not len(reached):
        return _nothing(family, _reason(family))
    mean = reached.mean()
    found = np.quantile(reached, list(QUANTILES.values()), overwrite_input=True)
    return {
        **{f"{family}_{name}": known(value) for name, value in zip(QUANTILES, found, strict=True)},
        f"{family}_mean": known(mean),
    }


def _nothing(family: str, reason: str) -> dict[str, Value]:
    return {f"{family}_{statistic}": unknown(reason) for statistic in (*QUANTILES, "mean")}


def _latency_bins(result: RunResult) -> pa.Table:
    """``summary/latency`` over the whole window: n and sum_s by workload, metric and bin."""
    by = ["measured", "workload", "metric", "bin"]
    rows = result.tables["summary/latency"].select([*by, "n", "sum_s"])
    # By one thread: sums of floats depend on their order.
    grouped = rows.group_by(by, use_threads=False).aggregate([("n", "sum"), ("sum_s", "sum")])
    return grouped.filter(grouped.column("measured")).sort_by("bin")


def _counted_latencies(bins: pa.Table, workload: str) -> dict[str, Value]:
    rows = bins.filter(pc.equal(bins.column("workload"), workload))
    values: dict[str, Value] = {}
    for family in FAMILIES:
        mine = rows.filter(pc.equal(rows.column("metric"), family))
        if not mine.num_rows:
            values |= _nothing(family, _reason(family))
            continue
        n = mine.column("n_sum").to_numpy().astype(np.int64)
        middles = latency_middles(mine.column("bin").to_numpy().astype(np.int64))
        for name, quantile in QUANTILES.items():
            estimate = histogram_quantile(middles, n, quantile)
            values[f"{family}_{name}"] = known(estimate, LATENCY_ERROR)
        values[f"{family}_mean"] = known(pc.sum(mine.column("sum_s_sum")).as_py() / n.sum())
    return values


def _by_bin(rows: pa.Table) -> tuple[Any, Any]:
    grouped = rows.group_by("bin").aggregate([("n", "sum")]).sort_by("bin")
    bins = grouped.column("bin").to_numpy().astype(np.int64)
    return bins, grouped.column("n_sum").to_numpy().astype(np.int64)


def _gaps(result: RunResult, workload: str) -> dict[str, Value]:
    rows = result.tables["summary/itl"]
    rows = rows.filter(pc.equal(rows.column("workload"), workload))
    if not rows.num_rows:
        return _nothing("itl", "no request delivered a second token")
    bins, n = _by_bin(rows)
    middles = gap_middles(bins)
    values = {
        f"itl_{name}": known(histogram_quantile(middles, n, quantile), GAP_ERROR)
        for name, quantile in QUANTILES.items()
    }
    values["itl_mean"] = known(float(middles @ n) / int(n.sum()), GAP_ERROR)
    return values
