"""How long requests waited: distributions, quantiles over time, misses and their causes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from dashboard.frames.bins import (
    MINUTE_S,
    counted_quantiles,
    fine_edges,
    fine_width,
    is_fine,
    minutes_per_bin,
)
from dashboard.frames.overview import QUANTILES_SHOWN, Latency, limit
from dashboard.load import RunView, ask
from sim.errors import ResultError
from sim.results.bins import (
    GAP_ERROR,
    LATENCY_ERROR,
    ZERO_BIN,
    gap_middles,
    histogram_quantile,
    latency_edge,
    latency_middles,
)
from sim.results.metrics import QUANTILES
from sim.results.wording import percent
from sim.units import format_si


@dataclass(frozen=True)
class Measure:
    """One latency that the page can show.

    Attributes:
        word: as the metrics name it.
        title: as axes and sentences name it.
        definition: what it is, and of which requests.
    """

    word: str
    title: str
    definition: str


#: Key in the URL → measure.
MEASURES: Mapping[str, Measure] = {
    "TTFT": Measure("ttft", "TTFT", "time to first token: sending to first token, at the user's"),
    "TPOT": Measure(
        "tpot", "TPOT",
        "time per output token after the first, of completed requests of two tokens or more",
    ),
    "end-to-end": Measure(
        "e2e", "end-to-end time", "sending to last token, of completed requests"
    ),
    "queue": Measure("queue", "queueing time", "reaching the pool to first admission to a batch"),
    "ITL": Measure("itl", "inter-token latency", "each gap between two tokens, the whole run"),
}  # fmt: skip


@dataclass(frozen=True)
class Distribution:
    """How a latency is distributed over the measured requests of a workload.

    Attributes:
        frame: one row a bin that holds something, ascending: ``value_s`` (its middle), ``n``,
            ``share`` (of all, up to and with it) and ``beyond`` (of all, longer).
        n: requests, or gaps between tokens.
        relative_error: bound on the error of ``value_s`` and so of every quantile.
        objective_s: None if none is stated.
        within: least and largest share within the objective: what shares its bin is on either side.
    """

    frame: pd.DataFrame
    n: int
    relative_error: float
    objective_s: float | None
    within: tuple[float, float] | None

    def quantile(self, share: float) -> float:
        """The value in seconds that ``share`` of all do not exceed, as metrics define it."""
        values, counts = (self.frame[name].to_numpy() for name in ("value_s", "n"))
        return histogram_quantile(values, counts.astype(np.int64), share)


@dataclass(frozen=True)
class Misses:
    """Requests of the measurement window that did not meet every objective.

    Attributes:
        frame: one row a cause and outcome, most first: ``cause``, ``outcome``, ``key`` (both),
            ``label`` (in words), ``n``, ``share`` of all arrivals.
        arrivals: of the workload in the window.
        worst: start, end (s) and share missed of the time in which most of the arrivals missed.
    """

    frame: pd.DataFrame
    arrivals: int
    worst: tuple[float, float, float] | None

    @property
    def n(self) -> int:
        """All of them."""
        return int(self.frame["n"].sum())


def objectives_of(run: RunView, workload: str) -> dict[str, float]:
    """Measure (``ttft``, ``tpot``, ``e2e``) → its objective in seconds, where one is stated.

    Raises:
        ResultError: one is none that a scenario states.
    """
    entry = next(w for w in run.manifest["workloads"] if w["name"] == workload)
    stated = {word: limit(value) for word, value in entry["objectives"].items()}
    return {word: value for word, value in stated.items() if value is not None}


_BINS = """
    select bin, sum(n)::bigint as n from summary_latency
    where workload = $workload and metric = $metric and measured group by bin order by bin
"""
_GAPS = """
    select bin, sum(n)::bigint as n from summary_itl where workload = $workload
    group by bin order by bin
