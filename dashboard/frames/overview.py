"""Quantities over simulated time: TTFT per bin of arrival, the site's draw per bin."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from dashboard.frames.bins import (
    MINUTE_S,
    bin_width_s,
    counted_quantiles,
    draws,
    fine_edges,
    fine_width,
    is_fine,
    minutes_per_bin,
    power_nodes,
)
from dashboard.load import RunView, ask, per_run
from sim.errors import ResultError
from sim.results.bins import LATENCY_ERROR
from sim.results.metrics import QUANTILES

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


@per_run
def latency_series(run: RunView, workload: str) -> Latency:
    """TTFT quantiles of ``workload`` by bin of arrival in [0, end).

    Raises:
        ResultError: no request of the workload got a first token, or its table is unreadable.
    """
    entry = next(w for w in run.manifest["workloads"] if w["name"] == workload)
    objective = limit(entry["objectives"].get("ttft"))
    sql = "select coalesce(sum(n), 0)::bigint as n from summary_counts where workload = $workload"
    arrived = int(ask(run, sql, workload=workload)["n"][0])
    if run.record == "full" and is_fine(run, "requests"):
        frame, bin_s = _exact_latency(run, workload, arrived)
        error = 0.0
    else:
        frame, bin_s = _counted_latency(run, workload)
        error = LATENCY_ERROR
    if not arrived:
        raise ResultError(f"no request of {workload} arrived")
    if not frame["n"].any():
        raise ResultError(f"none of the {arrived:,} requests of {workload} got a first token")
    highest = float(frame["p99"].max())
    if not 0.0 < highest < math.inf:
        raise ResultError(f"the TTFT of {workload} is {highest} s, which no run measures")
    return Latency(frame, bin_s, error, objective, max(0, arrived - int(frame["n"].sum())))


_EXACT = """
    select floor(arrival_s / $width)::integer as slot, count(*) as n,
           quantile_cont(ttft, $p50) as p50, quantile_cont(ttft, $p99) as p99
    from (select arrival_s, first_token_s - arrival_s as ttft from requests
          where workload = $workload and first_token_s is not null)
    group by slot
"""


def _exact_latency(run: RunView, workload: str, arrived: int) -> tuple[pd.DataFrame, float]:
    width = fine_width(run.end_s, arrived)
    wanted = {name: QUANTILES[name] for name in QUANTILES_SHOWN}
    found = ask(run, _EXACT, workload=workload, width=width, **wanted)
    starts = fine_edges(run.end_s, width)[:-1]
    frame = found.set_index("slot").reindex(np.arange(len(starts)))
    frame.insert(0, "t_s", starts)
    frame["n"] = frame["n"].fillna(0).astype(np.int64)
    return frame.reset_index(drop=True), width


_COUNTED = """
    select minute // $per as slot, bin, sum(n)::bigint as n from summary_latency
    where workload = $workload and metric = 'ttft' group by all order by slot, bin
"""


def _counted_latency(run: RunView, workload: str) -> tuple[pd.DataFrame, float]:
    sql = """select coalesce(sum(n), 0)::bigint as n from summary_latency
             where workload = $workload and metric = 'ttft'"""
    per_bin = minutes_per_bin(run.end_s, float(ask(run, sql, workload=workload)["n"][0]))
    counted = ask(run, _COUNTED, workload=workload, per=per_bin)
    slots = max(1, int(np.ceil(run.end_s / (MINUTE_S * per_bin))))
    wanted = {name: QUANTILES[name] for name in QUANTILES_SHOWN}
    frame = counted_quantiles(counted, slots, wanted)
    frame.insert(0, "t_s", np.arange(slots) * MINUTE_S * per_bin)
    return frame, MINUTE_S * per_bin


@per_run
def draw_series(run: RunView) -> Draw:
    """The utility's intake in [0, end), per bin.

    Raises:
        ResultError: nothing was metered, or the table is unreadable.
    """
    nodes = power_nodes(run)
    feeds = nodes[nodes["kind"] == "utility"]
    if feeds.empty:
        raise ResultError("the run has no utility feed, so the site's draw was not measured")
    utility = feeds.iloc[0]
    frame = draws(run, [int(utility["node"])]).drop(columns="node")
    if frame.empty:
        raise ResultError("the run has no row of the utility's draw")
    return Draw(frame, bin_width_s(run), limit(utility["budget_w"]), limit(utility["rating_w"]))


def limit(value: Any) -> float | None:
    """A stated limit as a number; None if none is stated.

    Raises:
        ResultError: it is none that a scenario states.
    """
    if value is None or math.isnan(value):
        return None
    stated = float(value)
    if not 0.0 < stated < math.inf:
        raise ResultError(f"a limit of {stated} is not what a scenario states")
    return stated