"""


def distribution(run: RunView, workload: str, measure: Measure) -> Distribution:
    """A latency of the measured requests, from the histograms that every run writes.

    Raises:
        ResultError: nothing was counted, or a table is unreadable.
    """
    if measure.word == "itl":
        rows, error = ask(run, _GAPS, workload=workload), GAP_ERROR
    else:
        rows = ask(run, _BINS, workload=workload, metric=measure.word)
        error = LATENCY_ERROR
    bins, counts = (rows[name].to_numpy(dtype=np.int64) for name in ("bin", "n"))
    total = int(counts.sum())
    if not total:
        what = "gap between tokens" if measure.word == "itl" else measure.title
        raise ResultError(f"no {what} of {workload} was measured")
    if (counts < 0).any():
        raise ResultError("a histogram of latencies holds a count below zero")
    gaps = measure.word == "itl"
    middles = gap_middles(bins) if gaps else latency_middles(bins)
    up_to = np.cumsum(counts)
    frame = pd.DataFrame(
        {"value_s": middles, "n": counts, "share": up_to / total, "beyond": 1.0 - up_to / total}
    )
    objective = objectives_of(run, workload).get(measure.word)
    within = None if objective is None else _within(bins, counts, objective)
    return Distribution(frame, total, error, objective, within)


def _within(bins: Any, counts: Any, objective_s: float) -> tuple[float, float]:
    """Least and largest share within an objective; the bin that holds it counts as either."""
    low = high = 0
    for index, n in zip(bins.tolist(), counts.tolist(), strict=True):
        lower = 0.0 if index == ZERO_BIN else latency_edge(index)
        upper = 0.0 if index == ZERO_BIN else latency_edge(index + 1)
        low += n if upper <= objective_s else 0
        high += n if lower <= objective_s else 0
    total = counts.sum()
    return float(low / total), float(high / total)


def quantiles(run: RunView, workload: str, measure: Measure) -> dict[str, float]:
    """Name → the quantile in seconds that the metrics have, so that a chart says the same one."""
    found = {name: run.metrics.get(f"{workload}.{measure.word}_{name}") for name in QUANTILES}
    return {
        name: metric.value
        for name, metric in found.items()
        if metric is not None and metric.value is not None
    }


_EXACT = """
    select floor(arrival_s / $width)::integer as slot, count(*) as n,
           quantile_cont(value, $p50) as p50, quantile_cont(value, $p99) as p99
    from (
        select arrival_s, greatest(0.0, case $metric
            when 'ttft' then first_token_s - arrival_s
            when 'e2e' then case when outcome = 'completed' then end_s - arrival_s end
            when 'tpot' then case when outcome = 'completed' and output_tokens >= 2
                then (end_s - first_token_s) / (output_tokens - 1) end
            when 'queue' then admitted_s - (arrival_s + ingress_s) end) as value,
            case $metric when 'ttft' then first_token_s is not null
                when 'queue' then admitted_s is not null
                when 'tpot' then outcome = 'completed' and output_tokens >= 2
                else outcome = 'completed' end as reached
        from requests where workload = $workload
    )
    where reached group by slot
"""
_COUNTED = """
    select minute // $per as slot, bin, sum(n)::bigint as n from summary_latency
    where workload = $workload and metric = $metric and minute < $end
    group by all order by slot, bin
"""
_HOW_MANY = """
    select coalesce(sum(n), 0)::bigint as n from summary_latency
    where workload = $workload and metric = $metric
"""


def series(run: RunView, workload: str, measure: Measure) -> Latency:
    """p50 and p99 of a latency by bin of arrival in [0, end), warm-up included.

    Raises:
        ResultError: nothing was counted, a table is unreadable, or it is the ITL, which has no
            time.
    """
    if measure.word == "itl":
        raise ResultError("gaps between tokens are counted over the whole run, not over time")
    metric = measure.word
    reached = int(ask(run, _HOW_MANY, workload=workload, metric=metric)["n"][0])
    if not reached:
        raise ResultError(f"no {measure.title} of {workload} was counted")
    wanted = {name: QUANTILES[name] for name in QUANTILES_SHOWN}
    if run.record == "full" and is_fine(run, "requests"):
        width, error = fine_width(run.end_s, reached), 0.0
        starts = fine_edges(run.end_s, width)[:-1]
        found = ask(run, _EXACT, workload=workload, width=width, metric=metric, **wanted)
        frame = found.set_index("slot").reindex(np.arange(len(starts)))
    else:
        per, error = minutes_per_bin(run.end_s, float(reached)), LATENCY_ERROR
        width = MINUTE_S * per
        starts = width * np.arange(max(1, math.ceil(run.end_s / width)))
        end = max(1, math.ceil(run.end_s / MINUTE_S))
        rows = ask(run, _COUNTED, workload=workload, metric=metric, per=per, end=end)
        frame = counted_quantiles(rows, len(starts), wanted)
    frame.insert(0, "t_s", starts)
    frame["n"] = frame["n"].fillna(0).astype(np.int64)
    if not np.isfinite(frame["p99"].dropna()).all():
        raise ResultError(f"the {measure.title} of {workload} holds a number no run measures")
    objective = objectives_of(run, workload).get(metric)
    return Latency(frame.reset_index(drop=True), width, error, objective, 0)


_BY_CAUSE = """
    select cause, outcome, sum(n)::bigint as n from summary_counts
    where workload = $workload and measured group by cause, outcome
"""
_BY_TIME = """
    select minute // $per as slot, sum(n)::bigint as n,
           coalesce(sum(n) filter (cause <> 'met'), 0)::bigint as missed
    from summary_counts where workload = $workload and measured group by slot order by slot
"""


def misses(run: RunView, workload: str) -> Misses:
    """What the arrivals of the measurement window missed, and when most.

    Raises:
        ResultError: nothing arrived in the window, or a table is unreadable.
    """
    rows = ask(run, _BY_CAUSE, workload=workload)
    arrivals = int(rows["n"].sum())
    if not arrivals:
        raise ResultError(f"no request of {workload} arrived in the measurement window")
    stated = objectives_of(run, workload)
    frame = rows[rows["cause"] != "met"].sort_values(["n", "cause"], ascending=[False, True])
    frame = frame.reset_index(drop=True)
    pairs = list(zip(frame["cause"].astype(str), frame["outcome"].astype(str), strict=True))
    frame["key"] = [key_of(cause, outcome) for cause, outcome in pairs]
    frame["label"] = [cause_words(cause, outcome, stated) for cause, outcome in pairs]
    frame["share"] = frame["n"] / arrivals
    per = minutes_per_bin(run.end_s, float(arrivals))
    slots = ask(run, _BY_TIME, workload=workload, per=per)
    worst = None
    if slots["missed"].sum():
        share = slots["missed"] / slots["n"]
        at = int(share.to_numpy().argmax())
        width = MINUTE_S * per
        start = float(slots["slot"][at]) * width
        worst = (max(start, run.warm_up_s), min(start + width, run.end_s), float(share[at]))
    return Misses(frame, arrivals, worst)


def key_of(cause: str, outcome: str) -> str:
    """One word for why a request missed: the objective, or how it ended without completing."""
    return outcome if cause == "outcome" else cause


#: How a request ended → in words.
OUTCOME_WORDS: Mapping[str, str] = {
    "completed": "did not complete",
    "never-fits": "refused: never fits",
    "queue-full": "refused: queues full",
    "shed": "shed from a full queue",
    "timed-out": "timed out waiting",
    "cancelled": "cancelled by its client",
    "unfinished": "unfinished at the end",
    "failed": "failed: lost its replica",
}


def cause_words(cause: str, outcome: str, stated: Mapping[str, float]) -> str:
    """Why requests missed, in words for an axis."""
    if cause == "outcome":
        return OUTCOME_WORDS.get(outcome, outcome)
    objective = stated.get(cause)
    if objective is None:
        return cause.upper()
    word = "end-to-end" if cause == "e2e" else cause.upper()
    return f"{word} above {format_si(objective, 's')}"


def foremost(run: RunView, workload: str) -> str:
    """The measure, by its name in ``MEASURES``, whose objective most misses missed first; TTFT
    where none did.

    Raises:
        ResultError: a table is unreadable.
    """
    of = {measure.word: name for name, measure in MEASURES.items()}
    return next(
        (of[cause] for cause in misses(run, workload).frame["cause"] if cause in of), "TTFT"
    )


def met_words(run: RunView, workload: str, missed: Misses) -> str:
    """How many requests met what they should, in words."""
    count = f"{missed.arrivals:,} requests of {workload}"
    met = percent(1.0 - missed.n / missed.arrivals)
    if not objectives_of(run, workload):
        return f"No objective is stated; {met} of {count} completed"
    if not missed.n:
        return f"All {count} met every objective"
    return f"{met} of {count} met every objective, {missed.n:,} missed"
